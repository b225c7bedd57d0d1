"""Questions with letters: each class has its numbers and its order, and each letter is told as what it is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise_lib.classroom.questions import ClassNumbers, Question, WrongOption, class_numbers
from denoise_lib.exercises.exercise import NOT_ATTEMPTED, RIGHT, WRONG

WRONGS = (
    WrongOption("halves it", lambda numbers: f"{numbers.mu / 2:.3f}", "you halve it."),
    WrongOption("doubles it", lambda numbers: f"{numbers.mu * 2:.3f}", "you double it."),
    WrongOption("takes sigma", lambda numbers: f"sigma is {numbers.sigma}", "that is sigma."),
)
QUESTION = Question("which", lambda numbers: f"{numbers.mu:.3f}", WRONGS)


@given(st.integers(0, 10**9))
def test_numbers_of_a_class(seed: int) -> None:
    numbers = class_numbers(seed)
    assert numbers == class_numbers(seed)
    assert 0.12 <= numbers.mu <= 0.38 and 0.05 <= numbers.sigma <= 0.2
    assert 10 <= numbers.peak <= 60 and 3 <= numbers.copies <= 9
    assert len(str(numbers.mu)) <= 4 and len(str(numbers.sigma)) <= 4


def test_the_published_numbers_stay_as_they_are() -> None:
    """They stand in the notebooks that are committed."""
    assert class_numbers(0) == ClassNumbers(mu=0.33, sigma=0.05, peak=53, copies=9)


def test_classes_differ() -> None:
    assert len({class_numbers(seed) for seed in range(100)}) > 95


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (True, TypeError), ("0", TypeError)])
def test_a_bad_seed(seed: Any, error: type[Exception], refused: Any) -> None:
    with refused(error, "seed", "2027"):
        class_numbers(seed)


@given(st.integers(0, 10**9))
def test_the_options_of_a_class(seed: int) -> None:
    options = QUESTION.options(seed)
    assert options == QUESTION.options(seed)
    assert [letter for letter, _, _ in options] == ["A", "B", "C", "D"]
    assert {wrong for _, _, wrong in options} == {None, *WRONGS}
    numbers = class_numbers(seed)
    for letter, text, wrong in options:
        assert text == (wrong.text if wrong else QUESTION.right)(numbers)
        assert (wrong is None) == (letter == QUESTION.letter(seed))


def test_the_right_letter_is_anywhere() -> None:
    counts = Counter(QUESTION.letter(seed) for seed in range(400))
    assert set(counts) == set("ABCD") and min(counts.values()) > 60
    other = Question("another", QUESTION.right, WRONGS)
    assert sum(QUESTION.letter(seed) == other.letter(seed) for seed in range(400)) < 200


@pytest.mark.parametrize("seed", range(8))
def test_each_letter_is_judged(seed: int) -> None:
    for letter, _, wrong in QUESTION.options(seed):
        outcome = QUESTION.judge(letter, seed)
        expected = (RIGHT, None, "right.") if wrong is None else (WRONG, wrong.mistake, wrong.feedback)
        assert (outcome.exercise, outcome.status, outcome.mistake, outcome.sentence) == ("which", *expected)


@pytest.mark.parametrize("form", ["{}", " {} ", "({})", "{})", "{}.", "{}).", "( {} )", "\n{}\n", "\u00a0{}\r", "({}.)"])
def test_a_letter_may_be_written_loosely(form: str) -> None:
    for letter in "ABCDabcd":
        assert QUESTION.judge(form.format(letter), 3) == QUESTION.judge(letter.upper(), 3)


@pytest.mark.parametrize("answer", ["", " ", "...", "E", "AB", "A B", "A, B", "A or B", "A because", "1", "Ä", "a\u0301", "()"])
def test_anything_else_is_not_attempted(answer: str) -> None:
    outcome = QUESTION.judge(answer, 3)
    assert (outcome.status, outcome.mistake) == (NOT_ATTEMPTED, None)
    assert outcome.sentence == "not attempted: the answer is one letter from A to D."


@given(st.text(alphabet="abcdeABCDE().? \nä") | st.text(), st.integers(0, 1000))
def test_any_text_is_judged(answer: str, seed: int) -> None:
    letters = [letter for letter in answer if letter.isalnum()]
    attempted = QUESTION.judge(answer, seed).status != NOT_ATTEMPTED
    assert not attempted or (len(letters) == 1 and letters[0] in "abcdABCD")
