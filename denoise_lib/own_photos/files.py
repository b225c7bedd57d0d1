"""Denoise photos of any size: padded to what a network needs, cut into tiles where they are large, shown before and after."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..display.figures import panel, png, tile
from ..internal.checks import check_count, check_flag, check_images, check_instance, check_model, check_path, describe
from ..metrics import psnr
from ..noise import add_noise
from ..sources.download import DataError
from ..sources.photographs import SUFFIXES, photo_tensor, read_photo
from .tiling import TILE, denoise_image

PICTURE_SIDE = 1200
"""Most pixels of a photo, in height and width, in a before/after picture."""


class Denoised(NamedTuple):
    """A photo before and after: float32 (1, C, H, W) in [0, 1] each."""

    photo: Tensor
    noisy: Tensor | None
    """The photo with noise, where noise was added."""
    denoised: Tensor

    def scores(self) -> tuple[float, float] | None:
        """PSNR in dB of the noisy and of the denoised photo, over all pixels of the photo; None where no noise was added."""
        return None if self.noisy is None else (psnr(self.noisy, self.photo), psnr(self.denoised, self.photo))


def denoise_photo(model: nn.Module, photo: Tensor, *, mu: float | None = None, seed: int = 0) -> Denoised:
    """Add noise to a photo and remove it again; or denoise the photo as it is.

    Args:
        model: see `denoise_image`.
        photo: float (1, C, H, W) in [0, 1].
        mu: level of the noise, Y = (1 - mu) I + mu N clipped to [0, 1]; None adds none.
        seed: of the noise.
    """
    check_images(photo, "photo", dims=4)
    check_count(seed, "seed", 0, example=0)
    noisy = None if mu is None else add_noise(photo, mu, generator=torch.Generator(photo.device).manual_seed(seed))
    large = _is_large(*photo.shape[-2:])
    return Denoised(photo, noisy, denoise_image(model, photo if noisy is None else noisy, progress=large))


def before_after(result: Denoised) -> np.ndarray:
    """The photo, with noise where there was any, and denoised, beside each other: uint8 (height, width, 3).

    Of a photo larger than `PICTURE_SIDE` only the middle is shown: made smaller, it would show less noise than there is. A
    tiny one is enlarged.
    """
    check_instance(result, "result", Denoised, "denoise_photo(model, photo)")
    height, width = result.photo.shape[-2:]
    top, left = max(0, (height - PICTURE_SIDE) // 2), max(0, (width - PICTURE_SIDE) // 2)
    scale = max(1, 256 // max(height, width))
    middle = ", the middle" if top or left else ""
    scores = result.scores()
    if result.noisy is None or scores is None:
        images, titles = [result.photo, result.denoised], [f"before{middle}", "denoised"]
    else:
        images = [result.photo, result.noisy, result.denoised]
        titles = [f"photo{middle}", f"with noise: PSNR {scores[0]:.2f} dB", f"denoised: PSNR {scores[1]:.2f} dB"]
    cuts = [image[..., top : top + PICTURE_SIDE, left : left + PICTURE_SIDE] for image in images]
    return panel([tile(cut, scale=scale) for cut in cuts], titles)


def denoise_file(
    model: nn.Module,
    file: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    mu: float | None = None,
    seed: int = 0,
    force: bool = False,
    keep: Sequence[str | os.PathLike[str]] = (),
) -> tuple[Path, Path]:
    """Read a photo, denoise it, print what was done, and write the denoised photo and its before/after picture, both PNG.

    Args:
        model: see `denoise_image`; one of gray images turns the photo gray.
        file: the photo. The two stand beside it, as NAME-denoised.png and NAME-before-after.png, unless told otherwise.
        output: a folder for them; or the name of the denoised photo, which ends in .png, and the picture stands beside that.
        mu, seed: as for `denoise_photo`.
        force: write over older files; never over the photo itself.
        keep: further files that are never written over, such as other photos.

    Returns:
        The two files.

    Raises:
        DataError: the photo cannot be read, or the files cannot be written: both are there, or neither.
        FileExistsError: one of them is already there.
        ValueError: one of them would be the photo, or a file in `keep`.
    """
    path = Path(check_path(file, "file"))
    targets = _output_files(path, None if output is None else Path(check_path(output, "output")))
    if not isinstance(keep, list | tuple):
        raise TypeError(f"keep must be a list of paths, but is {describe(keep)}; for example ['photo.jpg'].")
    kept = [path, *(Path(check_path(one, "keep")) for one in keep)]
    _check_targets(targets, kept, force=check_flag(force, "force"))
    photo = read_photo(path)
    if _reads_gray(check_model(model)):
        photo = photo.convert("L")
        print(f"{path.name}: {type(model).__name__} takes gray images, so the photo is turned gray")
    if _is_large(photo.height, photo.width):
        count = -(-photo.height // TILE) * -(-photo.width // TILE)
        print(f"{path.name}: {photo.width} x {photo.height} pixels, in {count} tiles of {TILE} x {TILE}", flush=True)
    result = denoise_photo(model, photo_tensor(photo).float() / 255, mu=mu, seed=seed)
    contents = (png(tile(result.denoised)), png(before_after(result)))
    _write_files(dict(zip(targets, contents, strict=True)))
    scores = result.scores()
    if scores is not None:
        print(f"{path.name}: mu {mu:g}, PSNR {scores[0]:.2f} dB noisy and {scores[1]:.2f} dB denoised, of the whole photo")
    print(f"{path.name}: {targets[0]} and {targets[1].name}", flush=True)
    return targets


def _reads_gray(model: nn.Module) -> bool:
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    return first is not None and first.in_channels == 1


def _is_large(height: int, width: int) -> bool:
    """Whether a photo of this size takes so long that one wants to know: more than four megapixels."""
    return height * width > 4_000_000


def _output_files(photo: Path, output: Path | None) -> tuple[Path, Path]:
    """Where the denoised photo and its before/after picture go."""
    if output is None or output.is_dir() or output.suffix.lower() not in (".gif", *SUFFIXES):
        folder = photo.parent if output is None else output
        return folder / f"{photo.stem}-denoised.png", folder / f"{photo.stem}-before-after.png"
    if output.suffix.lower() != ".png":
        raise ValueError(f"output must be a folder or end in .png, but is {str(output)!r}; for example 'denoised.png'.")
    return output, output.with_name(f"{output.stem}-before-after.png")


def _check_targets(targets: Sequence[Path], keep: Sequence[Path], *, force: bool) -> None:
    """Raise one clear sentence where files may not be written: before the work, not after it."""
    for target in targets:
        if any(_same_file(target, file) for file in keep):
            raise ValueError(f"{target} is one of the photos, or already the result of one; choose another output.")
        if target.exists() and not force:
            raise FileExistsError(f"{target} is already there; choose another output, or add --force to write over it.")
        folder = next(parent for parent in target.parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise DataError(f"{target} cannot be written: {folder} is no folder that may be written to; choose another output.")


def _same_file(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _write_files(contents: dict[Path, bytes]) -> None:
    """Write files, each whole or not at all; none gets its name before all are on the disk."""
    scratch = {path: path.with_name(path.name + ".part") for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch[path].write_bytes(content)
        for path in contents:
            os.replace(scratch[path], path)
    except OSError as error:
        names = " and ".join(path.name for path in contents)
        raise DataError(f"{names} cannot be written ({error.strerror}); choose another output.") from error
    finally:  # a failure or Ctrl-C leaves no half-written file
        for path in scratch.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)
