"""Downloads that leave no torn file: mirrors, a size, a checksum, and a final rename.

Until it is whole, a file grows as `NAME.part`. What a cut connection, Ctrl-C or a crash leaves of that is where the next
attempt goes on, where the server allows it; what turns out wrong is deleted.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPException, HTTPResponse, responses
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ..internal.atomic_write import partial_file
from ..internal.checks import check_choice, check_count, check_list, check_number, check_path, describe
from .http import Refused, answer, reason

BLOCK = 2**18
BUSY = (408, 425, 429)  # worth asking again, like every 5xx


class DataError(RuntimeError):
    """A data file is missing, damaged, or could not be downloaded; the message says which, and what to do."""


def download_file(
    urls: list[str], path: Path, checksum: str, size: int, *, advice: str, attempts: int = 3, pause: float = 1.0,
    timeout: float = 30.0, deadline: float = 600.0,
) -> None:  # fmt: skip
    """Download a file from the first of several mirrors that serves it rightly, and only then give it its name.

    Args:
        urls: addresses of the same file, http or https, tried in turn.
        path: where the file shall stand; its folder is made.
        checksum: "md5:" or "sha256:" and the checksum in hex; what does not match is thrown away.
        size: number of bytes; more are never written.
        advice: what else one can do, for the message, such as "work offline with mnist(size='small')".
        attempts: rounds over the mirrors; one that refuses, as by 404 Not Found, is not asked again.
        pause: seconds before the second round, doubled for each further one.
        timeout: seconds of silence after which a mirror is given up.
        deadline: seconds after which it is given up though it still sends; the next round goes on from there.

    Raises:
        TypeError, ValueError: a bad argument.
        DataError: no mirror served the file, or the folder cannot be written to.
    """
    for url in check_list(urls, "urls", ["https://example.org/digits.gz"]):
        if not isinstance(url, str):
            raise TypeError(f"urls must be a list of addresses, but holds {describe(url)}.")
    path = Path(check_path(path))
    _algorithm(checksum)
    check_count(size, "size", example=4542)
    check_count(attempts, "attempts", example=3)
    check_number(pause, "pause", 0, example=1.0)
    check_number(timeout, "timeout", 0, open_low=True, example=30.0)
    check_number(deadline, "deadline", 0, open_low=True, example=600.0)
    waiting, reasons = list(urls), dict.fromkeys(urls, "")
    with ExitStack() as stack:
        with _writing_to(path.parent):
            part = stack.enter_context(partial_file(path))
        if part.stat().st_size >= size and not _has_checksum(part, checksum):
            os.truncate(part, 0)  # what was kept is no beginning of this file
        for attempt in range(attempts):
            if attempt and waiting:
                time.sleep(pause * 2 ** (attempt - 1))
            for url in list(waiting):
                try:
                    _fetch(url, part, size, timeout, deadline)
                    if not _has_checksum(part, checksum):
                        os.truncate(part, 0)
                        raise ValueError("wrong checksum")
                except Refused as error:
                    waiting.remove(url)
                    reasons[url] = str(error)
                except (OSError, ValueError, HTTPException) as error:
                    reasons[url] = reason(error)
                else:
                    with _writing_to(path.parent):
                        os.replace(part, path)
                    return
    message = "; ".join(f"{urlsplit(url).hostname or url}: {words}" for url, words in reasons.items())
    raise DataError(f"could not download {path.name} ({message}): {advice}, or put the file into {path.parent}.")


def check_file(path: Path, checksum: str) -> None:
    """Raise `DataError` unless a file has this checksum, such as "md5:" and 32 hex digits."""
    _algorithm(checksum)
    try:
        right = _has_checksum(Path(check_path(path)), checksum)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    if not right:
        raise DataError(f"{path} is damaged (its checksum is wrong): delete it, and it will be downloaded again.")


def unpack_archive(archive: Path, folder: Path, *, members: int, size: int) -> None:
    """Unpack a .tgz that holds one folder, and only give it its name when all of it is there.

    Args:
        archive: tar file, compressed by gzip. Only plain files and folders are taken: no link, no device, no path out of it.
        folder: where its folder shall stand, under the same name.
        members, size: most files and folders, and most bytes, that it may unpack to.

    Raises:
        DataError: a damaged or hostile archive, or no room for what is in it; nothing is left behind.
    """
    archive, folder = Path(check_path(archive, "archive")), Path(check_path(folder, "folder"))
    check_count(members, "members", example=20_000)
    check_count(size, "size", example=300_000_000)
    try:
        _check_unpacked_size(archive, size)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-")
        with scratch as inside, tarfile.open(archive, "r:gz") as tar:
            for number, member in enumerate(tar):
                if number == members:
                    raise ValueError(f"it holds more than {members:,} files")
                name = PurePosixPath(member.name)
                if not (member.isreg() or member.isdir()) or member.issparse() or name.is_absolute() or ".." in name.parts:
                    raise ValueError(f"it holds {member.name!r}, which is no plain file or folder inside it")
                tar.extract(member, inside, filter="data")
            unpacked = Path(inside) / folder.name
            if not unpacked.is_dir():
                raise ValueError(f"it holds no folder {folder.name}")
            if not folder.is_dir():  # or another process was faster
                os.rename(unpacked, folder)
    except Exception as error:  # tarfile raises many kinds
        advice = "make room, or delete it, and it will be downloaded again"
        raise DataError(f"{archive} cannot be unpacked ({reason(error)}): {advice}.") from error


def _check_unpacked_size(archive: Path, size: int) -> None:
    """Read a .gz to its end, where its own checksum is, before anything in it is believed."""
    with gzip.open(archive) as stream:
        while block := stream.read(BLOCK):
            size -= len(block)
            if size < 0:
                raise ValueError("it holds more bytes than it should")


def _algorithm(checksum: str) -> str:
    name = checksum.partition(":")[0] if isinstance(checksum, str) else checksum
    return check_choice(name, "the checksum's kind", ("md5", "sha256"))


def _has_checksum(path: Path, checksum: str) -> bool:
    algorithm = partial(hashlib.new, _algorithm(checksum), usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == checksum.partition(":")[2]


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Tell a full disk and a missing permission apart from the faults of a network, which are `OSError`s, too."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write to {folder} ({error.strerror or error}): make room, or set DENOISE_DATA to a writable folder."
        ) from error


def _fetch(url: str, part: Path, size: int, timeout: float, deadline: float) -> None:
    """Go on with a partial file until it has `size` bytes."""
    start = part.stat().st_size
    if start == size:
        return
    with answer(url, start=start, timeout=timeout, deadline=deadline) as response:
        fits = start == 0 or response.status != 416
        if fits:
            _receive(response, part, start, size)
    if not fits:  # the server has nothing behind our part, so that this is of another file
        os.truncate(part, 0)
        _fetch(url, part, size, timeout, deadline)


def _receive(response: HTTPResponse, part: Path, start: int, size: int) -> None:
    """Write an answer to the partial file, of which `start` bytes are there."""
    status, headers = response.status, response.headers
    if status not in (200, 206):
        message = f"{status} {responses.get(status, 'unknown status')}"
        raise OSError(message) if status >= 500 or status in BUSY else Refused(message)
    if headers.get_content_type() == "text/html":
        raise ValueError("a web page came in place of the file, as from a network that asks for a log-in")
    if status == 200:  # the whole file, whatever was asked for
        start = 0
    elif not headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        os.truncate(part, 0)
        raise ValueError("another part came than was asked for")
    room = size - start
    if response.length not in (None, room):
        raise ValueError(f"{response.length:,} bytes were offered in place of {room:,}")
    os.truncate(part, start)
    keep = status == 206 or headers.get("Accept-Ranges") == "bytes"
    try:
        with part.open("ab", buffering=0) as file:
            while block := response.read1(BLOCK):
                room -= len(block)
                if room < 0:
                    keep = False
                    raise ValueError(f"more than {size:,} bytes came")
                with _writing_to(part.parent):
                    if file.write(block) < len(block):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if room:
            raise ValueError(f"only {size - room:,} of {size:,} bytes came")
    except BaseException as error:  # Ctrl-C, too
        if not keep or isinstance(error, DataError):
            os.truncate(part, 0)
        raise
