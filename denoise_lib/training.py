"""Training of denoisers.

`fit` is the papers' training loop with what a course needs: it starts again where it was stopped, reports in plain
lines, and gives the same weights for the same seed.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.utils.data import Dataset
from tqdm import tqdm

from .internal.batches import BatchPlan, count_pairs, serve_batches
from .internal.checkpoints import CheckpointError, CheckpointFolder, History, TrainingState
from .internal.checks import (
    check_choice,
    check_count,
    check_flag,
    check_function,
    check_number,
    check_path,
    check_real,
    check_tensor,
    describe,
)
from .internal.devices import Precision, default_device, device_of
from .internal.distributed import join
from .internal.seeding import derive_seed
from .losses import LOSSES, AnnealedL0, Loss
from .metrics import predict

SCHEDULES = ("one-cycle", "cosine")
MOST_EPOCHS = 10**6

__all__ = ["CheckpointError", "History", "TrainingDiverged", "TrainingInterrupted", "fit"]


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C, or the notebook's stop button, during `fit`; the message says what is kept and how to go on."""


class TrainingDiverged(ArithmeticError):
    """The loss, in training or on the validation pairs, became NaN or infinite."""


def fit(
    model: nn.Module,
    dataset: Dataset[Any],
    *,
    epochs: int,
    lr: float = 1e-3,
    batch_size: int = 128,
    loss: str | Loss = "l2",
    schedule: str | Callable[[torch.optim.Optimizer, int], LRScheduler] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    device: torch.device | str | None = None,
    amp: bool | None = None,
    checkpoint: str | os.PathLike[str] | CheckpointFolder | None = None,
    validation: Dataset[Any] | Callable[[nn.Module], float] | None = None,
    progress: bool = True,
) -> History:
    """Train a model in place on pairs (input, target) with Adam.

    In a program that torchrun has started, its processes share each batch, one GPU each (see `distributed`): the loss falls as
    in one process, and `batch_size` stays that of all together. The first process prints, and writes the checkpoint.

    Args:
        model: a network; it is moved to `device` and stays there.
        dataset: pairs; `NoisyImages` and `NoisyPairs` are served batch-wise from one tensor, any other `Dataset` by a
            `DataLoader`.
        epochs: passes over the data, at least 1. After a resume, the total and not the rest.
        lr: Adam's learning rate; the peak of the schedule where there is one.
        batch_size: pairs a step.
        loss: "l2" (mean squared error), "l1" (mean absolute error), "l0" (annealed), "hdr", "masked-l2" (see `losses`), or a
            function (output, target) -> scalar tensor.
        schedule: None for a constant rate (the papers); "one-cycle" or "cosine"; or a function
            (optimizer, total steps) -> a torch scheduler, stepped once a batch.
        shuffle: False serves the pairs in their order, as the second paper does.
        seed: of the order of the pairs and of fresh noise. The initial weights come from you: `torch.manual_seed`.
        device: where to train; by default "cuda" where there is one, else "cpu".
        amp: mixed precision; None turns it on on CUDA alone: bfloat16 where the chip has it, else float16 with a scaled loss.
        checkpoint: file to which everything is saved after each epoch. Where it exists, training goes on from it, and
            on a CPU ends with the same weights, bit for bit, as without the interruption. In a `CheckpointFolder`, as
            `checkpoint_folder()` returns it, each training has a file of its own: changed settings or data start anew.
        validation: pairs on which the loss is measured after each epoch, or a function model -> number.
        progress: print a line an epoch.

    Returns:
        The `History` of all epochs, those before a resume included.

    Raises:
        TypeError, ValueError: a bad argument.
        TrainingInterrupted: stopped by Ctrl-C. The model keeps its weights and the checkpoint its last whole epoch.
        TrainingDiverged: the loss became NaN or infinite.
        CheckpointError: the checkpoint is damaged, or from a training with other settings.
    """
    device_of(model)
    check_count(epochs, "epochs", high=MOST_EPOCHS, example=10)
    check_number(lr, "lr", 0, 1e38, open_low=True, example=1e-3)
    check_count(batch_size, "batch_size", example=128)
    check_count(seed, "seed", 0, example=0)
    check_flag(shuffle, "shuffle")
    check_flag(progress, "progress")
    if amp is not None and not isinstance(amp, bool):
        raise TypeError(f"amp must be True, False or None, but is {describe(amp)}.")
    loss_function = _loss_function(loss)
    size = count_pairs(dataset, "dataset")
    if callable(validation) and not isinstance(validation, nn.Module):
        check_function(validation, "validation", "model")
    elif validation is not None:
        count_pairs(validation, "validation")
    device = default_device(device)
    processes = join(device)
    precision = Precision(device, amp)
    progress = progress and processes.first
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model has no trainable parameters; nothing can be fitted.")
    optimizer = Adam(parameters, lr=lr, fused=True)
    total_steps = epochs * math.ceil(size / batch_size)
    scheduler = _scheduler(schedule, optimizer, lr, total_steps)
    history = History()
    settings = {
        "network": type(model).__name__, "arguments": model.extra_repr(), "pairs": size,
        "noise": repr(getattr(dataset, "noise", None)), "fresh": getattr(dataset, "fresh", None),
        "target_noise": repr(getattr(dataset, "target_noise", None)), "augmentation": getattr(dataset, "augmentation", None),
        "lr": lr, "batch_size": batch_size, "shuffle": shuffle, "seed": seed, "amp": precision.enabled,
        "loss": loss if isinstance(loss, str) else getattr(loss, "__qualname__", type(loss).__name__),
        "schedule": schedule if isinstance(schedule, str | None) else "callable",
        # A schedule is laid out over all epochs, and so is the annealing; without them, a training may be prolonged.
        "epochs": epochs if schedule is not None or isinstance(loss_function, AnnealedL0) else None,
    }  # fmt: skip
    state = TrainingState(model, optimizer, scheduler, precision.scaler, history, settings)
    if isinstance(checkpoint, CheckpointFolder):
        path = checkpoint.file(model, dataset, {**settings, "epochs": epochs}, [loss, schedule])
    else:
        path = Path(check_path(checkpoint, "checkpoint")) if checkpoint is not None else None
    # The first process writes this file, and knows best whether it is there.
    if path is not None and processes.broadcast_from_first(path.exists(), device):
        state.load(path, device)
        if progress and history.epochs < epochs:
            print(f"going on after epoch {history.epochs} from {path.name}", flush=True)
        elif progress:
            print(f"nothing to train: {path} holds all {history.epochs} epochs; delete this file to train anew", flush=True)

    was_training = model.training
    shared = processes.wrap(model, device)
    try:
        while history.epochs < epochs:
            plan = BatchPlan(batch_size, shuffle, seed, epochs, processes)
            _train_epoch(shared, dataset, plan, device, loss_function, optimizer, scheduler, precision, history)
            if callable(validation):
                history.validation.append(_measure(validation, model))
            elif validation is not None:
                found = _validation_loss(model, validation, batch_size, device, loss_function)
                history.validation.append(_finite(found, "validation loss", history.epochs, lr))
            if path is not None and processes.first:
                state.try_to_save(path)
            if progress:
                print(_progress_line(history, epochs), flush=True)
    except KeyboardInterrupt:
        kept = "the model keeps what it has learnt so far; give fit a checkpoint='run.pt' to be able to go on exactly"
        if path is not None and path.exists():
            how = "in the same way" if isinstance(checkpoint, CheckpointFolder) else f"with checkpoint={str(path)!r}"
            kept = f"call fit again {how} to go on"
        raise TrainingInterrupted(f"stopped in epoch {history.epochs + 1} of {epochs}: {kept}.") from None
    finally:
        model.train(was_training)
    return history


