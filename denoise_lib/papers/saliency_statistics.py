"""Claims about what a denoiser looks at, as numbers: a mean over the pixels of a kind, image by image.

The second paper shows two saliency maps of one photo, and reads claims off them. A difference counts where it is large beside
its standard error *and* large enough to matter; it says something about denoising only where a network that cannot denoise
does not show it too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ..internal.checks import (
    LARGEST,
    check_choice,
    check_count,
    check_images,
    check_keys,
    check_list,
    check_model,
    check_number,
    check_output,
    check_pair,
    check_real,
    check_same_shape,
    check_tensor,
)
from ..internal.devices import evaluating
from ..kernels import MARGIN, center_contrast, edges, elongation, filters, matched_gaussian, windows
from ..saliency import output_sum, smoothgrad, squared_error

THRESHOLD = 0.2
"""A pixel with a channel that is further than this from its clean value counts as noisy."""
GROUPS = ("noisy", "neighbours", "elsewhere")
BINS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3)
"""Lower ends of the bins of |noisy - clean|."""
SHIFTS = tuple(round(-0.5 + 0.05 * step, 2) for step in range(21))
Summary = dict[str, float]


def summary(values: Tensor) -> Summary:
    """Mean, standard error and number of the values that are not NaN: (N,) -> {"mean", "error", "count"}."""
    check_tensor(values, "values")
    if values.is_complex():
        raise TypeError(f"values must be real numbers, but are {values.dtype}.")
    kept = values[~values.isnan()].double()
    if len(kept) < 2:
        raise ValueError(f"a standard error needs at least two values, but there are {len(kept)}; take more images.")
    if kept.isinf().any():
        raise ValueError("values must be finite or NaN, but one is infinite; look for a division by zero.")
    if kept.abs().max() > LARGEST:
        raise ValueError(f"values must be at most {LARGEST:g}, but one is {kept.abs().max():g}; look for a division by zero.")
    return {"mean": float(kept.mean()), "error": float(kept.std() / len(kept) ** 0.5), "count": len(kept)}


def format_summary(value: Summary, digits: int = 3) -> str:
    """'0.115 ± 0.007': mean and standard error."""
    check_keys(value, "value", ("mean", "error"))
    check_count(digits, "digits", 0, 20, example=3)
    mean, error = (check_real(value[name], name) for name in ("mean", "error"))
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def pixel_groups(noisy: Tensor, clean: Tensor, threshold: float = THRESHOLD) -> dict[str, Tensor]:
    """Sort the pixels of noisy images: noisy ones, their neighbours (of the 8 around one), and the rest.

    Args:
        noisy, clean: float (N, C, H, W).
        threshold: a pixel is noisy where any channel is further than this from its clean value.

    Returns:
        Masks (N, 1, H, W) by the names in `GROUPS`.
    """
    check_pair(noisy, clean)
    check_number(threshold, "threshold", 0, example=THRESHOLD)
    far = ((noisy - clean).abs() > threshold).any(1, keepdim=True)
    near = (max_pool2d(far.float(), 3, stride=1, padding=1) > 0) & ~far
    return {"noisy": far, "neighbours": near, "elsewhere": ~far & ~near}


def group_mean(maps: Tensor, mask: Tensor) -> Tensor:
    """Mean of each image's map over a mask, NaN where the mask is empty: (N, 1, H, W) twice -> (N,)."""
    check_images(maps, "maps", value_range=None, min_dim=1)
    check_same_shape(maps, mask, "maps", "mask")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, but its dtype is {mask.dtype}; for example image > 0.5.")
    inside = mask.to(maps).flatten(1)
    return (maps.flatten(1) * inside).sum(1) / inside.sum(1)


def compare_groups(maps: Tensor, groups: dict[str, Tensor]) -> dict[str, Any]:
    """A map's mean in each group, and the difference of noisy pixels and the rest, image by image.

    Args:
        maps: (N, 1, H, W).
        groups: as `pixel_groups` returns them.

    Returns:
        A `summary` for each group and for "difference", and "share_higher": of the images in which noisy pixels have more (a
        tie does not count).
    """
    if not isinstance(groups, dict) or set(groups) != set(GROUPS):
        raise ValueError(f"groups must hold a mask for each of {', '.join(GROUPS)}; take pixel_groups(noisy, clean).")
    means = {name: group_mean(maps, mask) for name, mask in groups.items()}
    difference = means["noisy"] - means["elsewhere"]
    known = difference[~difference.isnan()]
    return {
        **{name: summary(values) for name, values in means.items()},
        "difference": summary(difference),
        "share_higher": float((known > 0).double().mean()),
    }


