from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import rounding
from torch import Tensor, nn

from denoise_lib import saliency
from denoise_lib.saliency import (
    check_pixel,
    loss_gradient,
    output_gradient,
    output_sum,
    self_sensitivity,
    self_sensitivity_with_error,
    smoothgrad,
    smoothgrad_samples,
    smoothgrad_with_error,
    squared_error,
)
from denoise_lib.tnet import TNet

pytestmark = pytest.mark.numbers


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_network(seed: int = 0) -> nn.Module:
    """A smooth network in float64, for finite differences."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, 2, 3, padding=1)).double()


def linear(kernel: Tensor) -> nn.Module:
    """A convolution without bias: a denoiser whose Jacobian is known."""
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[-1], padding=kernel.shape[-1] // 2, bias=False)
    layer.weight.data.copy_(kernel)
    return layer.to(kernel.dtype)


def images(count: int = 2, channels: int = 2, side: int = 6, seed: int = 1) -> Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(seed), dtype=torch.float64)


def error_by_rounding(samples: int, value: float) -> float:
    """What rounding alone makes of the standard error of equal samples: the root of what two sums of their squares differ by.

    The variance is the mean of `samples` squares less the square of the mean. Both are value^2; in their difference only
    the rounding of two sums of `samples` terms, and of the two squares, is left.
    """
    return math.sqrt(rounding(2 * samples + 2, value**2) / (samples - 1))


# --- gradients against finite differences and closed forms ---


def differences(score: Any, x: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences of a score of one image (1, C, H, W), pixel by pixel."""
    result = torch.zeros_like(x)
    for place in range(x.numel()):
        change = torch.zeros(x.numel(), dtype=x.dtype)
        change[place] = step
        change = change.view_as(x)
        with torch.no_grad():
            result.view(-1)[place] = (score(x + change) - score(x - change)).item() / (2 * step)
    return result


