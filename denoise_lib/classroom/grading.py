"""Grade a class: verdicts in parallel, then nbgrader's gradebook, then the tables and pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..internal.parallel import check_scheduler, run_jobs
from .collect import read_collected
from .course import Course, CourseError
from .sandbox.bubblewrap import choose_sandbox
from .sandbox.process import Limits
from .verdicts import (
    NOTHING,
    UNREADABLE,
    WRITTEN,
    fingerprint_of,
    judge,
    keep_verdict,
    kept_verdict,
    overall,
    submission,
    verdict,
)


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
    """Everybody, from the last collection, and whoever else has a notebook in `submitted`."""
    found = read_collected(course, assignment)
    for student in course.students(assignment):
        found.setdefault(student, {"name": "", "file": student, "notes": []})
    if not found:
        raise CourseError(f"nothing of {assignment} is collected in {course.root}; run `class collect` first.")
    return found


def grade(
    course: Course,
    assignment: str,
    *,
    jobs: int = 2,
    scheduler: str | None = None,
    sandbox: str | None = None,
    limits: Limits | None = None,
    progress: bool = True,
) -> list[Row]:
    """Grade what has been collected, and write it into the gradebook.

    Args:
        course: the class.
        assignment: such as ps1_noise.
        jobs: students at a time, each in a process of its own.
        scheduler: a Dask scheduler's address, such as 'tcp://192.168.0.10:8786': its workers run the students' code, behind
            the sandbox that they have; all files stay here.
        sandbox: "weak" where there is no bubblewrap.
        limits: of time and memory, for each student.
        progress: a bar in a terminal.

    Returns:
        One row a student. What has not changed since the last time is not run again.
    """
    course.released(assignment)
    check_scheduler(scheduler)
    people = collected(course, assignment)
    hidden = not (progress and sys.stderr.isatty())
    if scheduler is None:
        done = _judged_here(course, assignment, [*people], jobs, choose_sandbox(sandbox), limits)
    else:
        done = _judged_there(course, assignment, [*people], scheduler, sandbox, limits)
    for _ in tqdm(done, "grading", len(people), unit="student", disable=hidden):
        pass  # each verdict is in the cache as soon as it is there
    problems = _into_gradebook(course, assignment, people, hidden)
    rows = read_rows(course, assignment)
    for row in rows:
        row.notes += problems.get(row.student, [])
    return rows


def _judged_here(
    course: Course, assignment: str, students: list[str], jobs: int, sandbox: str, limits: Limits | None
) -> Iterator[str]:
    """Whose verdict is there, one after the other. Threads are enough: students' code runs in processes of its own."""
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(verdict, course, assignment, one, sandbox=sandbox, limits=limits): one for one in students}
        try:
            for done in as_completed(running):
                done.result()
                yield running[done]
        except BaseException:  # Ctrl-C, too: those who have begun come to their end, and nobody else begins
            pool.shutdown(cancel_futures=True)
            raise


def _judged_there(
    course: Course, assignment: str, students: list[str], scheduler: str, sandbox: str | None, limits: Limits | None
) -> Iterator[str]:
    """The same on a cluster: the workers get what was handed in, and what they say is kept here."""
    todo = [student for student in students if kept_verdict(course, assignment, student, limits) is None]
    yield from (student for student in students if student not in todo)
    submissions = [submission(course, assignment, student, sandbox=sandbox, limits=limits) for student in todo]
    for one, found in run_jobs(judge, submissions, scheduler=scheduler):
        keep_verdict(course, assignment, one.name, found)
        yield one.name


def _into_gradebook(course: Course, assignment: str, people: dict[str, Any], hidden: bool) -> dict[str, list[str]]:
    """Let nbgrader autograde what is older than its verdict; returns what went wrong, by student."""
    from nbgrader.api import Gradebook

    from .nbgrader_api import open_api

    problems: dict[str, list[str]] = {}
    with open_api(course) as api:
        with Gradebook(course.gradebook) as gradebook:
            for student, about in people.items():
                gradebook.update_or_create_student(student, **({"last_name": about["name"]} if about["name"] else {}))
        for student in tqdm(people, "gradebook", unit="student", disable=hidden):
            done = course.root / "autograded" / student / assignment / f"{assignment}.ipynb"
            if not course.submitted(assignment, student).exists() or _is_newer(done, course.verdict(assignment, student)):
                continue
            if not _succeeded(result := api.autograde(assignment, student)):
                words = str(result.get("error") or result.get("log") or "").strip().splitlines()
                problems[student] = [f"nbgrader could not take it: {words[-1] if words else 'no reason given'}"]
    return problems


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _succeeded(result: dict[str, Any]) -> bool:
    """Whether nbgrader has done it; a Ctrl-C, which it takes for an error like others, goes on from here."""
    if "KeyboardInterrupt" in str(result.get("error")):
        raise KeyboardInterrupt
    return bool(result["success"])


def read_rows(course: Course, assignment: str) -> list[Row]:
    """One row a student, with the points that stand in the gradebook: those of a person go before the machine's."""
    from nbgrader.api import Gradebook, MissingEntry

    rows = []
    course.released(assignment)
    people = collected(course, assignment)
    with Gradebook(course.gradebook) as gradebook:
        for student, about in people.items():
            path = course.verdict(assignment, student)
            if not path.exists():
                raise CourseError(f"{assignment} is not graded yet in {course.root}; run `class grade {assignment}` first.")
            found = json.loads(path.read_text(encoding="utf-8"))
            notes = [*about["notes"], *(note for note in found["notes"] if note not in about["notes"])]
            if found["fingerprint"] not in ("", fingerprint_of(course, assignment, student)):
                notes.append(f"something has changed since it was graded; run `class grade {assignment}`.")
            try:
                grades = {grade.name: grade for grade in gradebook.find_submission(assignment, student).notebooks[0].grades}
            except MissingEntry:  # nothing was handed in
                grades = {}
            notes += _with_manual(found["items"], grades)
            rows.append(Row(student, about["name"], overall(found), found["items"], found.get("psnr"), notes))
    return rows


def _with_manual(items: dict[str, dict[str, Any]], grades: dict[str, Any]) -> list[str]:
    """Put in the points that the gradebook has from a person; returns notes."""
    notes = []
    for name, row in items.items():
        given = grades.get(row["cell"])
        if given is None:
            continue
        if given.manual_score is not None:
            row["points"] = given.manual_score
            if given.needs_manual_grade:
                notes.append(f"{name}: the points were given before it was last graded; look again.")
        elif row["kind"] == WRITTEN and given.auto_score is not None:  # nbgrader gives 0 for an answer that was left empty
            row["points"], row["status"] = given.auto_score, "not attempted"
        if row["points"] is not None:
            row["points"] += given.extra_credit or 0.0
    return notes


def feedback(course: Course, assignment: str) -> int:
    """Write a page for each student into `feedback/`, with nbgrader; returns how many."""
    from .nbgrader_api import open_api

    count = 0
    with open_api(course) as api:
        for student in collected(course, assignment):
            if (course.root / "autograded" / student / assignment).exists():
                count += _succeeded(api.generate_feedback(assignment, student))
    return count


def handed_in(rows: Sequence[Row]) -> list[Row]:
    """The rows of those whose notebook could be read."""
    return [row for row in rows if row.status not in (NOTHING, UNREADABLE)]
