"""The verdict on one submission: every graded item with its points and what was wrong, kept as JSON.

It depends on the file that was handed in and on the class's seed alone, so it is made once, and again only when one of them,
the problem set or the library has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from .. import classroom, exercises
from ..exercises.checker import EXERCISES
from ..exercises.exercise import NOT_ATTEMPTED, RIGHT, Outcome
from ..exercises.judging import NEARLY_RIGHT
from ..internal.atomic_write import write_json
from . import leaderboard
from .course import Course, CourseError
from .question_bank import QUESTIONS
from .repair import UnreadableError, assignment_share, is_put_back, read_notebook, repair
from .sandbox.bubblewrap import SandboxMissingError, choose_sandbox
from .sandbox.process import CRASHED, TIMED_OUT, Limits, WorkerError
from .sandbox.run_submission import MISSING, run_submission
from .sandbox.worker import short_error

NOTHING, UNREADABLE, HANDED_IN = "nothing handed in", "unreadable", "handed in"
"""What there is of a student."""
WRITTEN = "written"
"""The status of an answer that a person reads."""
NEEDS_REVIEW = "the code mentions the course's own solutions; have a look."
"""A note for the instructor alone."""
REPORT = re.compile(r"\s*check\.report\([^()]*\)\s*$")
"""A cell that tells of checks, of which none is run here."""
# A warning for the instructor, no proof: the published solutions can be imported.
_BANKS = "|".join(sorted({exercise.solution.__module__.rpartition(".")[2] for exercise in EXERCISES.values()}))
IMPORTS_SOLUTION = re.compile(
    rf"\bexercises(?:\.|\s+import\s[^\n]*)(?:{_BANKS})\b"
    r"|\binspect\.getsource\b|\b_getframe\b|\.exercise\.solution\b|\bEXERCISES\b"
)


@dataclass(frozen=True)
class Item:
    """Something in an assignment that has points."""

    name: str
    cell: str
    """The graded cell's id for nbgrader."""
    points: float
    kind: str
    """`exercise`, `question`, `network` or `written`."""


def items(released: NotebookNode) -> list[Item]:
    """All that has points in a released notebook, in order."""
    found = []
    for cell in released.cells:
        grading = cell.metadata.get("nbgrader", {})
        if not grading.get("grade"):
            continue
        name = grading["grade_id"].removesuffix("-check")
        if cell.cell_type == "markdown":
            kind = WRITTEN
        else:
            kind = "exercise" if name in EXERCISES else "question" if name in QUESTIONS else "network"
        found.append(Item(name, grading["grade_id"], float(grading["points"]), kind))
    return found


@dataclass(frozen=True)
class Submission:
    """One student's work and all that its verdict depends on: it can be judged on another machine."""

    name: str
    """The student's id."""
    content: bytes | None
    """The file, as it came; None for nothing."""
    released: bytes
    """The notebook that students got."""
    seed: int
    sandbox: str | None
    limits: Limits
    fingerprint: str


def verdict(
    course: Course, assignment: str, student: str, *, sandbox: str | None = None, limits: Limits | None = None
) -> dict[str, Any]:
    """The verdict on what a student handed in, from the cache where nothing has changed.

    Returns:
        {"status", "notes", "items": {name: {"status", "mistake", "sentence", "points", "max", "kind", "cell"}}, "cells":
        {place: {"text", "error", "pictures"}}, "psnr", "fingerprint"}; points are None for what a person reads.
    """
    kept = kept_verdict(course, assignment, student, limits)
    if kept is not None:
        return kept
    found = judge(submission(course, assignment, student, sandbox=sandbox, limits=limits))
    keep_verdict(course, assignment, student, found)
    return found


def kept_verdict(course: Course, assignment: str, student: str, limits: Limits | None = None) -> dict[str, Any] | None:
    """The verdict in the cache; None where there is none, or something has changed since."""
    kept = _read(course.verdict(assignment, student))
    # What stopped for want of time or memory is tried again when it is given other limits.
    same = kept is not None and (limits is None or not kept.get("stopped") or kept["limits"] == asdict(limits))
    return kept if kept and same and kept.get("fingerprint") == fingerprint_of(course, assignment, student) else None


def submission(
    course: Course, assignment: str, student: str, *, sandbox: str | None = None, limits: Limits | None = None
) -> Submission:
    """What a student handed in, to be judged."""
    fingerprint, content = fingerprint_of(course, assignment, student), _content(course, assignment, student)
    released = course.released(assignment).read_bytes()
    return Submission(student, content, released, course.seed, sandbox, limits or Limits(), fingerprint)


