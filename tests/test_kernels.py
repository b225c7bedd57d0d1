from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import sobel
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d

from denoise_lib.kernels import (
    MARGIN,
    center_contrast,
    edges,
    effective_receptive_field,
    elongation,
    filters,
    kernel_windows,
    matched_gaussian,
    mean_distance,
    radius,
    windows,
)
from denoise_lib.papers.saliency_statistics import kernel_facts
from denoise_lib.saliency import output_gradient
from denoise_lib.tnet import TNet

pytestmark = pytest.mark.numbers

FACTS = {"sum", "own", "unlikeness", "gaussian", "elongation", "other"}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 2, channels: int = 2, side: int = 8, seed: int = 1) -> Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(seed), dtype=torch.float64)


def linear(kernel: Tensor) -> nn.Module:
    """A convolution without bias: a denoiser whose filters are known."""
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[-1], padding=kernel.shape[-1] // 2, bias=False)
    layer.weight.data.copy_(kernel)
    return layer.to(kernel.dtype)


class SmallTNet(nn.Module):
    """Like TNet: pooling, a skip, leaky rectifiers, and the input once more before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.up, self.leave = nn.Conv2d(8, 2, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = leaky_relu(self.enter(x), 0.1)
        b = interpolate(leaky_relu(self.down(max_pool2d(a, 2)), 0.1), scale_factor=2)
        return self.leave(torch.cat([leaky_relu(self.up(torch.cat([a, b], 1)), 0.1), x], 1))


class Square(nn.Module):
    """A pointwise network, f(x) = x^2 / 2: each pixel's filter is its own value at that pixel alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square() / 2


def built(kind: Any, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind().double()


def gaussian(
    along: float, across: float | None = None, angle: float = 0.0, side: int = 2 * MARGIN + 1, count: int = 1
) -> Tensor:
    """Gaussian windows (count, side, side) with a sigma along an edge, and one across it; the edge's slope has the angle."""
    steps = torch.arange(side, dtype=torch.float64) - side // 2
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    u = columns * math.cos(angle) + rows * math.sin(angle)
    v = rows * math.cos(angle) - columns * math.sin(angle)
    values = torch.exp(-(u / (across or along)).square() / 2 - (v / along).square() / 2)
    return (values / values.sum()).expand(count, -1, -1)


def one_weight(row: int, column: int, side: int = 5, value: float = 1.0) -> Tensor:
    window = torch.zeros(1, side, side, dtype=torch.float64)
    window[0, row, column] = value
    return window


# --- filters ---


def test_a_linear_denoiser_is_its_kernel() -> None:
    kernel = torch.randn(3, 3, 3, 3, generator=seeded(3), dtype=torch.float64)
    shown = filters(linear(kernel), images(1, channels=3), [(4, 2), (0, 0), (7, 3)])
    expected = torch.zeros(3, 3, 10, 10, dtype=torch.float64)  # a frame of one pixel around 8 x 8
    for index, (row, column) in enumerate([(4, 2), (0, 0), (7, 3)]):
        expected[index, :, row : row + 3, column : column + 3] = kernel.mean(0)
    torch.testing.assert_close(shown, expected[:, :, 1:-1, 1:-1])


def test_filters_are_rows_of_the_jacobian() -> None:
    model, x = built(SmallTNet), images(1)
    jacobian = torch.autograd.functional.jacobian(lambda y: model(y[None])[0], x[0])  # (C, H, W, C, H, W)
    pixels = [(0, 0), (3, 6), (7, 7), (3, 6)]
    expected = torch.stack([jacobian.mean(0)[row, column] for row, column in pixels])
    torch.testing.assert_close(filters(model, x, pixels), expected)


def test_the_filter_is_the_network_near_the_image() -> None:
    """A network of leaky rectifiers without biases is linear along the ray through x: f(x) = J x."""
    model = built(TNet)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data.zero_()
    x = torch.rand(1, 3, 32, 32, generator=seeded(0), dtype=torch.float64)
    (weights,) = filters(model, x, [(10, 20)])
    torch.testing.assert_close((weights * x[0]).sum() * 3, model(x)[0, :, 10, 20].sum().detach())


# --- where a pixel looks on average ---


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_convolutions_look_no_further_than_their_number(layers: int) -> None:
    chain = [layer for _ in range(layers) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.Softplus())]
    field = effective_receptive_field(nn.Sequential(*chain).double(), images(3, side=11), (6, 4))
    rows, columns = field.nonzero().unbind(1)
    assert int((rows - 6).abs().max()) == layers == int((columns - 4).abs().max())
    assert radius(field, (6, 4), 1.0) == pytest.approx(layers * math.sqrt(2))
    assert not field.requires_grad and float(field.min()) >= 0


