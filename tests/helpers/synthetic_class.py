"""Forty students of problem set 1: right, each wrong answer, and every way in which grading is known to break."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import nbformat
import pytest
from nbformat import NotebookNode

from denoise_lib.classroom.sandbox.bubblewrap import bubblewrap_works
from denoise_lib.exercises.ps1_noise import NOISE_ASSIGNMENT

FIRST, SECOND = (exercise.name for exercise in NOISE_ASSIGNMENT[:2])
NAMES = [exercise.name for exercise in NOISE_ASSIGNMENT]
RIGHT = ("right", None)
IN_THE_SANDBOX = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not bubblewrap_works() and not os.environ.get("DENOISE_NEED_SANDBOX"),
        reason="bubblewrap is missing or not allowed here",
    ),
]
"""Marks of a file of tests that run students' code."""


@dataclass
class Student:
    """What one hands in, and what has to come of it."""

    name: str
    content: bytes | None
    overall: str = "right"
    items: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """(status, mistake) of what is not right."""
    note: str = ""
    """A part of a note on the row."""
    file: str = "ps1_noise.ipynb"
    points: dict[str, float] = field(default_factory=dict)
    """Where they are not all or nothing."""


def index_of(notebook: NotebookNode, name: str) -> int:
    """Where a graded cell stands."""
    return next(i for i, cell in enumerate(notebook.cells) if cell.metadata.get("nbgrader", {}).get("grade_id") == name)


def definition(name: str, body: str) -> str:
    """An answer cell."""
    exercise = next(one for one in NOISE_ASSIGNMENT if one.name == name)
    arguments = ", ".join(exercise.solution.__code__.co_varnames[: exercise.solution.__code__.co_argcount])
    return f"# GRADED CELL {name}\ndef {name}({arguments}):\n    {body}"


