"""What the set-up cell does in Colab, in Colab's own versions: `python -m tools.colab`, with the Python to be tried.

Runs the cell of the first notebook as Colab would, with the repository's archive served from this machine, and demands:
one request, one package more, and every other package as it was. Then nbval executes all notebooks with the library that
the cell installed. `make colab` does this in a stand-in environment, the weekly workflow in Google's own image.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
# Colab's own module is all that the cell looks for.
AS_COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"


def main(arguments: list[str] | None = None) -> int:
    """Try the set-up cell, then the notebooks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.colab", description="Try the notebooks in Colab's versions.")
    parser.add_argument("--build", type=Path, default=Path("build"), help="where the archive and nbval are kept")
    parser.add_argument("--set-up-only", action="store_true", help="do not execute the notebooks")
    options = parser.parse_args(arguments)
    options.build.mkdir(parents=True, exist_ok=True)
    pip("uninstall", "-y", "denoise-lib")
    problems = try_set_up_cell(options.build)
    print("\n".join(f"FAILED  {problem}" for problem in problems) or "the set-up cell: one request, and one package more")
    if problems or options.set_up_only:
        return len(problems) > 0
    return run_nbval(options.build / "nbval")


def try_set_up_cell(build: Path) -> list[str]:
    """Run the first notebook's set-up cell against a server on this machine; returns what is wrong, in sentences."""
    archive = build / "main.zip"
    zip_repository(archive)
    server = ArchiveServer(archive.read_bytes())
    cell = first_code_cell(ROOT / "notebooks" / "01_noise_injection.ipynb")
    before = frozen()
    start = time.perf_counter()
    program = [sys.executable, "-c", AS_COLAB + server.instead_of_github(cell)]
    done = subprocess.run(program, env=server.environment(), cwd=build, check=False)
    seconds = time.perf_counter() - start
    after = frozen()
    server.close()
    print(f"the set-up cell took {seconds:.1f} s; the archive has {archive.stat().st_size / 1e6:.1f} MB", flush=True)
    problems = [f"the cell ended with status {done.returncode}"] if done.returncode else []
    added = [line for line in sorted(after - before) if not line.startswith("denoise-lib @ ")]
    problems += [f"installed or changed beside the library: {line}" for line in added]
    problems += [f"no longer there as it was: {line}" for line in sorted(before - after)]
    if not any(line.startswith("denoise-lib @ ") for line in after):
        problems.append("the library is not among the packages")
    if server.requests != ["/archive/main.zip"]:
        problems.append(f"one request was expected, but there were {server.requests}")
    return problems


class ArchiveServer:
    """Serves the repository's archive as GitHub does, and notes every request, those to a package index too."""

    def __init__(self, content: bytes) -> None:
        self.requests: list[str] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                found = self.path == "/archive/main.zip"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/zip")
                self.send_header("Content-Length", str(len(content) if found else 0))
                self.end_headers()
                self.wfile.write(content if found else b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def instead_of_github(self, cell: str) -> str:
        """The cell with this server as its repository."""
        begin = 'REPOSITORY = "'
        lines = [f'{begin}{self.address}"' if line.startswith(begin) else line for line in cell.splitlines()]
        return "\n".join(lines)

    def environment(self) -> dict[str, str]:
        """Settings under which pip knows no index but this server, so that it can fetch nothing unseen."""
        ours = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{self.address}/simple", "NO_PROXY": "127.0.0.1"}
        return {key: value for key, value in os.environ.items() if not key.startswith("PIP_")} | ours

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def zip_repository(path: Path) -> None:
    """The working tree's files as GitHub's archive holds them: in one folder, without what git ignores."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in filter(None, names):
            if (ROOT / name).is_file():
                archive.write(ROOT / name, f"denoising-course-main/{name}")


def first_code_cell(path: Path) -> str:
    """The source of a notebook's set-up cell."""
    cells = nbformat.read(path, as_version=4).cells
    return str(next(cell.source for cell in cells if cell.cell_type == "code"))


def frozen() -> set[str]:
    """What `pip freeze` lists, pip and setuptools included."""
    return set(pip("freeze", "--all").splitlines())


def pip(*arguments: str) -> str:
    """Run pip, and return what it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run_nbval(folder: Path) -> int:
    """Execute all notebooks with the installed library, and compare what they print; returns the exit status."""
    if not (folder / "nbval").is_dir():  # put beside, not into, the environment that is tried
        pip("install", "--quiet", "--no-deps", "--target", str(folder), "nbval", "coverage")
    notebooks = sorted(str(path) for path in (ROOT / "notebooks").glob("*.ipynb"))
    program = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(ROOT / "notebooks")]
    program += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "600", "--nbval-kernel-startup-timeout", "180"]
    program += ["--nbval-sanitize-with", str(ROOT / "tests" / "notebooks" / "nbval_sanitize.cfg")]
    return subprocess.run(
        [*program, *notebooks],
        env=os.environ | {"PYTHONPATH": str(folder.resolve()), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
