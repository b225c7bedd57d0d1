"""The problem sets' sources: points, graded cells, solutions, letters; and *Run all*, with the solutions and without."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import pytest
import torch
from nbformat import NotebookNode

from denoise_lib.classroom.nbgrader_steps import CODE_STUB
from denoise_lib.classroom.question_bank import QUESTIONS
from denoise_lib.classroom.questions import ClassNumbers, Question, class_numbers
from denoise_lib.exercises.capstone import PARAMETER_LIMIT
from denoise_lib.exercises.exercise import NOT_ATTEMPTED, RIGHT, WRONG, Exercise
from denoise_lib.exercises.judging import judge
from denoise_lib.exercises.ps1_noise import NOISE_ASSIGNMENT
from denoise_lib.exercises.ps2_networks import NETWORK_ASSIGNMENT
from denoise_lib.exercises.ps3_noise2noise import NOISE2NOISE_ASSIGNMENT
from denoise_lib.exercises.ps4_smoothgrad import SALIENCY_ASSIGNMENT
from tools.badges import repository_of

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "assignments" / "src"
SETS: dict[str, tuple[Exercise, ...]] = {
    "ps1_noise": NOISE_ASSIGNMENT,
    "ps2_networks": NETWORK_ASSIGNMENT,
    "ps3_noise2noise": NOISE2NOISE_ASSIGNMENT,
    "ps4_smoothgrad": SALIENCY_ASSIGNMENT,
}
CAPSTONE = "capstone_beat_tnet"
EXERCISES = [(name, exercise) for name, bank in SETS.items() for exercise in bank]
BADGE = f"https://colab.research.google.com/github/{repository_of(FOLDER.parents[2])}/blob/main/notebooks/assignments/release"
REGION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION$", re.DOTALL | re.MULTILINE)
CLASS_LINE = re.compile(r"^(\w+) = (\S+)  # class: (\w+)$", re.MULTILINE)
SEEDS = range(501)

each_source = pytest.mark.parametrize("name", [*SETS, CAPSTONE])
each_set = pytest.mark.parametrize("name", SETS)
each_exercise = pytest.mark.parametrize(("name", "exercise"), EXERCISES, ids=[exercise.name for _, exercise in EXERCISES])
each_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.name)


@cache
def cells(name: str) -> list[NotebookNode]:
    return list(jupytext.read(FOLDER / f"{name}.py", fmt="py:percent", as_version=4).cells)


def grading(cell: NotebookNode) -> dict[str, Any]:
    return dict(cell.metadata.get("nbgrader", {}))


def graded(name: str) -> dict[str, tuple[int, NotebookNode]]:
    """Place and cell, by the cell's id."""
    return {grading(cell)["grade_id"]: (place, cell) for place, cell in enumerate(cells(name)) if grading(cell)}


def points(name: str) -> dict[str, float]:
    return {key: grading(cell)["points"] for key, (_, cell) in graded(name).items() if grading(cell)["grade"]}


def answered(name: str) -> Iterator[tuple[str, str]]:
    """The names and cells of the questions with letters."""
    return ((key, cell.source) for key, (_, cell) in graded(name).items() if key in QUESTIONS)


def code(name: str, mode: str) -> list[str]:
    """The code cells of the published class: with the solutions, or with stubs as in a release."""
    sources = [cell.source for cell in cells(name) if cell.cell_type == "code"]
    if mode == "stubs":
        sources = [REGION.sub(rf"\1{CODE_STUB}", source) for source in sources]
    return [re.sub(r"\{\{letter (\w+)\}\}", lambda match: QUESTIONS[match[1]].letter(0), source) for source in sources]


def imports(name: str) -> dict[str, Any]:
    """What the notebook's own imports make known."""
    nodes = [node for source in code(name, "solutions") for node in ast.parse(source).body]
    found: dict[str, Any] = {}
    lines = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    exec("\n".join(lines), found)
    return found


def plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


# --- the sources as a whole ---


def test_all_sources_are_known() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SETS, CAPSTONE}


@each_source
def test_each_has_twenty_points_as_its_table_says(name: str) -> None:
    assert sum(points(name).values()) == 20
    rows = dict(re.findall(r"^\| ([ABC]) \|.*\| (\d+) \|$", cells(name)[0].source, re.MULTILINE))
    kinds = {"A": 0.0, "B": 0.0, "C": 0.0}
    for key, value in points(name).items():
        letter = key.removesuffix("-check") in QUESTIONS
        kinds["A" if key.endswith("-check") and not letter else "B" if letter or key == "why-tried" else "C"] += value
    assert {part: float(value) for part, value in rows.items()} == kinds
    if name in SETS:
        assert kinds == {"A": 10, "B": 4, "C": 6}


