"""A photo of any size through a network that was made for small ones: in tiles, with a margin around each."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..internal.checks import check_count, check_flag, check_images, check_model
from ..metrics import predict
from ..tnet import BaseNet, Noise2NoiseUNet, TinyDenoiser, TNet
from ..unet import Autoencoder, UNet

TILE = 512


class Geometry(NamedTuple):
    """What a fully convolutional network asks of an image's size, in pixels."""

    multiple: int
    """Height and width must divide by it."""
    reach: int
    """How far from the edge of a tile, which lies at a multiple, its surroundings change the output."""


GEOMETRY: dict[type[nn.Module], Geometry] = {
    UNet: Geometry(4, 11), Autoencoder: Geometry(4, 11), TNet: Geometry(32, 44), Noise2NoiseUNet: Geometry(32, 127),
    TinyDenoiser: Geometry(2, 21),
}  # fmt: skip
OTHER_GEOMETRY = Geometry(32, 64)


def denoise_image(
    model: nn.Module, image: Tensor, *, tile: int = TILE, overlap: int | None = None, progress: bool = False
) -> Tensor:
    """Denoise images of any size: mirrored at the right and the bottom to the size that the network needs, and cut back.

    A large image goes through the network in tiles, so that the memory needed does not grow with it. Each tile is seen with
    `overlap` pixels of what surrounds it, which are cut off again. With the default overlap the tiles are no approximation:
    no pixel looks further, and each tile begins where a block of the network's pooling does (TNet pools by 32).

    Args:
        model: a network of this library but BaseNet, or a fully convolutional one of your own whose input divides by 32.
        image: float, (N, C, H, W), from 1x1 pixel on, with the network's number of channels; values may leave [0, 1].
        tile: side of the tiles.
        overlap: pixels around each tile that are seen with it; by default as far as the network looks, for a network of
            your own 64. With less, seams may show.
        progress: show a bar of the tiles done, on a terminal.

    Returns:
        float32 (N, C, H, W), clipped to [0, 1].

    Raises:
        ValueError: NaN, another number of channels, or a tile or an overlap that the network's pooling does not divide.

    Example:
        >>> denoise_image(TinyDenoiser(), torch.rand(1, 3, 481, 321)).shape
        torch.Size([1, 3, 481, 321])
    """
    check_model(model)
    check_images(image, value_range=None, dims=4)
    check_flag(progress, "progress")
    if isinstance(model, BaseNet):
        raise ValueError("model BaseNet takes images of 32x32 pixels alone; use another one, such as TinyDenoiser().")
    multiple, reach = GEOMETRY.get(type(model), OTHER_GEOMETRY)
    overlap = -(-reach // multiple) * multiple if overlap is None else overlap
    for name, value, least in (("tile", tile, multiple), ("overlap", overlap, 0)):
        if check_count(value, name, least, example=64) % multiple:
            raise ValueError(f"{name} must divide by {multiple} for {type(model).__name__}, but is {value}; for example 64.")
    height, width = image.shape[-2:]
    rows, columns = _mirrored(height, multiple), _mirrored(width, multiple)
    result = torch.empty(image.shape, device=image.device)
    corners = list(product(range(0, height, tile), range(0, width, tile)))
    for top, left in tqdm(corners, unit="tile", leave=False, disable=None if progress else True):
        first_row, first_column = max(0, top - overlap), max(0, left - overlap)
        seen_rows, seen_columns = rows[first_row : top + tile + overlap], columns[first_column : left + tile + overlap]
        seen = image.detach()[..., seen_rows[:, None], seen_columns].float()
        output = predict(model, seen, batch_size=1)[..., top - first_row :, left - first_column :]
        kept = result[..., top : top + tile, left : left + tile]
        kept.copy_(output[..., : kept.shape[-2], : kept.shape[-1]])
    return result.clamp_(0, 1)


def _mirrored(length: int, multiple: int) -> Tensor:
    """Places along an axis that is prolonged to a multiple by its mirror image: 0 1 2 for 3 and 4 gives 0 1 2 1."""
    period = max(1, 2 * (length - 1))  # 1: a single pixel is repeated
    place = torch.arange(-(-length // multiple) * multiple) % period
    return torch.minimum(place, period - place)
