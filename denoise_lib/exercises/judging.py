"""Judging an answer: run a student's function on fresh arguments, and tell from the numbers which mistake it makes."""

from __future__ import annotations

import dis
import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..internal.checks import check_count, check_instance, check_list, reading
from .exercise import NOT_ATTEMPTED, RIGHT, WRONG, Exercise, Outcome

CHANGES_INPUT, OTHER_TYPE, OTHER_DEVICE = "changes its input", "wrong type of number", "wrong device"
NEARLY_RIGHT = (CHANGES_INPUT, OTHER_TYPE, OTHER_DEVICE)
"""Names of mistakes in a function whose values are right."""


@dataclass(frozen=True)
class CallRecord:
    """What one call did: all that is compared, as plain numbers and words, so that another process may have made the call."""

    numbers: list[Tensor] | None = None
    """What was observed, float64; None where it is no number, tensor or sequence of them."""
    shown: str = ""
    """The same in a few words."""
    type: str = ""
    """Of the output, for example "Tensor"; dtype and device: where it is a tensor with dimensions."""
    dtype: str | None = None
    device: str | None = None
    raised: str | None = None
    """The error, or "nothing" for a function that returned None."""
    attempted: bool = True
    changed: bool = False
    """Whether an argument was changed."""

    def packed(self) -> dict[str, Any]:
        """As JSON has it."""
        numbers = None if self.numbers is None else [[list(part.shape), part.flatten().tolist()] for part in self.numbers]
        return {**vars(self), "numbers": numbers}

    @classmethod
    def unpacked(cls, content: dict[str, Any]) -> CallRecord:
        """The run that was packed; a ValueError or TypeError for anything else, whoever has made it."""
        if not isinstance(content, dict) or content.keys() != {field.name for field in fields(cls)}:
            raise ValueError("a packed run has the fields of a run.")
        packed = content["numbers"]
        with reading("content", "packed()"):
            numbers = packed and [torch.tensor(values, dtype=torch.float64).reshape(shape) for shape, values in packed]
        words = {
            key: None if content[key] is None else str(content[key])[:400]
            for key in ("shown", "type", "dtype", "device", "raised")
        }
        words = {**words, "shown": words["shown"] or "", "type": words["type"] or ""}
        return cls(numbers, **words, attempted=bool(content["attempted"]), changed=bool(content["changed"]))  # type: ignore[arg-type]


def judge(exercise: Exercise, function: Callable[..., Any], seed: int | None = None) -> Outcome:
    """Run a student's function, and say what it does.

    Args:
        exercise: what was asked.
        function: the student's.
        seed: of the arguments; None draws a new one each time.

    Returns:
        The outcome. No exception of the student's function gets out; an endless loop is not stopped here.
    """
    check_instance(exercise, "exercise", Exercise, "check.blend.exercise")
    first = random.SystemRandom().randrange(2**31) if seed is None else check_count(seed, "seed", 0, example=0)
    return compare(exercise, attempt(exercise, function, first), first)


def attempt(exercise: Exercise, function: Callable[..., Any], seed: int) -> list[CallRecord]:
    """Call a student's function on the arguments of seed, seed + 1, ...: one run for each case of the exercise."""
    check_instance(exercise, "exercise", Exercise, "check.blend.exercise")
    check_count(seed, "seed", 0, example=0)
    if not callable(function):
        raise TypeError(f"{exercise.name} checks a function, but got a {type(function).__name__}; pass its name without ().")
    with _torch_as_usual():
        return [_run(exercise, function, case) for case in range(seed, seed + exercise.cases)]


