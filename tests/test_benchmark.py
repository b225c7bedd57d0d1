from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from denoise_lib import benchmark as module
from denoise_lib.benchmark import (
    PARTS,
    benchmark,
    benchmark_saliency,
    benchmark_slider,
    benchmark_table,
    take_turns,
)
from denoise_lib.results import read_results, write_json


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


# --- turns ---


def test_contestants_take_turns(clock: Clock) -> None:
    calls: list[str] = []
    work = {name: clock.work(name, [1.0] * 4, calls) for name in ("ours", "theirs", "others")}
    take_turns(work, 3)
    assert calls == ["ours", "theirs", "others"] * 4


def test_the_median_counts_and_the_first_round_does_not(clock: Clock) -> None:
    work = {"ours": clock.work("ours", [1000.0, 9.0, 1.0, 2.0], []), "theirs": clock.work("theirs", [0.0, 5.0, 3.0, 4.0], [])}
    assert take_turns(work, 3) == pytest.approx({"ours": 2.0, "theirs": 4.0})
    assert take_turns({"even": clock.work("even", [7.0, 1.0, 2.0], [])}, 2) == pytest.approx({"even": 1.5})
    assert take_turns({"once": clock.work("once", [7.0, 3.0], [])}, 1) == pytest.approx({"once": 3.0})


def test_nine_rounds_are_counted(clock: Clock) -> None:
    calls: list[str] = []
    assert take_turns({"ours": clock.work("ours", [float(n) for n in range(10)], calls)}) == pytest.approx({"ours": 5.0})
    assert len(calls) == 10


def test_the_work_of_a_gpu_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronize() -> None:
        clock.now += 2.0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert take_turns({"ours": clock.work("ours", [1.0] * 4, [])}, 3) == pytest.approx({"ours": 3.0})


@pytest.mark.parametrize(
    ("contestants", "repeats", "error", "words"),
    [
        ({}, 3, ValueError, ("contestant",)),
        ({"ours": list}, 0, ValueError, ("repeats", "0")),
        ({"ours": list}, -1, ValueError, ("repeats",)),
        ({"ours": list}, 2.5, TypeError, ("repeats",)),
        ({"ours": list}, True, TypeError, ("repeats",)),
        ({"ours": list}, None, TypeError, ("repeats",)),
    ],
)
def test_bad_turns(contestants: Any, repeats: Any, error: type[Exception], words: tuple[str, ...], refused: Any) -> None:
    with refused(error, *words):
        take_turns(contestants, repeats)


