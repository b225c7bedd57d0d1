"""One worker process: started in the sandbox, listened to, and ended with all that it has started.

What comes over the line may have been written by a student's code: nothing of it is believed that could not be true.
"""

from __future__ import annotations

import base64
import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...exercises.judging import CallRecord
from .bubblewrap import STRONG, WEAK, command
from .worker import IMAGE_LIMIT, TEXT_LIMIT

CRASHED, TIMED_OUT = "crashed", "timed out"
"""What can come of a step that did not come to its end."""
TOO_LONG, ENDED, MEDDLED = "took too long", "ended the process", "wrote on the line to the grader"
TOO_MUCH_MEMORY, TOO_MANY_PROCESSES = "took too much memory", "started too many processes"
"""Why a worker was at its end."""
SET_UP = "set-up"
"""The step before all others, which is not the student's."""
LOOK_SECONDS = 0.25
"""Between two looks at what a worker takes: a loop that takes memory has some 3 GB a second."""
MESSAGE_LIMIT = 4 * 2**20
"""Bytes of one line from the worker, which sends a fifth of it at most."""


@dataclass(frozen=True)
class Limits:
    """What a student's code may take."""

    cell_seconds: float = 20.0
    function_seconds: float = 10.0
    start_seconds: float = 120.0
    total_seconds: float = 240.0
    memory_gb: float = 3.0
    """Of all of a student's processes, looked at now and then; the system refuses any one of them 2 GB more."""
    processes: int = 100

    def of(self, step: str) -> float:
        """Seconds for one step."""
        return {SET_UP: self.start_seconds, "function": self.function_seconds}.get(step.split(" ")[0], self.cell_seconds)


@dataclass
class WorkerReport:
    """What workers have told so far."""

    answers: dict[str, str] = field(default_factory=dict)
    """Short answers, by the variable's name."""
    cells: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By the cell's place: its "text", "error" and "pictures"."""
    runs: dict[str, list[CallRecord] | None] = field(default_factory=dict)
    """By the function's name; None for one that is not there."""
    raw: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What came, as texts, of functions that are no exercise, such as the capstone's network."""


class WorkerError(RuntimeError):
    """The worker does not start at all, which is no student's doing; the message says why."""


class _EndError(Exception):
    """The worker has to be ended; the text says why."""


@dataclass(frozen=True)
class Stop:
    """The end of one process: at which step, and why."""

    step: str
    why: str

    @property
    def status(self) -> str:
        """What has come of the step."""
        return TIMED_OUT if self.why == TOO_LONG else CRASHED


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


def one_process(
    folder: Path, job: dict[str, Any], sandbox: str, limits: Limits, left: float, report: WorkerReport
) -> Stop | None:
    """One worker: None when it came to its end."""
    path = folder / "job.json"
    path.write_text(json.dumps({**job, "folder": str(folder) if sandbox == WEAK else "/job"}), encoding="utf-8")
    arguments, environment = command(sandbox, path)
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        cwd=folder, start_new_session=True,
    )  # fmt: skip
    step, clock = SET_UP, _Clock(left)
    clock.allow(limits.of(step))
    steps = _steps(job)
    try:
        for line in _lines(process, clock, limits):
            message = _message(line)
            if "begin" in message:
                if message["begin"] not in steps:
                    raise _EndError(MEDDLED)
                step = str(message["begin"])
                clock.allow(limits.of(step))
            elif "memory" in message:
                raise _EndError(TOO_MUCH_MEMORY)
            elif "finished" in message:
                if any(f"function {name}" in steps and name not in report.runs for name in job["functions"]):
                    raise _EndError(MEDDLED)
                return None
            elif step != SET_UP:
                _take(message, job, report)
        raise _EndError(ENDED)
    except _EndError as end:
        if step == SET_UP and not job["skip"]:
            raise WorkerError(f"the worker for students' code {end}, before it ran any: {_last_words(process)}") from None
        return Stop(step, str(end))
    finally:
        _end(process, sandbox)


def _steps(job: dict[str, Any]) -> set[str]:
    """What a worker may begin with this job."""
    places = [f"cell {index}" for index in range(len(job["cells"]))]
    functions = [f"function {name}" for name in job["functions"]]
    return {*places, *(f"{place}, definitions" for place in places), *functions} - {*job["skip"]}


