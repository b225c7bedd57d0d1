"""Collecting: rosters, and folders and zips as Moodle, Canvas and people make them."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
import warnings
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise_lib.classroom import collect as module
from denoise_lib.classroom.collect import Roster, collect, read_roster, safe_id
from denoise_lib.classroom.course import Course, CourseError
from denoise_lib.classroom.repair import graded_cells

NAME = "ps1_noise"
FILE = f"{NAME}.ipynb"


def notebook(answer: str = "...", grade_id: str = "half") -> bytes:
    """With one graded cell."""
    grading = {"grade": False, "grade_id": grade_id, "locked": False, "schema_version": 3, "solution": True, "task": False}
    cell = nbformat.v4.new_code_cell(f"# GRADED CELL {grade_id}\n{grade_id} = {answer}", metadata={"nbgrader": grading})
    return json.dumps(nbformat.v4.new_notebook(cells=[cell])).encode()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    unzipped(tmp_path / "course" / "release" / NAME, {FILE: notebook()})
    return Course(tmp_path / "course")


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unzipped(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def answers(course: Course) -> dict[str, str]:
    """What counts as each student's answer."""
    found = {}
    for student in course.students(NAME):
        cells = graded_cells(nbformat.read(course.submitted(NAME, student), as_version=4))
        found[student] = cells["half"].source.rpartition(" = ")[2]
    return found


def roster_of(path: Path, text: str, id_column: str | None = None, encoding: str = "utf-8") -> Roster:
    path.write_text(text, encoding=encoding, newline="")
    return read_roster(path, id_column)


# Ids


@pytest.mark.parametrize(
    ("text", "student"),
    [
        ("alice", "alice"),
        (" alice ", "alice"),
        ("0012", "0012"),
        ("Participant 123456", "123456"),
        ("Participant 0123", "0123"),
        ("Teilnehmer/in1234567", "1234567"),
        ("Participante 7", "7"),
        ("Participants 12", "Participants-12"),
        ("Participant12x", "Participant12x"),
        ("ada@example.org", "ada@example.org"),
        ("Ada Lovelace", "Ada-Lovelace"),
        ("müller", "müller"),
        ("mu\u0308ller", "müller"),
        ("a/b\\c", "a-b-c"),
        ("../../etc", "etc"),
        ("=cmd|' /C calc'!A0", "cmd-C-calc-A0"),
        ("@SUM(1)", "SUM-1"),
        ("-1", "1"),
        (".", ""),
        ("..", ""),
        ("///", ""),
        ("", ""),
        ("a\x00b\nc", "a-b-c"),
        ("\udcff", ""),
    ],
)
def test_ids_are_names_of_folders(text: str, student: str) -> None:
    assert safe_id(text) == student


@given(st.text())
def test_every_id_is_safe(text: str) -> None:
    student = safe_id(text)
    assert safe_id(student) == student and len(f"{student}.json.part".encode()) < 255
    assert not set(student) & set('/\\:*?"<>|\n\0 ') and not student.startswith((".", "-", "@"))


# Rosters

MOODLE = (
    '\ufeffIdentifier,"Full name","Email address",Status,Grade,"Maximum Grade","Last modified (submission)"\r\n'
    '"Participant 123456","Ada Lovelace",ada@example.org,Submitted,,20.00,"Monday, 5 October 2026, 9:00 AM"\r\n'
    '"Participant 123457","Émilie du Châtelet",emilie@example.org,"No submission",,20.00,-\r\n'
)
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,ps1_noise (4321),Current Score\n"
    ",,,,,Manual Posting,\n"
    "    Points Possible,,,,,20.00,(read only)\n"
    '"Lovelace, Ada",12345,u1,ada,Section 1,,\n'
    '"du Châtelet, Émilie",12346,u2,emilie,Section 1,,\n'
    '"Student, Test",99999,,0a1b2c,Section 1,,\n'
)


