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

from .internal.checks import (
    check_choice,
    check_count,
    check_images,
    check_list,
    check_number,
    check_pair,
    check_same_shape,
    check_tensor,
)
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


def gaussian_like(kernels: Tensor) -> Tensor:
    """For each kernel the Gaussian of the same mean distance, which is blind to content; (P, K, K), sums of 1.

    A kernel that is wider than them all, such as a ring, gets the widest: sigma 8, almost flat in a window of 9 x 9.
    """
    rows, columns = _offsets(kernels)
    sigmas = torch.linspace(0.2, 8, 4000, dtype=torch.float64)
    table = torch.exp(-(rows.square() + columns.square()) / (2 * sigmas.view(-1, 1, 1).square()))
    nearest = (mean_distance(table).view(1, -1) - mean_distance(kernels).view(-1, 1)).abs().argmin(1)
    chosen = table[nearest]
    return (chosen / chosen.sum((1, 2), keepdim=True)).to(kernels.device)


def unlikeness(kernels: Tensor, patches: Tensor) -> Tensor:
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


def kernel_facts(
    model: nn.Module,
    noisy: Tensor,
    clean: Tensor,
    kinds: Sequence[str] = ("edge", "flat"),
    *,
    pixels: int = 8,
    share: float = 0.2,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """The kernels that a denoiser applies at edges and in flat regions, beside a Gaussian of the same width.

    Args:
        model: a denoiser.
        noisy, clean: float (N, C, H, W); the clean images say where an edge is, and which way it runs.
        kinds: of "edge" and "flat".
        pixels: kernels of each kind in an image.
        share: of the image's pixels, the steepest of which count as edges and the flattest as flat.
        seed: of the pixels that are drawn.

    Returns:
        For each kind: "sum" of the weights over the whole image, "own" weight of the pixel, and in its window of 9 x 9
        "unlikeness", that of the "gaussian", that of the kernels of the "other" image before it in the batch (the network's own
        shape, without this image's content), and "elongation"; (N,) each. A kernel that is zero in its window, as in a black
        region, has no shape and does not count in the last four; they are NaN for an image that has no other kernels.
    """
    check_pair(noisy, clean)
    check_list(kinds, "kinds", ["edge", "flat"])
    check_count(pixels, "pixels", example=8)
    check_number(share, "share", 0, 1, example=0.2)
    if min(noisy.shape[-2:]) <= 2 * MARGIN:
        raise ValueError(
            f"noisy must have at least {2 * MARGIN + 1} pixels each way, the window of a kernel, "
            f"but has {noisy.shape[-2]} x {noisy.shape[-1]}."
        )
    steepness, angle = edges(clean)
    generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    facts: dict[str, dict[str, list[Tensor]]] = {check_choice(kind, "kinds", ("edge", "flat")): {} for kind in kinds}
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {kind: [] for kind in facts}
    for index in range(len(noisy)):
        for kind in facts:
            places = _places(steepness[index], kind, pixels, share, generator)
            rows = filters(model, noisy[index : index + 1], places).sum(1).cpu()
            kernels = windows(rows, places)
            patches = windows(clean[index].mean(0).cpu().expand(len(places), -1, -1), places)
            slopes = torch.stack([angle[index, row, column] for row, column in places])
            active = kernels.flatten(1).any(1)  # a network may give a black region no weight at all
            seen[kind].append((kernels[active], patches[active]))
            values = {
                "sum": rows.sum((1, 2)),
                "own": kernels[:, MARGIN, MARGIN],
                **_shape_facts(kernels[active], patches[active], slopes[active]),
            }
            for name, value in values.items():
                facts[kind].setdefault(name, []).append(value.double().nanmean())
    for kind, pairs in seen.items():
        facts[kind]["other"] = [_borrowed(pairs[index - 1][0], pairs[index][1]) for index in range(len(pairs))]
    return {kind: {name: torch.stack(values) for name, values in found.items()} for kind, found in facts.items()}


def kernel_windows(model: nn.Module, noisy: Tensor, place: tuple[int, int] = (16, 16)) -> Tensor:
    """The window of the kernel that a denoiser applies at one place of each image: (N, C, H, W) -> (N, 9, 9)."""
    check_images(noisy, "noisy", value_range=None, dims=4)
    rows = torch.cat([filters(model, image, [place]) for image in noisy.split(1)]).sum(1)
    return windows(rows, [place] * len(rows))


def _shape_facts(kernels: Tensor, patches: Tensor, slopes: Tensor) -> dict[str, Tensor]:
    """What the shape of each kernel tells; (P,) each, empty where P is 0."""
    if not len(kernels):
        return dict.fromkeys(("unlikeness", "gaussian", "elongation"), torch.empty(0))
    return {
        "unlikeness": unlikeness(kernels, patches),
        "gaussian": unlikeness(gaussian_like(kernels), patches),
        "elongation": elongation(kernels, slopes),
    }


def _borrowed(kernels: Tensor, patches: Tensor) -> Tensor:
    """Mean unlikeness where the kernels of one image are laid on the patches of another; NaN where there are none."""
    count = min(len(kernels), len(patches))
    return unlikeness(kernels[:count], patches[:count]).mean() if count else torch.tensor(torch.nan, dtype=torch.float64)


def _places(steepness: Tensor, kind: str, count: int, share: float, generator: torch.Generator) -> list[tuple[int, int]]:
    """Some pixels of an image (H, W), far enough from the border, among its steepest or its flattest."""
    inner = torch.zeros_like(steepness, dtype=torch.bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    bound = steepness[inner].quantile(1 - share if kind == "edge" else share)
    chosen = inner & (steepness >= bound if kind == "edge" else steepness <= bound)
    places = chosen.nonzero()
    drawn = places[torch.randperm(len(places), generator=generator)[:count]].tolist()
    return [(row, column) for row, column in drawn]


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