def test_loss_gradient_is_that_of_finite_differences() -> None:
    model, x, target = small_network(), images(1), images(1, seed=2)
    expected = differences(lambda image: (model(image) - target).square().sum(), x)
    torch.testing.assert_close(loss_gradient(model, x, target), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pixel", [None, (0, 0), (3, 5)])
def test_output_gradient_is_that_of_finite_differences(pixel: tuple[int, int] | None) -> None:
    model, x = small_network(), images(1)

    def score(image: Tensor) -> Tensor:
        output = model(image)
        return output.sum() if pixel is None else output[..., pixel[0], pixel[1]].sum()

    torch.testing.assert_close(output_gradient(model, x, pixel), differences(score, x), rtol=1e-6, atol=1e-8)


def test_self_sensitivity_is_the_diagonal_of_the_jacobian() -> None:
    model, x = small_network(), images(2, side=4)
    for image, diagonal in zip(x, self_sensitivity(model, x, batch_size=7), strict=True):
        jacobian = torch.func.jacrev(lambda flat: model(flat.view(1, 2, 4, 4)).flatten())(image.flatten())
        torch.testing.assert_close(diagonal.flatten(), jacobian.diagonal())


def test_probes_approach_the_diagonal() -> None:
    model, x = small_network(), images(1, side=4)
    exact = self_sensitivity(model, x)
    errors = []
    for probes in (16, 1024):
        estimate = self_sensitivity(model, x, method="probes", probes=probes, generator=seeded(0))
        errors.append(float((estimate - exact).square().mean().sqrt()))
    assert errors[1] < errors[0] / 4  # 1/sqrt(n): a factor of 8
    # Of a diagonal Jacobian, one probe gives the diagonal: v * v = 1.
    scale = linear(torch.tensor([0.5, 2.0], dtype=torch.float64).diag().view(2, 2, 1, 1))
    one = self_sensitivity(scale, x, method="probes", probes=1, generator=seeded(0))
    torch.testing.assert_close(one[:, 0], torch.full_like(one[:, 0], 0.5))
    torch.testing.assert_close(one[:, 1], torch.full_like(one[:, 1], 2.0))


def test_the_self_sensitivity_of_a_linear_denoiser_is_its_kernels_middle() -> None:
    kernel = torch.randn(3, 3, 3, 3, generator=seeded(3), dtype=torch.float64)
    x, middle = images(2, channels=3, side=4), kernel[:, :, 1, 1]
    expected = middle.diagonal().view(1, 3, 1, 1).expand_as(x)
    torch.testing.assert_close(self_sensitivity(linear(kernel), x), expected)
    # All channels of a pixel moved by t move the mean of its outputs by t/C times the sum of the C x C block.
    together = self_sensitivity(linear(kernel), x, colors="joint")
    torch.testing.assert_close(together, torch.full((2, 1, 4, 4), float(middle.sum()) / 3, dtype=torch.float64))


def test_the_error_of_the_identity() -> None:
    x, target = images(2), images(2, seed=5)
    torch.testing.assert_close(loss_gradient(nn.Identity(), x, target), 2 * (x - target))
    torch.testing.assert_close(output_gradient(nn.Identity(), x), torch.ones_like(x))


def test_self_sensitivity_of_the_colours_together_is_that_of_a_jacobian() -> None:
    model, x = small_network(), images(2, side=4)
    found = self_sensitivity(model, x, colors="joint", batch_size=5)
    assert found.shape == (2, 1, 4, 4)
    for image, shown in zip(x, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda y: model(y[None])[0], image)  # (C, H, W, C, H, W)
        blocks = jacobian.sum((0, 3)).view(16, 16) / 2
        torch.testing.assert_close(shown.flatten(), blocks.diagonal())


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_self_sensitivity_does_not_depend_on_batches(colors: Any, batch_size: int) -> None:
    model, x = small_network(), images(3, side=4)
    expected = torch.cat([self_sensitivity(model, image, colors=colors) for image in x.split(1)])
    torch.testing.assert_close(self_sensitivity(model, x, colors=colors, batch_size=batch_size), expected)


@pytest.mark.parametrize("pixel", [None, (2, 1), torch.eye(6, dtype=torch.bool)])
def test_the_gradients_of_a_batch_are_those_of_its_images(pixel: Any) -> None:
    model, x, target = small_network(), images(3), images(3, seed=2)
    alone = torch.cat([output_gradient(model, image, pixel) for image in x.split(1)])
    torch.testing.assert_close(output_gradient(model, x, pixel), alone)
    errors = [loss_gradient(model, image, clean) for image, clean in zip(x.split(1), target.split(1), strict=True)]
    torch.testing.assert_close(loss_gradient(model, x, target), torch.cat(errors))


# --- self-influence by probes, with its error ---


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_the_mean_with_error_is_self_sensitivity_by_probes(colors: Any) -> None:
    model, x = small_network(), images(2)
    found = self_sensitivity_with_error(model, x, colors=colors, probes=5, generator=seeded(3))
    plain = self_sensitivity(model, x, method="probes", colors=colors, probes=5, generator=seeded(3))
    assert torch.equal(found.mean, plain) and found.standard_error.shape == plain.shape
    other = self_sensitivity_with_error(model, x, colors=colors, probes=5, generator=seeded(4))
    assert not torch.equal(found.mean, other.mean)


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_the_error_of_probes_covers_the_truth(colors: Any) -> None:
    model, x = small_network(), images(2)
    exact = self_sensitivity(model, x, colors=colors)
    scores = []
    for seed in range(6):
        found = self_sensitivity_with_error(model, x, colors=colors, probes=64, generator=seeded(seed))
        scores.append((found.mean - exact) / found.standard_error)
    off = torch.stack(scores)
    assert float((off.abs() < 4).double().mean()) > 0.99
    assert 0.8 < float(off.square().mean().sqrt()) < 1.25  # neither too small nor too large
    assert abs(float(off.mean())) < 0.2


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_the_error_of_probes_has_a_closed_form_for_a_linear_network(colors: Any) -> None:
    """v_p (J^T v)_p is J_pp plus a sum of J_qp with random signs over the other places q: variance sum_q J_qp^2."""
    model, x = linear(torch.randn(2, 2, 3, 3, generator=seeded(5), dtype=torch.float64)), images(1)
    jacobian = torch.autograd.functional.jacobian(lambda y: model(y[None])[0], x[0])
    matrix = jacobian.reshape(72, 72) if colors == "per_channel" else jacobian.sum((0, 3)).reshape(36, 36) / 2
    others = matrix - matrix.diagonal().diag()
    found = self_sensitivity_with_error(model, x, colors=colors, probes=3000, generator=seeded(0))
    expected = (others.square().sum(0) / 3000).sqrt()
    torch.testing.assert_close(found.standard_error.flatten(), expected, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_the_error_of_probes_falls_with_the_root_of_their_number(colors: Any) -> None:
    model, x = small_network(), images(1)
    errors = [
        float(self_sensitivity_with_error(model, x, colors=colors, probes=n, generator=seeded(0)).standard_error.mean())
        for n in (50, 200, 800)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15) and errors[1] / errors[2] == pytest.approx(2, rel=0.15)
    one = self_sensitivity_with_error(model, x, colors=colors, probes=1, generator=seeded(0))
    assert one.standard_error.isinf().all() and one.mean.isfinite().all()


@pytest.mark.parametrize(("colors", "expected"), [("per_channel", [0.5, 2.0]), ("joint", [1.25])])
def test_probes_are_exact_for_a_diagonal_network(colors: Any, expected: list[float]) -> None:
    scale, x = linear(torch.tensor([0.5, 2.0], dtype=torch.float64).diag().view(2, 2, 1, 1)), images(2)
    found = self_sensitivity_with_error(scale, x, colors=colors, probes=3, generator=seeded(0))
    wanted = torch.tensor(expected, dtype=torch.float64).view(1, -1, 1, 1).expand(2, -1, 6, 6)
    torch.testing.assert_close(found.mean, wanted)
    assert float(found.standard_error.max()) == 0


def test_probes_of_the_colours_together_mix_them_exactly() -> None:
    """A pointwise network that mixes channels: each probe gives (1/C) times the sum of the block."""
    mixing = torch.tensor([[0.5, -1.0, 2.0], [0.25, 1.0, 0.0], [4.0, -0.5, 1.5]], dtype=torch.float64)
    x = images(1, channels=3)
    found = self_sensitivity_with_error(linear(mixing.view(3, 3, 1, 1)), x, colors="joint", probes=2, generator=seeded(1))
    torch.testing.assert_close(found.mean, torch.full((1, 1, 6, 6), float(mixing.sum()) / 3, dtype=torch.float64))
    assert float(found.standard_error.max()) <= error_by_rounding(2, float(mixing.sum()) / 3)


# --- regions ---


def test_a_region_of_one_pixel_is_that_pixel() -> None:
    model, x = small_network(), images(2)
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[4, 1] = True
    torch.testing.assert_close(output_gradient(model, x, mask), output_gradient(model, x, (4, 1)))
    assert not output_gradient(model, x, torch.zeros_like(mask)).any()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_region_and_its_complement_add_up(places: list[bool]) -> None:
    model, x = small_network(), images(2)[..., :5]
    mask = torch.tensor(places).view(6, 5)
    parts = output_gradient(model, x, mask) + output_gradient(model, x, ~mask)
    torch.testing.assert_close(parts, output_gradient(model, x))
    pixels = [(row, column) for row, column in mask.nonzero().tolist()]
    one_by_one = sum((output_gradient(model, x, pixel) for pixel in pixels), torch.zeros_like(x))
    torch.testing.assert_close(output_gradient(model, x, mask), one_by_one)


def test_a_region_stays_as_it_was() -> None:
    mask = torch.rand(6, 6, generator=seeded(0)) > 0.5
    copy = mask.clone()
    output_gradient(small_network(), images(1), mask)
    assert torch.equal(mask, copy) and mask.dtype == torch.bool


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(6, 6), ["boolean", "torch.float32", "(6, 6)"]),
        (torch.ones(6, 6, dtype=torch.uint8), ["boolean", "torch.uint8"]),
        (torch.ones(5, 6, dtype=torch.bool), ["(6, 6)", "(5, 6)"]),
        (torch.ones(1, 6, 6, dtype=torch.bool), ["(6, 6)", "(1, 6, 6)"]),
        (torch.ones(1, 6, dtype=torch.bool), ["(1, 6)"]),  # it would broadcast
        (torch.tensor([2, 3]), ["boolean", "torch.int64"]),
        ((torch.ones(6, 6) > 0).numpy(), ["mask"]),
    ],
)
def test_a_bad_region_is_told(mask: Any, words: list[str], refused: Any) -> None:
    with refused((ValueError, TypeError), *words):
        output_gradient(nn.Identity(), images(1), mask)


