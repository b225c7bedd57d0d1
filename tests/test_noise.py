from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rounding import rounding
from scipy import integrate, stats
from torch import Tensor

from denoise_lib.corruptions import Bernoulli, Impulse, PointSample, Poisson, parse_noise
from denoise_lib.noise import MILD, MODERATE, SEVERE, Blend, Gaussian, Noise, add_noise, clipped_normal_moments

pytestmark = pytest.mark.numbers

SIGMAS = 5  # a fair draw leaves +-5 standard errors once in 1.7 million
MODELS: list[Noise] = [
    Blend(MILD), Blend(MODERATE), Blend(SEVERE), Blend(0.3, clip=False), Gaussian(0.2), Gaussian(0.3, clip=True),
    Poisson(5), Bernoulli(0.4), Impulse(0.3), Impulse(0.3, salt_and_pepper=True), PointSample(2),
]  # fmt: skip
LEVELLED = [Blend, Gaussian, Poisson, Bernoulli, Impulse]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gray_patch() -> Tensor:
    """(1, 2, 4, 4), float64: black, white, the grays between, and another order of them in the second channel."""
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64).view(1, 1, 4, 4)
    return torch.cat([ramp, ramp.flip(-1).sqrt()], dim=1)


# --- moments: each model against its own closed form ---------------------------------------------------------------


@pytest.mark.parametrize("noise", MODELS, ids=repr)
def test_empirical_moments_match_the_closed_form(noise: Noise) -> None:
    draws, image = 40_000, gray_patch()
    sample = noise(image.expand(draws, -1, -1, -1), seeded(1))
    mean, variance = noise.mean(image)[0], noise.variance(image)[0]

    deviation = sample - sample.mean(dim=0)
    sample_variance = deviation.square().sum(dim=0) / (draws - 1)
    fourth_moment = deviation.pow(4).mean(dim=0)
    error_of_mean = (variance / draws).sqrt()
    error_of_variance = ((fourth_moment - sample_variance.square()).clamp_min(0) / draws).sqrt()
    summed = rounding(draws, 2.0)  # means over the draws, of values and squares that are below 2 on average

    assert ((sample.mean(dim=0) - mean).abs() <= SIGMAS * error_of_mean + summed).all()
    # The squared error of the sample mean: all that is left for a pixel of two equally likely values.
    second_order = error_of_mean.square() * SIGMAS**2
    assert ((sample_variance - variance).abs() <= SIGMAS * error_of_variance + second_order + summed).all()


@pytest.mark.parametrize("noise", MODELS, ids=repr)
def test_expected_mse_matches_the_measured_one(noise: Noise) -> None:
    draws, image = 20_000, gray_patch()
    sample = noise(image.expand(draws, -1, -1, -1), seeded(2))
    errors = (sample - noise.clean(image)).square().mean(dim=(1, 2, 3))
    standard_error = errors.std() / math.sqrt(draws)
    assert abs(errors.mean() - noise.expected_mse(image)) <= SIGMAS * standard_error


@pytest.mark.parametrize("noise", MODELS, ids=repr)
def test_unbiased_is_true_exactly_where_the_mean_is_the_clean_image(noise: Noise) -> None:
    image = gray_patch()
    assert noise.unbiased == torch.allclose(noise.mean(image), noise.clean(image), rtol=0, atol=1e-9)


def test_moments_have_the_shape_and_dtype_of_the_clean_image() -> None:
    for noise in MODELS:
        for dtype in (torch.float32, torch.float64):
            image = gray_patch().to(dtype)
            for result in (noise.mean(image), noise.variance(image)):
                assert result.shape == noise.clean(image).shape and result.dtype == dtype
                assert (result >= 0).all()


@pytest.mark.parametrize("mu", [0.01, MILD, 0.2])
def test_clipping_lifts_a_black_pixel_to_mu_over_root_two_pi(mu: float) -> None:
    # Exact but for draws that pass 1, five or more standard deviations away.
    black = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    assert Blend(mu).mean(black).item() == pytest.approx(mu / math.sqrt(2 * math.pi), rel=1e-6)
    sample = add_noise(black.expand(100_000, 1, 1, 1), mu, generator=seeded())
    # E[max(N, 0)^2] = 1/2
    standard_error = mu * math.sqrt((1 / 2 - 1 / (2 * math.pi)) / 100_000)
    assert abs(sample.mean().item() - mu / math.sqrt(2 * math.pi)) < SIGMAS * standard_error


