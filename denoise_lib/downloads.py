"""Downloads that leave no torn file: several mirrors, a checksum, a timeout, and a final rename."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen


class DataError(RuntimeError):
    """A data file is missing, damaged, or could not be downloaded; the message says which, and what to do."""


def download_file(
    urls: list[str], path: Path, md5: str, *, attempts: int = 3, pause: float = 1.0, timeout: float = 30.0
) -> None:
    """Download a file from the first of several mirrors that serves it rightly, and only then give it its name.

    Args:
        urls: addresses of the same file, tried in turn.
        path: where the file shall stand; its folder is made.
        md5: checksum in hex; what does not match is thrown away.
        attempts: rounds over all mirrors.
        pause: seconds before the second round, doubled for each further one.
        timeout: seconds of silence after which a mirror is given up.

    Raises:
        DataError: no mirror served the file; nothing was left behind.
    """
    problem: Exception | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the target's own folder, so that the final rename cannot cross a file system.
        scratch = tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-")
    except OSError as error:
        raise DataError(f"cannot write to {path.parent} ({error.strerror}); set DENOISE_DATA to a writable folder.") from error
    with scratch as folder:
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            for url in urls:
                try:
                    _fetch(url, Path(folder) / path.name, md5, timeout)
                    os.replace(Path(folder) / path.name, path)
                    return
                except (OSError, ValueError, HTTPException) as error:
                    problem = error
    raise DataError(
        f"could not download {path.name} from {len(urls)} mirror(s) in {attempts} attempts ({str(problem).strip()}); "
        f"work offline with mnist(size='small'), or put the file into {path.parent}."
    )


def data_folder() -> Path:
    """Where downloads are kept: the folder DENOISE_DATA, or `~/.cache/denoise_lib` (XDG_CACHE_HOME is honoured)."""
    if os.environ.get("DENOISE_DATA"):
        return Path(os.environ["DENOISE_DATA"])
    return cache_folder()


def cache_folder() -> Path:
    """`~/.cache/denoise_lib`, or its like under XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "denoise_lib"


def _fetch(url: str, path: Path, md5: str, timeout: float) -> None:
    """One download. Unlike torchvision's, it has a timeout: on a bad line, a server may fall silent for ever."""
    request = Request(url, headers={"User-Agent": "denoise_lib"})
    with urlopen(request, timeout=timeout) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file)
    if file_md5(path) != md5:
        raise ValueError("what came has a wrong checksum")


def file_md5(path: Path) -> str:
    """Checksum of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
