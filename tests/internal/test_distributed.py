"""One training in two processes (Gloo, on the CPU), started by torchrun as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from denoise_lib import UNet
from denoise_lib.internal.distributed import World, join, world

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
CURVES = ("fixed", "fresh", "colour", "function", "loader", "uninterrupted", "checkpoint")


def torchrun(processes: int, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *command]
    return subprocess.run(start, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each process of one, of two and of three saw."""
    seen = {}
    for processes in (1, 2, 3):
        folder = tmp_path_factory.mktemp(f"of-{processes}")
        done = torchrun(processes, str(ROOT / "tests" / "helpers" / "distributed_training.py"), str(folder), folder=folder)
        assert done.returncode == 0, done.stderr[-3000:]
        for rank in range(processes):
            seen[f"{rank} of {processes}"] = json.loads((folder / f"{rank}-of-{processes}.json").read_text())
    yield seen


@pytest.mark.parametrize("scene", CURVES)
@pytest.mark.parametrize("process", ["0 of 2", "1 of 2", "0 of 3", "2 of 3"])
def test_the_loss_curve_is_that_of_one_process(scene: str, process: str, found: dict[str, Any]) -> None:
    """Sums in another order round differently: equal to five digits, and far from what another batch size would give."""
    alone, shared = found["0 of 1"][scene], found[process][scene]
    assert len(shared["loss"]) == 3
    np.testing.assert_allclose(shared["loss"], alone["loss"], rtol=1e-5)
    np.testing.assert_allclose(shared["validation"], alone["validation"], rtol=1e-4)
    assert shared["lr"] == alone["lr"]
    # Where rounding decides the sign of a tiny gradient, two runs part by twice Adam's rate, 1e-3, a step; there are up to 21.
    apart = np.abs(np.subtract(shared["weights"], alone["weights"]))
    assert apart.max() <= 21 * 2e-3 and apart.mean() <= 1e-3 / 100


def test_all_processes_end_with_the_same_weights(found: dict[str, Any]) -> None:
    for scene in CURVES:
        assert found["0 of 2"][scene] == found["1 of 2"][scene]


def test_a_resumed_training_is_the_uninterrupted_one(found: dict[str, Any]) -> None:
    for process in ("0 of 1", "0 of 2", "1 of 2"):
        assert found[process]["checkpoint"] == found[process]["uninterrupted"]


def test_batch_normalisation_is_refused(found: dict[str, Any]) -> None:
    assert found["0 of 1"]["refused"]["error"] == ""
    assert "batch normalisation needs whole batches" in found["1 of 2"]["refused"]["error"]


def test_train_by_torchrun_writes_once_and_prints_once(tmp_path: Path) -> None:
    command = ["-m", "denoise_lib", "train", "--epochs", "1", "--output", "mine"]
    shared = torchrun(2, *command, folder=tmp_path)
    assert shared.returncode == 0, shared.stderr[-3000:]
    assert shared.stdout.count("test MSE") == shared.stdout.count("epoch  1 of 1") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.safetensors"]


def test_the_processes_part_when_the_training_is_over(tmp_path: Path) -> None:
    """Not at the interpreter's end, where what is left of the group has once aborted a process."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch.distributed as dist\nfrom denoise_lib.__main__ import main\n"
        "assert main(['train', '--epochs', '1', '--output', 'mine']) == 0\nprint('parted:', not dist.is_initialized())\n"
    )
    shared = torchrun(2, str(script), folder=tmp_path)
    assert shared.returncode == 0 and shared.stdout.count("parted: True") == 2, shared.stderr[-3000:]


def test_other_commands_are_refused_under_torchrun(tmp_path: Path) -> None:
    done = torchrun(2, "-m", "denoise_lib", "weights", folder=tmp_path)
    assert done.returncode != 0 and "torchrun is for `train` alone" in done.stderr


# --- one process, and the parts ------------------------------------------------------------------------------------------


def test_alone_nothing_is_started_and_nothing_changes() -> None:
    assert world() == join(torch.device("cpu")) == World(0, 1) and world().first
    assert not torch.distributed.is_initialized()
    noisy, target, model = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8), UNet()
    shared = World().shard(noisy, target)
    assert shared[0] is noisy and shared[1] is target and shared[2] == 5
    assert World().wrap(model, torch.device("cpu")) is model
    assert World().broadcast_from_first(True, torch.device("cpu")) is True
    assert float(World().sum(torch.tensor(3.0))) == 3


@pytest.mark.parametrize(("pairs", "size"), [(8, 2), (7, 2), (7, 3), (1, 3), (2, 4)])
def test_shares_are_the_whole_batch_in_order(pairs: int, size: int) -> None:
    noisy = torch.arange(pairs).float().view(-1, 1, 1, 1)
    parts = [World(rank, size).shard(noisy, -noisy) for rank in range(size)]
    kept = torch.cat([part[:count] for part, _, count in parts])
    assert torch.equal(kept, noisy)
    assert all(len(part) and torch.equal(part, -target) for part, target, _ in parts)
    assert max(count for *_, count in parts) - min(count for *_, count in parts) <= 1


def test_bad_arguments(refused: Any) -> None:
    images = torch.rand(2, 1, 8, 8)
    with refused(TypeError, "noisy"):
        World().shard([1], images)  # type: ignore[arg-type]
    with refused(TypeError, "target"):
        World().shard(images, None)  # type: ignore[arg-type]
    with refused(TypeError, "model"):
        World().wrap("UNet", torch.device("cpu"))  # type: ignore[arg-type]
    with refused(ValueError, "batch normalisation"):
        World(0, 2).wrap(nn.BatchNorm2d(3), torch.device("cpu"))
    with refused(TypeError, "device"):
        join("cpu")  # type: ignore[arg-type]
    with refused(TypeError, "value"):
        World().sum(3.0)  # type: ignore[arg-type]
