"""Verdicts that are kept or tried again, points of a person, and what an interruption leaves. No student's code is run here."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from denoise_lib.__main__ import main
from denoise_lib.classroom import grading, leaderboard, repair, verdicts
from denoise_lib.classroom.collect import Roster, collect
from denoise_lib.classroom.course import SOURCES, Course
from denoise_lib.classroom.grading import Row, grade, read_rows
from denoise_lib.classroom.question_bank import QUESTIONS
from denoise_lib.classroom.release import release
from denoise_lib.classroom.sandbox import bubblewrap, worker
from denoise_lib.classroom.sandbox.process import TIMED_OUT, Limits, WorkerError
from denoise_lib.classroom.sandbox.run_submission import SubmissionReport, run_submission
from denoise_lib.classroom.verdicts import IMPORTS_SOLUTION, verdict
from denoise_lib.exercises.checker import EXERCISES
from denoise_lib.exercises.exercise import RIGHT, Outcome
from denoise_lib.exercises.judging import attempt, compare

PS1, SEED = "ps1_noise", 5
ROOT = Path(__file__).resolve().parents[2]
ROSTER = Roster(["id"], [{"id": "ada"}, {"id": "bo"}], "id")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release([PS1], ROOT / SOURCES, tmp_path_factory.mktemp("released"), SEED).root


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Limits]:
    """Every function is right, and so is every letter; the limits of each examination are noted."""
    noted: list[Limits] = []

    def run_submission(cells: list[str], functions: list[str], answers: list[str], **options: Any) -> SubmissionReport:
        noted.append(options["limits"])
        letters = {name: QUESTIONS[name].letter(SEED) for name in answers}
        return SubmissionReport(answers=letters, outcomes={name: Outcome(name, RIGHT, None, "right.") for name in functions})

    monkeypatch.setattr(verdicts, "run_submission", run_submission)
    monkeypatch.setattr(verdicts, "choose_sandbox", lambda wanted: wanted)
    monkeypatch.setattr(grading, "choose_sandbox", lambda wanted: wanted)
    return noted


@pytest.fixture
def course(released: Path, tmp_path: Path, calls: list[Limits]) -> Course:
    course = Course(Path(shutil.copytree(released, tmp_path / "course")))
    for student in ("ada", "bo"):
        path = tmp_path / "in" / student / "work.ipynb"
        path.parent.mkdir(parents=True)
        shutil.copy(course.source(PS1), path)
    collect(tmp_path / "in", course, PS1, ROSTER)
    return course


def graded(course: Course, **options: Any) -> dict[str, Row]:
    return {row.student: row for row in grade(course, PS1, progress=False, **options)}


def change(course: Course, student: str, **values: float) -> str:
    """Give points to a student's first item in the gradebook; returns its name."""
    from nbgrader.api import Gradebook

    name = next(iter(read_rows(course, PS1)[0].items))
    with Gradebook(course.gradebook) as gradebook:
        grades = {one.name: one for one in gradebook.find_submission(PS1, student).notebooks[0].grades}
        for key, value in values.items():
            setattr(grades[f"{name}-check"], key, value)
        gradebook.db.commit()
    return name


