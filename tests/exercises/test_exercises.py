"""The exercises, mutation-tested: the solution passes, the stub is not attempted, each wrong answer is caught by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from denoise_lib.exercises import notebook1_noise, notebook2_networks, notebook3_noise2noise, notebook4_smoothgrad
from denoise_lib.exercises.checker import EXERCISES
from denoise_lib.exercises.exercise import NOT_ATTEMPTED, RIGHT, WRONG, Exercise, Mistake
from denoise_lib.exercises.judging import CallRecord, attempt, compare, judge

BANKS = (notebook1_noise, notebook2_networks, notebook3_noise2noise, notebook4_smoothgrad)
MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]
each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.name)


def half(x: Tensor) -> Tensor:
    return x / 2


SMALL = Exercise(
    "half", "Write half(x).", lambda generator: (torch.rand(3, 4, generator=generator),), half,
    (Mistake("doubles", "you double it.", lambda x: 2 * x), Mistake("breaks", "shapes.", lambda x: x @ x)),
    ("a", "b", "c"),
)  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(EXERCISES) >= 16
    assert [len([e for e in EXERCISES.values() if e.solution.__module__ == bank.__name__]) >= 4 for bank in BANKS] == [True] * 4
    assert min(len(exercise.mistakes) for exercise in EXERCISES.values()) >= 5


@each_exercise
def test_words(exercise: Exercise) -> None:
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names) and len({mistake.feedback for mistake in exercise.mistakes}) == len(names)
    for sentence in (exercise.prompt, *(mistake.feedback for mistake in exercise.mistakes)):
        assert sentence.endswith(".") and len(sentence) < 260
    assert f"Write {exercise.name}(" in exercise.prompt
    assert len(exercise.hints) == 3
    assert exercise.solution_text().startswith(f"def {exercise.name}(")


@each_exercise
@pytest.mark.parametrize("seed", [*range(6), None])
def test_the_solution_is_right(exercise: Exercise, seed: int | None) -> None:
    outcome = judge(exercise, exercise.solution, seed)
    assert (outcome.status, outcome.mistake, outcome.exercise) == (RIGHT, None, exercise.name), outcome.sentence


@each_exercise
def test_a_stub_is_not_attempted(exercise: Exercise) -> None:
    def unwritten(*arguments: Any) -> Any:
        raise NotImplementedError

    for stub in (lambda *arguments: ..., lambda *arguments: None, unwritten):
        outcome = judge(exercise, stub)
        assert (outcome.status, outcome.mistake) == (NOT_ATTEMPTED, None)
        assert exercise.prompt in outcome.sentence


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda value: value.name.replace(" ", "-"))
@pytest.mark.parametrize("seed", [0, 1, None])
def test_each_wrong_answer_is_caught_with_its_own_message(exercise: Exercise, mistake: Mistake, seed: int | None) -> None:
    outcome = judge(exercise, mistake.function, seed)
    assert (outcome.status, outcome.mistake) == (WRONG, mistake.name), outcome.sentence
    assert mistake.feedback in outcome.sentence
    assert ("expected" in outcome.sentence and ", got " in outcome.sentence) == exercise.evidence


@each_exercise
def test_a_hard_coded_answer_is_wrong(exercise: Exercise) -> None:
    answer = exercise.solution(*exercise.arguments(Generator().manual_seed(0)))
    outcome = judge(exercise, lambda *arguments: answer)
    assert outcome.status == WRONG


@each_exercise
def test_judging_leaves_the_global_generator_alone(exercise: Exercise) -> None:
    def draws(*arguments: Any) -> Any:
        torch.rand(3)
        return exercise.solution(*arguments)

    before = torch.random.get_rng_state()
    judge(exercise, draws, 0)
    assert torch.equal(torch.random.get_rng_state(), before)


def at_once(image: Tensor, mu: float, generator: Generator) -> Any:
    noise = torch.randn(*image.shape, 2, generator=generator)
    return [(1 - mu) * image + mu * noise[..., copy] for copy in range(2)]


def pools_first(x: Tensor, conv: Any) -> tuple[Tensor, Tensor]:
    features = conv(x)
    return torch.max_pool2d(features, 2).relu(), features.relu()


def cells(large: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    height, width = rows.shape
    cut = large.view(1, 3, height, 4, width, 4)
    return cut[:, :, torch.arange(height)[:, None], rows, torch.arange(width), columns]


def searched(targets: Tensor) -> tuple[Tensor, Tensor]:
    guesses = torch.linspace(0, 1, 1000)
    errors = targets[:, None] - guesses
    return guesses[errors.square().mean(0).argmin()], guesses[errors.abs().mean(0).argmin()]


def in_one_batch(score: Any, x: Tensor, noise: Tensor, level: float) -> Tensor:
    copies = (x + level * (x.max() - x.min()) * noise[:, 0]).requires_grad_()
    return torch.autograd.grad(score(copies).sum(), copies)[0].mean(0, keepdim=True)


def difference(model: Any, x: Tensor, row: int, column: int, step: float = 1e-3) -> Tensor:
    brighter = x.clone()
    brighter[0, 0, row, column] += step
    return (model(brighter) - model(x))[0, 0, row, column] / step


def differences(model: Any, x: Tensor, row: int, column: int) -> Tensor:
    steps = 1e-3 * torch.eye(x.numel()).reshape(-1, *x.shape[1:])
    return ((model(x + steps) - model(x))[:, 0, row, column] / 1e-3).reshape(x.shape)


OTHER_WAYS: list[tuple[str, Callable[..., Any]]] = [
    ("blend", lambda image, noise, mu: torch.clip(image + mu * (noise - image), 0.0, 1.0)),
    ("with_variance", lambda image, noise, variance: image + math.sqrt(variance) * noise),
    ("two_copies", lambda image, mu, generator: tuple(
        (1 - mu) * image.expand(2, *image.shape) + mu * torch.randn(2, *image.shape, generator=generator))),
    ("to_float", lambda image: image.to(torch.float32).div(255)),
    ("mean_psnr", lambda noisy, clean: sum(
        float(10 * torch.log10(1 / ((a - b) ** 2).mean())) for a, b in zip(noisy, clean, strict=True)) / len(noisy)
        * torch.tensor(1.0)),
    ("conv_parameters", lambda i, o, k: sum(p.numel() for p in torch.nn.Conv2d(i, o, k).parameters())),
    ("decoder_step", lambda x, skip: torch.cat([x.repeat_interleave(2, 2).repeat_interleave(2, 3), skip], 1)),
    ("best_constants", lambda targets: (float(targets.mean()), float(targets.sort().values[50]))),
    ("psnr_from_noisy_loss", lambda loss, variance: 10 * math.log10(1 / (loss - variance))),
    ("masked_loss", lambda output, target, known: ((output - target)[known > 0] ** 2).mean()),
    ("exchange", lambda first, second, swap: (first * ~swap + second * swap, second * ~swap + first * swap)),
    ("two_copies", at_once),
    ("mean_psnr", lambda noisy, clean: (20 * torch.log10(1 / (noisy - clean).square().mean((1, 2, 3)).sqrt())).mean()),
    ("encoder_step", pools_first),
    ("point_sample", cells),
    ("best_constants", searched),
    ("smoothgrad_of", in_one_batch),
    ("own_influence", difference),
    ("own_influence", lambda model, x, row, column: difference(model, x, row, column, 1e-2)),
    ("kernel_at", differences),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), OTHER_WAYS, ids=[name for name, _ in OTHER_WAYS])
def test_other_ways_to_be_right_are_right(name: str, function: Callable[..., Any]) -> None:
    for seed in range(5):
        outcome = judge(EXERCISES[name], function, seed)
        assert outcome.status == RIGHT, outcome.sentence


@pytest.mark.parametrize(
    ("function", "mistake", "word"),
    [
        (lambda x: x.div_(2), "changes its input", "copy"),
        (lambda x: x.mul_(3), "changes its input", "copy"),
        (lambda x: (x / 2).double(), "wrong type of number", "float64"),
        (lambda x: (x / 2).numpy(), "wrong type of number", "ndarray"),
        (lambda x: (x / 2)[:1], "wrong shape", "shape"),
        (lambda x: x / 0 * 0, "not a number", "NaN"),
        (lambda x: "half", "wrong type", "str"),
        (lambda x: x / 3, "other values", "other values"),
        (lambda x: x.nonsense(), "raises", "AttributeError"),
        (lambda x: exit(), "raises", "SystemExit"),
        (lambda x, y: x, "raises", "TypeError"),
        (lambda x: x @ x, "breaks", "shapes."),
        (lambda x: None if float(x.mean()) < 0.5 else x / 2, "returns nothing", "return"),
    ],
)
def test_what_is_not_in_a_bank_is_told_in_general(function: Callable[..., Any], mistake: str, word: str) -> None:
    # The first arguments are bright and the second dark, so that a function can return nothing for some input alone.
    means = [float(SMALL.arguments(Generator().manual_seed(seed))[0].mean()) for seed in range(100)]
    seed = next(seed for seed in range(99) if means[seed] > 0.5 > means[seed + 1])
    outcome = judge(SMALL, function, seed)
    assert (outcome.status, outcome.mistake) == (WRONG, mistake), outcome.sentence
    assert word in outcome.sentence and "\n" not in outcome.sentence


def test_another_device_is_told() -> None:
    runs = [replace(run, device="cuda:0") for run in attempt(SMALL, half, 0)]  # as on a machine with a GPU
    outcome = compare(SMALL, runs, 0)
    assert (outcome.status, outcome.mistake) == (WRONG, "wrong device")
    assert "on cuda:0; leave them where the input is, on cpu" in outcome.sentence


def test_runs_travel_as_json() -> None:
    runs = attempt(SMALL, lambda x: (x / 2, float("nan")), 0)
    for run in runs:
        again = CallRecord.unpacked(json.loads(json.dumps(run.packed())))
        assert compare(SMALL, [again] * 3, 0) == compare(SMALL, [run] * 3, 0)
    for content in ({}, None, {**runs[0].packed(), "more": 1}, {**runs[0].packed(), "numbers": [[[2], [1.0, 2.0, 3.0]]]}):
        with pytest.raises((ValueError, TypeError, RuntimeError)):
            CallRecord.unpacked(content)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="half is compared on 3 runs, but there are 1"):
        compare(SMALL, runs[:1], 0)


def test_lists_of_tensors_are_seen_to_change() -> None:
    pairs = replace(SMALL, arguments=lambda generator: ([torch.rand(3, generator=generator)],), solution=lambda x: x[0] / 2)
    assert judge(pairs, lambda x: x[0] / 2, 0).status == RIGHT
    assert judge(pairs, lambda x: x[0].div_(2).clone(), 0).mistake == "changes its input"
    assert judge(pairs, lambda x: x.pop() / 2, 0).mistake == "changes its input"


def test_an_exercise_may_change_its_arguments() -> None:
    assert judge(replace(SMALL, pure=False), lambda x: x.div_(2)).status == RIGHT


@pytest.mark.parametrize("function", [None, 3, "half", half(torch.ones(1))])
def test_only_functions_are_judged(function: Any) -> None:
    with pytest.raises(TypeError, match=r"half checks a function, .*without \(\)"):
        judge(SMALL, function)


def test_a_bad_seed() -> None:
    with pytest.raises(TypeError, match="seed"):
        judge(SMALL, half, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed"):
        judge(SMALL, half, -1)


def graph_kept(model: Any, noisy: Tensor, clean: Tensor) -> float:
    model.eval()
    return float((model(noisy) - clean).square().mean().detach())


def loss_with_graph(model: Any, optimizer: Any, noisy: Tensor, clean: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss: Tensor = (model(noisy) - clean).square().mean()
    loss.backward()
    optimizer.step()
    return loss


NEARLY: list[tuple[str, Callable[..., Any]]] = [
    ("two_copies", lambda image, mu, generator: tuple(
        ((1 - mu) * image + mu * torch.randn(image.shape, generator=generator)).clamp(0, 1) for _ in range(2))),
    ("noisy_targets", lambda clean, sigma, generator: tuple(clean + sigma * torch.randn_like(clean) for _ in range(2))),
    ("test_error", graph_kept),
    ("mean_psnr", lambda noisy, clean: (-10 * torch.log10((noisy - clean).square().mean((2, 3)))).mean()),
    ("training_step", loss_with_graph),
    ("masked_loss", lambda output, target, known: ((output - target)[target != 0] ** 2).mean()),
    ("encoder_step", lambda x, conv: notebook2_networks.encoder_step(x.relu(), conv)),
    ("to_float", lambda image: image / image.max()),
    ("blend", lambda image, noise, mu: ((1 - mu) * image + mu * torch.rand_like(noise)).clamp(0, 1)),
    ("two_copies", lambda image, mu, generator: tuple(copy.clamp(max=1) for copy in at_once(image, mu, generator))),
    ("two_copies", lambda image, mu, generator: tuple(
        (1 - mu) * image + mu * 12**0.5 * (torch.rand(image.shape, generator=generator) - 0.5) for _ in range(2))),
    ("two_copies", lambda image, mu, generator: tuple(
        (1 - mu) * image + mu * torch.randn(image.shape[-1:], generator=generator) for _ in range(2))),
    ("noisy_targets", lambda clean, sigma, generator: tuple(
        clean + sigma * torch.randn(1, 1, *clean.shape[2:], generator=generator) for _ in range(2))),
    ("noisy_targets", lambda clean, sigma, generator: tuple(
        clean + sigma * torch.randn(clean.shape[1:], generator=generator) for _ in range(2))),
    ("noisy_targets", lambda clean, sigma, generator: tuple(
        (clean + sigma * torch.randn(clean.shape, generator=generator)).clamp(max=1) for _ in range(2))),
    ("best_constants", lambda targets: (targets.mean(), targets.sort().values[49:51].mean())),
    ("smoothgrad_of", lambda score, x, noise, level: notebook4_smoothgrad.smoothgrad_of(score, x, noise, 0.15)),
    ("smoothgrad_of", lambda score, x, noise, level: torch.stack([notebook4_smoothgrad.gradient_of(
        score, (x + level * (x.max() - x.min()) * sample).clamp(0, 1)) for sample in noise]).mean(0)),
    ("own_influence", lambda *given: notebook4_smoothgrad.own_influence(*given).abs()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), NEARLY, ids=[name for name, _ in NEARLY])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_right_on_easy_arguments_alone_is_wrong(name: str, function: Callable[..., Any], seed: int) -> None:
    assert judge(EXERCISES[name], function, seed).status == WRONG


def seeded(image: Tensor, mu: float, generator: Generator) -> Any:
    copies = []
    for _ in range(2):
        torch.manual_seed(0)
        copies.append((1 - mu) * image + mu * torch.randn_like(image))
    return copies


def rewound(image: Tensor, mu: float, generator: Generator) -> Any:
    state, copies = generator.get_state(), []
    for _ in range(2):
        generator.set_state(state)
        copies.append((1 - mu) * image + mu * torch.randn(image.shape, generator=generator))
    return copies


def reseeded_once(image: Tensor, mu: float, generator: Generator) -> Any:
    return at_once(image, mu, generator.manual_seed(0))


def without_no_grad(model: Any, noisy: Tensor, clean: Tensor) -> float:
    loss: Tensor = (model(noisy) - clean).square().mean()
    return loss.item()


def one_leaf(score: Any, x: Tensor, noise: Tensor, level: float) -> Tensor:
    leaf, sigma, gradients = x.clone().requires_grad_(), level * (x.max() - x.min()), []
    for sample in noise:
        score(leaf + sigma * sample).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad.clone())
    return torch.stack(gradients).mean(0)


def sigma_of_the_leaf(score: Any, x: Tensor, noise: Tensor, level: float) -> Tensor:
    x = x.clone().requires_grad_()
    sigma = level * (x.max() - x.min())
    gradients = [torch.autograd.grad(score(x + sigma * sample).sum(), x, retain_graph=True)[0] for sample in noise]
    return torch.stack(gradients).mean(0)


def by_image(model: Any, x: Tensor, clean: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad((model(x) - clean).square().sum() / len(x), x)[0]


def impulse(x: Tensor, row: int, column: int) -> Tensor:
    spot = torch.zeros_like(x)
    spot[0, 0, row, column] = 1
    return spot


# Other words for mistakes of the banks: each is told by its name, and what is not in a bank by what is wrong in general.
TOLD: list[tuple[str, Callable[..., Any], str]] = [
    ("blend", lambda image, noise, mu: torch.clip((1 - mu) * image + mu * noise, max=1), "clips at 1 alone"),
    ("blend", lambda image, noise, mu: ((1 - mu) * image + mu * noise).relu(), "clips at 0 alone"),
    ("blend", lambda image, noise, mu: ((1 - mu) * image + mu * noise).clip(-1, 1), "clips to [-1, 1]"),
    ("blend", lambda image, noise, mu: torch.lerp(image, torch.randn(image.shape), mu).clamp(0, 1), "noise of its own"),
    ("two_copies", seeded, "one noise, and not the generator's"),
    ("two_copies", rewound, "one noise for both"),
    ("two_copies", reseeded_once, "ignores the generator"),
    ("two_copies", lambda image, mu, generator: at_once(image, mu, generator)[0], "wrong shape"),
    ("noisy_targets", lambda clean, sigma, generator: (clean, clean), "other values"),
    ("mean_psnr", lambda noisy, clean: torch.stack(
        [-10 * torch.log10((a - b).square().mean()) for a, b in zip(noisy.flatten(0, 1), clean.flatten(0, 1), strict=True)]
        ).mean(), "one PSNR for each channel"),
    ("mean_psnr", lambda noisy, clean: (10 * torch.log10(1 / (noisy - clean) ** 2)).mean(), "logarithm pixel by pixel"),
    ("encoder_step", lambda x, conv: (torch.max_pool2d(conv(x), 2).relu(), conv(x)), "saves before the ReLU"),
    ("encoder_step", lambda x, conv: (torch.max_pool2d(conv(x), 2), conv(x).relu()), "pools before the ReLU"),
    ("decoder_step", lambda x, skip: torch.cat([x.tile(1, 1, 2, 2), skip], 1), "repeats the whole image"),
    ("test_error", without_no_grad, "neither eval nor no_grad"),
    ("test_error", lambda model, noisy, clean: (model.eval()(noisy) - clean).detach().square().mean((1, 2, 3)), "wrong shape"),
    ("masked_loss", lambda output, target, known: ((output - target)[target > 0] ** 2).mean(), "gaps from the target's zeros"),
    ("masked_loss", lambda output, target, known: (
        ((output - target) ** 2 * known).sum((1, 2, 3)) / known.sum((1, 2, 3))).mean(), "mean image by image"),
    ("point_sample", lambda large, rows, columns: large.view(1, 3, 4, 3, 4, 5)[
        :, :, rows, torch.arange(3)[:, None], columns, torch.arange(5)], "cuts the cells wrongly"),
    ("psnr_from_noisy_loss", lambda loss, variance: 10 * math.log10(1 / (loss - variance**0.5)), "root of the variance"),
    ("psnr_from_noisy_loss", lambda loss, variance: -10 * math.log10(variance - loss), "raises"),
    ("smoothgrad_of", one_leaf, "gradients add up"),
    ("smoothgrad_of", sigma_of_the_leaf, "sigma takes part in the gradient"),
    ("error_gradient", by_image, "mean over the images"),
    ("error_gradient", lambda model, x, clean: by_image(model, clean, x) * len(x), "clean and noisy exchanged"),
    ("kernel_at", lambda model, x, row, column: model(x + impulse(x, row, column)) - model(x), "response to an impulse"),
    ("kernel_at", lambda model, x, row, column: model(impulse(x, row, column)), "picture of an impulse"),
    ("own_influence", lambda model, x, row, column: difference(model, x, row, column).abs(), "size"),
    ("own_influence", lambda model, x, row, column: -difference(model, x, row, column), "other values"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "mistake"), TOLD, ids=[f"{name}-{mistake}" for name, _, mistake in TOLD])
def test_a_mistake_in_other_words_is_told_by_its_name(name: str, function: Callable[..., Any], mistake: str) -> None:
    for seed in range(5):
        outcome = judge(EXERCISES[name], function, seed)
        assert (outcome.status, outcome.mistake) == (WRONG, mistake), outcome.sentence


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_noise_may_be_drawn_in_another_order(seed: int) -> None:
    def at_once(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(*clean.shape, 2, generator=generator)
        return clean + sigma * noise[..., 0], clean + sigma * noise[..., 1]

    outcome = judge(EXERCISES["noisy_targets"], at_once, seed)
    assert outcome.status == RIGHT, outcome.sentence


@pytest.mark.parametrize(
    "leak",
    [
        lambda: torch.set_grad_enabled(False),
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_device("meta"),
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.set_deterministic_debug_mode("warn"),
    ],
)
def test_what_a_function_sets_does_not_outlive_it(leak: Callable[[], Any]) -> None:
    def leaking(x: Tensor) -> Tensor:
        leak()
        return x / 2

    judge(SMALL, leaking, 0)
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert torch.get_default_device().type == "cpu" and not torch.are_deterministic_algorithms_enabled()
    with torch.no_grad():
        assert judge(EXERCISES["error_gradient"], notebook4_smoothgrad.error_gradient, 0).status == RIGHT


@pytest.mark.parametrize("mode", ["warn", "error"])
def test_what_a_notebook_has_set_stays(mode: str) -> None:
    torch.set_deterministic_debug_mode(mode)
    try:
        before = torch.get_deterministic_debug_mode()
        judge(SMALL, lambda x: torch.set_deterministic_debug_mode("default") or x / 2, 0)
        assert torch.get_deterministic_debug_mode() == before
    finally:
        torch.set_deterministic_debug_mode("default")


def test_a_forgotten_return_is_an_attempt() -> None:
    def forgets(x: Tensor) -> None:
        halved = x / 2
        print(float(halved.mean()))

    outcome = judge(SMALL, forgets, 0)
    assert (outcome.status, outcome.mistake) == (WRONG, "returns nothing")


@pytest.mark.parametrize("output", [torch.zeros(0), torch.zeros(2).to_sparse(), np.array([object()]), 2**70, [1.0] * 10**5, 1j])
def test_odd_results_are_wrong_and_no_crash(output: Any) -> None:
    outcome = judge(SMALL, lambda x: output, 0)
    assert outcome.status == WRONG and len(outcome.sentence) < 500


def test_the_stop_button_still_stops() -> None:
    def stopped(x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(SMALL, stopped, 0)