@each_source
def test_the_first_cell_has_a_badge_and_the_minutes_are_called_planned(name: str) -> None:
    first = cells(name)[0]
    assert first.cell_type == "markdown" and f"({BADGE}/{name}/{name}.ipynb)" in first.source
    (minutes,) = re.findall(r"(\d+) minutes", first.source.partition("(planned")[0])
    assert 45 <= int(minutes) <= 90 and "(planned; no class was timed)" in first.source


def test_all_have_one_set_up_cell_and_the_sets_end_with_their_report() -> None:
    checks = "\nfrom denoise_lib.exercises import check\n"
    set_up = {code(name, "solutions")[0].replace(checks, "") for name in [*SETS, CAPSTONE]}
    assert len(set_up) == 1
    for name, bank in SETS.items():
        named = ", ".join(f'"{exercise.name}"' for exercise in bank)
        assert cells(name)[-1].source == f"check.report({named})"


@each_source
def test_lines_are_short_but_for_the_cells_heads(name: str) -> None:
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 128 and not line.startswith(("# %% ", "# [![Open In Colab]"))] == []


# --- the graded cells ---


@each_source
def test_each_graded_cell_begins_with_its_marker(name: str) -> None:
    names = [grading(cell)["grade_id"] for cell in cells(name) if grading(cell)]
    assert len(set(names)) == len(names)
    for key, (_, cell) in graded(name).items():
        marker = f"<!-- GRADED CELL {key} -->" if cell.cell_type == "markdown" else f"# GRADED CELL {key}"
        assert cell.source.splitlines()[0] == marker
    assert sum("GRADED CELL" in cell.source for cell in cells(name)[1:]) == len(names)


@each_source
def test_the_metadata_are_nbgraders(name: str) -> None:
    for key, (place, cell) in graded(name).items():
        kind = grading(cell)
        assert kind["schema_version"] == 3 and kind["task"] is False
        if key.endswith("-check"):
            assert (kind["grade"], kind["locked"], kind["solution"]) == (True, True, False)
            assert "points" in kind and not REGION.search(cell.source)
            before = cells(name)[place - 1]
            assert grading(before)["grade_id"] == key.removesuffix("-check")
        else:
            assert (kind["locked"], kind["solution"]) == (False, True)
            assert len(REGION.findall(cell.source)) == 1
            assert kind["grade"] is (cell.cell_type == "markdown") and ("points" in kind) is kind["grade"]
            assert kind["grade"] or f"{key}-check" in graded(name)


def test_every_exercise_stands_once_in_the_set_of_its_bank() -> None:
    for name, bank in SETS.items():
        checked = {key: value for key, value in points(name).items() if key.removesuffix("-check") not in QUESTIONS}
        wanted = {f"{exercise.name}-check": 2 for exercise in bank}
        assert {key: value for key, value in checked.items() if key.endswith("-check")} == wanted
        assert all(exercise.graded for exercise in bank)


@each_exercise
def test_the_task_is_the_banks_and_the_check_is_the_courses(name: str, exercise: Exercise) -> None:
    place, _ = graded(name)[exercise.name]
    assert plain(exercise.prompt) in plain(cells(name)[place - 1].source)
    assert f"Write `{exercise.name}(" in cells(name)[place - 1].source
    check = cells(name)[place + 1].source.splitlines()
    assert check == [f"# GRADED CELL {exercise.name}-check", f"check.{exercise.name}({exercise.name})"]


@each_exercise
def test_solutions_are_right_and_stubs_give_nothing_away(name: str, exercise: Exercise) -> None:
    _, cell = graded(name)[exercise.name]
    known = imports(name)
    exec(cell.source, known)
    for seed in range(5):
        outcome = judge(exercise, known[exercise.name], seed)
        assert outcome.status == RIGHT, outcome.sentence
    stub = REGION.sub(rf"\1{CODE_STUB}", cell.source)
    arguments = ", ".join(inspect.signature(exercise.solution).parameters)
    lines = [f"# GRADED CELL {exercise.name}", f"def {exercise.name}({arguments}):", f"    {CODE_STUB}"]
    assert stub.splitlines() == lines
    exec(stub, known)
    assert judge(exercise, known[exercise.name], 0).status == NOT_ATTEMPTED


