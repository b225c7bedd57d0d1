from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, max_pool2d, mse_loss, relu

from denoise_lib.data import NoisyPairs
from denoise_lib.internal.checks import check_input_size
from denoise_lib.sources.photographs import photos
from denoise_lib.tnet import BaseNet, Noise2NoiseUNet, SelfEnsemble, TinyDenoiser, TNet
from denoise_lib.training import fit
from denoise_lib.unet import Autoencoder, UNet, count_parameters

pytestmark = pytest.mark.numbers

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
    check_input_size(torch.rand(1, 3, 64, 32), channels=3, multiple=32, network="Deep")
    with refused(ValueError, "Deep", "divide by 32", "64 x 64"):
        check_input_size(torch.rand(1, 3, 33, 64), channels=3, multiple=32, network="Deep")


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


# --- the networks for colour photos ------------------------------------------------------------------------------------

COLOUR: list[tuple[Callable[[], nn.Module], int]] = [
    (TNet, 43_064),
    (partial(TNet, batch_norm=True), 43_486),
    (BaseNet, 166_923),
    (Noise2NoiseUNet, 991_203),
    (partial(Noise2NoiseUNet, shared_decoder=True), 576_099),
]
COLOUR_IDS = ["TNet", "TNet BN", "BaseNet", "N2N", "N2N shared"]
of_any_size = pytest.mark.parametrize(
    "build", [build for build, _ in COLOUR if build is not BaseNet], ids=[name for name in COLOUR_IDS if name != "BaseNet"]
)
coloured = pytest.mark.parametrize("build", [build for build, _ in COLOUR], ids=COLOUR_IDS)


def made(build: Callable[[], nn.Module], seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def lively(build: Callable[[], nn.Module], seed: int = 0) -> Any:
    """In float64, with weights so large that the deepest layers count: torch's own let the signal fade from layer to layer."""
    model = made(build, seed).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6**0.5 if parameter.dim() == 4 else 1)
    return model