def test_check_pixel_returns_row_and_column() -> None:
    x = torch.zeros(1, 1, 4, 7)
    assert check_pixel((3, 6), x) == (3, 6) and check_pixel([0, 0], x) == (0, 0)
    assert isinstance(check_pixel([1, 2], x), tuple)


@pytest.mark.parametrize(
    ("pixel", "error", "word"),
    [
        (None, TypeError, "(row, column)"), (3, TypeError, "(row, column)"), ("ab", TypeError, "(row, column)"),
        ((1,), TypeError, "(row, column)"), ((1, 2, 3), TypeError, "(row, column)"), ({1, 2}, TypeError, "(row, column)"),
        ((1.0, 2), TypeError, "row"), ((1, 2.0), TypeError, "column"), ((True, 2), TypeError, "row"),
        ((-1, 2), ValueError, "row"), ((1, -2), ValueError, "column"),
        ((4, 0), ValueError, "4 x 7"), ((0, 7), ValueError, "(0, 7)"), ((6, 3), ValueError, "(6, 3)"),
    ],
)  # fmt: skip
def test_check_pixel_tells_a_bad_one(pixel: Any, error: type[Exception], word: str, refused: Any) -> None:
    with refused(error, word):
        check_pixel(pixel, torch.zeros(1, 1, 4, 7))


