"""Colour photos as square tensors: those inside scikit-image and scikit-learn, Imagenette, or any folder.

The second paper's images are 32x32, but its noise lives in larger photos (`noise.PointSample`): so photos are read at
256x256 and reduced by that noise model, and not here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .downloads import DataError, data_folder
from .validation import check_choice, check_count, check_number, check_path, stream_seed

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
# Natural colour photos that the two packages carry: (package, folder, file).
BUILTIN: dict[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("skimage", "data/astronaut.png"), ("skimage", "data/chelsea.png"), ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/rocket.jpg"), ("sklearn", "datasets/images/china.jpg"),
    ),
    "test": (("skimage", "data/coffee.png"), ("sklearn", "datasets/images/flower.jpg")),
}  # fmt: skip
SMALLEST_CROP = 0.7


def photos(
    split: str = "train",
    source: str | os.PathLike[str] = "builtin",
    *,
    size: int = 256,
    crops: int = 1,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
) -> Tensor:
    """Square colour photos.

    Args:
        split: "train" or "test", no photo is in both; or "all".
        source: "builtin" (seven photos, offline), "imagenette" (9,469 and 3,925 photos of 160 px, through torchvision, 99
            MB) or a folder. A folder is searched for `train` and `test` (or `val`) inside it; where it has none, each fifth of
            its photos, in the order of their names, is for the test.
        size: side S of the result. Photos that are smaller are enlarged, which makes the noise of `PointSample` milder.
        crops: squares per photo: the largest central one, then random ones whose side is 70-100 % of it.
        seed: of the random squares; photo i has a stream of its own.
        root: folder for "imagenette"; by default DENOISE_DATA, or the cache.

    Returns:
        uint8 (N, 3, S, S), photo by photo.

    Raises:
        ValueError: an unknown split, or a folder that is not there.
        DataError: no photos, or one that cannot be read.

    Example:
        >>> photos("test", size=64, crops=3).shape
        torch.Size([6, 3, 64, 64])
    """
    files = photo_files(split, source, root=root)
    return torch.cat(list(square_crops(files, size=size, crops=crops, seed=seed)))


def photo_files(
    split: str = "train", source: str | os.PathLike[str] = "builtin", *, root: str | os.PathLike[str] | None = None
) -> list[Traversable]:
    """The files of a source's photos, in a fixed order; arguments as for `photos`."""
    check_choice(split, "split", ("train", "test", "all"))
    check_path(source, "source")
    files: list[Traversable] = []
    for part in ("train", "test") if split == "all" else (split,):
        if source == "builtin":
            chosen = [resources.files(package) / path for package, path in BUILTIN[part]]
            files += [file for file in chosen if file.is_file()]
        elif source == "imagenette":
            files += _imagenette_files(part, Path(root) if root is not None else data_folder())
        else:
            files += _folder_files(part, Path(source))
    if not files:
        raise DataError(f"no photos ({', '.join(SUFFIXES)}) were found for {split!r} in {str(source)!r}.")
    return files


def square_crops(files: list[Traversable], *, size: int = 256, crops: int = 1, seed: int = 0) -> Iterator[Tensor]:
    """Serve the squares of one photo after the other: uint8 (crops, 3, size, size) each, so that never all are in memory."""
    check_count(size, "size", example=256)
    check_count(crops, "crops", example=1)
    check_count(seed, "seed", 0, example=0)
    # Threads: Pillow decodes and resizes outside Python's lock.
    work = Parallel(n_jobs=os.cpu_count(), prefer="threads", return_as="generator")
    yield from work(delayed(_crops_of)(file, size, crops, seed, index) for index, file in enumerate(files))


def read_photo(file: str | os.PathLike[str] | Traversable | bytes) -> Image.Image:
    """Open a photo (a path, or the bytes of its file) as RGB, turned upright; raise `DataError` where it cannot be read."""
    path = Path(file) if isinstance(file, str | os.PathLike) else file
    name = "the image" if isinstance(path, bytes) else path.name
    try:
        with io.BytesIO(path) if isinstance(path, bytes) else path.open("rb") as stream, Image.open(stream) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # Pillow would cut 16-bit values off at 255
                upright = Image.fromarray((np.asarray(upright) / 257).round().astype(np.uint8))
            elif upright.mode in ("I", "F"):
                raise ValueError("its pixels are neither 8-bit nor 16-bit numbers")
            return upright.convert("RGB")
    except (OSError, ValueError, TypeError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = "its bytes are no image of a known format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{name} cannot be read as a photo ({reason}).") from error


def square(image: Image.Image, size: int = 256, *, share: float = 1.0, left: float = 0.5, top: float = 0.5) -> Tensor:
    """A square of a photo, resized.

    Args:
        image: an RGB photo, such as `read_photo` returns.
        size: side S of the result.
        share: side of the square, as a share of the photo's shorter side.
        left, top: where it lies, from 0 to 1; 0.5 is the centre.

    Returns:
        uint8 (1, 3, S, S).
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image such as read_photo returns, but is a {type(image).__name__}.")
    check_count(size, "size", example=256)
    check_number(share, "share", 0, 1, open_low=True, example=1.0)
    side = min(image.size) * share
    x = check_number(left, "left", 0, 1, example=0.5) * (image.width - side)
    y = check_number(top, "top", 0, 1, example=0.5) * (image.height - side)
    resized = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side))
    return torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1)[None]


def _crops_of(file: Traversable, size: int, crops: int, seed: int, index: int) -> Tensor:
    image = read_photo(file)
    generator = torch.Generator().manual_seed(stream_seed(seed, index))
    squares = [square(image, size)]
    for _ in range(crops - 1):
        share, left, top = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        squares.append(square(image, size, share=SMALLEST_CROP + (1 - SMALLEST_CROP) * share, left=left, top=top))
    return torch.cat(squares)


def _folder_files(split: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"source must be 'builtin', 'imagenette' or a folder, but there is no folder {str(folder)!r}.")
    named = [name for name in ("train", "test", "val") if (folder / name).is_dir()]
    if named:  # what the folder calls training photos is never tested on, even where nothing is left for the test
        wanted = ("train",) if split == "train" else ("test", "val")
        return next((_images_under(folder / name) for name in wanted if name in named), [])
    files = _images_under(folder)
    return [file for index, file in enumerate(files) if (index % 5 == 4) == (split == "test")]


def _images_under(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _imagenette_files(split: str, root: Path) -> list[Traversable]:
    from torchvision.datasets import Imagenette

    folder = root / "imagenette2-160"
    if not folder.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        try:
            Imagenette(str(root), size="160px", download=True)
        except Exception as error:
            raise DataError(
                f"Imagenette could not be downloaded ({type(error).__name__}: {error}); work offline with "
                "photos(source='builtin'), or with a folder of your own photos."
            ) from error
    return list(_images_under(folder / ("train" if split == "train" else "val")))
