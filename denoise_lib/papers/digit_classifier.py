"""A small classifier of digits: what SmoothGrad was made for, and what denoising does to a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, max_pool2d

from ..data import as_float_images, mnist
from ..internal.checks import check_count, check_function, check_images, check_keys, check_pair, check_tensor
from ..metrics import predict
from ..noise import MODERATE, add_noise
from ..pretrained.weights import load_pretrained
from ..saliency import smoothgrad
from .saliency_statistics import rank_correlation, summary

DIGIT_NETWORKS = ("unet-moderate", "autoencoder-moderate")


def train_classifier(images: Tensor, labels: Tensor, *, epochs: int = 4, seed: int = 0) -> nn.Module:
    """A small network that reads digits: two convolutions and a linear layer, 20,490 parameters; seconds on a CPU.

    Args:
        images: clean digits, float (N, 1, 28, 28).
        labels: int64 (N,).
        epochs: passes over them, in batches of 64, Adam at 2e-3.
        seed: of the initial weights and of the order.
    """
    check_images(images, "images", dims=4, channels=1)
    if images.shape[2:] != (28, 28):
        raise ValueError(f"images must have 28 x 28 pixels, but have {images.shape[2]} x {images.shape[3]}.")
    _check_labels(labels, len(images))
    check_count(epochs, "epochs", high=1000, example=4)
    images = images.detach().float()
    with torch.random.fork_rng():
        torch.manual_seed(check_count(seed, "seed", 0, example=0))
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
        )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


def class_score(classifier: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The score whose gradient is a classifier's saliency: (images, labels) -> the output for each label, (B,)."""
    check_function(classifier, "classifier", "images")

    def score(images: Tensor, labels: Tensor) -> Tensor:
        output = check_tensor(classifier(check_images(images, "images", value_range=None)), "the classifier's output")
        if output.dim() != 2 or not output.is_floating_point():
            found = f"{output.dtype} of shape {tuple(output.shape)}"
            raise ValueError(f"classifier must return float numbers (N, classes), but returned {found}.")
        _check_labels(labels, len(output), output.shape[1])
        return output.gather(1, labels.view(-1, 1))[:, 0]

    return score


def classifier_facts(classifier: nn.Module, images: dict[str, Tensor], labels: Tensor, seed: int = 0) -> dict[str, Any]:
    """Accuracy and saliency of a classifier on versions of the same digits.

    Args:
        classifier: digits (N, 1, 28, 28) -> (N, 10).
        images: by name, float (N, 1, 28, 28) each; "clean" is among them.
        labels: int64 (N,).
        seed: of SmoothGrad's noise, at 15 % and 25 samples.

    Returns:
        For each version: "accuracy"; "stroke": share of the saliency within one pixel of the stroke; "likeness": rank
        correlation with the saliency of the clean digit. The last two are summaries over the digits.
    """
    for version in check_keys(images, "images", ("clean",)).values():
        check_pair(version, images["clean"], "each of images", "images['clean']")
    maps = {}
    for name, version in images.items():
        generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
        score = class_score(classifier)
        maps[name] = smoothgrad(score, version, n_samples=25, context=labels, generator=generator).abs()
    stroke = max_pool2d((images["clean"] > 0.1).float(), 3, stride=1, padding=1)
    return {
        name: {
            "accuracy": float((predict(classifier, version).argmax(1) == labels).double().mean()),
            "stroke": summary((maps[name] * stroke).sum((1, 2, 3)) / maps[name].sum((1, 2, 3))),
            "likeness": summary(rank_correlation(maps[name], maps["clean"])),
        }
        for name, version in images.items()
    }


def _check_labels(labels: Tensor, count: int, classes: int = 10) -> None:
    whole = check_tensor(labels, "labels").dtype == torch.int64 and labels.shape == (count,)
    if not whole or not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"labels must be {count} whole numbers (int64) from 0 to {classes - 1}, one an image.")


def digit_versions(count: int, mu: float = MODERATE, seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """Test digits clean, noisy, and denoised by the U-Net and the autoencoder of the moderate level, with their labels."""
    images, labels = mnist("test", "small", labels=True)
    if check_count(count, "count", example=200) > len(images):
        raise ValueError(f"count must be at most {len(images)}, the number of test digits, but is {count}.")
    clean = as_float_images(images[:count])
    noisy = add_noise(clean, mu, generator=torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0)))
    versions = {"clean": clean, "noisy": noisy}
    versions |= {name: predict(load_pretrained(name), noisy).clamp(0, 1) for name in DIGIT_NETWORKS}
    return versions, labels[:count]
