from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks import timing as module
from benchmarks.timing import rows_of, time_interleaved


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, durations: list[float], calls: list[str]) -> Callable[[], object]:
        """Work that takes these seconds, one after the other."""
        left = iter(durations)

        def run() -> None:
            calls.append(name)
            self.now += next(left)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module.time, "perf_counter", found)
    return found


def test_contestants_take_turns(clock: Clock) -> None:
    calls: list[str] = []
    work = {name: clock.work(name, [1.0] * 4, calls) for name in ("ours", "theirs", "others")}
    time_interleaved(work, 3)
    assert calls == ["ours", "theirs", "others"] * 4


def test_the_median_counts_and_the_first_round_does_not(clock: Clock) -> None:
    work = {"ours": clock.work("ours", [1000.0, 9.0, 1.0, 2.0], []), "theirs": clock.work("theirs", [0.0, 5.0, 3.0, 4.0], [])}
    assert time_interleaved(work, 3) == pytest.approx({"ours": 2.0, "theirs": 4.0})
    assert time_interleaved({"even": clock.work("even", [7.0, 1.0, 2.0], [])}, 2) == pytest.approx({"even": 1.5})
    assert time_interleaved({"once": clock.work("once", [7.0, 3.0], [])}, 1) == pytest.approx({"once": 3.0})


def test_nine_rounds_are_counted(clock: Clock) -> None:
    calls: list[str] = []
    assert time_interleaved({"ours": clock.work("ours", [float(n) for n in range(10)], calls)}) == pytest.approx({"ours": 5.0})
    assert len(calls) == 10


def test_the_work_of_a_gpu_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronize() -> None:
        clock.now += 2.0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert time_interleaved({"ours": clock.work("ours", [1.0] * 4, [])}, 3) == pytest.approx({"ours": 3.0})


@pytest.mark.parametrize(
    ("candidates", "repeats", "error", "words"),
    [
        ({}, 3, ValueError, ("contestant",)),
        ({"ours": list}, 0, ValueError, ("repeats", "0")),
        ({"ours": list}, -1, ValueError, ("repeats",)),
        ({"ours": list}, 2.5, TypeError, ("repeats",)),
        ({"ours": list}, True, TypeError, ("repeats",)),
        ({"ours": list}, None, TypeError, ("repeats",)),
    ],
)
def test_bad_turns(candidates: Any, repeats: Any, error: type[Exception], words: tuple[str, ...], refused: Any) -> None:
    with refused(error, *words):
        time_interleaved(candidates, repeats)


def test_a_contestant_that_fails_is_heard() -> None:
    with pytest.raises(ZeroDivisionError):
        time_interleaved({"ours": lambda: 1 // 0}, 1)


def test_rows_are_told_in_times_of_the_first() -> None:
    assert rows_of({"ours": 2.0, "theirs": 3.0}) == [
        {"name": "ours", "seconds": 2.0, "times_the_first": 1.0}, {"name": "theirs", "seconds": 3.0, "times_the_first": 1.5},
    ]  # fmt: skip


@pytest.mark.parametrize("seconds", [{}, {"ours": 0.0}, {"ours": -1.0}, {"ours": float("nan")}])
def test_bad_rows(seconds: Any, refused: Any) -> None:
    with refused(ValueError, "seconds"):
        rows_of(seconds)
