"""What `test_distributed.py` starts by torchrun: each process trains as it is told, and the first writes what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from denoise_lib import Autoencoder, Blend, Gaussian, NoisyImages, NoisyPairs, TNet, UNet, fit, mnist, psnr
from denoise_lib.internal.distributed import World, world
from denoise_lib.metrics import predict

torch.set_num_threads(1)
DIGITS = mnist("train", "small")[:203]
COLOUR = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def train(model: nn.Module, data: Any, folder: Path, **settings: Any) -> dict[str, Any]:
    """The history of a training, and the weights it ends with."""
    history = fit(model, data, device="cpu", **{"progress": False, "epochs": 3, "batch_size": 32, **settings})
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    return {"loss": history.loss, "validation": history.validation, "lr": history.lr, "weights": weights.tolist()}


def network(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return kind()


def digits(fresh: bool) -> NoisyImages:
    return NoisyImages(DIGITS, Blend(0.25), fresh=fresh)


def checkpointed(folder: Path) -> dict[str, Any]:
    """Stopped after an epoch, and gone on with."""
    path = folder / "run.pt"
    train(network(UNet), digits(True), folder, epochs=1, checkpoint=path)
    return train(network(UNet), digits(True), folder, checkpoint=path)


def refused(folder: Path) -> dict[str, Any]:
    try:
        fit(TNet(batch_norm=True), NoisyImages(COLOUR, Gaussian(0.1)), epochs=1, device="cpu", progress=False)
    except ValueError as error:
        return {"error": str(error)}
    return {"error": ""}


def score(model: nn.Module) -> float:
    noisy, clean = next(digits(False).batches(64))
    return psnr(predict(model, noisy).clamp(0, 1), clean)


def wave(folder: Path) -> dict[str, Any]:
    """A `DataLoader`'s data set; and fewer pairs than processes in the last batch."""
    clean = DIGITS[:65].float() / 255
    return train(network(UNet), TensorDataset((clean + 0.1).clamp(0, 1), clean), folder)


SCENES = {
    "fixed": lambda folder: train(network(UNet), digits(False), folder),
    "fresh": lambda folder: train(network(Autoencoder), digits(True), folder, schedule="one-cycle", validation=digits(False)),
    # Unlike weights to begin with: the first process's are taken.
    "colour": lambda folder: train(
        network(TNet, seed=world().rank), NoisyPairs(COLOUR, Gaussian(0.1), exchange=True, flips=True), folder, loss="l1",
        batch_size=16, shuffle=False,
    ),
    "function": lambda folder: train(network(UNet), digits(False), folder, validation=score, loss="hdr"),
    "loader": wave,
    "uninterrupted": lambda folder: train(network(UNet), digits(True), folder),
    "checkpoint": checkpointed,
    "refused": refused,
}  # fmt: skip


def main(folder: Path) -> None:
    found = {name: scene(folder) for name, scene in SCENES.items()}
    here: World = world()
    (folder / f"{here.rank}-of-{here.size}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
