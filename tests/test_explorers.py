from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from torch import nn

from denoise_lib.explorers import (
    denoise_explorer,
    denoise_filmstrip,
    estimator_explorer,
    estimator_filmstrip,
    guess_the_mu,
    noise2noise_explorer,
    noise2noise_filmstrip,
    noise_explorer,
    noise_filmstrip,
)
from denoise_lib.figures import tile
from denoise_lib.metrics import mse, psnr
from denoise_lib.noise import Blend
from denoise_lib.renders import (
    BROKEN,
    example_digits,
    models_for,
    noisy_copy,
    render_assumptions,
    render_denoised,
    render_estimators,
    render_noise,
)


def test_noisy_copy_changes_the_level_alone() -> None:
    digits = example_digits(8)
    low, high = (noisy_copy(digits, mu, clip=False) for mu in (0.1, 0.4))
    noise_low, noise_high = (low - 0.9 * digits) / 0.1, (high - 0.6 * digits) / 0.4
    torch.testing.assert_close(noise_low, noise_high, atol=1e-4, rtol=0)


def test_render_noise_shows_and_says_the_same() -> None:
    digits = example_digits(16)
    pixels, numbers = render_noise(0.25, digits, seed=3, scale=1)
    noisy = noisy_copy(digits, 0.25, 3)
    np.testing.assert_array_equal(pixels, tile(noisy, 8))
    assert f"MSE {mse(noisy, digits):.4f} (theory {Blend(0.25).expected_mse(digits):.4f})" in numbers
    assert f"PSNR {psnr(noisy, digits):.1f} dB" in numbers


def test_render_at_mu_zero_is_the_clean_picture() -> None:
    digits = example_digits(8)
    pixels, numbers = render_noise(0.0, digits, scale=1)
    np.testing.assert_array_equal(pixels, tile(digits, 8))
    assert "PSNR inf dB" in numbers


def test_render_denoised_with_a_known_model() -> None:
    digits = example_digits(6)
    pixels, numbers = render_denoised(0.25, digits, {"nothing": nn.Identity()}, scale=1)
    noisy = noisy_copy(digits, 0.25)
    assert f"noisy {psnr(noisy, digits):.1f} dB   nothing {psnr(noisy, digits):.1f} dB" in numbers
    assert pixels.dtype == np.uint8 and pixels.ndim == 3


def test_models_for_the_nearest_level() -> None:
    noisy = noisy_copy(example_digits(20), 0.38)
    from denoise_lib.weights import load_pretrained

    chosen = models_for(0.38)
    assert list(chosen) == ["U-Net", "autoencoder"]
    with torch.inference_mode():
        assert torch.equal(chosen["U-Net"](noisy), load_pretrained("unet-severe")(noisy))
    assert list(models_for(0.38, "blind")) == ["U-Net (blind)"]
    with pytest.raises(ValueError, match="choice"):
        models_for(0.3, "best")
    with pytest.raises(ValueError, match="mu"):
        models_for(1.3)


@pytest.mark.parametrize("make", [noise_explorer, denoise_explorer])
def test_slider_redraws_and_comes_back_to_the_same_bytes(make) -> None:  # type: ignore[no-untyped-def]
    box = make(example_digits(8))
    first = box.image.value
    Image.open(io.BytesIO(first)).verify()
    box.slider.value = 0.6
    second, numbers = box.image.value, box.numbers.value
    assert second != first and "mu 0.60" in numbers
    box.slider.value = 0.25
    assert box.image.value == first
    assert box.slider.step == pytest.approx(0.01) and box.slider.description == "mu"


def test_denoise_explorer_menu_switches_to_the_blind_network() -> None:
    box = denoise_explorer(example_digits(8))
    assert "autoencoder" in box.numbers.value
    box.menu.value = "blind"
    assert "U-Net (blind)" in box.numbers.value and "autoencoder" not in box.numbers.value


@pytest.mark.parametrize("make", [noise_explorer, denoise_explorer])
def test_explorer_refuses_a_bad_level(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="mu"):
        make(mu=1.5)


@pytest.mark.parametrize("make", [noise_filmstrip, denoise_filmstrip])
def test_filmstrip_tells_six_levels_in_its_alt_text(make) -> None:  # type: ignore[no-untyped-def]
    _, metadata = DisplayFormatter().format(make())
    alt = metadata["image/png"]["alt"]
    assert re.findall(r"mu (0\.\d\d)", alt) == ["0.00", "0.10", "0.25", "0.40", "0.60", "0.80"]
    assert alt.count("PSNR") == 6


