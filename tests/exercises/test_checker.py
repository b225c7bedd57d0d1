"""What a student sees of the checks, and what is kept of it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from denoise_lib.exercises.checker import COLUMNS, EXERCISES, Answers, Checks, check

NAME = "conv_parameters"
right = EXERCISES[NAME].solution


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "answers.json"


@pytest.fixture
def checks(kept: Path) -> Checks:
    return Checks(EXERCISES.values(), Answers(kept))


def test_the_three_words(checks: Checks, capsys: pytest.CaptureFixture[str]) -> None:
    checks.conv_parameters(lambda i, o, k: ...)
    checks.conv_parameters(lambda i, o, k: k * k * i * o)
    checks.conv_parameters(right)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NAME}: not attempted yet. {EXERCISES[NAME].prompt}"
    assert lines[1].startswith(f"{NAME}: not yet: you forgot the bias") and "expected" in lines[1]
    assert lines[2:] == [f"{NAME}: right."]


def test_attempts_are_kept_and_stubs_are_not(checks: Checks, kept: Path) -> None:
    checks.conv_parameters(lambda i, o, k: ...)
    assert not kept.exists()
    checks.conv_parameters(lambda i, o, k: k * k * i * o)
    assert json.loads(kept.read_text()) == {
        NAME: {"status": "wrong", "mistake": "no bias", "attempts": 1, "hints": 0, "solution_seen": False}
    }
    checks.conv_parameters(right)
    again = Checks(EXERCISES.values(), Answers(kept))
    again.conv_parameters(right)
    assert json.loads(kept.read_text())[NAME] == {
        "status": "right", "mistake": None, "attempts": 3, "hints": 0, "solution_seen": False
    }  # fmt: skip
    assert os.listdir(kept.parent) == ["answers.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"conv_parameters": 3}', "\x00"])
def test_a_damaged_file_counts_as_empty(kept: Path, content: str) -> None:
    kept.write_text(content)
    Checks(EXERCISES.values(), Answers(kept)).conv_parameters(right)
    assert json.loads(kept.read_text())[NAME]["attempts"] == 1


def test_where_nothing_can_be_written_the_check_still_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    checks = Checks(EXERCISES.values(), Answers(tmp_path / "file" / "answers.json"))
    checks.conv_parameters(right)
    checks.conv_parameters(right)
    printed = capsys.readouterr().out
    assert f"{NAME}: right." in printed and "your answers are not kept" in printed
    checks.report()
    assert f"| {NAME} | right |  | 2 |" in capsys.readouterr().out


def test_three_hints_one_at_a_time(checks: Checks, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(4):
        checks.conv_parameters.hint()
    checks.conv_parameters.hint(1)
    numbers = [1, 2, 3, 3, 1]
    expected = [f"hint {number} of 3: {EXERCISES[NAME].hints[number - 1]}" for number in numbers]
    assert capsys.readouterr().out.splitlines() == expected
    assert json.loads(kept.read_text())[NAME]["hints"] == 3
    with pytest.raises(ValueError, match="level must be 1, 2 or 3"):
        checks.conv_parameters.hint(4)


def test_the_solution_comes_last_and_is_noted(checks: Checks, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks.conv_parameters.solution()
    assert capsys.readouterr().out.startswith("def conv_parameters(")
    assert json.loads(kept.read_text())[NAME]["solution_seen"] is True


def test_report_and_export(checks: Checks, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks.conv_parameters(lambda i, o, k: (k * i + 1) * o)
    checks.export(tmp_path / "mine.csv")
    with (tmp_path / "mine.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert tuple(rows[0]) == COLUMNS and [row[0] for row in rows[1:]] == list(EXERCISES)
    assert [NAME, "wrong", "kernel not squared", "1", "0", "False"] in rows
    checks.report()
    assert f"| {NAME} | wrong | kernel not squared | 1 | 0 | False |" in capsys.readouterr().out


def test_the_file_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DENOISE_ANSWERS", str(tmp_path / "mine.json"))
    Checks(EXERCISES.values()).conv_parameters(right)
    assert "right" in capsys.readouterr().out and (tmp_path / "mine.json").exists()


def test_an_unknown_exercise_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"there is no exercise 'nonsense'; there are blend, with_variance"):
        check.nonsense  # noqa: B018
    assert set(EXERCISES) <= set(dir(check))
    assert repr(check.blend) == f"blend: {EXERCISES['blend'].prompt}"


def test_notebooks_of_one_folder_share_the_file(kept: Path) -> None:
    one, other = (Checks(EXERCISES.values(), Answers(kept)) for _ in range(2))
    one.conv_parameters(right)
    other.blend.hint()
    one.to_float.hint()
    other.blend.hint()
    assert set(json.loads(kept.read_text())) == {NAME, "blend", "to_float"}


@pytest.mark.parametrize("entry", ['{"attempts": "x"}', "null", '{"hints": -0.5}', '{"status": 3, "solution_seen": "no"}'])
def test_an_entry_of_another_form_counts_as_missing(kept: Path, entry: str) -> None:
    kept.write_text(f'{{"{NAME}": {entry}}}')
    checks = Checks(EXERCISES.values(), Answers(kept))
    checks.conv_parameters(right)
    checks.conv_parameters.hint()
    found = json.loads(kept.read_text())[NAME]
    assert (found["status"], found["attempts"], found["hints"], found["solution_seen"]) == ("right", 1, 1, False)


def test_what_is_no_function_is_told_and_stops_nothing(checks: Checks, capsys: pytest.CaptureFixture[str]) -> None:
    checks.blend(None)  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith("blend checks a function, but got a NoneType")


def test_an_empty_name_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DENOISE_ANSWERS", "")
    Checks(EXERCISES.values()).conv_parameters(right)
    assert (tmp_path / "answers.json").exists()
