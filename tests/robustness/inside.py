"""What runs in the sandbox: execute notebooks one after the other in a folder, and report what came of each.

`python inside.py FOLDER` reads the notebooks from its input and writes the reports to its output: a pipe needs
no disk.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat
import psutil

from tools.execution import execute

PAUSE = 0.25  # seconds between two looks at the kernel's memory


class Memory:
    """The largest memory of this process's children together, in bytes.

    Pages that several processes share are counted once: each start of a program copies a process for a moment, on paper.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._looking = threading.Lock()

    def look(self) -> None:
        with self._looking:
            together = 0
            for process in psutil.Process().children(recursive=True):
                with suppress(OSError):  # it has ended
                    together += kilobytes("smaps_rollup", "Pss:", process.pid)
                    alone = kilobytes("status", "VmHWM:", process.pid)  # also what came and went between two looks
                    self.peak = max(self.peak, 1024 * alone)
            self.peak = max(self.peak, 1024 * together)

    def watch(self) -> None:
        while not self._over.wait(PAUSE):
            self.look()

    def stop(self) -> None:
        self._over.set()


def kilobytes(file: str, word: str, pid: int) -> int:
    """What Linux tells of a process's memory: resident now, its share of shared pages (Pss), or at most so far (VmHWM)."""
    lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(word)), 0)


@contextmanager
def watched() -> Iterator[Memory]:
    memory = Memory()
    thread = threading.Thread(target=memory.watch)
    thread.start()
    try:
        yield memory
    finally:
        memory.stop()
        thread.join()


def report(notebook: Any, folder: Path) -> dict[str, Any]:
    """Execute one notebook in a kernel of its own."""
    cells = nbformat.from_dict(notebook)
    with watched() as memory:
        problem = execute(cells, folder, after_cell=memory.look)  # else what the last cell took goes with the kernel
    return {"problem": problem, "notebook": cells, "peak": memory.peak, "left": left_in(folder)}


def left_in(folder: Path) -> list[str]:
    """The files in the folder, where it can be written to, and whatever is half-written, or kept of a training, in the home."""
    found = {path for kind in ("*.part*", "*.checkpoint") for path in Path.home().rglob(kind)}
    if os.access(folder, os.W_OK):
        found |= {path for path in folder.rglob("*") if path.is_file()}
    return sorted(path.relative_to(Path.home()).as_posix() for path in found)


if __name__ == "__main__":
    json.dump([report(notebook, Path(sys.argv[1])) for notebook in json.load(sys.stdin)], sys.stdout)
