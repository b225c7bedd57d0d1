"""What could make a training step faster still, and whether it pays on this machine.

`fit` uses neither of the two ways that are measured here. `torch.compile` makes a program of a network, which takes seconds
before the first step. Several networks of one kind can be trained at once, their weights stacked by `torch.func`: a GPU then
has fewer and larger operations to launch, and their convolutions become grouped ones.
"""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import mse_loss
from torch.optim import Adam

from benchmarks.timing import MOST_REPEATS, Row, rows_of, time_interleaved
from benchmarks.training import SETTINGS, training_step
from denoise_lib.internal.checks import (
    check_count,
    check_instance,
    check_list,
    check_model,
    check_number,
    check_same_shape,
    check_tensor,
)
from denoise_lib.internal.devices import Precision, default_device, synchronize

TOGETHER = 3
"""Networks at once: the first paper's noise levels."""
Step = Callable[[], Tensor]


def benchmark_alternatives(repeats: int = 9, device: torch.device | str | None = None) -> list[Row]:
    """A step of training as it is and compiled; and one of three networks, one by one and at once. In `fit`'s precision here.

    Returns:
        Rows of seconds; `times_the_first` is against the first way of the same work. A compiled one also has `start_seconds`,
        what its first step takes longer than those after it, and `steps_to_pay_back`, those until this is made up for (None:
        never); or only `not_measured`, why it could not be compiled. On CUDA the second compiled one replays a CUDA graph.
    """
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    chosen = default_device(device)
    return [row for name in SETTINGS for row in [*_compiled(name, chosen, repeats), *_together(name, chosen, repeats)]]


def _compiled(network: str, device: torch.device, repeats: int) -> list[Row]:
    setting, precision = SETTINGS[network], Precision(device, None)
    modes = {"torch.compile": "default"} | ({"CUDA graph": "reduce-overhead"} if device.type == "cuda" else {})
    steps: dict[str, Callable[[], object]] = {f"{network}: step": training_step(setting, device, precision)}
    starts: dict[str, float] = {}
    failed: list[Row] = []
    # A cache of its own: what an earlier run has compiled would make the start look short.
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": cache}):
        for label, mode in modes.items():
            name = f"{network}: step, {label}"
            try:
                step = training_step(setting, device, precision, compile_mode=mode)
                begin = time.perf_counter()
                step()
                synchronize(device)
            except RuntimeError as error:  # there is no compiler on this machine, or not for this Python
                failed.append({"name": name, "not_measured": str(error).strip().splitlines()[0]})
            else:
                steps[name], starts[name] = step, time.perf_counter() - begin
        rows = rows_of(time_interleaved(steps, repeats))
    for row in rows[1:]:
        row |= break_even(starts[row["name"]], row["seconds"], rows[0]["seconds"])
    return [*rows, *failed]


def break_even(first: float, compiled: float, plain: float) -> Row:
    """How many steps it takes until a compiled network's start is made up for.

    Args:
        first: seconds of its first step.
        compiled: of a later one.
        plain: of one that is not compiled.

    Returns:
        `start_seconds` and `steps_to_pay_back`, None where it never is.
    """
    for value, name in ((first, "first"), (compiled, "compiled"), (plain, "plain")):
        check_number(value, name, 0, open_low=True, example=0.1)
    start = max(0.0, first - compiled)
    return {"start_seconds": start, "steps_to_pay_back": round(start / (plain - compiled)) if compiled < plain else None}


def _together(network: str, device: torch.device, repeats: int) -> list[Row]:
    setting, precision = SETTINGS[network], Precision(device, None)
    alone = [training_step(setting, device, precision) for _ in range(TOGETHER)]
    pairs = setting.pairs(setting.batch_size).batches(setting.batch_size, device)
    noisy, target = (part.expand(TOGETHER, *part.shape) for part in next(pairs))
    models = [setting.model().to(device) for _ in range(TOGETHER)]
    candidates: dict[str, Callable[[], object]] = {
        f"{network}: {TOGETHER} networks, one by one": lambda: [step() for step in alone],
        f"{network}: {TOGETHER} networks at once": vmapped_step(models, noisy, target, lr=setting.lr, precision=precision),
    }
    return rows_of(time_interleaved(candidates, repeats))


def vmapped_step(models: Sequence[nn.Module], noisy: Tensor, target: Tensor, *, lr: float, precision: Precision) -> Step:
    """A step of training for K networks at once, on K batches.

    Args:
        models: of one architecture, without buffers, on the batches' device; they are copied and stay as they are.
        noisy, target: (K, N, C, H, W), a batch for each.
        lr: Adam's, the same for all.
        precision: of the forward pass.

    Returns:
        A function that takes one step, the same as each network would take by itself, and returns the K losses, (K,).
    """
    check_list(models, "models", [nn.Identity(), nn.Identity()])
    for model in models:
        check_model(model)
    check_same_shape(check_tensor(noisy, "noisy"), check_tensor(target, "target"), "noisy", "target")
    if noisy.dim() != 5 or len(noisy) != len(models):
        problem = f"but has the shape {tuple(noisy.shape)}"
        raise ValueError(f"noisy must be {len(models)} batches, one for each model: (K, N, C, H, W), {problem}.")
    check_number(lr, "lr", 0, 1e38, open_low=True, example=1e-3)
    check_instance(precision, "precision", Precision, "Precision(torch.device('cpu'), None)")
    if any(list(model.buffers()) for model in models):
        raise ValueError("models must have no buffers: batch normalisation, for one, changes its own in each step.")
    try:
        stacked, _ = stack_module_state([*models])
    except (RuntimeError, KeyError):
        raise ValueError("models must be of one architecture, such as [UNet(), UNet()].") from None
    weights = {name: value.detach().clone().requires_grad_() for name, value in stacked.items()}
    optimizer, form = Adam(weights.values(), lr=lr, fused=True), copy.deepcopy(models[0])

    def output(own: dict[str, Tensor], images: Tensor) -> Tensor:
        return functional_call(form, own, (images,))  # type: ignore[no-any-return]

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            outputs = vmap(output)(weights, noisy)
        losses = vmap(mse_loss)(outputs.float(), target)
        precision.scaler.scale(losses.sum()).backward()  # the sum: each network has the gradient of its own loss
        precision.scaler.step(optimizer)
        precision.scaler.update()
        return losses.detach()

    return step
