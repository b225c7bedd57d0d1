"""The problem sets' questions with letters: the options, the numbers of a class, and what each wrong letter shows.

Both are drawn from the class's seed: another class has other numbers and another order of the options.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..exercises.exercise import NOT_ATTEMPTED, RIGHT, WRONG, Outcome
from ..internal.checks import check_count


@dataclass(frozen=True)
class ClassNumbers:
    """The numbers that a problem set is about, for one class."""

    mu: float
    sigma: float
    peak: int
    copies: int


def class_numbers(seed: int) -> ClassNumbers:
    """The numbers of the class with this seed; seed 0 is the published problem sets'."""
    draw = random.Random(f"numbers {check_count(seed, 'seed', 0, example=2027)}")
    return ClassNumbers(
        draw.randrange(12, 39) / 100, draw.randrange(5, 21) / 100, draw.randrange(10, 61), draw.randrange(3, 10)
    )


Text = Callable[[ClassNumbers], str]


@dataclass(frozen=True)
class WrongOption:
    """An option that is wrong, and what choosing it shows."""

    mistake: str
    """Short, for counts over a class."""
    text: Text
    feedback: str
    """One sentence for the student."""


@dataclass(frozen=True)
class Question:
    """A question with one right option; the question itself stands in the notebook."""

    name: str
    right: Text
    wrong: tuple[WrongOption, ...]

    def options(self, seed: int) -> list[tuple[str, str, WrongOption | None]]:
        """Letter, text, and the wrong option (None: the right one), in the order of the class with this seed."""
        numbers = class_numbers(seed)
        order: list[WrongOption | None] = [None, *self.wrong]
        random.Random(f"{self.name} {seed}").shuffle(order)
        texts = [self.right(numbers) if one is None else one.text(numbers) for one in order]
        return [(chr(ord("A") + place), text, one) for place, (text, one) in enumerate(zip(texts, order, strict=True))]

    def letter(self, seed: int) -> str:
        """The right one."""
        return next(letter for letter, _, wrong in self.options(seed) if wrong is None)

    def judge(self, answer: str, seed: int) -> Outcome:
        """What a letter is; anything but one letter of the options is not attempted."""
        known = {letter: wrong for letter, _, wrong in self.options(seed)}
        given = re.sub(r"[\s().]", "", answer).upper()
        if given not in known:
            return Outcome(self.name, NOT_ATTEMPTED, None, f"not attempted: the answer is one letter from A to {max(known)}.")
        wrong = known[given]
        return (
            Outcome(self.name, RIGHT, None, "right.")
            if wrong is None
            else Outcome(self.name, WRONG, wrong.mistake, wrong.feedback)
        )
