"""Collect what was handed in, a folder or a zip of an LMS: `handed_in/` keeps it, nbgrader's `submitted/` has it repaired.

Moodle and Canvas put the student's number into the names of files and folders; in other folders the folder's name is the
student's, or else the file's. With a roster, everybody on it gets a row, and whoever is not on it is told; and where a path
has several names, the one on the roster is the student's.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from ..internal.atomic_write import write_json
from .course import Course, CourseError
from .repair import SIZE_LIMIT, UnreadableError, assignment_share, read_notebook, repair

# "Ada Lovelace_123_assignsubmission_file/...", or all of it in a file's name.
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_\w+")
# "lovelaceada_LATE_123_456789_ps1.ipynb"; the numbers are the student's and the file's. The latter is long: a date is none.
CANVAS = re.compile(r"^(?P<name>\w+?)_(?:LATE_)?(?P<number>\d+)_(?:\d{5,}_.+|(?:text|link)\.html)$")
# A student's number as Moodle's grading worksheet has it, in a few languages.
MOODLE_ID = re.compile(r"^(?:(?:Participante?|Partecipante|Deelnemer)\s+|Teilnehmer[/*]in\s*)(\d+)$")
IGNORED = ("__MACOSX", ".ipynb_checkpoints", ".DS_Store", ".git", "Thumbs.db", "desktop.ini")
NO_STUDENT = ("Points Possible", "Manual Posting", "Student, Test")
"""How a cell begins in those rows of Canvas's table that are no student's."""
NAMES = (["name"], ["Name"], ["Full name"], ["Vollständiger Name"], ["Student"], ["First name", "Last name"],
         ["First name", "Surname"], ["FirstName", "LastName"], ["first_name", "last_name"])  # fmt: skip
"""Columns that hold a student's name."""


@dataclass
class Handed:
    """One student's file."""

    student: str
    """The id, as the name of the file or folder has it."""
    name: str
    file: str
    read: Callable[[], bytes]
    changed: tuple[int, ...]
    folder: str = ""
    """The path of the student's folder, where it is the folder's name that tells."""
    notes: list[str] = field(default_factory=list)

    def content(self) -> bytes:
        """What is in the file; nothing where it cannot be read, and a note that says so."""
        try:
            return self.read()
        except Exception as error:  # whatever is wrong with one file must not stop the class
            note = f"{self.file} cannot be read: {error}."
            if note not in self.notes:
                self.notes.append(note)
            return b""


@dataclass(frozen=True)
class _File:
    """A file in a folder or a zip."""

    name: str
    parts: list[str]
    """Of its path."""
    read: Callable[[], bytes]
    changed: tuple[int, ...]

    @property
    def is_notebook(self) -> bool:
        """By its name; browsers add .txt."""
        return ".ipynb" in self.parts[-1].lower()


@dataclass(frozen=True)
class Roster:
    """The class, as a CSV of the LMS has it."""

    columns: list[str]
    rows: list[dict[str, str]]
    """All of them, also those that are no student's."""
    id_column: str
    delimiter: str = ","

    def ids(self) -> list[str]:
        """Everybody's id, in order."""
        return [safe_id(row[self.id_column]) for row in self.rows if _is_student(row)]

    def names(self) -> dict[str, str]:
        """Everybody's name by the id, so far as the roster has names."""
        columns = next((names for names in NAMES if set(names) <= set(self.columns)), [])
        students = [row for row in self.rows if _is_student(row)]
        return {safe_id(row[self.id_column]): " ".join(row[column].strip() for column in columns) for row in students}


def _is_student(row: dict[str, str]) -> bool:
    """Whether a row is neither empty nor one of Canvas's own."""
    cells = [cell.strip() for cell in row.values() if cell.strip()]
    return bool(cells) and not any(cell.startswith(NO_STUDENT) for cell in cells)


def safe_id(text: str) -> str:
    """A student's id as a folder's name: letters, digits, dots, at, dashes. Moodle's "Participant 123" becomes 123."""
    text = unicodedata.normalize("NFC", text).strip()  # a Mac writes umlauts as two characters
    return re.sub(r"[^\w.@-]+", "-", MOODLE_ID.sub(r"\1", text))[:60].strip("-.@")


