"""Problem set 1: the solutions against theory and the library, other right ways, and answers that are nearly right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from denoise_lib.corruptions import Impulse, Poisson
from denoise_lib.exercises.exercise import RIGHT, WRONG
from denoise_lib.exercises.judging import judge
from denoise_lib.exercises.ps1_noise import (
    NOISE_ASSIGNMENT,
    impulse_noise,
    noise_of_differences,
    psnr_of_average,
    shot_noise,
    sigma_for_psnr,
)
from denoise_lib.metrics import psnr as library_psnr

pytestmark = pytest.mark.numbers

EXERCISES = {exercise.name: exercise for exercise in NOISE_ASSIGNMENT}
SEEDS = (0, 1, 2, 41, 1000)


def arguments(name: str, seed: int) -> tuple[Any, ...]:
    return EXERCISES[name].arguments(Generator().manual_seed(seed))


def test_all_are_graded_and_know_enough_mistakes() -> None:
    assert list(EXERCISES) == ["impulse_noise", "shot_noise", "sigma_for_psnr", "noise_of_differences", "psnr_of_average"]
    assert all(exercise.graded and len(exercise.mistakes) >= 6 for exercise in NOISE_ASSIGNMENT)


# --- the solutions against theory and the library ---


def test_impulses_have_the_library_s_moments() -> None:
    generator = Generator().manual_seed(5)
    image = torch.full((1, 3, 400, 400), 0.3)
    noisy = impulse_noise(image, torch.rand(1, 1, 400, 400, generator=generator), 0.4)
    theory = Impulse(0.4, salt_and_pepper=True)
    assert noisy.mean().item() == pytest.approx(theory.mean(image).mean().item(), abs=0.005)
    assert noisy.var().item() == pytest.approx(theory.variance(image).mean().item(), abs=0.005)
    assert torch.equal(noisy[:, 0], noisy[:, 1]) and torch.equal(noisy[:, 0], noisy[:, 2])


def test_shot_noise_has_the_variance_of_photons() -> None:
    image = torch.tensor([0.1, 0.5, 0.9]).repeat_interleave(40000).reshape(1, 1, 300, 400)
    noisy = shot_noise(image, torch.randn(image.shape, generator=Generator().manual_seed(5)), 20)
    theory = Poisson(20).variance(image).reshape(3, -1).mean(1)
    torch.testing.assert_close((noisy - image).reshape(3, -1).var(1), theory, rtol=0.03, atol=0)
    assert noisy.min() < 0 and noisy.max() > 1


def test_the_formulas_of_decibels_hold_for_images() -> None:
    generator = Generator().manual_seed(5)
    clean = torch.rand(1, 1, 300, 300, generator=generator)
    copies = clean + sigma_for_psnr(17) * torch.randn(4, 1, 300, 300, generator=generator)
    assert library_psnr(copies[:1], clean) == pytest.approx(17, abs=0.05)
    assert library_psnr(copies.mean(0, keepdim=True), clean) == pytest.approx(psnr_of_average(17, 4), abs=0.05)
    assert psnr_of_average(17, 1) == 17 and sigma_for_psnr(0) == 1


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_noise_is_found_where_the_image_is_smooth(sigma: float) -> None:
    gradient = torch.linspace(0, 1, 200).expand(1, 1, 200, 200)
    noisy = gradient + sigma * torch.randn(1, 1, 200, 200, generator=Generator().manual_seed(5))
    assert noise_of_differences(noisy).item() == pytest.approx(sigma, rel=0.02)


# --- the arguments ---


@pytest.mark.parametrize("seed", SEEDS)
def test_no_u_is_at_a_limit_and_no_pixel_is_black_or_white(seed: int) -> None:
    image, u, p = arguments("impulse_noise", seed)
    assert (u - p / 2).abs().min() > 1e-3 and (u - 1 + p / 2).abs().min() > 1e-3 and u.min() > 0 and u.max() < 1
    assert (u < p / 2).sum() == (u >= 1 - p / 2).sum() == round(30 * p) and image.min() > 0 and image.max() < 1


@pytest.mark.parametrize("seed", SEEDS)
def test_vertical_neighbours_differ_by_more_than_noise(seed: int) -> None:
    (noisy,) = arguments("noise_of_differences", seed)
    sigma = noise_of_differences(noisy)
    assert 0.035 < sigma < 0.065 and noisy.diff(dim=2).std() > 3 * sigma


# --- other right ways ---


def each_pixel(image: Tensor, u: Tensor, p: float) -> Tensor:
    noisy = image.clone()
    for n, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(6), torch.arange(5)).tolist():
        if u[n, 0, i, j] < p / 2:
            noisy[n, :, i, j] = 0
        elif u[n, 0, i, j] >= 1 - p / 2:
            noisy[n, :, i, j] = 1
    return noisy


def on_a_copy(image: Tensor, u: Tensor, p: float) -> Tensor:
    noisy, everywhere = image.clone(), u.expand_as(image)
    noisy[everywhere < p / 2] = 0
    noisy[everywhere >= 1 - p / 2] = 1
    return noisy


OTHER_WAYS: list[tuple[str, Callable[..., Any]]] = [
    ("impulse_noise", each_pixel),
    ("impulse_noise", on_a_copy),
    ("impulse_noise", lambda image, u, p: image.masked_fill(u < p / 2, 0).masked_fill(u > 1 - p / 2, 1)),
    ("impulse_noise", lambda image, u, p: (image + (u >= 1 - p / 2).float() - (u < p / 2).float()).clamp(0, 1)),
    ("impulse_noise", lambda image, u, p: torch.where((u - 0.5).abs() > 0.5 - p / 2, (u > 0.5).float(), image)),
    ("shot_noise", lambda image, noise, peak: image + image.sqrt() / math.sqrt(peak) * noise),
    ("shot_noise", lambda image, noise, peak: (image * peak + (image * peak).sqrt() * noise) / peak),
    ("shot_noise", lambda image, noise, peak: torch.from_numpy(image.numpy() + np.sqrt(image.numpy() / peak) * noise.numpy())),
    ("sigma_for_psnr", lambda psnr: math.sqrt(10 ** (-psnr / 10))),
    ("sigma_for_psnr", lambda psnr: math.exp(-psnr * math.log(10) / 20)),
    ("sigma_for_psnr", lambda psnr: torch.tensor(10.0) ** (-psnr / 20)),
    ("sigma_for_psnr", lambda psnr: np.sqrt(1 / np.power(10, psnr / 10))),
    ("noise_of_differences", lambda noisy: (noisy[..., :-1] - noisy[..., 1:]).std(unbiased=False) / 2**0.5),
    ("noise_of_differences", lambda noisy: float(np.diff(noisy.numpy(), axis=3).std() / np.sqrt(2))),
    ("noise_of_differences", lambda noisy: (noisy.diff().var() / 2).sqrt()),
    ("noise_of_differences", lambda noisy: (noisy.double()[0, 0].diff(dim=1) / 2**0.5).std().item()),
    ("psnr_of_average", lambda psnr, copies: -10 * math.log10(10 ** (-psnr / 10) / copies)),
    ("psnr_of_average", lambda psnr, copies: psnr + 20 * math.log10(math.sqrt(copies))),
    ("psnr_of_average", lambda psnr, copies: psnr + 10 * torch.log10(torch.tensor(float(copies)))),
    ("psnr_of_average", lambda psnr, copies: psnr + 10 * math.log(copies) / math.log(10)),
]


@pytest.mark.parametrize(("name", "function"), OTHER_WAYS, ids=[name for name, _ in OTHER_WAYS])
@pytest.mark.parametrize("seed", SEEDS)
def test_other_ways_to_be_right_are_right(name: str, function: Callable[..., Any], seed: int) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert outcome.status == RIGHT, outcome.sentence


# --- nearly right ---


def in_place(image: Tensor, u: Tensor, p: float) -> Tensor:
    everywhere = u.expand_as(image)
    image[everywhere < p / 2] = 0
    image[everywhere >= 1 - p / 2] = 1
    return image


def noise_in_place(image: Tensor, noise: Tensor, peak: int) -> Tensor:
    noise *= (image / peak).sqrt()
    return image + noise


GENERAL = "other values"
NEARLY: list[tuple[str, Callable[..., Any], str]] = [
    ("impulse_noise", in_place, "changes its input"),
    ("impulse_noise", lambda image, u, p: torch.where(u < p, (u >= p / 2).float(), image), "white beside black"),
    ("impulse_noise", lambda image, u, p: torch.where(u < p, (u < p / 2).float(), image), GENERAL),
    ("impulse_noise", lambda image, u, p: image.where(u >= p / 4, 0.0).where(u < 1 - p / 4, 1.0), GENERAL),
    ("impulse_noise", lambda image, u, p: image.where(u >= p / 2, 0.0).where(u < 1 - p, 1.0), GENERAL),
    ("impulse_noise", lambda image, u, p: image.where(image >= p / 2, 0.0).where(image < 1 - p / 2, 1.0), GENERAL),
    ("impulse_noise", lambda image, u, p: image.where(u >= p / 2, -1.0).where(u < 1 - p / 2, 1.0), GENERAL),
    ("impulse_noise", lambda image, u, p: impulse_noise(image, u.flip(0), p), GENERAL),
    ("impulse_noise", lambda image, u, p: impulse_noise(image, u, p)[:1], "wrong shape"),
    ("impulse_noise", lambda image, u, p: impulse_noise(image, u[:, 0], p), "raises"),
    ("impulse_noise", lambda image, u, p: impulse_noise(image, u, p).double(), "wrong type of number"),
    ("shot_noise", noise_in_place, "changes its input"),
    ("shot_noise", lambda image, noise, peak: image + image / (image * peak).sqrt() * noise, "not a number"),
    ("shot_noise", lambda image, noise, peak: image + (image / peak * noise).sqrt(), "not a number"),
    ("shot_noise", lambda image, noise, peak: shot_noise(image, noise, peak).clamp(min=0), GENERAL),
    ("shot_noise", lambda image, noise, peak: shot_noise(image, noise, peak).clamp(max=1), GENERAL),
    ("shot_noise", lambda image, noise, peak: shot_noise(image, noise.abs(), peak), GENERAL),
    ("shot_noise", lambda image, noise, peak: shot_noise(image, -noise, peak), GENERAL),
    ("shot_noise", lambda image, noise, peak: shot_noise(image, noise / noise.std(), peak), GENERAL),
    ("shot_noise", lambda image, noise, peak: image + ((image * peak).round() / peak / peak).sqrt() * noise, GENERAL),
    ("sigma_for_psnr", lambda psnr: round(10 ** (-psnr / 20), 2), GENERAL),
    ("sigma_for_psnr", lambda psnr: 10 ** (-psnr // 20), GENERAL),
    ("sigma_for_psnr", lambda psnr: 10 ** (-psnr / 5), GENERAL),
    ("sigma_for_psnr", lambda psnr: 2 * 10 ** (-psnr / 20), GENERAL),
    ("sigma_for_psnr", lambda psnr: -(10 ** (psnr / 20)), GENERAL),
    ("sigma_for_psnr", lambda psnr: 255 * 10 ** (-psnr / 10), GENERAL),
    ("sigma_for_psnr", lambda psnr: 0.0, GENERAL),
    ("sigma_for_psnr", lambda psnr: f"{10 ** (-psnr / 20)}", "wrong type"),
    ("noise_of_differences", lambda noisy: noisy.diff().std(dim=3).mean() / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: (noisy[..., 1::2] - noisy[..., ::2]).std() / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: (noisy[..., 2:] - noisy[..., :-2]).std() / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: noisy.diff().abs().median() / 0.6745 / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: (noisy.diff().std() + noisy.diff(dim=2).std()) / 2 / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: noisy.flatten().diff().std() / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: noisy.clamp(0, 1).diff().std() / 2**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: noisy.diff(n=2).std() / 6**0.5, GENERAL),
    ("noise_of_differences", lambda noisy: noisy.diff(dim=0).std() / 2**0.5, "not a number"),
    ("noise_of_differences", lambda noisy: noisy.diff() / 2**0.5, "wrong shape"),
    ("noise_of_differences", lambda noisy: noisy.diff().std(dim=(2, 3)) / 2**0.5, "wrong shape"),
    ("psnr_of_average", lambda psnr, copies: psnr + 10 * math.log10(copies + 1), GENERAL),
    ("psnr_of_average", lambda psnr, copies: psnr * math.sqrt(copies), GENERAL),
    ("psnr_of_average", lambda psnr, copies: psnr + 6 * math.log2(copies), GENERAL),
    ("psnr_of_average", lambda psnr, copies: psnr + 3 * (copies - 1), GENERAL),
    ("psnr_of_average", lambda psnr, copies: round(psnr + 10 * math.log10(copies), 1), GENERAL),
    ("psnr_of_average", lambda psnr, copies: -10 * math.log10(math.exp(-psnr / 10) / copies), GENERAL),
    ("psnr_of_average", lambda psnr, copies: 10 ** (-psnr / 10) / copies, GENERAL),
]


@pytest.mark.parametrize(("name", "function", "mistake"), NEARLY, ids=[f"{name}-{what}" for name, _, what in NEARLY])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore:std")
def test_what_is_nearly_right_is_wrong_and_told_nothing_false(
    name: str, function: Callable[..., Any], mistake: str, seed: int
) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert (outcome.status, outcome.mistake) == (WRONG, mistake), outcome.sentence
