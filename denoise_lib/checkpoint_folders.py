"""Where the notebooks' long trainings are kept, so that a lost connection costs one epoch and not the evening.

A notebook is changed and run again all day: a file of a fixed name would soon belong to another training. So each training
has a file of its own, named by a fingerprint of all that decides how it goes.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import nn

from .downloads import cache_folder

DRIVE = Path("/content/drive/MyDrive")
"""Where Colab mounts a student's Google Drive."""


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder with one checkpoint a training; `fit` takes it in the place of a file.

    Whatever is changed (settings, layers, first weights, data, code in the notebook) starts a training anew, and what is set
    back finds its file again.
    """

    path: Path

    def file(self, model: nn.Module, dataset: Any, settings: Mapping[str, Any], functions: Iterable[Any] = ()) -> Path | None:
        """The file of one training, `TNet-0123456789ab.checkpoint`.

        Args:
            model: the network before its first step.
            dataset: the pairs; they need a method `fingerprint`, as `NoisyImages` and `NoisyPairs` have it.
            settings: of the training, by name.
            functions: loss and schedule, which may be functions.

        Returns:
            The path, or None for a data set without `fingerprint`, which is told in a printed line.
        """
        if not hasattr(dataset, "fingerprint"):
            print(
                f"no checkpoint is kept: a {type(dataset).__name__} has no method fingerprint() that would tell its data from "
                "other data; NoisyImages and NoisyPairs have one, and checkpoint='run.pt' needs none."
            )
            return None
        code = code_of([*model.modules(), dataset, *vars(dataset).values(), *functions])
        told = (sorted(settings.items()), model, dataset.fingerprint(), code)
        digest = hashlib.sha256(repr(told).encode())
        for value in (*model.parameters(), *model.buffers()):
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return self.path / f"{type(model).__name__}-{digest.hexdigest()[:12]}.checkpoint"


def checkpoint_folder() -> CheckpointFolder | None:
    """Choose the folder for a notebook's checkpoints, and print which.

    It is the folder that the environment variable DENOISE_CHECKPOINTS names; else `denoise_course` on Google Drive, where that
    is mounted; else `checkpoints` in the cache folder (see `downloads.cache_folder`).

    Returns:
        The folder, or None where nothing can be written to it; the printed line says why.
    """
    on_drive, named = DRIVE.is_dir(), os.environ.get("DENOISE_CHECKPOINTS")
    path = Path(named).expanduser() if named else DRIVE / "denoise_course" if on_drive else cache_folder() / "checkpoints"
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path, buffering=0) as file:
            file.write(b"room?")
    except OSError as error:
        print(
            f"no checkpoint is kept, since {path} cannot be written to ({error.strerror}): a disconnect costs the whole "
            "training; set DENOISE_CHECKPOINTS to another folder."
        )
        return None
    lost = "google.colab" in sys.modules and not named and not on_drive
    advice = "; it is lost with Colab's machine, unless you mount Google Drive and run this cell again" if lost else ""
    print(f"after each epoch, a checkpoint is kept in {path}{advice}")
    return CheckpointFolder(path)


def code_of(things: Iterable[Any]) -> str:
    """The code, written in the notebook, of functions and of objects' classes: it may change while its names stay."""
    found: list[Any] = []
    for thing in things:
        classes = [kind for kind in type(thing).__mro__ if kind.__module__ == "__main__"]
        found += [thing, *(value for kind in classes for value in vars(kind).values())]
    functions = [value for value in found if inspect.isfunction(value) and value.__module__ == "__main__"]
    return "".join(_source(function) for function in dict.fromkeys(functions))


def _source(function: FunctionType) -> str:
    try:
        return inspect.getsource(function)
    except OSError:  # of code that stands in no file, such as that of `python -c`
        code = function.__code__
        return repr((code.co_code, code.co_consts, code.co_names))
