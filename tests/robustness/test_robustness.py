"""Every notebook, without network, in a read-only checkout, on a full disk, in 3 GB of memory, run twice, and killed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .helpers import (
    CAPSTONE,
    FILL,
    GIGABYTES_3,
    SOURCES,
    TIGHT,
    WRITABLE,
    Outcome,
    before,
    complaints,
    course,
    differences,
    halves,
    headlines,
    in_the_sandbox,
    notebook_of,
    shown,
    write_peaks,
)

Outcomes = Callable[[str, str], list[Outcome]]
LONG_TRAININGS = ("02_unet_vs_autoencoder", "03_noise2noise_tnet", CAPSTONE.stem)


def each_notebook(hardship: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("hardship", "name"), [(hardship, name) for name in SOURCES])


def expected_headlines(name: str) -> int:
    """How many headline numbers a notebook's source prints, at the least."""
    return sum(cell.source.count("headline(") for cell in course(name).cells if cell.cell_type == "code")


@each_notebook("alone")
def test_works_without_network_and_in_a_read_only_checkout(hardship: str, name: str, outcomes: Outcomes) -> None:
    (outcome,) = outcomes(hardship, name)
    assert complaints(outcome) == []
    first, second = halves(outcome)
    assert len(headlines(first)) >= expected_headlines(name) > 0
    assert headlines(second) == headlines(first)
    assert outcome.left == []  # a brief training keeps no checkpoint
    assert all(cell.execution_count for cell in outcome.notebook.cells if cell.cell_type == "code")


@each_notebook("alone")
def test_works_in_three_gigabytes(hardship: str, name: str, outcomes: Outcomes) -> None:
    (outcome,) = outcomes(hardship, name)
    write_peaks([(name, outcome.peak)])
    assert 10**8 < outcome.peak < GIGABYTES_3  # torch alone holds more than 0.1 GB: less was not measured


@each_notebook("alone")
def test_shows_the_same_a_second_time_in_one_kernel(hardship: str, name: str, outcomes: Outcomes) -> None:
    (outcome,) = outcomes(hardship, name)
    assert differences(*halves(outcome)) == []


@each_notebook("full disk")
def test_works_on_a_full_disk(hardship: str, name: str, outcomes: Outcomes) -> None:
    (outcome,) = outcomes(hardship, name)
    assert shown(outcome.notebook.cells[0])[0].count("No space left on device") == 2
    assert complaints(outcome) == []
    assert len(headlines(outcome.notebook)) >= expected_headlines(name)


def test_an_exercise_on_a_full_disk_says_that_its_answer_is_not_kept() -> None:
    attempt = "from denoise_lib.exercises import check\ncheck.blend(lambda image, noise, mu: image)\ncheck.report('blend')"
    (outcome,) = in_the_sandbox([before(notebook_of(attempt), 0, FILL)], folder=WRITABLE, size=TIGHT)
    assert complaints(outcome) == []
    verdict, kept, *report = shown(outcome.notebook.cells[1])[0].splitlines()
    assert verdict.startswith("blend: ")
    assert kept == "(your answers are not kept: answers.json cannot be written, No space left on device)"
    assert report[-1].startswith("| blend | wrong |")  # in memory, it is
    assert outcome.left == []


@each_notebook("killed")
def test_killed_while_training_it_works_when_run_again(hardship: str, name: str, outcomes: Outcomes) -> None:
    dead, again = outcomes(hardship, name)
    assert dead.problem is not None and "DeadKernelError" in dead.problem
    assert complaints(again) == []
    first, _ = halves(*outcomes("alone", name))
    assert differences(first, again.notebook) == []
    assert dead.left == again.left == []


@pytest.mark.parametrize(("hardship", "name"), [("disconnected", name) for name in LONG_TRAININGS])
def test_a_disconnect_costs_one_epoch_at_most(hardship: str, name: str, outcomes: Outcomes) -> None:
    straight, dead, again = outcomes(hardship, name)
    assert straight.problem is None and again.problem is None
    assert dead.problem is not None and "DeadKernelError" in dead.problem
    *_, before, _ = (cell for cell in straight.notebook.cells)
    epochs = shown(before)[0].count(" of ")
    trained, weights = (shown(cell)[0] for cell in again.notebook.cells[-2:])
    assert "going on after epoch 3 from" in trained
    assert trained.count("epoch") < epochs
    assert weights.startswith("weights 0x") and weights == shown(straight.notebook.cells[-1])[0]
