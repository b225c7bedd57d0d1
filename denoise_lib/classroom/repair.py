"""Read what a student handed in, however damaged, and put the graded cells back where they were lost.

Colab and students drop nbgrader's metadata, copy, delete, edit and retype cells. Each graded cell begins with a marker; by
it, by the metadata, by the function's name or by the text before it, the student's answers find their places again.
"""

from __future__ import annotations

import json
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

MARKER = re.compile(r"^\s*(?:#|<!--)\s*GRADED CELL\s+([\w-]*\w)(?:\s*-->)?", re.IGNORECASE)
PUT_BACK = "put-back-"
CELL_LIMIT = 5000
PICTURES = ("image/png", "image/jpeg", "image/gif")
"""What may be pasted into a text: no SVG, which can hold a program."""
SIZE_LIMIT = 300 * 2**20
"""Bytes of a notebook that is read at all."""


class UnreadableError(ValueError):
    """What was handed in is no notebook; the message says what it is."""


def read_notebook(content: bytes) -> tuple[NotebookNode, str]:
    """A notebook's cells without outputs, and the text of the outputs (a network that is handed in travels there).

    Raises:
        UnreadableError: it is no notebook.
    """
    if len(content) > SIZE_LIMIT:
        raise UnreadableError(f"the file has more than {SIZE_LIMIT // 2**20} MB; clear the outputs, and hand it in again.")
    if not content.strip():
        raise UnreadableError("the file is empty.")
    try:
        raw = json.loads(content)  # UTF-8 with or without its mark, or UTF-16
    except (ValueError, RecursionError):
        kind = "a web page" if content.lstrip()[:1] == b"<" else "a zip file" if content[:2] == b"PK" else "no notebook"
        raise UnreadableError(f"the file is {kind}; in Colab: File > Download > Download .ipynb.") from None
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if cells is None and isinstance(raw, dict) and isinstance(raw.get("worksheets"), list):  # notebooks of before 2015
        sheets = [sheet.get("cells") for sheet in raw["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise UnreadableError("the file holds no cells.")
    if len(cells) > CELL_LIMIT:
        raise UnreadableError(f"the file has {len(cells):,} cells.")
    notebook, shown = nbformat.v4.new_notebook(), []
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}.get(
            str(cell.get("cell_type")), nbformat.v4.new_raw_cell
        )
        one = make(source=_text(cell.get("source", cell.get("input"))))
        one.id = f"cell-{len(notebook.cells)}"
        one.metadata = nbformat.from_dict({"nbgrader": {"grade_id": name}} if (name := _grade_id(cell)) else {})
        if one.cell_type == "markdown" and (pictures := _pictures(cell.get("attachments"))):
            one.attachments = nbformat.from_dict(pictures)
        notebook.cells.append(one)
        shown.append(_shown(cell.get("outputs")))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    )
    return notebook, "\n".join(shown)


def _text(source: Any) -> str:
    """A string, or a list of them, as text that any file can hold: without halves of characters."""
    parts = source if isinstance(source, list) else [source]
    text = "".join(part for part in parts if isinstance(part, str)).replace("\r\n", "\n")
    return text.encode("utf-8", "replace").decode()


def _grade_id(cell: dict[str, Any]) -> str | None:
    """A cell's id for nbgrader, whatever its metadata is."""
    metadata = cell.get("metadata")
    grading = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = grading.get("grade_id") if isinstance(grading, dict) else None
    return name if isinstance(name, str) else None


def _pictures(attachments: Any) -> dict[str, dict[str, str]]:
    """What was pasted into a text cell, so far as it is pictures."""
    found: dict[str, dict[str, str]] = {}
    for name, kinds in attachments.items() if isinstance(attachments, dict) else []:
        for kind, data in kinds.items() if isinstance(kinds, dict) else []:
            if kind in PICTURES and isinstance(data, str) and re.fullmatch(r"[A-Za-z0-9+/=\s]+", data):
                found.setdefault(_text(name), {})[kind] = data
    return found


def _shown(outputs: Any) -> str:
    """Only what may hold packed weights."""
    texts = []
    for output in outputs if isinstance(outputs, list) else []:
        data = output.get("data") if isinstance(output, dict) else None
        if isinstance(data, dict):
            texts += [_text(value) for kind, value in data.items() if str(kind).startswith("text/")]
    return "\n".join(text for text in texts if "denoise-weights:" in text)


def graded_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells with an id for nbgrader, in order."""
    return {name: cell for cell in notebook.cells if (name := _grade_id(cell))}


def assignment_share(notebook: NotebookNode, released: NotebookNode) -> float:
    """Which share of an assignment's graded cells a notebook has, by marker or metadata."""
    wanted = graded_cells(released)
    return len({name for cell in notebook.cells if (name := _name_of(cell, wanted))}) / max(1, len(wanted))


