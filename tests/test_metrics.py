from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from denoise_lib.metrics import mse, mse_per_image, psnr, ssim

pytestmark = pytest.mark.numbers

METRICS = [mse, psnr, ssim]


def pair(seed: int, shape: tuple[int, ...] = (3, 2, 16, 19), strength: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(shape, generator=generator)
    # Each image has a strength of its own, or per-image and pooled PSNR would agree.
    spread = strength * torch.rand((shape[0], 1, 1, 1) if len(shape) == 4 else (), generator=generator)
    return clean + (0.02 + spread) * torch.randn(shape, generator=generator), clean


seeds = st.integers(0, 10_000)


@given(seeds)
def test_mse_agrees_with_scikit_image(seed: int) -> None:
    a, b = pair(seed)
    assert mse(a, b) == pytest.approx(mean_squared_error(a.numpy(), b.numpy()), rel=1e-6)
    by_image = [mean_squared_error(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    assert mse_per_image(a, b).tolist() == pytest.approx(by_image, rel=1e-6)
    assert mse_per_image(a, b).dtype == torch.float64


@given(seeds, st.sampled_from([1.0, 2.0, 255.0]))
def test_psnr_agrees_with_scikit_image(seed: int, data_range: float) -> None:
    a, b = (data_range * image for image in pair(seed))
    pairs = [(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    by_image = [peak_signal_noise_ratio(y, x, data_range=data_range) for x, y in pairs]
    assert psnr(a, b, data_range=data_range) == pytest.approx(np.mean(by_image), rel=1e-6)
    pooled = peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=data_range)
    assert psnr(a, b, per_image=False, data_range=data_range) == pytest.approx(pooled, rel=1e-6)


@given(seeds, st.sampled_from([1.0, 2.0, 255.0]), st.integers(11, 20), st.integers(11, 20))
def test_ssim_agrees_with_scikit_image(seed: int, data_range: float, height: int, width: int) -> None:
    a, b = (data_range * image for image in pair(seed, (2, 3, height, width)))
    expected = [
        structural_similarity(
            x.double().numpy(), y.double().numpy(), data_range=data_range, channel_axis=0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for x, y in zip(a, b, strict=True)
    ]  # fmt: skip
    assert ssim(a, b, data_range=data_range) == pytest.approx(np.mean(expected), abs=1e-9)


def test_ssim_of_more_images_than_one_portion() -> None:
    a, b = pair(0, (1003, 1, 11, 11))
    halves = [ssim(a[part], b[part]) * (part.stop - part.start) for part in (slice(0, 500), slice(500, 1003))]
    assert ssim(a, b) == pytest.approx(sum(halves) / 1003, abs=1e-12)


@given(seeds)
def test_per_image_psnr_is_never_below_the_pooled_one(seed: int) -> None:
    a, b = pair(seed, strength=0.5)
    assert psnr(a, b) > psnr(a, b, per_image=False)  # Jensen: -log is convex, and the strengths differ
    # Equal errors in all images: both definitions agree.
    shifted = b + 0.1
    assert psnr(shifted, b) == pytest.approx(psnr(shifted, b, per_image=False), abs=1e-4) == pytest.approx(20, abs=1e-4)


def test_values_by_hand() -> None:
    black, gray = torch.zeros(2, 1, 11, 11), torch.full((2, 1, 11, 11), 0.1)
    gray[1] = 0.01
    assert mse(black, gray) == pytest.approx((0.01 + 0.0001) / 2)
    assert psnr(black, gray) == pytest.approx((20 + 40) / 2, abs=1e-4)
    assert psnr(black, gray, per_image=False) == pytest.approx(-10 * math.log10(0.00505), abs=1e-4)
    # Constant images: SSIM is its luminance term, C1 / (m^2 + C1) for means 0 and m.
    assert ssim(black[:1], gray[:1]) == pytest.approx(1e-4 / (0.01 + 1e-4), rel=1e-5)


@pytest.mark.parametrize("shape", [(12, 13), (3, 12, 13), (2, 3, 12, 13)])
def test_equal_images_and_symmetry(shape: tuple[int, ...]) -> None:
    a, b = pair(1, shape)
    assert mse(a, a.clone()) == 0
    assert psnr(a, a.clone()) == psnr(a, a.clone(), per_image=False) == math.inf
    assert ssim(a, a.clone()) == pytest.approx(1, abs=1e-12)
    for metric in METRICS:
        assert metric(a, b) == pytest.approx(metric(b, a), rel=1e-12)
        assert type(metric(a, b)) is float


def test_one_perfect_image_makes_the_mean_psnr_infinite() -> None:
    a, b = pair(2)
    a[0] = b[0]
    assert psnr(a, b) == math.inf and psnr(a, b, per_image=False) < 60


def test_ssim_notices_that_the_sign_is_wrong() -> None:
    _, b = pair(3)
    assert ssim(1 - b, b) < 0


@pytest.mark.parametrize("metric", [*METRICS, mse_per_image])
def test_bad_input(metric: Any, refused: Any) -> None:
    good = torch.rand(2, 1, 12, 12)
    for bad, error in (
        (None, TypeError),
        (good.numpy(), TypeError),
        ((good * 255).byte(), TypeError),
        (torch.full_like(good, float("nan")), ValueError),
        (good[:0], ValueError),
    ):
        with refused(error, "a "):
            metric(bad, good)
        with refused(error, "b "):
            metric(good, bad)
    for other in (good[:1], good[0], torch.rand(2, 1, 12, 13)):  # shapes that would broadcast, too
        with refused(ValueError, "a and b", "same shape"):
            metric(good, other)


def test_bad_sizes_and_ranges(refused: Any) -> None:
    small = torch.rand(1, 1, 10, 28)
    with refused(ValueError, "ssim", "11 x 11", "10 x 28"):
        ssim(small, small)
    with refused(ValueError, "a and b", "(N, C, H, W)"):
        mse_per_image(small[0], small[0])
    for metric in (psnr, ssim):
        for bad, error in ((0, ValueError), (-1.0, ValueError), (math.inf, ValueError), ("1", TypeError), (True, TypeError)):
            with refused(error, "data_range"):
                metric(torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 12), data_range=bad)