@each_source
def test_written_answers_have_a_model_answer_and_a_rubric_of_their_points(name: str) -> None:
    written = {key: cell for key, (_, cell) in graded(name).items() if cell.cell_type == "markdown"}
    assert len(written) == 2 and all(key.startswith("why-") for key in written)
    for key, cell in written.items():
        ((_, text),) = REGION.findall(cell.source)
        assert cell.source.splitlines()[1] == "### BEGIN SOLUTION" and cell.source.endswith("### END SOLUTION")
        model, rubric = text.split("\n\n- 1 point: ")[0], re.findall(r"^- (\d) points?: ", text, re.MULTILINE)
        assert len(model.split()) > 30
        assert sum(int(value) for value in rubric) == points(name)[key]


@each_set
def test_a_written_question_asks_for_numbers_of_the_class(name: str) -> None:
    questions = [cells(name)[place - 1].source for key, (place, _) in graded(name).items() if key.startswith("why-")]
    assert any("{{" in question and "uote" in question for question in questions)


@each_source
def test_the_class_has_its_numbers(name: str) -> None:
    numbers = vars(class_numbers(0))
    everything = "\n".join(cell.source for cell in cells(name))
    for constant, value, key in CLASS_LINE.findall(everything):
        assert constant == key.upper() and value == str(numbers[key])
    assert everything.count("# class: ") == len(CLASS_LINE.findall(everything))
    for word in re.findall(r"\{\{([^{}]+)\}\}", everything):
        kind, _, question = word.partition(" ")
        assert word in numbers or (kind in ("options", "letter") and question in QUESTIONS), word
    if name in SETS:
        assert CLASS_LINE.search(everything)


# --- the questions with letters ---


def test_every_question_stands_once() -> None:
    assert Counter(key for name in [*SETS, CAPSTONE] for key, _ in answered(name)) == Counter(QUESTIONS.keys())
    assert all(3 <= sum(1 for _ in answered(name)) <= 4 for name in SETS)


@each_set
def test_a_question_shows_its_options_before_the_answers_cell(name: str) -> None:
    for key, source in answered(name):
        place, _ = graded(name)[key]
        shown = [index for index, cell in enumerate(cells(name)) if f"\n\n{{{{options {key}}}}}" in cell.source]
        assert len(shown) == 1 and 1 <= place - shown[0] <= 2
        text = cells(name)[shown[0]].source
        assert text.endswith(f"{{{{options {key}}}}}")
        (value,) = re.findall(r"\*\*B\d\*\* \((\d) points?\)\.", text)
        assert points(name)[f"{key}-check"] == int(value)
        answer = [f"# GRADED CELL {key}", f'{key} = ""  # one letter']
        solution = ["### BEGIN SOLUTION", f'{key} = "{{{{letter {key}}}}}"', "### END SOLUTION"]
        assert source.splitlines() == answer + solution
        check = cells(name)[place + 1].source
        assert check == f'# GRADED CELL {key}-check\nprint("{key}:", {key} or "no answer yet")'


@each_question
def test_options_differ_for_every_class(question: Question) -> None:
    assert 3 <= len(question.wrong) <= 4
    for seed in SEEDS:
        texts = [text for _, text, _ in question.options(seed)]
        assert len(set(texts)) == len(texts), (seed, texts)
        assert all(text == text.strip() and "\n" not in text and "{" not in text for text in texts)


@each_question
def test_letters_spread_and_are_judged(question: Question) -> None:
    counts = Counter(question.letter(seed) for seed in SEEDS)
    share = 1 / (1 + len(question.wrong))
    assert set(counts) == set("ABCDE"[: 1 + len(question.wrong)])
    assert all(0.7 * share < count / len(SEEDS) < 1.3 * share for count in counts.values())
    for seed in range(5):
        for letter, _, wrong in question.options(seed):
            outcome = question.judge(f" {letter.lower()}. ", seed)
            assert outcome.status == (RIGHT if wrong is None else WRONG)
            assert outcome.mistake == (wrong and wrong.mistake)
        assert question.judge("", seed).status == NOT_ATTEMPTED


@each_question
def test_wrong_options_are_told_in_a_sentence_each(question: Question) -> None:
    told = [(wrong.mistake, wrong.feedback) for wrong in question.wrong]
    assert len({mistake for mistake, _ in told}) == len({says for _, says in told}) == len(told)
    for mistake, says in told:
        assert re.match(r"[a-z0-9]|L\d", says) and says.endswith(".") and len(says) < 200
        assert 0 < len(mistake) <= 40