def repair(submitted: NotebookNode, released: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """A student's notebook with every graded cell of the released one, and what had to be done for it.

    Args:
        submitted: as `read_notebook` gives it; it is not changed.
        released: the notebook that students got.

    Returns:
        The repaired notebook: the student's cells in the student's order, with the released metadata; locked cells with the
        released content, missing cells put back, and of several copies of an answer the last one that was filled in.
    """
    result: NotebookNode = nbformat.from_dict(json.loads(json.dumps(submitted)))
    wanted = graded_cells(released)
    had_metadata = {_grade_id(cell) for cell in result.cells}
    claims = _claims(result, released, wanted)
    for cell in result.cells:
        cell.metadata.pop("nbgrader", None)
    notes, place = [], 0
    lost = [name for name in wanted if name not in had_metadata and claims.get(name)]
    if lost:
        notes.append(f"the metadata of {len(lost)} graded cells was put back.")
    for name, original in wanted.items():
        candidates = claims.get(name, [])
        if candidates:
            cell = _choose(candidates, original)
            if len(candidates) > 1 and not _locked(original):
                notes.append(f"{name}: {len(candidates)} copies of the answer; the last one that is filled in counts.")
            place = next(index for index, one in enumerate(result.cells) if one is cell) + 1
        else:
            cell = nbformat.from_dict({"cell_type": original.cell_type, "metadata": {}, "source": original.source})
            cell.id = f"{PUT_BACK}{name}"[:64]
            result.cells.insert(place, cell)
            place += 1
            notes.append(f"{name}: the cell was missing, and was put back empty.")
        if cell.cell_type != original.cell_type:
            notes.append(f"{name}: the cell had another type.")
        if _locked(original) and candidates and not _same(cell, original):
            notes.append(f"{name}: the check had been changed, and was put back.")
        _become(cell, original)
    return result, notes


def is_put_back(cell: NotebookNode) -> bool:
    """Whether a cell of a repaired notebook was not in what the student handed in."""
    return str(cell.get("id", "")).startswith(PUT_BACK)


def _become(cell: NotebookNode, original: NotebookNode) -> None:
    """Give a student's cell the released type and metadata, and a locked one the released content."""
    cell.metadata["nbgrader"] = dict(original.metadata["nbgrader"])
    cell.cell_type = original.cell_type
    if original.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    if original.cell_type != "markdown":
        cell.pop("attachments", None)
    if _locked(original):
        cell.source = original.source


def _locked(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("locked"))


def _name_of(cell: NotebookNode, wanted: dict[str, NotebookNode]) -> str | None:
    """The graded cell that a cell is, by its marker, or else by its metadata."""
    found = MARKER.match(cell.source)
    return next((name for name in (found and found.group(1), _grade_id(cell)) if name in wanted), None)


def _claims(notebook: NotebookNode, released: NotebookNode, wanted: dict[str, NotebookNode]) -> dict[str, list[NotebookNode]]:
    """For each graded cell the student's cells that may be it."""
    claims: dict[str, list[NotebookNode]] = {}
    for cell in notebook.cells:
        if name := _name_of(cell, wanted):
            claims.setdefault(name, []).append(cell)
    taken = {id(cell) for cells in claims.values() for cell in cells}
    for name, original in wanted.items():
        if name in claims:
            continue
        free = [cell for cell in notebook.cells if id(cell) not in taken]
        if _locked(original):
            found = [cell for cell in free if _same(cell, original)]
        elif original.cell_type == "code":
            defines = re.compile(rf"^(?:def\s+{re.escape(name)}\s*\(|{re.escape(name)}\s*=(?!=))", re.MULTILINE)
            found = [cell for cell in free if defines.search(cell.source)]
        else:
            marker = re.compile(rf"<!--\s*GRADED CELL\s+{re.escape(name)}(?![\w-])", re.IGNORECASE)  # not at the beginning
            found = [cell for cell in free if cell.cell_type != "code" and marker.search(cell.source)]
            found = found or _after_the_question(notebook, released, original, taken)
        if found:
            claims[name] = found
            taken |= {id(cell) for cell in found}
    return claims


def _after_the_question(
    notebook: NotebookNode, released: NotebookNode, original: NotebookNode, taken: set[int]
) -> list[NotebookNode]:
    """The text cell that follows the released question, where an answer has lost its marker."""
    texts = [cell.source.strip() for cell in released.cells]
    place = next(index for index, cell in enumerate(released.cells) if cell is original)
    if place == 0:
        return []
    question = texts[place - 1]
    for index, cell in enumerate(notebook.cells[:-1]):
        after = notebook.cells[index + 1]
        if cell.source.strip() == question and after.cell_type != "code" and id(after) not in taken:
            return [after] if after.source.strip() not in texts else []
    return []


def _same(cell: NotebookNode, original: NotebookNode) -> bool:
    return bool(cell.source.strip() == original.source.strip())


def _choose(candidates: list[NotebookNode], original: NotebookNode) -> NotebookNode:
    """The check that is as it was released, or the last answer that is filled in; else the last one."""
    candidates = [cell for cell in candidates if cell.cell_type == original.cell_type] or candidates
    if _locked(original):
        good = [cell for cell in candidates if _same(cell, original)]
    else:
        good = [cell for cell in candidates if MARKER.sub("", cell.source).strip() and not _same(cell, original)]
    return (good or candidates)[-1]