def loss_map(
    model: nn.Module, noisy: Tensor, clean: Tensor, noise_level: float = 0.0, n_samples: int = 50, seed: int = 0
) -> Tensor:
    """Size of dL/dX at each pixel, mean over the channels of |SmoothGrad|: (N, 1, H, W). L is the sum of squared errors."""
    check_pair(noisy, clean)
    return _smoothed(model, squared_error(model), noisy, clean, noise_level, n_samples, seed).abs().mean(1, keepdim=True)


def output_map(model: nn.Module, noisy: Tensor, noise_level: float = 0.0, n_samples: int = 50, seed: int = 0) -> Tensor:
    """d (sum of outputs) / dX at each pixel, signed, mean over the channels: (N, 1, H, W)."""
    check_images(noisy, "noisy", value_range=None, dims=4)
    return _smoothed(model, output_sum(model), noisy, None, noise_level, n_samples, seed).mean(1, keepdim=True)


def binned_by_error(influence: Tensor, noisy: Tensor, clean: Tensor) -> dict[str, Any]:
    """Self-influence against how far a pixel is from its clean value.

    Args:
        influence: as `self_sensitivity` returns it: (N, C, H, W), or (N, 1, H, W) for all channels jointly, whose deviation is
            that of their mean.
        noisy, clean: float (N, C, H, W).

    Returns:
        "bins": a `summary` for each of `BINS`; "difference": last less first bin, image by image; "share_lower": of the
        images in which the last bin has less. What a bin without pixels leaves unknown is NaN.
    """
    check_pair(noisy, clean)
    check_images(influence, "influence", value_range=None, dims=4)
    off = noisy - clean
    deviation = (off.mean(1, keepdim=True) if influence.shape[1] == 1 else off).abs()
    check_same_shape(influence, deviation, "influence", "noisy - clean")
    bounds = (*BINS, float("inf"))
    means = [group_mean(influence, (deviation >= low) & (deviation < high)) for low, high in pairwise(bounds)]
    difference = means[-1] - means[0]
    known = difference[~difference.isnan()]
    return {
        "bins": [{"from": low, **_summary_or_nan(values)} for low, values in zip(BINS, means, strict=True)],
        "difference": _summary_or_nan(difference),
        "share_lower": float((known < 0).double().mean()),
    }


def set_pixel(
    model: nn.Module,
    noisy: Tensor,
    clean: Tensor,
    shifts: Sequence[float] = SHIFTS,
    *,
    colors: str = "joint",
    seed: int = 0,
) -> Tensor:
    """Self-influence of one pixel of each image after it was *set* to its clean value plus a shift; nothing else changes.

    Pixels that deviate lie at edges, and a filter at an edge is another one anyway. Setting the value separates the two. No
    pixel of a photo lies outside of [0, 1], so a shift that would lead there gives NaN; large shifts are therefore seen at
    other pixels than small ones.

    Args:
        model: a denoiser.
        noisy, clean: float (N, C, H, W).
        shifts: what is added to the clean value, each in [-1, 1].
        colors: "joint" moves all channels, "per_channel" one of them, drawn for each image.
        seed: of the pixels.

    Returns:
        (N, len(shifts)), NaN where a moved value would leave [0, 1].
    """
    check_pair(noisy, clean)
    for shift in check_list(shifts, "shifts", [-0.1, 0.0, 0.1]):
        check_number(shift, "each of shifts", -1, 1)
    check_choice(colors, "colors", ("per_channel", "joint"))
    count, channels, height, width = noisy.shape
    generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    rows, columns, channel = (torch.randint(high, (count,), generator=generator) for high in (height, width, channels))
    mask = torch.zeros_like(noisy)
    images = torch.arange(count)
    mask[images, :, rows, columns] = 1.0
    if colors == "per_channel":
        mask[images, :, rows, columns] = torch.eye(channels)[channel].to(noisy)
    moved = mask.sum((1, 2, 3))

    def watched(inputs: Tensor, masks: Tensor) -> Tensor:
        output = check_output(check_model(model, inputs)(inputs), masks)
        return (output * masks).flatten(1).sum(1)

    results = []
    with evaluating(model):
        for shift in shifts:
            x = torch.where(mask > 0, clean + shift, noisy)
            gradient = smoothgrad(watched, x, context=mask, n_samples=1, noise_level=0.0)
            outside = ((x < 0) | (x > 1)) & (mask > 0)
            influence = (gradient * mask).sum((1, 2, 3)) / moved
            results.append(influence.masked_fill(outside.flatten(1).any(1), math.nan))
    return torch.stack(results, dim=1)


