"""How fast `fit` trains: beside the loop that the papers describe, and as the work grows.

The baseline is written from the papers' words: a data set that hands out one pair at a time and moves it to the device in
`__getitem__`, batches from a `DataLoader`, Adam as it comes, float32 in torch's usual memory layout, and the loss read at each
step. Both train the same network from the same first weights, on the same pairs in the same order.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import MOST_REPEATS, Row, rows_of, time_interleaved
from denoise_lib.data import NoisyImages, NoisyPairs
from denoise_lib.internal.checks import check_choice, check_count, check_instance
from denoise_lib.internal.devices import Precision, default_device
from denoise_lib.noise import MODERATE, Blend, Gaussian
from denoise_lib.tnet import TNet
from denoise_lib.training import fit
from denoise_lib.unet import Autoencoder, UNet

STEPS = {"cpu": 16, "cuda": 150}
"""Steps of one round: seconds of work."""
FACTORS = (1, 2, 4, 8)
STATUS = Path("/proc/self/status")
"""Where Linux says what memory a process takes."""
TABLE_1_IMAGES = 6 * 10 * 60_000
"""The first paper's six trainings: ten epochs of 60,000 digits each."""


@dataclass(frozen=True)
class Setting:
    """A network as a paper trains it."""

    network: type[nn.Module]
    shape: tuple[int, int, int]
    batch_size: int
    lr: float
    noisy_targets: bool

    def pairs(self, count: int, side: int | None = None) -> NoisyImages | NoisyPairs:
        """Pairs of random images, whose numbers cost what those of photos cost."""
        channels, height, width = self.shape
        images = torch.rand(count, channels, side or height, side or width, generator=torch.Generator().manual_seed(0))
        return NoisyPairs(images, Gaussian(0.1)) if self.noisy_targets else NoisyImages(images, Blend(MODERATE))

    def model(self) -> nn.Module:
        """The network with its first weights, the same each time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.network()


SETTINGS = {
    "unet": Setting(UNet, (1, 28, 28), 128, 1e-3, noisy_targets=False),
    "autoencoder": Setting(Autoencoder, (1, 28, 28), 128, 1e-3, noisy_targets=False),
    "tnet": Setting(TNet, (3, 32, 32), 32, 5e-4, noisy_targets=True),
}


class OnePairAtATime(Dataset[tuple[Tensor, Tensor]]):
    """Pairs on the CPU, each moved to the device when it is asked for, as the first paper does."""

    def __init__(self, noisy: Tensor, target: Tensor, device: torch.device) -> None:
        self.noisy, self.target, self.device = noisy, target, device

    def __len__(self) -> int:
        return len(self.noisy)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.noisy[index].to(self.device), self.target[index].to(self.device)


def papers_loop(
    model: nn.Module, dataset: NoisyImages | NoisyPairs, *, epochs: int, lr: float, batch_size: int, device: torch.device
) -> list[float]:
    """Train as the papers do; returns the mean loss of each epoch.

    Args:
        model: trained in place.
        dataset: its pairs are drawn beforehand, and served in their order.
        epochs, lr, batch_size, device: as for `fit`.
    """
    pairs = OnePairAtATime(*next(dataset.batches(len(dataset))), device)
    # Without a generator of its own, a loader takes a number from torch's global one.
    loader = DataLoader(pairs, batch_size=batch_size, generator=torch.Generator())
    model.to(device).train()
    optimizer, criterion, history = Adam(model.parameters(), lr=lr), nn.MSELoss(), []
    for _ in range(epochs):
        total = 0.0
        for noisy, target in loader:
            loss = criterion(model(noisy), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(noisy)
        history.append(total / len(pairs))
    return history


def benchmark_training(repeats: int = 7, device: torch.device | str | None = None) -> list[Row]:
    """`fit` beside the papers' loop, for the first paper's two networks and TNet: one epoch from the same weights.

    Returns:
        Rows of seconds; `times_the_first` is against `fit` of the same network. With each: `images_per_second`, the `loss` of
        the epoch, and for the digits' networks `table_1_minutes`: the first paper's six trainings at this speed.
    """
    check_count(repeats, "repeats", high=MOST_REPEATS, example=7)
    chosen = default_device(device)
    return [row for name in SETTINGS for row in _race(name, chosen, repeats)]


def _race(network: str, device: torch.device, repeats: int) -> list[Row]:
    setting = SETTINGS[network]
    count = STEPS.get(device.type, STEPS["cpu"]) * setting.batch_size
    dataset, first, losses = setting.pairs(count), setting.model(), {}
    same = {"epochs": 1, "lr": setting.lr, "batch_size": setting.batch_size, "device": device}

    def ours(model: nn.Module, amp: bool | None = None) -> float:
        return fit(model, dataset, shuffle=False, amp=amp, progress=False, **same).loss[0]  # type: ignore[arg-type]

    mixed = Precision(device, None).enabled  # what `fit` does by itself here; the other precision stands beside it
    trainings: dict[str, Callable[[nn.Module], float]] = {
        "fit": ours,
        "the papers' loop": lambda model: papers_loop(model, dataset, **same)[0],  # type: ignore[arg-type]
        f"fit, {'float32' if mixed else 'mixed precision'}": partial(ours, amp=not mixed),
    }

    def train(name: str) -> None:
        losses[name] = trainings[name](copy.deepcopy(first))

    rows = rows_of(time_interleaved({name: partial(train, name) for name in trainings}, repeats))
    for row in rows:
        rate = count / row["seconds"]
        row |= {"loss": losses[row["name"]], "images_per_second": rate, "name": f"{network}: {row['name']}"}
        if network != "tnet":
            row["table_1_minutes"] = TABLE_1_IMAGES / rate / 60
    return rows


def training_step(
    setting: Setting, device: torch.device, precision: Precision, compile_mode: str | None = None
) -> Callable[[], Tensor]:
    """A function that takes one step of training as `fit` does, on one batch that stays the same, and returns the loss.

    Args:
        setting: one of `SETTINGS`.
        device: where to train.
        precision: of the forward pass.
        compile_mode: a mode of `torch.compile`, such as "default"; None leaves the network as it is.
    """
    check_instance(setting, "setting", Setting, "SETTINGS['unet']")
    check_instance(device, "device", torch.device, "torch.device('cpu')")
    check_instance(precision, "precision", Precision, "Precision(torch.device('cpu'), None)")
    if compile_mode is not None:
        check_choice(compile_mode, "compile_mode", ("default", "reduce-overhead"))
    model = setting.model().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Adam(model.parameters(), lr=setting.lr, fused=True)
    network = model if compile_mode is None else torch.compile(model, mode=compile_mode)
    noisy, target = next(setting.pairs(setting.batch_size).batches(setting.batch_size, device))

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            output = network(noisy)
        loss = mse_loss(output.float(), target)
        precision.scaler.scale(loss).backward()
        precision.scaler.step(optimizer)
        precision.scaler.update()
        return loss.detach()

    return step


GROWTH: dict[str, Callable[[int, torch.device], None]] = {
    "images": lambda factor, device: _train(256 * factor, 32, device),
    "batch size": lambda factor, device: _train(256 * factor, 32 * factor, device),
    "image side": lambda factor, device: _train(16, 8, device, side=28 * factor),
    "seeds": lambda factor, device: _train(128, 32, device, trainings=factor),
}
"""What grows, and the U-Net's training with `factor` times as much of it."""