def test_a_roster_of_moodle(tmp_path: Path) -> None:
    roster = roster_of(tmp_path / "roster.csv", MOODLE)
    assert roster.columns[0] == roster.id_column == "Identifier"
    assert roster.ids() == ["123456", "123457"]
    assert roster.names() == {"123456": "Ada Lovelace", "123457": "Émilie du Châtelet"}


def test_a_german_roster_of_moodle(tmp_path: Path) -> None:
    text = 'ID,"Vollständiger Name",ID-Nummer,Bewertung\nTeilnehmer/in1234567,"Käthe Große",12,"13,50"\n'
    assert roster_of(tmp_path / "roster.csv", text).names() == {"1234567": "Käthe Große"}


def test_a_roster_of_canvas_has_rows_that_are_no_students(tmp_path: Path) -> None:
    roster = roster_of(tmp_path / "roster.csv", CANVAS)
    assert roster.ids() == ["12345", "12346"] and roster.id_column == "ID"
    assert roster.names()["12346"] == "du Châtelet, Émilie"
    assert len(roster.rows) == 5


@pytest.mark.parametrize("header", ["id", "ID", "Identifier", "student", "username"])
def test_usual_columns_of_ids(tmp_path: Path, header: str) -> None:
    assert roster_of(tmp_path / "roster.csv", f"x,{header}\n1,alice\n\n2,bob\n").ids() == ["alice", "bob"]


def test_another_column_of_ids(tmp_path: Path) -> None:
    assert roster_of(tmp_path / "roster.csv", "id,email\n1,a@x.org\n", "email").ids() == ["a@x.org"]


def test_a_roster_may_have_semicolons_or_tabs(tmp_path: Path) -> None:
    for mark in ";\t,":
        text = f'name{mark}id{mark}"first{mark}last"\n"Große, K."{mark}007{mark}x\n'
        roster = roster_of(tmp_path / "roster.csv", text, encoding="utf-8-sig")
        assert (roster.ids(), roster.names(), roster.delimiter) == (["007"], {"007": "Große, K."}, mark)


def test_semicolons_in_a_header_with_commas(tmp_path: Path) -> None:
    roster = roster_of(tmp_path / "roster.csv", 'id,"set 1; part a; part b; part c"\n1,2\n')
    assert roster.columns == ["id", "set 1; part a; part b; part c"]
    assert roster_of(tmp_path / "roster.csv", 'e-mail;"a,b,c";id\na@x.org;1;2\n', "e-mail").ids() == ["a@x.org"]


def test_names_in_two_columns(tmp_path: Path) -> None:
    assert roster_of(tmp_path / "roster.csv", "id,First name,Last name\n1,Ada,Lovelace\n").names() == {"1": "Ada Lovelace"}
    assert roster_of(tmp_path / "roster.csv", "id,email\n1,a@x.org\n").names() == {"1": ""}


def test_short_rows_and_empty_rows(tmp_path: Path) -> None:
    roster = roster_of(tmp_path / "roster.csv", "id,name,,\nalice\nbob,Bob,,,,\n,,,\n \n")
    assert roster.ids() == ["alice", "bob"] and roster.rows[0]["name"] == ""


@given(st.text() | st.text(alphabet='id,;"\n\r\t x') | st.text(alphabet="a1,\n").map("id,name\n{}".format), st.text(max_size=3))
def test_any_roster_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str, id_column: str) -> None:
    path = tmp_path_factory.mktemp("roster") / "roster.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        roster = read_roster(path, id_column or None)
    except CourseError:
        return
    ids = roster.ids()
    assert len(set(ids)) == len(ids) and all(ids) and set(roster.names()) == set(ids)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["which are the ids"]),
        ("name,email\nAda,a@x.org\n", ["name, email", "--id-column"]),
        ("id,name\n1,Ada\n,Bob\n", ["row 3", "no id"]),
        ("id,name\n///,Ada\n", ["row 2", "no id"]),
        ("id,name\n1,Ada\n1,Bob\n", ["'1'", "twice"]),
        ("id,name\na b,Ada\na/b,Bob\n", ["'a-b'", "twice"]),
        ("Identifier\nParticipant 5\n5\n", ["'5'", "twice"]),
        ("id,name,name\n1,Ada,Bob\n", ["'name'", "twice"]),
        ("id,name\n1,Lovelace, Ada\n", ["row 2", "more cells"]),
        (f"id\n{'x' * 200_000}\n", ["cannot be read"]),
    ],
)
def test_rosters_that_are_refused(tmp_path: Path, text: str, words: list[str], refused: Any) -> None:
    with refused(CourseError, *words):
        roster_of(tmp_path / "roster.csv", text)