def randomize_layers(model: nn.Module, layers: int, seed: int = 0) -> nn.Module:
    """A copy of a network whose last `layers` layers are drawn anew (the cascade of Adebayo et al., 2018).

    Layers count in the order in which the network defines them, which need not be that in which they run.
    """
    shuffled = copy.deepcopy(check_model(model))
    drawn = [layer for layer in shuffled.modules() if hasattr(layer, "reset_parameters")]
    if check_count(layers, "layers", 0, example=1) > len(drawn):
        raise ValueError(f"layers must be at most {len(drawn)}, the layers of this network, but is {layers}.")
    with torch.random.fork_rng():
        torch.manual_seed(check_count(seed, "seed", 0, example=0))
        for layer in drawn[len(drawn) - layers :]:
            layer.reset_parameters()  # type: ignore[operator]
    return shuffled.eval()


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation of two maps of each image: (N, ...) twice -> (N,).

    1 where all pixels have one order, NaN where a map is constant.
    """
    check_same_shape(a, b, "a", "b")
    if a.dim() < 2:
        raise ValueError(f"a and b must have the shape (N, ...), a map for each image, but have {tuple(a.shape)}.")
    for name, maps in (("a", a), ("b", b)):
        check_images(maps, name, value_range=None)
    ranks = [torch.from_numpy(rankdata(maps.detach().flatten(1).cpu().numpy(), axis=1)) for maps in (a, b)]
    first, second = (rank - rank.mean(1, keepdim=True) for rank in ranks)
    scale = (first.square().sum(1) * second.square().sum(1)).sqrt()
    result: Tensor = (first * second).sum(1) / scale
    return result


def _summary_or_nan(values: Tensor) -> Summary:
    """`summary`, or NaN for what too few values leave unknown."""
    kept = values[~values.isnan()]
    return summary(values) if len(kept) > 1 else {"mean": float(kept.mean()), "error": math.nan, "count": len(kept)}


def _smoothed(
    model: nn.Module, score: Callable[..., Tensor], noisy: Tensor, clean: Tensor | None, noise_level: float, n_samples: int,
    seed: int,
) -> Tensor:  # fmt: skip
    generator = torch.Generator(noisy.device).manual_seed(check_count(seed, "seed", 0, example=0))
    count = n_samples if check_number(noise_level, "noise_level", 0, example=0.15) else 1  # without noise all samples are alike
    with evaluating(model):
        return smoothgrad(score, noisy, context=clean, noise_level=noise_level, n_samples=count, generator=generator)


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


def _shape_facts(kernels: Tensor, patches: Tensor, slopes: Tensor) -> dict[str, Tensor]:
    """What the shape of each kernel tells; (P,) each, empty where P is 0."""
    if not len(kernels):
        return dict.fromkeys(("unlikeness", "gaussian", "elongation"), torch.empty(0))
    return {
        "unlikeness": center_contrast(kernels, patches),
        "gaussian": center_contrast(matched_gaussian(kernels), patches),
        "elongation": elongation(kernels, slopes),
    }


def _borrowed(kernels: Tensor, patches: Tensor) -> Tensor:
    """Mean unlikeness where the kernels of one image are laid on the patches of another; NaN where there are none."""
    count = min(len(kernels), len(patches))
    return center_contrast(kernels[:count], patches[:count]).mean() if count else torch.tensor(torch.nan, dtype=torch.float64)


def _places(steepness: Tensor, kind: str, count: int, share: float, generator: torch.Generator) -> list[tuple[int, int]]:
    """Some pixels of an image (H, W), far enough from the border, among its steepest or its flattest."""
    inner = torch.zeros_like(steepness, dtype=torch.bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    bound = steepness[inner].quantile(1 - share if kind == "edge" else share)
    chosen = inner & (steepness >= bound if kind == "edge" else steepness <= bound)
    places = chosen.nonzero()
    drawn = places[torch.randperm(len(places), generator=generator)[:count]].tolist()
    return [(row, column) for row, column in drawn]