def synthetic_class(source: NotebookNode, released: NotebookNode) -> list[Student]:
    """The class, made from the notebook with solutions and the one that students got."""
    solved = copy.deepcopy(source)
    right = solved.cells[index_of(solved, FIRST)].source

    def changed(change: Callable[[NotebookNode], None], base: NotebookNode = solved) -> bytes:
        notebook = copy.deepcopy(base)
        change(notebook)
        return json.dumps(notebook).encode()

    def answer(text: str, name: str = FIRST) -> bytes:
        def put(notebook: NotebookNode) -> None:
            notebook.cells[index_of(notebook, name)].source = text

        return changed(put)

    def cell(text: str) -> bytes:
        def put(notebook: NotebookNode) -> None:
            notebook.cells.insert(3, nbformat.v4.new_code_cell(text))

        return changed(put)

    def bank(number: int) -> bytes:
        """Each exercise with its wrong answer of this number."""

        def put(notebook: NotebookNode) -> None:
            for place, exercise in enumerate(NOISE_ASSIGNMENT):
                if number < len(exercise.mistakes):
                    wrong = f"from denoise_lib.exercises.ps1_noise import NOISE_ASSIGNMENT as bank\n{exercise.name} = "
                    wrong += f"bank[{place}].mistakes[{number}].function"
                    notebook.cells[index_of(notebook, exercise.name)].source = f"# GRADED CELL {exercise.name}\n{wrong}"

        return changed(put)

    def without_metadata(notebook: NotebookNode) -> None:
        for one in notebook.cells:
            one.metadata = {}

    def as_colab(notebook: NotebookNode) -> None:
        notebook.metadata = {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook.nbformat_minor = 0
        for number, one in enumerate(notebook.cells):
            one.pop("id", None)
            one.metadata["id"] = f"aB3-_{number}"
            if one.cell_type == "code":
                one.metadata["outputId"] = "x"
                one.metadata["colab"] = {"base_uri": "https://localhost:8080/"}

    def copied(notebook: NotebookNode) -> None:
        place = index_of(notebook, FIRST)
        again = copy.deepcopy(notebook.cells[place])
        notebook.cells[place].source = definition(FIRST, "return image * 0  # an old attempt")
        notebook.cells.insert(place + 1, again)

    def delete(*names: str) -> Callable[[NotebookNode], None]:
        def put(notebook: NotebookNode) -> None:
            for name in names:
                del notebook.cells[index_of(notebook, name)]

        return put

    def retyped(notebook: NotebookNode) -> None:
        one = notebook.cells[index_of(notebook, FIRST)]
        one.cell_type = "markdown"
        one.pop("outputs", None)
        one.pop("execution_count", None)

    def easier(notebook: NotebookNode) -> None:
        notebook.cells[index_of(notebook, f"{FIRST}-check")].source = "print('right. 2 of 2 points')"
        notebook.cells[index_of(notebook, f"{FIRST}-check")].metadata.nbgrader["points"] = 1000
        notebook.cells[index_of(notebook, FIRST)].source = definition(FIRST, "return image")

    def flooded(notebook: NotebookNode) -> None:
        place = index_of(notebook, FIRST)
        notebook.cells[place].outputs = [nbformat.v4.new_output("stream", name="stdout", text="x" * 30_000_000)]

    def late_definition(notebook: NotebookNode) -> None:
        place = index_of(notebook, FIRST)
        notebook.cells[place].source = f"# GRADED CELL {FIRST}\n# see the end"
        text = right.replace(f"# GRADED CELL {FIRST}\n", "")
        notebook.cells.append(nbformat.v4.new_code_cell(text))
        notebook.cells.append(nbformat.v4.new_code_cell(f"{FIRST} = 3  # and the name is used again"))

    def blank_letters(notebook: NotebookNode) -> None:
        for one in notebook.cells:
            if one.metadata.get("nbgrader", {}).get("grade_id") in letters:
                one.source = "# nothing"

    letters = [
        grading["grade_id"]
        for one in source.cells
        if (grading := one.metadata.get("nbgrader", {})) and one.cell_type == "code" and grading.get("solution")
        and grading["grade_id"] not in NAMES
    ]  # fmt: skip
    everything = [*NAMES, *letters]
    nothing = {name: ("not attempted", None) for name in everything}
    none = {name: ("missing", None) for name in everything}
    loop, ends = "while True:\n        pass", "import os; os._exit(0)"
    hog = "kept = []\n    while True:\n        kept.append(bytearray(10**8))"
    in_place = f"_mine = {FIRST}\ndef {FIRST}(image, u, p):\n    return image.copy_(_mine(image, u, p))"
    borrowed = f"from denoise_lib.exercises.ps1_noise import {FIRST}"

    def only(status: str, mistake: str | None) -> tuple[str, dict[str, tuple[str, str | None]]]:
        """The row's status and items, where the first function alone is not right."""
        return status, {FIRST: (status, mistake)}

    most = max(len(exercise.mistakes) for exercise in NOISE_ASSIGNMENT)
    students = [
        Student("right", changed(lambda notebook: None)),
        Student("stub", json.dumps(released).encode(), "not attempted", nothing),
        Student("missing", None, "nothing handed in", none, "nothing was handed in"),
        Student("no-metadata", changed(without_metadata), note="metadata"),
        Student("from-colab", changed(as_colab)),
        Student("copied-cell", changed(copied), note="copies of the answer"),
        Student("deleted-answer", changed(delete(FIRST)), *only("missing", None), "was missing"),
        Student("deleted-check", changed(delete(f"{FIRST}-check")), note="was missing"),
        Student("deleted-both", changed(delete(FIRST, f"{FIRST}-check")), *only("missing", None), "was missing"),
        Student("retyped-cell", changed(retyped), note="another type"),
        Student("easier-check", changed(easier), *only("wrong", "other values"), "had been changed"),
        Student("elsewhere", changed(late_definition)),
        Student("flooded-file", changed(flooded)),
        Student("flood", answer(right.replace("):\n", "):\n    for _ in range(10**5):\n        print('x' * 1000)\n", 1))),
        Student("loop-in-function", answer(definition(FIRST, loop)), *only("timed out", "timed out"), "too long"),
        Student("loop-in-cell", answer(f"{right}\nwhile True:\n    pass"), note="too long"),
        Student("memory", answer(definition(FIRST, hog)), *only("crashed", "crashed"), "too much memory"),
        Student("exit-in-cell", answer(f"{right}\nexit()")),
        Student("exit-in-function", answer(definition(FIRST, "exit()")), *only("wrong", "raises")),
        Student("process-ends", answer(definition(FIRST, ends)), *only("crashed", "crashed"), "ended the process"),
        Student("killed-cell", cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), note="ended the process"),
        Student("recursion", answer(definition(FIRST, f"return {FIRST}(image, u, p)")), *only("wrong", "raises")),
        Student("no-import", answer(f"import torch_denoise_everything\n{right}"), *only("missing", None)),
        Student("no-import-elsewhere", cell("import torch_denoise_everything")),
        Student("not-json", b"%PDF-1.7 my homework", "unreadable", none, "no notebook"),
        Student("web-page", b"<!DOCTYPE html><html>Sign in to Colab</html>", "unreadable", none, "a web page"),
        Student("empty", b"", "unreadable", none, "empty"),
        Student("wrong-name", changed(lambda notebook: None), file="Copy of ps1_noise (3).ipynb.txt"),
        Student("spy", cell(SPY)),
        Student("writes-outside", cell(WRITES)),
        Student("background", cell(BACKGROUND)),
        Student("in-place", answer(f"{right}\n{in_place}"), *only("wrong", "changes its input"), points={FIRST: 1.0}),
        Student("no-letters", changed(blank_letters), "not attempted", {name: ("not attempted", None) for name in letters}),
        Student("borrowed", answer(f"# GRADED CELL {FIRST}\n{borrowed}"), note="own solutions"),
    ]  # fmt: skip
    for number in range(most):
        wrong = {
            exercise.name: ("wrong", exercise.mistakes[number].name)
            for exercise in NOISE_ASSIGNMENT
            if number < len(exercise.mistakes)
        }
        students.append(Student(f"mistakes-{number}", bank(number), "wrong", wrong))
    return students


