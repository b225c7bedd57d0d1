from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib.display.assumptions import Targets
from denoise_lib.losses import CORRUPTIONS, POWERS, best_prediction, corrupted_pixel, risk

pytestmark = pytest.mark.numbers


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_one_seed_draws_one_sample_that_grows_with_the_level(corruption: str) -> None:
    assert torch.equal(corrupted_pixel(0.3, corruption, 0.4, seed=1), corrupted_pixel(0.3, corruption, 0.4, seed=1))
    assert not torch.equal(corrupted_pixel(0.3, corruption, 0.4, seed=1), corrupted_pixel(0.3, corruption, 0.4, seed=2))
    assert torch.equal(corrupted_pixel(0.3, corruption, 0.0), torch.full((4000,), 0.3, dtype=torch.float64))
    distance = [(corrupted_pixel(0.3, corruption, level) - 0.3).abs().mean().item() for level in (0.1, 0.4, 0.8)]
    assert distance == sorted(distance)


@pytest.mark.parametrize(
    ("corruption", "mean", "median"),
    [
        ("Gaussian", 0.3, 0.3),
        ("random value", 0.6 * 0.3 + 0.4 * 0.5, 0.3),
        ("white overlay", 0.6 * 0.3 + 0.4, 0.3),
        ("skewed", 0.3, 0.3 + 0.4 * (math.log(2) - 1)),  # the median of an exponential is its mean times log 2
    ],
)
def test_losses_find_mean_and_median(corruption: str, mean: float, median: float) -> None:
    targets = corrupted_pixel(0.3, corruption, 0.4, count=100_000)
    assert best_prediction(targets, "L2") == pytest.approx(mean, abs=0.01)
    assert best_prediction(targets, "L1") == pytest.approx(median, abs=0.01)


def test_l0_finds_the_clean_pixel_under_what_replaces_fewer_than_all() -> None:
    for corruption in ("random value", "white overlay"):
        assert best_prediction(corrupted_pixel(0.3, corruption, 0.4), "L0") == pytest.approx(0.3, abs=1e-9)
    # A white overlay on more than half of the targets is their mode; random values never are.
    assert best_prediction(corrupted_pixel(0.3, "white overlay", 0.7), "L0") == pytest.approx(1.0)
    assert best_prediction(corrupted_pixel(0.3, "random value", 0.9), "L0") == pytest.approx(0.3, abs=1e-9)


@pytest.mark.parametrize("loss", POWERS)
def test_nothing_has_less_risk_than_the_best_prediction(loss: str) -> None:
    targets = corrupted_pixel(0.3, "skewed", 0.5, count=500)
    best = torch.tensor([best_prediction(targets, loss)], dtype=torch.float64)
    grid = torch.linspace(-1, 2, 601, dtype=torch.float64)
    assert risk(best, targets, loss) <= risk(grid, targets, loss).min() * 1.02


def test_risk_against_numpy() -> None:
    candidates, targets = torch.tensor([0.0, 0.5]), torch.tensor([0.0, 1.0, 0.25])
    for loss, power in POWERS.items():
        expected = [np.mean(np.abs(c - targets.numpy()) ** power) for c in (0.0, 0.5)]
        assert risk(candidates, targets, loss).tolist() == pytest.approx(expected, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.02, 0.5), st.floats(-0.3, 0.3), st.booleans(), st.booleans(), st.floats(0, 1), st.integers(0, 1000)
)  # fmt: skip
def test_the_mean_is_what_many_draws_give(
    sigma: float, offset: float, clip: bool, eight_bit: bool, shared: float, seed: int
) -> None:
    targets = Targets(sigma, offset, shared, clip, eight_bit)
    grey = torch.linspace(0, 1, 7, dtype=torch.float64)
    drawn = targets.draw(grey.expand(20_000, -1), torch.Generator().manual_seed(seed))[1]
    # Six standard errors of a mean, and no less than one grey level's hundredth.
    tolerance = 6 * drawn.std(dim=0) / math.sqrt(20_000) + 4e-5
    assert ((drawn.mean(dim=0) - targets.mean(grey)).abs() < tolerance).all()
    assert torch.equal(targets.bias(grey), targets.mean(grey) - grey)


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_shared_noise_is_correlated_and_keeps_its_strength(shared: float) -> None:
    image = torch.full((100_000,), 0.5, dtype=torch.float64)
    noisy, target = Targets(0.2, shared=shared).draw(image, torch.Generator().manual_seed(0))
    own, other = noisy - image, target - image
    assert float(torch.corrcoef(torch.stack([own, other]))[0, 1]) == pytest.approx(shared, abs=0.015)
    assert float(other.std()) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("cut", [{}, {"clip": True}, {"eight_bit": True}, {"clip": True, "offset": 0.1}])
def test_cutting_off_weakens_what_is_shared(cut: dict[str, Any]) -> None:
    targets, grey = Targets(0.4, shared=0.5, **cut), torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    noisy, target = targets.draw(grey.expand(200_000, -1), torch.Generator().manual_seed(0))
    own = noisy - grey
    slope = (own * (target - target.mean(dim=0))).mean(dim=0) / own.square().mean(dim=0)
    torch.testing.assert_close(slope, targets.kept(grey), atol=0.01, rtol=0)
    assert (targets.kept(grey) < 0.45).all() if cut else (targets.kept(grey) == 0.5).all()


def test_a_cast_to_eight_bits_darkens_by_half_a_level() -> None:
    grey = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64)
    assert Targets(0.05, eight_bit=True).bias(grey).tolist() == pytest.approx([-0.5 / 255] * 3, abs=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: corrupted_pixel(1.5, "Gaussian", 0.1),
        lambda: corrupted_pixel(0.5, "Gauss", 0.1),
        lambda: corrupted_pixel(0.5, "Gaussian", -0.1),
        lambda: corrupted_pixel(0.5, "Gaussian", 0.1, count=0),
        lambda: best_prediction(torch.rand(3), "L3"),
        lambda: best_prediction([0.1, 0.2], "L2"),  # type: ignore[arg-type]
        lambda: best_prediction(torch.tensor([]), "L2"),
        lambda: risk(torch.rand(3), torch.tensor([float("nan")]), "L2"),
        lambda: Targets(0.0),
        lambda: Targets(0.1, offset=2.0),
        lambda: Targets(0.1, shared=-0.1),
        lambda: Targets(0.1).draw(torch.tensor([2.0])),
        lambda: Targets(0.1).mean(torch.tensor([1, 0])),
    ],
)
def test_bad_input(call: Any, refused: Any) -> None:
    with refused((ValueError, TypeError)):
        call()
