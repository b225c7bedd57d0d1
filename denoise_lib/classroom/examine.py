"""Examine one notebook: run it behind the fence, come back from whatever it does, and judge each function by its name.

A step that takes too long, or takes the process down, is noted, and the rest is done without it. So an endless loop in one
exercise costs that exercise alone.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks import EXERCISES
from ..exercise import NOT_ATTEMPTED, Outcome, Run, compare
from .fence import WEAK, command, readable_folders

MISSING, CRASHED, TIMED_OUT = "missing", "crashed", "timed out"
"""What can come of an exercise besides "not attempted", "right" and "wrong"."""
MESSAGE_LIMIT = 16 * 2**20
"""Bytes of one line from the worker; whoever sends more is at fault."""


@dataclass(frozen=True)
class Limits:
    """What a student's code may take."""

    cell_seconds: float = 20.0
    function_seconds: float = 10.0
    start_seconds: float = 120.0
    total_seconds: float = 240.0
    memory_gb: float = 3.0

    def of(self, step: str) -> float:
        """Seconds for one step."""
        return {"set-up": self.start_seconds, "function": self.function_seconds}.get(step.split(" ")[0], self.cell_seconds)


@dataclass
class Examination:
    """What a notebook did."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By the function's name."""
    answers: dict[str, str] = field(default_factory=dict)
    """Short answers, by the variable's name."""
    cells: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By the cell's place: its "text", "error" and "pictures"."""
    notes: list[str] = field(default_factory=list)
    """What went wrong on the way, a sentence each."""
    raw: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last messages on functions that are no exercise, such as the capstone's network."""


@dataclass
class _Stop:
    """The end of one process: at which step, and how."""

    step: str
    status: str


class _Clock:
    """The time that the step at work still has, within what is left of all."""

    def __init__(self, seconds: float) -> None:
        self._end = self._until = time.monotonic() + seconds

    def allow(self, seconds: float) -> None:
        """A new step begins."""
        self._until = min(self._end, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self._until - time.monotonic())


def examine(
    cells: list[str],
    functions: list[str],
    answers: list[str],
    *,
    seed: int,
    fence: str,
    limits: Limits | None = None,
    files: dict[str, bytes] | None = None,
) -> Examination:
    """Run a student's cells and judge what they define.

    Args:
        cells: the code cells' sources, in order.
        functions: names of the exercises, or of other functions whose message is kept as it comes.
        answers: names of variables that hold a short answer.
        seed: of the exercises' arguments, the same for a whole class.
        fence: see `fence.choose_fence`.
        limits: of time and memory.
        files: what lies beside the job, read-only.

    Returns:
        An outcome for each exercise, whatever the student's code does.
    """
    limits = limits or Limits()
    found = Examination()
    runs: dict[str, Any] = {}
    skip: list[str] = []
    stopped: dict[str, str] = {}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="denoise-class-") as scratch:
        folder = Path(scratch)
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
        while True:
            left = begin + limits.total_seconds - time.monotonic()
            job = {
                "cells": cells, "functions": [name for name in functions if name not in runs], "answers": answers, "seed": seed,
                "skip": skip, "memory_gb": limits.memory_gb, "weak": fence == WEAK,
                "folder": scratch if fence == WEAK else "/job", "readable": [str(path) for path in readable_folders()],
            }  # fmt: skip
            stop = _one_process(folder, job, fence, limits, left, found, runs)
            if stop is None:
                break
            stopped[stop.step] = stop.status
            found.notes.append(f"{_place(stop.step)} {'took too long' if stop.status == TIMED_OUT else 'ended the process'}.")
            if stop.step == "set-up" or time.monotonic() - begin > limits.total_seconds:
                found.notes.append("What came after it was not run.")
                break
            skip.append(stop.step)
    worst = TIMED_OUT if TIMED_OUT in stopped.values() else CRASHED
    for name in functions:
        found.outcomes[name] = _outcome(name, runs, stopped, worst, cells, seed)
    return found


def _number(step: str) -> int:
    return int(step.removeprefix("cell ").partition(",")[0])


def _place(step: str) -> str:
    kind, _, which = step.partition(" ")
    if kind == "cell":
        return f"Code cell {_number(step) + 1}{' (its definitions alone)' if step.endswith('definitions') else ''}"
    return f"The function {which}" if kind == "function" else "The start"


def _outcome(name: str, runs: dict[str, Any], stopped: dict[str, str], worst: str, cells: list[str], seed: int) -> Outcome:
    if status := stopped.get(f"function {name}"):
        guess = "takes too long; is there a loop without an end?" if status == TIMED_OUT else "ended the process."
        return Outcome(name, status, status, f"not yet: your function {guess}")
    if name not in runs:  # a step before it took all the time there is
        return Outcome(name, worst, worst, "not graded: the notebook could not be run as far as this.")
    if runs[name] is None:
        guilty = [step for step in stopped if step.startswith("cell ") and step.endswith("definitions")]
        lost = next((step for step in guilty if f"def {name}(" in cells[_number(step)]), None)
        if lost is None:
            return Outcome(name, MISSING, None, f"there is no function {name} in the notebook.")
        return Outcome(name, stopped[lost], stopped[lost], f"not yet: the cell with the function {name} {stopped[lost]}.")
    if name not in EXERCISES:
        return Outcome(name, NOT_ATTEMPTED, None, "")
    try:
        return compare(EXERCISES[name], [Run.unpacked(one) for one in runs[name]], seed)
    except Exception:  # whatever was made up in place of runs
        return Outcome(name, CRASHED, CRASHED, "not yet: your function could not be called.")


def _one_process(
    folder: Path, job: dict[str, Any], fence: str, limits: Limits, left: float, found: Examination, runs: dict[str, Any]
) -> _Stop | None:
    """One worker: None when it came to its end."""
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    arguments, environment = command(fence, path)
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        cwd=folder, start_new_session=True,
    )  # fmt: skip
    step, clock = "set-up", _Clock(left)
    clock.allow(limits.of(step))
    try:
        for line in _lines(process, clock):
            if line is None:
                return _Stop(step, TIMED_OUT)
            try:
                message = json.loads(line)
            except ValueError:
                return _Stop(step, CRASHED)
            if not isinstance(message, dict):
                return _Stop(step, CRASHED)
            if "begin" in message:
                step = str(message["begin"])
                clock.allow(limits.of(step))
            elif "cell" in message:
                kept = {
                    "text": str(message.get("text", "")),
                    "error": message.get("error"),
                    "pictures": message.get("pictures", []),
                }
                found.cells[int(message["cell"])] = kept
            elif "answers" in message:
                found.answers = {str(name): str(value) for name, value in message["answers"].items()}
            elif "function" in message:
                runs[message["function"]] = message.get("runs", [])
                found.raw[message["function"]] = message
            elif message.get("finished"):
                return None
        return _Stop(step, CRASHED)
    finally:
        _end(process)


def _lines(process: subprocess.Popen[bytes], clock: _Clock) -> Iterator[bytes | None]:
    """Lines as they come; None when the time is over, and an end when the process has ended or floods the line."""
    assert process.stdout is not None
    buffer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(buffer) < MESSAGE_LIMIT:
            if not selector.select(clock.left()):
                yield None
                return
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return
            buffer += chunk
            *whole, rest = buffer.split(b"\n")
            buffer = bytearray(rest)
            yield from map(bytes, whole)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def decoded(text: str) -> bytes:
    """Bytes that a worker has sent as base64; a ValueError for anything else."""
    return base64.b64decode(text, validate=True)