def normal(seed: int, *shape: int) -> Tensor:
    """Negative values too: a ReLU and a leaky one differ there alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("build", "total"), COLOUR, ids=COLOUR_IDS)
def test_colour_networks_have_the_papers_counts(build: Callable[[], nn.Module], total: int) -> None:
    model = build()
    assert count_parameters(model) == total
    assert f"{total:,}" in (type(model).__doc__ or "")


def test_tnet_matches_its_docstrings_table() -> None:
    rows = re.findall(r"conv (\d+)-(\d+)(?: of act\(x\))?, act +\| (\d+) x \S+ +\| +([\d,]+) \|", TNet.__doc__ or "")
    layers = [layer for layer in TNet().children() if isinstance(layer, nn.Conv2d)]
    assert len(rows) == len(layers) == 7
    for (width_in, width_out, channels, count), layer in zip(rows, layers, strict=True):
        assert (layer.in_channels, layer.out_channels) == (int(width_in), int(width_out)) and width_out == channels
        assert layer.kernel_size == (3, 3) and layer.padding == (1, 1)
        assert count_parameters(layer) == int(count.replace(",", "")) == 9 * int(width_in) * int(width_out) + int(width_out)


def test_batch_normalisation_costs_two_numbers_a_channel() -> None:
    norms = [layer for layer in TNet(batch_norm=True).children() if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.num_features for layer in norms] == [16, 32, 32, 64, 64, 3]
    assert sum(count_parameters(layer) for layer in norms) == 422
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in TNet().modules())


def test_basenet_matches_its_docstrings_table() -> None:
    cell = r"(\d)x\d(?: stride (\d))?, (\d+)-(\d+)(?:: the latent)? +\| (\d+) x (\d+) +\| +([\d,]+) \|"
    halves = [re.findall(cell, line) for line in (BaseNet.__doc__ or "").splitlines()]
    rows = [row[0] for row in halves if row] + [row[1] for row in halves if row]  # the encoder, then the decoder
    layers = list(BaseNet().layers)
    assert len(rows) == len(layers) == 12
    x = torch.zeros(1, 3, 32, 32)
    for index, ((kernel, stride, width_in, width_out, channels, side, count), layer) in enumerate(
        zip(rows, layers, strict=True)
    ):
        assert isinstance(layer, nn.Conv2d if index < 6 else nn.ConvTranspose2d)
        assert layer.kernel_size == (int(kernel),) * 2 and layer.stride == (int(stride or 1),) * 2
        assert (layer.in_channels, layer.out_channels) == (int(width_in), int(width_out))
        assert count_parameters(layer) == int(count.replace(",", ""))
        x = layer(x)
        assert x.shape == (1, int(channels), int(side), int(side))


@pytest.mark.parametrize("shared", [False, True])
def test_noise2noise_unet_matches_its_docstrings_table(shared: bool) -> None:
    def convolutions(*widths: int) -> int:
        return sum(9 * a * b + b for a, b in pairwise(widths))

    model = Noise2NoiseUNet(shared)
    assert count_parameters(model.encode_1) == convolutions(3, 48, 48)
    assert [count_parameters(part) for part in model.encode] == [convolutions(48, 48)] * 4
    assert count_parameters(model.bottom) == convolutions(48, 48)
    assert count_parameters(model.decode_4) == convolutions(96, 96, 96)
    assert [count_parameters(part) for part in model.decode] == [convolutions(144, 96, 96)] * (1 if shared else 3)
    assert count_parameters(model.output) == convolutions(99, 64, 32, 3)


def test_a_shared_decoder_is_counted_once() -> None:
    # A tool that counts a layer at each use reports the same number for both.
    shared = Noise2NoiseUNet(shared_decoder=True)
    assert count_parameters(shared) + 2 * count_parameters(shared.decode[0]) == count_parameters(Noise2NoiseUNet()) == 991_203


@coloured
def test_colour_output_has_the_input_shape(build: Callable[[], nn.Module]) -> None:
    model = made(build)
    for shape in [(3, 3, 32, 32)] + ([] if build is BaseNet else [(2, 3, 64, 32), (1, 3, 32, 96)]):
        assert model(images(0, *shape)).shape == shape


@coloured
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (None, TypeError), ("photo", TypeError), (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError),
        (torch.rand(32, 32), ValueError), (torch.rand(3, 32, 32), ValueError), (torch.rand(1, 1, 32, 32), ValueError),
        (torch.rand(1, 4, 32, 32), ValueError), (torch.rand(1, 3, 0, 32), ValueError), (torch.rand(1, 3, 48, 32), ValueError),
        (torch.rand(1, 3, 32, 33), ValueError),
    ],
)  # fmt: skip
def test_bad_colour_input(build: Callable[[], nn.Module], x: Any, error: type[Exception], refused: Any) -> None:
    model = build()
    with refused(error, type(model).__name__):
        model(x)


def test_basenet_takes_one_size_alone(refused: Any) -> None:
    for shape in ((64, 64), (32, 64), (96, 32)):
        with refused(ValueError, "BaseNet", "(N, 3, 32, 32)", f"{shape[0]}, {shape[1]}"):
            BaseNet()(torch.rand(1, 3, *shape))


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 3, 33, 32), (1, 3, 40, 50)])
def test_basenet_gives_advice_that_it_would_take(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        BaseNet()(torch.rand(shape))
    for height, width in re.findall(r"(\d+)(?:, | x )(\d+)(?=\)?\.$)", str(caught.value)):
        assert (height, width) == ("32", "32"), str(caught.value)


def test_colour_networks_print_their_arguments() -> None:
    assert "batch_norm=True" in repr(TNet(batch_norm=True)) and "batch_norm=False" in repr(TNet())
    assert "shared_decoder=True" in repr(Noise2NoiseUNet(True)) and "shared_decoder=False" in repr(Noise2NoiseUNet())


# --- their forward passes, written again from the papers' tables -------------------------------------------------------


def leaky(x: Tensor, slope: float) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def pool(x: Tensor, side: int) -> Tensor:
    count, channels, height, width = x.shape
    return x.view(count, channels, height // side, side, width // side, side).amax(dim=(3, 5))


def enlarge(x: Tensor, factor: int) -> Tensor:
    return x.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def tnet_by_hand(x: Tensor, w: dict[str, Tensor], normalise: Callable[[Tensor, int], Tensor]) -> Tensor:
    def act(value: Tensor) -> Tensor:
        return leaky(value, 0.1)

    def conv(value: Tensor, number: int) -> Tensor:
        return conv2d(value, w[f"conv_{number}.weight"], w[f"conv_{number}.bias"], padding=1)

    x1 = normalise(act(conv(act(x), 1)), 1)
    x2 = normalise(act(conv(pool(act(x1), 2), 2)), 2)
    x3 = normalise(act(conv(pool(act(x2), 4), 3)), 3)
    z = act(pool(act(x3), 4))
    x4 = normalise(torch.cat([enlarge(z, 4), x3], 1), 4)
    d4 = act(conv(act(x4), 4))
    x5 = normalise(torch.cat([enlarge(d4, 4), x2], 1), 5)
    d5 = act(conv(act(x5), 5))
    x6 = torch.cat([enlarge(d5, 2), x1], 1)
    x7 = normalise(act(conv(x6, 6)), 6)
    return act(conv(torch.cat([x7, x], 1), 7))


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 3, 64, 32)])
def test_tnet_computes_the_papers_table(shape: tuple[int, ...]) -> None:
    model, x = lively(TNet), normal(1, *shape)
    assert torch.allclose(model(x), tnet_by_hand(x, model.state_dict(), lambda value, _: value), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_tnet_with_batch_norm_computes_the_papers_table(training: bool) -> None:
    model, x = lively(partial(TNet, batch_norm=True)), normal(2, 3, 3, 64, 32)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in model.state_dict().items():  # no norm is the identity, and none is like another
        if name.startswith("norm") and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    w = copy.deepcopy(model.state_dict())

    def normalise(value: Tensor, number: int) -> Tensor:
        part = {key: w[f"norm_{number}.{key}"].view(1, -1, 1, 1) for key in ("weight", "bias", "running_mean", "running_var")}
        mean, variance = part["running_mean"], part["running_var"]
        if training:
            variance, mean = torch.var_mean(value, dim=(0, 2, 3), correction=0, keepdim=True)
        return (value - mean) / (variance + 1e-5).sqrt() * part["weight"] + part["bias"]

    assert torch.allclose(model.train(training)(x), tnet_by_hand(x, w, normalise), rtol=0, atol=1e-11)


def noise2noise_unet_by_hand(x: Tensor, w: dict[str, Tensor], shared: bool) -> Tensor:
    def convs(value: Tensor, name: str, count: int) -> Tensor:
        for number in range(count):
            kernel, bias = w[f"{name}.{2 * number}.weight"], w[f"{name}.{2 * number}.bias"]
            value = leaky(conv2d(value, kernel, bias, padding=1), 0.01)
        return value

    p1 = pool(convs(x, "encode_1", 2), 2)
    p2 = pool(convs(p1, "encode.0", 1), 2)
    p3 = pool(convs(p2, "encode.1", 1), 2)
    p4 = pool(convs(p3, "encode.2", 1), 2)
    p5 = pool(convs(p4, "encode.3", 1), 2)
    d5 = enlarge(convs(p5, "bottom", 1), 2)
    d4 = enlarge(convs(torch.cat([d5, p4], 1), "decode_4", 2), 2)
    d3 = enlarge(convs(torch.cat([d4, p3], 1), "decode.0", 2), 2)
    d2 = enlarge(convs(torch.cat([d3, p2], 1), "decode.0" if shared else "decode.1", 2), 2)
    d1 = enlarge(convs(torch.cat([d2, p1], 1), "decode.0" if shared else "decode.2", 2), 2)
    return convs(torch.cat([d1, x], 1), "output", 3)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 3, 64, 32)])
def test_noise2noise_unet_computes_the_papers_table(shape: tuple[int, ...], shared: bool) -> None:
    model, x = lively(partial(Noise2NoiseUNet, shared_decoder=shared)), normal(4, *shape)
    assert torch.allclose(model(x), noise2noise_unet_by_hand(x, model.state_dict(), shared), rtol=0, atol=1e-12)


def test_basenet_computes_the_papers_table() -> None:
    model, x = lively(BaseNet), normal(5, 2, 3, 32, 32)
    w, value = model.state_dict(), x
    for number, stride in enumerate((1, 1, 1, 2, 2, 1)):
        value = conv2d(value, w[f"layers.{number}.weight"], w[f"layers.{number}.bias"], stride=stride).clamp_min(0)
    assert value.shape == (2, 8, 1, 1)  # the latent
    for number, stride in enumerate((1, 2, 2, 1, 1, 1), 6):
        value = conv_transpose2d(value, w[f"layers.{number}.weight"], w[f"layers.{number}.bias"], stride=stride).clamp_min(0)
    assert torch.allclose(model(x), value, rtol=0, atol=1e-10)
    assert not torch.equal(value[0], value[1]) and value.min() == 0 < value.max()


# --- toys whose answer is known without a computer ---------------------------------------------------------------------


def emptied(model: nn.Module) -> Any:
    """All parameters 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model.double()


