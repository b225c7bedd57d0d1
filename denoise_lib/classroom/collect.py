"""Collect what was handed in, a folder or a zip of an LMS: `handed_in/` keeps it, nbgrader's `submitted/` has it repaired.

Moodle and Canvas put the student's number into the names of files and folders; in other folders the folder's name is the
student's, or else the file's. With a roster, everybody on it gets a row, and whoever is not on it is told.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import nbformat

from ..results import write_json
from .course import Course, CourseError
from .repair import SIZE_LIMIT, UnreadableError, assignment_share, read_notebook, repair

MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_\w+?(?:_(?P<file>[^/]*))?$")
CANVAS = re.compile(r"^(?P<name>[^_\W]+)_(?:LATE_)?(?P<number>\d+)_\d+_(?P<file>.+)$", re.IGNORECASE)
IGNORED = ("__MACOSX", ".ipynb_checkpoints", ".DS_Store", ".git")


@dataclass
class Handed:
    """One student's file."""

    student: str
    name: str
    file: str
    content: bytes
    changed: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Roster:
    """The class, as a CSV of the LMS has it."""

    columns: list[str]
    rows: list[dict[str, str]]
    id_column: str

    def ids(self) -> list[str]:
        """Everybody's id, in order."""
        return [safe_id(row[self.id_column]) for row in self.rows]


def safe_id(text: str) -> str:
    """A student's id as a folder's name: letters, digits, dots, at, dashes. Moodle's "Participant 123" becomes 123."""
    text = re.sub(r"^Participant\s+(\d+)$", r"\1", text.strip())
    return re.sub(r"[^\w.@-]+", "-", text).strip("-.")[:80]


def read_roster(path: Path, id_column: str | None = None) -> Roster:
    """Read a roster.

    Args:
        path: a CSV with a header.
        id_column: the column of the students' ids; by default "id", "ID", "Identifier", "student" or "username".

    Raises:
        CourseError: no such file or column, or an id that is empty or there twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns, rows = list(reader.fieldnames or []), [dict(row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"the roster {path} cannot be read ({error}); expected a CSV with a header.") from None
    usual = [name for name in ("id", "ID", "Identifier", "student", "username") if name in columns]
    if (id_column is None and not usual) or (id_column is not None and id_column not in columns):
        raise CourseError(f"the roster has the columns {', '.join(columns)}; which are the ids? For example --id-column email.")
    roster = Roster(columns, [row for row in rows if (row[id_column or usual[0]] or "").strip()], id_column or usual[0])
    ids = roster.ids()
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise CourseError(f"the id {min(twice)!r} is on the roster twice.")
    return roster


def collect(handed_in: Path, course: Course, assignment: str, roster: Roster | None = None) -> dict[str, dict[str, object]]:
    """Put everybody's file where nbgrader looks for it.

    Args:
        handed_in: a folder, or a zip as an LMS gives it.
        course: where to.
        assignment: such as ps1_noise.
        roster: the class; None: whoever has handed something in.

    Returns:
        {student: {"name", "file", "notes"}}, also written to `collected/ASSIGNMENT.json`; "file" is None for nobody's file.
    """
    released = nbformat.read(course.released(assignment), as_version=4)
    chosen: dict[str, Handed] = {}
    for one in _files(handed_in, assignment):
        before = chosen.get(one.student)
        chosen[one.student] = one if before is None else _better(before, one, released)
    known = roster.ids() if roster else []
    found: dict[str, dict[str, object]] = {}
    for student in [*known, *sorted(set(chosen) - set(known))]:
        handed = chosen.get(student)
        for old in (course.original(assignment, student), course.submitted(assignment, student)):
            old.unlink(missing_ok=True)
        if handed is None:
            found[student] = {"name": "", "file": None, "notes": ["nothing was handed in."]}
            continue
        path = course.original(assignment, student)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(handed.content)
        submit(course, assignment, student)
        notes = [*handed.notes, *(["is not on the roster."] if roster and student not in known else [])]
        found[student] = {"name": handed.name, "file": handed.file, "notes": notes}
    if not found:
        raise CourseError(f"there is nothing in {handed_in}; expected notebooks, a folder for each student, or a zip of them.")
    course.collected(assignment).parent.mkdir(parents=True, exist_ok=True)
    write_json(course.collected(assignment), found)
    return found


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


def _better(one: Handed, other: Handed, released: nbformat.NotebookNode) -> Handed:
    """Of two files of one student: the one that is this assignment's; of two such, the later one."""

    def rank(handed: Handed) -> tuple[float, tuple[int, ...], str]:
        try:
            share = assignment_share(read_notebook(handed.content)[0], released)
        except UnreadableError:
            share = -1.0
        return (share > 0) - (share < 0), handed.changed, handed.file

    best = max(one, other, key=rank)
    worst = other if best is one else one
    best.notes = [*one.notes, *other.notes, f"more than one file; {worst.file} was left out."]
    return best


def _files(handed_in: Path, assignment: str) -> Iterator[Handed]:
    if handed_in.is_dir():
        for path in sorted(handed_in.rglob("*")):
            inside = PurePosixPath(path.relative_to(handed_in).as_posix())
            if path.is_file() and not path.is_symlink() and (who := _whose(inside, assignment)):
                content = path.read_bytes() if path.stat().st_size <= SIZE_LIMIT else b" " * (SIZE_LIMIT + 1)
                yield Handed(*who, str(inside), content, (int(path.stat().st_mtime),))
        return
    try:
        with zipfile.ZipFile(handed_in) as archive:
            for member in sorted(archive.infolist(), key=lambda one: one.filename):
                who = None if member.is_dir() else _whose(PurePosixPath(member.filename.replace("\\", "/")), assignment)
                if who:  # nothing is unpacked to where a name in the archive points
                    yield Handed(*who, member.filename, _read(archive, member), member.date_time)
    except (OSError, zipfile.BadZipFile) as error:
        raise CourseError(f"{handed_in} cannot be read ({error}); expected a folder, or a zip as the LMS gives it.") from None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes; of one that is larger than it says, or than is read at all, too many to be a notebook."""
    with archive.open(member) as stream:
        return stream.read(SIZE_LIMIT + 1)


def _whose(path: PurePosixPath, assignment: str) -> tuple[str, str] | None:
    """Id and name of the student who handed a file in; None for what is no work."""
    parts = [part for part in path.parts if part not in ("/", "..", ".")]
    if not parts or any(part in IGNORED or part.startswith("._") for part in parts):
        return None
    for part in parts:
        if match := MOODLE.match(part) or CANVAS.match(part):
            return safe_id(match["number"]), match["name"]
    if len(parts) > 1:
        places = [part for part in parts[:-1] if part != assignment]
        if places and safe_id(places[-1]):
            return safe_id(places[-1]), places[-1]
    name = re.sub(r"\s*\(\d+\)$", "", PurePosixPath(parts[-1]).name.split(".ipynb")[0])
    name = re.sub(re.escape(assignment), "", name, flags=re.IGNORECASE).strip(" _-.")
    return (safe_id(name), name) if safe_id(name) else None
