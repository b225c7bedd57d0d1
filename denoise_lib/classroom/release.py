"""From a problem set's source to what students get: a class's numbers and letters put in, the solutions taken out.

The source is a notebook as py:percent. nbgrader takes the solutions out, as it does for any course; that none is left is
checked line by line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from ..internal.atomic_write import write_json
from ..internal.checks import check_count
from .course import CONFIG, Course, CourseError
from .question_bank import QUESTIONS
from .questions import class_numbers

KEPT = ("accelerator", "colab")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
REGION = re.compile(r"^[ \t]*### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION", re.DOTALL | re.MULTILINE)


def sources(folder: Path) -> dict[str, Path]:
    """The problem sets in a folder, by name."""
    found = {path.stem: path for path in sorted(folder.glob("*.py"))}
    if not found:
        raise CourseError(f"there are no problem sets in {folder}; name their folder with --source.")
    return found


def render(path: Path, seed: int) -> NotebookNode:
    """A source as a notebook, with the numbers and the order of letters of the class with this seed."""
    notebook: NotebookNode = jupytext.read(path, as_version=4, fmt="py:percent")
    kept = {key: notebook.metadata[key] for key in KEPT if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict({**METADATA, **kept})
    numbers = vars(class_numbers(seed))
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in ("tags", "nbgrader") if key in cell.metadata})
        cell.source = _filled(cell.source, numbers, seed, path.name)
        cell.id = _new_id(path.stem, cell, seen)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _filled(text: str, numbers: dict[str, Any], seed: int, where: str) -> str:
    """The text with {{mu}}, {{options NAME}}, {{letter NAME}} and lines `MU = ...  # class: mu` filled in."""

    def value(match: re.Match[str]) -> str:
        word, _, name = match.group(1).strip().partition(" ")
        if word in numbers:
            return str(numbers[word])
        if word == "letter" and name in QUESTIONS:
            return str(QUESTIONS[name].letter(seed))
        if word == "options" and name in QUESTIONS:
            return "\n".join(f"- **{letter}**: {text}" for letter, text, _ in QUESTIONS[name].options(seed))
        raise CourseError(f"{where}: nothing is known to put in for {match.group(0)}; for example {{{{mu}}}}.")

    def line(match: re.Match[str]) -> str:
        return f"{match.group(1)}{numbers[match.group(2)]}  # your class's"

    text = re.sub(r"\{\{([^{}]+)\}\}", value, text)
    return re.sub(r"^(\w+ = )\S+  # class: (\w+)$", line, text, flags=re.MULTILINE)


def _new_id(name: str, cell: NotebookNode, seen: set[str]) -> str:
    """An id that follows from the notebook and the cell, so that a release does not change from run to run."""
    number = 0
    while True:
        key = f"{name} {cell.cell_type} {number} {cell.metadata.get('nbgrader', {}).get('grade_id', cell.source)}"
        found = hashlib.sha256(key.encode()).hexdigest()[:8]
        if found not in seen:
            seen.add(found)
            return found
        number += 1


def release(names: Sequence[str], source: Path, root: Path, seed: int) -> Course:
    """Make a course's folder, or add to it: `source/` with solutions, `release/` without, and nbgrader's settings.

    Args:
        names: problem sets, such as ps1_noise; none for all.
        source: the folder of their sources.
        root: the course's folder.
        seed: of the class. A course keeps its seed: with another one, what was graded would no longer be comparable.

    Raises:
        CourseError: an unknown problem set, another seed than before, or a solution that is left in a release.
    """
    from .nbgrader_api import open_api  # needs nbgrader, which students do not have

    check_count(seed, "seed", 0, example=2027)
    known = sources(source)
    for name in names:
        if name not in known:
            raise CourseError(f"there is no problem set {name!r}; there are {', '.join(known)}.")
    course = Course(root)
    if (root / "class.json").exists() and course.seed != seed:
        raise CourseError(f"{root} is the course of seed {course.seed}, not {seed}; choose another folder with --course.")
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "class.json", {"seed": seed})
    (root / "exchange").mkdir(exist_ok=True)  # none is used, but formgrader warns where there is no folder for it
    (root / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    with open_api(course) as api:
        for name in names or known:
            path = course.source(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(render(known[name], seed), path)
            result = api.generate_assignment(name)
            if not result["success"]:
                raise CourseError(f"nbgrader could not release {name}: {result.get('log') or result.get('error')}")
            if leaks := leaked_lines(nbformat.read(path, as_version=4), nbformat.read(course.released(name), as_version=4)):
                raise CourseError(f"the release of {name} still has a line of a solution: {leaks[0]!r}.")
    return course


def leaked_lines(source: NotebookNode, released: NotebookNode) -> list[str]:
    """Lines of solutions that stand in the release, but for those that the source shows outside solutions, too."""
    everything = "\n".join(cell.source for cell in source.cells)
    secret = {line.strip() for region in REGION.findall(everything) for line in region.splitlines()}
    shown = {line.strip() for line in REGION.sub("", everything).splitlines()}
    there = {line.strip() for cell in released.cells for line in cell.source.splitlines()}
    marks = [line for line in there if "BEGIN SOLUTION" in line or "END SOLUTION" in line or "HIDDEN TESTS" in line]
    return sorted(line for line in (secret - shown) & there if line) + marks
