"""A sandbox without network, with a disk that is read-only or full; notebooks run twice, or killed; what is demanded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns

from denoise_lib.classroom.sandbox.bubblewrap import SYSTEM, readable_folders
from tools.pairing import read_source
from tools.run_notebooks import Report, read_headlines

ROOT = Path(__file__).parents[2]
SOURCES = {path.stem: path for path in sorted((ROOT / "notebooks" / "src").glob("*.py"))}
CAPSTONE = ROOT / "notebooks" / "assignments" / "src" / "capstone_beat_tnet.py"
READ_ONLY = ROOT / "notebooks"
"""Where a student runs them; in the sandbox, the checkout can only be read."""
HOME = Path("/home/student")
WRITABLE = HOME / "course"
ROOMY, TIGHT = 2**29, 2**24
"""Bytes of the home and of /tmp."""
GIGABYTES_3 = 3 * 10**9
IGNORED = "nbval-ignore-output"
SAME = get_sanitize_patterns((ROOT / "tests" / "notebooks" / "nbval_sanitize.cfg").read_text(encoding="utf-8"))
ENVIRONMENT = {
    "HOME": str(HOME),
    "USER": "student",
    "LANG": "C.UTF-8",
    "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True)
class Outcome:
    """What came of one execution of a notebook."""

    problem: str | None
    """The cell that stopped it and why, or None."""
    notebook: NotebookNode
    peak: int
    """Largest resident memory of the kernel and its children, in bytes."""
    left: list[str]
    """Files in the folder afterwards, and torn ones and checkpoints anywhere in the home."""


def sandbox(size: int) -> list[str]:
    """Bubblewrap's command line: no network, an empty home and /tmp of `size` bytes, and a checkout that can only be read."""
    walls = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", str(HOME)):
        walls += ["--size", str(size), "--tmpfs", folder]
    walls += ["--dir", str(WRITABLE)]
    for place in [*map(Path, SYSTEM), *readable_folders(), ROOT]:
        walls += ["--ro-bind-try", str(place), str(place)]
    for name, value in ENVIRONMENT.items():
        walls += ["--setenv", name, value]
    return [*walls, "--remount-ro", "/", "--chdir", str(ROOT)]


def in_the_sandbox(notebooks: list[NotebookNode], *, folder: Path = READ_ONLY, size: int = ROOMY) -> list[Outcome]:
    """Execute notebooks one after the other in one sandbox, each in a kernel of its own; what one writes, the next finds."""
    command = [*sandbox(size), sys.executable, str(Path(__file__).parent / "inside.py"), str(folder)]
    done = subprocess.run(command, input=json.dumps(notebooks), capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Outcome(**{**report, "notebook": nbformat.from_dict(report["notebook"])}) for report in json.loads(done.stdout)]


# --- notebooks -----------------------------------------------------------------------------------------------------------


def notebook_of(*sources: str) -> NotebookNode:
    """A notebook of code cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def course(name: str) -> NotebookNode:
    """One of the course's notebooks as its source now is, without outputs."""
    return read_source(SOURCES[name])


def twice(notebook: NotebookNode) -> NotebookNode:
    """*Run all*, and then *Run all* again in the same kernel."""
    both = deepcopy(notebook)
    both.cells = deepcopy([*notebook.cells, *notebook.cells])
    for cell in both.cells:
        cell.pop("id", None)
    return both


def halves(outcome: Outcome) -> tuple[NotebookNode, NotebookNode]:
    """The two passes of a notebook that was run twice."""
    first, second = deepcopy(outcome.notebook), deepcopy(outcome.notebook)
    middle = len(outcome.notebook.cells) // 2
    first.cells, second.cells = first.cells[:middle], second.cells[middle:]
    return first, second


def before(notebook: NotebookNode, index: int, source: str) -> NotebookNode:
    """The notebook with one more code cell."""
    longer = deepcopy(notebook)
    longer.cells.insert(index, nbformat.v4.new_code_cell(source))
    return longer


def code_cell(notebook: NotebookNode, text: str = "") -> int:
    """Index of the first code cell that contains a text."""
    return next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and text in cell.source)


# The kernel needs its connection file, so the disk is filled from inside. A disk that does not fill up is an error: the test
# would pass on it.
FILL = """
import os
for place in (os.environ["HOME"], "/tmp"):
    with open(f"{place}/filling", "wb", buffering=0) as file:
        try:
            for page in range(2**14):
                file.write(bytes(4096))
        except OSError as error:
            print(place, error.strerror)
        else:
            raise SystemExit(f"{place} does not fill up")
"""
# From inside, so that it happens at a step and not at a time; no process can do anything against this signal, or after it.
KILL = """
import os, signal
from torch.optim.optimizer import register_optimizer_step_post_hook

def one_step(*_, steps=[]):
    steps.append(1)
    if len(steps) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)

register_optimizer_step_post_hook(one_step)
"""


# --- demands -------------------------------------------------------------------------------------------------------------


def complaints(outcome: Outcome, notebook: NotebookNode | None = None) -> list[str]:
    """What a student would complain of: it stopped, a headline number is outside of its band, or a traceback is shown."""
    found = [outcome.problem] if outcome.problem else []
    notebook = notebook or outcome.notebook
    read = Report(Path(), Path(), 0)
    read_headlines(notebook, read)
    shown = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    return [*found, *read.problems, *(text for text in shown if "Traceback" in text)]


def headlines(notebook: NotebookNode) -> list[str]:
    """The headline numbers that lie in their bands."""
    read = Report(Path(), Path(), 0)
    read_headlines(notebook, read)
    return [line.key for line in read.headlines if line.verdict == "ok"]


def differences(first: NotebookNode, second: NotebookNode) -> list[str]:
    """What two passes show differently, a line a cell: text and pictures, but of cells whose output may differ anyway."""
    return [
        f"{cell.source.splitlines()[0]}: {one!r} and then {other!r}"[:600]
        for cell, again in zip(first.cells, second.cells, strict=True)
        if cell.cell_type == "code" and IGNORED not in cell.metadata.get("tags", [])
        for one, other in [(shown(cell), shown(again))]
        if one != other
    ]


def shown(cell: NotebookNode) -> list[str]:
    """What a cell prints and shows, without what may differ from run to run."""
    found: list[str] = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            found.append(sanitized(output.text))
        for kind, content in output.get("data", {}).items():
            found.append(sanitized(content) if kind.startswith("text/") else str(content))
    return found


def sanitized(text: str) -> str:
    for pattern, replacement in SAME:
        text = re.sub(pattern, replacement, text)
    return text


def write_peaks(peaks: Iterable[tuple[str, int]]) -> None:
    """Keep the measured memory in build/robustness/memory.json, in megabytes."""
    path = ROOT / "build" / "robustness" / "memory.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known |= {name: round(peak / 1e6) for name, peak in peaks}
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
