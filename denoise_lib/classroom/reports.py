"""Points as CSV: a table of all there is, and the LMS's own table with a column filled in."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .collect import Roster, safe_id
from .course import Course
from .grading import Row
from .pages import class_page, students_page


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One row a student: status, points, and points and status of each item."""
    names = list(rows[0].items) if rows else []
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        about = ["student", "name", "status", "points", "max", "to be read"]
        writer.writerow([*about, *names, *(f"{name} status" for name in names), "notes"])
        for row in rows:
            items = [row.items[name] for name in names]
            points = ["" if item["points"] is None else f"{item['points']:g}" for item in items]
            told = [row.student, _cell(row.name), row.status, f"{row.points:g}", f"{row.most:g}", row.waiting]
            writer.writerow([*told, *points, *map(_status, items), _cell(" ".join(row.notes))])


def _status(item: dict[str, Any]) -> str:
    return f"{item['status']}: {item['mistake']}" if item["status"] == "wrong" else str(item["status"])


def _cell(text: str) -> str:
    """No formula for a spreadsheet to run."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def write_lms_csv(rows: Sequence[Row], roster: Roster, column: str, path: Path) -> None:
    """The roster as it came, with the points in a column, to be imported where the roster came from."""
    points = {row.student: f"{row.points:g}" for row in rows}
    columns = [*roster.columns, *([] if column in roster.columns else [column])]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        for one in roster.rows:
            writer.writerow({**one, column: points.get(safe_id(one[roster.id_column]), "")})


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
