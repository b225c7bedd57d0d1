from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor, nn

from denoise_lib.papers.saliency_statistics import (
    BINS,
    GROUPS,
    SHIFTS,
    binned_by_error,
    compare_groups,
    format_summary,
    group_mean,
    loss_map,
    output_map,
    pixel_groups,
    randomize_layers,
    rank_correlation,
    set_pixel,
    summary,
)
from denoise_lib.saliency import loss_gradient, output_gradient, output_sum, self_sensitivity, smoothgrad, squared_error
from denoise_lib.tnet import TNet

pytestmark = pytest.mark.numbers


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 2, channels: int = 3, side: int = 6, seed: int = 1) -> Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(seed), dtype=torch.float64)


def gray(count: int, seed: int = 0) -> Tensor:
    """Clean images around mid-gray, so that most shifts stay within [0, 1]."""
    return 0.45 + 0.1 * torch.rand(count, 3, 6, 6, generator=seeded(seed), dtype=torch.float64)


def small_network(channels: int = 3, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Conv2d(channels, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, channels, 3, padding=1)
        return nn.Sequential(*layers).double()


class Power(nn.Module):
    """A pointwise network: f(x) = x^2."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class LeftNeighbour(nn.Module):
    """f(x)[i, j] = x[i, j] x[i, j-1]: a pixel's self-influence is the value on its left."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.roll(1, -1)


# --- summaries ---


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_a_summary_is_mean_and_standard_error(values: list[float]) -> None:
    found = summary(torch.tensor(values, dtype=torch.float64))
    assert found["count"] == len(values) and set(found) == {"mean", "error", "count"}
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-9)
    assert found["error"] == pytest.approx(stats.sem(values), abs=1e-9)


def test_a_summary_is_of_plain_numbers_in_full_precision() -> None:
    found = summary(torch.tensor([1.0, 2.0, 3.0]))
    assert found == {"mean": 2.0, "error": pytest.approx(1 / math.sqrt(3), rel=1e-12), "count": 3}
    assert type(found["mean"]) is type(found["error"]) is float and type(found["count"]) is int
    far = torch.tensor([1e4, 1e4 + 0.0078125])  # their difference drowns in float32 once it is squared
    assert summary(far)["error"] == pytest.approx(0.0078125 / 2, rel=1e-9)


