"""Files that are not whole yet: never written by two processes at once, and never seen under the name of the whole one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .checks import check_path

try:
    import fcntl
except ImportError:  # Windows knows no such locks
    fcntl = None  # type: ignore[assignment]


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """The file `NAME.part` beside `path`, ours alone inside the `with` block; what it holds from an earlier run is kept.

    It is deleted at the end if it is empty. Where another process has it, or nothing can be locked, a file of another name
    takes its place, and is always deleted. To finish, rename it to `path`, inside the block.

    Raises:
        OSError: the folder cannot be made, or not be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    lock = _lock(part)
    if lock is None:
        part = path.with_name(f"{part.name}-{secrets.token_hex(4)}")
        part.touch()
    try:
        yield part
    finally:
        if lock is None:
            part.unlink(missing_ok=True)
        else:
            if _is_named(lock, part) and part.stat().st_size == 0:
                part.unlink()
            lock.close()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file at once: a reader sees the old one or the new one, and a full disk does not cost the old one.

    Threads, processes and machines may write the same file at the same time: the last one that has finished counts.

    Raises:
        OSError: the folder cannot be made, or not be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{secrets.token_hex(8)}.part")  # our own, and short, however long the file's name is
    try:
        scratch.write_bytes(data)
        os.replace(scratch, path)
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def _lock(part: Path) -> IO[bytes] | None:
    """The file, opened, and locked until it is closed, even by a crash; None where that is not possible."""
    if fcntl is None:
        return None
    with ExitStack() as stack, suppress(OSError):
        file = stack.enter_context(part.open("ab"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(file, part):
            stack.pop_all()  # it stays open
            return file
    return None


def _is_named(file: IO[bytes], path: Path) -> bool:
    """Whether an open file still has this name: the process that locked it before may have renamed or deleted it."""
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never a torn one."""
    path = Path(check_path(path))
    try:
        text = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"content must be of dictionaries, lists, texts and numbers, as JSON has them ({error}).") from None
    write_whole(path, text)
