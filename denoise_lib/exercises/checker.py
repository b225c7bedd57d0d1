"""The exercises' checks: `check.NAME(function)` says not attempted, right, or wrong *in this named way*.

    from denoise_lib.exercises import check
    check.blend(my_blend)       # what it is, with the evidence
    check.blend.hint()          # three levels, one at a time
    check.blend.solution()      # last of all
    check.report()              # all that was tried; check.export("mine.csv") for a file

Nothing asks for input and nothing raises, so *Run all* runs through. What was tried is kept in `answers.json` beside the
notebook, or in the file that the environment variable DENOISE_ANSWERS names.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Collection, ValuesView
from pathlib import Path
from typing import Any

from ..internal.atomic_write import write_json
from ..internal.checks import check_choice, check_count, check_instance, check_path, describe
from ..internal.tables import table
from .exercise import NOT_ATTEMPTED, Exercise, Outcome
from .judging import judge
from .notebook1_noise import NOISE_EXERCISES
from .notebook2_networks import NETWORK_EXERCISES
from .notebook3_noise2noise import NOISE2NOISE_EXERCISES
from .notebook4_smoothgrad import SALIENCY_EXERCISES
from .ps1_noise import NOISE_ASSIGNMENT
from .ps2_networks import NETWORK_ASSIGNMENT
from .ps3_noise2noise import NOISE2NOISE_ASSIGNMENT
from .ps4_smoothgrad import SALIENCY_ASSIGNMENT

NOTEBOOKS = (*NOISE_EXERCISES, *NETWORK_EXERCISES, *NOISE2NOISE_EXERCISES, *SALIENCY_EXERCISES)
PROBLEM_SETS = (*NOISE_ASSIGNMENT, *NETWORK_ASSIGNMENT, *NOISE2NOISE_ASSIGNMENT, *SALIENCY_ASSIGNMENT)
EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in (*NOTEBOOKS, *PROBLEM_SETS)}
COLUMNS = ("exercise", "status", "mistake", "attempts", "hints", "solution seen")


class Checker:
    """The check of one exercise."""

    def __init__(self, exercise: Exercise, answers: Answers) -> None:
        self.exercise = check_instance(exercise, "exercise", Exercise, "check.blend.exercise")
        self._answers = check_instance(answers, "answers", Answers, "Answers()")

    def __call__(self, function: Callable[..., Any], seed: int | None = None) -> None:
        """Print what the function does; seed: of the arguments, new ones each time by default."""
        try:
            outcome = judge(self.exercise, function, seed)
        except TypeError as error:  # what was given is no function
            print(error)
            return
        print(f"{self.exercise.name}: {outcome.sentence}")
        if outcome.status != NOT_ATTEMPTED:
            self._answers.record(outcome)

    def hint(self, level: int | None = None) -> None:
        """Print a hint, the next one each time; level: 1, 2 or 3."""
        shown = self._answers.of(self.exercise.name)["hints"]
        number = min(shown + 1, 3) if level is None else check_count(level, "level", example=1)
        if number > 3:
            raise ValueError(f"level must be 1, 2 or 3, but is {level}.")
        self._answers.update(self.exercise.name, hints=max(shown, number))
        print(f"hint {number} of 3: {self.exercise.hints[number - 1]}")

    def solution(self) -> None:
        """Print the solution, but not of what is handed in for points."""
        if self.exercise.graded:
            print(f"{self.exercise.name} is handed in for points: its solution is your instructor's to show.")
            return
        self._answers.update(self.exercise.name, solution_seen=True)
        print(self.exercise.solution_text())

    def __repr__(self) -> str:
        return f"{self.exercise.name}: {self.exercise.prompt}"


class Answers:
    """What a student tried, in a JSON file; where no file can be written, in memory alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = Path(check_path(path)) if path is not None else None
        self._unwritten: dict[str, dict[str, Any]] = {}

    @property
    def path(self) -> Path:
        """The file."""
        return self._path or Path(os.environ.get("DENOISE_ANSWERS") or "answers.json")

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """All entries by the exercises' names: the file's, and what could not be written; a damaged file counts as empty.

        The file is read each time, because the notebooks of one folder share it.
        """
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found = {}
        return {**self._unwritten, **(found if isinstance(found, dict) else {})}

    def of(self, name: str) -> dict[str, Any]:
        """One exercise's entry; what has another type than it should counts as missing."""
        if not isinstance(name, str):
            raise TypeError(f"name must be that of an exercise, such as 'blend', but is {describe(name)}.")
        empty = {"status": NOT_ATTEMPTED, "mistake": None, "attempts": 0, "hints": 0, "solution_seen": False}
        entry = self.entries.get(name)
        known = entry if isinstance(entry, dict) else {}
        return {
            key: known[key] if key in known and (type(known[key]) is type(value) or key == "mistake") else value
            for key, value in empty.items()
        }

    def record(self, outcome: Outcome) -> None:
        """Keep an attempt."""
        check_instance(outcome, "outcome", Outcome, "judge(exercise, function)")
        attempts = self.of(outcome.exercise)["attempts"] + 1
        self.update(outcome.exercise, status=outcome.status, mistake=outcome.mistake, attempts=attempts)

    def update(self, name: str, **changes: Any) -> None:
        """Change an entry, and write the file."""
        entry = {**self.of(name), **changes}
        try:
            write_json(self.path, {**self.entries, name: entry})
        except (OSError, ValueError) as error:
            self._unwritten[name] = entry
            print(f"(your answers are not kept: {self.path} cannot be written, {getattr(error, 'strerror', None) or error})")


class Checks:
    """`check`: one attribute for each exercise, and the report."""

    def __init__(self, exercises: Collection[Exercise], answers: Answers | None = None) -> None:
        self._answers = Answers() if answers is None else answers
        if not isinstance(exercises, (list, tuple, ValuesView)):
            raise TypeError(f"exercises must be a list of them, but is {describe(exercises)}; for example EXERCISES.values().")
        checkers = [Checker(exercise, self._answers) for exercise in exercises]
        self._checkers = {checker.exercise.name: checker for checker in checkers}

    def __getattr__(self, name: str) -> Checker:
        checkers: dict[str, Checker] = self.__dict__.get("_checkers", {})
        try:
            return checkers[name]
        except KeyError:
            raise AttributeError(f"there is no exercise {name!r}; there are {', '.join(checkers)}.") from None

    def __dir__(self) -> list[str]:
        return [*self._checkers, "report", "export"]

    def report(self, *names: str) -> None:
        """Print a table of what was tried: of the named exercises, or of the notebooks' and whatever else was tried."""
        for name in names:
            check_choice(name, "exercise", tuple(self._checkers))
        rows = {row[0]: [*row] for row in self._rows()}
        shown = names or [name for name, row in rows.items() if not self._checkers[name].exercise.graded or row[3]]
        print(table([*COLUMNS], [rows[name] for name in shown]))

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the report as CSV."""
        try:
            with Path(check_path(path)).open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([COLUMNS, *self._rows()])
        except OSError as error:
            raise ValueError(f"{path} cannot be written ({error.strerror}); name another file, such as 'mine.csv'.") from None
        print(f"written: {path}")

    def _rows(self) -> list[tuple[Any, ...]]:
        entries = {name: self._answers.of(name) for name in self._checkers}
        return [
            (name, entry["status"], entry["mistake"] or "", entry["attempts"], entry["hints"], entry["solution_seen"])
            for name, entry in entries.items()
        ]


check = Checks(EXERCISES.values())