def lengths(question: Question, numbers: ClassNumbers) -> tuple[int, list[int]]:
    return len(question.right(numbers)), [len(wrong.text(numbers)) for wrong in question.wrong]


def test_the_longest_or_shortest_option_is_no_hint() -> None:
    numbers, longest, shortest, words = class_numbers(0), 0, 0, 0
    for question in QUESTIONS.values():
        right, wrong = lengths(question, numbers)
        assert min(wrong) - 8 <= right <= max(wrong) + 8, question.name
        if right > 30:
            words, longest, shortest = words + 1, longest + (right > max(wrong)), shortest + (right < min(wrong))
    assert longest <= words / 3 and shortest <= words / 3


def test_the_numbers_of_right_answers_are_right() -> None:
    for seed in (0, 1, 7):
        n = class_numbers(seed)
        right = {name: question.right(n) for name, question in QUESTIONS.items()}
        generator = torch.Generator().manual_seed(seed)
        image = torch.zeros(1000, 1000)
        image[:100] = 1  # the mean of its square is 0.1
        noisy = (1 - n.mu) * image + n.mu * torch.randn(image.shape, generator=generator)
        assert float(right["mse_of_blend"]) == pytest.approx(float((noisy - image).square().mean()), rel=0.01)
        black = (n.mu * torch.randn(image.shape, generator=generator)).clamp(0, 1)
        assert float(right["zeros_of_black"].split()[0]) == pytest.approx(100 * float((black == 0).float().mean()), abs=0.5)
        pooled = -10 * torch.tensor([10**-2.0, 10 ** (-2 - n.copies / 5)]).mean().log10()
        assert float(right["pooled_psnr"].split()[0]) == pytest.approx(float(pooled), abs=0.01)
        target = torch.where(torch.rand(image.shape, generator=generator) < n.mu, 1.0, 0.3)
        l2, l1 = (float(value) for value in re.findall(r"\d\.\d+", right["overlay_losses"]))
        assert (l2, l1) == (pytest.approx(float(target.mean()), abs=0.002), pytest.approx(float(target.median())))
        copies = n.sigma * torch.randn(n.copies, 300, 300, generator=generator)
        error = 0.004**0.5 * torch.randn(300, 300, generator=generator)
        loss = (error - copies.mean(0)).square().mean()
        assert float(right["loss_of_mean_target"]) == pytest.approx(float(loss), rel=0.03)
        pixel = torch.tensor(0.5 + n.sigma, requires_grad=True)
        (slope,) = torch.autograd.grad((pixel - 0.5).square(), pixel)
        assert float(right["identity_gradient"]) == pytest.approx(float(slope), abs=1e-4)
        assert int(right["samples_for_a_third"]) == 9 * n.peak
        seconds = 1000 * n.copies * 2 * 15.5e6 / 8.1e12
        assert float(right["seconds_of_work"].split()[0]) == pytest.approx(1000 * seconds, rel=0.005)


# --- the capstone's network ---


def test_the_capstones_network_is_within_the_limit_and_the_same_each_time() -> None:
    known = imports(CAPSTONE)
    exec(graded(CAPSTONE)["make_network"][1].source, known)
    first, second = known["make_network"](), known["make_network"]()
    assert sum(parameter.numel() for parameter in first.parameters()) <= PARAMETER_LIMIT
    second.load_state_dict(first.state_dict())
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert first(x).shape == x.shape and torch.equal(first(x), second(x))
    assert f"{PARAMETER_LIMIT:,} parameters" in cells(CAPSTONE)[0].source


# --- Run all ---


@each_source
@pytest.mark.parametrize("mode", ["solutions", "stubs"])
def test_run_all_runs_through(
    name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DENOISE_ANSWERS", str(tmp_path / "answers.json"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    known: dict[str, Any] = {"__name__": "__main__"}
    for source in code(name, mode):
        exec(compile(source, f"{name}, {mode}", "exec"), known)
    shown = capsys.readouterr().out
    for exercise in SETS.get(name, ()):
        assert f"{exercise.name}: {'right.' if mode == 'solutions' else 'not attempted yet.'}" in shown
    for key, _ in answered(name):
        assert f"{key}: {QUESTIONS[key].letter(0) if mode == 'solutions' else 'no answer yet'}" in shown
    if name == CAPSTONE:
        assert ("ready: " in shown) is (mode == "solutions")
        assert ("make_network: not attempted yet." in shown) is (mode == "stubs")
    assert "nan" not in shown.lower().split()
