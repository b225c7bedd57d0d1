"""Grade a class: verdicts in parallel, then nbgrader's gradebook, then the tables and pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from .collect import read_collected
from .course import Course, CourseError
from .fence import choose_fence
from .process import Limits
from .verdicts import NOTHING, UNREADABLE, WRITTEN, overall, verdict


@dataclass
class Row:
    """One student, whatever happened."""

    student: str
    name: str
    status: str
    """See `verdicts.overall`."""
    items: dict[str, dict[str, Any]]
    """By the item's name: the verdict's, with the points that a person gave, where one did."""
    psnr: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def points(self) -> float:
        """All that were given so far."""
        return sum(float(row["points"]) for row in self.items.values() if row["points"] is not None)

    @property
    def most(self) -> float:
        """All that can be given."""
        return sum(float(row["max"]) for row in self.items.values())

    @property
    def waiting(self) -> int:
        """Answers that a person still has to read."""
        return sum(row["points"] is None for row in self.items.values())


def collected(course: Course, assignment: str) -> dict[str, dict[str, Any]]:
    """Everybody, from the last collection; without one, whoever has a notebook in `submitted`."""
    if found := read_collected(course, assignment):
        return found
    found = {one: {"name": "", "file": one, "notes": []} for one in course.students(assignment)}
    if not found:
        raise CourseError(
            f"nothing of {assignment} is collected in {course.root}; run `class collect {assignment} FOLDER` first."
        )
    return found


def grade(
    course: Course,
    assignment: str,
    *,
    jobs: int = 2,
    fence: str | None = None,
    limits: Limits | None = None,
    progress: bool = True,
) -> list[Row]:
    """Grade what has been collected, and write it into the gradebook.

    Args:
        course: the class.
        assignment: such as ps1_noise.
        jobs: students at a time, each in a process of its own.
        fence: "weak" where there is no bubblewrap.
        limits: of time and memory, for each student.
        progress: a bar in a terminal.

    Returns:
        One row a student. What has not changed since the last time is not run again.
    """
    course.released(assignment)
    fence = choose_fence(fence)
    people = collected(course, assignment)
    fresh = set()
    hidden = not (progress and sys.stderr.isatty())
    with ThreadPoolExecutor(jobs) as pool:
        before = {student: _stamp(course, assignment, student) for student in people}
        running = {pool.submit(verdict, course, assignment, student, fence=fence, limits=limits): student for student in people}
        for done in tqdm(as_completed(running), "grading", len(people), unit="student", disable=hidden):
            student = running[done]
            done.result()
            if _stamp(course, assignment, student) != before[student]:
                fresh.add(student)
    problems = _into_gradebook(course, assignment, people, fresh, hidden)
    rows = read_rows(course, assignment)
    for row in rows:
        row.notes += problems.get(row.student, [])
    return rows


def _stamp(course: Course, assignment: str, student: str) -> int:
    path = course.verdict(assignment, student)
    return path.stat().st_mtime_ns if path.exists() else 0


def _into_gradebook(
    course: Course, assignment: str, people: dict[str, Any], fresh: set[str], hidden: bool
) -> dict[str, list[str]]:
    """Let nbgrader autograde; returns what went wrong, by student."""
    from nbgrader.api import Gradebook

    problems: dict[str, list[str]] = {}
    with course.api() as api:
        with Gradebook(course.gradebook) as gradebook:
            for student, about in people.items():
                gradebook.update_or_create_student(student, **({"last_name": about["name"]} if about["name"] else {}))
        for student in tqdm(people, "gradebook", unit="student", disable=hidden):
            done = course.root / "autograded" / student / assignment
            if not course.submitted(assignment, student).exists() or (student not in fresh and done.exists()):
                continue
            result = api.autograde(assignment, student)
            if not result["success"]:
                words = str(result.get("error") or result.get("log") or "").strip().splitlines()
                problems[student] = [f"nbgrader could not take it: {words[-1] if words else 'no reason given'}"]
    return problems


def read_rows(course: Course, assignment: str) -> list[Row]:
    """One row a student, with the points that stand in the gradebook: those of a person go before the machine's."""
    from nbgrader.api import Gradebook, MissingEntry

    rows = []
    with Gradebook(course.gradebook) as gradebook:
        for student, about in collected(course, assignment).items():
            path = course.verdict(assignment, student)
            if not path.exists():
                raise CourseError(f"{assignment} is not graded yet in {course.root}; run `class grade {assignment}` first.")
            found = json.loads(path.read_text(encoding="utf-8"))
            items = found["items"]
            if found["status"] != NOTHING:
                try:
                    grades = {grade.name: grade for grade in gradebook.find_submission(assignment, student).notebooks[0].grades}
                except MissingEntry:
                    grades = {}
                _with_manual(items, grades)
            notes = [*about["notes"], *(note for note in found["notes"] if note not in about["notes"])]
            rows.append(Row(student, about["name"], overall(found), items, found.get("psnr"), notes))
    return rows


def _with_manual(items: dict[str, dict[str, Any]], grades: dict[str, Any]) -> None:
    for row in items.values():
        given = grades.get(row["cell"])
        if given is None:
            continue
        if given.manual_score is not None:
            row["points"] = given.manual_score + (given.extra_credit or 0.0)
        elif row["kind"] == WRITTEN and given.auto_score is not None:  # nbgrader gives 0 for an answer that was left empty
            row["points"], row["status"] = given.auto_score, "not attempted"


def feedback(course: Course, assignment: str) -> int:
    """Write a page for each student into `feedback/`, with nbgrader; returns how many."""
    count = 0
    with course.api() as api:
        for student in collected(course, assignment):
            if (course.root / "autograded" / student / assignment).exists():
                count += bool(api.generate_feedback(assignment, student)["success"])
    return count


def handed_in(rows: Sequence[Row]) -> list[Row]:
    """The rows of those whose notebook could be read."""
    return [row for row in rows if row.status not in (NOTHING, UNREADABLE)]
