"""A class of synthetic students is graded, twice, with every row as expected; and a course runs from release to report."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from synthetic_class import IN_THE_SANDBOX, RIGHT, Student, synthetic_class

from denoise_lib.__main__ import main
from denoise_lib.classroom.collect import Roster, collect
from denoise_lib.classroom.course import Course
from denoise_lib.classroom.grading import Row, feedback, grade, read_rows
from denoise_lib.classroom.pages import misconceptions
from denoise_lib.classroom.release import release
from denoise_lib.classroom.reports import write_reports
from denoise_lib.classroom.sandbox.process import Limits

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "notebooks" / "assignments" / "src"
PS1 = "ps1_noise"
LIMITS = Limits(cell_seconds=10, function_seconds=6, total_seconds=400, memory_gb=1.5)

pytestmark = IN_THE_SANDBOX


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return release([], SOURCES, tmp_path_factory.mktemp("course"), seed=5)


@pytest.fixture(scope="module")
def students(course: Course) -> list[Student]:
    found = synthetic_class(nbformat.read(course.source(PS1), 4), nbformat.read(course.released(PS1), 4))
    assert len(found) >= 40
    return found


@pytest.fixture(scope="module")
def knocks() -> Iterator[list[str]]:
    """Whoever reaches a port of this machine is noted."""
    noted: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: [noted.append(str(server.accept()[1])) for _ in range(3)], daemon=True).start()
    os.environ["DENOISE_SECRET_TOKEN"] = f"port {server.getsockname()[1]}"
    yield noted
    del os.environ["DENOISE_SECRET_TOKEN"]
    server.close()


@pytest.fixture(scope="module")
def rows(
    course: Course, students: list[Student], knocks: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Row]:
    folder = tmp_path_factory.mktemp("handed_in")
    for student in students:
        if student.content is not None:
            path = folder / student.name / student.file
            path.parent.mkdir()
            path.write_bytes(student.content)
    archive = Path(shutil.make_archive(str(folder), "zip", folder))
    roster = Roster(["id"], [{"id": student.name} for student in students], "id")
    collect(archive, course, PS1, roster)
    return {row.student: row for row in grade(course, PS1, limits=LIMITS, progress=False)}


def test_every_row_is_as_expected(rows: dict[str, Row], students: list[Student]) -> None:
    assert list(rows) == [student.name for student in students]
    wrong = []
    for student in students:
        row = rows[student.name]
        if row.status != student.overall:
            wrong.append(f"{student.name} is {row.status}, expected {student.overall}")
        if student.note and not any(student.note in note for note in row.notes):
            wrong.append(f"{student.name} has the notes {row.notes}, expected {student.note}")
        for name, item in row.items.items():
            if item["kind"] == "written":
                continue
            expected = student.items.get(name, RIGHT)
            points = student.points.get(name, item["max"] if expected == RIGHT else 0.0)
            if (item["status"], item["mistake"], item["points"]) != (*expected, points):
                wrong.append(f"{student.name}, {name}: {item}, expected {expected} and {points}")
    assert not wrong, "\n".join(wrong)


def test_each_wrong_answer_of_the_bank_was_there(rows: dict[str, Row]) -> None:
    from denoise_lib.exercises.ps1_noise import NOISE_ASSIGNMENT

    told = {(name, item["mistake"]) for row in rows.values() for name, item in row.items.items()}
    assert {(exercise.name, mistake.name) for exercise in NOISE_ASSIGNMENT for mistake in exercise.mistakes} <= told


def test_students_reached_nothing(course: Course, rows: dict[str, Row], knocks: list[str]) -> None:
    printed = {}
    for name in ("spy", "writes-outside"):
        cells = json.loads(course.verdict(PS1, name).read_text())["cells"].values()
        printed[name] = "".join(cell["text"] or "" for cell in cells)
    assert "SPY FOUND []" in printed["spy"]
    assert "WROTE [" in printed["writes-outside"]  # into folders in memory, which are gone with the process
    assert knocks == []
    folders = [Path("/"), Path("/tmp"), Path.home(), Path.home().parent, course.root, *map(Path, sys.path)]
    assert not [folder for folder in folders if (folder / "denoise-was-here").exists()]
    done = subprocess.run(["ps", "-e", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 1000" not in done, "a student's process has outlived its grading"


def test_twice_gives_the_same(course: Course, rows: dict[str, Row], students: list[Student]) -> None:
    stamps = {student.name: course.verdict(PS1, student.name).stat().st_mtime_ns for student in students}
    again = grade(course, PS1, limits=LIMITS, progress=False)
    assert {one: course.verdict(PS1, one).stat().st_mtime_ns for one in stamps} == stamps, (
        "nothing has changed, so nothing is run"
    )
    assert again == list(rows.values())
    shutil.rmtree(course.root / "verdicts")
    for old, new in zip(again, grade(course, PS1, limits=LIMITS, progress=False), strict=True):
        assert new == old, f"{new.student} is graded differently the second time"


def test_pages_and_tables(course: Course, rows: dict[str, Row], students: list[Student]) -> None:
    there = [row for row in rows.values() if row.status not in ("nothing handed in", "unreadable")]
    assert feedback(course, PS1) == len(there) + sum(student.overall == "unreadable" for student in students)
    roster = Roster(["id", "Mail"], [{"id": student.name, "Mail": f"{student.name}@example.org"} for student in students], "id")
    paths = {path.name: path for path in write_reports(list(rows.values()), course, PS1, roster, "Set 1")}
    page = paths["class.html"].read_text()
    counts = Counter((name, item["mistake"]) for row in there for name, item in row.items.items() if item["status"] == "wrong")
    (_, mistake), count = counts.most_common(1)[0]
    assert f"{count} of {len(there)}" in page and mistake in page
    assert [(one, told, number) for one, told, number, _ in misconceptions(there)] == sorted(
        ((one, told, number) for (one, told), number in counts.items()), key=lambda row: (-row[2], row[0], row[1])
    )
    assert not [student.name for student in students if "-" in student.name and student.name in page], "it is for the room"
    for student in students:
        assert f"<td>{student.name}<br>" in paths["students.html"].read_text()
    with paths["grades.csv"].open(newline="") as stream:
        table = {row["student"]: row for row in csv.DictReader(stream)}
    assert {name: float(row["points"]) for name, row in table.items()} == {name: row.points for name, row in rows.items()}
    assert {name: row["status"] for name, row in table.items()} == {name: row.status for name, row in rows.items()}
    with paths["lms.csv"].open(newline="") as stream:
        assert {row["id"]: float(row["Set 1"]) for row in csv.DictReader(stream)} == {
            name: row.points for name, row in rows.items()
        }
    told = (course.root / "feedback" / "mistakes-0" / PS1 / f"{PS1}.html").read_text()
    assert any("own solutions" in note for note in rows["mistakes-0"].notes) and "own solutions" not in told
    first = next(iter(rows["mistakes-0"].items.values()))
    assert first["sentence"][:60] in told.replace("&lt;", "<").replace("&gt;", ">")


def test_points_of_a_person_go_before_the_machines(course: Course, rows: dict[str, Row]) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(course.gradebook) as gradebook:
        given = {grade.name: grade for grade in gradebook.find_submission(PS1, "right").notebooks[0].grades}
        first = next(iter(rows["right"].items.values()))
        written = [row for row in rows["right"].items.values() if row["kind"] == "written"]
        given[first["cell"]].manual_score = 0.5
        given[written[0]["cell"]].manual_score = 2.5
        gradebook.db.commit()
    again = next(row for row in read_rows(course, PS1) if row.student == "right")
    assert again.points == rows["right"].points - first["max"] + 0.5 + 2.5
    assert again.waiting == len(written) - 1


def test_nbgraders_own_command_grades_alike(course: Course, rows: dict[str, Row]) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shutil.rmtree(course.root / "verdicts" / PS1 / "right.json", ignore_errors=True)
    course.verdict(PS1, "right").unlink()
    command = [sys.executable, "-m", "nbgrader", "autograde", PS1, "--student", "right", "--force"]
    done = subprocess.run(
        command, cwd=course.root, capture_output=True, text=True, env=os.environ | {"PATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    fresh = json.loads(course.verdict(PS1, "right").read_text())["items"]
    assert {name: item["status"] for name, item in fresh.items()} == {
        name: i["status"] for name, i in rows["right"].items.items()
    }


def test_a_session_of_an_instructor(
    course: Course, rows: dict[str, Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of the guide, on three students."""
    root = tmp_path / "course"
    assert main(["class", "release", PS1, "--seed", "5", "--source", str(SOURCES), "--course", str(root)]) == 0
    assert f"release/{PS1}/{PS1}.ipynb" in capsys.readouterr().out
    for student in ("right", "mistakes-1"):
        path = tmp_path / "in" / student / "homework.ipynb"
        path.parent.mkdir(parents=True)
        shutil.copy(course.original(PS1, student), path)
    (tmp_path / "class.csv").write_text("id,name\nright,Ada\nmistakes-1,Bo\nghost,Cy\n")
    options = ["--roster", str(tmp_path / "class.csv"), "--course", str(root)]
    assert main(["class", "collect", PS1, str(tmp_path / "in"), *options]) == 0
    assert "2 of 3 handed in" in capsys.readouterr().out
    assert main(["class", "grade", PS1, *options, "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "1 right" in printed and "1 wrong" in printed and "1 nothing handed in" in printed
    assert "2 feedback pages" in printed
    assert main(["class", "report", PS1, *options]) == 0
    lms = (root / "reports" / PS1 / "lms.csv").read_text().splitlines()
    assert lms[0] == f"id,name,{PS1}" and lms[3] == "ghost,Cy,0"
    assert main(["class", "grade", "ps9", "--course", str(root)]) == 1
    assert "'ps9' has not been released" in capsys.readouterr().err
    assert main(["class", "grade", PS1, "--course", str(tmp_path / "nowhere")]) == 1
    assert main(["class", "release", "--seed", "6", "--source", str(SOURCES), "--course", str(root)]) == 1
    assert "seed 5, not 6" in capsys.readouterr().err
