from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from denoise_lib.models import Autoencoder, UNet, check_size, count_parameters

NETWORKS: list[tuple[type[nn.Module], int]] = [(UNet, 88_461), (Autoencoder, 104_521)]


def built(network: type[nn.Module] = UNet, seed: int = 0, **arguments: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network(**arguments)


def images(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("network", "total"), NETWORKS)
def test_parameter_counts_match_the_docstrings_table(network: type[nn.Module], total: int) -> None:
    rows = re.findall(r"^\s*\| (\w+) +\| (.+?) +\| (\d+) x (H\S*) +\| +([\d,]+) \|$", network.__doc__ or "", re.MULTILINE)
    layers = list(network().children())
    assert len(rows) == len(layers) == 8
    for (name, operation, channels, _, count), layer in zip(rows, layers, strict=True):
        assert count_parameters(layer) == int(count.replace(",", "")), name
        assert layer.out_channels == int(channels), name
        assert f"{layer.in_channels}-{layer.out_channels}" in operation, name
        assert "{0}x{0}".format(layer.kernel_size[0]) in operation, name
    assert count_parameters(network()) == sum(int(row[-1].replace(",", "")) for row in rows) == total
    assert f"{total:,} parameters" in (network.__doc__ or "")


def test_skips_do_not_change_the_count() -> None:
    assert count_parameters(UNet(skips=False)) == count_parameters(UNet())


def test_count_parameters_counts_distinct_trainable_numbers() -> None:
    shared = nn.Linear(3, 4)
    assert count_parameters(nn.Sequential(shared, shared)) == 16
    shared.bias.requires_grad_(False)
    assert count_parameters(shared) == 12


def test_count_parameters_refuses_what_is_no_module(refused: Any) -> None:
    for bad in (UNet, None, torch.rand(3)):
        with refused(TypeError, "module"):
            count_parameters(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [UNet, Autoencoder])
@given(st.integers(1, 3), st.integers(1, 10), st.integers(1, 10))
def test_output_has_the_input_shape(network: type[nn.Module], count: int, rows: int, columns: int) -> None:
    x = images(0, count, 1, 4 * rows, 4 * columns)
    assert network()(x).shape == x.shape


@pytest.mark.parametrize("network", [UNet, Autoencoder])
def test_an_image_does_not_see_its_batch(network: type[nn.Module]) -> None:
    model, x = built(network).double(), images(1, 4, 1, 12, 12, dtype=torch.float64)
    assert torch.allclose(model(x)[2:3], model(x[2:3]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("network", [UNet, Autoencoder])
@given(st.integers(1, 40), st.integers(1, 40))
def test_other_sizes_are_refused(network: type[nn.Module], height: int, width: int) -> None:
    x = images(0, 1, 1, height, width)
    if height % 4 == width % 4 == 0:
        assert network()(x).shape == x.shape
        return
    with pytest.raises(ValueError) as caught:
        network()(x)
    padded = f"{-(-height // 4) * 4} x {-(-width // 4) * 4}"
    assert f"{height} x {width}" in str(caught.value) and f"pad the image to {padded}" in str(caught.value)


@pytest.mark.parametrize("network", [UNet, Autoencoder])
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (None, TypeError), ("digit", TypeError), (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), TypeError),
        (torch.rand(8, 8), ValueError), (torch.rand(1, 8, 8), ValueError), (torch.rand(1, 3, 8, 8), ValueError),
        (torch.rand(1, 1, 0, 8), ValueError), (torch.rand(1, 1, 8, 10), ValueError),
    ],
)  # fmt: skip
def test_bad_input(network: type[nn.Module], x: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, network.__name__):
        network()(x)


def test_check_size_names_the_multiple(refused: Any) -> None:
    check_size(torch.rand(1, 3, 64, 32), channels=3, multiple=32, network="Deep")
    with refused(ValueError, "Deep", "divide by 32", "64 x 64"):
        check_size(torch.rand(1, 3, 33, 64), channels=3, multiple=32, network="Deep")


def randomise_what_reads_the_skips(model: UNet) -> None:
    """The first half of the channels that each decoder convolution reads comes over a skip."""
    with torch.no_grad():
        for layer in (model.decode_1, model.decode_2):
            layer.weight[:, : layer.in_channels // 2].normal_(generator=torch.Generator().manual_seed(7))


@given(st.integers(0, 1000))
def test_without_skips_nothing_passes_over_them(seed: int) -> None:
    x = images(seed, 2, 1, 16, 16)
    for skips in (False, True):
        model = built(UNet, seed, skips=skips)
        assert isinstance(model, UNet)
        before = model(x)
        randomise_what_reads_the_skips(model)
        assert torch.equal(model(x), before) == (not skips)


@pytest.mark.parametrize(("skips", "passes"), [(True, True), (False, False)])
def test_fine_detail_passes_over_the_skips_alone(skips: bool, passes: bool) -> None:
    # A bottom of zeros leaves the decoder blind but for the skips.
    model = built(UNet, skips=skips)
    assert isinstance(model, UNet)
    nn.init.zeros_(model.bottom.weight)
    outputs = model(images(2, 2, 1, 16, 16))
    assert torch.equal(outputs[0], outputs[1]) != passes


@pytest.mark.parametrize("network", [UNet, Autoencoder])
def test_a_gradient_agrees_with_finite_differences(network: type[nn.Module]) -> None:
    model = built(network, 3).double()
    x, target = images(4, 2, 1, 8, 8, dtype=torch.float64), images(5, 2, 1, 8, 8, dtype=torch.float64)
    mse_loss(model(x), target).backward()
    step = 1e-6
    for parameter in model.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad
        assert gradient is not None
        # The largest entry of each tensor: ReLU kinks lie far from it by step, and it is far above rounding.
        index = int(gradient.abs().flatten().argmax())
        losses = []
        for sign in (1, -1):
            flat[index] += sign * step
            with torch.no_grad():
                losses.append(mse_loss(model(x), target).item())
            flat[index] -= sign * step
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx(gradient.flatten()[index].item(), rel=1e-4)


@pytest.mark.parametrize("network", [UNet, Autoencoder])
def test_every_parameter_learns(network: type[nn.Module]) -> None:
    model = built(network)
    mse_loss(model(images(6, 8, 1, 28, 28)), images(7, 8, 1, 28, 28)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_a_unet_prints_whether_it_has_skips() -> None:
    assert "skips=False" in repr(UNet(skips=False)) and "skips=True" in repr(UNet())