def test_the_field_of_the_identity_is_one_pixel() -> None:
    x = torch.rand(3, 2, 7, 10, generator=seeded(0))
    field = effective_receptive_field(nn.Identity(), x)
    expected = torch.zeros(7, 10)
    expected[3, 5] = 1  # the middle, by default
    assert torch.equal(field, expected)
    assert effective_receptive_field(nn.Identity(), x, (6, 0)).nonzero().tolist() == [[6, 0]]


def test_the_field_of_a_convolution_is_its_absolute_kernel() -> None:
    kernel = torch.randn(2, 2, 3, 3, generator=seeded(3), dtype=torch.float64)
    field = effective_receptive_field(linear(kernel), images(4), (3, 5))
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[2:5, 4:7] = kernel.sum(0).abs().mean(0)
    torch.testing.assert_close(field, expected)


def test_the_field_is_a_mean_of_sizes_over_the_images() -> None:
    x = images(5, seed=3) - 0.5  # the filter of each is x itself: signs would cancel
    field = effective_receptive_field(Square(), x, (2, 2))
    assert float(field[2, 2]) == pytest.approx(float(x[:, :, 2, 2].abs().mean()))
    alone = torch.stack([effective_receptive_field(Square(), image, (2, 2)) for image in x.split(1)])
    torch.testing.assert_close(field, alone.mean(0))


# --- radius ---


def test_the_radius_of_one_pixel_is_its_distance() -> None:
    weights = torch.zeros(9, 12)
    weights[2, 3] = -0.3
    assert radius(weights, (2, 3), 1) == 0
    assert radius(weights, (5, 7), 0.01) == 5  # 3 rows, 4 columns
    assert radius(weights, (2, 11), 0.5) == 8


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9, 1.0])
def test_the_radius_within_an_even_disc_is_that_of_its_area(share: float) -> None:
    steps = torch.arange(81.0) - 40
    disc = (torch.hypot(steps[:, None], steps) <= 30).double()
    assert radius(disc, (40, 40), share) == pytest.approx(30 * math.sqrt(share), abs=0.5)
    assert radius(-3 * disc, (40, 40), share) == radius(disc, (40, 40), share)  # neither sign nor scale counts


@given(st.integers(0, 999), st.integers(0, 4), st.integers(0, 6), st.lists(st.floats(0.01, 1), min_size=2, max_size=2))
def test_the_radius_is_the_smallest_that_holds_the_share(seed: int, row: int, column: int, shares: list[float]) -> None:
    weights = torch.randn(5, 7, generator=seeded(seed), dtype=torch.float64)
    rows, columns = np.indices((5, 7))
    distance, mass = np.hypot(rows - row, columns - column), weights.abs().numpy()
    found = [radius(weights, (row, column), share) for share in sorted(shares)]
    for value, share in zip(found, sorted(shares), strict=True):
        enough = [d for d in np.unique(distance) if mass[distance <= d + 1e-9].sum() >= (share - 1e-9) * mass.sum()]
        assert value == pytest.approx(min(enough))
    assert found[0] <= found[1]


# --- edges ---


def ramp(down: float, right: float, count: int = 1) -> Tensor:
    steps = torch.arange(12, dtype=torch.float64)
    return (down * steps[:, None] + right * steps).expand(count, 2, -1, -1)


SLOPES = [(0.0, 0.05), (0.05, 0.0), (0.0, -0.05), (-0.05, 0.0), (0.03, 0.04), (-0.02, 0.02), (-0.03, -0.04)]


@pytest.mark.parametrize(("down", "right"), SLOPES)
def test_a_ramp_is_as_steep_as_it_is(down: float, right: float) -> None:
    steepness, _ = edges(ramp(down, right, count=3))
    assert steepness.shape == (3, 12, 12)
    inner = steepness[:, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, math.hypot(down, right)))