# --- SmoothGrad ---


def cubes(x: Tensor) -> Tensor:
    """A score whose SmoothGrad is known: E[3 (x + sigma n)^2] = 3 x^2 + 3 sigma^2."""
    return x.pow(3).flatten(1).sum(1)


def test_the_closed_form_of_a_cube() -> None:
    x = images(3)
    spread = (x.flatten(1).amax(1) - x.flatten(1).amin(1)).view(-1, 1, 1, 1)
    found = smoothgrad_with_error(cubes, x, n_samples=4000, noise_level=0.2, generator=seeded(0))
    expected = 3 * x.square() + 3 * (0.2 * spread).square()
    assert ((found.mean - expected).abs() < 5 * found.standard_error).all()
    # The mean of squares of a linear score's gradient has no noise at all.
    torch.testing.assert_close(smoothgrad(output_sum(nn.Identity()), x, reduce="square"), torch.ones_like(x))


@pytest.mark.parametrize(("reduce", "kind"), [("mean", "smoothgrad"), ("square", "smoothgrad_sq")])
def test_captum_agrees_on_the_same_noise(reduce: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """captum's NoiseTunnel draws with torch.normal: hand it our noise."""
    model, x = small_network(), images(1)
    score = output_sum(model)
    spread = float(x.max() - x.min())
    generator, n = seeded(4), 12
    noise = torch.stack([torch.randn(x.shape[1:], generator=generator, dtype=x.dtype) for _ in range(n)]) * 0.15 * spread
    ours = smoothgrad(score, x, n_samples=n, reduce=reduce, generator=seeded(4))
    monkeypatch.setattr(torch, "normal", lambda mean, std: noise)
    theirs = NoiseTunnel(Saliency(score)).attribute(x, nt_type=kind, nt_samples=n, stdevs=0.15 * spread, abs=False)
    torch.testing.assert_close(ours, theirs.double(), rtol=1e-8, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from(saliency.REDUCTIONS), st.integers(0, 99))
def test_the_batch_size_changes_nothing(n_samples: int, batch_size: int, reduce: str, seed: int) -> None:
    model, x, target = small_network(), images(3, side=4), images(3, side=4, seed=2)
    maps = [
        smoothgrad(
            squared_error(model), x, n_samples=n_samples, reduce=reduce, context=target, generator=seeded(seed), batch_size=size
        )
        for size in (batch_size, None)
    ]
    torch.testing.assert_close(maps[0], maps[1])


def test_the_error_falls_with_the_root_of_the_samples() -> None:
    x = images(1)
    errors = [
        float(smoothgrad_with_error(cubes, x, n_samples=n, generator=seeded(0)).standard_error.mean()) for n in (100, 400, 1600)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1) and errors[1] / errors[2] == pytest.approx(2, rel=0.1)
    assert math.isinf(float(smoothgrad_with_error(cubes, x, n_samples=1).standard_error.max()))


def test_no_noise_is_the_plain_gradient_and_each_image_has_its_own_range() -> None:
    model, x = small_network(), images(2)
    plain = output_gradient(model, x)
    torch.testing.assert_close(smoothgrad(output_sum(model), x, noise_level=0, n_samples=3), plain)
    flat = torch.full_like(x[:1], 0.5)  # a flat image has no range, and so no noise
    both = torch.cat([flat, x[:1]])
    found = smoothgrad_with_error(output_sum(model), both, n_samples=8, generator=seeded(0))
    still = output_gradient(model, flat)[0]
    nothing = error_by_rounding(8, float(still.abs().max()))
    assert float(found.standard_error[0].max()) <= nothing < float(found.standard_error[1].min())
    torch.testing.assert_close(found.mean[0], still)


def test_without_noise_nothing_is_drawn() -> None:
    generator = seeded(0)
    before = generator.get_state()
    smoothgrad(cubes, images(2), noise_level=0, n_samples=3, generator=generator)
    assert torch.equal(generator.get_state(), before)


def test_signed_and_absolute_means_differ() -> None:
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    x[0, 0, 0, 0], x[0, 0, 1, 1] = -1.0, 1.0
    square = lambda image: image.square().flatten(1).sum(1)  # noqa: E731
    signed = smoothgrad(square, x, n_samples=2000, noise_level=0.5, generator=seeded(0))
    absolute = smoothgrad(square, x, n_samples=2000, noise_level=0.5, reduce="abs", generator=seeded(0))
    assert abs(float(signed[0, 0, 0, 1])) < 0.2 < 1.0 < float(absolute[0, 0, 0, 1])


# --- the samples one by one ---


def test_the_mean_of_the_samples_is_smoothgrad() -> None:
    model, x, clean = small_network(), images(1), images(1, seed=2)
    options: dict[str, Any] = {"n_samples": 11, "noise_level": 0.3, "context": clean}
    samples = smoothgrad_samples(squared_error(model), x, generator=seeded(6), batch_size=4, **options)
    found = smoothgrad_with_error(squared_error(model), x, generator=seeded(6), **options)
    assert samples.shape == (11, 2, 6, 6) and not samples.requires_grad
    torch.testing.assert_close(
        samples.mean(0, keepdim=True), smoothgrad(squared_error(model), x, generator=seeded(6), **options)
    )
    torch.testing.assert_close(samples.std(0, keepdim=True) / math.sqrt(11), found.standard_error)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(1, 30), st.integers(0, 99))
