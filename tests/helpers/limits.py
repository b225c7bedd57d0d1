"""What a test takes of the machine: its memory, and a disk that is full for a moment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def peak_memory() -> float:
    """The most that this process has had so far, in MB; 0 where the system does not tell."""
    if resource is None:
        return 0
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Inside, the system lets no file grow beyond `size` bytes: it stops the writing as a full disk does."""
    if resource is None:
        pytest.skip("this system knows no limit of a file's size")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
