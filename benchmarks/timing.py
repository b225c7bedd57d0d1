"""How long something takes: contestants take turns, and their medians are compared.

A ratio of medians from one run means something on any machine; seconds by themselves do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from denoise_lib.internal.checks import check_count, check_function, check_keys, check_number, describe

MOST_REPEATS = 10_000
Row = dict[str, Any]


def time_interleaved(candidates: dict[str, Callable[[], object]], repeats: int = 9) -> dict[str, float]:
    """Median seconds of each contestant; they alternate, so that a slow moment of the machine hits all alike."""
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    for name, work in check_keys(candidates, "contestants", ()).items():
        check_function(work, f"the contestant {describe(name)}")
    if not candidates:
        raise ValueError("time_interleaved needs at least one contestant, for example {'ours': function}.")
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_number in range(repeats + 1):
        for name, work in candidates.items():
            begin = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
    return {name: median(values) for name, values in seconds.items()}


def rows_of(seconds: dict[str, float]) -> list[Row]:
    """Each contestant's seconds, and how many times the first one's these are."""
    for value in check_keys(seconds, "seconds", ()).values():
        check_number(value, "seconds", 0, open_low=True, example=0.1)
    if not seconds:
        raise ValueError("seconds must hold at least one contestant, for example {'ours': 0.1}.")
    first = next(iter(seconds.values()))
    return [{"name": name, "seconds": value, "times_the_first": value / first} for name, value in seconds.items()]