def test_what_is_not_a_number_does_not_count() -> None:
    values = torch.tensor([math.nan, 1.0, 5.0, math.nan])
    copy = values.clone()
    assert summary(values) == summary(torch.tensor([1.0, 5.0])) == {"mean": 3.0, "error": 2.0, "count": 2}
    assert torch.equal(values.isnan(), copy.isnan())


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (torch.tensor([]), "there are 0"), (torch.tensor([1.0]), "there are 1"), (torch.tensor(1.0), "two"),
        (torch.tensor([math.nan, 1.0, math.nan]), "there are 1"), (torch.full((9,), math.nan), "there are 0"),
        ([1.0, 2.0], "values"), (None, "values"),
        (torch.tensor([1.0, math.inf, 2.0]), "infinit"),
    ],
)  # fmt: skip
def test_bad_values_of_a_summary(values: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        summary(values)


def test_a_summary_is_written_with_its_error() -> None:
    assert format_summary({"mean": 0.1149, "error": 0.00712, "count": 3}) == "0.115 ± 0.007"
    assert format_summary({"mean": -2.0, "error": 0.25, "count": 3}, digits=1) == "-2.0 ± 0.2"
    assert format_summary({"mean": 12.6, "error": 3.2, "count": 2}, digits=0) == "13 ± 3"
    assert re.fullmatch(r"-?\d+\.\d{3} ± \d+\.\d{3}", format_summary(summary(torch.randn(9, generator=seeded(0)))))


# --- groups of pixels ---


@given(st.integers(0, 999), st.floats(0, 1), st.sampled_from([1, 3]))
def test_each_pixel_is_in_one_group(seed: int, threshold: float, channels: int) -> None:
    noisy, clean = images(3, channels, seed=seed), images(3, channels, seed=seed + 1)
    groups = pixel_groups(noisy, clean, threshold)
    assert tuple(groups) == GROUPS
    assert all(mask.dtype == torch.bool and mask.shape == (3, 1, 6, 6) for mask in groups.values())
    assert torch.equal(sum(mask.int() for mask in groups.values()), torch.ones(3, 1, 6, 6, dtype=torch.int32))
    far = ((noisy - clean).abs() > threshold).any(1).numpy()
    wider = np.stack([ndimage.binary_dilation(mask, np.ones((3, 3))) for mask in far])
    np.testing.assert_array_equal(groups["noisy"][:, 0], far)
    np.testing.assert_array_equal(groups["neighbours"][:, 0], wider & ~far)


@pytest.mark.parametrize(("row", "column", "around"), [(3, 3, 8), (0, 3, 5), (6, 6, 3)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_noisy_pixel_has_its_neighbours(row: int, column: int, around: int, sign: int) -> None:
    clean = torch.full((2, 3, 7, 7), 0.5)
    noisy = clean.clone()
    noisy[1, 2, row, column] += sign * 0.3  # one channel of one pixel
    groups = pixel_groups(noisy, clean)
    assert groups["noisy"][1, 0].nonzero().tolist() == [[row, column]]
    assert int(groups["neighbours"][1].sum()) == around
    assert int((groups["neighbours"][1, 0].nonzero() - torch.tensor([row, column])).abs().max()) == 1
    assert groups["elsewhere"][0].all()


def test_the_threshold_is_the_greatest_deviation_that_is_not_noise() -> None:
    clean = torch.zeros(1, 1, 1, 5, dtype=torch.float64)
    noisy = torch.tensor([0.25, 0.0, 0.0, 0.0, 0.26], dtype=torch.float64).view(1, 1, 1, 5)
    assert pixel_groups(noisy, clean, 0.25)["noisy"].flatten().tolist() == [False, False, False, False, True]
    assert pixel_groups(noisy, clean, 0.24)["noisy"].flatten().tolist() == [True, False, False, False, True]
    assert pixel_groups(noisy, clean)["neighbours"].flatten().tolist() == [False, True, False, True, False]
    assert not pixel_groups(noisy, clean, 1)["noisy"].any() and not pixel_groups(clean, clean, 0)["noisy"].any()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"noisy": None}, "noisy"), ({"clean": [0.5]}, "clean"), ({"clean": torch.rand(2, 1, 6, 6)}, "clean"),
        ({"noisy": torch.rand(3, 6, 6), "clean": torch.rand(3, 6, 6)}, "noisy"), ({"threshold": -0.1}, "threshold"),
        ({"threshold": math.nan}, "threshold"), ({"threshold": "0.2"}, "threshold"),
        ({"noisy": torch.full((2, 3, 6, 6), math.inf)}, "noisy"), ({"clean": torch.zeros(2, 3, 6, 6).int()}, "clean"),
        ({"noisy": torch.rand(1, 1, 1, 6, 6), "clean": torch.rand(1, 1, 1, 6, 6)}, "noisy"),
    ],
)  # fmt: skip
def test_bad_input_of_the_groups(change: dict[str, Any], word: str, refused: Any) -> None:
    arguments: dict[str, Any] = {"noisy": torch.rand(2, 3, 6, 6), "clean": torch.rand(2, 3, 6, 6)} | change
    with refused((ValueError, TypeError), word):
        pixel_groups(**arguments)


def test_the_mean_over_a_mask() -> None:
    maps, mask = images(4, 1), images(4, 1, seed=2) > 0.6
    mask[2] = False
    mask[3] = True
    found = group_mean(maps, mask)
    assert found.shape == (4,) and found.dtype == maps.dtype
    for index in (0, 1, 3):
        assert float(found[index]) == pytest.approx(float(maps[index][mask[index]].mean()))
    assert math.isnan(float(found[2]))  # an empty mask has no mean
    assert mask.dtype == torch.bool


