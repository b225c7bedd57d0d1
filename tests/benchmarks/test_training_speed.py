from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import training as module
from benchmarks.training import (
    FACTORS,
    GROWTH,
    SETTINGS,
    STATUS,
    OnePairAtATime,
    benchmark_growth,
    benchmark_training,
    papers_loop,
    peak_memory,
)
from denoise_lib import fit

CPU = torch.device("cpu")


@pytest.mark.numbers
@pytest.mark.parametrize("name", SETTINGS)
def test_both_loops_do_the_same_work(name: str) -> None:
    """The same pairs in the same order, the same steps: what differs is how the sums are rounded."""
    setting = SETTINGS[name]
    dataset, first = setting.pairs(3 * setting.batch_size + 5), setting.model()
    theirs, ours = copy.deepcopy(first), copy.deepcopy(first)
    same = {"epochs": 2, "lr": setting.lr, "batch_size": setting.batch_size, "device": CPU}
    losses = papers_loop(theirs, dataset, **same)  # type: ignore[arg-type]
    assert fit(ours, dataset, shuffle=False, progress=False, **same).loss == pytest.approx(losses, rel=1e-5)  # type: ignore[arg-type]
    # Adam steps by the rate along the sign of even the smallest gradient: where rounding decides the sign, two runs part by
    # twice the rate a step. That happens to few weights.
    steps, apart = 2 * 4, []
    for mine, other, before in zip(ours.parameters(), theirs.parameters(), first.parameters(), strict=True):
        apart.append((mine - other).abs().flatten())
        assert not torch.equal(other, before)
    assert float(torch.cat(apart).max()) <= 2 * setting.lr * steps and float(torch.cat(apart).mean()) <= setting.lr / 100


def test_the_baseline_serves_one_pair_at_a_time() -> None:
    noisy, target = torch.rand(2, 5, 1, 4, 4).unbind()
    pairs = OnePairAtATime(noisy, target, CPU)
    assert len(pairs) == 5
    assert torch.equal(pairs[3][0], noisy[3]) and torch.equal(pairs[3][1], target[3])


def test_the_settings_are_the_papers() -> None:
    assert {name: (one.batch_size, one.lr) for name, one in SETTINGS.items()} == {
        "unet": (128, 1e-3), "autoencoder": (128, 1e-3), "tnet": (32, 5e-4),
    }  # fmt: skip
    noisy, target = SETTINGS["tnet"].pairs(2)[0]
    assert noisy.shape == (3, 32, 32) and not torch.equal(noisy, target)
    assert float(SETTINGS["unet"].pairs(2, side=56)[1][1].min()) >= 0
    assert SETTINGS["unet"].pairs(2, side=56)[1][1].shape == (1, 56, 56)


def test_training_is_measured_beside_the_papers_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", {"cpu": 1, "cuda": 1})
    state = torch.get_rng_state()
    rows = benchmark_training(repeats=1, device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    candidates = ("fit", "the papers' loop", "fit, mixed precision")
    assert [row["name"] for row in rows] == [f"{network}: {name}" for network in SETTINGS for name in candidates]
    for first in (0, 3, 6):
        ours, theirs, mixed = rows[first : first + 3]
        assert ours["times_the_first"] == 1 and theirs["times_the_first"] == theirs["seconds"] / ours["seconds"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["loss"] != mixed["loss"] == pytest.approx(ours["loss"], rel=0.02)
        batch = SETTINGS[ours["name"].split(":")[0]].batch_size
        assert ours["images_per_second"] == pytest.approx(batch / ours["seconds"])
    assert rows[0]["table_1_minutes"] == pytest.approx(3_600_000 / rows[0]["images_per_second"] / 60)
    assert "table_1_minutes" not in rows[-1]
    assert json.loads(json.dumps(rows)) == rows


def test_growth_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def work(name: str) -> Any:
        return lambda factor, device: asked.append((name, factor))

    monkeypatch.setattr(module, "GROWTH", {name: work(name) for name in GROWTH})
    monkeypatch.setattr(module, "peak_memory", lambda name, factor, device: None if name == "seeds" else 1_500_000 * factor)
    rows = benchmark_growth(repeats=1, device="cpu")
    assert [row["name"] for row in rows] == [f"{name} x {factor}" for name in GROWTH for factor in FACTORS]
    assert asked == [(name, factor) for name in GROWTH for _ in range(2) for factor in FACTORS]
    by_name = {row["name"]: row for row in rows}
    assert by_name["image side x 4"]["work"] == 16 and by_name["images x 8"]["work"] == 8
    assert by_name["images x 8"]["peak_megabytes"] == 12 and by_name["seeds x 8"]["peak_megabytes"] is None


@pytest.mark.parametrize("name", GROWTH)
def test_what_grows_is_as_large_as_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int]] = []

    def count(model: nn.Module, dataset: Any, *, batch_size: int, **_: Any) -> None:
        seen.append((len(dataset), batch_size, dataset[0][0].shape[-1]))

    monkeypatch.setattr(module, "fit", count)
    for factor in (1, 2):
        GROWTH[name](factor, CPU)
    first, rest = seen[0], seen[1:]
    count_, batch, side = first
    assert (
        rest
        == {
            "images": [(2 * count_, batch, side)],
            "batch size": [(2 * count_, 2 * batch, side)],
            "image side": [(count_, batch, 2 * side)],
            "seeds": [first, first],
        }[name]
    )


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux says what memory a process takes")
def test_peak_memory_grows_with_the_image_and_not_with_the_seeds() -> None:
    """64 times the pixels: the activations alone of 8 images of 224x224 are more than 100 MB."""
    small, large = peak_memory("image side", 1, "cpu"), peak_memory("image side", 8, "cpu")
    assert small is not None and large is not None and large > small + 100_000_000
    many = peak_memory("seeds", 8, "cpu")
    assert many is not None and many < 100_000_000


def test_without_the_systems_count_no_memory_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(module, "STATUS", tmp_path / "none")
    assert peak_memory("seeds", 1, "cpu") is None


def test_bad_arguments(refused: Any) -> None:
    for measure in (benchmark_training, benchmark_growth):
        with refused(ValueError, "repeats"):
            measure(repeats=0)
        with refused((TypeError, ValueError), "device"):
            measure(1, device=3)  # type: ignore[arg-type]
    with refused(ValueError, "what", "'images'"):
        peak_memory("speed", 1)
    with refused(ValueError, "factor"):
        peak_memory("images", 0)
