"""Points as CSV: a table of all there is, and the LMS's own table with a column filled in."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .collect import Roster, safe_id
from .course import Course, CourseError
from .grading import Row
from .pages import class_page, students_page


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One row a student: status, points, and points and status of each item."""
    names = list(dict.fromkeys(name for row in rows for name in row.items))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        about = ["student", "name", "status", "points", "max", "to be read"]
        writer.writerow([*about, *names, *(f"{name} status" for name in names), "notes"])
        for row in rows:
            items = [row.items.get(name) for name in names]
            points = ["" if item is None or item["points"] is None else f"{item['points']:g}" for item in items]
            fixed = [_cell(row.student), _cell(row.name), row.status, f"{row.points:g}", f"{row.most:g}", row.waiting]
            writer.writerow([*fixed, *points, *map(_status, items), _cell(" ".join(row.notes))])


def _status(item: dict[str, Any] | None) -> str:
    if item is None:  # graded before the problem set had it
        return ""
    return f"{item['status']}: {item['mistake']}" if item["status"] == "wrong" else str(item["status"])


def _cell(text: str) -> str:
    """No formula for a spreadsheet to run; it may pass over white space and take wide letters for narrow ones."""
    return f"'{text}" if unicodedata.normalize("NFKC", text).strip()[:1] in ("=", "+", "-", "@") else text


def write_lms_csv(rows: Sequence[Row], roster: Roster, column: str, path: Path) -> None:
    """The roster as it came, with the points in a column, to be imported where the roster came from.

    Raises:
        CourseError: the column is that of the ids.
    """
    if column == roster.id_column:
        raise CourseError(f"{column!r} is the roster's column of ids; name another one for the points with --column.")
    points = {row.student: f"{row.points:g}" for row in rows}
    columns = [*roster.columns, *([] if column in roster.columns else [column])]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, delimiter=roster.delimiter)
        writer.writeheader()
        for one in roster.rows:  # one that is not graded keeps what it has
            writer.writerow({**one, column: points.get(safe_id(one[roster.id_column]), one.get(column, ""))})


def write_reports(
    rows: Sequence[Row], course: Course, assignment: str, roster: Roster | None = None, column: str | None = None
) -> list[Path]:
    """All tables and pages; returns their paths."""
    folder = course.reports(assignment)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("class.html", "students.html", "grades.csv")]
    paths[0].write_text(class_page(rows, assignment), encoding="utf-8")
    paths[1].write_text(students_page(rows, course, assignment), encoding="utf-8")
    write_csv(rows, paths[2])
    if roster is not None:
        paths.append(folder / "lms.csv")
        write_lms_csv(rows, roster, column or assignment, paths[-1])
    return paths
