"""Serve all explorers on one page, without code, for a projector: `python -m tools.app`, which needs Voila."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat

CELLS = ("from denoise_lib.display import course_explorers", "course_explorers()")


def write_app(path: Path) -> Path:
    """Write the notebook that Voila serves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell("\n".join(CELLS))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.app", description="Serve all explorers on one page.")
    parser.add_argument("--port", type=int, default=8866)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--build", type=Path, default=Path("build/app"), help="where its notebook goes (default %(default)s)")
    options = parser.parse_args(arguments)
    if find_spec("voila") is None:
        print("error: Voila is not installed; run `make install` or `pip install voila`.", file=sys.stderr)
        return 1
    path = write_app(options.build / "explorers.ipynb")
    command = [sys.executable, "-m", "voila", str(path), f"--port={options.port}", "--Voila.ip=127.0.0.1", "--theme=light"]
    try:
        return subprocess.run([*command, *(["--no-browser"] if options.no_browser else [])], check=False).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
