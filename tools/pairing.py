"""A notebook and its source hold the same cells: make one from the other, and compare them.

notebooks/src/NAME.py (jupytext's py:percent) is the truth. notebooks/NAME.ipynb holds the same cells and their outputs.
"""

from __future__ import annotations

import hashlib
import os
from difflib import SequenceMatcher
from pathlib import Path

import jupytext
import nbformat
from jupytext.config import load_jupytext_configuration_file
from nbformat import NotebookNode

CELL_KEYS = ("tags", "nbgrader")
NOTEBOOK_KEYS = ("accelerator", "colab")
# Constant, so that a notebook does not change with the Python that executed it.
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read_source(path: Path) -> NotebookNode:
    """A source as a notebook without ids or outputs, and with no metadata but what a reader or grader needs."""
    source: NotebookNode = jupytext.read(path, as_version=4, fmt="py:percent")
    set_metadata(source)
    for cell in source.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in CELL_KEYS if key in cell.metadata})
    source.nbformat, source.nbformat_minor = 4, 5
    return source


def set_metadata(notebook: NotebookNode) -> None:
    """Keep of a notebook's metadata what belongs to its content, and make the rest constant."""
    kept = {key: notebook.metadata[key] for key in NOTEBOOK_KEYS if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict({**NOTEBOOK_METADATA, **kept})


def pair(source: NotebookNode, stored: NotebookNode | None, name: str) -> NotebookNode:
    """The source's cells, with the ids and outputs of those stored cells that did not change."""
    old = stored.cells if stored else []
    before, after = ([(cell.cell_type, cell.source) for cell in cells] for cells in (old, source.cells))
    kept = {
        block.b + offset: old[block.a + offset]
        for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
        for offset in range(block.size)
    }
    taken = {cell.id for cell in kept.values() if "id" in cell}
    for index, cell in enumerate(source.cells):
        match = kept.get(index)
        if match is not None and cell.cell_type == "code":
            cell.outputs, cell.execution_count = match.outputs, match.execution_count
        cell.id = match.id if match is not None and "id" in match else _new_id(name, cell, taken)
    return source


def _new_id(name: str, cell: NotebookNode, taken: set[str]) -> str:
    """An id that follows from the notebook and the cell's content; the number tells equal cells apart."""
    number = 0
    while True:
        text = f"{name}\n{cell.cell_type}\n{number}\n{cell.source}"
        found = hashlib.sha256(text.encode()).hexdigest()[:8]
        if found not in taken:
            taken.add(found)
            return found
        number += 1


def write(notebook: NotebookNode, path: Path) -> bool:
    """Write a notebook atomically; returns whether the file changed."""
    text = nbformat.writes(notebook, version=4) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)
    return True


def check(folder: Path) -> list[str]:
    """What is out of step between notebooks and sources, a line each: missing partners, cells, their types and tags."""
    notebooks = {path.stem: path for path in folder.glob("*.ipynb")}
    sources = {path.stem: path for path in (folder / "src").glob("*.py")}
    problems = [] if sources else [f"there are no sources in {folder / 'src'}"]
    for name in sorted(notebooks.keys() | sources.keys()):
        if name not in sources:
            problems.append(f"{notebooks[name]} has no source {folder / 'src' / name}.py")
        elif name not in notebooks:
            problems.append(f"{sources[name]} has no notebook {folder / name}.ipynb: run `make notebooks`")
        else:
            cells = [_content(nbformat.read(notebooks[name], as_version=4)), _content(read_source(sources[name]))]
            if cells[0] != cells[1]:
                pairs = zip(*cells, strict=False)
                first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(cells[0]), len(cells[1])))
                problems.append(f"{notebooks[name]} differs from {sources[name]} at cell {first + 1}: run `make notebooks`")
    return problems


def _content(notebook: NotebookNode) -> list[tuple[str, str, list[str], dict[str, object]]]:
    return [
        (cell.cell_type, cell.source.strip(), sorted(cell.metadata.get("tags", [])), dict(cell.metadata.get("nbgrader", {})))
        for cell in notebook.cells
    ]


def adopt(downloaded: Path, folder: Path, name: str) -> None:
    """Write the source NAME.py from a notebook that was edited elsewhere, such as in Colab; nothing else is changed."""
    notebook, path = nbformat.read(downloaded, as_version=4), folder / "src" / f"{name}.py"
    # Colab puts a badge of its own on top of what it saves to GitHub.
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("id") != "view-in-github"]
    if path.exists():  # the header is the maintainer's, not Colab's
        notebook.metadata = jupytext.read(path, as_version=4, fmt="py:percent").metadata
    settings = load_jupytext_configuration_file(str(folder.parent / "pyproject.toml"))
    jupytext.write(notebook, path, fmt="py:percent", config=settings)