def test_guess_the_mu_measures_the_guess() -> None:
    box = guess_the_mu(seed=5)
    first = box.image.value
    box.slider.value = 0.2
    box.button.click()
    hidden, guess, error = (float(x) for x in re.findall(r"\d\.\d+", box.verdict.value))
    assert 0.05 <= hidden <= 0.55 and guess == 0.2
    assert error == pytest.approx(abs(hidden - guess), abs=1e-6)
    assert box.image.value != first
    assert "Round 1" in box.verdict.value


# --- noisy targets ---


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text)]


def test_render_estimators_says_what_the_losses_learn() -> None:
    pixels, numbers = render_estimators(0.4, "white overlay")
    assert pixels.dtype == np.uint8 and pixels.ndim == 3
    level, clean, l2, l1, l0 = numbers_in(numbers)
    assert (level, clean, l1, l0) == (0.4, 0.3, 0.3, 0.3) and l2 == pytest.approx(0.6 * 0.3 + 0.4, abs=0.02)
    again, same_numbers = render_estimators(0.4, "white overlay")
    np.testing.assert_array_equal(pixels, again)
    assert numbers == same_numbers
    assert not np.array_equal(pixels, render_estimators(0.4, "random value")[0])


@pytest.mark.parametrize("name", [(), *((name,) for name in BROKEN)])
def test_render_assumptions_measures_what_it_predicts(name: tuple[str, ...]) -> None:
    _, numbers = render_assumptions(0.2, name)
    sigma, bias, measured, share, kept = numbers_in(numbers)
    assert sigma == 0.2
    assert measured == pytest.approx(bias, abs=0.025) and kept == pytest.approx(share, abs=0.08)
    assert (abs(bias) > 0.03) == (name not in ((), ("noise is shared",)))
    assert share == (0.5 if "noise is shared" in name else 0)


def test_broken_assumptions_add_up() -> None:
    _, numbers = render_assumptions(0.2, ("mean is not zero", "noise is shared"))
    _, bias, _, share, _ = numbers_in(numbers)
    assert (bias, share) == (0.1, 0.5)


def test_shared_noise_that_is_clipped_is_predicted_too() -> None:
    _, numbers = render_assumptions(0.5, ("noise is shared", "clipped"), draws=20_000)
    _, _, _, share, kept = numbers_in(numbers)
    assert share < 0.4 and kept == pytest.approx(share, abs=0.03)


def test_bad_input_of_the_renderers(refused: Any) -> None:
    for call in (
        lambda: render_estimators(1.5),
        lambda: render_estimators(0.5, "snow"),
        lambda: render_assumptions(0.0),
        lambda: render_assumptions(0.2, ("snow",)),
        lambda: render_assumptions(0.2, draws=0),
        lambda: noise2noise_explorer(sigma=2.0),
        lambda: estimator_explorer(level=-1.0),
    ):
        with refused(ValueError):
            call()


def test_noise2noise_explorer_follows_slider_and_switches() -> None:
    box = noise2noise_explorer()
    first, numbers = box.image.value, box.numbers.value
    box.switches[2].value = True
    assert box.image.value != first and box.numbers.value != numbers
    box.switches[2].value = False
    assert box.image.value == first  # coming back gives the same picture
    box.slider.value = 0.4
    assert "sigma 0.40" in box.numbers.value
    box.slider.value = 0.0  # no noise at all has no theory: shown at the smallest step
    assert "sigma 0.01" in box.numbers.value


def test_estimator_explorer_follows_slider_and_menu() -> None:
    box = estimator_explorer()
    first = box.image.value
    box.menu.value = "skewed"
    assert box.image.value != first
    box.slider.value = 0.7
    assert "level 0.70" in box.numbers.value


def test_filmstrips_tell_their_numbers() -> None:
    for strip, words in ((estimator_filmstrip(), "white overlay"), (noise2noise_filmstrip(), "noise is shared")):
        _, metadata = DisplayFormatter().format(strip)
        alt = metadata["image/png"]["alt"]
        assert words in alt and len(numbers_in(alt)) > 12
