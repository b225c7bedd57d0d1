"""How far rounding may move a number: what the tests' tolerances follow from, on any processor."""

from __future__ import annotations

import torch


def rounding(terms: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> float:
    """How far two sums of the same terms, whose sizes add up to `scale`, may lie apart, whatever order they are added in."""
    return terms * torch.finfo(dtype).eps * scale