def compare(exercise: Exercise, mine: list[CallRecord], seed: int) -> Outcome:
    """Say what a function does, from its runs on the arguments of this seed (see `attempt`)."""
    check_instance(exercise, "exercise", Exercise, "check.blend.exercise")
    check_count(seed, "seed", 0, example=0)
    for run in check_list(mine, "mine", ["attempt(exercise, function, seed)"]):
        check_instance(run, "each of mine", CallRecord, "attempt(exercise, function, seed)[0]")
    if len(mine) != exercise.cases:
        raise ValueError(f"{exercise.name} is compared on {exercise.cases} runs, but there are {len(mine)}.")
    if not mine[0].attempted:
        return Outcome(exercise.name, NOT_ATTEMPTED, None, f"not attempted yet. {exercise.prompt}")
    wanted = attempt(exercise, exercise.solution, seed)
    same = [_alike(one, other, exercise.tolerance) for one, other in zip(mine, wanted, strict=True)]
    changed = exercise.pure and any(run.changed for run in mine)
    if all(same):
        if changed:
            return _wrong(exercise, CHANGES_INPUT, "the result is right, but your function changes its input; work on a copy.")
        if other := _kind_of_number(mine[0], wanted[0]):
            return _wrong(exercise, *other)
        return Outcome(exercise.name, RIGHT, None, "right.")
    place = same.index(False)
    evidence = f" {_evidence(exercise, seed + place, mine[place], wanted[place])}" if exercise.evidence else ""
    for mistake in exercise.mistakes:
        if _behaves_like(exercise, mistake.function, mine, seed):
            return _wrong(exercise, mistake.name, f"{mistake.feedback}{evidence}")
    name, slip = _in_general(mine[place], wanted[place])
    if changed:
        name, slip = CHANGES_INPUT, "your function changes its input; work on a copy."
    return _wrong(exercise, name, f"{slip}{evidence}")


def _behaves_like(exercise: Exercise, function: Callable[..., Any], mine: list[CallRecord], seed: int) -> bool:
    """Whether a function's runs are alike; the first that is not ends the comparison."""
    with _torch_as_usual():
        return all(_alike(one, _run(exercise, function, case), exercise.tolerance) for case, one in enumerate(mine, seed))


@contextmanager
def _torch_as_usual() -> Iterator[None]:
    """Torch's global settings as they are by default; afterwards, and whatever a student's function sets, as they were."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    deterministic = torch.get_deterministic_debug_mode()
    state = torch.random.get_rng_state()
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device("cpu")
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.get_deterministic_debug_mode() != deterministic:  # setting it loads torch's compiler, which takes two seconds
            torch.use_deterministic_algorithms(deterministic > 0, warn_only=deterministic == 1)
        torch.random.set_rng_state(state)


def is_stub(function: Callable[..., Any]) -> bool:
    """Whether the function's body is empty: `...`, `pass` or a comment."""
    code = getattr(function, "__code__", None)
    return code is not None and len(list(dis.get_instructions(code))) <= 4


def _wrong(exercise: Exercise, name: str, sentence: str) -> Outcome:
    return Outcome(exercise.name, WRONG, name, f"not yet: {sentence}")


def _run(exercise: Exercise, function: Callable[..., Any], seed: int) -> CallRecord:
    """One call on the arguments of one seed; these are made again for each call, so that no call sees another's changes."""
    arguments = exercise.arguments(torch.Generator().manual_seed(seed))
    try:
        with _torch_as_usual():
            # Unseeded noise of a student's own is the same in every process, and is none of the arguments' noise.
            torch.default_generator.manual_seed(2**33 + seed)
            output = function(*arguments)
    except KeyboardInterrupt:  # the stop button
        raise
    except BaseException as error:  # also exit(), which would end the kernel
        if isinstance(error, NotImplementedError) and not error.args:  # torch raises it with a text
            return CallRecord(attempted=False, raised="NotImplementedError")
        return CallRecord(raised=_words(error))
    if output is None or output is Ellipsis:
        return CallRecord(attempted=not is_stub(function), raised="nothing")
    try:
        observed = exercise.observe(arguments, output)
    except Exception:  # the output is of a kind that cannot even be looked at
        observed = None
    before = exercise.arguments(torch.Generator().manual_seed(seed))
    changed = any(_changed(old, new) for old, new in zip(before, arguments, strict=True))
    dtype, device = (str(output.dtype), str(output.device)) if isinstance(output, Tensor) and output.dim() else (None, None)
    return CallRecord(_numbers(observed), _short(observed), type(output).__name__, dtype, device, changed=changed)


def _changed(old: Any, new: Any) -> bool:
    """Whether an argument of numbers, also within lists, is not what it was."""
    before, after = _numbers(old), _numbers(new)
    if before is None:
        return False  # a model, a generator, a function
    return after is None or len(before) != len(after) or not all(map(torch.equal, before, after))


