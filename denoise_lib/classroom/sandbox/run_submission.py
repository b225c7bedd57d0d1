"""Examine one notebook: run it in the sandbox, come back from whatever it does, and judge each function by its name.

A step that takes too long, or takes the process down, is noted, and the rest is done without it. So an endless loop in one
exercise costs that exercise alone.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...exercises.checker import EXERCISES
from ...exercises.exercise import NOT_ATTEMPTED, Outcome
from ...exercises.judging import CallRecord, compare
from .bubblewrap import MACHINE, SYSTEM, WEAK, readable_folders
from .process import CRASHED, SET_UP, TIMED_OUT, TOO_LONG, Limits, Stop, WorkerReport, one_process, writable

MISSING = "missing"
"""What can come of an exercise besides "not attempted", "right", "wrong", `CRASHED` and `TIMED_OUT`."""


@dataclass
class SubmissionReport(WorkerReport):
    """What a notebook did."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By the function's name."""
    notes: list[str] = field(default_factory=list)
    """What went wrong on the way, a sentence each."""


def run_submission(
    cells: list[str],
    functions: list[str],
    answers: list[str],
    *,
    seed: int,
    sandbox: str,
    limits: Limits | None = None,
    files: dict[str, bytes] | None = None,
    definitions_alone: bool = False,
) -> SubmissionReport:
    """Run a student's cells and judge what they define.

    Args:
        cells: the code cells' sources, in order.
        functions: names of the exercises, or of other functions whose message is kept as it comes.
        answers: names of variables that hold a short answer.
        seed: of the exercises' arguments, the same for a whole class.
        sandbox: see `bubblewrap.choose_sandbox`.
        limits: of time and memory.
        files: what lies beside the job, read-only.
        definitions_alone: of the cells, run only what defines something: no training again.

    Returns:
        An outcome for each exercise, whatever the student's code does.

    Raises:
        WorkerError: the worker does not start, for whatever code.
    """
    limits = limits or Limits()
    found = SubmissionReport()
    stops: dict[str, Stop] = {}
    seed = _seed_of_arguments(seed)
    readable = [*map(str, readable_folders()), *SYSTEM, *MACHINE]
    begin = time.monotonic()
    while True:
        left = begin + limits.total_seconds - time.monotonic()
        job = {
            "cells": cells, "functions": [name for name in functions if name not in found.runs], "answers": answers,
            "seed": seed, "skip": [*stops], "definitions_alone": definitions_alone, "memory_gb": limits.memory_gb,
            "weak": sandbox == WEAK, "readable": readable,
        }  # fmt: skip
        # A folder for each process: in the weak sandbox it is the student's home, and may be in any state afterwards.
        with tempfile.TemporaryDirectory(prefix="denoise-class-", ignore_cleanup_errors=True) as scratch:
            for name, content in (files or {}).items():
                (Path(scratch) / name).write_bytes(content)
            stop = one_process(Path(scratch), job, sandbox, limits, left, found)
        if stop is None:
            break
        stops[stop.step] = stop
        found.notes.append(f"{_place(stop.step)} {stop.why}.")
        if stop.step == SET_UP or time.monotonic() - begin > limits.total_seconds:
            found.notes.append("What came after it was not run.")
            break
    for name in functions:
        outcome = _outcome(name, found.runs, stops, cells, seed)
        found.outcomes[name] = replace(outcome, sentence=writable(outcome.sentence))
    return found


def _seed_of_arguments(seed: int) -> int:
    """The seed that goes in the sandbox: the class's own, from which the right letters follow, cannot be told from it."""
    return int.from_bytes(hashlib.sha256(f"arguments {seed}".encode()).digest()[:4])


def _number(step: str) -> int:
    return int(step.removeprefix("cell ").partition(",")[0])


def _place(step: str) -> str:
    kind, _, which = step.partition(" ")
    if kind == "cell":
        return f"Code cell {_number(step) + 1}{' (its definitions alone)' if step.endswith('definitions') else ''}"
    return f"The function {which}" if kind == "function" else "The start"


def _outcome(
    name: str, runs: dict[str, list[CallRecord] | None], stops: dict[str, Stop], cells: list[str], seed: int
) -> Outcome:
    if stop := stops.get(f"function {name}"):
        guess = "takes too long; is there a loop without an end?" if stop.why == TOO_LONG else f"{stop.why}."
        return Outcome(name, stop.status, stop.status, f"not yet: your function {guess}")
    if name not in runs:  # a step before it took all the time there is
        worst = TIMED_OUT if any(stop.status == TIMED_OUT for stop in stops.values()) else CRASHED
        return Outcome(name, worst, worst, "not graded: the notebook could not be run as far as this.")
    mine = runs[name]
    if mine is None:
        defined = re.compile(rf"\b(?:def\s+{re.escape(name)}\s*\(|class\s+{re.escape(name)}\b|{re.escape(name)}\s*=)")
        lost = [stop for stop in stops.values() if stop.step.startswith("cell ")]
        guilty = [stop for stop in lost if defined.search(cells[_number(stop.step)])]
        if not guilty:
            return Outcome(name, MISSING, None, f"there is no function {name} in the notebook.")
        status = guilty[-1].status
        return Outcome(name, status, status, f"not yet: the cell with the function {name} {guilty[-1].why}.")
    if name not in EXERCISES:
        return Outcome(name, NOT_ATTEMPTED, None, "")
    try:
        return compare(EXERCISES[name], mine, seed)
    except Exception:  # whatever was made up in place of runs
        return Outcome(name, CRASHED, CRASHED, "not yet: your function could not be called.")