def test_rosters_that_cannot_be_read(tmp_path: Path, refused: Any) -> None:
    with refused(CourseError, "none.csv", "cannot be read"):
        read_roster(tmp_path / "none.csv")
    with refused(CourseError, "cannot be read", "UTF-8"):
        roster_of(tmp_path / "roster.csv", "id,name\n1,Große\n", encoding="latin-1")
    with refused(CourseError, "id, name", "--id-column"):
        roster_of(tmp_path / "roster.csv", "id,name\n1,Ada\n", "email")


# Whose a file is

LAYOUTS = {
    "Moodle": {
        f"Ada Lovelace_123456_assignsubmission_file/{FILE}": "123456",
        f"Émilie du Châtelet_123457_assignsubmission_file/work/{FILE}": "123457",
    },
    "Moodle of before 4.1": {f"Ada Lovelace_123456_assignsubmission_file_/{FILE}": "123456"},
    "Moodle, in one folder": {f"Ada Lovelace_123456_assignsubmission_file_{FILE}": "123456"},
    "Moodle, marked blindly": {f"Participant_123456_assignsubmission_file/{FILE}": "123456"},
    "Moodle, text": {"Ada Lovelace_123456_assignsubmission_onlinetext/onlinetext.html": "123456"},
    "Moodle, text in one folder": {"Ada Lovelace_123456_assignsubmission_onlinetext_onlinetext.html": "123456"},
    "Moodle, one student with two files": {
        "Ada Lovelace_123456_assignsubmission_file/a.ipynb": "123456",
        "Ada Lovelace_123456_assignsubmission_file/b.ipynb": "123456",
    },
    "Canvas": {
        "lovelaceada_12345_678901_ps1_noise-1.ipynb": "12345",
        "chateletemilie_LATE_12346_678902_ps1_noise.ipynb": "12346",
        "o_neil_12347_678903_Copy of ps1_noise.ipynb": "12347",
        "hopper_12348_text.html": "12348",
        "curie_LATE_12349_link.html": "12349",
    },
    "Canvas, unpacked into a folder": {
        "submissions/lovelaceada_12345_678901_ps1_noise-1.ipynb": "12345",
        "submissions/chateletemilie_12346_678902_ps1_noise.ipynb": "12346",
    },
    "folders": {f"alice/{FILE}": "alice", "bob/solution.ipynb": "bob", f"Ada Lovelace/{FILE}": "Ada-Lovelace"},
    "folders of nbgrader": {f"submitted/alice/{NAME}/{FILE}": "alice", f"submitted/bob/{NAME}/{FILE}": "bob"},
    "folders in a folder": {f"all/alice/{FILE}": "alice", "all/bob/x.ipynb": "bob"},
    "files": {
        "alice_ps1_noise.ipynb": "alice",
        "ps1_noise - bob.ipynb": "bob",
        "carol.ipynb.txt": "carol",
        "Copy of ps1_noise - dan (2).ipynb": "dan",
        "PS1_Noise_eve (1).IPYNB": "eve",
        "ada.lovelace.ipynb": "ada.lovelace",
        "0012.ipynb": "0012",
        "frank.pdf": "frank",
    },
    "files in a folder": {"hand-ins/alice_ps1_noise.ipynb": "alice", "hand-ins/ps1_noise-bob.ipynb": "bob"},
    "files in two folders": {"a/b/alice.ipynb": "alice", "a/b/bob.ipynb": "bob", "a/b/carol/x.ipynb": "carol"},
    "one folder, and the set's own name": {f"alice/{FILE}": "alice", "alice/old.ipynb": "alice"},
    "a single folder": {"alice/solution.ipynb": "alice"},
    "names with dates": {"alice/ps1_2026_10_05.ipynb": "alice", "bob/try_2_3_final.ipynb": "bob"},
    "two names of one student": {"alice.ipynb": "alice", "alice (1).ipynb": "alice", f"alice/{FILE}": "alice", "b.ipynb": "b"},
    "Windows": {"class\\alice\\ps1_noise.ipynb": "alice", "class\\bob\\ps1_noise.ipynb": "bob"},
    "paths that lead elsewhere": {
        "../../alice.ipynb": "alice", "/etc/bob/x.ipynb": "bob", "C:\\Users\\carol\\x.ipynb": "carol", "//dan/x.ipynb": "dan",
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whose_a_file_in_a_zip_is(layout: str, course: Course, tmp_path: Path) -> None:
    before = {path for path in tmp_path.parent.rglob("*") if course.root not in path.parents}
    files = LAYOUTS[layout]
    path = zipped(tmp_path / "in.zip", dict.fromkeys(files, notebook("3")))
    found = collect(path, course, NAME)
    assert set(found) == set(files.values())
    assert answers(course) == dict.fromkeys(files.values(), "3")
    assert json.loads(course.collected(NAME).read_text(encoding="utf-8")) == found
    assert {path for path in tmp_path.parent.rglob("*") if course.root not in path.parents} - before <= {path, course.root}


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("Windows", "paths that lead elsewhere")])
def test_whose_a_file_in_a_folder_is(layout: str, course: Course, tmp_path: Path) -> None:
    files = LAYOUTS[layout]
    found = collect(unzipped(tmp_path / "in", dict.fromkeys(files, notebook("3"))), course, NAME)
    assert set(found) == set(files.values()) == set(answers(course))