def _train_epoch(
    model: nn.Module,
    dataset: Dataset[Any],
    plan: BatchPlan,
    device: torch.device,
    loss_function: Loss,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | None,
    precision: Precision,
    history: History,
) -> None:
    """One pass over the data, added to the history. It is random by (seed, epoch) alone, so that a resume is exact."""
    start = time.perf_counter()
    model.train()
    generator = torch.Generator().manual_seed(derive_seed(plan.seed >> 12, (plan.seed << 20) + history.epochs))
    # Summed on the device and read once an epoch: reading it at each step would make a GPU wait.
    total, served = torch.zeros((), device=device, dtype=torch.float64), 0
    batches = serve_batches(dataset, plan.batch_size, device, generator, plan.shuffle)
    steps = math.ceil(count_pairs(dataset, "dataset") / plan.batch_size)
    hidden = not (plan.processes.first and sys.stderr.isatty())
    for step, (whole, targets) in enumerate(tqdm(batches, total=steps, leave=False, unit="step", disable=hidden)):
        noisy, target, count = plan.processes.shard(whole, targets)
        # Averaged over the processes, the losses must give the mean over the whole batch.
        weight = count * plan.processes.size / len(whole)
        if isinstance(loss_function, AnnealedL0):
            loss_function.progress = (history.epochs + step / steps) / plan.epochs
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            output = model(noisy)
        batch_loss = _loss_of(loss_function, output, target)
        precision.scaler.scale(batch_loss * weight).backward()
        precision.scaler.step(optimizer)
        precision.scaler.update()
        rate = float(optimizer.param_groups[0]["lr"])
        if scheduler is not None:
            scheduler.step()
        total += batch_loss.detach() * count
        served += len(whole)
    mean = float(plan.processes.sum(total)) / served
    history.loss.append(_finite(mean, "loss", history.epochs + 1, optimizer.defaults["lr"]))
    history.lr.append(rate)
    history.seconds.append(time.perf_counter() - start)