def test_a_longer_run_begins_with_the_shorter_one(n: int, more: int, batch_size: int, seed: int) -> None:
    score, x = output_sum(small_network()), images(1, side=4)
    short = smoothgrad_samples(score, x, n_samples=n, generator=seeded(seed))
    long = smoothgrad_samples(score, x, n_samples=n + more, generator=seeded(seed), batch_size=batch_size)
    assert len(short) == n and len(long) == n + more
    torch.testing.assert_close(long[:n], short)


def test_samples_differ_from_one_another_unless_there_is_no_noise() -> None:
    model, x = small_network(), images(1)
    samples = smoothgrad_samples(output_sum(model), x, n_samples=5, generator=seeded(0))
    assert len(samples.flatten(1).unique(dim=0)) == 5
    still = smoothgrad_samples(output_sum(model), x, n_samples=3, noise_level=0, generator=seeded(0))
    torch.testing.assert_close(still, output_gradient(model, x).expand(3, -1, -1, -1))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"x": torch.rand(2, 1, 4, 4)}, "one image"), ({"x": torch.rand(1, 4, 4)}, "x must"), ({"x": None}, "x must"),
        ({"x": torch.full((1, 1, 4, 4), math.nan)}, "NaN"), ({"n_samples": 0}, "n_samples"), ({"n_samples": 2.0}, "n_samples"),
        ({"n_samples": True}, "n_samples"), ({"noise_level": -1}, "noise_level"), ({"noise_level": "much"}, "noise_level"),
        ({"context": torch.rand(2)}, "context"), ({"generator": 3}, "generator"), ({"batch_size": 0}, "batch_size"),
        ({"score": lambda x: x}, "score"), ({"score": lambda x: torch.ones(len(x))}, "score"),
        ({"x": torch.rand(1, 1, 2, 4, 4)}, "x must"),
    ],
)  # fmt: skip
def test_bad_input_of_the_samples(change: dict[str, Any], word: str, refused: Any) -> None:
    arguments: dict[str, Any] = {"score": lambda x: x.flatten(1).sum(1), "x": torch.rand(1, 1, 4, 4)} | change
    with refused((ValueError, TypeError), word):
        smoothgrad_samples(arguments.pop("score"), arguments.pop("x"), **arguments)


