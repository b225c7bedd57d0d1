from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rounding import rounding
from torch import Tensor

from denoise_lib.metrics import mse, mse_per_image
from denoise_lib.noise import Blend, Gaussian
from denoise_lib.papers.baselines import (
    BASELINES,
    COLOR_FILTERS,
    FILTERS,
    best_affine,
    best_pixel_rule,
    fit_baseline,
    tune_color_filter,
)
from denoise_lib.papers.pairs import photo_pairs


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


@pytest.mark.numbers
@given(st.integers(0, 1000))
def test_the_pixel_rule_is_the_conditional_mean(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noisy = torch.randint(0, 4, (6, 1, 5, 5), generator=generator) / 3  # four values, four bins
    clean = torch.rand(noisy.shape, generator=generator)
    denoised = best_pixel_rule(noisy, clean, bins=4)(noisy)
    for value in noisy.unique():
        chosen = noisy == value
        exact = rounding(int(chosen.sum()), 1.0, torch.float32)
        assert torch.allclose(denoised[chosen], clean[chosen].mean(), rtol=0, atol=exact)


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


@pytest.mark.numbers
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


# --- colour photos -------------------------------------------------------------------------------------------------------

QUICK = [name for name in COLOR_FILTERS if name != "BM3D"]  # a second an image


@pytest.fixture(scope="module")
def colour_pairs() -> tuple[Tensor, Tensor]:
    """Eight noisy photos of 32x32 pixels, and the clean ones."""
    pairs = photo_pairs("train", count=8, cache=False)
    return pairs.first / 255, pairs.clean / 255


def filtered(name: str, images: Tensor, strength: float) -> np.ndarray:
    """What a filter makes of (N, 3, H, W), as (N, H, W, 3)."""
    return COLOR_FILTERS[name][0](images.permute(0, 2, 3, 1).double().numpy(), strength)


def only(name: str, strength: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter has this strength alone."""
    monkeypatch.setitem(COLOR_FILTERS, name, (COLOR_FILTERS[name][0], (strength,)))


@pytest.mark.parametrize("name", QUICK)
def test_a_colour_filters_strength_is_the_best(name: str, colour_pairs: tuple[Tensor, Tensor]) -> None:
    noisy, clean = colour_pairs
    denoise, chosen = tune_color_filter(name, noisy, clean)
    target = clean.permute(0, 2, 3, 1).double().numpy()
    scores = {}
    for strength in COLOR_FILTERS[name][1]:
        error = np.square(filtered(name, noisy, strength).clip(0, 1) - target).mean(axis=(1, 2, 3))
        scores[strength] = float(-10 * np.log10(error).mean())
    assert chosen == {"strength": max(scores, key=lambda strength: scores[strength])}
    expected = torch.from_numpy(filtered(name, noisy, chosen["strength"])).permute(0, 3, 1, 2).float()
    assert torch.allclose(denoise(noisy), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", QUICK)
def test_a_colour_filter_keeps_shape_and_input(name: str, colour_pairs: tuple[Tensor, Tensor]) -> None:
    noisy, clean = colour_pairs
    denoise, _ = tune_color_filter(name, noisy, clean)
    odd = noisy[:3, :, :24, :17].clone()  # of another count, and no square
    before = odd.clone()
    output = denoise(odd)
    assert output.shape == odd.shape and output.dtype == torch.float32 and output.isfinite().all()
    output.fill_(7)
    assert torch.equal(odd, before)
    assert torch.allclose(denoise(noisy)[3:4], denoise(noisy[3:4]), rtol=0, atol=1e-6)  # each image alone


@pytest.mark.parametrize("name", COLOR_FILTERS)
def test_a_colour_filter_cleans_a_flat_image(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = torch.tensor([0.3, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, 32, 32).contiguous()
    noisy = Gaussian(0.1)(clean, torch.Generator().manual_seed(0)).clamp(0, 1)
    if name == "BM3D":
        only(name, 0.12, monkeypatch)
    denoise, _ = tune_color_filter(name, noisy, clean)
    output = denoise(noisy)
    if name == "do nothing":
        assert torch.equal(output, noisy)
        return
    assert mse(output, clean) < 0.4 * mse(noisy, clean)
    assert torch.allclose(output.mean(dim=(0, 2, 3)), clean[0, :, 0, 0], rtol=0, atol=0.02)  # no colour is moved


@pytest.mark.parametrize("name", [name for name in QUICK if name != "do nothing"])
def test_more_noise_asks_for_a_stronger_colour_filter(name: str, colour_pairs: tuple[Tensor, Tensor]) -> None:
    clean = colour_pairs[1]
    chosen = []
    for sigma, image in ((0.005, clean), (0.25, torch.full_like(clean, 0.5))):
        noisy = Gaussian(sigma)(image, torch.Generator().manual_seed(0))
        chosen.append(tune_color_filter(name, noisy, image)[1]["strength"])
    assert chosen[0] < chosen[1]


@pytest.mark.parametrize("sigma", [0.1, 0.4, 50.0])
def test_the_bilateral_filter_against_its_definition(sigma: float, colour_pairs: tuple[Tensor, Tensor]) -> None:
    noisy = colour_pairs[0][:2, :, :9, :7]
    output = filtered("bilateral filter", noisy, sigma)
    stack = noisy.permute(0, 2, 3, 1).double().numpy()
    padded = np.pad(stack, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    for row, column in ((0, 0), (4, 3), (8, 6)):
        window = padded[1, row : row + 5, column : column + 5]
        distance = np.add.outer(np.arange(-2, 3) ** 2, np.arange(-2, 3) ** 2)
        colour = ((window - stack[1, row, column]) ** 2).sum(-1)
        weight = np.exp(-distance / (2 * 0.7**2) - colour / (2 * sigma**2))
        expected = (weight[..., None] * window).sum((0, 1)) / weight.sum()
        assert output[1, row, column].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_bilateral_filter_keeps_its_place() -> None:
    point = torch.zeros(1, 3, 9, 9)
    point[:, :, 4, 2] = 1
    output = filtered("bilateral filter", point, 50.0)
    assert divmod(int(output[0, ..., 0].argmax()), 9) == (4, 2)
    assert np.allclose(output[0, 4, 1:4, 0], output[0, 3:6, 2, 0])  # as wide as it is high


@pytest.mark.parametrize("name", ["mean filter", "Gaussian filter", "median filter"])
def test_a_window_mixes_neither_channels_nor_images(name: str) -> None:
    image = torch.zeros(3, 3, 11, 11)
    image[1, 2, 3:8, 3:8] = 1
    output = filtered(name, image, COLOR_FILTERS[name][1][-1])
    assert output[1, ..., 2].max() > 0
    output[1, ..., 2] = 0
    assert (output == 0).all()


@pytest.mark.parametrize("side", [2, 3, 5])
def test_the_mean_filter_is_the_mean_of_its_window(side: int) -> None:
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output = filtered("mean filter", image, side)
    first = 6 - side // 2
    window = image[0, 1, first : first + side, first : first + side]
    assert output[0, 6, 6, 1] == pytest.approx(float(window.mean()), rel=1e-12)


def test_bm3d_denoises_a_photo(colour_pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, clean = (images[:1] for images in colour_pairs)
    only("BM3D", 0.09, monkeypatch)
    denoise, chosen = tune_color_filter("BM3D", noisy, clean)
    output = denoise(noisy)
    assert chosen == {"strength": 0.09} and output.shape == noisy.shape and output.dtype == torch.float32
    assert mse(output.clamp(0, 1), clean) < 0.9 * mse(noisy, clean)


def test_bm3d_of_a_gray_photo_is_gray(colour_pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, clean = (images[:1].mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).contiguous() for images in colour_pairs)
    only("BM3D", 0.09, monkeypatch)
    output = tune_color_filter("BM3D", noisy, clean)[0](noisy)
    assert output.isfinite().all()
    for channel in (1, 2):  # but for rounding: its colour planes hold nothing else
        torch.testing.assert_close(output[:, 0], output[:, channel])
    assert mse(output.clamp(0, 1), clean) < 0.9 * mse(noisy, clean)


@pytest.mark.filterwarnings("ignore:.*in divide:RuntimeWarning")
@pytest.mark.parametrize("kind", ["tinted", "flat", "red is blue"])
def test_bm3d_of_a_photo_with_one_flat_colour_plane(kind: str, colour_pairs: tuple[Tensor, Tensor]) -> None:
    image = colour_pairs[0][:1] * 0.5
    if kind == "tinted":
        image = image[:, :1].expand(-1, 3, -1, -1) + torch.tensor([0, 0.25, 0]).view(1, 3, 1, 1)
    elif kind == "flat":
        image = torch.tensor([0.5, 0.25, 0.125]).view(1, 3, 1, 1).expand_as(image)
    else:
        image = image[:, [0, 1, 0]]
    assert np.isfinite(filtered("BM3D", image, 0.1)).all()


def test_without_the_package_bm3d(colour_pairs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ModuleNotFoundError, match="bm3d"):
        tune_color_filter("BM3D", *colour_pairs)


def test_bad_colour_input(colour_pairs: tuple[Tensor, Tensor], refused: Any) -> None:
    noisy, clean = colour_pairs
    for name in ("best affine", "", None):
        with refused(ValueError, "name", "'bilateral filter'", repr(name)):
            tune_color_filter(name, noisy, clean)  # type: ignore[arg-type]
    uint8 = (clean * 255).to(torch.uint8)
    bad: list[tuple[Any, type[Exception]]] = [
        (None, TypeError), (uint8, TypeError), (clean[0], ValueError), (clean[:0], ValueError), (clean[:, :1], ValueError),
        (clean * math.nan, ValueError),
    ]  # fmt: skip
    for images, error in bad:
        with refused(error, "noisy"):
            tune_color_filter("mean filter", images, clean)
        with refused(error, "clean"):
            tune_color_filter("mean filter", noisy, images)
    with refused(ValueError, "clean", "[0, 1]"):
        tune_color_filter("mean filter", noisy, clean + 1)
    tune_color_filter("mean filter", noisy + 1, clean)  # noisy images may leave the range
    with refused(ValueError, "noisy and clean", "same shape"):
        tune_color_filter("mean filter", noisy, clean[:1])