def test_a_verdict_is_kept_and_one_that_ran_out_of_time_is_tried_with_other_limits(
    course: Course, calls: list[Limits], monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = Limits(function_seconds=1), Limits(function_seconds=60)
    verdict(course, PS1, "ada", limits=short)
    verdict(course, PS1, "ada", limits=long)
    assert calls == [short]

    def slow(cells: list[str], functions: list[str], answers: list[str], **options: Any) -> SubmissionReport:
        calls.append(options["limits"])
        late = {name: Outcome(name, TIMED_OUT, TIMED_OUT, "not yet: too long.") for name in functions}
        return SubmissionReport(outcomes=late, notes=["Code cell 3 took too long."])

    monkeypatch.setattr(verdicts, "run_submission", slow)
    for limits in (short, short, None, long):
        verdict(course, PS1, "bo", limits=limits)
    assert calls == [short, short, long]


def test_a_break_that_nobody_has_thought_of_costs_one_row_and_is_tried_again(
    course: Course, calls: list[Limits], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = verdicts.run_submission

    def breaks(cells: list[str], *rest: Any, **options: Any) -> SubmissionReport:
        if any("bo was here" in cell for cell in cells):
            raise ZeroDivisionError("odd")
        return usual(cells, *rest, **options)

    monkeypatch.setattr(verdicts, "run_submission", breaks)
    content = json.loads(course.original(PS1, "bo").read_text())
    content["cells"].append({"cell_type": "code", "source": "# bo was here", "metadata": {}, "outputs": []})
    course.original(PS1, "bo").write_text(json.dumps(content))
    rows = graded(course)
    assert (rows["ada"].status, rows["bo"].status) == ("right", "crashed")
    assert any("could not be graded: ZeroDivisionError: odd" in note for note in rows["bo"].notes) and rows["bo"].points == 0
    monkeypatch.setattr(verdicts, "run_submission", usual)
    assert graded(course)["bo"].status == "right"


def test_a_worker_that_does_not_start_is_nobodys_fault(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> SubmissionReport:
        raise WorkerError("the worker does not start")

    monkeypatch.setattr(verdicts, "run_submission", broken)
    with pytest.raises(WorkerError, match="does not start"):
        graded(course)
    assert not course.verdict(PS1, "ada").exists()


def test_after_an_interruption_the_gradebook_is_brought_up_to_date(course: Course) -> None:
    graded(course)
    path = course.root / "autograded" / "ada" / PS1 / f"{PS1}.ipynb"
    before = path.stat().st_mtime_ns
    graded(course)
    assert path.stat().st_mtime_ns == before, "what is the same is not done again"
    newer = course.verdict(PS1, "ada")  # as when the run was stopped between the verdict and the gradebook
    os.utime(newer, ns=(before + 10**9, before + 10**9))
    graded(course)
    assert path.stat().st_mtime_ns > before


def test_a_ctrl_c_that_nbgrader_takes_for_an_error_is_one() -> None:
    with pytest.raises(KeyboardInterrupt):
        grading._succeeded({"success": False, "error": "Traceback ...\nKeyboardInterrupt"})
    assert grading._succeeded({"success": True}) and not grading._succeeded({"success": False})


def test_points_of_a_person_and_extra_credit(course: Course) -> None:
    usual = graded(course)["ada"].points
    name = change(course, "ada", extra_credit=1.5)
    assert graded(course)["ada"].points == usual + 1.5
    change(course, "ada", manual_score=0.5, needs_manual_grade=False)
    row = graded(course)["ada"]
    assert row.points == usual - row.items[name]["max"] + 0.5 + 1.5 and row.notes == []
    change(course, "ada", needs_manual_grade=True)
    assert any(f"{name}: the points were given before it was last graded" in note for note in graded(course)["ada"].notes)


def test_what_has_changed_since_is_told(course: Course) -> None:
    graded(course)
    course.original(PS1, "bo").write_text("{}")
    notes = {row.student: row.notes for row in read_rows(course, PS1)}
    assert notes["ada"] == [] and any("something has changed since it was graded" in note for note in notes["bo"])


def test_a_verdict_depends_on_all_code_that_judges(course: Course, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    solutions = [exercise.solution for exercise in EXERCISES.values()]
    judges = [compare, attempt, repair.repair, leaderboard.score, run_submission, worker.work, bubblewrap.command]
    files = {Path(inspect.getsourcefile(function) or "") for function in (*solutions, *judges)}
    code, before = verdicts.judging_code(), verdicts.fingerprint_of(course, PS1, "ada")
    assert files <= {*code}
    for path in files:
        changed = tmp_path / path.name
        changed.write_bytes(path.read_bytes() + b"# changed")
        others = [changed if one == path else one for one in code]
        monkeypatch.setattr(verdicts, "judging_code", lambda others=others: others)
        assert verdicts.fingerprint_of(course, PS1, "ada") != before


def test_whoever_is_in_submitted_alone_has_a_row(course: Course) -> None:
    path = course.submitted(PS1, "cy")
    path.parent.mkdir(parents=True)
    shutil.copy(course.source(PS1), path)
    assert graded(course)["cy"].status == "right"


def test_an_empty_file_does_not_replace_a_good_one(course: Course, tmp_path: Path) -> None:
    before = course.original(PS1, "ada").read_bytes()
    (tmp_path / "in" / "ada" / "work.ipynb").write_bytes(b"")
    found = collect(tmp_path / "in", course, PS1, ROSTER)
    assert course.original(PS1, "ada").read_bytes() == before
    assert any("the file from before was kept" in str(note) for note in found["ada"]["notes"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["--seconds=0", "--seconds=-1", "--seconds=nan", "--memory=0", "--jobs=0"])
def test_bad_limits_are_told_and_nothing_is_graded(option: str, course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["class", "grade", PS1, "--course", str(course.root), "--fence", "weak", option]) == 1
    assert f"error: {option.split('=')[0]} must be" in capsys.readouterr().err
    assert not course.verdict(PS1, "ada").exists()


def test_a_course_that_is_none_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["class", "report", PS1, "--course", str(tmp_path)]) == 1
    assert "has not been released" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from denoise_lib.exercises.ps1_noise import shot_noise", True),
        ("from denoise_lib.exercises.notebook1_noise import blend", True),
        ("import inspect\ninspect.getsource(check)", True),
        ("check.blend.exercise.solution", True),
        ("sys._getframe(1)", True),
        ("from denoise_lib import add_noise\ncheck.blend(blend)", False),
        ("my_assignment = 3", False),
        ("import denoise_lib.exercises.ps1_noise as bank", True),
        ("from denoise_lib.exercises import ps4_smoothgrad", True),
        ("from denoise_lib.exercises import check", False),
        ("open('ps1_noise.ipynb')", False),
    ],
)
def test_what_points_to_a_solution_is_noted(source: str, found: bool) -> None:
    assert bool(IMPORTS_SOLUTION.search(source)) is found
