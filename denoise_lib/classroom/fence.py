"""A fence around a student's code: no network, no files but its own, no end to the process that reaches further.

On Linux it is bubblewrap, the same walls that Flatpak stands in: an empty file system in which Python and the library can be
read, a home that is thrown away, no network at all. Elsewhere there is the weak fence of the worker, which a student who means
harm can get over, and which has to be asked for.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import denoise_lib

STRONG, WEAK = "bubblewrap", "weak"
HOME = "/home/student"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/alternatives")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures become pictures
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
}


class FenceMissingError(RuntimeError):
    """There is no fence on this machine, and none was waived."""


@functools.cache
def strong_fence_works() -> bool:
    """Whether bubblewrap is there and may do its work (some systems forbid it to ordinary users)."""
    if shutil.which("bwrap") is None:
        return False
    trial = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
    return subprocess.run(trial, capture_output=True, timeout=20, check=False).returncode == 0


def choose_fence(wanted: str | None = None) -> str:
    """`STRONG` where it works; `WEAK` when asked for; else an error that says what to do."""
    if wanted == WEAK:
        return WEAK
    if wanted not in (None, STRONG):
        raise ValueError(f"the fence must be {STRONG!r} or {WEAK!r}, but is {wanted!r}; for example {STRONG!r}.")
    if strong_fence_works():
        return STRONG
    raise FenceMissingError(
        "students' code runs behind bubblewrap, which is missing or not allowed here; install it (Debian, Ubuntu: apt install "
        "bubblewrap), grade in a Linux container, or pass --fence weak, which stops accidents but nobody who means harm."
    )


def package_folder() -> Path:
    """Where the library lies."""
    return Path(denoise_lib.__file__).parent


def readable_folders() -> list[Path]:
    """What a student's code may read: Python, its packages, the library and its results."""
    bases = {sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]}
    found = {Path(base).resolve() for base in bases} | {Path(sys.prefix), Path(sys.executable).parent}
    found |= {package_folder(), package_folder().parent / "results"}
    torch = find_spec("torch")
    if torch is not None and torch.origin:
        found.add(Path(torch.origin).parent.parent)
    return sorted(path for path in found if path.exists())


def command(fence: str, job: Path) -> tuple[list[str], dict[str, str]]:
    """How the worker is started on a job, and its environment; the job's folder is read-only behind the strong fence."""
    start = [sys.executable, "-m", "denoise_lib.classroom.worker"]
    python_path = str(package_folder().parent)
    if fence == WEAK:
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
        home = {"HOME": str(job.parent), "IPYTHONDIR": str(job.parent / ".ipython"), "TMPDIR": str(job.parent)}
        home["MPLCONFIGDIR"] = str(job.parent / ".matplotlib")
        return [*start, str(job)], {**kept, **ENVIRONMENT, **home, "PYTHONPATH": python_path}
    walls = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"]
    walls += ["--clearenv", "--proc", "/proc", "--dev", "/dev", "--size", str(2**28), "--tmpfs", "/tmp"]
    for system in SYSTEM:
        walls += ["--ro-bind-try", system, system]
    for folder in readable_folders():
        walls += ["--ro-bind", str(folder), str(folder)]
    # The classroom holds right answers; of it the worker alone is there.
    classroom = package_folder() / "classroom"
    walls += ["--tmpfs", str(classroom)]
    for name in ("__init__.py", "worker.py"):
        walls += ["--ro-bind", str(classroom / name), str(classroom / name)]
    walls += ["--remount-ro", str(classroom), "--ro-bind", str(job.parent), "/job"]
    walls += ["--size", str(2**28), "--tmpfs", HOME, "--chdir", HOME]
    inside = {**ENVIRONMENT, "HOME": HOME, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": python_path}
    for name, value in inside.items():
        walls += ["--setenv", name, value]
    return [*walls, *start, f"/job/{job.name}"], {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
