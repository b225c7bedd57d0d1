from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from benchmarks import roofline as module
from benchmarks.roofline import OpProfiler, benchmark_limits, convolution_speed, copy_speed, product_speed
from benchmarks.training import SETTINGS

CPU = torch.device("cpu")


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MATRIX", {"cpu": 64})
    monkeypatch.setattr(module, "COPIED_BYTES", {"cpu": 2**16})
    monkeypatch.setattr(module, "WIDE", 4)


def test_a_matrix_product_is_counted_by_hand() -> None:
    a, b = torch.rand(3, 5), torch.rand(5, 7)
    with OpProfiler(CPU) as meter:
        a @ b
    (cost,) = meter.costs.values()
    assert cost.flops == 2 * 3 * 5 * 7
    assert cost.bytes == 4 * (3 * 5 + 5 * 7 + 3 * 7)
    assert cost.seconds > 0


def test_a_convolution_and_its_gradients_are_counted() -> None:
    """A forward pass; then one of the same size for the weights, and one for the input."""
    x, weight = torch.rand(2, 3, 8, 8, requires_grad=True), torch.rand(4, 3, 3, 3, requires_grad=True)
    with OpProfiler(CPU) as meter:
        conv2d(x, weight, padding=1).sum().backward()
    forward = 2 * 2 * 4 * 8 * 8 * 3 * 9
    assert meter.costs["convolution"].flops == forward
    assert meter.costs["convolution_backward"].flops == 2 * forward


def test_views_cost_nothing_and_calls_are_added_up() -> None:
    a = torch.rand(4, 6)
    with OpProfiler(CPU) as meter:
        a.t().reshape(6, 4)
        assert not meter.costs.get("t")
        a.relu()
        a.relu()
    assert meter.costs["relu"].bytes == 2 * 2 * a.nbytes and meter.costs["relu"].flops == 0


def test_the_result_is_that_without_the_meter() -> None:
    model, x = nn.Conv2d(1, 2, 3), torch.rand(1, 1, 5, 5)
    expected = model(x)
    with OpProfiler(CPU):
        found = model(x)
    assert torch.equal(found, expected)


def test_speeds_are_work_over_seconds(monkeypatch: pytest.MonkeyPatch, little_work: None) -> None:
    monkeypatch.setattr(module, "time_interleaved", lambda work, repeats: {name: [run(), 0.5][1] for name, run in work.items()})
    state = torch.get_rng_state()
    assert product_speed(CPU) == 2 * 64**3 / 0.5
    assert convolution_speed(CPU, 4) == 2 * 32 * 32 * 32 * 4 * 4 * 9 / 0.5
    assert copy_speed(CPU) == 2 * 2**16 / 0.5
    assert torch.equal(torch.get_rng_state(), state)


def test_steps_are_told_beside_their_limits(little_work: None) -> None:
    rows = benchmark_limits(repeats=1, device="cpu")
    product, convolution, narrow, copied = rows[:4]
    assert narrow["flops_per_second"] > 0 and narrow["name"] == "convolution, 20 channels"
    peak, fastest = max(product["flops_per_second"], convolution["flops_per_second"]), copied["bytes_per_second"]
    assert [row["name"] for row in rows if row["name"].endswith("step")] == [f"{name}: step" for name in SETTINGS]
    steps = {row["name"]: row for row in rows[4:]}
    # Three times the forward pass of facts that are known, less the gradient of the first layer's input.
    forward = 2 * 15_523_200 * 128
    first_layer = 2 * 28 * 28 * 9 * 20 * 128
    assert steps["unet: step"]["flops"] == 3 * forward - first_layer
    for row in rows[4:]:
        assert row["seconds"] > 0 and row["bytes"] > 0
        if not row["name"].endswith("step"):
            least = max(row["flops"] / peak, row["bytes"] / fastest)
            assert row["times_the_limit"] == pytest.approx(row["seconds"] / least)
    for name in SETTINGS:
        shown = [row["seconds"] for row in rows[4:] if row["name"].startswith(f"{name}: ")][1:]
        assert len(shown) == module.SHOWN and shown == sorted(shown, reverse=True)
    assert json.loads(json.dumps(rows)) == rows


def test_bad_arguments(refused: Any) -> None:
    with refused(ValueError, "repeats"):
        benchmark_limits(repeats=0)
    with refused((TypeError, ValueError), "device"):
        benchmark_limits(1, device=3)  # type: ignore[arg-type]
