"""An exercise with a bank of wrong answers: how a student's function is judged, by what it does.

The function runs on fresh random arguments beside the solution. Where the two differ, it runs beside each wrong answer of the
bank: the one that does the same tells the mistake by its name. So no answer can be hard-coded, and every message can be
tested, since each wrong answer is a function itself.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..internal.checks import check_generator, check_images, describe

NOT_ATTEMPTED, RIGHT, WRONG = "not attempted", "right", "wrong"


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give."""

    name: str
    """Short, for counts over a class: "adds the noise without dimming"."""
    feedback: str
    """One sentence for the student, that tells the mistake and not the answer."""
    function: Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """What is asked, on what arguments, and which wrong answers are known."""

    name: str
    prompt: str
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
    evidence: bool = True
    """Whether a mistake is told with what was expected and got; not where what is observed says nothing to a student."""
    graded: bool = False
    """Whether it is handed in for points: then the course does not tell its solution."""

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


def noise_facts(copies: Any, means: Tensor, generator: torch.Generator) -> Any:
    """What the noise of two noisy copies is like, in whatever order it was drawn.

    Of each copy: mean, deviation and mean size of its noise, the shares below 0 and above 1, and how far neighbours along each
    dimension share their noise; then the correlation of the two; and whether this generator, whose seed has to lie above 2**31,
    was used as it was given: a student's own seed is smaller. For copies of another shape, the copies.
    """
    check_images(means, "means", value_range=None)
    if check_generator(generator, torch.device("cpu")) is None:
        raise TypeError("generator must be a torch.Generator, but is None.")
    try:
        copies = [torch.as_tensor(copy).detach() for copy in copies]
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"copies must be noisy images, as tensors, but are {describe(copies)}.") from None
    if len(copies) != 2 or any(copy.shape != means.shape for copy in copies):
        return copies
    both = torch.stack(copies)
    noise = (both - means).flatten(1)
    mean = noise.mean(1, keepdim=True)
    deviation = (noise - mean).square().mean(1, keepdim=True).sqrt()
    unit = ((noise - mean) / deviation.clamp(min=1e-6)).reshape(both.shape)
    pixels = tuple(range(1, both.dim()))
    shared = [(unit * unit.roll(1, dim)).mean(pixels).square() for dim in pixels if both.shape[dim] > 1]
    outside = [(both < 0).float().mean(pixels), (both > 1).float().mean(pixels)]
    untouched = torch.equal(generator.get_state(), torch.Generator().manual_seed(generator.initial_seed()).get_state())
    used = float(not untouched and generator.initial_seed() > 2**31)
    facts = torch.stack([mean[:, 0], deviation[:, 0], unit.abs().mean(pixels), *outside, *shared])
    return [facts, (unit[0] * unit[1]).mean(), used]