# --- what must not change ---


def test_nothing_is_left_behind() -> None:
    model, x = TNet().train(), torch.rand(2, 3, 32, 32)
    before, copy = torch.get_rng_state(), x.clone()
    for shown in (
        smoothgrad(output_sum(model), x, n_samples=2, generator=seeded(0)),
        output_gradient(model, x, (3, 4)),
        output_gradient(model, x, x[0, 0] > 0.5),
        loss_gradient(model, x, x),
        smoothgrad_samples(output_sum(model), x[:1], n_samples=2, generator=seeded(0)),
        self_sensitivity_with_error(model, x, probes=2, generator=seeded(0)).standard_error,
    ):
        assert not shown.requires_grad and shown.shape[1:] == x.shape[1:]
    assert model.training and torch.equal(x, copy) and torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():  # works there too
        assert float(output_gradient(model, x).abs().sum()) > 0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        lambda model, x: self_sensitivity(model, x),
        lambda model, x: self_sensitivity(model, x, colors="joint"),
        lambda model, x: self_sensitivity_with_error(model, x, probes=2, generator=seeded(0)).mean,
        lambda model, x: output_gradient(model, x),
        lambda model, x: loss_gradient(model, x, x * 0.5),
    ],
)
def test_a_network_is_measured_as_it_is_used_and_given_back_as_it_was(call: Any, training: bool) -> None:
    """Drop-out and batch norm differ in training: none of it may show in the gradients, or be left in the network."""
    model = nn.Sequential(small_network(), nn.BatchNorm2d(2).double(), nn.Dropout(0.5)).train(training)
    x = images(2, side=4).requires_grad_()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before, copy = torch.get_rng_state(), x.detach().clone()
    found = call(model, x)
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(x, copy) and x.grad is None and x.requires_grad and not found.requires_grad
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(found, call(model.eval(), x))


def test_a_layer_that_was_frozen_stays_frozen() -> None:
    """Fine-tuning keeps batch norm in evaluation mode within a network in training."""
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)).double().train()
    model[1].eval()
    output_gradient(model, images(1))
    assert model.training and model[0].training and not model[1].training


def test_the_mode_comes_back_after_an_error() -> None:
    model = TNet().train()
    with pytest.raises(ValueError, match="TNet"):
        output_gradient(model, torch.rand(1, 1, 32, 32))
    assert model.training


def test_without_a_generator_the_global_one_is_used() -> None:
    score, model, x = output_sum(small_network()), small_network(), images(1, side=4)
    with torch.random.fork_rng():
        for draw in (
            lambda: smoothgrad_samples(score, x, n_samples=2),
            lambda: self_sensitivity_with_error(model, x, probes=2).mean,
        ):
            torch.manual_seed(11)
            first, second = draw(), draw()
            torch.manual_seed(11)
            assert torch.equal(draw(), first) and not torch.equal(first, second)