def test_names_of_an_lms_are_told(course: Course, tmp_path: Path) -> None:
    files = ["Ada Lovelace_1_assignsubmission_file/x.ipynb", "chateletemilie_LATE_2_678902_x.ipynb", "Käthe/x.ipynb"]
    found = collect(zipped(tmp_path / "in.zip", dict.fromkeys(files, notebook())), course, NAME)
    assert {student: about["name"] for student, about in found.items()} == {
        "1": "Ada Lovelace", "2": "chateletemilie", "Käthe": "Käthe",
    }  # fmt: skip
    assert found["1"] == {"name": "Ada Lovelace", "file": files[0], "notes": []}


def test_what_is_no_work_is_left_out(course: Course, tmp_path: Path) -> None:
    junk = ["__MACOSX/alice/._x.ipynb", "alice/.DS_Store", "alice/.ipynb_checkpoints/x-checkpoint.ipynb", "alice/._x.ipynb",
            "Thumbs.db", "alice/.git/config", "..", "/", "../.."]  # fmt: skip
    files = {**dict.fromkeys(junk, b"?"), f"alice/{FILE}": notebook("3"), "folder/": b""}
    found = collect(zipped(tmp_path / "in.zip", files), course, NAME)
    assert found == {"alice": {"name": "alice", "file": f"alice/{FILE}", "notes": []}}


