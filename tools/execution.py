"""Execute a notebook, and keep nothing of it that differs from run to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from .pairing import set_metadata

WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "(Live controls: run this cell to use them.)"


def is_stale(notebook: NotebookNode) -> bool:
    """Whether its code cells are not the ones that were executed: a new, changed, moved or deleted cell breaks the count."""
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return counts != list(range(1, len(counts) + 1))


def execute(
    notebook: NotebookNode, folder: Path, timeout: int = 1800, after_cell: Callable[[], object] = lambda: None
) -> str | None:
    """Execute all cells in `folder` in a new kernel, and tidy the outputs.

    Args:
        notebook: it gets the outputs.
        folder: where the kernel works.
        timeout: seconds for one cell.
        after_cell: called when a cell has been executed, while the kernel is still there.

    Returns:
        None, or the cell that stopped it and why, in one line; the outputs up to there are in the notebook.
    """
    started: list[int] = []
    client = NotebookClient(
        notebook, timeout=timeout, startup_timeout=180, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}}, record_timing=False, store_widget_state=False, coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns that it does not encrypt what never leaves this machine
        on_cell_start=lambda cell, cell_index: started.append(cell_index),
        on_cell_executed=lambda cell, cell_index, execute_reply: after_cell(),
    )  # fmt: skip
    for cell in notebook.cells:  # else a notebook that fails half way keeps old outputs in its second half
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    problem = None
    try:
        client.execute()
    except CellExecutionError as error:
        problem = f"{error.ename}: {error.evalue}"
    except (TimeoutError, RuntimeError) as error:  # a cell that takes too long; a kernel that died
        problem = f"{type(error).__name__}: {error}"
    tidy(notebook)
    if problem is None:
        return None
    where = cell_name(notebook, started[-1]) if started else "start of the kernel"
    return f"{where}: {' '.join(problem.split())[:300]}"


def cell_name(notebook: NotebookNode, index: int) -> str:
    """How a cell is named in a message: its place, counted from 1, and its first line that is not a comment."""
    lines = [line.strip() for line in notebook.cells[index].source.splitlines() if line.strip()]
    first = next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")
    return f"cell {index + 1} [{first if len(first) <= 60 else first[:57] + '...'}]"


def tidy(notebook: NotebookNode) -> None:
    """Drop what differs from run to run: widget state and ids, timings, the kernel's version."""
    set_metadata(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            # Without its state a stored widget shows as an error, so a sentence stands in for it.
            if WIDGET in output.get("data", {}):
                output.data = nbformat.from_dict({"text/plain": WIDGET_NOTE})