def connect(layer: nn.Module, source: int = 0) -> None:
    """One channel, `source`, is copied to channel 0."""
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        layer.weight[0, source, 1, 1] = 1


def minus_one(side: int = 32) -> Tensor:
    return torch.full((1, 3, side, side), -1, dtype=torch.float64)


@pytest.mark.parametrize(
    ("build", "last", "answer"),
    [
        (TNet, "conv_7", [0.25, 0, -0.05]), (BaseNet, "layers.11", [0.25, 0, 0]),
        (Noise2NoiseUNet, "output.4", [0.25, 0, -0.005]),
    ],
)  # fmt: skip
def test_with_weights_of_zero_the_last_bias_is_the_image(build: Any, last: str, answer: list[float]) -> None:
    model = emptied(build())
    with torch.no_grad():
        model.get_submodule(last).bias.copy_(torch.tensor([0.25, 0.0, -0.5]))
    expected = torch.tensor(answer, dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert torch.allclose(model(normal(0, 1, 3, 32, 32)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("layer", "source", "activations"), [(7, 3, 1), (6, 16, 4), (5, 32, 8), (4, 32, 12), (4, 0, 14)]
)  # x, x1, x2, x3 by their skips, and z
def test_each_way_through_tnet_has_its_number_of_activations(layer: int, source: int, activations: int) -> None:
    model = emptied(TNet())
    for number in range(1, 8):
        connect(model.get_submodule(f"conv_{number}"), source if number == layer else 0)
    # Each activation divides a negative number by ten; a positive one passes.
    assert model(minus_one())[0, 0].flatten().tolist() == pytest.approx([-(0.1**activations)] * 32**2, rel=1e-9)
    assert model(-minus_one())[0, 0].flatten().tolist() == pytest.approx([1] * 32**2)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("layer", "source", "activations"),
    [("output.0", 96, 3), ("decode.2.0", 96, 7), ("decode_4.0", 48, 16), ("bottom.0", 0, 18)],
)  # x, p1 and p4 by their skips, and p5
def test_each_way_through_the_noise2noise_unet(layer: str, source: int, activations: int, shared: bool) -> None:
    model = emptied(Noise2NoiseUNet(shared))
    if shared:
        layer = layer.replace("decode.2", "decode.0")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            connect(module, source if name == layer else 0)
    assert model(minus_one())[0, 0].flatten().tolist() == pytest.approx([-(0.01**activations)] * 32**2, rel=1e-9, abs=0)
    assert model(-minus_one())[0, 0].flatten().tolist() == pytest.approx([1] * 32**2)


def test_the_last_layer_of_basenet_spreads_each_pixel_over_5_by_5() -> None:
    model = emptied(BaseNet())
    with torch.no_grad():
        model.layers[10].bias[3] = 0.5  # a gray image of 28 x 28
        model.layers[11].weight[3, 1] = 1
        model.layers[11].bias[1] = -1
    output = model(normal(0, 1, 3, 32, 32))
    reached = torch.tensor([min(place + 1, 5, 32 - place) for place in range(32)], dtype=torch.float64)
    assert torch.allclose(output[0, 1], (0.5 * reached[:, None] * reached - 1).clamp_min(0), rtol=1e-12)
    assert (output[0, [0, 2]] == 0).all()


@given(st.integers(0, 31), st.integers(0, 31), st.integers(0, 1), st.floats(0.1, 1))
def test_z_is_the_greatest_value_of_each_block(row: int, column: int, block: int, value: float) -> None:
    model = emptied(TNet())
    for number in range(1, 8):
        connect(model.get_submodule(f"conv_{number}"))
    x = torch.zeros(1, 3, 64, 32, dtype=torch.float64)
    x[0, 0, 32 * block + row, column] = value
    x[0, 0, 32 * block + 31 - row, column] += value / 2 if row != 31 - row else 0
    expected = torch.zeros(64, 32, dtype=torch.float64)
    expected[32 * block : 32 * block + 32] = value  # wherever in its block the pixel was
    assert torch.allclose(model(x)[0, 0], expected, rtol=1e-12)


def test_the_shared_decoder_is_one_module_used_three_times() -> None:
    shared, separate = lively(partial(Noise2NoiseUNet, shared_decoder=True)), made(Noise2NoiseUNet).double()
    state = shared.state_dict()
    separate.load_state_dict({name: state[re.sub(r"^decode\.\d", "decode.0", name)] for name in separate.state_dict()})
    x, target = normal(6, 2, 3, 32, 32), normal(7, 2, 3, 32, 32)
    assert torch.equal(shared(x), separate(x))
    for model in (shared, separate):
        mse_loss(model(x), target).backward()
    for name, parameter in shared.decode[0].named_parameters():
        parts = [level.get_parameter(name).grad for level in separate.decode]
        assert torch.allclose(parameter.grad, sum(parts), rtol=0, atol=1e-12)
        assert all(part.abs().max() > 0 for part in parts)


# --- how they learn ----------------------------------------------------------------------------------------------------


@coloured
def test_a_photo_does_not_see_its_batch(build: Callable[[], nn.Module]) -> None:
    model, x = made(build).double().eval(), normal(8, 4, 3, 32, 32)
    assert torch.allclose(model(x)[2:3], model(x[2:3]), rtol=0, atol=1e-12)


def test_batch_norm_sees_its_batch_in_training() -> None:
    model, x = made(partial(TNet, batch_norm=True)).double(), normal(8, 4, 3, 32, 32)
    assert not torch.allclose(model(x)[2:3], model(x[2:3]), rtol=0, atol=1e-6)


@coloured
def test_a_colour_gradient_agrees_with_finite_differences(build: Callable[[], nn.Module]) -> None:
    model = lively(build, 3)
    x, target = normal(9, 1, 3, 32, 32), normal(10, 1, 3, 32, 32)
    mse_loss(model(x), target).backward()
    step = 1e-6
    for name, parameter in model.named_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.flatten()
        index = int(gradient.abs().argmax())
        losses = []
        for sign in (1, -1):
            flat[index] += sign * step
            with torch.no_grad():
                losses.append(mse_loss(model(x), target).item())
            flat[index] -= sign * step
        # The loss is exact to some 1e-16, its slope to 1e-9: the gradients are far above that. (But for one: norm_4 takes away
        # what norm_3 adds.)
        assert abs(gradient[index]) > 1e-7 or name == "norm_3.bias", name
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(gradient[index].item(), rel=1e-4, abs=1e-9), name


ALL_NETWORKS: list[Callable[[], nn.Module]] = [UNet, Autoencoder, *(build for build, _ in COLOUR)]


@pytest.mark.parametrize("build", ALL_NETWORKS, ids=["UNet", "Autoencoder", *COLOUR_IDS])
def test_fit_moves_every_parameter(build: Callable[[], nn.Module]) -> None:
    # An optimiser made before the network was replaced moves none of them. Seed 0: the ReLU at the end of BaseNet is born dead
    # for one or two colours by most seeds, and by some, such as 11, for all three: then nothing moves.
    model = made(build, 0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    channels = 1 if build in (UNet, Autoencoder) else 3
    pairs = NoisyPairs.from_copies(images(11, 8, channels, 32, 32), images(12, 8, channels, 32, 32))
    fit(model, pairs, epochs=1, batch_size=4, device="cpu", progress=False)
    for name, parameter in model.named_parameters():
        moved = parameter.detach() != before[name]
        assert moved.any(), name
        if isinstance(model, TNet):  # no ReLU is 0 for a whole channel: each single number moves
            assert moved.float().mean() > 0.99, name
    assert len(before) == len(list(build().parameters()))


def test_an_untrained_basenet_scores_like_a_black_image() -> None:
    clean = photos("all", size=32, crops=4) / 255

    def score(output: Tensor) -> float:
        return float(-10 * (output.clamp(0, 1) - clean).square().mean(dim=(1, 2, 3)).log10().mean())

    black = score(torch.zeros_like(clean))
    with torch.no_grad():
        scores = [score(made(BaseNet, seed)(clean)) for seed in range(6)]
    assert sum(scores) / len(scores) == pytest.approx(black, abs=1.5)
    assert all(value != black for value in scores)  # it is not the black image itself


# --- TinyDenoiser --------------------------------------------------------------------------------------------------------


def test_tiny_denoiser_matches_its_docstrings_table() -> None:
    model = TinyDenoiser()
    rows = re.findall(r"^\s*\| (\w+) +\|.+\| +\d+ x \S+ +\| +([\d,]+) \|$", TinyDenoiser.__doc__ or "", re.MULTILINE)
    layers: list[tuple[str, tuple[nn.Module, ...]]] = [
        ("h", (model.enter,)), ("a", (model.encode,)), ("b", (model.down, model.middle_1, model.middle_2)), ("c", (model.up,)),
        ("h", (model.decode_1, model.decode_2)), ("out", (model.output,)),
    ]  # fmt: skip
    counts = [(name, sum(count_parameters(layer) for layer in row)) for name, row in layers]
    assert [(name, int(count.replace(",", ""))) for name, count in rows] == counts
    assert [count for _, count in counts] == [672, 5_208, 24_087, 768, 10_416, 651]
    assert sum(count for _, count in counts) == count_parameters(model) == 41_802 <= count_parameters(TNet()) == 43_064
    assert "41,802 parameters" in (TinyDenoiser.__doc__ or "") and not list(model.buffers())


def tiny_by_hand(x: Tensor, w: dict[str, Tensor], passes: int = 2) -> Tensor:
    def conv(value: Tensor, name: str) -> Tensor:
        weight = w[f"{name}.weight"]
        return conv2d(value, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    h = relu(conv(x, "enter"))
    for _ in range(passes):
        a = relu(conv(h, "encode"))
        b = max_pool2d(a, 2)
        for name in ("down", "middle_1", "middle_2"):
            b = relu(conv(b, name))
        c = a + interpolate(conv(b, "up"), scale_factor=2, mode="nearest")
        h = h + conv(relu(conv(c, "decode_1")), "decode_2")
    return x + conv(relu(h), "output")


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 3, 2, 6)])
def test_tiny_denoiser_computes_its_table(shape: tuple[int, ...]) -> None:
    model, x = lively(TinyDenoiser), normal(20, *shape)
    assert torch.allclose(model(x), tiny_by_hand(x, model.state_dict()), rtol=1e-12, atol=1e-10)
    assert not torch.allclose(model(x), tiny_by_hand(x, model.state_dict(), passes=1))  # one pass is another network