@given(st.floats(-2, 3), st.floats(0.01, 3))
def test_clipped_normal_moments_agree_with_numerical_integration(centre: float, sigma: float) -> None:
    normal = stats.norm(centre, sigma)

    def moment(power: int) -> float:
        points = [point for point in (centre - 4 * sigma, centre, centre + 4 * sigma) if 0 < point < 1]
        inside, _ = integrate.quad(lambda y: y**power * normal.pdf(y), 0, 1, points=points or None, limit=200)
        return inside + normal.sf(1)  # all above 1 becomes 1; all below 0 becomes 0

    mean, variance = clipped_normal_moments(torch.tensor([centre], dtype=torch.float64), sigma)
    assert mean.item() == pytest.approx(moment(1), abs=1e-9)
    assert variance.item() == pytest.approx(moment(2) - moment(1) ** 2, abs=1e-9)


def test_clipped_normal_moments_without_noise() -> None:
    mean, variance = clipped_normal_moments(torch.tensor([-1.0, 0.25, 3.0]), 0)
    assert mean.tolist() == [0, 0.25, 1] and variance.tolist() == [0, 0, 0]


def test_moments_of_a_range_of_mu_are_refused(refused: Any) -> None:
    for moment in (Blend((0.0, 0.5)).mean, Blend((0.0, 0.5)).variance):
        with refused(ValueError, "mu", "(0.0, 0.5)"):
            moment(gray_patch())


# --- add_noise and Blend ---------------------------------------------------------------------------------------------


def test_the_three_levels_are_the_papers() -> None:
    assert (MILD, MODERATE, SEVERE) == (0.10, 0.25, 0.40)


@pytest.mark.parametrize("clip", [True, False])
def test_mu_zero_is_the_identity(clip: bool) -> None:
    image = gray_patch()
    noisy = add_noise(image, 0, clip=clip, generator=seeded())
    assert torch.equal(noisy, image) and noisy.data_ptr() != image.data_ptr()


def test_mu_one_is_pure_noise() -> None:
    image = gray_patch()
    normal = torch.randn(image.shape, generator=seeded(), dtype=image.dtype)
    assert torch.equal(add_noise(image, 1, clip=False, generator=seeded()), normal)
    assert torch.equal(add_noise(image, 1, generator=seeded()), normal.clamp(0, 1))


@given(st.floats(0, 1), st.floats(0, 1))
def test_one_generator_state_draws_one_noise_for_every_mu(first: float, second: float) -> None:
    image = gray_patch()
    normal = add_noise(image, 1, clip=False, generator=seeded())
    for mu in (first, second):
        noisy = add_noise(image, mu, clip=False, generator=seeded())
        assert torch.allclose(noisy, (1 - mu) * image + mu * normal, rtol=0, atol=1e-12)  # affine in mu
        assert torch.equal(add_noise(image, mu, generator=seeded()), noisy.clamp(0, 1))
        assert torch.equal(Blend(mu)(image, seeded()), noisy.clamp(0, 1))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_a_tensor_gives_each_image_its_own_mu(levels: list[float]) -> None:
    image = gray_patch().expand(len(levels), -1, -1, -1)
    together = add_noise(image, torch.tensor(levels, dtype=torch.float64), generator=seeded())
    for index, mu in enumerate(levels):
        assert torch.allclose(together[index], add_noise(image, mu, generator=seeded())[index], rtol=0, atol=1e-12)


def test_a_tensor_of_no_axes_is_one_mu() -> None:
    assert torch.equal(
        add_noise(gray_patch(), torch.tensor(0.25), generator=seeded()), add_noise(gray_patch(), 0.25, generator=seeded())
    )