@pytest.mark.parametrize(("down", "right"), SLOPES)
def test_the_angle_of_a_ramp_is_that_of_its_rise(down: float, right: float) -> None:
    _, angle = edges(ramp(down, right, count=3))
    assert angle.shape == (3, 12, 12)
    inner = angle[:, 1:-1, 1:-1]
    torch.testing.assert_close(inner.cos(), torch.full_like(inner, right / math.hypot(down, right)))
    torch.testing.assert_close(inner.sin(), torch.full_like(inner, down / math.hypot(down, right)))


def test_a_flat_image_has_no_slope_and_a_constant_changes_none() -> None:
    steepness, _ = edges(torch.full((2, 3, 5, 6), 0.7, dtype=torch.float64))
    assert float(steepness.max()) < 1e-12
    x = images(1)
    for found, expected in zip(edges(x + 0.25), edges(x), strict=True):
        torch.testing.assert_close(found, expected)


def test_edges_are_those_of_scipy_and_skimage() -> None:
    x = images(4, channels=3, side=9)
    steepness, angle = edges(x)
    for index, gray in enumerate(x.mean(1).numpy()):
        down, right = (ndimage.sobel(gray, axis=axis, mode="nearest") / 8 for axis in (0, 1))
        np.testing.assert_allclose(steepness[index], np.hypot(down, right), atol=1e-12)
        np.testing.assert_allclose(angle[index], np.arctan2(down, right), atol=1e-9)
        np.testing.assert_allclose(steepness[index] * math.sqrt(2), sobel(gray, mode="nearest"), atol=1e-12)


def test_the_edges_of_an_image_do_not_depend_on_its_batch() -> None:
    x = images(3)
    steepness, angle = edges(x)
    for index, image in enumerate(x.split(1)):
        alone = edges(image)
        torch.testing.assert_close(steepness[index], alone[0][0])
        torch.testing.assert_close(angle[index], alone[1][0])


def test_edges_are_those_of_the_gray_image() -> None:
    x = images(1, channels=3)
    for found, expected in zip(edges(x), edges(x.mean(1, keepdim=True)), strict=True):
        torch.testing.assert_close(found, expected)
    opposed = torch.cat([x[:, :1], 1 - x[:, :1]], 1)  # the channels' slopes cancel
    assert float(edges(opposed)[0].max()) < 1e-12


# --- windows ---


@given(st.integers(1, 3), st.integers(0, 99))
def test_a_window_is_a_slice(margin: int, seed: int) -> None:
    maps = torch.rand(3, 9, 11, generator=seeded(seed))
    rows = torch.randint(margin, 9 - margin, (3,), generator=seeded(seed)).tolist()
    columns = torch.randint(margin, 11 - margin, (3,), generator=seeded(seed + 1)).tolist()
    cuts = windows(maps, list(zip(rows, columns, strict=True)), margin)
    assert cuts.shape == (3, 2 * margin + 1, 2 * margin + 1)
    for cut, values, row, column in zip(cuts, maps, rows, columns, strict=True):
        assert torch.equal(cut, values[row - margin : row + margin + 1, column - margin : column + margin + 1])
        assert float(cut[margin, margin]) == float(values[row, column])


def test_the_margin_is_four_pixels_by_default() -> None:
    assert windows(torch.rand(1, 9, 9), [(4, 4)]).shape == (1, 9, 9) and MARGIN == 4


@pytest.mark.parametrize("pixel", [(1, 4), (4, 1), (7, 4), (4, 7), (0, 0), (8, 8)])
def test_a_window_over_the_border_is_refused(pixel: tuple[int, int], refused: Any) -> None:
    assert len(windows(torch.rand(2, 9, 9), [(2, 6), (6, 2)], margin=2)) == 2
    with refused(ValueError, "border", str(pixel)):
        windows(torch.rand(1, 9, 9), [pixel], margin=2)


# --- shapes of kernels ---


def test_the_mean_distance_of_known_kernels() -> None:
    kernels = torch.cat([one_weight(2, 2), one_weight(0, 2), one_weight(4, 4), one_weight(2, 2) - 3 * one_weight(1, 2)])
    found = mean_distance(kernels)
    torch.testing.assert_close(found, torch.tensor([0, 2, 2 * math.sqrt(2), 0.75], dtype=torch.float64))
    even = mean_distance(torch.ones(1, 3, 3))
    assert float(even) == pytest.approx((4 + 4 * math.sqrt(2)) / 9)


