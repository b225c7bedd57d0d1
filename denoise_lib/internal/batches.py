"""How `fit` gets its batches, from a tensor or from any torch data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from .checks import check_tensor, describe
from .distributed import World


@dataclass(frozen=True)
class BatchPlan:
    """How the pairs are served."""

    batch_size: int
    shuffle: bool
    seed: int
    epochs: int
    processes: World


def serve_batches(
    dataset: Dataset[Any], size: int, device: torch.device, generator: torch.Generator | None, shuffle: bool = True
) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches on the device: straight from a tensor where the data set can, else through a `DataLoader`."""
    if hasattr(dataset, "batches"):
        return dataset.batches(size, device, generator=generator, shuffle=shuffle)  # type: ignore[no-any-return]
    mixed = shuffle and generator is not None
    # Without a generator of its own, a loader takes a number from torch's global one.
    own = generator or torch.Generator()
    loader = DataLoader(dataset, batch_size=size, shuffle=mixed, generator=own, collate_fn=_collate)
    return ((noisy.to(device), target.to(device)) for noisy, target in loader)


def _collate(pairs: list[Any]) -> list[Tensor]:
    """A batch of pairs, as torch makes it."""
    try:
        first, second = default_collate(pairs)
        return [check_tensor(first, "inputs"), check_tensor(second, "targets")]
    except (TypeError, ValueError, RuntimeError, KeyError):
        raise TypeError(
            f"a data set must serve pairs (input, target) of tensors, all of one shape, but served {describe(pairs[0])}; "
            "for example torch.utils.data.TensorDataset(noisy, clean)."
        ) from None


def count_pairs(dataset: Any, name: str) -> int:
    """The length of a data set of pairs, or a clear error where it is none."""
    no_pairs = isinstance(dataset, (Tensor, np.ndarray, str, bytes, dict))
    if no_pairs or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise TypeError(
            f"{name} must be a torch Dataset of pairs with a length, but is a {type(dataset).__name__}; "
            "for example NoisyImages(mnist(), Blend(0.25))."
        )
    if not len(dataset):
        raise ValueError(f"{name} is empty; pass at least one pair.")
    return len(dataset)
