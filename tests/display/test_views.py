from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from denoise_lib.corruptions import PointSample
from denoise_lib.data import photos
from denoise_lib.display.figures import BLACK, GREEN, mark, residual, tile
from denoise_lib.display.views import (
    BROKEN,
    SALIENCY_MAPS,
    example_digits,
    example_pair,
    models_for,
    noisy_copy,
    own_digit,
    render_assumptions,
    render_denoised,
    render_estimators,
    render_filters,
    render_noise,
    render_smoothgrad,
    saliency_samples,
)
from denoise_lib.kernels import MARGIN, center_contrast, filters, matched_gaussian, windows
from denoise_lib.metrics import mse, psnr
from denoise_lib.noise import Blend
from denoise_lib.pretrained.weights import load_pretrained
from denoise_lib.saliency import loss_gradient, output_gradient, output_sum, smoothgrad, smoothgrad_samples, squared_error
from denoise_lib.sources.download import DataError
from denoise_lib.tnet import TNet

pytestmark = pytest.mark.numbers

LINE, GAP = 20, 12  # of a panel's title, and between its cells
PIXEL = (9, 20)


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Square(nn.Module):
    """f(x) = x^2: its gradients are exact, whatever the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


def box_blur() -> nn.Module:
    """The mean of 3x3 pixels, channel by channel."""
    layer = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
    nn.init.constant_(layer.weight, 1 / 9)
    return layer


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    return example_pair(0)


# --- digits ---


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
    chosen = models_for(0.38)
    assert list(chosen) == ["U-Net", "autoencoder"]
    with torch.inference_mode():
        assert torch.equal(chosen["U-Net"](noisy), load_pretrained("unet-severe")(noisy))
    assert list(models_for(0.38, "blind")) == ["U-Net (blind)"]
    with pytest.raises(ValueError, match="choice"):
        models_for(0.3, "best")
    with pytest.raises(ValueError, match="mu"):
        models_for(1.3)


# --- a digit of one's own ---


def file_of(gray: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gray.astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def ink_on_paper(paper: float, ink: float, size: tuple[int, int] = (28, 28)) -> np.ndarray:
    """A thick vertical stroke in the middle."""
    sheet = np.full(size, paper)
    rows, columns = size
    sheet[rows // 4 : -(rows // 4), columns // 2 - columns // 7 : columns // 2 + columns // 7] = ink
    return sheet


@pytest.mark.parametrize(("paper", "ink"), [(0, 255), (255, 0), (230, 40), (20, 200)])
def test_a_digit_of_ones_own_is_white_on_black(paper: float, ink: float) -> None:
    digit = own_digit(file_of(ink_on_paper(paper, ink)))
    assert digit.shape == (1, 1, 28, 28) and digit.dtype == torch.float32
    torch.testing.assert_close(digit, torch.from_numpy(ink_on_paper(0, 1)).float()[None, None])


def test_a_large_photo_of_a_digit_is_cut_and_reduced() -> None:
    wide = np.full((280, 500), 255.0)
    wide[:, 110:390] = ink_on_paper(255, 0, (280, 280))
    for kind in ("PNG", "JPEG"):
        digit = own_digit(file_of(wide, kind))
        assert digit.shape == (1, 1, 28, 28) and digit.min() == 0 and digit.max() == 1
        assert digit[0, 0, 14, 14] > 0.95 and digit[0, 0, 14, 2] < 0.05 and digit[0, 0, 2, 14] < 0.05


def test_an_empty_sheet_has_no_digit_and_no_nan() -> None:
    for gray in (0, 128, 255):
        assert not own_digit(file_of(np.full((40, 40), gray))).any()


@pytest.mark.parametrize("content", [b"", b"no image", file_of(np.zeros((9, 9)))[:40]])
def test_bytes_that_are_no_image(content: bytes, refused: Any) -> None:
    with refused(DataError, "image", "cannot be read"):
        own_digit(content)


# --- noisy targets ---


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
    ):
        with refused(ValueError):
            call()


# --- a photo as an example ---


def test_an_example_pair_is_a_photo_noisy_and_clean(pair: tuple[Tensor, Tensor]) -> None:
    large = photos("all")
    for index in (0, 6):
        noisy, clean = example_pair(index)
        assert noisy.shape == clean.shape == (1, 3, 32, 32) and noisy.dtype == clean.dtype == torch.float32
        assert clean.min() >= 0 and clean.max() <= 1 and not torch.equal(noisy, clean)
        torch.testing.assert_close(clean, PointSample().clean(large[index : index + 1].float() / 255))
    assert not torch.equal(example_pair(1)[1], pair[1])


def test_the_seed_of_an_example_pair_is_that_of_its_noise(pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = example_pair(0)
    assert torch.equal(noisy, pair[0]) and torch.equal(clean, pair[1])
    other, same = example_pair(0, seed=1)
    assert torch.equal(same, clean) and not torch.equal(other, noisy)


def test_an_example_pair_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    example_pair(2, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("index", "seed", "error", "words"),
    [
        (7, 0, ValueError, ("index", "7")),
        (-1, 0, ValueError, ("index", "-1")),
        (0.0, 0, TypeError, ("index",)),
        (True, 0, TypeError, ("index",)),
        ("0", 0, TypeError, ("index",)),
        (0, -1, ValueError, ("seed", "-1")),
        (0, 1.5, TypeError, ("seed",)),
        (0, None, TypeError, ("seed",)),
    ],
)
def test_bad_example_pairs(index: Any, seed: Any, error: type[Exception], words: tuple[str, ...], refused: Any) -> None:
    with refused(error, *words):
        example_pair(index, seed)


# --- SmoothGrad's samples ---


def score_of(which: str, model: nn.Module, clean: Tensor) -> tuple[Any, Tensor | None]:
    return {
        "error: dL/dX": (squared_error(model), clean),
        "sum of outputs": (output_sum(model), None),
        "filter of the pixel": (output_sum(model, PIXEL), None),
    }[which]


@pytest.mark.parametrize("which", SALIENCY_MAPS)
def test_the_samples_are_those_that_smoothgrad_averages(which: str, pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = pair
    model = load_pretrained("tnet")
    score, context = score_of(which, model, clean)
    found = saliency_samples(which, model, noisy, clean, PIXEL, 0.15, 3, 5)
    assert found.shape == (3, 3, 32, 32)
    options = {"n_samples": 3, "noise_level": 0.15, "context": context}
    torch.testing.assert_close(found, smoothgrad_samples(score, noisy, **options, generator=seeded(5)), rtol=0, atol=0)
    torch.testing.assert_close(found.mean(0)[None], smoothgrad(score, noisy, **options, generator=seeded(5)))
    assert not torch.equal(found, saliency_samples(which, model, noisy, clean, PIXEL, 0.15, 3, 6))
    assert not torch.equal(found, saliency_samples(which, model, noisy, clean, PIXEL, 0.1, 3, 5))


def test_without_noise_the_samples_are_the_plain_gradients(pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = pair
    model = load_pretrained("tnet")
    plain = (loss_gradient(model, noisy, clean), output_gradient(model, noisy), output_gradient(model, noisy, PIXEL))
    for which, expected in zip(SALIENCY_MAPS, plain, strict=True):
        found = saliency_samples(which, model, noisy, clean, PIXEL, 0.0, 2)
        torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-4, atol=1e-5)
    assert len({float(gradient.abs().sum()) for gradient in plain}) == 3  # three maps, three answers


@pytest.mark.parametrize("which", SALIENCY_MAPS)
def test_fewer_samples_are_the_first_of_more(which: str, pair: tuple[Tensor, Tensor]) -> None:
    for model in (Square(), load_pretrained("tnet")):
        many = saliency_samples(which, model, *pair, PIXEL, 0.15, 70)
        for count in (1, 4, 66):  # SmoothGrad takes 64 at once
            few = saliency_samples(which, model, *pair, PIXEL, 0.15, count)
            torch.testing.assert_close(few, many[:count], rtol=0, atol=0 if isinstance(model, Square) else 1e-5)


def test_the_pixel_matters_to_its_own_map_alone(pair: tuple[Tensor, Tensor]) -> None:
    for which in SALIENCY_MAPS:
        one, other = (saliency_samples(which, Square(), *pair, pixel, 0.1, 2) for pixel in (PIXEL, (3, 4)))
        assert torch.equal(one, other) == (which != "filter of the pixel")


def test_samples_leave_the_global_generator_and_the_network_alone(pair: tuple[Tensor, Tensor]) -> None:
    model = load_pretrained("tnet")
    before = torch.random.get_rng_state()
    saliency_samples(SALIENCY_MAPS[0], model, *pair, PIXEL, 0.1, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"which": "loss"}, ValueError, ("which", "'loss'", "'error: dL/dX'")),
        ({"which": None}, ValueError, ("which",)),
        ({"pixel": (32, 0)}, ValueError, ("pixel", "32")),
        ({"pixel": (0, 32)}, ValueError, ("pixel", "32")),
        ({"pixel": (-1, 0)}, ValueError, ("pixel", "row")),
        ({"pixel": (1.5, 0)}, TypeError, ("pixel", "row")),
        ({"pixel": 16}, TypeError, ("pixel",)),
        ({"pixel": (1, 2, 3)}, TypeError, ("pixel",)),
        ({"noise_level": -0.1}, ValueError, ("noise_level",)),
        ({"noise_level": "0.1"}, TypeError, ("noise_level",)),
        ({"count": 0}, ValueError, ("samples", "0")),
        ({"count": 1.5}, TypeError, ("samples",)),
        ({"seed": -1}, ValueError, ("seed",)),
        ({"seed": 0.5}, TypeError, ("seed",)),
        ({"noisy": torch.rand(2, 3, 8, 8), "clean": torch.rand(2, 3, 8, 8), "pixel": (1, 1)}, ValueError, ("one image",)),
    ],
)
@pytest.mark.parametrize("which", SALIENCY_MAPS)
def test_bad_input_of_the_samples(
    which: str, change: dict[str, Any], error: type[Exception], words: tuple[str, ...], pair: tuple[Tensor, Tensor],
    refused: Any,
) -> None:  # fmt: skip
    arguments = {"which": which, "model": Square(), "noisy": pair[0], "clean": pair[1], "pixel": PIXEL}
    with refused(error, *words):
        saliency_samples(**{**arguments, "noise_level": 0.1, "count": 2, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [lambda clean: clean[:, :1], lambda clean: clean[..., :1], lambda clean: clean[..., :16]])
def test_the_clean_photo_has_the_shape_of_the_noisy_one(cut: Any, pair: tuple[Tensor, Tensor], refused: Any) -> None:
    with refused(ValueError, "clean", "shape"):
        saliency_samples(SALIENCY_MAPS[0], Square(), pair[0], cut(pair[1]), PIXEL, 0.1, 2)


def test_a_network_in_training_mode_is_evaluated(pair: tuple[Tensor, Tensor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TNet(batch_norm=True)
    expected = saliency_samples(SALIENCY_MAPS[1], model.eval(), *pair, PIXEL, 0.1, 3)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert buffers  # there are statistics that could change
    found = saliency_samples(SALIENCY_MAPS[1], model.train(), *pair, PIXEL, 0.1, 3)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    torch.testing.assert_close(found, expected)


# --- SmoothGrad's picture ---


def cells(sheet: np.ndarray, rows: int, columns: int = 3) -> list[np.ndarray]:
    """The cells of a panel without their titles, each larger than its picture."""
    height, width = (sheet.shape[0] + GAP) // rows, (sheet.shape[1] + GAP) // columns
    tops, lefts = [row * height + LINE for row in range(rows)], [column * width for column in range(columns)]
    return [sheet[top : top + height - GAP - LINE, left : left + width - GAP] for top in tops for left in lefts]


def scale_of(photo: np.ndarray) -> int:
    """The size of a pixel, from the frame around one."""
    return int((photo == GREEN).all(axis=-1).any(axis=1).sum())


def drawn(samples: Tensor, pair: tuple[Tensor, Tensor], noise_level: float = 0.15) -> tuple[np.ndarray, str]:
    with no_warnings():
        return render_smoothgrad(samples, *pair, PIXEL, noise_level, SALIENCY_MAPS[0])


@pytest.fixture(scope="module")
def samples(pair: tuple[Tensor, Tensor]) -> Tensor:
    return saliency_samples(SALIENCY_MAPS[0], load_pretrained("tnet"), *pair, PIXEL, 0.15, 12)


def test_the_same_samples_give_the_same_bytes(samples: Tensor, pair: tuple[Tensor, Tensor]) -> None:
    kept = samples.clone()
    (first, words), (second, same_words) = drawn(samples, pair), drawn(samples, pair)
    assert first.tobytes() == second.tobytes() and words == same_words
    assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3
    assert torch.equal(samples, kept)
    assert not np.array_equal(first, drawn(samples[:6], pair)[0])


@pytest.mark.parametrize("count", [2, 3, 12])
def test_the_text_says_what_the_samples_say(count: int, samples: Tensor, pair: tuple[Tensor, Tensor]) -> None:
    _, words = drawn(samples[:count], pair)
    gray = samples[:count].double().mean(1)
    size, error = gray.mean(0).abs().mean().item(), (gray.std(0) / count**0.5).mean().item()
    assert words.startswith("error: dL/dX   noise level 15%   ") and f" n {count} " in words
    told_size, told_error = numbers_in(words)
    assert told_size == pytest.approx(size, abs=0.00051) and told_error == pytest.approx(error, abs=0.000051) and error > 0.005


def test_the_pictures_are_the_photo_its_noise_and_the_two_maps(samples: Tensor, pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = pair
    photo, noise, one, mean, curve, _ = cells(drawn(samples, pair)[0], 2)
    scale = scale_of(photo)
    side = 32 * scale
    np.testing.assert_array_equal(photo[:side, :side], mark(tile(noisy, scale=scale), PIXEL, scale))
    off = (noisy - clean).mean(1, keepdim=True)
    np.testing.assert_array_equal(noise[:side, :side], residual(off, limit=0.5, scale=scale))
    maps = [samples[0].mean(0), samples.double().mean((0, 1)).float()]
    limit = float(np.quantile(maps[1].abs().numpy(), 0.99))
    for found, expected in zip((one, mean), maps, strict=True):  # one scale for both
        picture = mark(residual(expected[None, None], limit=limit, scale=scale), PIXEL, scale, BLACK)
        assert np.abs(found[:side, :side].astype(int) - picture).max() <= 1
    assert (curve < 128).any()


def test_the_pixel_is_framed(samples: Tensor, pair: tuple[Tensor, Tensor]) -> None:
    photo, _, one, mean, *_ = cells(drawn(samples, pair)[0], 2)
    scale = scale_of(photo)
    top, left = PIXEL[0] * scale, PIXEL[1] * scale
    assert scale >= 6  # large enough to be seen
    for picture, colour in ((photo, GREEN), (one, BLACK), (mean, BLACK)):
        block = picture[top : top + scale, left : left + scale]
        assert (block[[0, -1]] == colour).all() and (block[:, [0, -1]] == colour).all()
        assert not (block[1:-1, 1:-1] == colour).all(axis=-1).any()
    assert (photo == GREEN).all(axis=-1).sum() == 4 * (scale - 1)  # one frame, and no other


def test_one_sample_is_enough(samples: Tensor, pair: tuple[Tensor, Tensor]) -> None:
    picture, words = drawn(samples[:1], pair)
    assert " n 1 " in words and f"mean size {samples[0].mean(0).abs().mean():.3f}" in words
    _, _, one, mean, *_ = cells(picture, 2)
    np.testing.assert_array_equal(one, mean)
    assert picture.shape == drawn(samples, pair)[0].shape  # so that nothing jumps as the slider moves


def test_one_sample_has_no_standard_error_to_tell(samples: Tensor, pair: tuple[Tensor, Tensor]) -> None:
    assert "nan" not in drawn(samples[:1], pair)[1]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_noise_of_level_zero_has_no_error(count: int, pair: tuple[Tensor, Tensor]) -> None:
    found = saliency_samples(SALIENCY_MAPS[0], Square(), *pair, PIXEL, 0.0, count)
    picture, words = drawn(found, pair, 0.0)
    assert "noise level 0%" in words and ("standard error 0.0000" in words) == (count > 1)
    _, _, one, mean, *_ = cells(picture, 2)
    np.testing.assert_array_equal(one, mean)


def test_a_map_of_zeros_can_be_drawn(pair: tuple[Tensor, Tensor]) -> None:
    picture, words = drawn(torch.zeros(4, 3, 32, 32), pair)
    assert "mean size 0.000   standard error 0.0000" in words
    photo, _, _, mean, *_ = cells(picture, 2)
    mean = mean[: 32 * scale_of(photo), : 32 * scale_of(photo)]
    assert set(np.unique(mean)) == {0, 255}  # white, and the frame


def test_gray_images_have_maps_too() -> None:
    noisy, clean = torch.rand(1, 1, 32, 32, generator=seeded(0)), torch.rand(1, 1, 32, 32, generator=seeded(1))
    picture, words = drawn(saliency_samples(SALIENCY_MAPS[0], Square(), noisy, clean, PIXEL, 0.15, 3), (noisy, clean))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and " n 3 " in words


def test_a_frame_outside_of_the_photo_is_refused(samples: Tensor, pair: tuple[Tensor, Tensor], refused: Any) -> None:
    for pixel in ((32, 0), (0, -1)):
        with refused(ValueError, "pixel", "outside"):
            render_smoothgrad(samples, *pair, pixel, 0.15, SALIENCY_MAPS[0])


# --- filters ---


def test_the_text_tells_the_networks_weights(pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = pair
    models = {"TNet": load_pretrained("tnet"), "blur": box_blur(), "nothing": nn.Identity()}
    picture, words = render_filters(PIXEL, models, noisy, clean)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    lines = words.splitlines()
    assert [line.split()[0] for line in lines] == ["TNet", "blur", "nothing", "Gaussian"]
    told = [numbers_in(line) for line in lines]
    patch = clean.mean(1)[0, PIXEL[0] - 4 : PIXEL[0] + 5, PIXEL[1] - 4 : PIXEL[1] + 5]
    for (own, inside, unlike), model in zip(told, models.values(), strict=False):
        weights = filters(model, noisy, [PIXEL])[0].sum(0)
        window = weights[PIXEL[0] - 4 : PIXEL[0] + 5, PIXEL[1] - 4 : PIXEL[1] + 5]
        assert own == pytest.approx(weights[PIXEL].item(), abs=0.0051)
        assert inside == pytest.approx(window.sum().item(), abs=0.0051)
        away = (window.abs() * (patch - clean.mean(1)[0][PIXEL]).abs()).sum() / window.abs().sum()
        assert unlike == pytest.approx(away.item(), abs=0.00051)
    assert told[1][:2] == [0.11, 1.0] and told[2] == [1.0, 1.0, 0.0]  # 1/9 of each of nine pixels, and the pixel itself


def test_the_gaussian_is_as_wide_as_the_first_network(pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = pair
    for names in (("TNet", "blur"), ("blur", "TNet")):
        models = {name: {"TNet": load_pretrained("tnet"), "blur": box_blur()}[name] for name in names}
        kernel = matched_gaussian(windows(filters(models[names[0]], noisy, [PIXEL]).sum(1), [PIXEL]))
        away = center_contrast(kernel, windows(clean.mean(1), [PIXEL]))
        own, inside, unlike = numbers_in(render_filters(PIXEL, models, noisy, clean)[1].splitlines()[-1])
        assert (own, inside) == (pytest.approx(kernel[0, MARGIN, MARGIN].item(), abs=0.0051), 1.0)
        assert unlike == pytest.approx(away.item(), abs=0.00051)


def test_the_pixel_is_framed_in_photo_and_window(pair: tuple[Tensor, Tensor]) -> None:
    noisy, clean = pair
    picture, _ = render_filters(PIXEL, {"blur": box_blur()}, noisy, clean)
    photo, window, blur, gaussian, *_ = cells(picture, 2)
    scale, large = scale_of(photo), scale_of(window)
    np.testing.assert_array_equal(photo[: 32 * scale, : 32 * scale], mark(tile(noisy, scale=scale), PIXEL, scale))
    row, column = PIXEL
    cut = tile(clean[:, :, row - 4 : row + 5, column - 4 : column + 5], scale=large)
    np.testing.assert_array_equal(window[: 9 * large, : 9 * large], mark(cut, (4, 4), large))
    kernel = torch.zeros(1, 1, 9, 9)
    kernel[0, 0, 3:6, 3:6] = 1 / 9
    expected = mark(residual(kernel, limit=0.4, scale=large), (4, 4), large, BLACK)
    assert np.abs(blur[: 9 * large, : 9 * large].astype(int) - expected).max() <= 1
    assert not np.array_equal(gaussian[: 9 * large, : 9 * large], expected)


def test_the_same_filters_give_the_same_bytes(pair: tuple[Tensor, Tensor]) -> None:
    models = {"TNet": load_pretrained("tnet")}
    (first, words), (second, same_words) = (render_filters(PIXEL, models, *pair) for _ in range(2))
    assert first.tobytes() == second.tobytes() and words == same_words
    other, other_words = render_filters((9, 21), models, *pair)
    assert not np.array_equal(other, first) and other_words != words


def test_a_network_that_is_trained_can_be_read_and_stays_in_its_mode(pair: tuple[Tensor, Tensor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TNet(batch_norm=True).eval()
    expected = render_filters(PIXEL, {"TNet": model}, *pair)[1]
    assert render_filters(PIXEL, {"TNet": model.train()}, *pair)[1] == expected and model.training


@pytest.mark.parametrize("pixel", [(3, 16), (16, 3), (28, 16), (16, 28), (0, 0), (31, 31)])
def test_pixels_at_the_border_have_no_window(pixel: tuple[int, int], pair: tuple[Tensor, Tensor], refused: Any) -> None:
    with refused(ValueError, "pixel", str(pixel), "border"):
        render_filters(pixel, {"nothing": nn.Identity()}, *pair)
    row, column = (min(max(place, 4), 27) for place in pixel)
    render_filters((row, column), {"nothing": nn.Identity()}, *pair)  # the outermost that has one


@pytest.mark.parametrize(
    ("pixel", "error"), [((32, 16), ValueError), ((16, -1), ValueError), ((16.0, 16), TypeError), (16, TypeError)]
)
def test_bad_pixels_of_the_filters(pixel: Any, error: type[Exception], pair: tuple[Tensor, Tensor], refused: Any) -> None:
    with refused(error, "pixel"):
        render_filters(pixel, {"nothing": nn.Identity()}, *pair)


def test_filters_need_a_network(pair: tuple[Tensor, Tensor], refused: Any) -> None:
    with refused(ValueError, "models"):
        render_filters(PIXEL, {}, *pair)