@pytest.mark.parametrize(
    "change",
    [
        {"x": torch.rand(3, 4, 4)}, {"x": torch.zeros(1, 1, 2, 2, dtype=torch.uint8)}, {"x": [1.0]}, {"n_samples": 0},
        {"n_samples": 1.5}, {"noise_level": -0.1}, {"noise_level": math.nan}, {"reduce": "median"}, {"batch_size": 0},
        {"generator": 0}, {"context": torch.rand(3)}, {"context": "clean"}, {"score": lambda x: x.sum()},
        {"score": lambda x: x}, {"score": lambda x: 1.0}, {"score": lambda x: x.detach().flatten(1).sum(1)},
    ],
)  # fmt: skip
def test_bad_input_of_smoothgrad(change: dict[str, Any], refused: Any) -> None:
    arguments: dict[str, Any] = {"score": lambda x: x.flatten(1).sum(1), "x": torch.rand(2, 1, 4, 4)} | change
    with refused((ValueError, TypeError)):
        smoothgrad(arguments.pop("score"), arguments.pop("x"), **arguments)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: loss_gradient(nn.Identity(), x, x[:1]), "target"),
        (lambda x: loss_gradient(nn.Identity(), x, None), "target"),
        (lambda x: loss_gradient("model", x, x), "model"),
        (lambda x: output_gradient(nn.Identity(), x, (0, 99)), "pixel"),
        (lambda x: output_gradient(nn.Identity(), x, (-1, 0)), "pixel"),
        (lambda x: output_gradient(nn.Identity(), x, 3), "pixel"),
        (lambda x: output_gradient(nn.Identity(), x[0]), "x must"),
        (lambda x: output_gradient(lambda y: y, x), "model"),
        (lambda x: self_sensitivity(nn.Identity(), x, method="guess"), "method"),
        (lambda x: self_sensitivity(nn.Identity(), x, method="probes", probes=0), "probes"),
        (lambda x: self_sensitivity(nn.Identity(), x, method="probes", colors="both"), "colors"),
        (lambda x: self_sensitivity(nn.Identity(), x, colors="both"), "colors"),
        (lambda x: self_sensitivity(nn.Identity(), x, batch_size=0), "batch_size"),
        (lambda x: self_sensitivity(nn.Identity(), x.mul(255).byte()), "x must"),
        (lambda x: self_sensitivity(None, x), "model"),
        (lambda x: self_sensitivity_with_error(None, x), "model"),
        (lambda x: self_sensitivity_with_error(nn.Identity(), x[0]), "x must"),
        (lambda x: self_sensitivity_with_error(nn.Identity(), "x"), "x must"),
        (lambda x: self_sensitivity_with_error(nn.Identity(), x, colors="mean"), "colors"),
        (lambda x: self_sensitivity_with_error(nn.Identity(), x, probes=1.5), "probes"),
        (lambda x: self_sensitivity_with_error(nn.Identity(), x, generator=0), "generator"),
        (lambda x: self_sensitivity(nn.Conv2d(2, 1, 1), x), "shape"),
        (lambda x: self_sensitivity_with_error(nn.Conv2d(2, 1, 1), x), "shape"),
        (lambda x: self_sensitivity(nn.Conv2d(2, 2, 3), x), "shape"),
        (lambda x: self_sensitivity(nn.Identity(), x[None]), "x must"),
        (lambda x: output_gradient(nn.Identity(), x[None]), "x must"),
    ],
)
def test_bad_input_of_the_gradients(call: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        call(torch.rand(2, 2, 4, 4))


@pytest.mark.parametrize(
    ("score", "context", "word"),
    [
        (output_sum(nn.Identity(), (9, 0)), None, "pixel"),
        (output_sum(nn.Identity(), (-1, 0)), None, "pixel"),
        (output_sum(nn.Identity(), torch.ones(1, 4) > 0), None, "mask"),
        (squared_error(nn.Identity()), torch.rand(2, 1, 4, 4), "shape"),
    ],
)
def test_bad_input_of_the_scores(score: Any, context: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        smoothgrad(score, torch.rand(2, 2, 4, 4), n_samples=1, context=context, generator=seeded(0))
