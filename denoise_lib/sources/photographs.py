"""Colour photos as square tensors: those inside scikit-image and scikit-learn, Imagenette, or any folder.

The second paper's images are 32x32, but its noise lives in larger photos (`noise.PointSample`): so photos are read at
256x256 and reduced by that noise model, and not here.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..internal.checks import check_choice, check_count, check_number, check_path, check_tensor, describe
from ..internal.folders import data_folder
from ..internal.seeding import derive_seed
from .download import DataError, check_file, download_file, unpack_archive

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
# As torchvision has them: 13,394 photos whose shorter side has 160 pixels.
IMAGENETTE_ADDRESS = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz"
IMAGENETTE_CHECKSUM = "md5:e793b78cc4c9e9a4ccc0c1155377a412"
IMAGENETTE_SIZE = 99_003_388
MAX_PIXELS = 80_000_000
"""What `read_photo` opens at most. A file of a few kilobytes can claim billions; from 89 million on Pillow warns by itself."""
# Not every format that Pillow knows: some, such as EPS, are programs that it would run.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# Raw files often hold a TIFF: Pillow would show their thumbnail as if it were the photo.
UNREAD_SUFFIXES = (
    ".svg", ".heic", ".heif", ".avif", ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef",
    ".srw",
)  # fmt: skip
_OPENING = Lock()


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
        source: "builtin" (seven photos, offline), "imagenette" (9,469 and 3,925 photos of 160 px; 99 MB are downloaded
            once) or a folder. A folder is searched for `train` and `test` (or `val`) inside it; where it has none, each
            fifth of its photos, in the order of their names, is for the test.
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
            chosen = [_folder_of(package) / path for package, path in BUILTIN[part]]
            files += [file for file in chosen if file.is_file()]
        elif source == "imagenette":
            files += _imagenette_files(part, Path(root) if root is not None else data_folder())
        else:
            files += _folder_files(part, Path(source))
    if not files:
        raise DataError(f"no photos ({', '.join(SUFFIXES)}) were found for {split!r} in {str(source)!r}.")
    return files


def _folder_of(package: str) -> Path:
    """Where a package lies; it is not imported, which for scikit-learn takes two seconds."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"the built-in photos come with {package}, which is not installed; install it, or name another source.")
    return Path(spec.origin).parent


def square_crops(files: list[Traversable], *, size: int = 256, crops: int = 1, seed: int = 0) -> Iterator[Tensor]:
    """Serve the squares of one photo after the other: uint8 (crops, 3, size, size) each, so that never all are in memory."""
    check_count(size, "size", example=256)
    check_count(crops, "crops", example=1)
    check_count(seed, "seed", 0, example=0)
    # Threads: Pillow decodes and resizes outside Python's lock.
    work = Parallel(n_jobs=os.cpu_count(), prefer="threads", return_as="generator")
    yield from work(delayed(_crops_of)(file, size, crops, seed, index) for index, file in enumerate(files))


def read_photo(file: str | os.PathLike[str] | Traversable | bytes) -> Image.Image:
    """Read a photo as RGB, 8 bits a channel, turned upright as its EXIF data say.

    Transparent parts are shown on white, 16 bits are scaled to 8, and of an animation the first picture is taken. Colour
    profiles are ignored.

    Args:
        file: a JPEG, PNG, WebP, BMP, GIF or TIFF file: its path, or its bytes.

    Raises:
        TypeError: neither a path nor bytes.
        DataError: the file is missing, damaged, cut off, of another format, or larger than `MAX_PIXELS`.
    """
    if not isinstance(file, str | os.PathLike | bytes | Traversable):
        raise TypeError(f"file must be a path such as 'photo.jpg', or the bytes of such a file, but is {describe(file)}.")
    path = Path(check_path(file, "file")) if isinstance(file, str | os.PathLike) else file
    name = "the image" if isinstance(path, bytes) else " ".join(path.name.split()) or str(path)
    suffix = Path(name).suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        raise DataError(f"{name} cannot be read as a photo ({suffix[1:].upper()} is not read here); save it as JPEG or PNG.")
    try:
        with io.BytesIO(path) if isinstance(path, bytes) else path.open("rb") as stream, _open(stream) as image:
            return _as_rgb(image)
    except Exception as error:  # a decoder that is fed with garbage raises errors of many kinds
        raise DataError(f"{name} cannot be read as a photo ({_reason(error)}).") from error