def test_both_passes_of_tiny_denoiser_share_their_weights() -> None:
    model, x = made(TinyDenoiser).double(), normal(21, 1, 3, 8, 8)
    calls: dict[str, int] = {}
    for name, layer in model.named_children():
        layer.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    model(x).square().sum().backward()
    assert calls == {name: 1 if name in ("enter", "output") else 2 for name, _ in model.named_children()}
    # With a copy of the weights for each pass, the gradient is the sum of both copies' gradients.
    first, second = (copy.deepcopy(dict(model.named_parameters())) for _ in range(2))
    for part in (first, second):
        for parameter in part.values():
            parameter.grad = None

    def step(h: Tensor, w: dict[str, Any]) -> Tensor:
        a = relu(conv2d(h, w["encode.weight"], w["encode.bias"], padding=1))
        b = relu(conv2d(max_pool2d(a, 2), w["down.weight"], w["down.bias"], padding=1))
        b = relu(conv2d(b, w["middle_1.weight"], w["middle_1.bias"], padding=1))
        b = relu(conv2d(b, w["middle_2.weight"], w["middle_2.bias"], padding=1))
        c = a + enlarge(conv2d(b, w["up.weight"], w["up.bias"]), 2)
        c = relu(conv2d(c, w["decode_1.weight"], w["decode_1.bias"], padding=1))
        return h + conv2d(c, w["decode_2.weight"], w["decode_2.bias"], padding=1)

    h = relu(conv2d(x, first["enter.weight"], first["enter.bias"], padding=1))
    for state in (first, second):
        h = step(h, state)
    output = x + conv2d(relu(h), first["output.weight"], first["output.bias"], padding=1)
    output.square().sum().backward()
    for name in ("encode.weight", "middle_1.weight", "up.weight", "decode_2.bias"):
        parts = [first[name].grad, second[name].grad]
        assert all(part is not None and part.abs().max() > 0 for part in parts)
        assert torch.allclose(model.get_parameter(name).grad, parts[0] + parts[1], rtol=1e-9, atol=1e-9)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_a_tiny_denoiser_of_zeros_leaves_the_image(count: int, rows: int, columns: int) -> None:
    x = normal(22, count, 3, 2 * rows, 2 * columns)
    assert torch.equal(emptied(TinyDenoiser())(x), x)


