"""Train a network on colour photos at many levels of the first paper's noise, and measure it: how 'photo-blind' was made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..corruptions import parse_noise
from ..data import TEST_NOISE_SEED, NoisyImages, training_noise_seed
from ..internal.checks import (
    check_choice,
    check_count,
    check_flag,
    check_instance,
    check_list,
    check_model,
    check_number,
    check_path,
    describe,
)
from ..internal.devices import default_device, machine
from ..internal.distributed import world
from ..internal.seeding import build_seeded
from ..metrics import predict, psnr, ssim
from ..noise import MILD, MODERATE, SEVERE, Blend
from ..pretrained.weights import write_weights
from ..sources.photographs import patches, photo_files, photo_tensor, photos, read_photo
from ..tnet import TinyDenoiser, TNet
from ..training import SCHEDULES, fit
from ..unet import count_parameters
from .tiling import denoise_image

PHOTO_DENOISERS: dict[str, Callable[[], nn.Module]] = {"tiny-denoiser": TinyDenoiser, "tnet": TNet}
TEST_LEVELS = (0.05, MILD, MODERATE, SEVERE, 0.50)
SIZE, CROPS, SIDE = 256, 3, 64
BATCH_SIZE = 32
EXAMPLE = "PhotoTraining('my/photos')"


@dataclass(frozen=True)
class PhotoTraining:
    """How a network is trained on photos; as it stands, how 'photo-blind' was."""

    photos: str
    """'builtin', 'imagenette' or a folder, as for `photographs.photos`."""
    network: str = "tiny-denoiser"
    noise: str = "blend:0-0.5"
    fresh: bool = True
    """Draw the noise anew in each epoch."""
    epochs: int = 8
    lr: float = 3e-3
    schedule: str | None = "one-cycle"
    seed: int = 0
    held_out: str | None = None
    """A folder of photos on which the network is measured, too."""
    about: str = ""
    """What the photos are, for the card."""

    def __post_init__(self) -> None:
        check_path(self.photos, "photos")
        check_choice(self.network, "network", tuple(PHOTO_DENOISERS))
        check_flag(self.fresh, "fresh")
        check_count(self.epochs, "epochs", example=8)
        check_number(self.lr, "lr", 0, open_low=True, example=3e-3)
        check_count(self.seed, "seed", 0, example=0)
        if self.schedule is not None:
            check_choice(self.schedule, "schedule", SCHEDULES)
        if self.held_out is not None:
            check_path(self.held_out, "held_out")
        check_instance(self.about, "about", str, "'photos of my garden'")
        if not isinstance(parse_noise(self.noise), Blend):
            raise ValueError(f"on photos the noise is a blend, but noise is {self.noise!r}; for example 'blend:0-0.5'.")


def training_patches(source: str) -> Tensor:
    """Squares of 64x64 pixels, from three squares of 256x256 of each training photo: uint8 (N, 3, 64, 64)."""
    return patches(photos("train", source, size=SIZE, crops=CROPS), SIDE)


def test_patches(source: str) -> Tensor:
    """Every sixth square of 64x64 pixels of the test photos: uint8 (N, 3, 64, 64)."""
    return patches(photos("test", source, size=SIZE), SIDE)[::6]


def train_on_photos(
    training: PhotoTraining, output: str | os.PathLike[str], *, device: torch.device | str | None = None
) -> dict[str, Any]:
    """Train a network, measure it, and write its weights and its card.

    Args:
        training: what on, and how.
        output: path without a suffix; the training goes on from `output`.checkpoint where there is one.
        device: where to train; by default CUDA where there is one.

    Returns:
        The card: see `photo_card`. Of several processes that torchrun has started, the first alone writes; the others get {}.
    """
    check_instance(training, "training", PhotoTraining, EXAMPLE)
    check_path(output, "output")
    if training.held_out is not None:
        photo_files("all", training.held_out)  # a wrong folder is told before the training, not after it
    clean = training_patches(training.photos)
    test = NoisyImages(test_patches(training.photos), Blend(MODERATE), seed=TEST_NOISE_SEED)
    noisy, target = next(test.batches(len(test)))
    model = build_seeded(PHOTO_DENOISERS[training.network], training.seed)
    checkpoint = Path(f"{os.fspath(output)}.checkpoint")
    history = fit(
        model,
        NoisyImages(clean, parse_noise(training.noise), fresh=training.fresh, seed=training_noise_seed(training.seed)),
        epochs=training.epochs, lr=training.lr, batch_size=BATCH_SIZE, schedule=training.schedule, seed=training.seed,
        amp=True, device=device, checkpoint=checkpoint,
        validation=lambda network: psnr(predict(network, noisy).clamp(0, 1), target),
    )  # fmt: skip
    if not world().first:
        return {}
    card = photo_card(model, training, sum(history.seconds), default_device(device))
    write_weights(model, output, card)
    checkpoint.unlink(missing_ok=True)  # the training is over; the next one under this name starts from scratch
    return card


def photo_card(model: nn.Module, training: PhotoTraining, seconds: float, device: torch.device) -> dict[str, Any]:
    """What a reader wants to know of a network trained on photos, its scores measured here and now.

    Args:
        model: the trained network.
        training: how it was trained.
        seconds: how long that took.
        device: where.

    Returns:
        A card for `write_weights`. `scores` holds `photo_scores` of the test patches, of those of the built-in photos, which
        anybody can repeat, and of the held-out photos, whole; `psnr` is that of the test patches at mu 0.25.
    """
    check_instance(training, "training", PhotoTraining, EXAMPLE)
    check_number(seconds, "seconds", 0, example=60.0)
    count = len(photo_files("train", training.photos))
    blend = parse_noise(training.noise)
    assert isinstance(blend, Blend)
    level = list(blend.mu) if isinstance(blend.mu, tuple) else blend.mu
    scores = {
        "test": photo_scores(model, [test_patches(training.photos)]),
        "builtin": photo_scores(model, [test_patches("builtin")]),
    }
    if training.held_out is not None:
        scores["held-out"] = photo_scores(model, _whole_photos(training.held_out))
    return {
        "parameters": count_parameters(model),
        "data": f"{count * CROPS * (SIZE // SIDE) ** 2:,} patches of {SIDE}x{SIDE} pixels from {count:,} photos"
        + (f"; {training.about}" if training.about else ""),
        "noise": f"Y = (1 - mu) I + mu N clipped to [0, 1], mu {level}, " + ("fresh" if training.fresh else "drawn once"),
        "recipe": f"Adam, lr {training.lr:g} {training.schedule or 'constant'}, batch {BATCH_SIZE}, {training.epochs} epochs, "
        "l2 loss, mixed precision",
        "seed": training.seed,
        "psnr": scores["test"][f"{MODERATE:.2f}"]["psnr"],
        "psnr_mu": MODERATE,
        "scores": scores,
        "training_seconds": round(seconds, 1),
        "machine": machine(device),
    }


def photo_scores(
    model: nn.Module, images: Iterable[Tensor], *, levels: Sequence[float] = TEST_LEVELS, seed: int = TEST_NOISE_SEED
) -> dict[str, dict[str, float]]:
    """How well a network denoises photos at several levels of the blend.

    Args:
        model: see `own_photos.denoise_image`.
        images: a list or an iterator of batches (N, C, H, W) of at least 11x11 pixels, uint8 or float in [0, 1]; their sizes
            may differ.
        levels: of the noise, each from 0 to 1.
        seed: of the noise of the first batch; the next batch has the next one.

    Returns:
        For each level, such as '0.25': `psnr_noisy`, `psnr`, `ssim_noisy` and `ssim`, the means over all images of each
        image's PSNR (in dB) and SSIM, before and after, on values clipped to [0, 1].
    """
    check_model(model)
    check_count(seed, "seed", 0, example=1)
    noises = {f"{check_number(mu, 'levels', 0, 1, example=0.25):.2f}": Blend(mu) for mu in check_list(levels, "levels", [0.25])}
    if len(noises) < len(levels):
        raise ValueError(f"levels must differ in their first two decimals, but are {list(levels)}; for example [0.1, 0.25].")
    if not isinstance(images, list | tuple | Iterator):
        raise TypeError(f"images must be a list of batches (N, C, H, W), but is {describe(images)}.")
    sums: dict[str, dict[str, float]] = {level: {} for level in noises}
    count = 0
    for index, batch in enumerate(images):
        for level, noise in noises.items():
            noisy, clean = next(NoisyImages(batch, noise, seed=seed + index).batches(len(batch)))
            denoised, row = denoise_image(model, noisy), sums[level]
            scores = {
                "psnr_noisy": psnr(noisy, clean), "psnr": psnr(denoised, clean),
                "ssim_noisy": ssim(noisy, clean), "ssim": ssim(denoised, clean),
            }  # fmt: skip
            for name, value in scores.items():
                row[name] = row.get(name, 0.0) + value * len(batch)
        count += len(batch)
    if not count:
        raise ValueError("images must hold at least one batch, but is empty; for example [torch.rand(1, 3, 256, 256)].")
    return {level: {name: total / count for name, total in row.items()} for level, row in sums.items()}


def _whole_photos(folder: str) -> Iterator[Tensor]:
    """All photos of a source, one after the other in their own sizes: uint8 (1, 3, H, W) each."""
    for file in photo_files("all", folder):
        yield photo_tensor(read_photo(file))