def test_a_contestant_that_fails_is_heard() -> None:
    with pytest.raises(ZeroDivisionError):
        take_turns({"ours": lambda: 1 // 0}, 1)


# --- what is measured ---


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images and five samples, instead of 16 and 50."""
    monkeypatch.setattr(module, "IMAGES", 2)
    monkeypatch.setattr(module, "SAMPLES", 5)


def check_rows(rows: list[dict[str, Any]]) -> None:
    assert len({row["name"] for row in rows}) == len(rows)
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[0]["times_the_first"] == 1
    for row in rows:
        assert row["times_the_first"] == pytest.approx(row["seconds"] / rows[0]["seconds"])
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.usefixtures("little_work")
def test_smoothgrad_beside_captum_is_the_same_map() -> None:
    pytest.importorskip("captum")
    rows = benchmark_saliency(repeats=1)
    check_rows(rows)
    assert rows[0]["name"] == "ours" and len(rows) == 3 and all("captum" in row["name"] for row in rows[1:])
    assert 0 <= rows[0]["largest_difference_to_captum_on_the_same_noise"] < 1e-5
    assert torch.normal(torch.zeros(3), 1.0).shape == (3,)  # captum's noise is its own again


@pytest.mark.usefixtures("little_work")
def test_the_difference_to_captum_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum")
    smoothgrad = module.smoothgrad
    monkeypatch.setattr(module, "smoothgrad", lambda *args, **rest: smoothgrad(*args, **{**rest, "noise_level": 0.1}))
    assert benchmark_saliency(repeats=1)[0]["largest_difference_to_captum_on_the_same_noise"] > 1e-3


@pytest.mark.usefixtures("little_work")
def test_without_captum_ours_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "find_spec", lambda name: asked.append(name))  # returns None: not installed
    for name in [name for name in sys.modules if name.split(".")[0] == "captum"] or ["captum"]:
        monkeypatch.setitem(sys.modules, name, None)
    rows = benchmark_saliency(repeats=1)
    check_rows(rows)
    assert asked == ["captum"] and [row["name"] for row in rows] == ["ours"]
    assert rows[0]["largest_difference_to_captum_on_the_same_noise"] is None


def test_the_slider_is_measured_in_all_and_by_stage() -> None:
    rows = benchmark_slider(repeats=1)
    check_rows(rows)
    assert [row["name"] for row in rows] == ["all: from mu to PNG", "noise", "network", "tiling", "encoding"]


@pytest.mark.parametrize("measure", [benchmark_saliency, benchmark_slider])
@pytest.mark.usefixtures("little_work")
def test_a_measurement_needs_a_repeat(measure: Any, refused: Any) -> None:
    with refused(ValueError, "repeats"):
        measure(repeats=0)


# --- the results file ---

ROWS = [{"name": "ours", "seconds": 0.0123, "times_the_first": 1.0}, {"name": "theirs", "seconds": 2, "times_the_first": 162.6}]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two parts that take no time, and which of them were measured."""
    names: list[str] = []

    def part(name: str) -> Callable[[], list[dict[str, Any]]]:
        return lambda: names.append(name) or [{**ROWS[0], "name": f"{name} {len(names)}"}]  # type: ignore[func-returns-value]

    monkeypatch.setattr(module, "PARTS", {name: part(name) for name in ("saliency", "slider")})
    return names


def test_the_parts_are_the_papers_method_and_the_slider() -> None:
    assert {name: function.__name__ for name, function in PARTS.items()} == {
        "saliency": "benchmark_saliency", "slider": "benchmark_slider",
    }  # fmt: skip


def test_a_benchmark_is_written_with_its_machine(measured: list[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "speed.json"
    content = benchmark(["slider", "saliency"], path)
    assert measured == ["slider", "saliency"] and read_results(path) == content and os.listdir(path.parent) == ["speed.json"]
    assert set(content["parts"]) == {"saliency", "slider"} and content["about"] and "benchmark" in content["command"]
    for name, part in content["parts"].items():
        assert set(part) == {"rows", "machine"} and part["rows"][0]["name"].startswith(name)
        assert part["machine"]["device"].startswith("CPU ") and part["machine"]["date"]


def test_parts_that_are_not_measured_are_kept(measured: list[str], tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    first = json.loads(json.dumps(benchmark(["saliency", "slider"], str(path))))
    second = benchmark(["slider"], str(path))
    assert measured == ["saliency", "slider", "slider"] and read_results(path) == second
    assert second["parts"]["saliency"] == first["parts"]["saliency"]
    assert second["parts"]["slider"]["rows"][0]["name"] == "slider 3" != first["parts"]["slider"]["rows"][0]["name"]


def test_what_else_is_in_the_file_is_kept(measured: list[str], tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    write_json(path, {"about": "mine", "notes": [1], "parts": {"other": {"rows": ROWS, "machine": {}}}})
    content = benchmark(["slider"], path)
    assert content["about"] == "mine" and content["notes"] == [1]
    assert list(content["parts"]) == ["other", "slider"] and content["parts"]["other"]["rows"] == ROWS
    assert measured == ["slider"]


def test_a_part_is_written_before_the_next_is_measured(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> list[dict[str, Any]]:
        raise KeyboardInterrupt

    monkeypatch.setitem(module.PARTS, "slider", stop)
    with pytest.raises(KeyboardInterrupt):
        benchmark(["saliency", "slider"], tmp_path / "speed.json")
    assert list(read_results(tmp_path / "speed.json")["parts"]) == ["saliency"] == measured


def test_the_file_is_whole_or_as_it_was(measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "speed.json"
    benchmark(["saliency"], path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        benchmark(["saliency"], path)
    assert path.read_bytes() == before and measured == ["saliency", "saliency"]


@pytest.mark.parametrize("part", ["speed", "", "Slider", None])
def test_unknown_parts(part: Any, measured: list[str], tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "part", "'saliency'", "'slider'", repr(part)):
        benchmark([part, "slider"], tmp_path / "speed.json")
    assert measured == [] and os.listdir(tmp_path) == []


def test_an_unknown_part_is_refused_before_any_is_measured(measured: list[str], tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "part"):
        benchmark(["slider", "speed"], tmp_path / "speed.json")
    assert measured == [] and os.listdir(tmp_path) == []


def test_the_file_ends_in_json(measured: list[str], tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "output", ".json"):
        benchmark(["slider"], tmp_path / "speed")
    assert measured == [] and os.listdir(tmp_path) == []


def test_a_damaged_file_is_not_written_over(measured: list[str], tmp_path: Path, refused: Any) -> None:
    (tmp_path / "speed.json").write_text("{")
    with refused(ValueError, "speed.json", "damaged"):
        benchmark(["slider"], tmp_path / "speed.json")
    assert (tmp_path / "speed.json").read_text() == "{" and measured == []


def test_the_table_of_a_benchmark() -> None:
    content = {"parts": {"saliency": {"rows": ROWS}, "slider": {"rows": ROWS[:1]}}}
    assert benchmark_table(content).splitlines() == [
        "| part | what | median, ms | times the first |",
        "|---|---:|---:|---:|",
        "| saliency | ours | 12.3 | 1.00 |",
        "| saliency | theirs | 2000.0 | 162.60 |",
        "| slider | ours | 12.3 | 1.00 |",
    ]


def test_what_is_measured_can_be_tabulated(measured: list[str], tmp_path: Path) -> None:
    lines = benchmark_table(benchmark(["saliency", "slider"], tmp_path / "speed.json")).splitlines()
    assert len(lines) == 4 and "saliency 1" in lines[2] and "slider 2" in lines[3] and measured