def test_the_last_bias_of_tiny_denoiser_is_added_to_the_image() -> None:
    model, x = emptied(TinyDenoiser()), normal(23, 2, 3, 4, 4)
    bias = torch.tensor([0.25, 0.0, -0.5], dtype=torch.float64)
    with torch.no_grad():
        model.output.bias.copy_(bias)
    assert torch.equal(model(x), x + bias.view(1, 3, 1, 1))  # no activation follows


def test_tiny_denoiser_stays_near_the_pixel() -> None:
    # Pixels that it sees to each side: 1 by `enter`, 10 by each pass (1 by `encode`, 6 by three convolutions at half the size
    # and 1 by the pool, 2 by two convolutions), 1 by `output`.
    model, x = lively(TinyDenoiser), normal(24, 1, 3, 64, 64).requires_grad_()
    model(x)[0, :, 32, 32].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten() - 32
    assert -22 <= rows.min() < -12 and 12 < rows.max() <= 22  # further than by one pass


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (None, TypeError), (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError), (torch.rand(3, 8, 8), ValueError),
        (torch.rand(1, 1, 8, 8), ValueError), (torch.rand(1, 3, 9, 8), ValueError), (torch.rand(1, 3, 8, 9), ValueError),
        (torch.rand(1, 3, 0, 8), ValueError),
    ],
)  # fmt: skip
def test_bad_input_of_tiny_denoiser(x: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "TinyDenoiser"):
        TinyDenoiser()(x)


