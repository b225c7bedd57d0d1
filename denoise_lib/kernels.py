"""A denoiser as a filter that differs from pixel to pixel.

A classical filter has one kernel for all pixels. A network of rectified linear units is, close to one image, linear too:
f(x) = J x + b. Row p of the Jacobian J is then the kernel that it applies at pixel p, and unlike a Gaussian's it may change
with what is in the image (Milanfar, 2013, "A tour of modern image filtering", calls such filters data-adaptive).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.ndimage import sobel
from torch import Tensor, nn

from .internal.checks import check_count, check_images, check_list, check_number, check_same_shape, check_tensor
from .saliency import check_pixel, output_gradient

MARGIN = 4
"""Pixels on each side of a kernel's centre in its window."""


def filters(model: nn.Module, x: Tensor, pixels: Sequence[tuple[int, int]]) -> Tensor:
    """The filter that a denoiser applies at each of some pixels of one image: rows of its Jacobian.

    Args:
        model: a denoiser.
        x: one image, float (1, C, H, W).
        pixels: places (row, column) in the output.

    Returns:
        (len(pixels), C, H, W): the weight of each input number in the mean of the channels of that output pixel. Summed over
        C it is the weight of a gray level.
    """
    if len(check_images(x, "x", value_range=None, dims=4)) != 1:
        raise ValueError(f"filters takes one image, shape (1, C, H, W), but got {len(x)}; for example x[:1].")
    places = [check_pixel(pixel, x) for pixel in check_list(pixels, "pixels", [(16, 16)])]
    return torch.cat([output_gradient(model, x, place) for place in places]) / x.shape[1]


