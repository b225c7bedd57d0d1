from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from denoise_lib.data import as_float_images, mnist
from denoise_lib.display.views import example_pair
from denoise_lib.internal.atomic_write import write_json
from denoise_lib.metrics import predict, psnr
from denoise_lib.noise import add_noise
from denoise_lib.papers import digit_classifier, smoothgrad_claims
from denoise_lib.papers.digit_classifier import DIGIT_NETWORKS, class_score, classifier_facts, digit_versions, train_classifier
from denoise_lib.papers.pairs import PhotoPairs, photo_pairs
from denoise_lib.papers.results import read_results
from denoise_lib.papers.saliency_statistics import (
    BINS,
    GROUPS,
    SHIFTS,
    binned_by_error,
    compare_groups,
    format_summary,
    loss_map,
    output_map,
    pixel_groups,
    rank_correlation,
)
from denoise_lib.papers.smoothgrad_claims import (
    NOISE_LEVELS,
    PARTS,
    claims_table,
    measure_classifier,
    measure_groups,
    measure_intervention,
    measure_kernels,
    measure_randomised,
    measure_self_influence,
    measure_smoothgrad_noise,
    readme_claims_table,
    reproduce,
)
from denoise_lib.pretrained.weights import load_pretrained
from denoise_lib.saliency import self_sensitivity
from denoise_lib.tnet import TNet

pytestmark = pytest.mark.numbers

Rows = list[dict[str, Any]]


class Square(nn.Module):
    """f(x) = x^2: the self-influence of a pixel is twice its value."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


class Half(nn.Module):
    """f(x) = x / 2."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def box_blur() -> nn.Module:
    """The mean of 3x3 pixels, channel by channel."""
    layer = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
    nn.init.constant_(layer.weight, 1 / 9)
    return layer


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    """The seven built-in photos, noisy and clean: (7, 3, 32, 32) each."""
    both = [example_pair(index) for index in range(7)]
    return torch.cat([noisy for noisy, _ in both]), torch.cat([clean for _, clean in both])


