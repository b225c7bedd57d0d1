"""The tests under other processors' instruction sets: what reaches make, and that a set where something differs is named."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import processors

FAILURE = "..F\n\x1b[31mFAILED\x1b[0m notebooks/02.ipynb::Cell 9 - Notebook cell execution failed\n1 failed\n"


class Runner:
    """Stands in for make: notes what it is asked for, and fails under the named sets."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.calls = failing, list[tuple[str, str]]()

    def __call__(self, part: str, variables: Mapping[str, str]) -> tuple[int, str]:
        (name,) = [name for name, wanted in processors.SETS.items() if wanted == variables]
        self.calls.append((name, part))
        return (2, FAILURE) if name in self.failing else (0, "1 passed\n")


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has all sets, whatever runs this test."""
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")


def test_every_part_is_made_under_every_set(newest: None, capsys: pytest.CaptureFixture[str]) -> None:
    runner = Runner()
    assert processors.main([], runner) == 0
    assert runner.calls == [(name, part) for name in ("sse41", "avx2", "avx512") for part in ("nbval", "fast")]
    assert "DIFFERED" not in capsys.readouterr().out


def test_one_set_and_other_parts_can_be_chosen(newest: None) -> None:
    runner = Runner()
    assert processors.main(["avx2", "--parts", "nbval", "numbers"], runner) == 0
    assert runner.calls == [("avx2", "nbval"), ("avx2", "numbers")]


def test_a_set_where_something_differs_is_named_and_the_others_run(newest: None, capsys: pytest.CaptureFixture[str]) -> None:
    runner = Runner("avx2")
    assert processors.main(["--parts", "nbval"], runner) == 1
    assert [name for name, _ in runner.calls] == ["sse41", "avx2", "avx512"]
    told = capsys.readouterr().out.partition("=== make processors\n")[2].splitlines()
    assert [line.split()[0] for line in told if line.endswith("DIFFERED")] == ["avx2"]
    assert told[2].strip() == "FAILED notebooks/02.ipynb::Cell 9 - Notebook cell execution failed"


@pytest.mark.parametrize(("capability", "sets"), [("DEFAULT", 1), ("AVX2", 2), ("AVX512", 3), ("SVE256", 1)])
def test_sets_that_the_processor_lacks_are_skipped(
    capability: str, sets: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    runner = Runner()
    assert processors.main(["--parts", "nbval"], runner) == 0
    assert [name for name, _ in runner.calls] == ["sse41", "avx2", "avx512"][:sets]
    assert capsys.readouterr().out.count("skipped") == 3 - sets


def test_an_unknown_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        processors.main(["avx3"], Runner())
    assert "no set avx3; there are sse41, avx2, avx512" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for make")
def test_the_variables_reach_what_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$@" $ATEN_CPU_CAPABILITY $ONEDNN_MAX_CPU_ISA $MKL_CBWR; exit 3\n', encoding="utf-8")
    make.chmod(make.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("MAKE", str(make))
    told = "--no-print-directory nbval default SSE41 COMPATIBLE\n"
    assert processors.run_part("nbval", processors.SETS["sse41"]) == (3, told)
    assert "SSE41" in capsys.readouterr().out  # shown while it runs


def test_where_pytest_names_nothing_the_last_line_tells() -> None:
    assert processors.what_differed("make: *** no rule\nerror: no space\n\n") == ["error: no space"]
    assert processors.what_differed("") == []
