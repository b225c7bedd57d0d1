"""`python -m benchmarks`, with parts that take no time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from error_line import line_of_error

from benchmarks import __main__ as command_line
from denoise_lib.papers.results import read_results


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts that take no time, and which of them were measured."""
    names: list[str] = []

    def rows(name: str) -> list[dict[str, Any]]:
        names.append(name)
        return [{"name": f"{name} by us", "seconds": 0.0123, "times_the_first": 1.0}]

    monkeypatch.setattr(command_line, "PARTS", {name: lambda name=name: rows(name) for name in ("saliency", "slider")})
    return names


@pytest.mark.parametrize(
    ("parts", "expected"), [([], ["saliency", "slider"]), (["slider"], ["slider"]), (["slider", "saliency"],) * 2]
)
def test_benchmark(parts: list[str], expected: list[str], measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([*parts, "--output", "out/speed.json"]) == 0
    assert measured == expected and list(read_results("out/speed.json")["parts"]) == expected
    output = capsys.readouterr().out
    assert all(f"| {name} | {name} by us | 12.3 | 1.00 |" in output for name in expected)
    assert "results: out/speed.json" in output


def test_the_default_file_of_a_benchmark(measured: list[str]) -> None:
    assert command_line.main([]) == 0
    assert os.listdir("results") == ["benchmark.json"] and measured == ["saliency", "slider"]


def test_a_benchmark_keeps_the_other_part(measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("saliency", "slider"):
        assert command_line.main([part]) == 0
    assert list(read_results("results/benchmark.json")["parts"]) == measured == ["saliency", "slider"]
    assert "saliency by us" in capsys.readouterr().out.split("results:")[1]


@pytest.mark.parametrize("parts", [["speed"], ["Slider"], ["slider,saliency"]])
def test_unknown_parts_of_the_benchmark(parts: list[str], measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([*parts]) == 1
    assert f"part must be one of 'saliency', 'slider', 'grading', but is {parts[0]!r}" in line_of_error(capsys)
    assert not measured and os.listdir(".") == []


def test_a_damaged_file_of_a_benchmark(measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("speed.json").write_text("{")
    assert command_line.main(["--output", "speed.json"]) == 1
    assert "speed.json is damaged" in line_of_error(capsys) and not measured


@pytest.mark.usefixtures("measured")
def test_a_benchmark_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").write_text("in the way")
    assert command_line.main(["--output", "out/speed.json"]) == 1
    assert "out" in line_of_error(capsys)