def test_a_range_draws_mu_uniformly_for_each_image() -> None:
    low, high, count, side = 0.2, 0.6, 400, 32
    # On black, unclipped, an image's root mean square is its mu, with the relative error 1 / sqrt(2 * pixels).
    noisy = Blend((low, high), clip=False)(torch.zeros(count, 1, side, side), seeded(3))
    mu = noisy.square().mean(dim=(1, 2, 3)).sqrt()
    error = mu / math.sqrt(2 * side**2)
    assert ((mu > low - SIGMAS * error) & (mu < high + SIGMAS * error)).all()
    spread = (high - low) / math.sqrt(12)
    assert abs(mu.mean().item() - (low + high) / 2) < SIGMAS * spread / math.sqrt(count)
    # Kolmogorov-Smirnov against the uniform distribution: fails by chance once in 100,000.
    assert stats.kstest(mu.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-5


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (2, 3, 5, 7)])
def test_add_noise_takes_an_image_of_any_shape(shape: tuple[int, ...]) -> None:
    assert add_noise(torch.rand(shape), 0.25).shape == shape


# --- randomness, dtype, shape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [*MODELS, Blend((0.1, 0.4))], ids=repr)
def test_a_generator_reproduces_and_the_global_state_is_untouched(noise: Noise) -> None:
    image, before = gray_patch(), torch.random.get_rng_state()
    first, again, other = noise(image, seeded(4)), noise(image, seeded(4)), noise(image, seeded(5))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)
    generator = seeded(4)
    assert not torch.equal(noise(image, generator), noise(image, generator))  # the generator moves on


@pytest.mark.parametrize("noise", [*MODELS, Blend((0.1, 0.4))], ids=repr)
def test_without_a_generator_torchs_own_is_used(noise: Noise) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(6)
        first = noise(gray_patch())
        torch.manual_seed(6)
        assert torch.equal(noise(gray_patch()), first)