def read_roster(path: Path, id_column: str | None = None) -> Roster:
    """Read a roster.

    Args:
        path: a CSV with a header.
        id_column: the column of the students' ids; by default "id", "ID", "Identifier", "student" or "username".

    Raises:
        CourseError: no such file or column, a row that does not fit the header, or an id that is empty or there twice.
    """
    wanted = [id_column] if id_column else ["id", "ID", "Identifier", "student", "username"]
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = _delimiter(stream.readline(), wanted)
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=delimiter)
            columns, read = list(reader.fieldnames or []), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"the roster {path} cannot be read ({error}); expected a CSV with a header, in UTF-8.") from None
    for name in columns:
        if name and columns.count(name) > 1:
            raise CourseError(f"the roster has the column {name!r} twice; rename or delete one.")
    ids_in = next((name for name in wanted if name in columns), None)
    if ids_in is None:
        raise CourseError(f"the roster has the columns {', '.join(columns)}; which are the ids? For example --id-column email.")
    rows = []
    for number, row in enumerate(read, 2):
        if any(row.pop(None, [])):  # type: ignore[call-overload]
            raise CourseError(f"row {number} of the roster has more cells than the header; is there a comma without quotes?")
        rows.append({name: cell or "" for name, cell in row.items()})
        if _is_student(rows[-1]) and not safe_id(rows[-1][ids_in]):
            raise CourseError(f"row {number} of the roster has no id in the column {ids_in!r}.")
    roster = Roster(columns, rows, ids_in, delimiter)
    ids = roster.ids()
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise CourseError(f"the id {min(twice)!r} is on the roster twice.")
    return roster


def _delimiter(header: str, wanted: list[str]) -> str:
    """What stands between a header's columns: a comma, or what spreadsheets of some countries write."""
    columns = {mark: next(csv.reader([header], delimiter=mark), []) for mark in ",;\t"}
    return next((mark for mark in columns if set(columns[mark]) & set(wanted)), ",")


def collect(handed_in: Path, course: Course, assignment: str, roster: Roster | None = None) -> dict[str, dict[str, object]]:
    """Put everybody's file where nbgrader looks for it. It replaces an earlier file of the same student, and no other's.

    Args:
        handed_in: a folder, or a zip as an LMS gives it.
        course: where to.
        assignment: such as ps1_noise.
        roster: the class; None: whoever has handed something in.

    Returns:
        {student: {"name", "file", "notes"}}, also written to `collected/ASSIGNMENT.json`; "file" is None for nobody's file.

    Raises:
        CourseError: there is nothing, or a file that is nobody's, or one that may be of two students.
    """
    released = nbformat.read(course.released(assignment), as_version=4)
    known, names = (roster.ids(), roster.names()) if roster else ([], {})
    chosen: dict[str, Handed] = {}
    for one in _files(handed_in, assignment, known):
        student = safe_id(one.student)
        before = chosen.get(student)
        if before is not None and student not in known and _of_two(before, one):
            raise CourseError(
                f"{before.file} and {one.file} would both be of {student!r}; rename one, or name a roster with --roster."
            )
        chosen[student] = one if before is None else _better(before, one, released)
    if not chosen:
        raise CourseError(f"there is nothing in {handed_in}; expected notebooks, a folder for each student, or a zip of them.")
    earlier = read_collected(course, assignment)
    found: dict[str, dict[str, object]] = {}
    for student in dict.fromkeys([*known, *sorted({*chosen, *earlier})]):
        handed, path = chosen.get(student), course.original(assignment, student)
        if handed is None and student in earlier and path.exists():
            found[student] = {**earlier[student], "name": names.get(student) or earlier[student]["name"]}
            continue
        content = handed.content() if handed else b""
        if handed and not content and student in earlier and path.exists():
            notes = [*earlier[student]["notes"], f"{handed.file} is empty or cannot be read; the file from before was kept."]
            found[student] = {**earlier[student], "notes": notes}
            continue
        if handed is None:
            found[student] = {"name": names.get(student, ""), "file": None, "notes": ["nothing was handed in."]}
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        submit(course, assignment, student)
        notes = [*handed.notes, *(["is not on the roster."] if roster and student not in known else [])]
        found[student] = {"name": names.get(student) or handed.name, "file": handed.file, "notes": notes}
    course.collected(assignment).parent.mkdir(parents=True, exist_ok=True)
    write_json(course.collected(assignment), found)
    return found


def read_collected(course: Course, assignment: str) -> dict[str, dict[str, Any]]:
    """Everybody, as the last collection has left it; nobody before the first."""
    path = course.collected(assignment)
    content: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def submit(course: Course, assignment: str, student: str) -> None:
    """Write `submitted/` from what was handed in: repaired, or the empty notebook where it cannot be read."""
    released = nbformat.read(course.released(assignment), as_version=4)
    try:
        notebook, _ = repair(read_notebook(course.original(assignment, student).read_bytes())[0], released)
    except UnreadableError as error:
        notebook = released
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"**This notebook is empty**: {error}"))
    path = course.submitted(assignment, student)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def _of_two(one: Handed, other: Handed) -> bool:
    """Whether two files of one id may be of two students: the ids were not written alike, or the folders are two."""
    return one.student != other.student or bool(one.folder and other.folder and one.folder != other.folder)