def _message(line: bytes) -> dict[str, Any]:
    """What a line says. Whatever a student's code may have written there instead ends the worker."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise _EndError(MEDDLED) from None
    if not isinstance(message, dict) or not isinstance(message.get("begin", ""), str):
        raise _EndError(MEDDLED)
    return message


def _take(message: dict[str, Any], job: dict[str, Any], report: WorkerReport) -> None:
    """Keep what a message tells, as far as it can be true."""
    try:
        if "cell" in message:
            place, error = range(len(job["cells"]))[message["cell"]], message["error"]
            report.cells[place] = {
                "text": _text(message["text"], TEXT_LIMIT + 20),
                "error": None if error is None else _text(error, 300),
                "pictures": [picture for one in message["pictures"][:2] if (picture := _picture(one))],
            }
        elif "answers" in message:
            given = dict(message["answers"])
            report.answers = {name: _text(given[name], 40) for name in job["answers"] if name in given}
        elif "function" in message:
            name = message["function"]
            if name not in job["functions"]:
                raise ValueError(name)
            report.raw[name] = {key: writable(value) for key, value in message.items() if isinstance(value, str)}
            report.runs[name] = None if message.get("runs", []) is None else _runs(message.get("runs"))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        raise _EndError(MEDDLED) from None


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return writable(value[:limit])


def _runs(packed: Any) -> list[CallRecord]:
    """The runs that were packed; none where they are none, as for a function that ends its call in a way of its own."""
    try:
        return [CallRecord.unpacked(one) for one in packed]
    except Exception:  # torch has many errors for numbers that are none
        return []


def _picture(text: str) -> str | None:
    """A PNG as base64; None for anything else, which would stand in a page as it comes."""
    try:
        content = decoded("".join(text.split()))
    except ValueError:
        return None
    small = len(content) <= IMAGE_LIMIT and content.startswith(b"\x89PNG\r\n\x1a\n")
    return base64.b64encode(content).decode() if small else None


def _lines(process: subprocess.Popen[bytes], clock: _Clock, limits: Limits) -> Iterator[bytes]:
    """Lines as they come, until the process has ended; an _EndError when it has to be."""
    assert process.stdout is not None
    rest = b""
    looked = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while left := clock.left():
            if time.monotonic() - looked > LOOK_SECONDS:
                _look(process.pid, limits)
                looked = time.monotonic()
            if not selector.select(min(left, LOOK_SECONDS)):
                continue
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > MESSAGE_LIMIT:
                raise _EndError(MEDDLED)
            yield from whole
    raise _EndError(TOO_LONG)


def _look(pid: int, limits: Limits) -> None:
    """See to it that a process and those below it take no more than they may; for one alone, the system does."""
    count, kilobytes, todo = -1, 0, [pid]  # -1: bubblewrap itself
    while todo and count <= limits.processes:
        count += 1
        one = todo.pop()
        with suppress(OSError):  # it has ended, or the system does not tell
            todo += _children(one)
            shared_out = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.MULTILINE)
            kilobytes += int(shared_out[1]) if shared_out else 0
    if count > limits.processes:
        raise _EndError(TOO_MANY_PROCESSES)
    if kilobytes / 2**20 > limits.memory_gb:
        raise _EndError(TOO_MUCH_MEMORY)


def _children(pid: int) -> list[int]:
    """Of a process, where the system tells (Linux); an OSError where it does not."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """The last line of what a process said before it ended."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    with suppress(BlockingIOError):
        lines = os.read(process.stderr.fileno(), 1 << 16).decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")
    return "no reason given"


def _end(process: subprocess.Popen[bytes], sandbox: str) -> None:
    """End a worker and all that it has started."""
    with suppress(OSError, subprocess.TimeoutExpired):
        if sandbox == STRONG and (inside := _children(process.pid)):
            for child in inside:
                os.kill(child, signal.SIGKILL)
            process.wait(10)  # bubblewrap waits for the first process inside, which is gone when all others are
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def writable(text: str) -> str:
    """A text without halves of characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def decoded(text: str) -> bytes:
    """Bytes that a worker has sent as base64; a ValueError for anything else."""
    return base64.b64decode(text, validate=True)
