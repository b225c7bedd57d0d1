"""Problem sets are released as their sources say, for any class, and no solution is left in a release."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from denoise_lib.classroom.course import CourseError
from denoise_lib.classroom.question_bank import QUESTIONS
from denoise_lib.classroom.questions import class_numbers
from denoise_lib.classroom.release import leaked_lines, release, render, sources
from tools import assignments

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks" / "assignments"
HEAD = '"grade_id": "half%s", "locked": %s, "schema_version": 3, "solution": %s, "task": false'
SOURCE = f"""# %% [markdown]
# # A set at mu = {{{{mu}}}}
#
# {{{{options mse_of_blend}}}}

# %%
MU = 0.5  # class: mu

# %% nbgrader={{"grade": false, {HEAD % ("", "false", "true")}}}
# GRADED CELL half
def half(x):
    ### BEGIN SOLUTION
    secret = x / 2
    return secret
    ### END SOLUTION

# %% nbgrader={{"grade": true, "points": 2, {HEAD % ("-check", "true", "false")}}}
# GRADED CELL half-check
print(half(2.0))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "ps.py").write_text(SOURCE)
    return tmp_path


def texts(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(str(path), as_version=4).cells]


@pytest.mark.parametrize("seed", [0, 7, 10**9])
def test_a_release_has_the_classes_numbers_and_letters_and_no_solution(folder: Path, seed: int) -> None:
    course = release([], folder / "src", folder / "course", seed)
    released, source = texts(course.released("ps")), texts(course.source("ps"))
    numbers = class_numbers(seed)
    assert released[0].startswith(f"# A set at mu = {numbers.mu}\n")
    options = QUESTIONS["mse_of_blend"].options(seed)
    assert released[0].endswith("\n".join(f"- **{letter}**: {text}" for letter, text, _ in options))
    assert released[1] == f"MU = {numbers.mu}  # your class's"
    assert released[2] == "# GRADED CELL half\ndef half(x):\n    pass  # your answer here"
    assert "secret = x / 2" in source[2] and source[3] == released[3]
    assert course.seed == seed and course.assignments() == ["ps"]
    locked = nbformat.read(str(course.released("ps")), as_version=4).cells[3].metadata
    assert locked["nbgrader"]["locked"] and locked["editable"] is False


def test_another_seed_gives_another_release_and_the_same_gives_the_same(folder: Path) -> None:
    one, again, other = (release([], folder / "src", folder / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one.released("ps").read_text() == again.released("ps").read_text() != other.released("ps").read_text()


def test_a_course_keeps_its_seed(folder: Path) -> None:
    release([], folder / "src", folder / "course", 1)
    release(["ps"], folder / "src", folder / "course", 1)
    with pytest.raises(CourseError, match="is the course of seed 1, not 2"):
        release([], folder / "src", folder / "course", 2)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), ("1", TypeError)])
def test_a_bad_seed(folder: Path, seed: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed"):
        release([], folder / "src", folder / "course", seed)  # type: ignore[arg-type]
    assert not (folder / "course").exists()


def test_what_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(CourseError, match="there is no problem set 'ps9'; there are ps"):
        release(["ps9"], folder / "src", folder / "course", 1)
    with pytest.raises(CourseError, match="there are no problem sets"):
        sources(folder / "nowhere")
    (folder / "src" / "ps.py").write_text(SOURCE.replace("{{mu}}", "{{nu}}"))
    with pytest.raises(CourseError, match=r"ps\.py: nothing is known to put in for \{\{nu\}\}"):
        render(folder / "src" / "ps.py", 1)


def test_a_solution_outside_its_region_is_a_leak(folder: Path) -> None:
    source = render(folder / "src" / "ps.py", 1)
    released = nbformat.from_dict(json.loads(json.dumps(source)))
    released.cells[2].source = "# GRADED CELL half\ndef half(x):\n    pass"
    assert leaked_lines(source, released) == []
    released.cells[0].source += "\n    secret = x / 2"
    assert leaked_lines(source, released) == ["secret = x / 2"]
    assert any("BEGIN SOLUTION" in line for line in leaked_lines(source, source))


def test_no_solution_is_left_in_what_is_committed() -> None:
    for path in (FOLDER / "release").glob("*/*.ipynb"):
        source = nbformat.read(str(FOLDER / "source" / path.parent.name / path.name), as_version=4)
        assert leaked_lines(source, nbformat.read(str(path), as_version=4)) == []


def test_a_difference_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert assignments.main(["make", "--folder", str(folder)]) == 0
    assert assignments.main(["check", "--folder", str(folder)]) == 0
    released = folder / "release" / "ps" / "ps.ipynb"
    text = released.read_text()
    released.write_text(text.replace("pass  # your answer here", "return x / 2"))
    (folder / "release" / "old").mkdir()
    (folder / "release" / "old" / "old.ipynb").write_text(text)
    capsys.readouterr()
    assert assignments.main(["check", "--folder", str(folder)]) == 1
    told = capsys.readouterr().out
    assert f"{released} differs from src/ps.py: run `make assignments`" in told and "has old, which has no source" in told
    (folder / "class.json").unlink()
    assert "class.json is not as released" in "\n".join(assignments.check(folder))
