"""What a training leaves behind: its history, and a checkpoint from which it goes on exactly."""

from __future__ import annotations

import copy
import hashlib
import inspect
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from .atomic_write import partial_file
from .folders import cache_folder

DRIVE = Path("/content/drive/MyDrive")
"""Where Colab mounts a student's Google Drive."""


class CheckpointError(RuntimeError):
    """A checkpoint is damaged, or belongs to another training."""


@dataclass
class History:
    """What `fit` saw: one entry an epoch."""

    loss: list[float] = field(default_factory=list)
    """Mean training loss over the epoch's images."""
    validation: list[float] = field(default_factory=list)
    """Loss on the validation pairs after the epoch; empty without them."""
    lr: list[float] = field(default_factory=list)
    """Learning rate of the epoch's last step."""
    seconds: list[float] = field(default_factory=list)
    """Wall-clock seconds of the epoch's training, without validation."""

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.loss)


@dataclass
class TrainingState:
    """All that decides how a training goes on; saved and loaded as one file."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | None
    scaler: torch.amp.GradScaler
    history: History
    settings: dict[str, Any]

    def try_to_save(self, path: Path) -> None:
        """Save atomically; where that fails (full disk), warn and keep the last good file: training need not stop."""
        content = {
            "settings": self.settings,
            "history": asdict(self.history),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "scaler": self.scaler.state_dict(),
        }
        try:
            with partial_file(path) as scratch:  # two machines of a cluster may be at one training
                try:
                    with scratch.open("wb") as file:
                        torch.save(content, file)
                        file.flush()
                        os.fsync(file.fileno())
                    os.replace(scratch, path)
                finally:  # a failure or Ctrl-C leaves no half-written file
                    with suppress(OSError):
                        scratch.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "disk full or not writable"
            warnings.warn(
                f"could not write the checkpoint {path} after epoch {self.history.epochs} ({reason}): training goes on, "
                "the last good checkpoint is kept, and the next epoch tries again.",
                RuntimeWarning,
                stacklevel=3,
            )

    def load(self, path: Path, device: torch.device) -> None:
        """Take all from a file; where it is damaged or from another training, raise `CheckpointError`, and take nothing."""
        advice = "delete it to start again, or choose another checkpoint."
        try:
            with warnings.catch_warnings(action="ignore"):  # torch's doubts about a file that is refused below
                # weights_only: tensors and plain containers; a checkpoint cannot run code.
                content = torch.load(path, map_location=device, weights_only=True)
                settings, history = dict(content["settings"]), _checked_history(**content["history"])
            different = [name for name, value in self.settings.items() if bool(settings.get(name, value) != value)]
        except Exception as error:
            kind = type(error).__name__
            raise CheckpointError(f"{path} is no checkpoint of fit, or is damaged ({kind}): {advice}") from error
        if different:
            changes = "; ".join(f"{name} was {settings[name]!r:.200} and is now {self.settings[name]!r}" for name in different)
            raise CheckpointError(f"{path} belongs to another training ({changes}): {advice}")
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        if self.scheduler is not None:
            parts["scheduler"] = self.scheduler
        before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
        try:
            if self.scheduler is not None:  # it would take any attribute from a file, even in the place of a method
                known = before["scheduler"].keys()
                content["scheduler"] = {key: value for key, value in content["scheduler"].items() if key in known}
            for name, part in parts.items():
                part.load_state_dict(content[name])
        except Exception as error:
            for name, part in parts.items():
                part.load_state_dict(before[name])
            raise CheckpointError(f"{path} does not fit this network: {advice}") from error
        for name, values in asdict(history).items():
            setattr(self.history, name, values)


def _checked_history(**lists: list[float]) -> History:
    history = History(**lists)
    lengths = {len(history.loss), len(history.lr), len(history.seconds)}
    if len(lengths) != 1 or not all(isinstance(number, int | float) for values in lists.values() for number in values):
        raise ValueError("the lists of a history hold one number an epoch")
    return history


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder with one checkpoint a training; `fit` takes it in the place of a file.

    Whatever is changed (settings, layers, first weights, data, code in the notebook) starts a new training, and what is set
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
        facts = (sorted(settings.items()), model, dataset.fingerprint(), code)
        digest = hashlib.sha256(repr(facts).encode())
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