def judge(submission: Submission) -> dict[str, Any]:
    """Make the verdict; it is not written to the cache."""
    released = nbformat.reads(submission.released.decode(), as_version=4)
    fingerprint = submission.fingerprint
    try:
        found = _make(submission.content, released, submission.seed, submission.sandbox, submission.limits)
    except (WorkerError, SandboxMissingError, CourseError):
        raise
    except Exception as error:  # a way to break that nobody has thought of costs nobody else a thing, and is tried again
        found, fingerprint = _nothing(items(released), HANDED_IN, f"could not be graded: {short_error(error)}", CRASHED), ""
    return found | {"fingerprint": fingerprint, "limits": asdict(submission.limits)}


def keep_verdict(course: Course, assignment: str, student: str, found: dict[str, Any]) -> None:
    """Put a verdict into the cache."""
    write_json(course.verdict(assignment, student), found)


def _content(course: Course, assignment: str, student: str) -> bytes | None:
    """What was handed in, as it came; None for nothing."""
    choices = [course.original(assignment, student), course.submitted(assignment, student)]  # the latter: nbgrader collected it
    path = next((path for path in choices if path.exists()), None)
    return None if path is None else path.read_bytes()


def fingerprint_of(course: Course, assignment: str, student: str) -> str:
    """It changes with all on which a verdict depends."""
    content, released = _content(course, assignment, student) or b"", course.released(assignment).read_bytes()
    digest = hashlib.sha256(str(course.seed).encode())
    for part in (content, released, *(path.read_bytes() for path in judging_code())):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def judging_code() -> list[Path]:
    """The files that decide a verdict: all modules of the rooms of exercises and of the classroom."""
    return [path for room in (exercises, classroom) for path in sorted(Path(room.__path__[0]).rglob("*.py"))]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _make(content: bytes | None, released: NotebookNode, seed: int, sandbox: str | None, limits: Limits) -> dict[str, Any]:
    todo = items(released)
    if content is None:
        return _nothing(todo, NOTHING, "nothing was handed in.")
    try:
        submitted, shown = read_notebook(content)
    except UnreadableError as error:
        return _nothing(todo, UNREADABLE, str(error))
    repaired, notes = repair(submitted, released)
    if assignment_share(submitted, released) == 0:
        notes.insert(0, "no graded cell of this assignment is in the file: is it the right one?")
    # Not run: the checks, which are made here; and answers that are not the student's.
    sources = [
        "" if is_put_back(cell) or cell.metadata.get("nbgrader", {}).get("locked") or REPORT.match(cell.source) else cell.source
        for cell in repaired.cells
        if cell.cell_type == "code"
    ]
    if any(IMPORTS_SOLUTION.search(source) for source in sources):
        notes.append(NEEDS_REVIEW)
    functions = [item.name for item in todo if item.kind in ("exercise", "network")]
    files, problem = leaderboard.files_for(shown, seed) if leaderboard.NETWORK in functions else ({}, None)
    found = run_submission(
        sources,
        functions, [item.name for item in todo if item.kind == "question"],
        seed=seed, sandbox=choose_sandbox(sandbox), limits=limits, files=files,
        definitions_alone=leaderboard.NETWORK in functions,
    )  # fmt: skip
    result: dict[str, Any] = {"status": HANDED_IN, "notes": [*notes, *found.notes], "items": {}, "psnr": None}
    result["stopped"] = bool(found.notes)
    for item in todo:
        share: float | None
        if item.kind == WRITTEN:
            outcome, share = Outcome(item.name, WRITTEN, None, "read by a person."), None
        elif item.kind == "question":
            outcome = QUESTIONS[item.name].judge(found.answers.get(item.name, ""), seed)
            share = float(outcome.status == RIGHT)
        elif item.kind == "network":
            outcome, share, result["psnr"] = leaderboard.score(found, problem, seed)
        else:
            outcome = found.outcomes[item.name]
            share = 1.0 if outcome.status == RIGHT else 0.5 if outcome.mistake in NEARLY_RIGHT else 0.0
        result["items"][item.name] = _row(item, outcome, share)
    result["cells"] = {str(place): cell for place, cell in found.cells.items()}
    return result


def _nothing(todo: list[Item], status: str, note: str, what: str = MISSING) -> dict[str, Any]:
    rows = {item.name: _row(item, Outcome(item.name, what, None, note), 0.0) for item in todo}
    return {"status": status, "notes": [note], "items": rows, "psnr": None, "cells": {}, "stopped": False}


def _row(item: Item, outcome: Outcome, share: float | None) -> dict[str, Any]:
    points = None if share is None else round(2 * share * item.points) / 2
    return {
        "status": outcome.status, "mistake": outcome.mistake, "sentence": outcome.sentence,
        "points": points, "max": item.points, "kind": item.kind, "cell": item.cell,
    }  # fmt: skip


def overall(found: dict[str, Any]) -> str:
    """One word for a row: what most needs a look."""
    if found["status"] != HANDED_IN:
        return str(found["status"])
    statuses = [row["status"] for row in found["items"].values() if row["kind"] != WRITTEN]
    for status in (CRASHED, TIMED_OUT, "wrong", MISSING, NOT_ATTEMPTED):
        if status in statuses:
            return status
    return RIGHT
