"""How long grading takes: one right submission of problem set 1, beside nbgrader by itself on the same file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, rows_of, time_interleaved
from denoise_lib.classroom.course import SOURCES, Course
from denoise_lib.classroom.nbgrader_api import open_api
from denoise_lib.classroom.release import release
from denoise_lib.classroom.verdicts import verdict

NAME, STUDENT = "ps1_noise", "ada"


def benchmark_grading(repeats: int = 5) -> list[Row]:
    """Seconds for one submission: its verdict in the sandbox; with the gradebook; and nbgrader in a kernel, without a sandbox.

    Needs a clone of the course, with the problem sets' sources, nbgrader and bubblewrap.
    """
    with tempfile.TemporaryDirectory() as scratch:
        course = release([NAME], SOURCES, Path(scratch) / "ours", seed=0)
        for path in (course.original(NAME, STUDENT), course.submitted(NAME, STUDENT)):
            path.parent.mkdir(parents=True)
            shutil.copy(course.source(NAME), path)
        other = Course(Path(scratch) / "theirs")
        shutil.copytree(course.root, other.root)
        with open_api(course) as ours, open_api(other, plain=True) as theirs:
            candidates: dict[str, Callable[[], object]] = {
                "verdict, behind the fence": lambda: _verdict(course),
                "verdict and gradebook": lambda: [step(given) for step, given in ((_verdict, course), (_autograde, ours))],
                "nbgrader by itself, in a kernel": lambda: _autograde(theirs),
            }
            return rows_of(time_interleaved(candidates, repeats))


def _verdict(course: Course) -> None:
    course.verdict(NAME, STUDENT).unlink(missing_ok=True)
    verdict(course, NAME, STUDENT)


def _autograde(api: Any) -> None:
    result = api.autograde(NAME, STUDENT)
    if not result["success"]:
        raise RuntimeError(f"nbgrader did not grade: {result.get('error') or result.get('log')}")
