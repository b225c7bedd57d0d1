"""A sandbox around a student's code: no network, no files but its own, no end to the process that reaches further.

On Linux it is bubblewrap, the same walls that Flatpak stands in: an empty file system in which Python and the library can be
read, a home that is thrown away, no network at all. Elsewhere there is the weak sandbox of the worker, which a student who
means harm can get out of, and which has to be asked for.
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

import matplotlib

import denoise_lib

STRONG, WEAK = "bubblewrap", "weak"
HOME = "/home/student"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/alternatives")
MACHINE = ("/sys", "/proc/self", "/proc/stat", "/proc/cpuinfo", "/proc/meminfo")
"""What packages read to count processors; in bubblewrap's sandbox they are the kernel's to show."""
SETTINGS = ("/usr/etc", "/usr/local/etc")
"""Folders of SYSTEM that may hold an administrator's tokens, and that nothing here needs."""
PARTS = ("bin", "lib", "lib64", "share", "ssl", "pyvenv.cfg")
"""What Python needs of the folder in which it is installed; that folder may hold anything else, even a course."""
SPACE = 2**28
"""Bytes of each folder that can be written to."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures become pictures
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "USER": "student",  # there is no list of users that could tell it
}


class SandboxMissingError(RuntimeError):
    """There is no sandbox on this machine, and none was waived."""


@functools.cache
def bubblewrap_works() -> bool:
    """Whether bubblewrap is there and may do its work (some systems forbid it to ordinary users)."""
    if shutil.which("bwrap") is None:
        return False
    return subprocess.run([*_walls(None), "true"], capture_output=True, timeout=20, check=False, env={}).returncode == 0


def choose_sandbox(wanted: str | None = None) -> str:
    """`STRONG` where it works; `WEAK` when asked for; else an error that says what to do."""
    if wanted == WEAK:
        return WEAK
    if wanted not in (None, STRONG):
        raise ValueError(f"the sandbox must be {STRONG!r} or {WEAK!r}, but is {wanted!r}; for example {STRONG!r}.")
    if bubblewrap_works():
        return STRONG
    raise SandboxMissingError(
        "students' code runs behind bubblewrap, which is missing or not allowed here; install it (Debian, Ubuntu: apt install "
        "bubblewrap), grade in a Linux container, or pass --sandbox weak, which stops accidents but nobody who means harm."
    )


def package_folder() -> Path:
    """Where the library lies."""
    return Path(denoise_lib.__file__).parent


def readable_folders() -> list[Path]:
    """What a student's code may read: Python, its packages, the library and its results."""
    prefixes = {Path(base) for base in (sys.prefix, sys.base_prefix)}
    prefixes |= {prefix.resolve() for prefix in prefixes}  # Python may be started by a path that leads through a link
    found = {prefix / part for prefix in prefixes for part in PARTS}
    found |= {Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")} | {Path(sys.executable).parent}
    found |= {package_folder(), package_folder().parent / "results", *_packages()}
    return sorted(path for path in found if path.exists())


def _packages() -> set[Path]:
    """The folders of torch and of IPython, which need not be in one place."""
    origins = [spec.origin for name in ("torch", "IPython") if (spec := find_spec(name)) is not None]
    return {Path(origin).parent.parent for origin in origins if origin}


def command(sandbox: str, job: Path) -> tuple[list[str], dict[str, str]]:
    """How the worker is started on a job, and its environment; the job's folder is read-only in bubblewrap's sandbox."""
    start = [sys.executable, "-m", "denoise_lib.classroom.sandbox.worker"]
    if sandbox == WEAK:
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
        home = {"HOME": str(job.parent), "IPYTHONDIR": str(job.parent / ".ipython"), "TMPDIR": str(job.parent)}
        home["MPLCONFIGDIR"] = str(job.parent / ".matplotlib")
        return [*start, str(job)], {**kept, **ENVIRONMENT, **home, "PYTHONPATH": _python_path()}
    return [*_walls(job.parent), *start, f"/job/{job.name}"], {}


def _python_path() -> str:
    """The library, and packages in the grader's home, where Python does not look by itself."""
    usual = (sys.prefix, sys.base_prefix)
    elsewhere = [str(path) for path in sorted(_packages()) if not any(path.is_relative_to(prefix) for prefix in usual)]
    return os.pathsep.join([str(package_folder().parent), *elsewhere])


@functools.cache
def _option(name: str) -> bool:
    """Whether this bubblewrap knows an option; Ubuntu 22.04's knows neither a size nor how to forbid namespaces."""
    help_page = subprocess.run(["bwrap", "--help"], capture_output=True, timeout=20, check=False)
    return name.encode() in help_page.stdout + help_page.stderr


def _walls(job_folder: Path | None) -> list[str]:
    """The command line of bubblewrap, up to what is to be run."""
    walls = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    walls += ["--uid", "1000", "--gid", "1000", "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    if _option("--disable-userns"):  # where a student would be root, and could mount a larger folder
        walls += ["--unshare-user", "--disable-userns"]
    folder = ["--size", str(SPACE), "--tmpfs"] if _option("--size") else ["--tmpfs"]
    walls += [*folder, "/tmp", *folder, "/dev/shm"]
    bound = [*map(Path, SYSTEM), *readable_folders()]
    for place in bound:
        walls += ["--ro-bind-try", str(place), str(place)]
    for settings in SETTINGS:
        if Path(settings).is_dir():
            walls += [*folder, settings, "--remount-ro", settings]
    # The classroom holds right answers; of it the worker alone is there, by whatever path one comes.
    classroom = (package_folder() / "classroom").resolve()
    paths = {place / classroom.relative_to(real) for place in bound if classroom.is_relative_to(real := place.resolve())}
    for path in sorted(paths):
        walls += ["--tmpfs", str(path)]
        for name in ("__init__.py", "sandbox/__init__.py", "sandbox/worker.py"):
            walls += ["--ro-bind", str(classroom / name), str(path / name)]
        walls += ["--remount-ro", str(path)]
    if job_folder is not None:
        walls += ["--ro-bind", str(job_folder), "/job"]
    walls += [*folder, HOME, "--chdir", HOME]
    for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # else each student's figures look for fonts anew
        walls += ["--ro-bind", str(fonts), f"{HOME}/.cache/matplotlib/{fonts.name}"]
    # What is left is not to be written to: folders in memory without an end, and the kernel's settings, which are root's,
    # and so the student's when the grader is root.
    for closed in ("/proc", "/dev", "/"):
        walls += ["--remount-ro", closed]
    inside = {**ENVIRONMENT, "HOME": HOME, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": _python_path()}
    for name, value in inside.items():
        walls += ["--setenv", name, value]
    return walls