def _words(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def _alike(one: CallRecord, other: CallRecord, tolerance: float) -> bool:
    if one.raised is not None or other.raised is not None:
        return one.raised == other.raised
    if one.numbers is None or other.numbers is None or len(one.numbers) != len(other.numbers):
        return False
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        for a, b in zip(one.numbers, other.numbers, strict=True)
    )


def _numbers(value: Any) -> list[Tensor] | None:
    """A number, tensor, array or (nested) sequence of them as float64 tensors; None for anything else."""
    try:
        return _flat(value)
    except Exception:  # arrays of objects, sparse tensors, lists that contain themselves, whole numbers beyond 64 bits
        return None


def _flat(value: Any) -> list[Tensor] | None:
    if isinstance(value, np.ndarray | np.generic):
        value = torch.as_tensor(value)
    if isinstance(value, Tensor):
        plain = value.layout == torch.strided and not (value.is_complex() or value.is_quantized or value.is_nested)
        return [value.detach().cpu().double()] if plain else None
    if isinstance(value, bool | int | float):
        return [torch.tensor(float(value), dtype=torch.float64)]
    if isinstance(value, tuple | list) and len(value) <= 1000:
        parts = [_flat(part) for part in value]
        return None if any(part is None for part in parts) else [number for part in parts for number in part or []]
    return None


def _kind_of_number(got: CallRecord, wanted: CallRecord) -> tuple[str, str] | None:
    """What is wrong with the type of a result whose values are right: name and sentence."""
    if wanted.dtype is None:
        return None  # one number is one number, be it a tensor or a float
    if got.type != "Tensor" and got.dtype is None:
        return OTHER_TYPE, f"the values are right, but your function returns a {got.type}, and a tensor is asked for."
    if got.dtype != wanted.dtype:
        return OTHER_TYPE, f"the values are right, but their type is {got.dtype}, and {wanted.dtype} is asked for."
    if got.device != wanted.device:
        where = f"on {got.device}; leave them where the input is, on {wanted.device}."
        return OTHER_DEVICE, f"the values are right, but they are {where}"
    return None


def _in_general(mine: CallRecord, wanted: CallRecord) -> tuple[str, str]:
    """Name and sentence for a mistake that is not in the bank."""
    if mine.raised == "nothing":
        return "returns nothing", "your function returns nothing (None), at least for some input; every path needs a return."
    if mine.raised is not None:
        return "raises", f"your function raises {mine.raised}."
    if mine.numbers is None:
        return "wrong type", f"your function returns a {mine.type}, which is no number, tensor or tuple of them."
    if wanted.numbers is not None and [part.shape for part in mine.numbers] != [part.shape for part in wanted.numbers]:
        return "wrong shape", "your result has another shape than the one that is asked for."
    if any(part.isnan().any() for part in mine.numbers):
        return "not a number", "your result contains NaN; look for 0 / 0, or a root or logarithm of a negative number."
    return "other values", "your result has other values."


def _evidence(exercise: Exercise, seed: int, mine: CallRecord, wanted: CallRecord) -> str:
    arguments = exercise.arguments(torch.Generator().manual_seed(seed))
    names = inspect.signature(exercise.solution).parameters
    given = ", ".join(f"{name} = {_short(value)}" for name, value in zip(names, arguments, strict=False))
    return f"For {given}: expected {wanted.shown}, got {mine.raised if mine.raised is not None else mine.shown}."


def _short(value: Any) -> str:
    """A value in a few words."""
    numbers = _numbers(value)
    if isinstance(value, tuple | list):
        short = len(value) <= 4 and numbers is not None and len(numbers) <= 4
        return f"({', '.join(_short(part) for part in value)})" if short else f"a {type(value).__name__} of {len(value)}"
    if numbers is None:
        return repr(value) if isinstance(value, str) and len(value) < 40 else f"a {type(value).__name__}"
    if numbers[0].dim() == 0:
        return f"{numbers[0].item():.6g}"
    if numbers[0].numel() == 0:
        return f"an empty tensor {tuple(numbers[0].shape)}"
    low, high = numbers[0].min().item(), numbers[0].max().item()
    return f"tensor {tuple(numbers[0].shape)} with mean {numbers[0].mean().item():.4g} in [{low:.3g}, {high:.3g}]"