def _better(one: Handed, other: Handed, released: nbformat.NotebookNode) -> Handed:
    """Of two files of one student: the one that is this assignment's; of two such, the later one."""

    def rank(handed: Handed) -> tuple[float, tuple[int, ...], str]:
        try:
            share = assignment_share(read_notebook(handed.content())[0], released)
        except UnreadableError:
            share = -1.0
        return (share > 0) - (share < 0), handed.changed, handed.file

    best, worst = (one, other) if rank(one) > rank(other) else (other, one)
    best.notes = [*one.notes, *other.notes, f"more than one file; {worst.file} was left out."]
    return best


def _files(handed_in: Path, assignment: str, known: Collection[str]) -> Iterator[Handed]:
    """All that was handed in, and whose it is."""
    files = [one for one in _list(handed_in) if one.parts and not any(map(_is_ignored, one.parts))]
    around = _folders_around(files, assignment)
    for one in files:
        whose = list(_whose(one.parts, assignment, around))
        if not whose and one.is_notebook:
            raise CourseError(f"{one.name} does not tell whose it is; put the student's name into its own, or into a folder's.")
        if whose:
            student, name, folder = next((found for found in whose if safe_id(found[0]) in known), whose[0])
            yield Handed(student, name, one.name, one.read, one.changed, folder)


def _list(handed_in: Path) -> Iterator[_File]:
    """The files of a folder or a zip, by name. Nothing is unpacked to where a name points."""
    if handed_in.is_dir():
        for path in sorted(handed_in.rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = _clean(path.relative_to(handed_in).as_posix())
                yield _File(name, _parts(name), partial(_read_file, path), (int(path.stat().st_mtime),))
        return
    try:
        with zipfile.ZipFile(handed_in) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise CourseError(f"{handed_in} cannot be read ({error}); expected a folder, or a zip as the LMS gives it.") from None
    for member in sorted(members, key=lambda one: one.filename):
        name = _clean(member.filename)
        inside = name.replace("\\", "/")  # as some tools of Windows write it
        if not inside.endswith("/"):
            yield _File(name, _parts(inside), partial(_read_member, handed_in, member), member.date_time)


def _clean(name: str) -> str:
    """A name that any file can hold, with umlauts as one character each."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())


def _parts(name: str) -> list[str]:
    return [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..")]


def _is_ignored(part: str) -> bool:
    return part in IGNORED or part.startswith("._")


def _read_file(path: Path) -> bytes:
    """A file's bytes; of one that is larger than is read at all, too many to be a notebook."""
    with path.open("rb") as stream:
        return stream.read(SIZE_LIMIT + 1)


def _read_member(archive: Path, member: zipfile.ZipInfo) -> bytes:
    """The same of a zip's member, whatever size it claims to have."""
    if member.flag_bits & 1:
        raise ValueError("it is encrypted")
    with zipfile.ZipFile(archive) as opened, opened.open(member) as stream:
        return stream.read(SIZE_LIMIT + 1)


def _folders_around(files: list[_File], assignment: str) -> int:
    """How many folders lie around everything and are no student's: each notebook directly in them has a name of its own."""
    notebooks = [one.parts for one in files if one.is_notebook]
    if len(notebooks) < 2:
        return 0
    levels = zip(*(parts[:-1] for parts in notebooks), strict=False)
    depth = len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
    return depth if all(_own_name(parts[-1], assignment) for parts in notebooks if len(parts) == depth + 1) else 0


def _whose(parts: list[str], assignment: str, around: int) -> Iterator[tuple[str, str, str]]:
    """Whose a file may be, the likeliest first: the student's id, name, and folder where it is the folder that tells."""
    for part in parts:
        if match := MOODLE.match(part) or CANVAS.match(part):
            yield match["number"], match["name"], ""
    own = _own_name(parts[-1], assignment)
    folders = [(part, part, "/".join(parts[: place + 1])) for place, part in enumerate(parts[:-1])]
    whose = [*reversed(folders[around:]), (own, own, ""), *reversed(folders[:around])]
    yield from (one for one in whose if one[0] != assignment and safe_id(one[0]))


def _own_name(file: str, assignment: str) -> str:
    """The student's name in a file's: "Copy of ps1_noise - alice (1).ipynb" is alice's."""
    stem = re.sub(r"\.ipynb.*$|\.\w{1,5}$", "", file, flags=re.IGNORECASE)
    stem = re.sub(r"\s*\(\d+\)$", "", stem)
    stem = re.sub(re.escape(assignment), "", stem, flags=re.IGNORECASE).strip()
    return re.sub(r"^(copy of\s*)+", "", stem, flags=re.IGNORECASE).strip(" _-.")