@pytest.fixture(scope="module")
def crops(photos: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Small parts of them, for what needs a backward pass for each output."""
    return photos[0][:, :, 8:18, 8:18], photos[1][:, :, 8:18, 8:18]


@pytest.fixture
def tnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network on photos instead of three."""
    monkeypatch.setattr(smoothgrad_claims, "PHOTO_NETWORKS", ("tnet",))


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Networks whose gradients are known, by name, instead of those that ship."""

    def replace(**models: nn.Module) -> None:
        monkeypatch.setattr(smoothgrad_claims, "PHOTO_NETWORKS", tuple(models))
        monkeypatch.setattr(smoothgrad_claims, "DIGIT_NETWORKS", ())
        monkeypatch.setattr(smoothgrad_claims, "load_pretrained", models.__getitem__)

    return replace


@pytest.fixture
def untouched() -> Iterator[None]:
    """The global generator stays as it was."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before)


def plain(rows: Any) -> Any:
    """As a results file keeps them."""
    return json.loads(json.dumps(rows, allow_nan=False))


def is_summary(value: Any, count: int) -> bool:
    return set(value) == {"mean", "error", "count"} and 2 <= value["count"] <= count and value["error"] >= 0


# --- a classifier of digits ---


@pytest.fixture(scope="module")
def training_digits() -> tuple[Tensor, Tensor]:
    images, labels = mnist("train", "small", labels=True)
    return as_float_images(images[:1000]), labels[:1000]


@pytest.fixture(scope="module")
def classifier(training_digits: tuple[Tensor, Tensor]) -> nn.Module:
    return train_classifier(*training_digits)


@pytest.fixture(scope="module")
def versions() -> tuple[dict[str, Tensor], Tensor]:
    return digit_versions(24)


def linear(weight: Tensor) -> nn.Module:
    """A classifier whose scores are products with images (10, 28, 28)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(weight.flatten(1))
    return model


def test_a_classifier_learns_to_read(classifier: nn.Module) -> None:
    images, labels = mnist("test", "small", labels=True)
    scores = predict(classifier, as_float_images(images[:200]))
    assert scores.shape == (200, 10) and float((scores.argmax(1) == labels[:200]).double().mean()) > 0.8
    assert not classifier.training and sum(parameter.numel() for parameter in classifier.parameters()) == 20_490


@pytest.mark.usefixtures("untouched")
def test_one_seed_is_one_classifier(training_digits: tuple[Tensor, Tensor]) -> None:
    images, labels = (part[:100] for part in training_digits)
    kept = images.clone()

    def weights(**options: int) -> list[Tensor]:
        return list(train_classifier(images, labels, **{"epochs": 1, **options}).state_dict().values())

    def same(first: list[Tensor], second: list[Tensor]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    first = weights()
    with torch.random.fork_rng():
        torch.manual_seed(1234)  # the global generator plays no part
        assert same(first, weights()) and same(first, weights(seed=0))
    assert not same(first, weights(seed=1)) and not same(first, weights(epochs=2))
    assert torch.equal(images, kept)


@pytest.mark.parametrize(
    ("images", "options", "error", "words"),
    [
        (torch.zeros(4, 28, 28), {}, ValueError, ("images",)),
        (torch.zeros(4, 3, 28, 28), {}, ValueError, ("images",)),
        (torch.zeros(0, 1, 28, 28), {}, ValueError, ("images", "empty")),
        (torch.zeros(4, 1, 28, 28, dtype=torch.uint8), {}, TypeError, ("images",)),
        (torch.full((4, 1, 28, 28), 255.0), {}, ValueError, ("images", "255")),
        (torch.full((4, 1, 28, 28), math.nan), {}, ValueError, ("images", "NaN")),
        (None, {}, TypeError, ("images",)),
        (torch.zeros(4, 1, 28, 28), {"epochs": 0}, ValueError, ("epochs",)),
        (torch.zeros(4, 1, 28, 28), {"epochs": 1.5}, TypeError, ("epochs",)),
        (torch.zeros(4, 1, 28, 28), {"seed": -1}, ValueError, ("seed",)),
        (torch.zeros(4, 1, 28, 28), {"seed": "0"}, TypeError, ("seed",)),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_bad_input_of_the_classifier(
    images: Any, options: dict[str, Any], error: type[Exception], words: tuple[str, ...], refused: Any
) -> None:
    with refused(error, *words):
        train_classifier(images, torch.zeros(4, dtype=torch.int64), **options)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(torch.zeros(3, dtype=torch.int64), id="too few"),
        pytest.param(torch.zeros(5, dtype=torch.int64), id="too many"),
        pytest.param(torch.full((4,), 10), id="no such digit"),
        pytest.param(torch.zeros(4, 1, dtype=torch.int64), id="another shape"),
        pytest.param([0, 1, 2, 3], id="a list"),
    ],
)
def test_bad_labels(labels: Any, refused: Any) -> None:
    with refused((ValueError, TypeError), "labels"):
        train_classifier(torch.zeros(4, 1, 28, 28), labels, epochs=1)


def test_digits_have_28_pixels(refused: Any) -> None:
    with refused(ValueError, "images", "28"):
        train_classifier(torch.zeros(4, 1, 32, 32), torch.zeros(4, dtype=torch.int64), epochs=1)


def test_the_score_of_a_class_is_its_output() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, images = torch.randn(10, 28, 28, generator=generator), torch.rand(3, 1, 28, 28, generator=generator)
    weight, images = weight.double(), images.double().requires_grad_()
    labels = torch.tensor([7, 0, 7])
    scores = class_score(linear(weight).double())(images, labels)
    assert scores.shape == (3,)
    torch.testing.assert_close(scores, (images[:, 0] * weight[labels]).sum((1, 2)))
    (gradient,) = torch.autograd.grad(scores.sum(), images)
    torch.testing.assert_close(gradient[:, 0], weight[labels])


def test_the_facts_of_a_classifier(classifier: nn.Module, versions: tuple[dict[str, Tensor], Tensor]) -> None:
    images, labels = versions
    facts = classifier_facts(classifier, images, labels)
    assert list(facts) == list(images) == ["clean", "noisy", *DIGIT_NETWORKS]
    for name, found in facts.items():
        assert set(found) == {"accuracy", "stroke", "likeness"}
        hits = predict(classifier, images[name]).argmax(1) == labels
        assert found["accuracy"] == pytest.approx(int(hits.sum()) / 24)
        assert is_summary(found["stroke"], 24) and 0 < found["stroke"]["mean"] < 1
        assert is_summary(found["likeness"], 24) and 0 < found["likeness"]["mean"] <= 1
    assert facts["clean"]["likeness"] == {"mean": 1.0, "error": 0.0, "count": 24}
    assert facts["noisy"]["likeness"]["mean"] < 0.99
    assert (
        plain(facts)
        == plain(classifier_facts(classifier, images, labels))
        != plain(classifier_facts(classifier, images, labels, seed=1))
    )


def test_the_share_on_the_stroke_counts_one_pixel_around_it() -> None:
    clean = torch.zeros(2, 1, 28, 28)
    clean[:, :, 10:14, 20] = 1.0  # a stroke of four pixels: with one pixel around it 6 x 3
    weight = torch.zeros(10, 28, 28)
    weight[3, 9:15, 19:22] = -1.0  # all of these
    weight[5, 8, 18:23] = 2.0  # none
    weight[7, 13:16, 20] = 1.0  # the last two rows, and one more
    found = [
        classifier_facts(linear(weight), {"clean": clean}, torch.full((2,), label))["clean"]["stroke"] for label in (3, 5, 7)
    ]
    assert [value["mean"] for value in found] == pytest.approx([1, 0, 2 / 3])
    assert [value["error"] for value in found] == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_clean_digits_are_among_the_versions(classifier: nn.Module, refused: Any) -> None:
    with refused(ValueError, "clean"):
        classifier_facts(classifier, {"noisy": torch.zeros(2, 1, 28, 28)}, torch.zeros(2, dtype=torch.int64))


def test_a_bad_seed_of_the_facts(classifier: nn.Module, refused: Any) -> None:
    with refused(ValueError, "seed"):
        classifier_facts(classifier, {"clean": torch.zeros(2, 1, 28, 28)}, torch.zeros(2, dtype=torch.int64), seed=-1)


@pytest.mark.usefixtures("untouched")
def test_versions_of_the_same_digits() -> None:
    found, labels = digit_versions(5, 0.3, seed=2)
    images, truth = mnist("test", "small", labels=True)
    assert torch.equal(labels, truth[:5]) and torch.equal(found["clean"], images[:5].float() / 255)
    assert torch.equal(found["noisy"], add_noise(found["clean"], 0.3, generator=torch.Generator().manual_seed(2)))
    assert list(found) == ["clean", "noisy", "unet-moderate", "autoencoder-moderate"]
    for name in DIGIT_NETWORKS:
        assert torch.equal(found[name], predict(load_pretrained(name), found["noisy"]).clamp(0, 1))
        assert psnr(found[name], found["clean"]) > psnr(found["noisy"], found["clean"])
    fewer, _ = digit_versions(3, 0.3, seed=2)
    assert torch.equal(fewer["noisy"], found["noisy"][:3])


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)])
def test_bad_counts_of_digits(count: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "count"):
        digit_versions(count)


def test_more_digits_than_there_are(monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setattr(digit_classifier, "DIGIT_NETWORKS", ())
    with refused(ValueError, "count", "1000"):
        digit_versions(1001)


def test_several_classifiers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def quick(images: Tensor, labels: Tensor, *, seed: int) -> nn.Module:
        assert images.shape == (4000, 1, 28, 28) and images.max() == 1 and len(labels) == 4000
        seeds.append(seed)
        return linear(torch.randn(10, 28, 28, generator=torch.Generator().manual_seed(seed)))

    monkeypatch.setattr(smoothgrad_claims, "train_classifier", quick)
    rows = measure_classifier(count=8, seeds=2)
    assert seeds == [0, 1]
    names = ["clean", "noisy", *DIGIT_NETWORKS]
    assert [(row["seed"], row["version"]) for row in rows] == [(seed, name) for seed in (0, 1) for name in names]
    for row in rows:
        assert set(row) == {"seed", "version", "accuracy", "stroke", "likeness"} and is_summary(row["stroke"], 8)
    assert plain(rows)


# --- claims 1 and 2 ---


@pytest.mark.usefixtures("tnet", "untouched")
def test_groups_of_networks_trained_untrained_and_idle(photos: tuple[Tensor, Tensor]) -> None:
    noisy, clean = photos
    rows = measure_groups(noisy, clean, 3)
    told = [(row["map"], row["network"], row["noise_level"], row["n_samples"]) for row in rows]
    levels = [("tnet", level, 3 if level else 1) for level in NOISE_LEVELS]
    expected = [*levels, ("tnet, untrained", 0.0, 1), ("does nothing", 0.0, 1)]
    assert told == [(kind, *row) for row in expected for kind in ("loss", "output")]
    for row in rows:
        assert all(is_summary(row[group], 7) for group in (*GROUPS, "difference")) and 0 <= row["share_higher"] <= 1
    by_name = {(row["map"], row["network"], row["noise_level"]): row for row in rows}
    model, groups = load_pretrained("tnet"), pixel_groups(noisy, clean)
    for level in NOISE_LEVELS:
        samples = 3 if level else 1
        maps = {
            "loss": loss_map(model, noisy, clean, level, samples),
            "output": output_map(model, noisy, level, samples),
        }
        for kind, values in maps.items():
            found, wanted = by_name[kind, "tnet", level], compare_groups(values, groups)
            for group in (*GROUPS, "difference"):
                assert found[group] == pytest.approx(wanted[group], rel=1e-4, abs=1e-6)
    assert plain(rows)


@pytest.mark.usefixtures("tnet")
def test_a_network_that_does_nothing_has_known_maps(photos: tuple[Tensor, Tensor]) -> None:
    noisy, clean = photos
    rows = {row["map"]: row for row in measure_groups(noisy, clean, 1) if row["network"] == "does nothing"}
    for group in GROUPS:
        assert rows["output"][group]["mean"] == 1 and rows["output"][group]["error"] == 0
    assert rows["output"]["difference"]["mean"] == 0 and rows["output"]["share_higher"] == 0
    wanted = compare_groups(2 * (noisy - clean).abs().mean(1, keepdim=True), pixel_groups(noisy, clean))
    for group in (*GROUPS, "difference"):
        assert rows["loss"][group] == pytest.approx(wanted[group])
    assert rows["loss"]["share_higher"] == 1  # as for TNet: so this part of the claim says little


def test_untrained_networks_are_several(photos: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothgrad_claims, "PHOTO_NETWORKS", ())
    noisy, clean = (part[:3] for part in photos)
    rows = {row["map"]: row for row in measure_groups(noisy, clean, 1) if row["network"] == "tnet, untrained"}
    maps = []
    for seed in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            maps.append(output_map(TNet().eval(), noisy, n_samples=1))
    wanted = compare_groups(torch.stack(maps).mean(0), pixel_groups(noisy, clean))
    assert rows["output"]["noisy"] == pytest.approx(wanted["noisy"], rel=1e-4)
    assert rows["output"]["noisy"]["mean"] != pytest.approx(float(maps[0].mean()), rel=1e-3)


@pytest.mark.usefixtures("tnet")
@pytest.mark.parametrize(("samples", "error"), [(0, ValueError), (2.5, TypeError)])
def test_bad_samples_of_the_groups(samples: Any, error: type[Exception], photos: Any, refused: Any) -> None:
    with refused(error, "n_samples"):
        measure_groups(photos[0][:2], photos[1][:2], samples)


# --- claim 3 ---


@pytest.fixture
def influences(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], Tensor, Tensor]]:
    """Four probes at once instead of a backward pass for each output; options, images and result of each call."""
    calls: list[tuple[dict[str, Any], Tensor, Tensor]] = []

    def probed(model: nn.Module, x: Tensor, *, colors: str, generator: torch.Generator, **options: Any) -> Tensor:
        found = self_sensitivity(model, x, method="probes", colors=colors, probes=4, generator=generator)  # type: ignore[arg-type]
        calls.append(({"colors": colors, **options}, x, found))
        return found

    monkeypatch.setattr(smoothgrad_claims, "self_sensitivity", probed)
    return calls


@pytest.mark.usefixtures("untouched")
def test_self_influence_by_network_colours_and_level(
    photos: tuple[Tensor, Tensor], influences: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoothgrad_claims, "PHOTO_NETWORKS", ("tnet", "tiny-denoiser"))
    noisy, clean = photos
    rows = measure_self_influence(noisy, clean, probes=9)
    told = [(row["network"], row["colours"], row["noise_level"], row["method"]) for row in rows]
    exact = [("tnet", "together", level, "exact") for level in NOISE_LEVELS]
    probed = [("tiny-denoiser", colours, 0.0, "probes") for colours in ("each", "together")]
    assert told == [("tnet", "each", 0.0, "exact"), *exact, *probed]
    spread = noisy.amax((1, 2, 3)) - noisy.amin((1, 2, 3))
    for row, (options, x, found) in zip(rows, influences, strict=True):
        assert options == {
            "colors": {"each": "per_channel", "together": "joint"}[row["colours"]],
            "method": row["method"],
            "probes": 9,
        }
        wanted = binned_by_error(found, noisy, clean)
        assert {name: row[name] for name in wanted} == wanted and row["network"]
        assert [value["from"] for value in row["bins"]] == list(BINS) and is_summary(row["difference"], 7)
        measured = (x - noisy).flatten(1).std(1) / spread  # each image's noise is a fraction of its own range
        torch.testing.assert_close(measured, torch.full((7,), row["noise_level"]), rtol=0.05, atol=0)
    assert plain(rows)


def test_self_influence_of_known_networks(crops: tuple[Tensor, Tensor], networks: Callable[..., None]) -> None:
    networks(tnet=box_blur(), other=Half())
    rows = measure_self_influence(*crops, probes=3)
    assert [row["method"] for row in rows] == ["exact"] * 4 + ["probes"] * 2
    for row in rows:
        expected = 1 / 9 if row["network"] == "tnet" else 1 / 2  # probes are exact where no pixel sees another
        assert [found["mean"] for found in row["bins"]] == pytest.approx([expected] * len(BINS))
        assert row["difference"]["mean"] == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("untouched")
def test_an_intervention_on_known_networks(photos: tuple[Tensor, Tensor], networks: Callable[..., None]) -> None:
    networks(half=Half(), square=Square())
    rows = measure_intervention(*photos, draws=2)
    assert [(row["network"], row["colours"]) for row in rows] == [
        (name, colours) for name in ("half", "square") for colours in ("each", "together")
    ]
    for row in rows:
        assert row["shifts"] == list(SHIFTS) and len(row["influence"]) == len(SHIFTS)
        assert len(row["change"]) == len(SHIFTS) and row["influence"][SHIFTS.index(0.0)]["count"] == 7
        slope = 0 if row["network"] == "half" else 2  # f' is 1/2, or 2 (clean + shift); a change is that of the same pixel
        for shift, value in zip(SHIFTS, row["change"], strict=True):
            assert value["mean"] == pytest.approx(slope * shift, abs=1e-5) and value["error"] == pytest.approx(0, abs=1e-5)
    assert rows[0]["influence"][0]["mean"] == pytest.approx(0.5)
    assert plain(rows)


@pytest.mark.usefixtures("tnet")
def test_an_intervention_on_tnet(photos: tuple[Tensor, Tensor]) -> None:
    rows = measure_intervention(*photos, draws=1)
    assert [(row["network"], row["colours"]) for row in rows] == [("tnet", "each"), ("tnet", "together")]
    assert all(value["error"] > 0 for row in rows for value in row["influence"])
    assert rows[0]["influence"] != rows[1]["influence"] != measure_intervention(*photos, draws=2)[1]["influence"]


# --- kernels and controls ---


@pytest.mark.usefixtures("tnet", "untouched")
def test_kernels_of_photos_and_digits(photos: tuple[Tensor, Tensor]) -> None:
    rows = measure_kernels(photos[0][:4], photos[1][:4])
    assert [(row["network"], row["where"]) for row in rows] == [
        ("tnet", "middle pixel"), ("tnet", "edge"), ("tnet", "flat"),
        *((name, where) for name in DIGIT_NETWORKS for where in ("middle pixel", "edge")),
    ]  # fmt: skip
    facts = {"sum", "own", "unlikeness", "gaussian", "other", "elongation", "against_gaussian", "against_other"}
    for row in rows:
        told = {"radius_50", "radius_90"} if row["where"] == "middle pixel" else facts
        assert set(row) - {"own_share"} == {"network", "where", *told} and all(is_summary(row[name], 4) for name in told)
        if row["where"] == "middle pixel":
            assert 0 < row["radius_50"]["mean"] < row["radius_90"]["mean"] < 23  # half of a photo's diagonal
        else:
            assert row["own_share"] == pytest.approx(row["own"]["mean"] / row["sum"]["mean"])
    assert plain(rows)


def test_kernels_of_a_known_network(photos: tuple[Tensor, Tensor], networks: Callable[..., None]) -> None:
    networks(blur=box_blur())
    rows = measure_kernels(photos[0][:3], photos[1][:3])
    assert [(row["network"], row["where"]) for row in rows] == [("blur", "middle pixel"), ("blur", "edge"), ("blur", "flat")]
    known = {"sum": 1, "own": 1 / 9, "elongation": 1, "against_other": 1}  # a square of nine pixels, the same in every photo
    for row, values in zip(rows, ({"radius_50": 1, "radius_90": 2**0.5}, known, known), strict=True):
        for name, value in values.items():
            assert row[name]["mean"] == pytest.approx(value, abs=1e-5) and row[name]["error"] == pytest.approx(0, abs=1e-5)
    rows = rows[1:]
    for row in rows:
        assert row["against_gaussian"]["mean"] == pytest.approx(1, abs=0.2)  # as blind to content as a Gaussian
    assert rows[0]["unlikeness"]["mean"] > rows[1]["unlikeness"]["mean"]


@pytest.mark.usefixtures("untouched")
def test_a_randomised_network_forgets_its_kernel(photos: tuple[Tensor, Tensor]) -> None:
    noisy, clean = (part[:4] for part in photos)
    rows = measure_randomised(noisy, clean, seeds=2)
    model = load_pretrained("tnet")
    names = [name for name, layer in model.named_modules() if hasattr(layer, "reset_parameters")]
    *cascade, noise = rows
    assert [row["layers"] for row in cascade] == list(range(len(names) + 1))
    assert [row["last"] for row in cascade] == ["none", *reversed(names)]
    for row in cascade:
        assert set(row) == {"layers", "last", "loss", "output", "kernel"}
        for name in ("loss", "output", "kernel"):
            assert is_summary(row[name], 4) and -1 <= row[name]["mean"] <= 1
            assert (row[name] == {"mean": 1.0, "error": 0.0, "count": 4}) == (row["layers"] == 0)
    assert cascade[-1]["kernel"]["mean"] < 0.7
    assert noise["layers"] is None and set(noise) == {"layers", "last", "loss"}
    idle = rank_correlation(loss_map(nn.Identity(), noisy, clean, n_samples=1), loss_map(model, noisy, clean, n_samples=1))
    assert noise["loss"]["mean"] == pytest.approx(float(idle.mean()), abs=1e-4)  # equal values may change places by rounding
    assert plain(rows)


@pytest.mark.usefixtures("tnet", "untouched")
def test_smoothgrads_noise_is_seen_in_the_psnr(photos: tuple[Tensor, Tensor]) -> None:
    noisy, clean = photos
    rows = measure_smoothgrad_noise(noisy, clean)
    assert [row["noise_level"] for row in rows] == [0.0, 0.05, 0.1, 0.15, 0.2, 0.3]
    assert all(set(row) == {"noise_level", "input", "tnet"} for row in rows)
    assert rows[0]["input"] == pytest.approx(psnr(noisy.clamp(0, 1), clean))
    assert rows[0]["tnet"] == pytest.approx(psnr(predict(load_pretrained("tnet"), noisy).clamp(0, 1), clean))
    inputs = [row["input"] for row in rows]
    assert inputs == sorted(inputs, reverse=True) and inputs[0] - inputs[-1] > 5
    assert plain(rows) == plain(measure_smoothgrad_noise(noisy, clean))


def test_without_a_denoiser_in_between_output_and_input_are_one(
    photos: tuple[Tensor, Tensor], networks: Callable[..., None]
) -> None:
    networks(nothing=nn.Identity())
    assert all(row["nothing"] == row["input"] for row in measure_smoothgrad_noise(*photos))


# --- all of it ---


@pytest.fixture(scope="module")
def pairs() -> PhotoPairs:
    return photo_pairs("test", count=24, cache=False)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, pairs: PhotoPairs, tmp_path: Path) -> Path:
    """24 test pairs instead of 1000, and the name of a results file."""
    monkeypatch.setattr(smoothgrad_claims, "TEST_PAIRS", len(pairs))
    monkeypatch.setattr(smoothgrad_claims, "photo_pairs", lambda split, source, *, count, cell: photo_pairs(
        split, source, count=count, cell=cell, cache=False
    ))  # fmt: skip
    return tmp_path / "new" / "claims.json"


def row_of(kind: str, network: str, level: float, mean: float) -> dict[str, Any]:
    """A row of claims 1 and 2."""
    value = {"mean": mean, "error": 0.0123, "count": 20}
    return {"map": kind, "network": network, "noise_level": level, **{name: value for name in (*GROUPS, "difference")}}


def influence_of(network: str, colours: str, level: float) -> dict[str, Any]:
    """A row of claim 3."""
    bins = [{"from": low, "mean": low + 0.4, "error": 0.1, "count": 9} for low in BINS]
    difference = {"mean": -0.01, "error": 0.002, "count": 9}
    return {"network": network, "colours": colours, "noise_level": level, "bins": bins, "difference": difference}


RESULTS: dict[str, Rows] = {
    **{part: [{"part": part}] for part in PARTS},
    "groups": [row_of("loss", "tnet", 0.0, 0.1)],
    "self_influence": [influence_of("tnet", "each", 0.0)],
}
"""What the parts return that are not measured."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, pairs: PhotoPairs, few: Path) -> dict[str, tuple[Any, ...]]:
    """No part is measured; what each was asked for."""
    monkeypatch.setattr(smoothgrad_claims, "photo_pairs", lambda *_, **__: pairs)
    found: dict[str, tuple[Any, ...]] = {}
    for name in PARTS:
        monkeypatch.setattr(
            smoothgrad_claims, f"measure_{name}", lambda *values, name=name: found.update({name: values}) or RESULTS[name]
        )
    return found


@pytest.mark.usefixtures("tnet", "influences")
def test_everything_is_measured_and_written(
    few: Path, pairs: PhotoPairs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernels, randomised = (
        smoothgrad_claims.measure_kernels,
        smoothgrad_claims.measure_randomised,
    )  # on three pairs here; no classifier is trained
    monkeypatch.setattr(smoothgrad_claims, "measure_kernels", lambda noisy, clean: kernels(noisy[:3], clean[:3]))
    monkeypatch.setattr(smoothgrad_claims, "measure_randomised", lambda noisy, clean: randomised(noisy[:3], clean[:3], seeds=1))
    monkeypatch.setattr(smoothgrad_claims, "measure_classifier", lambda: [{"seed": 0}])
    content = reproduce("builtin", few, about="seven photos", count=20, n_samples=2)
    assert read_results(few) == plain(content) and sorted(os.listdir(few.parent)) == ["claims.json", "claims.md"]
    assert few.with_suffix(".md").read_text(encoding="utf-8") == claims_table(content)
    assert set(content) == {"about", "command", "settings", "photos", "distinct_photos", "machine", *PARTS}
    assert content["distinct_photos"] == 2  # the built-in test photos
    assert content["settings"] == {"photos": pairs.fingerprint(), "cell": 8, "pairs": 20, "samples": 2}
    assert content["photos"] == "seven photos" and content["machine"]["device"] and "smoothgrad" in content["command"]
    assert all(len(content[part]) for part in PARTS)
    noisy, clean = pairs.first[:20] / 255, pairs.clean[:20] / 255
    assert content["smoothgrad_noise"][0]["input"] == pytest.approx(psnr(noisy, clean))
    assert capsys.readouterr().out.splitlines() == [f"{part}: done" for part in PARTS]
    lines = claims_table(content).splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 * 2 + len(content["groups"]) + 4
    assert len(readme_claims_table(content).splitlines()) == 7


def test_the_first_pairs_are_taken_and_a_quarter_for_the_slow_parts(
    few: Path, asked: dict[str, tuple[Any, ...]], pairs: PhotoPairs, capsys: pytest.CaptureFixture[str]
) -> None:
    content = reproduce("builtin", few, count=22, n_samples=7, progress=False)
    assert capsys.readouterr().out == ""
    assert list(asked) == list(PARTS) and all(content[part] == RESULTS[part] for part in PARTS)
    assert asked["groups"][2] == 7 and asked["classifier"] == ()
    for part in PARTS[:-1]:
        noisy, clean, *_ = asked[part]
        size = 20 if part in ("kernels", "randomised") else 22  # a quarter, but at least 20
        assert torch.equal(noisy, pairs.first[:size].float() / 255) and torch.equal(clean, pairs.clean[:size].float() / 255)


def test_a_quarter_of_many_pairs(
    few: Path, asked: dict[str, tuple[Any, ...]], pairs: PhotoPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = PhotoPairs(*(part.repeat(5, 1, 1, 1) for part in (pairs.first, pairs.second, pairs.clean)))
    monkeypatch.setattr(smoothgrad_claims, "TEST_PAIRS", 120)
    monkeypatch.setattr(smoothgrad_claims, "photo_pairs", lambda *_, **__: many)
    reproduce("builtin", few, count=100, progress=False)
    assert {name: len(values[0]) for name, values in asked.items() if values} == {
        "groups": 100, "self_influence": 100, "intervention": 100, "kernels": 25, "randomised": 25, "smoothgrad_noise": 100,
    }  # fmt: skip


def test_only_the_missing_parts_are_measured(few: Path, asked: dict[str, tuple[Any, ...]]) -> None:
    content = reproduce("builtin", few, count=20, progress=False)
    asked.clear()
    assert reproduce("builtin", few, count=20, progress=False) == content and asked == {}
    kept = plain(content)
    del kept["kernels"], kept["classifier"]
    kept["groups"][0]["network"] = "older"
    write_json(few, kept)
    again = reproduce("builtin", few, count=20, progress=False)
    assert list(asked) == ["kernels", "classifier"] and read_results(few) == plain(again)
    assert again["groups"] == kept["groups"] and "older" in few.with_suffix(".md").read_text(encoding="utf-8")


def test_chosen_parts_are_measured_in_any_case(few: Path, asked: dict[str, tuple[Any, ...]]) -> None:
    reproduce("builtin", few, count=20, progress=False)
    asked.clear()
    reproduce("builtin", few, count=20, parts=["kernels", "groups"], progress=False)
    assert list(asked) == ["kernels", "groups"]


def test_a_stop_loses_one_part(few: Path, asked: dict[str, tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(smoothgrad_claims, "measure_intervention", stop)
        with pytest.raises(KeyboardInterrupt):
            reproduce("builtin", few, count=20, progress=False)
    assert [part for part in PARTS if part in read_results(few)] == ["groups", "self_influence"]
    asked.clear()
    reproduce("builtin", few, count=20, progress=False)
    assert list(asked) == list(PARTS[2:])


def test_results_of_other_settings_are_not_mixed(
    few: Path, asked: dict[str, tuple[Any, ...]], pairs: PhotoPairs, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    reproduce("builtin", few, count=20, parts=["groups"], progress=False)
    before = few.read_bytes()
    for change in ({"count": 21}, {"n_samples": 49}, {"cell": 4}):
        with refused(ValueError, "claims.json", "other photos or settings"):
            reproduce("builtin", few, **{"count": 20, "progress": False, **change})  # type: ignore[arg-type]
    other = PhotoPairs(pairs.first, pairs.second, pairs.clean.flip(0))
    monkeypatch.setattr(smoothgrad_claims, "photo_pairs", lambda *_, **__: other)
    with refused(ValueError, "claims.json", "other photos or settings"):
        reproduce("builtin", few, count=20, progress=False)
    assert few.read_bytes() == before and list(asked) == ["groups"]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("content", [{}, {"runs": []}])
def test_a_results_file_of_something_else(content: dict[str, Any], few: Path, refused: Any) -> None:
    write_json(few, content)
    with refused(ValueError, "claims.json"):
        reproduce("builtin", few, count=20, progress=False)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"count": 19}, ValueError, ("count", "20", "19")),
        ({"count": 0}, ValueError, ("count", "20")),
        ({"count": 1001}, ValueError, ("count", "1000", "1001")),
        ({"count": 240.0}, TypeError, ("count",)),
        ({"n_samples": 0}, ValueError, ("n_samples",)),
        ({"n_samples": "50"}, TypeError, ("n_samples",)),
        ({"parts": ["groups", "kernel"]}, ValueError, ("part", "'kernel'", "'kernels'")),
        ({"source": "nowhere"}, ValueError, ("nowhere",)),
        ({"cell": 0}, ValueError, ("cell",)),
        ({"cell": 1.5}, TypeError, ("cell",)),
    ],
)
def test_bad_settings(
    options: dict[str, Any], error: type[Exception], words: tuple[str, ...], tmp_path: Path, refused: Any
) -> None:
    with refused(error, *words):
        reproduce(**{"source": "builtin", "output": tmp_path / "claims.json", **options})
    assert os.listdir(tmp_path) == []


# --- tables ---


def test_the_claims_as_tables() -> None:
    groups = [row_of("output", "tnet", 0.15, -0.5), row_of("loss", "does nothing", 0.0, 0.25)]
    text = claims_table({"groups": groups, "self_influence": [influence_of("tnet", "each", 0.05)]})
    lines = text.splitlines()
    assert text.endswith("|\n") and lines[4] == "" and len(lines) == 8
    assert lines[0] == "| map | network | noise level | noisy | neighbours | elsewhere | noisy - elsewhere |"
    cell, other = "0.250 ± 0.012", "-0.500 ± 0.012"
    assert lines[2] == "| size of dL/dX | does nothing | 0% | " + " | ".join([cell] * 4) + " |"
    assert lines[3] == "| d sum f / dX | tnet | 15% | " + " | ".join([other] * 4) + " |"
    assert lines[5].startswith("| self-influence | colours | noise level | from 0 | from 0.01 |")
    assert lines[7] == "| tnet | each | 5% | 0.400 | 0.410 | 0.450 | 0.500 | 0.600 | 0.700 | -0.010 ± 0.002 |"
    assert len({line.count("|") for line in lines[:4]}) == len({line.count("|") for line in lines[5:]}) == 1


def test_the_claims_in_the_readme() -> None:
    numbers = {("loss", "tnet"): 0.1, ("loss", "does nothing"): 0.2, ("output", "tnet"): 0.3, ("output", "does nothing"): 1.0}
    groups = [row_of(kind, network, level, mean + level) for (kind, network), mean in numbers.items() for level in (0.15, 0.0)]
    influence = [influence_of(*row) for row in (("tnet", "each", 0.0), ("tnet", "together", 0.15), ("tnet", "together", 0.0))]
    influence[2]["bins"][0]["mean"], influence[2]["bins"][-1]["mean"] = 0.5, 0.6
    shifted = [{"mean": shift + 1, "error": 0.01, "count": 20} for shift in SHIFTS]
    moved = [
        {"network": "tnet", "colours": "each", "influence": shifted[::-1]},
        {"network": "tnet", "colours": "together", "influence": shifted},
        {"network": "other", "colours": "together", "influence": shifted[::-1]},
    ]
    text = readme_claims_table({"groups": groups, "self_influence": influence, "intervention": moved})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert text.endswith("|\n") and len(rows) == 7 and {len(row) for row in rows} == {4}
    assert [row[1:] for row in rows[2:]] == [
        ["TNet", "0.100 ± 0.012", "0.100 ± 0.012"],
        ["a network that does nothing", "0.200 ± 0.012", "0.200 ± 0.012"],
        ["TNet", "0.300 ± 0.012", "0.300 ± 0.012"],
        ["TNet", "0.600 ± 0.100", "0.500 ± 0.100"],
        ["TNet", "1.300 ± 0.010", "1.000 ± 0.010"],
    ]


@pytest.mark.usefixtures("asked")
def test_there_is_no_table_before_there_are_claims(few: Path) -> None:
    reproduce("builtin", few, count=20, parts=["kernels", "groups"], progress=False)
    assert os.listdir(few.parent) == ["claims.json"]
    reproduce("builtin", few, count=20, parts=["self_influence"], progress=False)
    assert sorted(os.listdir(few.parent)) == ["claims.json", "claims.md"]


@pytest.mark.usefixtures("asked")
def test_the_file_ends_in_json(few: Path, refused: Any) -> None:
    with refused(ValueError, "output", ".json"):
        reproduce("builtin", few.with_suffix(""), count=20, progress=False)


# --- what ships ---


def numbers_of(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers_of(part)
    elif isinstance(value, int | float):
        yield float(value)


def errors_of(value: Any) -> list[float]:
    """The standard errors of all summaries in a row."""
    if isinstance(value, list):
        return [error for part in value for error in errors_of(part)]
    if not isinstance(value, dict):
        return []
    own = [float(value["error"])] if "error" in value else []
    return own + [error for part in value.values() for error in errors_of(part)]


def test_the_shipped_claims_are_whole() -> None:
    content = read_results("smoothgrad")
    assert {"about", "command", "settings", "photos", "machine", *PARTS} <= set(content)
    count = content["settings"]["pairs"]
    assert count >= 200 and content["settings"]["samples"] >= 20
    assert content["photos"] and content["machine"]["device"] and content["machine"]["date"]
    found = [number for part in PARTS for number in numbers_of(content[part])]
    assert len(found) > 500 and all(math.isfinite(number) for number in found)
    real = [row for row in content["groups"] if row["network"] != "does nothing"]
    real += content["self_influence"] + content["kernels"]
    for row in content["intervention"]:  # a shift of 0 changes nothing, exactly
        moved = [value for shift, value in zip(row["shifts"], row["change"], strict=True) if shift]
        real.append({**row, "change": moved})
    real += [row for row in content["randomised"] if row["layers"] != 0]
    for row in real:
        assert errors_of(row) and all(error > 0 for error in errors_of(row)), row
    networks = smoothgrad_claims.PHOTO_NETWORKS
    told = {(row["map"], row["network"], row["noise_level"]) for row in content["groups"]}
    assert {(kind, name, level) for kind in ("loss", "output") for name in networks for level in NOISE_LEVELS} <= told
    assert {(kind, name, 0.0) for kind in ("loss", "output") for name in ("tnet, untrained", "does nothing")} <= told
    assert {row["network"] for row in content["kernels"]} == {*networks, *DIGIT_NETWORKS}
    assert all(row[group]["count"] <= count for row in content["groups"] for group in GROUPS)


def test_the_shipped_claims_keep_the_known_identities() -> None:
    content = read_results("smoothgrad")
    idle = next(row for row in content["groups"] if (row["map"], row["network"]) == ("output", "does nothing"))
    assert all(idle[group]["mean"] == 1 and idle[group]["error"] == 0 for group in GROUPS)
    assert all(content["randomised"][0][name]["mean"] == pytest.approx(1) for name in ("loss", "output", "kernel"))
    clean = [row for row in content["classifier"] if row["version"] == "clean"]
    assert len(clean) >= 2 and all(row["likeness"]["mean"] == pytest.approx(1) for row in clean)
    assert all(0.8 < row["accuracy"] <= 1 for row in clean)
    inputs = [row["input"] for row in content["smoothgrad_noise"]]
    assert inputs == sorted(inputs, reverse=True)


def test_the_shipped_claims_can_be_tabulated() -> None:
    content = read_results("smoothgrad")
    lines = claims_table(content).splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 4 + len(content["groups"]) + len(content["self_influence"])
    for row in content["groups"]:
        assert any(row["network"] in line and format_summary(row["difference"]) in line for line in lines)
    assert len(readme_claims_table(content).splitlines()) == 7
