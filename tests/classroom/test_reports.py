"""Tables: what an instructor opens in a spreadsheet, and what goes back into the LMS."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise_lib.classroom.collect import Roster, read_roster
from denoise_lib.classroom.course import CONFIG, Course, CourseError
from denoise_lib.classroom.grading import Row
from denoise_lib.classroom.reports import _cell, write_csv, write_lms_csv, write_reports


def item(status: str, points: float | None, mistake: str | None = None, kind: str = "exercise") -> dict[str, Any]:
    sentence = f"{status}."
    return {"status": status, "mistake": mistake, "sentence": sentence, "points": points, "max": 2.0, "kind": kind, "cell": "x"}


def rows() -> list[Row]:
    return [
        Row("1", "Lovelace, Ada", "right", {"half": item("right", 2), "why": item("written", 3.0, kind="written")}),
        Row("2", "Käthe", "wrong", {"half": item("wrong", 0.5, "doubles it"), "why": item("written", None, kind="written")}),
        Row("3", "", "nothing handed in", {"half": item("missing", 0), "why": item("missing", 0)}, None, ["No.", "Nothing."]),
    ]


def table(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream, delimiter=delimiter))


def test_a_table_of_all_there_is(tmp_path: Path) -> None:
    write_csv(rows(), tmp_path / "grades.csv")
    assert table(tmp_path / "grades.csv") == [
        ["student", "name", "status", "points", "max", "to be read", "half", "why", "half status", "why status", "notes"],
        ["1", "Lovelace, Ada", "right", "5", "4", "0", "2", "3", "right", "written", ""],
        ["2", "Käthe", "wrong", "0.5", "4", "1", "0.5", "", "wrong: doubles it", "written", ""],
        ["3", "", "nothing handed in", "0", "4", "0", "0", "0", "missing", "missing", "No. Nothing."],
    ]


def test_a_table_of_nobody(tmp_path: Path) -> None:
    write_csv([], tmp_path / "grades.csv")
    assert table(tmp_path / "grades.csv") == [["student", "name", "status", "points", "max", "to be read", "notes"]]


def test_a_row_without_an_item_has_an_empty_cell(tmp_path: Path) -> None:
    """The problem set was released again, and not everybody is graded anew."""
    students = [Row("1", "", "right", {"half": item("right", 2)}), Row("2", "", "right", {"new": item("right", 1)})]
    write_csv(students, tmp_path / "grades.csv")
    head, first, second = table(tmp_path / "grades.csv")
    assert head[6:10] == ["half", "new", "half status", "new status"]
    assert (first[6:10], second[6:10]) == (["2", "", "right", ""], ["", "1", "", "right"])


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1+1", "\r=1", "\n=1", " =1", "\u00a0=1", "\uff1d1", "\uff0b1", '=LINK("x")']
)
def test_no_formula_gets_into_a_spreadsheet(text: str, tmp_path: Path) -> None:
    write_csv([Row(text, text, "right", {"half": item("right", 2)}, None, [text])], tmp_path / "grades.csv")
    row = table(tmp_path / "grades.csv")[1]
    assert row[0] == row[1] == row[-1] == f"'{text}"


@given(st.text())
def test_other_cells_stay_as_they_are(text: str) -> None:
    cell = _cell(text)
    assert cell in (text, f"'{text}") and not cell.lstrip().startswith(("=", "+", "-", "@"))
    if text[:1].isalnum():
        assert cell == text or not text[:1].isascii()


# The LMS's own table


def test_moodle_gets_its_table_back(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(
        "\ufeffIdentifier,Full name,Status,Grade,Feedback comments\nParticipant 1,Ada,Submitted,,\n"
        'Participant 4,"Eve ""E"" E.",-,1.5,"fine,\nbut late"\nParticipant 3,=A1,-,7,\n',
        encoding="utf-8",
    )
    write_lms_csv(rows(), read_roster(path), "Grade", tmp_path / "lms.csv")
    assert table(tmp_path / "lms.csv") == [
        ["Identifier", "Full name", "Status", "Grade", "Feedback comments"],
        ["Participant 1", "Ada", "Submitted", "5", ""],
        ["Participant 4", 'Eve "E" E.', "-", "1.5", "fine,\nbut late"],
        ["Participant 3", "=A1", "-", "0", ""],
    ]


def test_canvas_gets_its_table_back(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(
        "Student,ID,SIS Login ID,Section,ps1 (4321)\n    Points Possible,,,,20.00\n"
        '"Lovelace, Ada",1,ada,A,\n"Student, Test",9,x,A,\n',
        encoding="utf-8",
    )
    for column, head in (("ps1 (4321)", []), ("other", ["other"])):
        write_lms_csv(rows(), read_roster(path), column, tmp_path / "lms.csv")
        assert table(tmp_path / "lms.csv") == [
            ["Student", "ID", "SIS Login ID", "Section", "ps1 (4321)", *head],
            ["    Points Possible", "", "", "", "20.00", *[""] * len(head)],
            ["Lovelace, Ada", "1", "ada", "A", *(["", "5"] if head else ["5"])],
            ["Student, Test", "9", "x", "A", "", *[""] * len(head)],
        ]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_table_keeps_its_marks(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(f"id{mark}name\n1{mark}Ada\n", encoding="utf-8")
    write_lms_csv(rows(), read_roster(path), "ps1", tmp_path / "lms.csv")
    assert table(tmp_path / "lms.csv", mark) == [["id", "name", "ps1"], ["1", "Ada", "5"]]


cells = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(["1", '"', ",", ";", "=1", "\n", "\r\n"])


@given(st.lists(st.tuples(cells, cells), max_size=4), cells, st.sampled_from(",;\t"))
def test_any_roster_goes_back_as_it_came(
    tmp_path_factory: pytest.TempPathFactory, more: list[tuple[str, str]], head: str, mark: str
) -> None:
    folder = tmp_path_factory.mktemp("lms")
    came = [["id", f"{head}-1", f"{head}-2"], *([str(number), *two] for number, two in enumerate(more))]
    with (folder / "roster.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=mark).writerows(came)
    write_lms_csv(rows(), read_roster(folder / "roster.csv"), "points", folder / "lms.csv")
    points = ["points", *(["", "5", "0.5", "0", ""][: len(more)])]
    assert table(folder / "lms.csv", mark) == [[*row, given] for row, given in zip(came, points, strict=True)]


def test_points_do_not_replace_the_ids(tmp_path: Path, refused: Any) -> None:
    with refused(CourseError, "'id'", "--column"):
        write_lms_csv(rows(), Roster(["id"], [{"id": "1"}], "id"), "id", tmp_path / "lms.csv")
    assert not (tmp_path / "lms.csv").exists()


# All of it


def test_all_reports_are_written(tmp_path: Path) -> None:
    course = Course(tmp_path)
    names = ["class.html", "students.html", "grades.csv"]
    paths = write_reports(rows(), course, "ps1_noise")
    assert paths == [tmp_path / "reports" / "ps1_noise" / name for name in names] and all(path.stat().st_size for path in paths)
    roster = Roster(["id"], [{"id": "1"}], "id")
    assert write_reports(rows(), course, "ps1_noise", roster)[-1].name == "lms.csv"
    assert table(course.reports("ps1_noise") / "lms.csv") == [["id", "ps1_noise"], ["1", "5"]]
    write_reports(rows(), course, "ps1_noise", roster, "points")
    assert table(course.reports("ps1_noise") / "lms.csv")[0] == ["id", "points"]


def test_the_class_page_has_no_names(tmp_path: Path) -> None:
    class_page, students_page, _ = write_reports(rows(), Course(tmp_path), "ps1_noise")
    page = class_page.read_text(encoding="utf-8")
    assert "Ada" not in page and "Käthe" not in page and "doubles it" in page
    assert "Käthe" in students_page.read_text(encoding="utf-8")


def test_pages_run_no_scripts_of_students(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    row = Row(bad, bad, "wrong", {"half": item("wrong", 0.0, bad)}, None, [bad])
    for path in write_reports([row], Course(tmp_path), "ps1_noise")[:2]:
        assert "<script" not in path.read_text(encoding="utf-8")


def test_reports_of_nobody(tmp_path: Path) -> None:
    for students in ([], rows()[2:]):
        assert len(write_reports(students, Course(tmp_path), "ps1_noise")) == 3


# nbgrader's view of the course's folder


def test_nbgrader_finds_what_the_course_has(tmp_path: Path) -> None:
    pytest.importorskip("nbgrader")
    from denoise_lib.classroom.nbgrader_api import open_api

    course = Course(tmp_path)
    for path in (course.source("ps1_noise"), course.submitted("ps1_noise", "alice")):
        path.parent.mkdir(parents=True)
        path.write_text("{}", encoding="utf-8")
    before = os.environ["PATH"]
    with open_api(course) as api:
        assert api.get_source_assignments() == {"ps1_noise"}
        assert api.get_submitted_students("ps1_noise") == set(course.students("ps1_noise")) == {"alice"}
        assert os.environ["PATH"].endswith(before)
    assert os.environ["PATH"] == before
    with pytest.raises(RuntimeError), open_api(course):
        raise RuntimeError
    assert os.environ["PATH"] == before
    assert course.gradebook == f"sqlite:///{tmp_path}/gradebook.db"


def test_nbgraders_own_commands_have_the_same_settings(tmp_path: Path) -> None:
    pytest.importorskip("nbgrader")
    from traitlets.config.loader import PyFileConfigLoader

    (tmp_path / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    settings = PyFileConfigLoader("nbgrader_config.py", path=str(tmp_path)).load_config()
    assert settings.CourseDirectory.root == str(tmp_path) and settings.ClassroomStep.course == str(tmp_path)