def test_a_photo_does_not_see_its_batch_in_tiny_denoiser() -> None:
    model, x = made(TinyDenoiser).double(), normal(25, 4, 3, 8, 8)
    assert torch.allclose(model(x)[2:3], model(x[2:3]), rtol=0, atol=1e-12)


def test_fit_moves_every_layer_of_tiny_denoiser() -> None:
    model = made(TinyDenoiser)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    pairs = NoisyPairs.from_copies(images(26, 8, 3, 32, 32), images(27, 8, 3, 32, 32))
    fit(model, pairs, epochs=1, batch_size=4, device="cpu", progress=False)
    for name, parameter in model.named_parameters():
        assert (parameter.detach() != before[name]).float().mean() > 0.5, name


# --- SelfEnsemble --------------------------------------------------------------------------------------------------------

# Each of the eight symmetries of the square, and what undoes it, in numpy on (N, C, H, W).
SYMMETRIES: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda x: x, lambda x: x),
    (lambda x: x[..., ::-1], lambda x: x[..., ::-1]),
    (lambda x: x[..., ::-1, :], lambda x: x[..., ::-1, :]),
    (lambda x: x[..., ::-1, ::-1], lambda x: x[..., ::-1, ::-1]),
    (lambda x: x.swapaxes(-1, -2), lambda x: x.swapaxes(-1, -2)),
    (lambda x: x.swapaxes(-1, -2)[..., ::-1], lambda x: x[..., ::-1].swapaxes(-1, -2)),
    (lambda x: x.swapaxes(-1, -2)[..., ::-1, :], lambda x: x[..., ::-1, :].swapaxes(-1, -2)),
    (lambda x: x.swapaxes(-1, -2)[..., ::-1, ::-1], lambda x: x[..., ::-1, ::-1].swapaxes(-1, -2)),
]


