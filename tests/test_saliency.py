from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from denoise_lib import saliency
from denoise_lib.models import TNet
from denoise_lib.saliency import (
    filters,
    loss_gradient,
    output_gradient,
    output_sum,
    self_influence,
    smoothgrad,
    smoothgrad_with_error,
    squared_error,
)


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


def test_self_influence_is_the_diagonal_of_the_jacobian() -> None:
    model, x = small_network(), images(2, side=4)
    for image, diagonal in zip(x, self_influence(model, x, batch_size=7), strict=True):
        jacobian = torch.func.jacrev(lambda flat: model(flat.view(1, 2, 4, 4)).flatten())(image.flatten())
        torch.testing.assert_close(diagonal.flatten(), jacobian.diagonal())


def test_probes_approach_the_diagonal() -> None:
    model, x = small_network(), images(1, side=4)
    exact = self_influence(model, x)
    errors = []
    for probes in (16, 1024):
        estimate = self_influence(model, x, method="probes", probes=probes, generator=seeded(0))
        errors.append(float((estimate - exact).square().mean().sqrt()))
    assert errors[1] < errors[0] / 4  # 1/sqrt(n): a factor of 8
    # Of a diagonal Jacobian, one probe gives the diagonal: v * v = 1.
    scale = linear(torch.tensor([0.5, 2.0], dtype=torch.float64).diag().view(2, 2, 1, 1))
    one = self_influence(scale, x, method="probes", probes=1, generator=seeded(0))
    torch.testing.assert_close(one[:, 0], torch.full_like(one[:, 0], 0.5))
    torch.testing.assert_close(one[:, 1], torch.full_like(one[:, 1], 2.0))


def test_a_linear_denoiser_is_its_kernel() -> None:
    kernel = torch.rand(1, 1, 3, 3, generator=seeded(3), dtype=torch.float64)
    x = images(1, channels=1, side=8)
    (shown,) = filters(linear(kernel), x, [(4, 2)])
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[3:6, 1:4] = kernel[0, 0]
    torch.testing.assert_close(shown[0], expected)
    torch.testing.assert_close(self_influence(linear(kernel), x), torch.full_like(x, float(kernel[0, 0, 1, 1])))


def test_the_error_of_the_identity() -> None:
    x, target = images(2), images(2, seed=5)
    torch.testing.assert_close(loss_gradient(nn.Identity(), x, target), 2 * (x - target))
    torch.testing.assert_close(output_gradient(nn.Identity(), x), torch.ones_like(x))


def test_the_filter_is_the_network_near_the_image() -> None:
    """A network of leaky rectifiers without biases is linear along the ray through x: f(x) = J x."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TNet().double()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data.zero_()
    x = torch.rand(1, 3, 32, 32, generator=seeded(0), dtype=torch.float64)
    (weights,) = filters(model, x, [(10, 20)])
    torch.testing.assert_close((weights * x[0]).sum() * 3, model(x)[0, :, 10, 20].sum().detach())


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
    assert float(found.standard_error[0].max()) < 1e-9 < float(found.standard_error[1].max())
    torch.testing.assert_close(found.mean[0], output_gradient(model, flat)[0])


def test_signed_and_absolute_means_differ() -> None:
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    x[0, 0, 0, 0], x[0, 0, 1, 1] = -1.0, 1.0
    square = lambda image: image.square().flatten(1).sum(1)  # noqa: E731
    signed = smoothgrad(square, x, n_samples=2000, noise_level=0.5, generator=seeded(0))
    absolute = smoothgrad(square, x, n_samples=2000, noise_level=0.5, reduce="abs", generator=seeded(0))
    assert abs(float(signed[0, 0, 0, 1])) < 0.2 < 1.0 < float(absolute[0, 0, 0, 1])


def test_nothing_is_left_behind() -> None:
    model, x = TNet().train(), torch.rand(2, 3, 32, 32)
    before, copy = torch.get_rng_state(), x.clone()
    for shown in (
        smoothgrad(output_sum(model), x, n_samples=2, generator=seeded(0)),
        output_gradient(model, x, (3, 4)),
        loss_gradient(model, x, x),
        filters(model, x[:1], [(0, 0), (1, 1)]),
    ):
        assert not shown.requires_grad and shown.shape[1:] == x.shape[1:]
    assert model.training and torch.equal(x, copy) and torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():  # works there too
        assert float(output_gradient(model, x).abs().sum()) > 0


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
    "call",
    [
        lambda x: loss_gradient(nn.Identity(), x, x[:1]),
        lambda x: loss_gradient("model", x, x),
        lambda x: output_gradient(nn.Identity(), x, (0, 99)),
        lambda x: output_gradient(nn.Identity(), x, (-1, 0)),
        lambda x: output_gradient(nn.Identity(), x[0]),
        lambda x: self_influence(nn.Identity(), x, method="guess"),
        lambda x: self_influence(nn.Identity(), x, method="probes", probes=0),
        lambda x: self_influence(None, x),
        lambda x: filters(nn.Identity(), x, [(0, 0)]),
        lambda x: filters(nn.Identity(), x[:1], []),
    ],
)
def test_bad_input_of_the_gradients(call: Any, refused: Any) -> None:
    with refused((ValueError, TypeError)):
        call(torch.rand(2, 1, 4, 4))
