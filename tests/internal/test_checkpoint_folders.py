"""Where the notebooks keep their trainings: which folder, a file for each training, and a training that was killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from denoise_lib.data import NoisyImages, NoisyPairs
from denoise_lib.internal import checkpoints
from denoise_lib.internal.checkpoints import CheckpointFolder, checkpoint_folder, code_of
from denoise_lib.noise import Blend, Gaussian
from denoise_lib.tnet import TNet
from denoise_lib.training import CheckpointError, History, TrainingInterrupted, fit
from denoise_lib.unet import UNet


def network(seed: int = 0, kind: Callable[[], nn.Module] = UNet) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


@pytest.fixture
def pairs(digits: Tensor) -> NoisyImages:
    return NoisyImages(digits[:20], Blend(0.25))


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path)


def quick(model: nn.Module, dataset: Any, folder: CheckpointFolder, **options: Any) -> History:
    usual: dict[str, Any] = {"epochs": 2, "batch_size": 8, "device": "cpu", "progress": False}
    return fit(model, dataset, checkpoint=folder, **usual | options)


# --- which folder ------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a cache folder, without Drive and outside of Colab."""
    monkeypatch.delenv("DENOISE_CHECKPOINTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "DRIVE", tmp_path / "MyDrive")
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def chosen(places: Path) -> str:
    folder = checkpoint_folder()
    assert folder is not None and folder.path.is_dir() and os.listdir(folder.path) == []
    return folder.path.relative_to(places).as_posix()


def test_the_folder_is_the_named_one_or_on_drive_or_in_the_cache(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chosen(places) == "cache/denoise_lib/checkpoints"
    (places / "MyDrive").mkdir()
    assert chosen(places) == "MyDrive/denoise_course"
    monkeypatch.setenv("DENOISE_CHECKPOINTS", str(places / "mine" / "here"))
    assert chosen(places) == "mine/here"
    folders = [places / part for part in ("cache/denoise_lib/checkpoints", "MyDrive/denoise_course", "mine/here")]
    assert printed(capsys) == [f"after each epoch, a checkpoint is kept in {folder}" for folder in folders]


def test_a_named_folder_may_be_in_the_home(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):  # the second is Windows'
        monkeypatch.setenv(name, str(places / "home"))
    monkeypatch.setenv("DENOISE_CHECKPOINTS", "~/runs")
    assert chosen(places) == "home/runs"


def test_colab_is_told_to_mount_drive(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", object())
    checkpoint_folder()
    assert "lost with Colab's machine, unless you mount Google Drive" in capsys.readouterr().out
    (places / "MyDrive").mkdir()
    checkpoint_folder()
    assert "lost" not in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_told_and_costs_no_training(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (places / "file").write_text("")
    monkeypatch.setenv("DENOISE_CHECKPOINTS", str(places / "file" / "runs"))
    assert checkpoint_folder() is None
    (line,) = printed(capsys)
    assert line.startswith("no checkpoint is kept, since") and "cannot be written to (" in line
    assert "set DENOISE_CHECKPOINTS to another folder" in line


def test_a_full_disk_is_told_and_costs_no_training(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert checkpoint_folder() is None
    assert "No space left on device" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_really_full_is_noticed_before_the_training(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def on_it(dir: Path, buffering: int) -> IO[bytes]:
        return Path("/dev/full").open("wb", buffering)

    monkeypatch.setattr(tempfile, "TemporaryFile", on_it)
    assert checkpoint_folder() is None
    assert "No space left on device" in capsys.readouterr().out


# --- a file for each training ------------------------------------------------------------------------------------------


def test_the_same_training_again_is_only_loaded(
    pairs: NoisyImages, folder: CheckpointFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = network(), network()
    history = quick(first, pairs, folder)
    assert printed(capsys) == []
    assert quick(second, pairs, folder, progress=True) == history
    (name,) = os.listdir(folder.path)
    assert name.startswith("UNet-") and name.endswith(".checkpoint")
    assert printed(capsys) == [f"nothing to train: {folder.path / name} holds all 2 epochs; delete this file to train anew"]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


OTHER: dict[str, dict[str, Any]] = {
    "rate": {"lr": 0.5},
    "batches": {"batch_size": 5},
    "seed": {"seed": 1},
    "loss": {"loss": "l1"},
    "schedule": {"schedule": "cosine"},
    "fewer epochs": {"epochs": 1},
    "more epochs": {"epochs": 3},
}


@pytest.mark.parametrize("change", OTHER)
def test_changed_settings_start_anew_and_old_ones_find_their_file(
    change: str, pairs: NoisyImages, folder: CheckpointFolder
) -> None:
    history = quick(network(), pairs, folder)
    assert quick(network(), pairs, folder, **OTHER[change]).epochs == OTHER[change].get("epochs", 2)
    assert len(os.listdir(folder.path)) == 2
    assert quick(network(), pairs, folder) == history  # its seconds, too: it was not trained again
    assert len(os.listdir(folder.path)) == 2


def name_of(folder: CheckpointFolder, model: nn.Module, dataset: Any, **settings: Any) -> str:
    path = folder.file(model, dataset, settings)
    assert path is not None and path.parent == folder.path
    return path.name


def test_another_network_has_another_file(pairs: NoisyImages, folder: CheckpointFolder) -> None:
    same = [network(), network(), network().to(memory_format=torch.channels_last)]
    assert len({name_of(folder, model, pairs) for model in same}) == 1
    trained = network()
    with torch.no_grad():
        next(trained.parameters())[0, 0, 0, 0] += 1e-3
    networks = [
        network(), network(1), trained, network(0, lambda: UNet(skips=False)), network(0, lambda: nn.Sequential(UNet())),
        network(0, lambda: nn.Conv2d(1, 1, 3, padding=1)), network(0, lambda: nn.Conv2d(1, 1, 3, padding=1, stride=2)),
        network(0, lambda: TNet(batch_norm=True)),
    ]  # fmt: skip
    assert len({name_of(folder, model, pairs) for model in networks}) == len(networks)


def test_buffers_are_part_of_the_network(pairs: NoisyImages, folder: CheckpointFolder) -> None:
    first, second = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    assert name_of(folder, first, pairs) == name_of(folder, second, pairs)
    second(torch.rand(2, 1, 4, 4))  # moves the running mean
    assert name_of(folder, first, pairs) != name_of(folder, second, pairs)


def test_other_data_have_another_file(digits: Tensor, folder: CheckpointFolder) -> None:
    images = digits[:4]
    sets = [
        NoisyImages(images, Blend(0.25)), NoisyImages(images, Blend(0.25), seed=1), NoisyImages(images.flip(0), Blend(0.25)),
        NoisyPairs(images, Gaussian(0.1)), NoisyPairs(images, Gaussian(0.1), seed=1),
        NoisyPairs.from_copies(images, images), NoisyPairs.from_copies(images, images.flip(0)),
        NoisyPairs.from_copies(images.flip(0), images),
    ]  # fmt: skip
    assert len({name_of(folder, network(), data) for data in sets}) == len(sets)
    again = NoisyImages(images.clone(), Blend(0.25))
    next(again.batches(4, generator=torch.Generator().manual_seed(3)))
    assert again[0][0].shape == (1, 28, 28)  # serving pairs changes nothing
    assert name_of(folder, network(), again) == name_of(folder, network(), sets[0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_data_of_every_type_have_a_fingerprint(dtype: torch.dtype) -> None:
    images = torch.eye(4).expand(2, 3, 4, 4).to(dtype)
    same, other = images.clone(), images.clone()
    other[0, 0, 0, 1] = 1
    first, again, changed = (NoisyPairs.from_copies(images, second).fingerprint() for second in (images, same, other))
    assert first == again != changed and len(first) == 8


def test_data_without_a_fingerprint_have_no_file(
    pairs: NoisyImages, folder: CheckpointFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick(network(), Subset(pairs, range(4)), folder).epochs == 2
    assert os.listdir(folder.path) == []
    assert "a Subset has no method fingerprint()" in capsys.readouterr().out


# --- code in the notebook ----------------------------------------------------------------------------------------------


NETWORK = """
class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.change = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return {returned}

class Longer(Chain):
    pass
"""


def notebook(tmp_path: Path, source: str, number: int) -> dict[str, Any]:
    """The names that cells define: their code stands in a file with the name of the kernel's process in it."""
    path = tmp_path / f"cell-{number}.py"
    path.write_text(source)
    names: dict[str, Any] = {"__name__": "__main__", "nn": nn, "torch": torch}
    exec(compile(source, str(path), "exec"), names)
    return names


def test_code_in_the_notebook_is_part_of_the_training(pairs: NoisyImages, folder: CheckpointFolder, tmp_path: Path) -> None:
    sources = [NETWORK.format(returned=text) for text in ("x + self.change(x)", "self.change(x)", "x + self.change(x)")]
    cells = [notebook(tmp_path, source, number) for number, source in enumerate(sources)]
    for kind in ("Chain", "Longer"):
        first, changed, same = (name_of(folder, network(0, names[kind]), pairs) for names in cells)
        assert first == same != changed


def test_a_loss_in_the_notebook_is_part_of_the_training(pairs: NoisyImages, folder: CheckpointFolder, tmp_path: Path) -> None:
    sources = [f"def loss(output, target):\n    return (output - target).abs().pow({power}).mean()\n" for power in (1, 3, 1)]
    for number, source in enumerate(sources):
        quick(network(), pairs, folder, loss=notebook(tmp_path, source, number)["loss"])
    assert len([*folder.path.glob("*.checkpoint")]) == 2


def test_code_that_stands_in_no_file() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    codes = []
    for text in ("lambda x: x + 1", "lambda x: x + 2", "lambda x: x + 1"):
        codes.append(code_of([eval(text, names)]))
    assert codes[0] == codes[2] != codes[1]


def test_the_librarys_own_code_is_none_of_the_notebooks() -> None:
    assert code_of([UNet(), nn.ReLU(), torch.nn.functional.mse_loss, network, 3, None]) == ""


# --- interrupted -------------------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from denoise_lib import UNet, fit, mnist, Blend
from denoise_lib import checkpoint_folder
from denoise_lib.data import NoisyImages

deadly, steps = int(sys.argv[1]), []

def count(*_):
    steps.append(1)
    if len(steps) == deadly:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has but one way to end a process

register_optimizer_step_post_hook(count)
torch.set_num_threads(1)
torch.manual_seed(0)
model = UNet()
data = NoisyImages(mnist("train", "small")[:24], Blend(0.25))
fit(model, data, epochs=4, batch_size=8, schedule="one-cycle", device="cpu", checkpoint=checkpoint_folder())
print("steps", len(steps), "weights", float(sum(value.double().abs().sum() for value in model.parameters())).hex())
"""


def train(folder: Path, deadly: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DENOISE_CHECKPOINTS": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", KILLED, str(deadly)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_a_killed_training_goes_on_after_its_last_whole_epoch(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight").stdout.splitlines()
    assert straight[-1].startswith("steps 12 weights ")
    killed = train(tmp_path / "killed", deadly=8)  # in the third of four epochs
    assert killed.returncode and "weights" not in killed.stdout
    resumed = train(tmp_path / "killed").stdout.splitlines()
    assert resumed[1].startswith("going on after epoch 2 from UNet-")
    assert resumed[-1] == straight[-1].replace("steps 12", "steps 6")
    assert len(os.listdir(tmp_path / "killed")) == 1


def test_what_an_interruption_says(pairs: NoisyImages, folder: CheckpointFolder, refused: Any) -> None:
    calls = []

    def impatient(output: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return (output - target).square().mean()

    with refused(TrainingInterrupted, "epoch 2 of 3", "call fit again in the same way to go on"):
        quick(network(), pairs, folder, epochs=3, loss=impatient)
    assert quick(network(), pairs, folder, epochs=3, loss=impatient).epochs == 3
    assert len(calls) == 5 + 2 * 3  # three batches an epoch, and the first epoch not again


def test_a_damaged_checkpoint_says_what_to_do(pairs: NoisyImages, folder: CheckpointFolder, refused: Any) -> None:
    quick(network(), pairs, folder)
    (path,) = folder.path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with refused(CheckpointError, path.name, "delete it"):
        quick(network(), pairs, folder)