def _train(count: int, batch_size: int, device: torch.device, *, side: int | None = None, trainings: int = 1) -> None:
    setting = SETTINGS["unet"]
    for _ in range(trainings):
        fit(setting.model(), setting.pairs(count, side), epochs=1, batch_size=batch_size, device=device, progress=False)


def benchmark_growth(repeats: int = 5, device: torch.device | str | None = None) -> list[Row]:
    """Time and memory of the U-Net's training with 1, 2, 4 and 8 times the images, batch size, image side and seeds.

    Returns:
        Rows; `times_the_first` is against the least of the same kind, and `work` says how many times as many pixels are
        trained on: growth is linear where the two are equal. `peak_megabytes` is what the training takes beside torch.
    """
    check_count(repeats, "repeats", high=MOST_REPEATS, example=5)
    chosen, rows = default_device(device), []
    for name, work in GROWTH.items():
        seconds = time_interleaved({f"{name} x {factor}": partial(work, factor, chosen) for factor in FACTORS}, repeats)
        for row, factor in zip(rows_of(seconds), FACTORS, strict=True):
            peak = peak_memory(name, factor, chosen)
            row["work"] = factor**2 if name == "image side" else factor
            row["peak_megabytes"] = None if peak is None else peak / 1e6
            rows.append(row)
    return rows


def peak_memory(what: str, factor: int, device: torch.device | str | None = None) -> int | None:
    """Bytes that one of `GROWTH` takes at its peak: of the GPU, or of a process of its own; None where no one counts them.

    Args:
        what: "images", "batch size", "image side" or "seeds".
        factor: how many times as much.
        device: where to train.
    """
    check_choice(what, "what", tuple(GROWTH))
    check_count(factor, "factor", high=1024, example=2)
    chosen = default_device(device)
    if chosen.type == "cuda":
        torch.cuda.reset_peak_memory_stats(chosen)
        before = torch.cuda.memory_allocated(chosen)
        GROWTH[what](factor, chosen)
        return torch.cuda.max_memory_allocated(chosen) - before
    if not STATUS.exists():
        return None
    # In a process of its own: memory that was freed before would be used again, and not be counted.
    program = f"from benchmarks.training import print_peak; print_peak({what!r}, {factor})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


def print_peak(what: str, factor: int) -> None:
    """Print by how many bytes this process grows at most while it does one of `GROWTH` on the CPU."""
    work, device = GROWTH[check_choice(what, "what", tuple(GROWTH))], torch.device("cpu")
    check_count(factor, "factor", high=1024, example=2)
    fit(SETTINGS["unet"].model(), SETTINGS["unet"].pairs(1), epochs=1, device=device, progress=False)  # what torch loads late
    before = _kilobytes("VmRSS")
    work(factor, device)
    print(1000 * (_kilobytes("VmHWM") - before))


def _kilobytes(name: str) -> int:
    """Of this process: VmRSS, the memory that it has now, or VmHWM, the most that it has had."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(name + ":")]
    return int(line.split()[1])
