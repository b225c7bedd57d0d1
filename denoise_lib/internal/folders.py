"""The folders in which data and other large files are kept."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """Where downloads are kept: the folder DENOISE_DATA, or `~/.cache/denoise_lib` (XDG_CACHE_HOME is honoured)."""
    if os.environ.get("DENOISE_DATA"):
        return Path(os.environ["DENOISE_DATA"])
    return cache_folder()


def cache_folder() -> Path:
    """`~/.cache/denoise_lib`, or its like under XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "denoise_lib"
