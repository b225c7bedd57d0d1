"""nbgrader's own steps, with two of ours between them: repair what is damaged, and run students' code in the sandbox.

`configure` sets them for a course, so that `nbgrader autograde` and the buttons of formgrader grade in the same way.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from traitlets import Unicode
from traitlets.config import Config

from ..exercises.exercise import RIGHT
from .course import Course
from .repair import repair
from .verdicts import NEEDS_REVIEW, verdict

CODE_STUB, TEXT_STUB = "pass  # your answer here", "*Your answer here.*"


def configure(settings: Config, root: Path) -> None:
    """Set up nbgrader for the course in a folder."""
    settings.CourseDirectory.root = str(root.resolve())
    settings.CourseDirectory.course_id = ""
    settings.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".pytest_cache"]
    settings.ClearSolutions.code_stub = {"python": CODE_STUB}
    settings.ClearSolutions.text_stub = TEXT_STUB
    settings.Exchange.root = str(root.resolve() / "exchange")  # none is used, and none is complained about
    settings.ClassroomStep.course = str(root.resolve())
    settings.Autograde.sanitize_preprocessors = [
        Repair, ClearOutput, DeduplicateIds, OverwriteKernelspec, SanitizeHTML, OverwriteCells, CheckCellMetadata,
    ]  # fmt: skip
    # No cell is executed here: the verdicts come from in the sandbox.
    settings.Autograde.autograde_preprocessors = [
        ClearMetadataPreprocessor, Verdicts, SaveAutoGrades, AssignLatePenalties, CheckCellMetadata,
    ]  # fmt: skip


class ClassroomStep(NbGraderPreprocessor):  # type: ignore[misc]
    """A step that knows the course's folder."""

    course = Unicode(help="The course's folder.").tag(config=True)

    @cached_property
    def _course(self) -> Course:
        return Course(Path(self.course))


class Repair(ClassroomStep):
    """Puts graded cells and their metadata back."""

    def preprocess(self, notebook: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """nbconvert's interface."""
        released = nbformat.read(self._course.released(resources["nbgrader"]["assignment"]), as_version=4)
        repaired, notes = repair(notebook, released)
        for note in notes:
            self.log.info("repaired: %s", note)
        return repaired, resources


class Verdicts(ClassroomStep):
    """Gives each check cell the output from which nbgrader reads the points, and other cells what they printed."""

    def preprocess(self, notebook: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """nbconvert's interface."""
        about = resources["nbgrader"]
        found = verdict(self._course, about["assignment"], about["student"])
        rows = {row["cell"]: (name, row) for name, row in found["items"].items()}
        place = -1
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            place += 1
            grade = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.outputs = _graded(*rows[grade]) if grade in rows else _printed(found["cells"].get(str(place), {}))
            cell.execution_count = place + 1
        if shown := [note for note in found["notes"] if note != NEEDS_REVIEW]:
            notes = "\n".join(f"- {_plain(note)}" for note in shown)
            notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"**While grading:**\n\n{notes}"))
        return notebook, resources


def _graded(name: str, row: dict[str, Any]) -> list[NotebookNode]:
    """No points as an error, some as a number, all as a line: that is how nbgrader tells them apart."""
    message = f"{name}: {row['sentence']}"
    if not row["points"]:
        return [nbformat.v4.new_output("error", ename=row["status"], evalue=message, traceback=[message])]
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"{message}\n")]
    if row["status"] != RIGHT or row["points"] != row["max"]:
        outputs.append(nbformat.v4.new_output("execute_result", data={"text/plain": str(row["points"])}, execution_count=1))
    return outputs


def _printed(cell: dict[str, Any]) -> list[NotebookNode]:
    outputs = []
    if cell.get("text"):
        outputs.append(nbformat.v4.new_output("stream", name="stdout", text=str(cell["text"])))
    for picture in cell.get("pictures") or []:
        outputs.append(nbformat.v4.new_output("display_data", data={"image/png": str(picture)}))
    if cell.get("error"):
        outputs.append(nbformat.v4.new_output("error", ename="", evalue=str(cell["error"]), traceback=[str(cell["error"])]))
    return outputs


def _plain(text: str) -> str:
    return text.replace("<", "&lt;")