def effective_receptive_field(model: nn.Module, x: Tensor, pixel: tuple[int, int] | None = None) -> Tensor:
    """Where an output pixel looks on average: mean of |d f(pixel) / d x| over images and channels (Luo et al., 2016).

    The receptive field of the architecture says where it *could* look; this one is smaller, often much.

    Args:
        model: a denoiser.
        x: images, float (N, C, H, W); some dozens give a smooth map.
        pixel: (row, column); by default the middle.

    Returns:
        (H, W), non-negative.
    """
    check_images(x, "x", value_range=None, dims=4)
    place = (x.shape[-2] // 2, x.shape[-1] // 2) if pixel is None else check_pixel(pixel, x)
    return output_gradient(model, x, place).abs().mean((0, 1))


def radius(weights: Tensor, pixel: tuple[int, int], share: float = 0.9) -> float:
    """Radius in pixels of the smallest disc around a pixel that holds a share of the absolute weight.

    Args:
        weights: (H, W), a filter or an effective receptive field.
        pixel: its centre (row, column).
        share: in (0, 1].
    """
    check_images(weights, "weights", value_range=None, dims=2)
    row, column = check_pixel(pixel, weights)
    check_number(share, "share", 0, 1, open_low=True, example=0.9)
    rows, columns = torch.meshgrid(torch.arange(weights.shape[0]), torch.arange(weights.shape[1]), indexing="ij")
    distance = ((rows - row).square() + (columns - column).square()).double().sqrt().flatten()
    mass = weights.detach().abs().double().cpu().flatten()
    if not float(mass.sum()):
        raise ValueError("weights are all zero: no disc holds a share of nothing.")
    distance, order = distance.sort(stable=True)
    held = mass[order].cumsum(0) / mass.sum()
    return float(distance[int((held >= share - 1e-9).nonzero()[0])])


def edges(images: Tensor) -> tuple[Tensor, Tensor]:
    """Steepness and direction of the gray-level slope at each pixel (Sobel's filter).

    Args:
        images: clean, float (N, C, H, W).

    Returns:
        steepness (N, H, W), in gray levels a pixel; angle (N, H, W) of the slope in radians: 0 rises to the right, pi/2
        downwards. An edge runs at right angles to its slope.
    """
    gray = check_images(images, "images", value_range=None, dims=4).detach().mean(1).cpu().double().numpy()
    # Image by image: along every other axis the filter smooths, the axis of the images too.
    down, right = (torch.stack([torch.from_numpy(sobel(image, axis, mode="nearest")) for image in gray]) / 8 for axis in (0, 1))
    return torch.hypot(down, right), torch.atan2(down, right)


def windows(maps: Tensor, pixels: Sequence[tuple[int, int]], margin: int = MARGIN) -> Tensor:
    """Cut a square around one pixel out of each map.

    Args:
        maps: (P, H, W).
        pixels: a centre (row, column) for each map, at least `margin` from every border.
        margin: pixels on each side of the centre.

    Returns:
        (P, 2 * margin + 1, 2 * margin + 1).
    """
    check_images(maps, "maps", value_range=None, dims=3)
    check_list(pixels, "pixels", [(16, 16)])
    check_count(margin, "margin", example=MARGIN)
    if len(maps) != len(pixels):
        raise ValueError(f"windows needs one pixel a map, but got {len(maps)} maps and {len(pixels)} pixels.")
    cuts = []
    for values, pixel in zip(maps, pixels, strict=True):
        row, column = check_pixel(pixel, maps)
        cut = values[max(row - margin, 0) : row + margin + 1, max(column - margin, 0) : column + margin + 1]
        if cut.shape != (2 * margin + 1, 2 * margin + 1):
            raise ValueError(f"pixel {(row, column)} is less than {margin} pixels from a border.")
        cuts.append(cut)
    return torch.stack(cuts)


def mean_distance(kernels: Tensor) -> Tensor:
    """Mean distance of the absolute weight from the centre, in pixels: (P, K, K) -> (P,)."""
    rows, columns = _offsets(kernels)
    return _mean(kernels, torch.hypot(rows, columns))


def matched_gaussian(kernels: Tensor) -> Tensor:
    """For each kernel the Gaussian of the same mean distance, which is blind to content; (P, K, K), sums of 1.

    A kernel that is wider than them all, such as a ring, gets the widest: sigma 8, almost flat in a window of 9 x 9.
    """
    rows, columns = _offsets(kernels)
    sigmas = torch.linspace(0.2, 8, 4000, dtype=torch.float64)
    table = torch.exp(-(rows.square() + columns.square()) / (2 * sigmas.view(-1, 1, 1).square()))
    nearest = (mean_distance(table).view(1, -1) - mean_distance(kernels).view(-1, 1)).abs().argmin(1)
    chosen = table[nearest]
    return (chosen / chosen.sum((1, 2), keepdim=True)).to(kernels.device)


def center_contrast(kernels: Tensor, patches: Tensor) -> Tensor:
    """How unlike the centre the pixels are that a kernel looks at: mean of |c(q) - c(p)|, weighted with |w(q)|.

    Args:
        kernels: (P, K, K).
        patches: clean gray levels in the same windows, (P, K, K).

    Returns:
        (P,). A kernel that leans to its own side of an edge has less than a Gaussian of the same mean distance. So has any
        kernel with a sharper peak and longer tails: compare with the same network's kernels of another image, too.
    """
    _check_kernels(kernels)
    check_images(patches, "patches", value_range=None, dims=3)
    check_same_shape(kernels, patches, "kernels", "patches")
    middle = patches.shape[-1] // 2
    return _mean(kernels, (patches - patches[:, middle : middle + 1, middle : middle + 1]).abs())


def elongation(kernels: Tensor, angle: Tensor) -> Tensor:
    """How far a kernel reaches along an edge, against how far across it: root of the ratio of its second moments.

    Args:
        kernels: (P, K, K).
        angle: of the slope, (P,), as `edges` returns it.

    Returns:
        (P,): 1 for a round kernel such as a Gaussian, more for one that follows the edge, NaN for a single pixel.
    """
    rows, columns = _offsets(kernels)
    if check_tensor(angle, "angle").shape != kernels.shape[:1]:
        raise ValueError(f"angle must have the shape ({len(kernels)},), one number a kernel, but has {tuple(angle.shape)}.")
    direction = angle.cpu().double().view(-1, 1, 1)
    across = columns * direction.cos() + rows * direction.sin()
    along = rows * direction.cos() - columns * direction.sin()
    return (_mean(kernels, along.square()) / _mean(kernels, across.square())).sqrt()


def kernel_windows(model: nn.Module, noisy: Tensor, place: tuple[int, int] = (16, 16)) -> Tensor:
    """The window of the kernel that a denoiser applies at one place of each image: (N, C, H, W) -> (N, 9, 9)."""
    check_images(noisy, "noisy", value_range=None, dims=4)
    rows = torch.cat([filters(model, image, [place]) for image in noisy.split(1)]).sum(1)
    return windows(rows, [place] * len(rows))


def _offsets(kernels: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each place of a window, counted from its centre."""
    size = _check_kernels(kernels).shape[-1]
    steps = torch.arange(size, dtype=torch.float64) - size // 2
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return rows, columns


def _check_kernels(kernels: Tensor) -> Tensor:
    check_images(kernels, "kernels", value_range=None, min_dim=0)
    if kernels.dim() != 3 or kernels.shape[1] != kernels.shape[2] or kernels.shape[2] % 2 == 0:
        raise ValueError(f"kernels must be of shape (P, K, K) with an odd K, but are {tuple(kernels.shape)}; see windows().")
    return kernels


def _mean(kernels: Tensor, values: Tensor) -> Tensor:
    """Mean of the values in each window, weighted with the absolute weights."""
    weight = kernels.detach().abs().cpu().double()
    total = weight.sum((1, 2))
    if not total.all():
        raise ValueError(
            "each of kernels needs some weight, but one is all zero; leave it out: kernels[kernels.flatten(1).any(1)]."
        )
    return (weight * values.cpu().double()).sum((1, 2)) / total
