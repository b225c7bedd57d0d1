"""What `test_parallel.py` lets other processes do; a Dask worker loads this file when it starts, and `dask_setup` is called.

A job appends its name to `log` in the folder JOBS_FOLDER, and a worker dies in the job whose name stands in `deadly` there.
"""

from __future__ import annotations

import os
import signal
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from torch import Tensor

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""On Windows the latter ends a process just as suddenly."""


class OddError(RuntimeError):
    """An error that only a test can raise."""


def folder() -> Path:
    return Path(os.environ["JOBS_FOLDER"])


def started(name: str) -> None:
    """Note that a job is begun, and die of it where that is wanted: once, or each time where `deadly` says 'always'."""
    with (folder() / "log").open("a", encoding="utf-8") as log:
        log.write(f"{name} {os.getpid()}\n")
    deadly = folder() / "deadly"
    if deadly.exists() and (words := deadly.read_text().split())[0] == name:
        if "always" not in words:
            deadly.unlink()
        time.sleep(0.3)  # in the middle of the job: what was done before has come home
        os.kill(os.getpid(), KILL)
        time.sleep(60)


def begun() -> list[str]:
    """The names of all jobs that were begun so far, as often as they were."""
    log = folder() / "log"
    return [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def square(number: int) -> int:
    started(str(number))
    return number * number


def slow_square(number: int) -> int:
    started(str(number))
    time.sleep(1)
    return number * number


def square_but_three(number: int) -> int:
    started(str(number))
    if number == 3:
        time.sleep(1)  # others come before it
        raise OddError("three is odd.")
    return number * number


def process(number: int) -> int:
    return os.getpid()


def parallel(number: int) -> set[int]:
    """The processes in which a job's own threads work."""
    return {*Parallel(n_jobs=4, prefer="threads")(delayed(process)(number) for _ in range(24))}


def tiny_digits(split: str = "train", size: str = "small", root: Any = None) -> Tensor:
    """24 digits to train on, and twelve others to test on."""
    return _first(split, 24 if split == "train" else 12).clone()


@cache
def _first(split: str, count: int) -> Tensor:
    from denoise_lib.sources.digits import mnist

    return mnist(split, "small")[:count].clone()


def make_tiny() -> None:
    """Train on a few digits from now on, and note each training."""
    from denoise_lib import data, training
    from denoise_lib.papers import unet_vs_autoencoder

    torch.set_num_threads(1)

    def noted(model: Any, dataset: Any, **settings: Any) -> training.History:
        started(Path(settings["checkpoint"]).stem)
        return training.fit(model, dataset, **settings)

    for module, name, value in (
        (unet_vs_autoencoder, "mnist", tiny_digits),
        (data, "mnist", tiny_digits),
        (unet_vs_autoencoder, "fit", noted),
    ):
        setattr(module, name, value)


def execute_tiny(run: Any, **where: Any) -> dict[str, Any]:
    """`experiments.execute` in a new process, which has loaded nothing of this yet."""
    from denoise_lib.papers import unet_vs_autoencoder

    make_tiny()
    return unet_vs_autoencoder.execute(run, **where)


def pass_over_the_mark(hidden: bool) -> None:
    """Let this process see the driver's folder as from another disk: the file that marks it is not there."""
    from denoise_lib.papers import study

    study.MARK = ".of-another-disk" if hidden else ".sweep"


def note_verdicts() -> None:
    """Note each submission that is judged in this process."""
    from denoise_lib.classroom import verdicts

    usual = verdicts._make

    def noted(content: bytes | None, *rest: Any) -> dict[str, Any]:
        started(str(len(content or b"")))
        return usual(content, *rest)

    setattr(verdicts, "_make", noted)  # noqa: B010


def take_the_sandbox_away() -> None:
    """Let this process find no bubblewrap."""
    from denoise_lib.classroom.sandbox.bubblewrap import bubblewrap_works

    os.environ["PATH"] = ""
    bubblewrap_works.cache_clear()


def dask_setup(worker: Any) -> None:
    make_tiny()
