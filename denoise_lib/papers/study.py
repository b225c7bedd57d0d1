"""A sweep: trained runs, each kept in files of its own, so that whatever stops it costs the runs that were just training.

`NAME.json` holds a run's result beside its weights, `NAME.safetensors`; while it trains there is the checkpoint `NAME.pt`.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import nn

from ..internal.atomic_write import write_whole
from ..internal.checks import check_count, check_path
from ..internal.folders import cache_folder
from ..internal.parallel import check_scheduler, run_jobs
from ..pretrained.weights import read_weights, write_weights

MARK = ".sweep"
"""A file in a sweep's folder, by which a worker sees whether it has the same disk."""


class Named(Protocol):
    """A run: its name is unique, and a file name."""

    @property
    def name(self) -> str:
        """Such as 'unet-mild-paper-full-10-seed0'."""


SomeRun = TypeVar("SomeRun", bound=Named)
Execute = Callable[..., dict[str, Any]]
"""(run, folder=..., threads=...) -> the result, which then stands in NAME.json, too."""


@dataclass(frozen=True)
class Finished:
    """What comes back from a worker."""

    result: dict[str, Any]
    card: bytes
    weights: bytes


def sweep(
    execute: Execute,
    runs: list[SomeRun],
    folder: str | os.PathLike[str],
    *,
    processes: int = 1,
    scheduler: str | None = None,
) -> Iterator[tuple[SomeRun, dict[str, Any]]]:
    """Execute runs, and keep each in `folder` as soon as it is done; those that are there are read.

    Args:
        execute: called as execute(run, folder=..., threads=...), in other processes too: it returns the result, and keeps it.
        runs: no two of one name.
        folder: of the files. Where a cluster's workers do not see it, they use one of their own, and what they have done is
            kept here, too.
        processes: runs at a time on this machine, each on its share of the cores.
        scheduler: a Dask scheduler's address, as for `run_jobs`; each run gets one core of its worker.

    Yields:
        (run, result), in the order in which the runs are done.
    """
    check_count(processes, "processes", high=1024, example=2)
    check_scheduler(scheduler)
    path = Path(check_path(folder, "folder")).absolute()
    if scheduler is None:
        threads = max(1, (os.cpu_count() or 1) // processes) if processes > 1 else None
        yield from run_jobs(partial(execute, folder=path, threads=threads), runs, processes=processes)
        return
    todo: list[SomeRun] = []
    for run in runs:
        result = load_run(path, run)
        if result is None:
            todo.append(run)
        else:
            yield run, result
    work = partial(_execute_there, execute, path, _mark(path))
    for count, (run, finished) in enumerate(run_jobs(work, todo, scheduler=scheduler), 1):
        if load_run(path, run) is None:
            card = json.loads(finished.card)
            write_weights(read_weights(finished.weights, card), path / run.name, card)
        print(f"{count} of {len(todo)}: {run.name}", flush=True)
        yield run, finished.result


def load_run(folder: Path, run: Named) -> dict[str, Any] | None:
    """The result of a finished run; None where it is not finished."""
    file = folder / f"{run.name}.json"
    if not file.exists():
        return None
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["result"]
    return result


def save_run(folder: Path, run: Named, model: nn.Module, result: dict[str, Any], about: str) -> dict[str, Any]:
    """Keep a finished run, and return its result: of two workers that did the same run, that of the first."""
    kept = load_run(folder, run)
    if kept is None:
        write_weights(model, folder / run.name, {"result": result, "card": about})
    checkpoint_file(folder, run).unlink(missing_ok=True)
    return kept or result


def checkpoint_file(folder: Path, run: Named) -> Path:
    """Where a run is kept while it trains."""
    return folder / f"{run.name}.pt"


def _mark(folder: Path) -> str:
    """What stands in the folder's mark: made once, so that a sweep that goes on finds the workers' own folders again."""
    file = folder / MARK
    if not file.exists():
        write_whole(file, secrets.token_hex(16).encode())
    return file.read_text(encoding="ascii")


def _execute_there(execute: Execute, folder: Path, mark: str, run: Named) -> Finished:
    """On a worker: one run, in the sweep's folder or, on another disk, in one of this machine's own."""
    file = folder / MARK
    shared = file.exists() and file.read_text(encoding="ascii") == mark
    place = folder if shared else cache_folder() / "sweeps" / mark
    result = execute(run, folder=place, threads=1)
    base = place / run.name
    card, weights = (base.with_name(base.name + suffix).read_bytes() for suffix in (".json", ".safetensors"))
    return Finished(result, card, weights)