def _open(stream: IO[bytes]) -> Image.Image:
    """Read an image's header, and refuse it where it claims too many pixels, before any of them is decoded."""
    too_many = DataError(f"it has more than {MAX_PIXELS // 10**6} million pixels; save a smaller copy")
    try:
        # Python keeps its list of warnings for all threads together: one at a time.
        with _OPENING, warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError:
        raise too_many from None
    if image.width * image.height > MAX_PIXELS:
        raise too_many
    return image


def _as_rgb(image: Image.Image) -> Image.Image:
    bits_16 = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")  # "I" in older Pillows
    upright = ImageOps.exif_transpose(image)
    if bits_16:  # Pillow would cut the values off at 255
        return Image.fromarray((np.asarray(upright) / np.float32(257)).round().astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        raise DataError("its pixels are neither 8-bit nor 16-bit numbers")
    if upright.has_transparency_data:  # to drop the alpha channel alone would show colours that nobody ever saw
        rgba = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return upright.convert("RGB")


def _reason(error: Exception) -> str:
    """Why a photo cannot be read, on one line and without a full stop."""
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it is no JPEG, PNG, WebP, BMP, GIF or TIFF; save it as JPEG or PNG"
    if isinstance(error, OSError) and error.strerror:  # of the file system
        return error.strerror
    return "it is damaged or cut off: " + " ".join((str(error) or type(error).__name__).split()).rstrip(".")


def photo_tensor(photo: Image.Image) -> Tensor:
    """A photo's pixels: an RGB or gray PIL image -> uint8 (1, 3, H, W) or (1, 1, H, W)."""
    if not isinstance(photo, Image.Image) or photo.mode not in ("RGB", "L"):
        problem = f"has the mode {photo.mode}" if isinstance(photo, Image.Image) else f"is {describe(photo)}"
        raise TypeError(f"photo must be an RGB or gray PIL image such as read_photo returns, but {problem}.")
    pixels = torch.from_numpy(np.array(photo))  # a copy, which may be written to
    return pixels.view(1, 1, *pixels.shape) if pixels.dim() == 2 else pixels.permute(2, 0, 1)[None].contiguous()


def patches(images: Tensor, side: int = 64) -> Tensor:
    """Cut images into squares, row by row and image by image; what is left over at the right and the bottom is dropped.

    Args:
        images: any dtype, (N, C, H, W), at least `side` pixels high and wide.
        side: of a square, in pixels.

    Returns:
        (N * (H // side) * (W // side), C, side, side), of the images' dtype.

    Example:
        >>> patches(torch.rand(2, 3, 256, 256), side=64).shape
        torch.Size([32, 3, 64, 64])
    """
    check_tensor(images, "images")
    check_count(side, "side", example=64)
    if images.dim() != 4 or min(images.shape[-2:]) < side:
        raise ValueError(f"images must be (N, C, H, W) and hold squares of side {side}, but have {tuple(images.shape)}.")
    count, channels, height, width = images.shape
    rows, columns = height // side, width // side
    whole = images[..., : rows * side, : columns * side].reshape(count, channels, rows, side, columns, side)
    return whole.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)  # (N, rows, columns, C, side, side)


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
    return photo_tensor(resized)


def _crops_of(file: Traversable, size: int, crops: int, seed: int, index: int) -> Tensor:
    image = read_photo(file)
    generator = torch.Generator().manual_seed(derive_seed(seed, index))
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
    folder = root / "imagenette2-160"
    if not folder.is_dir():
        archive = root / f"{folder.name}.tgz"
        if archive.exists():
            check_file(archive, IMAGENETTE_CHECKSUM)
        else:
            advice = "work offline with photos(source='builtin'), or with a folder of your own photos"
            download_file([IMAGENETTE_ADDRESS], archive, IMAGENETTE_CHECKSUM, IMAGENETTE_SIZE, advice=advice, deadline=3600)
        unpack_archive(archive, folder, members=20_000, size=300_000_000)
    return list(_images_under(folder / ("train" if split == "train" else "val")))