def turned(x: Tensor, number: int) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(SYMMETRIES[number][0](x.detach().numpy())))


def test_the_eight_symmetries_are_eight() -> None:
    image = np.arange(9.0).reshape(1, 1, 3, 3)
    assert len({turn(image).tobytes() for turn, _ in SYMMETRIES}) == 8
    assert all(np.array_equal(undo(turn(image)), image) for turn, undo in SYMMETRIES)


@pytest.mark.parametrize("build", [TinyDenoiser, TNet, lambda: nn.Conv2d(3, 3, 3, padding=1)], ids=["tiny", "TNet", "conv"])
def test_self_ensemble_is_the_mean_over_the_symmetries(build: Callable[[], nn.Module]) -> None:
    model, x = lively(build), normal(30, 2, 3, 32, 32)
    with torch.no_grad():
        outputs = [undo(model(turned(x, number)).numpy()) for number, (_, undo) in enumerate(SYMMETRIES)]
        ensemble = SelfEnsemble(model)(x)
        assert np.allclose(ensemble.numpy(), np.mean(outputs, axis=0), rtol=0, atol=1e-12)
        assert not torch.allclose(ensemble, model(x), rtol=0, atol=1e-3)  # the network alone knows directions


@pytest.mark.parametrize("number", range(1, 8))
def test_self_ensemble_is_equivariant(number: int) -> None:
    model, x = lively(TinyDenoiser, number), normal(31, 2, 3, 8, 8)
    ensemble = SelfEnsemble(model)
    with torch.no_grad():
        assert torch.allclose(ensemble(turned(x, number)), turned(ensemble(x), number), rtol=0, atol=1e-11)
        assert not torch.allclose(model(turned(x, number)), turned(model(x), number), rtol=0, atol=1e-3)