def _finite(loss: float, name: str, epoch: int, lr: float) -> float:
    if not math.isfinite(loss):
        advice = f"try a smaller learning rate, such as lr={lr / 10:g}"
        raise TrainingDiverged(f"the {name} became {loss} in epoch {epoch}; {advice}.")
    return loss


def _loss_of(loss_function: Loss, output: Tensor, target: Tensor) -> Tensor:
    """The loss of one batch. Values are not looked at: that would stall a GPU on every step."""
    value = loss_function(check_tensor(output, "the model's output").float(), target)
    if not isinstance(value, Tensor) or value.dim():
        raise TypeError(
            f"loss must return one number, as a tensor without axes, such as a mean, but returned {describe(value)}."
        )
    if not value.requires_grad:
        raise ValueError("the loss has no gradient: model and loss must compute with tensors, without detach() or no_grad().")
    return value


def _measure(function: Callable[[nn.Module], float], model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        value = function(model)
    return check_real(value.item() if isinstance(value, Tensor) and value.numel() == 1 else value, "what validation returns")


def _validation_loss(
    model: nn.Module, validation: Dataset[Any], batch_size: int, device: torch.device, loss_function: Loss
) -> float:
    total, count = 0.0, 0
    for noisy, target in serve_batches(validation, batch_size, device, None):
        total += float(loss_function(predict(model, noisy, batch_size=batch_size), target)) * len(noisy)
        count += len(noisy)
    return total / count


def _loss_function(loss: str | Loss) -> Loss:
    if isinstance(loss, type):
        raise TypeError(f"loss must be a function (output, target), but is a class; write {loss.__name__}().")
    if callable(loss):
        check_function(loss, "loss", "output", "target")
        return loss
    chosen = LOSSES[check_choice(loss, "loss", tuple(LOSSES))]
    return chosen() if isinstance(chosen, type) else chosen


def _scheduler(
    schedule: str | Callable[[torch.optim.Optimizer, int], LRScheduler] | None,
    optimizer: torch.optim.Optimizer,
    lr: float,
    steps: int,
) -> LRScheduler | None:
    if schedule is None:
        return None
    if callable(schedule):
        scheduler = check_function(schedule, "schedule", "optimizer", "steps")(optimizer, steps)
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(
                f"schedule must return a torch scheduler, such as StepLR(optimizer, 100), not {describe(scheduler)}."
            )
        return scheduler
    if check_choice(schedule, "schedule", SCHEDULES) == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    # One step more than is taken: the last scheduler.step() looks one ahead.
    return OneCycleLR(optimizer, max_lr=lr, total_steps=steps + 1)


def _progress_line(history: History, epochs: int) -> str:
    done, line = history.epochs, f"epoch {history.epochs:>2} of {epochs}   loss {history.loss[-1]:.5f}"
    if history.validation:
        line += f"   validation {history.validation[-1]:.5f}"
    left = (epochs - done) * sum(history.seconds) / done
    return line + f"   {history.seconds[-1]:.1f} s" + (f"   about {left / 60:.1f} min left" if left > 30 else "")
