from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from denoise_lib.baselines import BASELINES, FILTERS, best_affine, best_pixel_rule, fit_baseline
from denoise_lib.metrics import mse, mse_per_image
from denoise_lib.noise import Blend


def noisy_digits(digits: Tensor, mu: float = 0.25, seed: int = 0) -> tuple[Tensor, Tensor]:
    clean = digits / 255
    return Blend(mu)(clean, torch.Generator().manual_seed(seed)), clean


@given(st.integers(0, 1000), st.floats(-2, 2), st.floats(-1, 1), st.floats(0, 0.5))
def test_best_affine_agrees_with_polyfit(seed: int, slope: float, offset: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, 1, 5, 5, generator=generator)
    y = slope * x + offset + spread * torch.randn(x.shape, generator=generator)
    expected = np.polyfit(x.double().flatten().numpy(), y.double().flatten().numpy(), 1)
    assert best_affine(x, y) == pytest.approx(tuple(expected), abs=1e-6)


def test_best_affine_of_a_constant_image_is_the_mean() -> None:
    clean = torch.tensor([0.0, 1.0, 0.5, 0.1]).view(1, 1, 2, 2)
    assert best_affine(torch.full((1, 1, 2, 2), 0.3), clean) == pytest.approx((0, 0.4))


@given(st.integers(0, 1000))
def test_the_pixel_rule_is_the_conditional_mean(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noisy = torch.randint(0, 4, (6, 1, 5, 5), generator=generator) / 3  # four values, four bins
    clean = torch.rand(noisy.shape, generator=generator)
    denoised = best_pixel_rule(noisy, clean, bins=4)(noisy)
    for value in noisy.unique():
        chosen = noisy == value
        assert torch.allclose(denoised[chosen], clean[chosen].mean(), rtol=0, atol=1e-6)


def test_the_pixel_rule_leaves_values_that_it_never_saw() -> None:
    rule = best_pixel_rule(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.2))
    unseen = torch.tensor([[[[0.0, 0.2], [0.6, 1.0]]]])
    assert torch.allclose(rule(unseen), torch.tensor([[[[0.2, 0.2], [0.6, 1.0]]]]))


@pytest.mark.parametrize("mu", [0.1, 0.25, 0.4])
def test_the_pixel_rule_beats_every_affine_one_where_it_was_fitted(mu: float, small_train: Tensor) -> None:
    noisy, clean = noisy_digits(small_train[:500], mu)
    errors = {name: mse(fit_baseline(name, noisy, clean)[0](noisy), clean) for name in BASELINES[:3]}
    assert errors["best per-pixel rule"] < errors["best affine"] < errors["do nothing"]


@pytest.mark.parametrize("mu", [0.1, 0.25, 0.4])
def test_doing_nothing_costs_what_theory_says(mu: float, digits: Tensor) -> None:
    clean = digits[:1].expand(2000, -1, -1, -1) / 255
    noisy = Blend(mu)(clean, torch.Generator().manual_seed(0))
    denoise, fitted = fit_baseline("do nothing", noisy, clean)
    errors = mse_per_image(denoise(noisy), clean)
    assert fitted == {}
    assert abs(errors.mean() - Blend(mu).expected_mse(clean[:1])) < 5 * errors.std() / math.sqrt(2000)
    assert denoise(noisy).data_ptr() != noisy.data_ptr()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_denoises(name: str, small_train: Tensor, small_test: Tensor) -> None:
    noisy, clean = noisy_digits(small_train[:30])
    test_noisy, test_clean = noisy_digits(small_test[:20], seed=1)
    before = noisy.clone(), test_noisy.clone()
    denoise, fitted = fit_baseline(name, noisy, clean)
    output = denoise(test_noisy)
    assert output.shape == test_noisy.shape and output.dtype == torch.float32 and output.isfinite().all()
    assert torch.equal(noisy, before[0]) and torch.equal(test_noisy, before[1])
    assert all(isinstance(value, int | float) for value in fitted.values())
    if name != "do nothing":
        assert mse(output, test_clean) < 0.97 * mse(test_noisy, test_clean)
    if name in FILTERS:
        assert fitted["strength"] in FILTERS[name][1]
        # No other strength is better on the training pairs, each with its own best correction.
        error = mse(denoise(noisy), clean)
        affine = mse(fit_baseline("best affine", noisy, clean)[0](noisy), clean)
        assert error < affine
        for strength in FILTERS[name][1]:
            other = torch.from_numpy(FILTERS[name][0](noisy.squeeze(1).numpy().astype(np.float64), strength))
            slope, offset = best_affine(other, clean.squeeze(1))
            assert error <= mse(slope * other + offset, clean.squeeze(1).double()) + 1e-7


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_treats_each_image_alone(name: str, digits: Tensor) -> None:
    noisy, clean = noisy_digits(digits[:8])
    denoise, _ = fit_baseline(name, noisy, clean)
    assert torch.allclose(denoise(noisy)[3:4], denoise(noisy[3:4]), rtol=0, atol=1e-6)


def test_bad_input(digits: Tensor, refused: Any) -> None:
    noisy, clean = noisy_digits(digits[:2])
    with refused(ValueError, "name", "'BM3D'", "'median filter'"):
        fit_baseline("BM3D", noisy, clean)
    for bad, error in ((None, TypeError), (digits[:2], TypeError), (clean[0], ValueError), (clean[:0], ValueError)):
        with refused(error, "noisy"):
            fit_baseline("best affine", bad, clean)  # type: ignore[arg-type]
        with refused(error, "clean"):
            fit_baseline("best affine", noisy, bad)  # type: ignore[arg-type]
    with refused(ValueError, "noisy and clean", "same shape"):
        fit_baseline("best affine", noisy, clean[:1])