@pytest.mark.parametrize(
    ("maps", "mask", "word"),
    [
        (torch.rand(2, 3, 4, 4), torch.ones(2, 1, 4, 4, dtype=torch.bool), "mask"),
        (torch.rand(2, 1, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool), "maps"),
        ([1.0], torch.ones(1, 1, 4, 4) > 0, "maps"), (torch.rand(1, 1, 4, 4), None, "mask"),
        (torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), "mask"),
    ],
)  # fmt: skip
def test_bad_input_of_the_mean(maps: Any, mask: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        group_mean(maps, mask)


def test_the_comparison_of_groups() -> None:
    """Images with three known levels, and one without noise, which has no difference."""
    clean = torch.full((4, 1, 7, 7), 0.5, dtype=torch.float64)
    noisy = clean.clone()
    noisy[:3, :, 2, 3] = 1.0
    groups = pixel_groups(noisy, clean)
    levels = torch.tensor([[4.0, 2.0, 1.0], [5.0, 3.0, 2.0], [1.0, 1.0, 3.0], [9.0, 9.0, 6.0]], dtype=torch.float64)
    maps = torch.zeros_like(clean)
    for index, name in enumerate(GROUPS):
        maps += groups[name] * levels[:, index].view(4, 1, 1, 1)
    found = compare_groups(maps, groups)
    assert set(found) == {*GROUPS, "difference", "share_higher"}
    assert found["noisy"] == pytest.approx(summary(levels[:3, 0]))
    assert found["neighbours"] == pytest.approx(summary(levels[:3, 1]))
    assert found["elsewhere"] == pytest.approx(summary(levels[:, 2]))
    assert found["difference"] == pytest.approx(summary(torch.tensor([3.0, 3.0, -2.0])))
    assert found["share_higher"] == pytest.approx(2 / 3)


def test_equal_groups_are_not_higher() -> None:
    noisy, clean = images(3, 1), images(3, 1, seed=2)
    found = compare_groups(torch.ones(3, 1, 6, 6), pixel_groups(noisy, clean, 0.6))
    assert found["share_higher"] == 0 and found["difference"]["mean"] == 0 and found["difference"]["error"] == 0


FEW = {name: torch.ones(2, 1, 4, 4, dtype=torch.bool) for name in GROUPS}


@pytest.mark.parametrize(
    ("maps", "groups", "word"),
    [
        (torch.rand(2, 3, 4, 4), FEW, "maps"),
        (torch.rand(1, 1, 4, 4), {name: mask[:1] for name, mask in FEW.items()}, "more images"),
        (torch.rand(2, 1, 4, 4), {"noisy": FEW["noisy"]}, "elsewhere"),
        (torch.rand(2, 1, 4, 4), None, "groups"), (None, FEW, "maps"),
    ],
)  # fmt: skip
def test_bad_input_of_the_comparison(maps: Any, groups: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        compare_groups(maps, groups)


# --- maps ---


def test_the_loss_map_of_the_identity_is_twice_the_noise() -> None:
    noisy, clean = images(3), images(3, seed=2)
    expected = 2 * (noisy - clean).abs().mean(1, keepdim=True)
    torch.testing.assert_close(loss_map(nn.Identity(), noisy, clean, n_samples=1), expected)
    torch.testing.assert_close(loss_map(nn.Identity(), noisy, clean, n_samples=3), expected)
    assert not loss_map(nn.Identity(), clean, clean, n_samples=1).any()


def test_the_output_map_of_the_identity_is_one() -> None:
    noisy = images(3)
    for level in (0.0, 0.2):
        torch.testing.assert_close(output_map(nn.Identity(), noisy, level, 2), torch.ones(3, 1, 6, 6, dtype=torch.float64))


def test_the_output_map_has_a_sign_and_the_loss_map_has_none() -> None:
    flipped = nn.Conv2d(3, 3, 1, bias=False).double()
    flipped.weight.data.copy_(torch.diag(torch.tensor([-1.0, -2.0, 0.5])).view(3, 3, 1, 1))
    noisy, clean = images(2), images(2, seed=2)
    expected = torch.full((2, 1, 6, 6), -2.5 / 3, dtype=torch.float64)
    torch.testing.assert_close(output_map(flipped, noisy, n_samples=1), expected)
    assert float(loss_map(flipped, noisy, clean, n_samples=1).min()) > 0


@pytest.mark.parametrize("level", [0.0, 0.15])
def test_maps_are_smoothgrad_over_the_channels(level: float) -> None:
    model, noisy, clean = small_network(), images(2), images(2, seed=2)
    options: dict[str, Any] = {"noise_level": level, "n_samples": 6}
    loss = smoothgrad(squared_error(model), noisy, context=clean, generator=seeded(5), **options)
    found = loss_map(model, noisy, clean, level, 6, seed=5)
    assert found.shape == (2, 1, 6, 6) and not found.requires_grad
    torch.testing.assert_close(found, loss.abs().mean(1, keepdim=True))
    total = smoothgrad(output_sum(model), noisy, generator=seeded(5), **options)
    torch.testing.assert_close(output_map(model, noisy, level, 6, seed=5), total.mean(1, keepdim=True))


def test_without_noise_one_sample_is_enough() -> None:
    seen: list[int] = []

    class Counted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return x

    loss_map(Counted(), images(2), images(2, seed=2), n_samples=50)
    output_map(Counted(), images(2), n_samples=50)
    assert seen == [2, 2]


def test_the_seed_draws_the_noise_of_the_maps() -> None:
    model, noisy, clean = small_network(), images(2), images(2, seed=2)
    for draw in (
        lambda seed: loss_map(model, noisy, clean, 0.2, 3, seed=seed),
        lambda seed: output_map(model, noisy, 0.2, 3, seed=seed),
    ):
        assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda model, x, y: loss_map(model, x, y, n_samples=1) - loss_gradient(model, x, y).abs().mean(1, keepdim=True),
        lambda model, x, y: output_map(model, x, n_samples=1) - output_gradient(model, x).mean(1, keepdim=True),
        lambda model, x, y: set_pixel(model, x, gray(2), [0.1]) - set_pixel(model.eval(), x, gray(2), [0.1]),
    ],
)
def test_a_network_in_training_is_measured_as_it_is_used(call: Any) -> None:
    """Batch norm in training mixes the images of a batch, and learns from what it is measured on."""
    model = nn.Sequential(small_network(), nn.BatchNorm2d(3).double()).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    difference = call(model, images(2), images(2, seed=2))
    torch.testing.assert_close(difference, torch.zeros_like(difference))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


