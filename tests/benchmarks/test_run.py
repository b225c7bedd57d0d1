from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from benchmarks import interactive, run
from benchmarks.interactive import benchmark_import, benchmark_notebooks, benchmark_saliency, benchmark_slider
from benchmarks.run import PARTS, benchmark
from benchmarks.tables import alternatives_table, benchmark_table, growth_table, limits_table, readme_speed_table
from denoise_lib.internal.atomic_write import write_json
from denoise_lib.papers.results import read_results

# --- what is measured ---


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images and five samples, instead of 16 and 50."""
    monkeypatch.setattr(interactive, "IMAGES", 2)
    monkeypatch.setattr(interactive, "SAMPLES", 5)


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
    smoothgrad = interactive.smoothgrad
    monkeypatch.setattr(interactive, "smoothgrad", lambda *args, **rest: smoothgrad(*args, **{**rest, "noise_level": 0.1}))
    assert benchmark_saliency(repeats=1)[0]["largest_difference_to_captum_on_the_same_noise"] > 1e-3


@pytest.mark.usefixtures("little_work")
def test_without_captum_ours_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(interactive, "find_spec", lambda name: asked.append(name))  # returns None: not installed
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


def test_an_import_is_measured_in_new_processes() -> None:
    rows = benchmark_import(repeats=1)
    check_rows(rows)
    assert [row["name"] for row in rows] == ["torch", "torch and denoise_lib", "Python alone"]
    assert rows[2]["seconds"] < rows[0]["seconds"]


def notebook(path: Path, *sources: str) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path)


def test_notebooks_are_run_and_left_as_they_are(tmp_path: Path) -> None:
    notebook(tmp_path / "01_large.ipynb", "held = bytearray(300_000_000)", "held[::4096] = bytes(len(held[::4096]))")
    notebook(tmp_path / "02_small.ipynb", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], 'DENOISE_FULL' in os.environ)")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    large, small = benchmark_notebooks(tmp_path)
    assert (large["name"], small["name"]) == ("01_large", "02_small") and large["seconds"] > 0 < small["seconds"]
    if sys.platform != "win32":
        assert large["peak_megabytes"] > 300 > small["peak_megabytes"] > 10
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_notebook_that_fails_is_told(tmp_path: Path, refused: Any) -> None:
    notebook(tmp_path / "bad.ipynb", "1 / 0")
    with refused(RuntimeError, "bad.ipynb did not run through", "ZeroDivisionError"):
        benchmark_notebooks(tmp_path)


def test_a_folder_without_notebooks_is_told(tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "no notebooks", "clone"):
        benchmark_notebooks(tmp_path)
    with refused(TypeError, "folder"):
        benchmark_notebooks(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("measure", [benchmark_saliency, benchmark_slider, benchmark_import])
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

    monkeypatch.setattr(run, "PARTS", {name: part(name) for name in ("saliency", "slider")})
    return names


def test_each_part_has_its_function() -> None:
    assert {name: function.__name__ for name, function in PARTS.items()} == {
        name: f"benchmark_{name}"
        for name in ("training", "limits", "alternatives", "growth", "saliency", "slider", "import", "notebooks")
    }


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

    monkeypatch.setitem(run.PARTS, "slider", stop)
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
        "| part | what | median, ms | times the first | besides |",
        "|---|---:|---:|---:|---:|",
        "| saliency | ours | 12.3 | 1.00 |  |",
        "| saliency | theirs | 2000.0 | 162.60 |  |",
        "| slider | ours | 12.3 | 1.00 |  |",
    ]


def test_the_table_tells_what_else_was_measured() -> None:
    rows = [
        {"name": "a copy", "bytes_per_second": 4.2e10},
        {"name": "unet", "seconds": 0.5, "images_per_second": 1234.5, "loss": 0.01, "peak_megabytes": None},
    ]
    assert benchmark_table({"parts": {"training": {"rows": rows}}}).splitlines()[2:] == [
        "| training | a copy |  |  | 4.2e+10 bytes/s |",
        "| training | unet | 500.0 |  | 1,234 images/s; loss 0.01000 |",
    ]


MACHINE = {"device": "CPU X, 2 cores", "threads": 2, "torch": "2.9"}
CAPTION = ["", "Measured on CPU X, 2 cores, 2 threads, torch 2.9."]


def test_the_readmes_table_of_speed() -> None:
    rows = [
        {"name": f"{network}: {loop}", "images_per_second": rate}
        for network, rates in {"unet": (1500, 1000, 3000), "tnet": (90, 100, 80)}.items()
        for loop, rate in zip(("fit", "the papers' loop", "fit, mixed precision"), rates, strict=True)
    ]
    content = {"parts": {"training": {"rows": rows, "machine": MACHINE}}}
    assert readme_speed_table(content).splitlines() == [
        "| images a second (times the papers' loop) | the papers' loop | fit | fit, mixed precision |",
        "|---|---:|---:|---:|",
        "| unet | 1,000 (1.00) | 1,500 (1.50) | 3,000 (3.00) |",
        "| tnet | 100 (1.00) | 90 (0.90) | 80 (0.80) |",
        *CAPTION,
    ]


def test_the_table_of_limits() -> None:
    rows = [
        {"name": "large matrix product", "flops_per_second": 2e11},
        {"name": "large copy", "bytes_per_second": 4e10},
        {"name": "unet: step", "seconds": 0.05, "flops": 1e10, "bytes": 1e9, "times_the_limit": 2.04},
    ]
    assert limits_table({"parts": {"limits": {"rows": rows, "machine": MACHINE}}}).splitlines() == [
        "large matrix product: 200 GFLOP/s; large copy: 40 GB/s.",
        "",
        "| step, and its operations | ms | GFLOP/s | GB/s | times its limit |",
        "|---|---:|---:|---:|---:|",
        "| unet: step | 50.00 | 200 | 20.0 | 2.0 |",
        *CAPTION,
    ]


def test_the_table_of_growth() -> None:
    rows = [
        {"name": "images x 1", "seconds": 1, "times_the_first": 1, "work": 1, "peak_megabytes": 12.4},
        {"name": "images x 8", "seconds": 7, "times_the_first": 7, "work": 8, "peak_megabytes": None},
    ]
    assert growth_table({"parts": {"growth": {"rows": rows, "machine": MACHINE}}}).splitlines() == [
        "| what grows | times the work | times the time | peak memory, MB |",
        "|---|---:|---:|---:|",
        "| images x 1 | 1 | 1.00 | 12 |",
        "| images x 8 | 8 | 7.00 | - |",
        *CAPTION,
    ]


def test_the_table_of_alternatives() -> None:
    rows = [
        {"name": "unet: step", "seconds": 0.05, "times_the_first": 1},
        {"name": "a", "seconds": 0.02, "times_the_first": 0.4, "start_seconds": 60.02, "steps_to_pay_back": 2000},
        {"name": "b", "seconds": 0.06, "times_the_first": 1.2, "start_seconds": 5.0, "steps_to_pay_back": None},
        {"name": "c", "not_measured": "there is no compiler"},
    ]
    content = {"parts": {"alternatives": {"rows": rows, "machine": MACHINE}}}
    assert alternatives_table(content).splitlines() == [
        "| way | ms | times the first way | start, s | paid back after |",
        "|---|---:|---:|---:|---:|",
        "| unet: step | 50.0 | 1.00 |  |  |",
        "| a | 20.0 | 0.40 | 60.0 | 2,000 steps |",
        "| b | 60.0 | 1.20 | 5.0 | never |",
        "| c |  |  |  | there is no compiler |",
        *CAPTION,
    ]
    besides = [line.split("|")[-2].strip() for line in benchmark_table(content).splitlines()[2:]]
    assert besides == ["", "start 60.0 s; paid back after 2,000 steps", "start 5.0 s", "not measured: there is no compiler"]


def test_what_is_measured_can_be_tabulated(measured: list[str], tmp_path: Path) -> None:
    lines = benchmark_table(benchmark(["saliency", "slider"], tmp_path / "speed.json")).splitlines()
    assert len(lines) == 4 and "saliency 1" in lines[2] and "slider 2" in lines[3] and measured
