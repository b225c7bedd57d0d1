"""The second paper's training set, made again: pairs of 32x32 photos, each pixel a random pixel of its cell.

50,000 pairs are squares of the photos at hand, reduced by `PointSample` twice. They are built photo by photo, so that the
large squares (10 GB) are never held together, and kept in the cache (154 MB a copy).
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources.abc import Traversable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from ..corruptions import PointSample
from ..internal.checks import check_count, check_flag, check_path, describe
from ..internal.folders import cache_folder
from ..internal.seeding import derive_seed
from ..sources.photographs import photo_files, square_crops

HELD_OUT_PAIRS = 240

TEST_PAIRS = 1000
"""Size of the test set behind the results on photos."""
MOST_PAIRS, LARGEST_SQUARE = 10**6, 8192
PART = 32
"""Squares that are held as floats at a time."""


@dataclass(frozen=True)
class PhotoPairs:
    """Two noisy copies of each photo, and the photo: uint8 tensors (N, 3, H, W) each."""

    first: Tensor
    second: Tensor
    clean: Tensor

    def __len__(self) -> int:
        return len(self.clean)

    def fingerprint(self) -> str:
        """Eight letters that change with the photos: results of other photos must not pass for results of these."""
        return hashlib.sha256(self.clean.numpy().tobytes()).hexdigest()[:8]


def photo_pairs(
    split: str = "train",
    source: str | os.PathLike[str] = "builtin",
    *,
    count: int,
    cell: int = 8,
    side: int = 32,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    cache: bool = True,
    progress: bool = True,
) -> PhotoPairs:
    """Draw `count` fixed pairs from a source's photos, all photos equally often (but for a remainder).

    Args:
        split, source, root: as for `photos`.
        count: number of pairs N.
        cell: of `PointSample`; the squares have side * cell pixels, 256 as in the paper's data.
        side: H = W of the pairs.
        seed: of the squares and of the noise.
        cache: keep the result in the cache folder (see `downloads.cache_folder`), and read it from there next time.
        progress: show a bar in a terminal.

    Returns:
        `PhotoPairs`. Rounding to 8 bits changes only `clean`, by at most half a grey level: noisy pixels are pixels.

    Example:
        >>> pairs = photo_pairs("test", count=8, cache=False)
        >>> pairs.first.shape, pairs.first.dtype
        (torch.Size([8, 3, 32, 32]), torch.uint8)
    """
    check_count(count, "count", high=MOST_PAIRS, example=1000)
    check_count(cell, "cell", high=LARGEST_SQUARE, example=8)
    check_count(side, "side", high=LARGEST_SQUARE, example=32)
    check_count(side * cell, "side * cell", high=LARGEST_SQUARE)
    check_count(seed, "seed", 0, example=0)
    check_flag(cache, "cache")
    check_flag(progress, "progress")
    files = photo_files(split, source, root=root)
    path = cache_folder() / "pairs" / f"{split}-{count}-{_key(files, count, cell, side, seed)}.safetensors"
    if cache and path.exists():
        try:
            return PhotoPairs(**load_file(path))
        except (SafetensorError, TypeError, OSError):
            pass  # damaged: built again, and replaced
    pairs = _build(files, count, cell, side, seed, progress)
    if cache:
        _keep(pairs, path)
    return pairs


def distinct_photos(split: str, source: str | os.PathLike[str], count: int, first: int, *, seed: int = 0) -> int:
    """How many photos the first pairs of `photo_pairs` are crops of: crops of one photo are alike, and no independent draws."""
    files = len(photo_files(split, source))
    crops = -(-check_count(count, "count", high=MOST_PAIRS, example=1000) // files)
    generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    order = torch.randperm(files * crops, generator=generator)[:count]
    return len((order[: check_count(first, "first", example=240)] // crops).unique())


def _key(files: list[Traversable], *settings: int) -> str:
    """A name for the result: it changes with any byte of the photos, and with any setting."""
    digest = hashlib.sha256(repr(settings).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _build(files: list[Traversable], count: int, cell: int, side: int, seed: int, progress: bool) -> PhotoPairs:
    crops = -(-count // len(files))
    noise = PointSample(cell)
    first, second, clean = (torch.empty(len(files) * crops, 3, side, side, dtype=torch.uint8) for _ in range(3))
    squares = square_crops(files, size=side * cell, crops=crops, seed=seed)
    hidden = not (progress and sys.stderr.isatty())
    for index, square in enumerate(tqdm(squares, "building pairs", len(files), unit="photo", leave=False, disable=hidden)):
        generator = torch.Generator().manual_seed(derive_seed(seed, (1 << 31) + index))
        here = slice(index * crops, (index + 1) * crops)
        noisy = partial(noise, generator=generator)
        for target, reduce in ((first, noisy), (second, noisy), (clean, noise.clean)):
            # Part by part: as floats, the squares of one photo may take a gigabyte. The random numbers stay the same.
            for part, place in zip(square.split(PART), target[here].split(PART), strict=True):
                place.copy_((reduce(part.float() / 255) * 255).round())
    # Photo by photo would show a network one scene for a hundred pairs in a row: mix them, once and for all.
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(seed))[:count]
    return PhotoPairs(first[order], second[order], clean[order])


def _keep(pairs: PhotoPairs, path: Path) -> None:
    """Write the cache under its name only when it is whole; a folder that cannot be written to is no error."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"first": pairs.first, "second": pairs.second, "clean": pairs.clean}, scratch)
        scratch.replace(path)
    except (OSError, SafetensorError):
        pass
    finally:  # Ctrl-C too leaves no half-written file
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


@dataclass(frozen=True)
class Photos:
    """Where the photos come from. `test` chooses among models; `held_out` is for claims alone."""

    train: str = "imagenette"
    held_out: str | None = None
    cell: int = 8
    about: str = ""
    """What the photos are, for the results file."""

    def __post_init__(self) -> None:
        check_path(self.train, "train")
        if self.held_out is not None:
            check_path(self.held_out, "held_out")
        check_count(self.cell, "cell", example=8)
        if not isinstance(self.about, str):
            raise TypeError(f"about must be a text, but is {describe(self.about)}; for example 'my photos'.")

    def training_pairs(self, count: int) -> PhotoPairs:
        """The fixed training pairs."""
        return photo_pairs("train", self.train, count=count, cell=self.cell)

    def test_sets(self) -> dict[str, PhotoPairs]:
        """'test': 1,000 pairs of the source's test photos; 'held-out': 240 pairs of the held-out folder, where there is one."""
        sets = {"test": photo_pairs("test", self.train, count=TEST_PAIRS, cell=self.cell)}
        if self.held_out is not None:
            sets["held-out"] = photo_pairs("all", self.held_out, count=HELD_OUT_PAIRS, cell=self.cell)
        return sets

    def absolute(self) -> Photos:
        """The same, for a process in another folder."""
        return replace(self, train=_absolute(self.train), held_out=self.held_out and _absolute(self.held_out))

    def fingerprint(self) -> str:
        """Of the test set: see `PhotoPairs.fingerprint`."""
        return self.test_sets()["test"].fingerprint()


def _absolute(source: str) -> str:
    return source if source in ("builtin", "imagenette") else str(Path(source).absolute())