# What it finds it prints and keeps in a global; the test looks for it in everything that is written.
SPY = """
import glob, inspect, os, socket, sys
import denoise_lib
found = []
for pattern in ("gradebook.db", "class.json", "verdicts/**/*.json", "handed_in/*", "question_bank.py", ".git", "passwd"):
    for root in ("/home", "/root", "/tmp", "/job", "/mnt", "/srv", "/var", "/opt", os.path.dirname(denoise_lib.__file__)):
        found += glob.glob(f"{root}/**/{pattern}", recursive=True)
for frame in inspect.stack():
    found += [name for name in frame.frame.f_locals if name in ("outcomes", "wanted", "solution")]
try:
    socket.create_connection(("1.1.1.1", 53), timeout=1)
    found.append("network")
except OSError:
    pass
found += [name for name in os.environ if "TOKEN" in name or "KEY" in name]
print("SPY FOUND", found)
"""
WRITES = """
import os, pathlib
done = []
for folder in ("/", "/work", "/tmp/..", "/job", os.path.expanduser("~/.."), *[p for p in __import__("sys").path if p]):
    try:
        (pathlib.Path(folder) / "denoise-was-here").write_text("x")
        done.append(folder)
    except OSError:
        pass
pathlib.Path("mine.txt").write_text("x")
print("WROTE", done)
"""
BACKGROUND = """
import subprocess, threading, time
subprocess.Popen(["sleep", "1000"])
threading.Thread(target=lambda: time.sleep(1000), daemon=False).start()
"""