@pytest.mark.parametrize("noise", [*MODELS, Blend((0.1, 0.4)), Blend(0), Gaussian(0, clip=True)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_shape_dtype_and_input_are_kept(noise: Noise, dtype: torch.dtype) -> None:
    image = gray_patch().to(dtype).expand(3, -1, -1, -1).contiguous()
    before = image.clone()
    noisy = noise(image, seeded())
    assert noisy.shape == noise.clean(image).shape and noisy.dtype == dtype and noisy.device == image.device
    noisy.fill_(7)  # the result shares no memory with the input
    assert torch.equal(image, before)


@pytest.mark.parametrize("noise", [Blend(1.0), Gaussian(5.0, clip=True)], ids=repr)
def test_clipped_noise_stays_in_range(noise: Noise) -> None:
    noisy = noise(gray_patch().expand(100, -1, -1, -1), seeded())
    assert noisy.min() == 0 and noisy.max() == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("noise", [*MODELS, Blend((0.1, 0.4))], ids=repr)
def test_noise_on_a_gpu(noise: Noise) -> None:
    image = gray_patch().cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    noisy = noise(image, generator)
    assert noisy.device == image.device
    assert torch.equal(noise(image, generator.manual_seed(0)), noisy)
    if noise in MODELS:  # the others have no closed form
        draws = noise(image.expand(20_000, -1, -1, -1), generator)
        error = (noise.variance(image) / 20_000).sqrt()
        assert ((draws.mean(dim=0) - noise.mean(image)).abs() <= SIGMAS * error + 1e-12).all()
    with pytest.raises(ValueError, match="generator draws on cpu"):
        noise(image, seeded())


# --- values of single models ---------------------------------------------------------------------------------------


def test_poisson_counts_whole_photons() -> None:
    counts = Poisson(5)(gray_patch().expand(50, -1, -1, -1), seeded()) * 5
    assert torch.allclose(counts, counts.round(), rtol=0, atol=1e-9)
    assert (counts >= 0).all() and counts.max() > 5
    assert (Poisson(5)(torch.zeros(1, 1, 8, 8)) == 0).all()  # no light, no noise


def test_bernoulli_blacks_out_whole_pixels() -> None:
    image = gray_patch().clamp_min(0.1).expand(50, -1, -1, -1)
    noisy = Bernoulli(0.4)(image, seeded())
    lost = noisy == 0
    assert torch.equal(lost[:, 0], lost[:, 1])  # one mask for all channels
    assert torch.equal(noisy[~lost], image[~lost])
    assert lost.any() and not lost.all()
    assert torch.equal(Bernoulli(0)(image), image) and (Bernoulli(1)(image) == 0).all()


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (20, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_bernoulli_marks_missing_pixels_where_it_would_black_them_out(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    image = torch.rand(shape, generator=seeded(1)).clamp_min(0.1).to(dtype)
    before = image.clone()
    marked, black = Bernoulli(0.4, missing=math.nan)(image, seeded()), Bernoulli(0.4)(image, seeded())
    missing = marked.isnan()
    assert torch.equal(missing, black == 0) and missing.any() and not missing.all()
    assert marked.shape == shape and marked.dtype == dtype and torch.equal(marked[~missing], image[~missing])
    if len(shape) > 2:
        assert torch.equal(missing, missing.narrow(-3, 0, 1).expand(shape))  # in all channels together
    assert torch.equal(image, before)


def test_a_missing_pixel_takes_no_part_in_the_moments() -> None:
    image, noise = gray_patch(), Bernoulli(0.4, missing=math.nan)
    assert torch.equal(noise.mean(image), image) and torch.equal(noise.clean(image), image)
    assert torch.equal(noise.variance(image), torch.zeros_like(image)) and noise.expected_mse(image) == 0
    # What is kept has just these moments: it is the image, in every draw.
    draws = noise(image.expand(200, -1, -1, -1), seeded())
    assert torch.allclose(draws.nanmean(dim=0), image[0], rtol=0, atol=1e-12)
    assert torch.equal(Bernoulli(0.0, missing=math.nan)(image), image) and Bernoulli(1, missing=math.nan)(image).isnan().all()


def test_bernoulli_with_marked_pixels_is_unbiased() -> None:
    noise = Bernoulli(0.4, missing=math.nan)
    assert noise.unbiased == torch.equal(noise.mean(gray_patch()), noise.clean(gray_patch()))


@pytest.mark.parametrize("missing", [0.5, 1, -1.0, math.inf, "nan", None, torch.tensor(0.5)], ids=repr)
def test_missing_pixels_are_black_or_nan(missing: Any, refused: Any) -> None:
    with refused((ValueError, TypeError), "missing", "NaN"):
        Bernoulli(0.4, missing=missing)


def test_impulse_replaces_whole_pixels() -> None:
    image = gray_patch().expand(50, -1, -1, -1)
    noisy = Impulse(0.4)(image, seeded())
    changed = noisy != image
    assert torch.equal(changed[:, 0], changed[:, 1])
    values = noisy[:, 0][changed[:, 0]]
    assert stats.kstest(values.numpy(), stats.uniform(0, 1).cdf).pvalue > 1e-5
    assert (noisy[:, 0] != noisy[:, 1])[changed[:, 0]].all()  # a colour, not a gray
    assert torch.equal(Impulse(0)(image), image)


def test_salt_and_pepper_is_black_or_white_in_all_channels() -> None:
    image = torch.full((200, 3, 4, 4), 0.5)
    noisy = Impulse(1, salt_and_pepper=True)(image, seeded())
    assert set(noisy.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(noisy[:, 0], noisy[:, 1]) and torch.equal(noisy[:, 0], noisy[:, 2])
    partly = Impulse(0.3, salt_and_pepper=True)(image, seeded())
    assert set(partly.unique().tolist()) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (3, 2, 5, 7)])
@pytest.mark.parametrize("noise", [Bernoulli(0.5), Impulse(0.5), Impulse(0.5, salt_and_pepper=True)], ids=repr)
def test_masks_of_each_image_shape(noise: Noise, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=seeded(1))
    noisy = noise(image, seeded())
    changed = (noisy != image).reshape(-1, 1 if len(shape) == 2 else 2, 5, 7)
    assert noisy.shape == shape and changed.any() and not changed.all()
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    if len(changed) > 1:
        assert not torch.equal(changed[0], changed[1])  # each image has its own mask


# --- PointSample -----------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_point_sample_takes_one_pixel_of_each_cell(cell: int, channels: int, rows: int, columns: int, seed: int) -> None:
    image = torch.rand(2, channels, rows * cell, columns * cell, generator=seeded(seed))
    noisy = PointSample(cell)(image, seeded(seed + 1))
    assert noisy.shape == (2, channels, rows, columns)
    for n in range(2):
        for i in range(rows):
            for j in range(columns):
                block = image[n, :, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell].reshape(channels, -1)
                # Some place of the cell holds the sampled colour in all channels at once.
                assert (block == noisy[n, :, i, j, None]).all(dim=0).any()


def test_point_sample_chooses_all_places_alike() -> None:
    cell, draws = 4, 16_000
    image = torch.arange(cell**2).view(1, 1, cell, cell).float() / 16
    chosen = (PointSample(cell)(image.expand(draws, -1, -1, -1), seeded()) * 16).long().flatten()
    assert stats.chisquare(torch.bincount(chosen, minlength=cell**2).numpy()).pvalue > 1e-5


def test_point_sample_moments_are_those_of_the_cell() -> None:
    image = torch.rand(1, 2, 6, 9, generator=seeded(), dtype=torch.float64)
    cell = image[0, 1, 3:6, 6:9].numpy()
    assert PointSample(3).clean(image)[0, 1, 1, 2].item() == pytest.approx(cell.mean())
    assert PointSample(3).variance(image)[0, 1, 1, 2].item() == pytest.approx(cell.var())
    flat = torch.full((1, 1, 8, 8), 0.3)
    # What is left of each deviation is the rounding of the mean of 64 pixels.
    assert (PointSample(8).variance(flat) <= rounding(64, 0.3, torch.float32) ** 2).all()


@pytest.mark.parametrize("shape", [(1, 1, 15, 16), (1, 1, 16, 15), (1, 16, 16), (16, 16), (1, 1, 1, 16, 16)])
def test_point_sample_refuses_other_sizes(shape: tuple[int, ...], refused: Any) -> None:
    for method in (PointSample(8), PointSample(8).clean, PointSample(8).mean, PointSample(8).variance):
        with refused(ValueError, "(N, C, H, W)"):
            method(torch.rand(shape))


# --- bad input -------------------------------------------------------------------------------------------------------

BAD_IMAGES: list[tuple[Any, type[Exception]]] = [
    ([[0.5]], TypeError),
    (np.zeros((1, 1, 4, 4)), TypeError),
    (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), TypeError),
    (torch.zeros(0, 1, 4, 4), ValueError),
    (torch.rand(4), ValueError),
    (torch.full((1, 1, 4, 4), float("nan")), ValueError),
    (torch.full((1, 1, 4, 4), float("inf")), ValueError),
    (torch.full((1, 1, 4, 4), 1.5), ValueError),
    (torch.full((1, 1, 4, 4), -0.1), ValueError),
]


@pytest.mark.parametrize("noise", [*MODELS, Blend((0.1, 0.4))], ids=repr)
@pytest.mark.parametrize(("image", "error"), BAD_IMAGES, ids=lambda value: getattr(value, "__name__", None) or "image")
def test_bad_images_are_refused_everywhere(noise: Noise, image: Any, error: type[Exception], refused: Any) -> None:
    methods = [noise, noise.clean] + ([] if noise == Blend((0.1, 0.4)) else [noise.mean, noise.variance, noise.expected_mse])
    for method in methods:
        with refused(error, "image"):
            method(image)


@pytest.mark.parametrize("noise", [*MODELS, Blend((0.1, 0.4))], ids=repr)
@pytest.mark.parametrize("generator", [0, "cpu", np.random.default_rng(0)], ids=["int", "str", "numpy"])
def test_a_generator_of_another_kind_is_refused(noise: Noise, generator: Any, refused: Any) -> None:
    with refused(TypeError, "generator"):
        noise(gray_patch(), generator)


@pytest.mark.parametrize(
    ("mu", "error"),
    [
        (-0.01, ValueError), (1.01, ValueError), (float("nan"), ValueError), (float("inf"), ValueError),
        ("0.25", TypeError), (True, TypeError), (None, TypeError), ([0.1], TypeError), (1j, TypeError),
        (torch.tensor(1.5), ValueError), (torch.tensor([1.5]), ValueError), (torch.tensor([-0.5]), ValueError),
        (torch.tensor([float("nan")]), ValueError), (torch.tensor([0.1, 0.2]), ValueError),
        (torch.tensor([[0.1]]), ValueError), (torch.tensor(True), TypeError),
    ],
    ids=str,
)  # fmt: skip
def test_bad_mu(mu: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "mu"):
        add_noise(gray_patch(), mu)


def test_a_tensor_mu_needs_a_batch(refused: Any) -> None:
    with refused(ValueError, "mu", "(N,)"):
        add_noise(torch.rand(4, 4), torch.rand(4))


@pytest.mark.parametrize("model", LEVELLED)
@pytest.mark.parametrize(
    ("level", "error"),
    [(-0.1, ValueError), (float("nan"), ValueError), ("0.1", TypeError), (True, TypeError), (None, TypeError)],
)
def test_bad_levels_are_refused_when_the_model_is_made(model: Any, level: Any, error: type[Exception], refused: Any) -> None:
    name = {Blend: "mu", Gaussian: "sigma", Poisson: "peak", Bernoulli: "p", Impulse: "p"}[model]
    with refused(error, f"{name} must"):
        model(level)


@pytest.mark.parametrize("model", [Blend, Bernoulli, Impulse])
def test_probabilities_end_at_one(model: Any, refused: Any) -> None:
    model(1)
    with refused(ValueError, "[0, 1]"):
        model(1.01)


def test_bad_ranges_and_sizes(refused: Any) -> None:
    for bad in ((0.5, 0.1), (0.1,), (0.1, 0.2, 0.3), (-0.1, 0.5), (0.1, 1.5)):
        with refused(ValueError, "mu"):
            Blend(bad)  # type: ignore[arg-type]
    for bad_type in (("a", 0.5), [0.1, 0.5], (True, 1)):
        with refused(TypeError, "mu"):
            Blend(bad_type)  # type: ignore[arg-type]
    with refused(ValueError, "peak"):
        Poisson(0)
    for cell, error in ((0, ValueError), (-8, ValueError), (8.0, TypeError), ("8", TypeError), (True, TypeError)):
        with refused(error, "cell"):
            PointSample(cell)  # type: ignore[arg-type]
    with refused(ValueError, "(N, C, H, W)"):
        Blend((0.1, 0.5))(torch.rand(28, 28))


def test_models_are_values() -> None:
    assert Blend(0.25) == copy.copy(Blend(0.25)) != Blend(0.3)
    with pytest.raises(AttributeError):
        Blend(0.25).mu = 0.5  # type: ignore[misc]


# --- names on the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("blend:0.25", Blend(0.25)), ("gaussian:0.1", Gaussian(0.1)), ("poisson:30", Poisson(30.0)),
        ("bernoulli:0.5", Bernoulli(0.5)), ("impulse:0.3", Impulse(0.3)),
        ("blend:0-0.5", Blend((0.0, 0.5))), ("blend:.1-.4", Blend((0.1, 0.4))), ("blend:0.3-0.3", Blend((0.3, 0.3))),
        ("blend:1e-3", Blend(0.001)), ("gaussian:5E-2", Gaussian(0.05)), ("blend:0", Blend(0.0)),
    ],
)  # fmt: skip
def test_parse_noise(text: str, model: Noise) -> None:
    assert parse_noise(text) == model


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("blend", "KIND:LEVEL"), ("blend:", "KIND:LEVEL"), ("blend:a", "KIND:LEVEL"), ("blend:0.1:0.2", "KIND:LEVEL"),
        ("blur:1", "noise must be one of"), ("", "noise must be one of"), ("blend:2", "mu must be in [0, 1]"),
        ("poisson:0", "peak"), ("blend:0.1-0.2-0.3", "blend:LOW-HIGH"), ("blend:0.1-", "blend:LOW-HIGH"),
        ("blend:-0.5", "mu must be in [0, 1]"), ("blend:a-b", "'blend:0-0.5'"), ("blend:0.5-0.1", "low <= high"),
        ("blend:0-2", "mu must be in [0, 1]"), ("blend:nan-0.5", "mu must be in [0, 1]"), ("gaussian:0-0.5", "KIND:LEVEL"),
    ],
)  # fmt: skip
def test_parse_noise_refuses(text: str, word: str, refused: Any) -> None:
    with refused(ValueError, word):
        parse_noise(text)


@pytest.mark.parametrize("text", [None, 0.25, ["blend:0.25"]])
def test_parse_noise_reads_a_text(text: Any, refused: Any) -> None:
    with refused(TypeError, "noise must be a text", "'blend:0.25'"):
        parse_noise(text)
