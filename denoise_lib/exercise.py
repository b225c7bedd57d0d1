"""An exercise with a bank of wrong answers: how a student's function is judged, by what it does.

The function runs on fresh random arguments beside the solution. Where the two differ, it runs beside each wrong answer of the
bank: the one that does the same tells the mistake by its name. So no answer can be hard-coded, and every message can be
tested, since each wrong answer is a function itself.
"""

from __future__ import annotations

import dis
import inspect
import random
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .validation import check_count

NOT_ATTEMPTED, RIGHT, WRONG = "not attempted", "right", "wrong"


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give."""

    name: str
    """Short, for counts over a class: "adds the noise without dimming"."""
    says: str
    """One sentence for the student, that tells the mistake and not the answer."""
    function: Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """What is asked, on what arguments, and which wrong answers are known."""

    name: str
    asks: str
    arguments: Callable[[torch.Generator], tuple[Any, ...]]
    """Fresh random arguments; the same generator state gives the same arguments."""
    solution: Callable[..., Any]
    mistakes: Sequence[Mistake]
    hints: tuple[str, str, str]
    observe: Callable[[tuple[Any, ...], Any], Any] = lambda arguments, output: output
    """What of (arguments after the call, output) is compared: by default the output."""
    tolerance: float = 1e-4
    pure: bool = True
    """Whether the function must leave its arguments as they are."""
    cases: int = 3

    def solution_text(self) -> str:
        """The solution's source code."""
        return textwrap.dedent(inspect.getsource(self.solution)).strip()


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt."""

    exercise: str
    status: str
    """`NOT_ATTEMPTED`, `RIGHT` or `WRONG`."""
    mistake: str | None
    """The name of the recognised mistake; for one that is not in the bank, what is wrong in general."""
    sentence: str


@dataclass(frozen=True)
class _Run:
    """One call: what was observed, or what was raised, and whether an argument was changed."""

    output: Any = None
    observed: Any = None
    raised: str | None = None
    attempted: bool = True
    changed: bool = False


def judge(exercise: Exercise, function: Callable[..., Any], seed: int | None = None) -> Outcome:
    """Run a student's function, and say what it does.

    Args:
        exercise: what was asked.
        function: the student's.
        seed: of the arguments; None draws a new one each time.

    Returns:
        The outcome. No exception of the student's function gets out; an endless loop is not stopped here.
    """
    if not callable(function):
        raise TypeError(f"{exercise.name} checks a function, but got a {type(function).__name__}; pass its name without ().")
    with _torch_as_usual():
        return _judge(exercise, function, seed)


def _judge(exercise: Exercise, function: Callable[..., Any], seed: int | None) -> Outcome:
    first = random.SystemRandom().randrange(2**31) if seed is None else check_count(seed, "seed", 0, example=0)
    seeds = range(first, first + exercise.cases)
    mine = [_run(exercise, function, case) for case in seeds]
    if not mine[0].attempted:
        return Outcome(exercise.name, NOT_ATTEMPTED, None, f"not attempted yet. {exercise.asks}")
    wanted = [_run(exercise, exercise.solution, case) for case in seeds]
    same = [_alike(one, other, exercise.tolerance) for one, other in zip(mine, wanted, strict=True)]
    changed = exercise.pure and any(run.changed for run in mine)
    if all(same):
        if changed:
            return _wrong(
                exercise, "changes its input", "the result is right, but your function changes its input; work on a copy."
            )
        if slip := _kind_of_number(mine[0].output, wanted[0].output):
            return _wrong(exercise, "wrong type of number", slip)
        return Outcome(exercise.name, RIGHT, None, "right.")
    place = same.index(False)
    evidence = _evidence(exercise, seeds[place], mine[place], wanted[place])
    for mistake in exercise.mistakes:
        runs = [_run(exercise, mistake.function, case) for case in seeds]
        if all(_alike(one, other, exercise.tolerance) for one, other in zip(mine, runs, strict=True)):
            return _wrong(exercise, mistake.name, f"{mistake.says} {evidence}")
    name, slip = _in_general(mine[place], wanted[place])
    if changed:
        name, slip = "changes its input", "your function changes its input; work on a copy."
    return _wrong(exercise, name, f"{slip} {evidence}")


@contextmanager
def _torch_as_usual() -> Iterator[None]:
    """Torch's global settings as they are by default; afterwards, and whatever a student's function sets, as they were."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    deterministic = torch.are_deterministic_algorithms_enabled()
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
        torch.use_deterministic_algorithms(deterministic)
        torch.random.set_rng_state(state)


