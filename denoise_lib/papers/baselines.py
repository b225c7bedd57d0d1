"""What the papers did not compare with: denoisers without a network, tuned as kindly as can be.

Each is fitted on training pairs and returns a function noisy -> denoised. For digits (`fit_baseline`), filters choose
their strength on those pairs and are followed by the best affine correction, which undoes the blend's dimming and its
raised background: so no baseline loses for a reason that is not its own. For colour photos (`tune_color_filter`), whose
noise is unbiased, the strength alone is chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from skimage.filters import gaussian, median
from skimage.restoration import denoise_nl_means, denoise_wavelet
from torch import Tensor

from ..internal.checks import check_choice, check_count, check_images, check_same_shape
from ..metrics import mse, psnr

Denoiser = Callable[[Tensor], Tensor]
Filter = Callable[[np.ndarray, float], np.ndarray]


def _median(stack: np.ndarray, size: float) -> np.ndarray:
    result: np.ndarray = median(stack, np.ones((1, int(size), int(size))))
    return result


def _gaussian(stack: np.ndarray, sigma: float) -> np.ndarray:
    result: np.ndarray = gaussian(stack, sigma=(0, sigma, sigma))
    return result


def _non_local_means(stack: np.ndarray, h: float) -> np.ndarray:
    return np.stack([denoise_nl_means(image, patch_size=5, patch_distance=6, h=h, fast_mode=True) for image in stack])


def _wavelet(stack: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([denoise_wavelet(image, sigma=sigma, method="BayesShrink", mode="soft") for image in stack])


# Name: (filter, the strengths to choose from).
FILTERS: dict[str, tuple[Filter, tuple[float, ...]]] = {
    "median filter": (_median, (1, 3, 5)),
    "Gaussian filter": (_gaussian, (0.3, 0.5, 0.7, 0.9, 1.1, 1.4)),
    "non-local means": (_non_local_means, (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)),
    "wavelet": (_wavelet, (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4)),
}
BASELINES = ("do nothing", "best affine", "best per-pixel rule", *FILTERS)


def fit_baseline(name: str, noisy: Tensor, clean: Tensor) -> tuple[Denoiser, dict[str, float]]:
    """Fit a baseline on training pairs.

    Args:
        name: one of `BASELINES`.
        noisy, clean: float32 (N, 1, H, W), the clean images in [0, 1].

    Returns:
        (denoiser, the parameters chosen): the denoiser maps (N, 1, H, W) to the same shape.
    """
    check_choice(name, "name", BASELINES)
    check_images(noisy, "noisy", value_range=None, channels=1)
    check_images(clean, "clean", channels=1)
    check_same_shape(noisy, clean, "noisy", "clean")
    if name == "do nothing":
        return torch.clone, {}
    if name == "best affine":
        slope, offset = best_affine(noisy, clean)
        return (lambda y: slope * y + offset), {"slope": slope, "offset": offset}
    if name == "best per-pixel rule":
        return best_pixel_rule(noisy, clean), {"bins": 256}
    return _tune_filter(name, noisy, clean)


def best_affine(noisy: Tensor, clean: Tensor) -> tuple[float, float]:
    """(a, b) with the least mean squared error of a * noisy + b: a = cov(noisy, clean) / var(noisy), b from the means."""
    check_images(noisy, "noisy", value_range=None)
    check_images(clean, "clean", value_range=None)
    check_same_shape(noisy, clean, "noisy", "clean")
    x, y = noisy.double().flatten(), clean.double().flatten()
    variance = x.var(correction=0)
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / variance) if variance > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def best_pixel_rule(noisy: Tensor, clean: Tensor, bins: int = 256) -> Denoiser:
    """The conditional mean E[clean | noisy value], as a table: no rule that looks at one pixel alone can do better."""

    check_images(clean, "clean", value_range=None)
    check_same_shape(noisy, clean, "noisy", "clean")
    check_count(bins, "bins", 2, 2**16, example=256)

    def bin_of(y: Tensor) -> Tensor:
        return (check_images(y, "noisy", value_range=None).clamp(0, 1) * (bins - 1)).round().long()

    index = bin_of(noisy).flatten()
    count = torch.bincount(index, minlength=bins)
    total = torch.bincount(index, weights=clean.double().flatten(), minlength=bins)
    values = torch.linspace(0, 1, bins, dtype=torch.float64)
    table = torch.where(count > 0, total / count.clamp_min(1), values).float()
    return lambda y: table[bin_of(y)]


def _tune_filter(name: str, noisy: Tensor, clean: Tensor) -> tuple[Denoiser, dict[str, float]]:
    function, strengths = FILTERS[name]

    def filtered(y: Tensor, strength: float) -> Tensor:
        stack = check_images(y, "noisy", value_range=None, channels=1).detach().squeeze(1).double().numpy()
        return torch.from_numpy(function(stack, strength)).float().unsqueeze(1)

    best: tuple[float, float, float, float] | None = None
    for strength in strengths:
        candidate = filtered(noisy, strength)
        slope, offset = best_affine(candidate, clean)
        error = mse(slope * candidate + offset, clean)
        if best is None or error < best[0]:
            best = (error, strength, slope, offset)
    assert best is not None
    _, strength, slope, offset = best
    return (lambda y: slope * filtered(y, strength) + offset), {"strength": strength, "slope": slope, "offset": offset}


def _each(denoise: Filter) -> Filter:
    """A filter of one colour image (H, W, 3), applied to a stack of them."""
    return lambda stack, strength: np.stack([denoise(image, strength) for image in stack])


def _bilateral(stack: np.ndarray, sigma: float, sigma_space: float = 0.7, radius: int = 2) -> np.ndarray:
    """Mean of the neighbours, weighted by their distance in the picture and in colour (Tomasi and Manduchi, 1998).

    Our own: that of scikit-image 0.26 returns a picture that is shifted by two pixels.
    """
    padded = np.pad(stack, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="reflect")
    height, width = stack.shape[1:3]
    total, weights = np.zeros_like(stack), np.zeros((*stack.shape[:3], 1))
    for down in range(2 * radius + 1):
        for right in range(2 * radius + 1):
            neighbour = padded[:, down : down + height, right : right + width]
            colour = ((neighbour - stack) ** 2).sum(axis=-1, keepdims=True) / (2 * sigma**2)
            place = ((down - radius) ** 2 + (right - radius) ** 2) / (2 * sigma_space**2)
            weight = np.exp(-colour - place)
            total += weight * neighbour
            weights += weight
    result: np.ndarray = total / weights
    return result


def _bm3d(image: np.ndarray, sigma: float) -> np.ndarray:
    from bm3d import bm3d, bm3d_rgb  # an optional package: its licence allows no commercial use

    with np.errstate(divide="ignore", invalid="ignore"):
        result: np.ndarray = bm3d_rgb(image, sigma)
    if np.isfinite(result).all():
        return result
    # A colour plane without contrast, such as a grey photo's, is divided by zero: take the channels one by one.
    return np.stack([np.squeeze(bm3d(image[..., channel], sigma)) for channel in range(3)], axis=-1)


# For stacks (N, H, W, 3). A strength of the mean and the median filter is the side of their window.
COLOR_FILTERS: dict[str, tuple[Filter, tuple[float, ...]]] = {
    "do nothing": (lambda stack, _: stack, (0,)),
    "mean filter": (lambda stack, side: uniform_filter(stack, (0, int(side), int(side), 0)), (3, 5)),
    "Gaussian filter": (lambda stack, s: gaussian(stack, sigma=(0, s, s, 0)), (0.4, 0.5, 0.6, 0.7, 0.8, 1.0)),
    "median filter": (lambda stack, side: median(stack, np.ones((1, int(side), int(side), 1))), (3, 5)),
    "bilateral filter": (_bilateral, (0.1, 0.2, 0.4, 0.6, 0.8, 1.2)),
    "non-local means": (
        _each(lambda image, h: denoise_nl_means(image, 3, 5, h=h, fast_mode=True, channel_axis=-1)),
        (0.05, 0.1, 0.15, 0.2, 0.3),
    ),
    "wavelet": (
        _each(lambda image, s: denoise_wavelet(image, sigma=s, method="BayesShrink", convert2ycbcr=True, channel_axis=-1)),
        (0.03, 0.06, 0.1, 0.15, 0.2),
    ),
    "BM3D": (_each(_bm3d), (0.12, 0.16, 0.2, 0.25)),
}


def tune_color_filter(name: str, noisy: Tensor, clean: Tensor) -> tuple[Denoiser, dict[str, float]]:
    """Choose a filter's strength on training photos, for the best mean PSNR.

    Args:
        name: one of `COLOR_FILTERS`; "BM3D" needs the package bm3d.
        noisy, clean: float32 (N, 3, H, W), the clean images in [0, 1].

    Returns:
        (denoiser, {"strength": the one chosen}): the denoiser maps (N, 3, H, W) to the same shape.

    Raises:
        ModuleNotFoundError: "BM3D" without the package bm3d.
    """
    check_choice(name, "name", tuple(COLOR_FILTERS))
    check_images(noisy, "noisy", value_range=None, channels=3)
    check_images(clean, "clean", channels=3)
    check_same_shape(noisy, clean, "noisy", "clean")
    function, strengths = COLOR_FILTERS[name]

    def filtered(y: Tensor, strength: float) -> Tensor:
        stack = check_images(y, "noisy", value_range=None, channels=3).detach().permute(0, 2, 3, 1).double().numpy()
        return torch.from_numpy(np.ascontiguousarray(function(stack, strength))).permute(0, 3, 1, 2).float()

    best = max(strengths, key=lambda strength: psnr(filtered(noisy, strength).clamp(0, 1), clean))
    return (lambda y: filtered(y, best)), {"strength": best}