X = torch.rand(2, 3, 6, 6, generator=seeded(0))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: loss_map(nn.Identity(), X, X[:1]), "clean"),
        (lambda: loss_map(nn.Identity(), X[0], X[0]), "noisy must"),
        (lambda: loss_map(nn.Identity(), None, X), "noisy must"),
        (lambda: loss_map(nn.Identity(), X, X, -0.1), "noise_level"),
        (lambda: loss_map(nn.Identity(), X, X, 0.1, 0), "n_samples"),
        (lambda: loss_map(nn.Identity(), X, X, seed=-1), "seed"),
        (lambda: loss_map(nn.Identity(), X, X, seed=1.5), "seed"),
        (lambda: loss_map(nn.Identity(), X, "clean"), "clean must"),
        (lambda: loss_map(nn.Identity(), X, None), "clean must"),
        (lambda: loss_map(nn.Conv2d(3, 1, 1), X, X), "output"),
        (lambda: loss_map(nn.Identity(), X, X[:, :1]), "shape"),
        (lambda: loss_map("model", X, X), "model"),
        (lambda: output_map(nn.Identity(), X[0]), "noisy must"),
        (lambda: output_map(nn.Identity(), "noisy"), "noisy must"),
        (lambda: output_map(nn.Identity(), X, "much"), "noise_level"),
        (lambda: output_map(nn.Identity(), X, 0.1, 2.5), "n_samples"),
        (lambda: output_map(nn.Identity(), X, seed=None), "seed"),
        (lambda: output_map(None, X), "model"),
    ],
)
def test_bad_input_of_the_maps(call: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        call()


# --- self-influence against deviation ---

DEVIATIONS = (0.005, 0.03, 0.07, 0.15, 0.25, 0.4)
"""One inside each of `BINS`."""


def deviating(count: int = 3, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Clean images, noisy ones with deviations of either sign in every bin, and their sizes."""
    places = torch.arange(count * channels * 36).view(count, channels, 6, 6) % len(DEVIATIONS)
    sizes = torch.tensor(DEVIATIONS, dtype=torch.float64)[places]
    signs = torch.randint(0, 2, sizes.shape, generator=seeded(seed)) * 2 - 1
    clean = images(count, channels)
    return clean, clean + signs * sizes, sizes


@pytest.mark.parametrize("channels", [1, 3])
def test_bins_show_what_the_influence_is_a_function_of(channels: int) -> None:
    clean, noisy, sizes = deviating(channels=channels)
    heights = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    found = binned_by_error(heights.view(3, 1, 1, 1) * (1 - sizes), noisy, clean)
    assert [entry["from"] for entry in found["bins"]] == list(BINS) and len(BINS) == len(DEVIATIONS)
    for entry, size in zip(found["bins"], DEVIATIONS, strict=True):
        expected = summary(heights * (1 - size))
        assert {name: entry[name] for name in expected} == pytest.approx(expected)
    assert found["difference"] == pytest.approx(summary(heights * (0.005 - 0.4)))
    assert found["share_lower"] == 1 and binned_by_error(sizes, noisy, clean)["share_lower"] == 0


def test_a_bound_belongs_to_the_bin_above_it() -> None:
    clean = torch.zeros(2, 1, 6, 6, dtype=torch.float64)
    noisy = torch.tensor(BINS, dtype=torch.float64)[torch.arange(36) % 6].view(1, 1, 6, 6).expand(2, -1, -1, -1)
    found = binned_by_error(noisy, noisy, clean)
    assert [entry["mean"] for entry in found["bins"]] == pytest.approx(list(BINS))


def test_the_colours_together_deviate_with_their_mean() -> None:
    """Channels that are off by d + e, d - e and d are off by d together, however far each of them is."""
    clean, noisy, sizes = deviating(channels=1)
    signed = noisy - clean
    off = torch.cat([signed + 0.9, signed - 0.9, signed], 1)
    colors = images(3, 3, seed=4)
    found = binned_by_error(1 - sizes, colors + off, colors)
    assert [entry["mean"] for entry in found["bins"]] == pytest.approx([1 - size for size in DEVIATIONS])
    each = binned_by_error((1 - sizes).expand(-1, 3, -1, -1), colors + off, colors)  # each channel by itself: another sorting
    assert each["bins"][-1]["mean"] > 1 - 0.4 + 0.05


def test_images_without_a_bin_do_not_count_in_it() -> None:
    clean, noisy, sizes = deviating(count=4)
    noisy = torch.cat([noisy[:3], clean[3:]])  # the last image has no noise at all
    found = binned_by_error(1 - sizes, noisy, clean)
    assert [entry["count"] for entry in found["bins"]] == [4, 3, 3, 3, 3, 3]
    assert found["difference"]["count"] == 3 and found["share_lower"] == 1


def test_what_a_bin_without_pixels_leaves_unknown_is_nan() -> None:
    clean = images(3, 1)
    found = binned_by_error(torch.ones_like(clean), clean + 0.02, clean)
    assert [entry["count"] for entry in found["bins"]] == [0, 3, 0, 0, 0, 0] and found["difference"]["count"] == 0
    assert all(math.isnan(found[key][name]) for key, name in (("difference", "mean"), ("difference", "error")))
    assert math.isnan(found["bins"][0]["mean"]) and found["bins"][1]["mean"] == 1 and math.isnan(found["share_lower"])
    one = binned_by_error(torch.ones_like(clean), torch.cat([clean[:1] + 0.4, clean[1:]]), clean)["bins"][-1]
    assert one["mean"] == 1 and math.isnan(one["error"]) and one["count"] == 1  # one image has a mean, and no error


@pytest.mark.parametrize(
    ("influence", "noisy", "clean", "word"),
    [
        (torch.rand(1, 3, 6, 6), X, X, "shape"), (torch.rand(2, 2, 6, 6), X, X, "shape"), (X[:1, :1], X, X, "shape"),
        (X, X, X[:, :1], "clean"), (X, X, X[:1], "clean"),
        (None, X, X, "influence"), (X, None, X, "noisy"), (X, X, None, "clean"),
        (torch.rand(2), X, X, "influence"),
    ],
)  # fmt: skip
def test_bad_input_of_the_bins(influence: Any, noisy: Any, clean: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        binned_by_error(influence, noisy, clean)


# --- an intervention ---


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_a_shift_changes_nothing_for_the_identity(colors: str) -> None:
    found = set_pixel(nn.Identity(), images(5), torch.full_like(images(5), 0.5), colors=colors)
    torch.testing.assert_close(found, torch.ones(5, len(SHIFTS), dtype=torch.float64))


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_a_value_that_would_leave_the_range_of_a_photo_is_not_set(colors: str) -> None:
    clean = torch.full((4, 3, 6, 6), 0.3, dtype=torch.float64)
    found = set_pixel(nn.Identity(), images(4), clean, (-0.4, -0.3, 0.0, 0.7, 0.8), colors=colors)
    assert found.isnan().all(0).tolist() == [True, False, False, False, True] == found.isnan().any(0).tolist()
    clean[:, 1] = 0.95  # one colour of the pixel is enough
    moved = set_pixel(nn.Identity(), images(4), clean, [0.2], colors=colors).isnan()[:, 0]
    assert moved.all() if colors == "joint" else not moved.all()


def test_the_shifts_are_even_and_hold_zero() -> None:
    assert SHIFTS[0] == -0.5 and SHIFTS[-1] == 0.5 and SHIFTS.index(0.0) == 10
    np.testing.assert_allclose(np.diff(SHIFTS), 0.05)


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_pixel_is_set_to_its_clean_value_plus_the_shift(colors: str, seed: int) -> None:
    """For f(x) = x^2 the influence is 2 (clean + shift) at the pixel, and the mean of that over its channels."""
    noisy, clean, shifts = images(4) + 10, gray(4, seed=2), (-0.4, 0.0, 0.3)
    found = set_pixel(Power(), noisy, clean, shifts, colors=colors, seed=seed)
    assert found.shape == (4, 3)
    values = found / 2 - torch.tensor(shifts, dtype=torch.float64)
    choices = clean if colors == "per_channel" else clean.mean(1)
    for value, choice in zip(values, choices, strict=True):
        near = (choice.flatten() - value[0]).abs()
        assert float(near.min()) < 1e-12  # one of the clean values
        torch.testing.assert_close(value, choice.flatten()[near.argmin()].expand(3))  # the same one at each shift


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_nothing_but_the_pixel_is_set(colors: str) -> None:
    """The influence of a product is its left neighbour's value, which stays the noisy one at every shift."""
    noisy, clean = images(4), gray(4, seed=2)
    found = set_pixel(LeftNeighbour(), noisy, clean, (-0.3, 0.0, 0.4), colors=colors)
    for value, image in zip(found, noisy, strict=True):
        choices = (image if colors == "per_channel" else image.mean(0)).flatten()
        near = (choices - value[0]).abs()
        assert float(near.min()) < 1e-12
        torch.testing.assert_close(value, choices[near.argmin()].expand(3))


class OtherColour(nn.Module):
    """f(x)[c] = x[c] x[c-1]: the self-influence of a channel is the value of another channel of its pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.roll(1, 1)


def test_one_channel_is_set_and_the_others_stay_noisy() -> None:
    noisy, clean = images(6), gray(6, seed=2) - 0.2
    found = set_pixel(OtherColour(), noisy, clean, (0.0, 0.5), colors="per_channel")
    for value, image in zip(found, noisy, strict=True):
        assert float((image.flatten() - value[0]).abs().min()) < 1e-12 and float(value[1]) == pytest.approx(float(value[0]))
    # All of them set: the sum over a block of 2 x[c] (clean + shift), over three channels.
    together = set_pixel(OtherColour(), noisy, clean, (0.0, 0.5), colors="joint")
    torch.testing.assert_close(together[:, 1] - together[:, 0], torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("colors", ["per_channel", "joint"])
def test_a_shift_that_restores_the_noise_gives_the_self_influence(colors: Any) -> None:
    model, noisy = small_network(), images(4)
    found = set_pixel(model, noisy, noisy - 0.125, [0.125], colors=colors, seed=3)[:, 0]
    for value, image in zip(found, self_sensitivity(model, noisy, colors=colors), strict=True):
        assert float((image - value).abs().min()) < 1e-12


def test_the_seed_draws_the_pixels_and_the_channels() -> None:
    noisy, clean = images(4), gray(4, seed=2)
    for colors in ("per_channel", "joint"):
        first, again, other = (set_pixel(Power(), noisy, clean, [0.1], colors=colors, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)
    # Not the same pixel of every image, and every channel has its turn.
    same = torch.arange(108.0, dtype=torch.float64).view(1, 3, 6, 6).expand(60, -1, -1, -1) / 108
    drawn = (108 * set_pixel(Power(), same, same, [0.0], colors="per_channel")[:, 0] / 2).round().long()
    assert len(set((drawn % 36).tolist())) > 20 and set((drawn // 36).tolist()) == {0, 1, 2}


def test_an_intervention_leaves_its_images_alone() -> None:
    model, noisy, clean = small_network(), images(2), images(2, seed=2)
    copies = noisy.clone(), clean.clone()
    for colors in ("per_channel", "joint"):
        assert not set_pixel(model, noisy, clean, [0.2], colors=colors).requires_grad
    assert torch.equal(noisy, copies[0]) and torch.equal(clean, copies[1])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_intervention_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    set_pixel(nn.Identity(), images(2), images(2, seed=2), [0.2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"clean": X[:, :1]}, "clean"), ({"colors": "some"}, "colors"), ({"seed": -1}, "seed"), ({"seed": 0.5}, "seed"),
        ({"noisy": torch.full((2, 3, 6, 6), math.nan)}, "noisy"),
        ({"noisy": X[0], "clean": X[0]}, "noisy"), ({"noisy": None}, "noisy"), ({"clean": None}, "clean"),
        ({"model": "model"}, "model"), ({"shifts": []}, "shifts"), ({"shifts": None}, "shifts"),
        ({"shifts": 0.5}, "shifts"), ({"shifts": ["a"]}, "shifts"), ({"shifts": [math.nan]}, "shifts"),
        ({"shifts": [30]}, "[-1, 1]"), ({"model": nn.Conv2d(3, 1, 1)}, "output"),
    ],
)  # fmt: skip
def test_bad_input_of_an_intervention(change: dict[str, Any], word: str, refused: Any) -> None:
    arguments: dict[str, Any] = {"model": nn.Identity(), "noisy": X, "clean": X, "shifts": [0.0]} | change
    with refused((ValueError, TypeError), word):
        set_pixel(**arguments)


# --- layers drawn anew ---


def layers_of(model: nn.Module) -> list[str]:
    return [name for name, layer in model.named_modules() if hasattr(layer, "reset_parameters")]


def changed(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of the layers in which a parameter differs."""
    pairs = zip(one.named_parameters(), other.named_parameters(), strict=True)
    return {name.rpartition(".")[0] for (name, a), (_, b) in pairs if not torch.equal(a, b)}


@pytest.mark.parametrize("layers", range(8))
def test_the_last_layers_are_drawn_anew(layers: int) -> None:
    model = TNet()
    names = layers_of(model)
    assert names == [f"conv_{number}" for number in range(1, 8)]
    assert changed(model, randomize_layers(model, layers)) == set(names[7 - layers :])


def test_no_layers_change_nothing() -> None:
    model, x = small_network(), images(2)
    copy = randomize_layers(model, 0)
    assert copy is not model and torch.equal(copy(x), model(x)) and not changed(model, copy)


def test_the_original_stays_as_it_was() -> None:
    model = TNet().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    copy = randomize_layers(model, 7, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    assert model.training and not copy.training
    for parameter in copy.parameters():
        parameter.data.zero_()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_seed_draws_the_layers() -> None:
    model = small_network()
    first, again, other = (randomize_layers(model, 1, seed) for seed in (3, 3, 4))
    assert not changed(first, again) and changed(first, other) == {"2"}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fresh = nn.Conv2d(4, 3, 3, padding=1).double()
        fresh.reset_parameters()
    assert fresh.weight.shape == first[2].weight.shape and first[2].weight.dtype == torch.float64
    assert first[2].weight.std().item() == pytest.approx(fresh.weight.std().item(), rel=0.3)


def test_layers_count_in_the_order_of_their_definition() -> None:
    model = TNet(batch_norm=True)  # its norms stand behind all convolutions
    for parameter in model.parameters():
        parameter.data.fill_(0.5)
    assert changed(model, randomize_layers(model, 1)) == {layers_of(model)[-1]} != {"conv_7"}


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: randomize_layers(small_network(), 3), "at most 2"), (lambda: randomize_layers(nn.Identity(), 1), "at most 0"),
        (lambda: randomize_layers(small_network(), -1), "layers"), (lambda: randomize_layers(small_network(), 1.0), "layers"),
        (lambda: randomize_layers(small_network(), True), "layers"),
        (lambda: randomize_layers(small_network(), None), "layers"),
        (lambda: randomize_layers("model", 1), "model"), (lambda: randomize_layers(None, 0), "model"),
        (lambda: randomize_layers(small_network(), 1, "a"), "seed"),
        (lambda: randomize_layers(small_network(), 1, -1), "seed"),
        (lambda: randomize_layers(small_network(), 1, 1.5), "seed"),
    ],
)  # fmt: skip
def test_bad_input_of_randomise(call: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        call()


# --- rank correlation ---


@given(st.integers(0, 999), st.sampled_from([4, 1000]), st.sampled_from([torch.float32, torch.float64]))
def test_the_rank_correlation_is_that_of_scipy(seed: int, levels: int, dtype: torch.dtype) -> None:
    a, b = ((images(3, 2, 4, seed + number) * levels).floor().to(dtype) for number in (0, 1))  # few levels: many ties
    found = rank_correlation(a, b)
    assert found.shape == (3,) and found.dtype == torch.float64
    for value, first, second in zip(found, a, b, strict=True):
        assert float(value) == pytest.approx(stats.spearmanr(first.flatten(), second.flatten()).statistic, abs=1e-12)
    torch.testing.assert_close(rank_correlation(b, a), found)


def test_the_order_is_all_that_counts() -> None:
    a = images(3) - 0.5
    one = torch.ones(3, dtype=torch.float64)
    for other in (a, 3 * a - 7, a.exp(), a**3):
        torch.testing.assert_close(rank_correlation(a, other), one)
    torch.testing.assert_close(rank_correlation(a, -a), -one)
    torch.testing.assert_close(rank_correlation(a, 1 / (2 + a)), -one)
    assert float(rank_correlation(images(1, side=40), images(1, side=40, seed=9)).abs()) < 0.05


def test_each_image_has_its_own_correlation_and_maps_may_have_gradients() -> None:
    a = images(2).requires_grad_()
    found = rank_correlation(a, torch.stack([a[0], -a[1]]))
    torch.testing.assert_close(found, torch.tensor([1.0, -1.0], dtype=torch.float64))
    assert rank_correlation(a.flatten(1), a.flatten(1)).shape == (2,)


def test_a_map_of_one_value_has_no_correlation() -> None:
    flat = torch.full((1, 1, 4, 4), 0.5)
    assert rank_correlation(flat, torch.rand(1, 1, 4, 4, generator=seeded(0))).isnan().all()


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        (torch.rand(2, 3), torch.rand(2, 4), "shape"), (torch.rand(1, 3), torch.rand(3), "shape"),
        ([1.0, 2.0], [1.0, 2.0], "a must"), (torch.rand(3), None, "b must"), (torch.rand(3), torch.rand(3), "shape"),
    ],
)  # fmt: skip
def test_bad_input_of_the_rank_correlation(a: Any, b: Any, word: str, refused: Any) -> None:
    with refused((ValueError, TypeError), word):
        rank_correlation(a, b)