def _is_stub(function: Callable[..., Any]) -> bool:
    """Whether the function's body is empty: `...`, `pass` or a comment."""
    code = getattr(function, "__code__", None)
    return code is not None and len(list(dis.get_instructions(code))) <= 4


def _wrong(exercise: Exercise, name: str, sentence: str) -> Outcome:
    return Outcome(exercise.name, WRONG, name, f"not yet: {sentence}")


def _run(exercise: Exercise, function: Callable[..., Any], seed: int) -> _Run:
    """One call on the arguments of one seed; these are made anew for each call, so that no call sees another's changes."""
    arguments = exercise.arguments(torch.Generator().manual_seed(seed))
    try:
        with _torch_as_usual():
            output = function(*arguments)
    except KeyboardInterrupt:  # the stop button
        raise
    except BaseException as error:  # also exit(), which would end the kernel
        if isinstance(error, NotImplementedError) and not error.args:  # torch raises it with a text
            return _Run(attempted=False, raised="NotImplementedError")
        return _Run(raised=_words(error))
    if output is None or output is Ellipsis:
        return _Run(attempted=not _is_stub(function), raised="nothing")
    try:
        observed = exercise.observe(arguments, output)
    except Exception:  # the output is of a kind that cannot even be looked at
        observed = None
    before = exercise.arguments(torch.Generator().manual_seed(seed))
    changed = any(isinstance(old, Tensor) and not torch.equal(old, new) for old, new in zip(before, arguments, strict=True))
    return _Run(output, observed, changed=changed)


def _words(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def _alike(one: _Run, other: _Run, tolerance: float) -> bool:
    if one.raised is not None or other.raised is not None:
        return one.raised == other.raised
    mine, theirs = _numbers(one.observed), _numbers(other.observed)
    if mine is None or theirs is None or len(mine) != len(theirs):
        return False
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        for a, b in zip(mine, theirs, strict=True)
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


def _kind_of_number(got: Any, wanted: Any) -> str | None:
    """What is wrong with the type of a result whose values are right."""
    if not isinstance(wanted, Tensor) or wanted.dim() == 0:
        return None  # one number is one number, be it a tensor or a float
    if not isinstance(got, Tensor):
        return f"the values are right, but your function returns a {type(got).__name__}, and a tensor is asked for."
    if got.dtype != wanted.dtype:
        return f"the values are right, but their type is {got.dtype}, and {wanted.dtype} is asked for."
    return None


def _in_general(mine: _Run, wanted: _Run) -> tuple[str, str]:
    """Name and sentence for a mistake that is not in the bank."""
    if mine.raised == "nothing":
        return "returns nothing", "your function returns nothing (None), at least for some input; every path needs a return."
    if mine.raised is not None:
        return "raises", f"your function raises {mine.raised}."
    got, asked = _numbers(mine.observed), _numbers(wanted.observed)
    if got is None:
        return (
            "wrong type",
            f"your function returns a {type(mine.output).__name__}, which is no number, tensor or tuple of them.",
        )
    if asked is not None and [part.shape for part in got] != [part.shape for part in asked]:
        return "wrong shape", "your result has another shape than the one that is asked for."
    if any(part.isnan().any() for part in got):
        return "not a number", "your result contains NaN; look for 0 / 0 or the logarithm of a negative number."
    return "other values", "your result has other values."


def _evidence(exercise: Exercise, seed: int, mine: _Run, wanted: _Run) -> str:
    arguments = exercise.arguments(torch.Generator().manual_seed(seed))
    names = inspect.signature(exercise.solution).parameters
    given = ", ".join(f"{name} = {_short(value)}" for name, value in zip(names, arguments, strict=False))
    got = mine.raised if mine.raised is not None else _short(mine.observed)
    return f"For {given}: expected {_short(wanted.observed)}, got {got}."


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
