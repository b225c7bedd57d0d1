"""Random numbers that follow a seed, and leave torch's global generator alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import nn

_DRAWING = threading.Lock()


def derive_seed(seed: int, index: int) -> int:
    """The seed of one of many independent streams, such as one for each photo or epoch.

    torch's CPU generator reads 32 bits of its seed, so that a seed above them would be ignored: fold it in.
    """
    folded = seed ^ (seed >> 32)
    return (folded * 2_654_435_761 + index) % 2**32  # Knuth's multiplicative hash; seed 0 leaves the index


def build_seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose initial weights follow the seed; torch's global generator is left as it was."""
    with _DRAWING, torch.random.fork_rng():  # the generator is one for all threads, and a cluster's worker may have several
        torch.manual_seed(seed)
        return make()