def test_the_mean_distance_knows_neither_scale_nor_sign_nor_turn() -> None:
    kernels = torch.randn(4, 7, 7, generator=seeded(0), dtype=torch.float64)
    for other in (-kernels, 5 * kernels, kernels.rot90(1, (1, 2)), kernels.flip(2)):
        torch.testing.assert_close(mean_distance(other), mean_distance(kernels))


@given(st.integers(0, 999), st.floats(0.5, 2.5))
def test_the_gaussian_is_as_wide_round_and_sums_to_one(seed: int, width: float) -> None:
    kernels = torch.randn(3, 9, 9, generator=seeded(seed), dtype=torch.float64) * gaussian(width)
    found = matched_gaussian(kernels)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(3, dtype=torch.float64))
    for other in (found.flip(1), found.flip(2), found.transpose(1, 2)):
        torch.testing.assert_close(other, found)
    # Half a step of the table, whose sigmas are 0.002 apart; the mean distance grows up to 2.4 times as fast.
    torch.testing.assert_close(mean_distance(found), mean_distance(kernels), rtol=0, atol=0.0025)
    torch.testing.assert_close(matched_gaussian(-2 * kernels), found)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.8, 1.0, 1.7, 3.0, 6.0])
def test_the_gaussian_of_a_gaussian_is_itself(sigma: float) -> None:
    found, expected = matched_gaussian(gaussian(sigma)), gaussian(sigma)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.003 * float(expected.max()))
    torch.testing.assert_close(mean_distance(found), mean_distance(expected), rtol=0, atol=0.0025)


def test_the_gaussian_of_a_single_pixel_is_that_pixel() -> None:
    torch.testing.assert_close(matched_gaussian(one_weight(2, 2)), one_weight(2, 2), rtol=0, atol=1e-4)


def test_each_kernel_gets_its_own_gaussian() -> None:
    kernels = torch.cat([gaussian(2.0), gaussian(0.7), gaussian(1.2)])
    torch.testing.assert_close(
        matched_gaussian(kernels), torch.cat([matched_gaussian(kernel[None]) for kernel in kernels]), rtol=0, atol=0
    )


def test_a_kernel_wider_than_every_gaussian_gets_the_widest() -> None:
    ring = torch.ones(1, 9, 9, dtype=torch.float64)
    ring[:, 1:-1, 1:-1] = 0
    torch.testing.assert_close(matched_gaussian(ring), gaussian(8.0))


# --- unlikeness ---


def test_a_constant_patch_is_like_itself() -> None:
    kernels = torch.randn(3, 5, 5, generator=seeded(0))
    assert not center_contrast(kernels, torch.full((3, 5, 5), 0.4)).any()
    single = center_contrast(one_weight(2, 2), torch.rand(1, 5, 5, generator=seeded(1)))
    assert float(single) == 0  # a kernel that looks at its own pixel alone


@pytest.mark.parametrize("height", [1.0, -0.3])
def test_the_unlikeness_at_a_step_is_the_weight_beyond_it(height: float) -> None:
    kernels = torch.randn(4, 9, 9, generator=seeded(2), dtype=torch.float64)
    step = torch.zeros(4, 9, 9, dtype=torch.float64)
    step[:, :, 6:] = height
    expected = abs(height) * kernels[:, :, 6:].abs().sum((1, 2)) / kernels.abs().sum((1, 2))
    torch.testing.assert_close(center_contrast(kernels, step), expected)
    torch.testing.assert_close(center_contrast(-7 * kernels, step + 0.2), expected)


def test_a_kernel_that_keeps_to_its_side_has_less_than_a_gaussian() -> None:
    one_sided, step = gaussian(1.5).clone(), torch.zeros(1, 9, 9, dtype=torch.float64)
    one_sided[:, :, 5:], step[:, :, 5:] = 0, 1
    assert float(center_contrast(one_sided, step)) == 0 < 0.2 < float(center_contrast(matched_gaussian(one_sided), step))


# --- elongation ---

