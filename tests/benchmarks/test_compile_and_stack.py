from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Adam

from benchmarks import compile_and_stack as module
from benchmarks.compile_and_stack import TOGETHER, benchmark_alternatives, break_even, vmapped_step
from benchmarks.training import SETTINGS, training_step
from denoise_lib import Autoencoder, TNet, UNet
from denoise_lib.internal.devices import Precision

CPU = torch.device("cpu")
FLOAT32 = Precision(CPU, False)


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make()


@pytest.mark.parametrize(("make", "shape"), [(UNet, (1, 12, 12)), (Autoencoder, (1, 8, 8)), (TNet, (3, 32, 32))])
def test_each_network_takes_the_step_that_it_takes_alone(make: Callable[[], nn.Module], shape: tuple[int, int, int]) -> None:
    models = [seeded(make, seed) for seed in range(3)]
    before = copy.deepcopy([model.state_dict() for model in models])
    noisy, target = torch.rand(2, 3, 4, *shape).unbind()
    step = vmapped_step(models, noisy, target, lr=1e-3, precision=FLOAT32)
    together = [step() for _ in range(4)]
    for model, weights in zip(models, before, strict=True):
        torch.testing.assert_close(dict(model.state_dict()), dict(weights), rtol=0, atol=0)
    for place, model in enumerate(models):
        optimizer = Adam(model.parameters(), lr=1e-3)
        for losses in together:
            optimizer.zero_grad()
            loss = mse_loss(model(noisy[place]), target[place])
            loss.backward()
            optimizer.step()
            torch.testing.assert_close(losses[place], loss.detach(), rtol=2e-5, atol=0)
    assert len({float(loss) for loss in together[-1]}) == 3 and bool((together[-1] < together[0]).all())


@pytest.mark.parametrize("name", SETTINGS)
def test_the_step_that_is_measured_is_that_of_a_training(name: str) -> None:
    setting = SETTINGS[name]
    model, (noisy, target) = setting.model(), next(setting.pairs(setting.batch_size).batches(setting.batch_size))
    optimizer, step = Adam(model.parameters(), lr=setting.lr), training_step(setting, CPU, FLOAT32)
    for _ in range(2):
        optimizer.zero_grad()
        loss = mse_loss(model(noisy), target)
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(step(), loss.detach(), rtol=1e-4, atol=0)


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler, which torch.compile needs on a CPU")
def test_a_compiled_step_has_the_same_loss() -> None:
    setting = SETTINGS["unet"]
    plain, compiled = (training_step(setting, CPU, FLOAT32, compile_mode=mode) for mode in (None, "default"))
    for _ in range(2):
        torch.testing.assert_close(compiled(), plain(), rtol=1e-4, atol=0)


def test_all_ways_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def compile_later(model: nn.Module, mode: str) -> nn.Module:
        asked.append(mode)
        return model

    monkeypatch.setattr(torch, "compile", compile_later)
    rows = benchmark_alternatives(repeats=1, device="cpu")
    ways = ("step", "step, torch.compile", f"{TOGETHER} networks, one by one", f"{TOGETHER} networks at once")
    assert [row["name"] for row in rows] == [f"{network}: {way}" for network in SETTINGS for way in ways]
    assert asked == ["default"] * len(SETTINGS)
    for plain, compiled, alone, together in zip(*(rows[place::4] for place in range(4)), strict=True):
        assert plain["times_the_first"] == alone["times_the_first"] == 1
        assert compiled["times_the_first"] == compiled["seconds"] / plain["seconds"]
        assert together["times_the_first"] == together["seconds"] / alone["seconds"]
        assert compiled["start_seconds"] >= 0 and (compiled["steps_to_pay_back"] is None) == (
            compiled["seconds"] >= plain["seconds"]
        )
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize("at_once", [True, False])
def test_without_a_compiler_the_reason_is_told(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(x: Tensor) -> Tensor:
        raise RuntimeError("No working C++ compiler found.\n\nSet TORCH_LOGS for more.")

    def compile_nothing(model: nn.Module, mode: str) -> Callable[[Tensor], Tensor]:
        return fail(torch.zeros(1)) if at_once else fail  # type: ignore[return-value]

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr(module, "SETTINGS", {"tnet": SETTINGS["tnet"]})
    rows = benchmark_alternatives(repeats=1, device="cpu")
    assert rows[1] == {"name": "tnet: step, torch.compile", "not_measured": "No working C++ compiler found."}
    assert [row.get("seconds", 0) > 0 for row in rows] == [True, False, True, True]


def test_when_a_start_is_made_up_for() -> None:
    assert break_even(11.0, 1.0, 1.5) == {"start_seconds": 10.0, "steps_to_pay_back": 20}
    assert break_even(11.0, 1.5, 1.5) == {"start_seconds": 9.5, "steps_to_pay_back": None}
    assert break_even(0.9, 1.0, 2.0) == {"start_seconds": 0.0, "steps_to_pay_back": 0}


def test_bad_arguments(refused: Any) -> None:
    with refused(ValueError, "repeats"):
        benchmark_alternatives(repeats=0)
    batches = torch.rand(2, 1, 1, 8, 8)
    good = {"models": [UNet(), UNet()], "noisy": batches, "target": batches, "lr": 1e-3, "precision": FLOAT32}
    for name, value, words in (
        ("models", [UNet(), TNet()], "one architecture"), ("models", [UNet(), Autoencoder()], "one architecture"),
        ("models", [TNet(batch_norm=True)] * 2, "buffers"), ("models", [], "models"),
        ("noisy", batches[0], "shape"), ("models", [UNet()], "1 batches"), ("lr", 0.0, "lr"),
    ):  # fmt: skip
        with refused(ValueError, words):
            vmapped_step(**good | {name: value})  # type: ignore[arg-type]
    with refused(TypeError, "precision"):
        vmapped_step(**good | {"precision": "float16"})  # type: ignore[arg-type]
    with refused(ValueError, "compile_mode"):
        training_step(SETTINGS["unet"], CPU, FLOAT32, compile_mode="fast")
    with refused(ValueError, "plain"):
        break_even(1.0, 1.0, 0.0)