def test_folders_and_names_that_are_none(course: Course, tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", {"class\\": b"", "class/": b"", "%name": b"x", f"class/alice/{FILE}": notebook("3")})
    assert list(collect(damaged(path, b"%name", b"\0name"), course, NAME)) == ["alice"]


def test_links_are_not_followed(course: Course, tmp_path: Path) -> None:
    path = unzipped(tmp_path / "in", {f"alice/{FILE}": notebook("3"), "elsewhere.ipynb": notebook("4")})
    (path / "bob").mkdir()
    (path / "bob" / FILE).symlink_to(tmp_path / "elsewhere.ipynb")
    (path / "carol").symlink_to(path / "alice")
    (path / "dan.ipynb").symlink_to(tmp_path / "nowhere")
    (path / "elsewhere.ipynb").unlink()
    assert set(collect(path, course, NAME)) == {"alice"}


def test_umlauts_of_a_mac(course: Course, tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Käthe Große")
    roster = Roster(["id", "name"], [{"id": "Käthe Große", "name": "K."}], "id")
    found = collect(zipped(tmp_path / "in.zip", {f"{name}/x.ipynb": notebook()}), course, NAME, roster)
    assert list(found) == ["Käthe-Große"] and found["Käthe-Große"]["notes"] == []


def test_names_that_are_no_unicode(course: Course, tmp_path: Path) -> None:
    path = tmp_path / "in"
    folder = os.fsencode(path) + b"/K\xe4the"
    Path(os.fsdecode(folder)).mkdir(parents=True)
    Path(os.fsdecode(folder + b"/x.ipynb")).write_bytes(notebook("3"))
    assert list(collect(path, course, NAME)) == ["K-the"] and answers(course) == {"K-the": "3"}


words_of_paths = st.text(min_size=1, max_size=30) | st.sampled_from(["..", ".", "C:", "a", NAME, "a_1_assignsubmission_file"])


@given(st.lists(words_of_paths, min_size=1, max_size=4), st.sampled_from(["/", "\\", "_", ""]))
def test_no_name_leads_out_of_the_course(tmp_path_factory: pytest.TempPathFactory, words: list[str], mark: str) -> None:
    root = tmp_path_factory.mktemp("collected")
    course = Course(root / "course")
    unzipped(course.root / "release" / NAME, {FILE: notebook()})
    name = mark.join(words).encode("utf-8", "replace").decode().replace("\0", "")
    path = zipped(root / "in.zip", {f"{name}.ipynb": notebook("3")})
    try:
        found = collect(path, course, NAME)
    except CourseError:
        found = {}
    assert {one.name for one in root.iterdir()} == {"course", "in.zip"}
    assert set(course.students(NAME)) == set(found)


# Two files of one student, and two students of one name


def test_the_file_of_this_assignment_counts_and_of_two_the_later_one(course: Course, tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    other = notebook("0", "other")
    files = [("a.ipynb", 2026, notebook("1")), ("b.ipynb", 2027, notebook("2")), ("c.ipynb", 2025, notebook("3")),
             ("d.ipynb", 2030, other), ("e.pdf", 2031, b"%PDF")]  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, year, content in files:
            archive.writestr(zipfile.ZipInfo(f"alice/{name}", (year, 1, 1, 0, 0, 0)), content)
        archive.writestr(f"bob/{FILE}", notebook("3"))
    found = collect(path, course, NAME)
    assert answers(course) == {"alice": "2", "bob": "3"} and found["alice"]["file"] == "alice/b.ipynb"
    left_out = [f"more than one file; alice/{name} was left out." for name in ("a.ipynb", "c.ipynb", "d.ipynb", "e.pdf")]
    assert found["alice"]["notes"] == left_out


def test_the_later_file_in_a_folder_counts(course: Course, tmp_path: Path) -> None:
    path = unzipped(tmp_path / "in", {"alice/a.ipynb": notebook("1"), f"alice/{FILE}": notebook("2")})
    os.utime(path / "alice" / "a.ipynb", (2_000_000_000, 2_000_000_000))
    collect(path, course, NAME)
    assert answers(course) == {"alice": "1"}


def test_of_two_members_of_one_name_the_last_counts(course: Course, tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for answer in "123":
            archive.writestr(zipfile.ZipInfo(f"alice/{FILE}"), notebook(answer))
    collect(path, course, NAME)
    assert answers(course) == {"alice": "3"}


def test_an_unreadable_file_is_collected_as_it_is(course: Course, tmp_path: Path) -> None:
    found = collect(zipped(tmp_path / "in.zip", {"alice/x.pdf": b"%PDF", f"bob/{FILE}": b""}), course, NAME)
    assert course.original(NAME, "alice").read_bytes() == b"%PDF" and set(found) == {"alice", "bob"}
    cells = nbformat.read(course.submitted(NAME, "alice"), as_version=4).cells
    assert "This notebook is empty" in cells[0].source and answers(course) == {"alice": "...", "bob": "..."}


def test_the_notebook_of_another_assignment_is_collected_for_want_of_a_better_one(course: Course, tmp_path: Path) -> None:
    collect(zipped(tmp_path / "in.zip", {"alice/x.ipynb": notebook("3", "other")}), course, NAME)
    assert answers(course) == {"alice": "..."}


@pytest.mark.parametrize(
    "files",
    [
        ["a b/x.ipynb", "a:b/x.ipynb"],
        ["a b.ipynb", "a+b.ipynb"],
        ["alice/work/x.ipynb", "bob/work/x.ipynb"],
        ["section 1/alice/x.ipynb", "section 2/alice/x.ipynb"],
        [f"{'a' * 70}1.ipynb", f"{'a' * 70}2.ipynb"],
    ],
)
def test_two_students_are_not_made_one(files: list[str], course: Course, tmp_path: Path, refused: Any) -> None:
    path = zipped(tmp_path / "in.zip", dict.fromkeys(files, notebook("3")))
    with refused(CourseError, *files, "--roster"):
        collect(path, course, NAME)
    assert course.students(NAME) == []


def test_a_roster_tells_which_folder_is_the_students(course: Course, tmp_path: Path) -> None:
    files = ["alice/work/x.ipynb", "bob/work/deep/x.ipynb", "bob/old/y.ipynb", "all/carol_ps1_noise.ipynb", "dan/a_1_23456_b"]
    roster = Roster(["id"], [{"id": one} for one in ("alice", "bob", "carol", "dan")], "id")
    found = collect(zipped(tmp_path / "in.zip", dict.fromkeys(files, notebook("3"))), course, NAME, roster)
    assert list(found) == ["alice", "bob", "carol", "dan"] and set(answers(course)) == set(found)


def test_a_notebook_of_nobody_is_refused(course: Course, tmp_path: Path, refused: Any) -> None:
    for name in (FILE, f"{NAME}/{FILE}", "Copy of ps1_noise (1).ipynb", f"../{FILE}.txt"):
        path = zipped(tmp_path / "in.zip", {name: notebook("3"), f"alice/{FILE}": notebook("4")})
        with refused(CourseError, name, "whose it is"):
            collect(path, course, NAME)


# Rosters and collections


def test_everybody_on_the_roster_gets_a_row(course: Course, tmp_path: Path) -> None:
    roster = roster_of(tmp_path / "roster.csv", MOODLE)
    files = [f"Ada L._123456_assignsubmission_file/{FILE}", f"Eve_99_assignsubmission_file/{FILE}"]
    found = collect(zipped(tmp_path / "in.zip", dict.fromkeys(files, notebook("3"))), course, NAME, roster)
    assert found == {
        "123456": {"name": "Ada Lovelace", "file": files[0], "notes": []},
        "123457": {"name": "Émilie du Châtelet", "file": None, "notes": ["nothing was handed in."]},
        "99": {"name": "Eve", "file": files[1], "notes": ["is not on the roster."]},
    }
    assert set(answers(course)) == {"123456", "99"}


def test_a_later_collection_replaces_what_it_has_and_keeps_the_rest(course: Course, tmp_path: Path) -> None:
    roster = Roster(["id"], [{"id": "alice"}, {"id": "bob"}], "id")
    both = zipped(tmp_path / "both.zip", {f"alice/{FILE}": notebook("1"), f"bob/{FILE}": notebook("2")})
    collect(both, course, NAME, roster)
    assert answers(course) == {"alice": "1", "bob": "2"}
    one = zipped(tmp_path / "one.zip", {f"alice/{FILE}": notebook("3")})
    found = collect(one, course, NAME, roster)
    assert found["bob"]["file"] == f"bob/{FILE}" and found["alice"]["file"] == f"alice/{FILE}"
    assert answers(course) == {"alice": "3", "bob": "2"}


def test_what_was_kept_can_be_collected_again(course: Course, tmp_path: Path) -> None:
    """`handed_in/` of the course itself is a folder of students."""
    collect(zipped(tmp_path / "in.zip", {f"alice/{FILE}": notebook("1"), f"bob/{FILE}": notebook("2")}), course, NAME)
    course.submitted(NAME, "alice").unlink()
    collect(course.root / "handed_in", course, NAME)
    assert answers(course) == {"alice": "1", "bob": "2"}


def test_nothing_to_collect_changes_nothing(course: Course, tmp_path: Path, refused: Any) -> None:
    roster = Roster(["id"], [{"id": "alice"}], "id")
    collect(zipped(tmp_path / "in.zip", {f"alice/{FILE}": notebook("1")}), course, NAME, roster)
    (tmp_path / "empty").mkdir()
    for path in (zipped(tmp_path / "empty.zip", {}), tmp_path / "empty", zipped(tmp_path / "x.zip", {"__MACOSX/x": b"x"})):
        for known in (None, roster):
            with refused(CourseError, "nothing in", str(path)):
                collect(path, course, NAME, known)
    assert answers(course) == {"alice": "1"}


def test_only_what_has_been_released_is_collected(course: Course, tmp_path: Path, refused: Any) -> None:
    with refused(CourseError, "'ps9'", "ps1_noise"):
        collect(zipped(tmp_path / "in.zip", {f"alice/{FILE}": notebook()}), course, "ps9")


# Damaged zips


def test_what_is_neither_folder_nor_zip(course: Course, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / FILE
    path.write_bytes(notebook())
    for bad in (path, tmp_path / "none.zip"):
        with refused(CourseError, str(bad), "expected a folder, or a zip"):
            collect(bad, course, NAME)


def test_a_zip_in_a_zip_is_told(course: Course, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {FILE: notebook("3")}).read_bytes()
    collect(zipped(tmp_path / "in.zip", {"alice/ps1.zip": inner}), course, NAME)
    first = nbformat.read(course.submitted(NAME, "alice"), as_version=4).cells[0].source
    assert "zip file" in first


def damaged(path: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, count))
    return path


def test_an_encrypted_member_is_told_and_the_others_are_collected(course: Course, tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", {f"alice/{FILE}": notebook("1"), f"bob/{FILE}": notebook("2")})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    found = collect(path, course, NAME)
    assert found["alice"]["notes"] == [f"alice/{FILE} cannot be read: it is encrypted."]
    assert answers(course) == {"alice": "...", "bob": "2"}


def test_a_damaged_member_is_told_and_the_others_are_collected(course: Course, tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"alice/{FILE}", notebook("1"))
        archive.writestr("alice/old.ipynb", notebook("0"))
        archive.writestr(f"bob/{FILE}", notebook("2"))
    found = collect(damaged(path, b"half = 1", b"half = 7"), course, NAME)
    assert answers(course) == {"alice": "0", "bob": "2"}
    notes = found["alice"]["notes"]
    assert isinstance(notes, list) and len(notes) == 2 and "cannot be read: Bad CRC" in notes[0]


def test_an_unknown_compression_is_told(course: Course, tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", {f"alice/{FILE}": notebook("1"), f"bob/{FILE}": notebook("2")})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        content[content.index(mark) + place] = 99
    path.write_bytes(content)
    found = collect(path, course, NAME)
    assert "cannot be read: " in str(found["alice"]["notes"]) and answers(course)["bob"] == "2"


def test_a_file_that_may_not_be_opened_is_told(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unzipped(tmp_path / "in", {f"alice/{FILE}": notebook("1"), f"bob/{FILE}": notebook("2")})
    read = module._read_file

    def refuse(one: Path) -> bytes:
        if one.parent.name == "alice":
            raise PermissionError(13, "Permission denied", "alice")
        return read(one)

    monkeypatch.setattr(module, "_read_file", refuse)
    found = collect(path, course, NAME)
    assert "Permission denied" in str(found["alice"]["notes"]) and answers(course) == {"alice": "...", "bob": "2"}


def test_bombs_are_cut(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZE_LIMIT", 2**20)
    bomb = zipped(tmp_path / "in.zip", {f"alice/{FILE}": b"0" * 2**25, f"bob/{FILE}": notebook("2")})
    assert bomb.stat().st_size < 2**17
    collect(bomb, course, NAME)
    assert course.original(NAME, "alice").stat().st_size == 2**20 + 1
    collect(unzipped(tmp_path / "in", {f"alice/{FILE}": b"0" * 2**22}), course, NAME)
    assert course.original(NAME, "alice").stat().st_size == 2**20 + 1


def test_a_member_that_lies_about_its_size(course: Course, tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", {f"alice/{FILE}": b"0" * 2**25, f"bob/{FILE}": notebook("2")})
    found = collect(damaged(path, (2**25).to_bytes(4, "little"), (100).to_bytes(4, "little")), course, NAME)
    assert "cannot be read" in str(found["alice"]["notes"]) and course.original(NAME, "alice").read_bytes() == b""
    assert answers(course)["bob"] == "2"


def test_a_class_is_not_held_in_memory(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is read when it is its turn."""
    path = zipped(tmp_path / "in.zip", {f"{student}/{FILE}": notebook("3") for student in ("alice", "bob", "carol")})
    events: list[str] = []
    read, submit = module._read_member, module.submit

    def noted_read(archive: Path, member: zipfile.ZipInfo) -> bytes:
        events.append("read")
        return read(archive, member)

    def noted_submit(course: Course, assignment: str, student: str) -> None:
        events.append("written")
        submit(course, assignment, student)

    monkeypatch.setattr(module, "_read_member", noted_read)
    monkeypatch.setattr(module, "submit", noted_submit)
    collect(path, course, NAME)
    assert events == ["read", "written"] * 3


# The course's folder


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "damaged"), ("[1]", "damaged"), ("{}", "damaged"), ('{"seed": -1}', "at least 0"), ('{"seed": true}', "whole number"),
     ('{"seed": "3"}', "whole number"), ('{"seed": 1.5}', "whole number"), ('{"seed": null}', "whole number")],
)  # fmt: skip
def test_a_damaged_course_is_told(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "class.json").write_text(content, encoding="utf-8")
    with pytest.raises(CourseError, match=words) as caught:
        Course(tmp_path).seed  # noqa: B018
    assert "\n" not in str(caught.value) and '{"seed": 2027}' in str(caught.value)


def test_a_course_keeps_its_seed_and_its_lists(course: Course, tmp_path: Path, refused: Any) -> None:
    with refused(CourseError, "no course", "class release"):
        course.seed  # noqa: B018
    (course.root / "class.json").write_text('{"seed": 5}', encoding="utf-8")
    assert course.seed == 5
    (course.root / "release" / "other").mkdir()
    (course.root / "release" / "other" / "data.ipynb").write_bytes(b"")
    assert course.assignments() == [NAME] and course.students(NAME) == []
    with refused(CourseError, "'ps2'", NAME, "class release"):
        course.released("ps2")
    with refused(CourseError, "none"):
        Course(tmp_path / "elsewhere").released(NAME)


def test_the_roster_of_a_spreadsheet_is_a_csv(tmp_path: Path) -> None:
    """What the csv module writes is read as it was."""
    path = tmp_path / "roster.csv"
    rows = [["id", "name"], ["1", 'Ada "the first", L.'], ["2", "two\nlines"]]
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    assert read_roster(path).names() == {"1": 'Ada "the first", L.', "2": "two\nlines"}