ANGLES = [0.0, 0.3, math.pi / 4, 1.2, math.pi / 2, 2.5, math.pi, -0.8]


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0, 6.0])
def test_a_round_kernel_is_not_elongated(sigma: float, angle: float) -> None:
    assert float(elongation(gaussian(sigma), torch.tensor([angle]))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize(("along", "across"), [(3.0, 1.5), (2.0, 1.0), (3.0, 1.0), (1.0, 2.0)])
def test_the_elongation_is_the_ratio_of_the_sigmas(along: float, across: float, angle: float) -> None:
    kernel = gaussian(along, across, angle, side=27)
    assert float(elongation(kernel, torch.tensor([angle]))) == pytest.approx(along / across, rel=0.02)


@given(st.integers(0, 99), st.floats(-4, 4))
def test_a_quarter_turn_inverts_the_elongation(seed: int, angle: float) -> None:
    kernels = torch.randn(3, 7, 7, generator=seeded(seed), dtype=torch.float64)
    slopes = torch.full((3,), angle, dtype=torch.float64)
    found = elongation(kernels, slopes)
    torch.testing.assert_close(elongation(kernels, slopes + math.pi / 2), 1 / found)
    torch.testing.assert_close(elongation(kernels, slopes + math.pi), found)  # up or down the slope: one edge
    torch.testing.assert_close(elongation(kernels.transpose(1, 2), math.pi / 2 - slopes), found)
    torch.testing.assert_close(elongation(-2 * kernels, slopes), found)


def test_each_kernel_has_its_own_angle() -> None:
    kernels = torch.cat([gaussian(3.0, 1.5, side=27), gaussian(3.0, 1.5, math.pi / 2, side=27)])
    found = elongation(kernels, torch.tensor([0.0, 0.0]))
    assert float(found[0]) == pytest.approx(2, rel=0.02) and float(found[1]) == pytest.approx(0.5, rel=0.02)


def test_a_kernel_along_an_edge_is_elongated_at_the_angle_of_edges() -> None:
    """The conventions of `edges` and `elongation` meet: an image that rises to the lower right, and a kernel along its edge."""
    rows, columns = torch.meshgrid(torch.arange(27.0), torch.arange(27.0), indexing="ij")
    _, angle = edges(((rows + 2 * columns) / 100)[None, None])
    slope = math.atan2(1, 2)
    assert float(angle[0, 13, 13]) == pytest.approx(slope, abs=1e-5)
    # A kernel that averages pixels of one gray level: (2, -1) and (-2, 1) from the centre, in rows and columns.
    kernel = one_weight(13, 13, 27) + one_weight(15, 12, 27) + one_weight(11, 14, 27) + 0.1 * one_weight(14, 15, 27)
    assert float(elongation(kernel, angle[:, 13, 13])) > 4
    assert float(elongation(kernel.transpose(1, 2), angle[:, 13, 13])) < 1.5


# --- facts ---


def smooth(count: int = 2, channels: int = 1, side: int = 24, seed: int = 0) -> Tensor:
    x = torch.rand(count, channels, side, side, generator=seeded(seed), dtype=torch.float64)
    return torch.from_numpy(ndimage.gaussian_filter(x.numpy(), (0, 0, 2, 2), mode="nearest"))


def test_the_facts_of_the_identity() -> None:
    clean = images(3, channels=3, side=16)
    facts = kernel_facts(nn.Identity(), clean, clean)
    assert set(facts) == {"edge", "flat"}
    for found in facts.values():
        assert set(found) == FACTS and all(value.shape == (3,) for value in found.values())
        one = torch.ones(3, dtype=torch.float64)
        torch.testing.assert_close(found["sum"], one)
        torch.testing.assert_close(found["own"], one)
        assert not found["unlikeness"].any() and not found["other"].any() and float(found["gaussian"].max()) < 1e-3


def test_the_other_images_kernels_are_those_of_the_image_before() -> None:
    """With a filter that follows the image, an image's own kernels and borrowed ones differ."""

    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weight = 1 + 9 * (x.detach() > 0.5).to(x)  # ten times the weight of bright pixels, through a fixed blur
            return nn.functional.avg_pool2d(weight * x, 9, stride=1, padding=4)

    clean = torch.zeros(2, 1, 16, 16, dtype=torch.float64)
    clean[0, :, :, 8:] = 1
    clean[1, :, 8:] = 1
    own = kernel_facts(Own(), clean, clean, ("edge",))["edge"]
    assert bool((own["unlikeness"] != own["other"]).all())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_facts_of_a_gaussian_filter(channels: int) -> None:
    """The null of every comparison: its unlikeness is that of a Gaussian as wide, and it is round."""
    window = gaussian(1.3)[0]
    kernel = torch.zeros(channels, channels, 9, 9, dtype=torch.float64)
    kernel[torch.arange(channels), torch.arange(channels)] = window
    clean = smooth(3, channels)
    for found in kernel_facts(linear(kernel), clean, clean, pixels=5).values():
        ratio = found["unlikeness"] / found["gaussian"]
        torch.testing.assert_close(ratio, torch.ones(3, dtype=torch.float64), rtol=0, atol=0.02)
        torch.testing.assert_close(found["elongation"], torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6)
        torch.testing.assert_close(found["sum"], torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(found["own"], window[4, 4].expand(3))


@pytest.mark.parametrize(("angle", "expected"), [(0.0, 2.0), (math.pi / 2, 0.5)])
def test_the_elongation_is_measured_against_the_edges_of_the_clean_image(angle: float, expected: float) -> None:
    """Vertical stripes rise to the left and right: a filter along the columns follows them, one along the rows does not."""
    stripes = torch.arange(24.0, dtype=torch.float64).mul(0.7).sin().expand(1, 1, 24, 24)
    model = linear(gaussian(1.6, 0.8, angle)[None])
    facts = kernel_facts(model, images(1, channels=1, side=24), stripes, kinds=["edge"])
    assert set(facts) == {"edge"}
    assert float(facts["edge"]["elongation"]) == pytest.approx(expected, rel=0.05)


def test_pixels_are_drawn_at_edges_and_in_flat_regions() -> None:
    """The own weight of f(x) = x^2 / 2 is x: a noisy image that marks the steep columns shows which pixels were taken."""
    clean, marks = torch.zeros(2, 1, 24, 24), torch.zeros(2, 1, 24, 24)
    clean[..., 12:], marks[..., 11:13] = 1.0, 1.0
    facts = kernel_facts(Square(), marks, clean, share=0.1)
    assert facts["edge"]["own"].tolist() == [1, 1] and facts["flat"]["own"].tolist() == [0, 0]
    border = torch.ones(1, 1, 24, 24)
    border[..., MARGIN:-MARGIN, MARGIN:-MARGIN] = 0  # only pixels with a whole window count
    for kind in kernel_facts(Square(), border, border, pixels=999).values():
        assert not kind["own"].any()


def test_kernels_of_zeros_have_no_shape_and_do_not_count_in_it() -> None:
    noisy = torch.cat([torch.zeros(1, 1, 20, 20), torch.ones(1, 1, 20, 20)])  # Square's kernels are zero where x is
    mixed = torch.zeros(1, 1, 20, 20)
    mixed[..., 10:] = 1.0
    facts = kernel_facts(Square(), torch.cat([noisy, mixed]), images(3, channels=1, side=20).float(), pixels=99)
    for found in facts.values():
        for name in ("unlikeness", "gaussian"):
            assert found[name].isnan().tolist() == [True, False, False]
        assert found["own"][:2].tolist() == found["sum"][:2].tolist() == [0, 1] and 0 < float(found["own"][2]) < 1


def test_the_number_of_pixels_and_the_share() -> None:
    seen: list[int] = []

    class Counted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return x

    clean = images(1, channels=1, side=18)  # 10 x 10 pixels within the margin
    kernel_facts(Counted(), clean, clean, kinds=("edge",), pixels=7)
    assert sum(seen) == 7
    seen.clear()
    kernel_facts(Counted(), clean, clean, kinds=("edge",), pixels=999, share=0.2)
    assert sum(seen) == 20


def test_the_seed_draws_the_pixels() -> None:
    clean = images(2, channels=1, side=20)
    before, copy = torch.get_rng_state(), clean.clone()
    model = built(lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Softplus(), nn.Conv2d(3, 1, 3, padding=1))).train()
    first, again, other = (kernel_facts(model, clean, clean, pixels=3, seed=seed)["edge"] for seed in (1, 1, 2))
    for name in FACTS:
        assert torch.equal(first[name], again[name]) and not torch.equal(first["own"], other["own"])
        assert not first[name].requires_grad
    assert model.training and torch.equal(clean, copy) and torch.equal(before, torch.get_rng_state())


def test_the_facts_of_the_first_image_do_not_depend_on_the_second() -> None:
    clean, model = images(2, channels=1, side=20), built(Square)
    both, alone = kernel_facts(model, clean, clean, pixels=4), kernel_facts(model, clean[:1], clean[:1], pixels=4)
    for kind in both:
        for name in ("own", "sum"):
            assert float(both[kind][name][0]) == pytest.approx(float(alone[kind][name][0]))


def test_kernel_windows_cut_the_filters() -> None:
    model, x = built(SmallTNet), images(3, side=20)
    found = kernel_windows(model, x, (8, 11))
    assert found.shape == (3, 9, 9) and not found.requires_grad
    for image, window in zip(x.split(1), found, strict=True):
        gradient = output_gradient(model, image, (8, 11))[0].sum(0) / 2
        torch.testing.assert_close(window, gradient[4:13, 7:16])
    kernel = gaussian(1.0)[None]
    torch.testing.assert_close(kernel_windows(linear(kernel), images(2, channels=1, side=32)), kernel[0].expand(2, -1, -1))


def test_nothing_is_left_behind() -> None:
    model, x, kernels = TNet().train(), torch.rand(2, 3, 32, 32), torch.randn(2, 9, 9)
    before, copy, stored = torch.get_rng_state(), x.clone(), kernels.clone()
    for shown in (
        filters(model, x[:1], [(0, 0), (1, 1)]), effective_receptive_field(model, x), *edges(x), kernel_windows(model, x),
    ):  # fmt: skip
        assert not shown.requires_grad
    slope = torch.ones(2)
    for value in (
        mean_distance(kernels),
        matched_gaussian(kernels),
        center_contrast(kernels, kernels),
        elongation(kernels, slope),
    ):
        assert value.isfinite().all()
    assert radius(kernels[0], (4, 4)) > 0
    assert model.training and torch.equal(x, copy) and torch.equal(kernels, stored)
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: filters(nn.Identity(), x, [(0, 0)]), "one image"),
        (lambda x: filters(nn.Identity(), x[:1], []), "pixels"),
        (lambda x: filters(nn.Identity(), x[:1], (3, 4)), "pixel"),
        (lambda x: filters(nn.Identity(), x[:1], [(0, 12)]), "12 x 12"),
        (lambda x: filters(nn.Identity(), x[0], [(0, 1)]), "x must"),
        (lambda x: filters("model", x[:1], [(0, 1)]), "model"),
        (lambda x: filters(nn.Identity(), x[:1], None), "pixels"),
        (lambda x: filters(nn.Identity(), x[:1], 3), "pixels"),
        (lambda x: filters(nn.Identity(), x[:1], torch.tensor([[1, 2], [3, 4]])), "pixel"),
        (lambda x: effective_receptive_field(nn.Identity(), x[0]), "x must"),
        (lambda x: effective_receptive_field(nn.Identity(), None), "x must"),
        (lambda x: effective_receptive_field(nn.Identity(), x, (12, 0)), "pixel"),
        (lambda x: effective_receptive_field(nn.Identity(), x, 3), "pixel"),
        (lambda x: effective_receptive_field(None, x), "model"),
        (lambda x: radius(x[0, 0], (12, 0)), "pixel"),
        (lambda x: radius(x[0, 0], None), "pixel"),
        (lambda x: radius([1.0], (0, 0)), "weights"),
        (lambda x: radius(x[0, 0, 0], (0, 0)), "weights"),
        (lambda x: radius(torch.zeros(3, 3), (0, 0)), "zero"),
        (lambda x: radius(torch.full((3, 3), math.nan), (0, 0)), "NaN"),
        (lambda x: radius(x[0, 0], (1, 1), 0), "share"),
        (lambda x: radius(x[0, 0], (1, 1), 1.1), "share"),
        (lambda x: radius(x[0, 0], (1, 1), "all"), "share"),
        (lambda x: radius(x[0], (4, 4)), "weights"),
        (lambda x: edges(x[0]), "images"),
        (lambda x: edges(x.mul(255).byte()), "images"),
        (lambda x: edges("images"), "images"),
        (lambda x: edges(x[None]), "images"),
        (lambda x: windows(x[0, 0], [(4, 4)]), "maps"),
        (lambda x: windows(x[:, 0], [(4, 4)]), "one pixel a map"),
        (lambda x: windows(x[:, 0], [(4, 4), (12, 4)]), "pixel"),
        (lambda x: windows(x[:, 0], [(4, 4), 4]), "pixel"),
        (lambda x: windows(x[:, 0], [(4, 4)] * 2, 0), "margin"),
        (lambda x: windows(x[:, 0], [(4, 4)] * 2, 1.5), "margin"),
        (lambda x: windows(x[:, 0], None), "pixels"),
        (lambda x: windows(x, [(4, 4)] * 2), "maps"),
        (lambda x: mean_distance(torch.ones(5, 5)), "kernels"),
        (lambda x: mean_distance(torch.ones(1, 4, 4)), "odd"),
        (lambda x: mean_distance(torch.ones(1, 3, 5)), "(1, 3, 5)"),
        (lambda x: mean_distance(torch.ones(1, 1, 5, 5)), "(P, K, K)"),
        (lambda x: mean_distance(torch.ones(1, 5, 5).int()), "kernels"),
        (lambda x: mean_distance(None), "kernels"),
        (lambda x: matched_gaussian(torch.ones(1, 4, 4)), "odd"),
        (lambda x: matched_gaussian([[1.0]]), "kernels"),
        (lambda x: matched_gaussian(torch.zeros(1, 5, 5)), "zero"),
        (lambda x: mean_distance(torch.stack([torch.ones(5, 5), torch.zeros(5, 5)])), "zero"),
        (lambda x: center_contrast(torch.ones(1, 5, 5), torch.ones(1, 3, 3)), "same shape"),
        (lambda x: center_contrast(torch.ones(1, 5, 5), None), "patches"),
        (lambda x: center_contrast(torch.ones(1, 5, 5), torch.full((1, 5, 5), math.nan)), "patches"),
        (lambda x: center_contrast(None, torch.ones(1, 5, 5)), "kernels"),
        (lambda x: center_contrast(torch.ones(1, 4, 4), torch.ones(1, 4, 4)), "odd"),
        (lambda x: center_contrast(x, x), "(P, K, K)"),
        (lambda x: elongation(torch.ones(2, 4, 4), torch.zeros(2)), "odd"),
        (lambda x: elongation(None, torch.zeros(2)), "kernels"),
        (lambda x: elongation(torch.ones(2, 5, 5), 0.3), "angle"),
        (lambda x: elongation(torch.ones(2, 5, 5), torch.zeros(3)), "angle"),
        (lambda x: elongation(torch.ones(2, 5, 5), torch.zeros(1)), "angle"),
        (lambda x: elongation(torch.ones(2, 5, 5), torch.zeros(2, 1)), "angle"),
        (lambda x: kernel_windows(nn.Identity(), x), "pixel"),  # the default place is outside
        (lambda x: kernel_windows(nn.Identity(), x, (3, 6)), "border"),
        (lambda x: kernel_windows(nn.Identity(), x, 6), "pixel"),
        (lambda x: kernel_windows("model", x, (6, 6)), "model"),
        (lambda x: kernel_windows(nn.Identity(), x[0], (6, 6)), "(N, C, H, W)"),
        (lambda x: kernel_windows(nn.Identity(), None, (6, 6)), "noisy"),
    ],
)  # fmt: skip
def test_bad_input_of_the_kernels(call: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        call(torch.rand(2, 3, 12, 12, generator=seeded(0)))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model": "model"}, "model"), ({"clean": torch.rand(1, 1, 12, 12)}, "clean"), ({"kinds": ["corner"]}, "kinds"),
        ({"kinds": "edge"}, "kinds"), ({"pixels": 0}, "pixels"), ({"pixels": 2.0}, "pixels"), ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"), ({"clean": torch.full((2, 1, 12, 12), math.nan)}, "NaN"),
        ({"noisy": torch.full((2, 1, 12, 12), math.nan)}, "NaN"),
        ({"noisy": None}, "noisy"), ({"clean": None}, "clean"),
        ({"noisy": torch.rand(1, 12, 12), "clean": torch.rand(1, 12, 12)}, "noisy"),
        ({"noisy": torch.rand(1, 1, 8, 8), "clean": torch.rand(1, 1, 8, 8)}, "8 x 8"),
        ({"share": 2}, "share"), ({"share": -0.1}, "share"), ({"share": "all"}, "share"), ({"kinds": None}, "kinds"),
        ({"kinds": []}, "kinds"),
    ],
)  # fmt: skip
def test_bad_input_of_the_facts(change: dict[str, Any], word: str, refused: Any) -> None:
    x = torch.rand(2, 1, 12, 12, generator=seeded(0))
    arguments: dict[str, Any] = {"model": nn.Identity(), "noisy": x, "clean": x} | change
    with refused((ValueError, TypeError), word):
        kernel_facts(**arguments)