def test_self_ensemble_leaves_an_equivariant_model_unchanged() -> None:
    model = nn.Conv2d(3, 3, 3, padding=1).double()
    corner, edge, centre = normal(32, 3, 3, 3).unbind(dim=-1)
    with torch.no_grad():
        for place, value in {(0, 0): corner, (0, 1): edge, (1, 1): centre}.items():
            for row, column in {(r, c) for a, b in (place, place[::-1]) for r in (a, 2 - a) for c in (b, 2 - b)}:
                model.weight[:, :, row, column] = value
        x = normal(33, 2, 3, 8, 8)
        for network in (model, nn.Identity(), nn.ReLU(), nn.AvgPool2d(3, stride=1, padding=1)):
            assert torch.allclose(SelfEnsemble(network)(x), network(x), rtol=0, atol=1e-12)


def test_self_ensemble_has_no_parameters_of_its_own() -> None:
    model = TinyDenoiser()
    ensemble = SelfEnsemble(model)
    assert [id(parameter) for parameter in ensemble.parameters()] == [id(parameter) for parameter in model.parameters()]
    assert count_parameters(ensemble) == 41_802 and not list(ensemble.buffers())
    assert not ensemble.eval().model.training and ensemble.train().model.training


def test_self_ensemble_asks_its_model_eight_times() -> None:
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return x

    x = normal(34, 1, 3, 4, 4)
    before = x.clone()
    SelfEnsemble(Watched())(x)
    assert len(seen) == 8 and torch.equal(x, before)
    expected = {turned(x, number).numpy().tobytes() for number in range(8)}
    assert {value.contiguous().numpy().tobytes() for value in seen} == expected


def test_bad_input_of_self_ensemble(refused: Any) -> None:
    ensemble = SelfEnsemble(TinyDenoiser())
    for x in (torch.rand(1, 1, 8, 8), torch.rand(1, 3, 7, 7)):
        with refused(ValueError, "TinyDenoiser"):
            ensemble(x)
    for x in (torch.rand(3, 8, 8), torch.rand(1, 3, 8, 6), None):
        with refused(ValueError, "SelfEnsemble", "square"):
            ensemble(x)
    with refused(TypeError, "TinyDenoiser"):
        ensemble(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
