"""What the paper did not compare with: denoisers without a network, tuned as kindly as can be.

Each is fitted on training pairs and returns a function noisy -> denoised. Filters choose their strength on those pairs
and are followed by the best affine correction, which undoes the blend's dimming and its raised background: so no
baseline loses for a reason that is not its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from skimage.filters import gaussian, median
from skimage.restoration import denoise_nl_means, denoise_wavelet
from torch import Tensor

from .metrics import mse
from .validation import check_choice, check_images, check_same_shape

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
    check_images(noisy, "noisy", value_range=None, min_dim=4)
    check_images(clean, "clean", min_dim=4)
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
    x, y = noisy.double().flatten(), clean.double().flatten()
    variance = x.var(correction=0)
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / variance) if variance > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def best_pixel_rule(noisy: Tensor, clean: Tensor, bins: int = 256) -> Denoiser:
    """The conditional mean E[clean | noisy value], as a table: no rule that looks at one pixel alone can do better."""

    def bin_of(y: Tensor) -> Tensor:
        return (y.clamp(0, 1) * (bins - 1)).round().long()

    index = bin_of(noisy).flatten()
    count = torch.bincount(index, minlength=bins)
    total = torch.bincount(index, weights=clean.double().flatten(), minlength=bins)
    values = torch.linspace(0, 1, bins, dtype=torch.float64)
    table = torch.where(count > 0, total / count.clamp_min(1), values).float()
    return lambda y: table[bin_of(y)]


def _tune_filter(name: str, noisy: Tensor, clean: Tensor) -> tuple[Denoiser, dict[str, float]]:
    function, strengths = FILTERS[name]

    def filtered(y: Tensor, strength: float) -> Tensor:
        stack = y.squeeze(1).numpy().astype(np.float64)
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
