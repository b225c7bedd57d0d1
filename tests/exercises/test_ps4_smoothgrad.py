"""Problem set 4: the solutions against oracles, other right ways, and answers that are nearly right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp
from torch import Generator, Tensor, nn

from denoise_lib.exercises.exercise import RIGHT, WRONG
from denoise_lib.exercises.judging import judge
from denoise_lib.exercises.ps4_smoothgrad import (
    SALIENCY_ASSIGNMENT,
    central_difference,
    delete_salient,
    in_standard_errors,
    response_to,
    sure,
)

pytestmark = pytest.mark.numbers

EXERCISES = {exercise.name: exercise for exercise in SALIENCY_ASSIGNMENT}
SEEDS = (0, 1, 2, 41, 1000)
Score = Callable[[Tensor], Tensor]
Answer = tuple[str, Callable[..., Any]]
Nearly = tuple[str, Callable[..., Any], str]


def arguments(name: str, seed: int) -> tuple[Any, ...]:
    return EXERCISES[name].arguments(Generator().manual_seed(seed))


def test_all_are_graded_and_know_enough_mistakes() -> None:
    assert list(EXERCISES) == ["central_difference", "response_to", "sure", "delete_salient", "in_standard_errors"]
    assert all(exercise.graded and len(exercise.mistakes) >= 6 for exercise in SALIENCY_ASSIGNMENT)


# --- the solutions against oracles ---


@pytest.mark.parametrize("seed", SEEDS)
def test_a_central_difference_comes_nearer_with_the_square_of_the_step(seed: int) -> None:
    score, x, row, column, step = arguments("central_difference", seed)
    x = x.double().requires_grad_()
    exact = torch.autograd.grad(score(x).sum(), x)[0][0, 0, row, column].item()
    errors = [central_difference(score, x.detach(), row, column, step / part) - exact for part in (4, 8)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_a_central_difference_is_exact_for_a_parabola() -> None:
    x = torch.rand(1, 1, 4, 5, generator=Generator().manual_seed(0), dtype=torch.float64)

    def score(images: Tensor) -> Tensor:
        return images.square().sum((1, 2, 3)) + images[:, 0, 2, 3] * images[:, 0, 0, 1]

    assert central_difference(score, x, 2, 3, 0.3) == pytest.approx(2 * x[0, 0, 2, 3].item() + x[0, 0, 0, 1].item())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cases_have_slopes_of_both_signs_and_pixels_at_both_ends(seed: int) -> None:
    cases = [arguments("central_difference", case) for case in (seed, seed + 1)]
    assert {math.copysign(1, central_difference(*case)) for case in cases} == {-1, 1}
    assert {round(x[0, 0, row, column].item()) for _, x, row, column, _ in cases} == {0, 1}
    assert all(row != column for _, _, row, column, _ in cases)
    for _, x, row, column, step in cases:
        assert not step < x[0, 0, row, column].item() < 1 - step


@pytest.mark.parametrize("seed", SEEDS)
def test_the_response_is_the_limit_of_finite_steps(seed: int) -> None:
    model, x, direction = arguments("response_to", seed)
    response = response_to(model, x, direction)
    model, x, direction = model.double(), x.double(), direction.double()
    step = 1e-5
    limit = (model(x + step * direction) - model(x - step * direction)) / (2 * step)
    torch.testing.assert_close(response.double(), limit, atol=1e-5, rtol=1e-5)
    jacobian = torch.autograd.functional.jacobian(model, x).reshape(60, 60)
    torch.testing.assert_close(jacobian @ direction.flatten(), limit.flatten(), atol=1e-6, rtol=1e-6)
    assert (jacobian - jacobian.T).abs().max() > 0.1


def test_the_response_of_a_linear_network_is_its_output() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    x, direction = torch.rand(2, 1, 1, 5, 5, generator=Generator().manual_seed(0)).unbind()
    torch.testing.assert_close(response_to(conv, x, direction), conv(direction))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_sure_is_on_average_the_error_that_it_estimates(share: float) -> None:
    generator = Generator().manual_seed(1)
    clean, sigma, pixels = torch.rand(1, 1, 40, 40, generator=generator, dtype=torch.float64), 0.3, 1600
    estimates, errors = [], []
    for _ in range(300):
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        denoised = share * noisy + (1 - share) * 0.5  # each output follows its input by `share`
        estimates.append(sure(noisy, denoised, share * pixels, sigma))
        errors.append((denoised - clean).square().mean().item())
    difference = np.array(estimates) - np.array(errors)
    assert abs(difference.mean()) < 4 * difference.std(ddof=1) / math.sqrt(len(difference)) + 1e-12
    assert np.mean(errors) > 0.01 and difference.std() < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cases_have_estimates_of_both_signs(seed: int) -> None:
    estimates = [sure(*arguments("sure", case)) for case in (seed, seed + 1)]
    assert min(estimates) < -0.005 and max(estimates) > 0.005


def test_sure_of_what_does_nothing_is_the_variance_of_the_noise() -> None:
    noisy = torch.rand(1, 1, 6, 5)
    assert sure(noisy, noisy, 30, 0.2) == pytest.approx(0.04)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_deleted_pixels_are_those_that_sorting_finds(seed: int) -> None:
    x, saliency, count, fill = arguments("delete_salient", seed)
    order = sorted(range(30), key=lambda place: -abs(saliency.flatten()[place].item()))
    wanted = [fill if place in order[:count] else x.flatten()[place].item() for place in range(30)]
    deleted = delete_salient(x, saliency, count, fill)
    assert deleted.flatten().tolist() == pytest.approx(wanted) and deleted.shape == x.shape
    chosen = saliency.flatten()[order[:count]]
    assert (chosen > 0).sum() >= 3 and (chosen < 0).sum() >= 3


def test_deleting_nothing_and_everything() -> None:
    x, saliency, *_ = arguments("delete_salient", 0)
    assert torch.equal(delete_salient(x, saliency, 0, 0.5), x)
    assert delete_salient(x, saliency, 30, 0.5).unique().tolist() == [0.5]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_number_of_standard_errors_is_students_t(seed: int) -> None:
    (gradients,) = arguments("in_standard_errors", seed)
    wanted = ttest_1samp(gradients.double().numpy(), 0.0, axis=0).statistic
    torch.testing.assert_close(in_standard_errors(gradients).double(), torch.from_numpy(wanted), rtol=1e-4, atol=1e-4)
    assert (in_standard_errors(gradients) < 0).any() and (in_standard_errors(gradients) > 0).any()


# --- other right ways ---


def with_a_mask(score: Score, x: Tensor, row: int, column: int, step: float) -> Tensor:
    move = torch.zeros_like(x)
    move[..., row, column] = step
    return ((score(x + move) - score(x - move)) / (2 * step))[0]


def and_put_back(score: Score, x: Tensor, row: int, column: int, step: float) -> float:
    old = x[0, 0, row, column].item()
    x[0, 0, row, column] = old + step
    above = score(x).item()
    x[0, 0, row, column] = old - step
    below = score(x).item()
    x[0, 0, row, column] = old
    return (above - below) / step / 2


def twice_backward(model: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    x, weights = x.clone().requires_grad_(), torch.zeros_like(x, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x), x, weights, create_graph=True)
    return torch.autograd.grad(gradient, weights, direction)[0]


def whole_jacobian(model: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    jacobian: Tensor = torch.autograd.functional.jacobian(model, x)
    return torch.einsum("abcdefgh, efgh -> abcd", jacobian, direction)


def by_a_threshold(x: Tensor, saliency: Tensor, count: int, fill: float) -> Tensor:
    limit = saliency.abs().flatten().sort(descending=True).values[count - 1]
    return torch.where(saliency.abs() >= limit, fill, x)


def one_by_one(x: Tensor, saliency: Tensor, count: int, fill: float) -> Tensor:
    result, left = x.clone(), saliency.square()
    for _ in range(count):
        row, column = divmod(int(left.argmax()), x.shape[3])
        result[0, 0, row, column], left[0, 0, row, column] = fill, -1
    return result


OTHER_WAYS: list[Answer] = [
    ("central_difference", with_a_mask),
    ("central_difference", and_put_back),
    ("central_difference", lambda score, x, *rest: np.float64(central_difference(score, x.double(), *rest))),
    ("response_to", twice_backward),
    ("response_to", whole_jacobian),
    ("response_to", lambda model, x, direction: (model(x + 1e-3 * direction) - model(x - 1e-3 * direction)) / 2e-3),
    ("sure", lambda noisy, denoised, divergence, sigma: nn.functional.mse_loss(denoised, noisy)
        + sigma**2 * (2 * divergence / (noisy.shape[2] * noisy.shape[3]) - 1)),
    ("sure", lambda noisy, denoised, divergence, sigma: (
        ((noisy - denoised) ** 2).sum().item() + 2 * sigma**2 * divergence) / noisy.numel() - sigma * sigma),
    ("delete_salient", by_a_threshold),
    ("delete_salient", one_by_one),
    ("delete_salient", lambda x, saliency, count, fill: x.clone().view(-1).index_fill(
        0, saliency.abs().view(-1).argsort()[-count:], fill).view_as(x)),
    ("in_standard_errors", lambda gradients: gradients.mean(0) * (len(gradients) / gradients.var(0)).sqrt()),
    ("in_standard_errors", lambda gradients: (
        gradients.mean(0) / (gradients.var(0, correction=0) / (len(gradients) - 1)).sqrt())),
    ("in_standard_errors", lambda gradients: gradients.sum(0) / (gradients.std(0) * len(gradients) ** 0.5)),
    ("in_standard_errors", lambda gradients: torch.stack([
        torch.stack([pixels.mean() / (pixels.std() / math.sqrt(len(pixels))) for pixels in channel.flatten(1).T]).view(4, 3)
        for channel in gradients.unbind(1)])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), OTHER_WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_other_ways_to_be_right_are_right(name: str, function: Callable[..., Any], seed: int) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert outcome.status == RIGHT, outcome.sentence


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("seed", SEEDS)
def test_forward_mode_is_right(seed: int) -> None:
    outcome = judge(EXERCISES["response_to"], lambda model, x, direction: torch.func.jvp(model, (x,), (direction,))[1], seed)
    assert outcome.status == RIGHT, outcome.sentence


# --- nearly right ---


def up_and_only_back(score: Score, x: Tensor, row: int, column: int, step: float) -> float:
    moved = x.clone()
    moved[0, 0, row, column] += step
    above = score(moved).item()
    moved[0, 0, row, column] -= step
    return (above - score(moved).item()) / (2 * step)


def one_copy_of_two_names(score: Score, x: Tensor, row: int, column: int, step: float) -> float:
    above = below = x.clone()
    above[0, 0, row, column] += step
    below[0, 0, row, column] -= step
    return (score(above) - score(below)).item() / (2 * step)


def whole_row(score: Score, x: Tensor, row: int, column: int, step: float) -> float:
    move = torch.zeros_like(x)
    move[0, 0, row] = step
    return (score(x + move) - score(x - move)).item() / (2 * step)


def on_the_input(x: Tensor, saliency: Tensor, count: int, fill: float) -> Tensor:
    x.view(-1)[saliency.abs().view(-1).topk(count).indices] = fill
    return x


def on_a_lost_copy(x: Tensor, saliency: Tensor, count: int, fill: float) -> Tensor:
    x[:, :, :, :].clone().view(-1)[saliency.abs().view(-1).topk(count).indices] = fill
    return x


def above_a_limit(x: Tensor, saliency: Tensor, count: int, fill: float) -> Tensor:
    limit = saliency.abs().flatten().sort(descending=True).values[count - 1]
    return torch.where(saliency.abs() > limit, fill, x)


NEARLY: list[Nearly] = [
    ("central_difference", up_and_only_back, "one side over two steps"),
    ("central_difference", one_copy_of_two_names, "the same image twice"),
    ("central_difference", whole_row, "other values"),
    ("central_difference", lambda score, x, r, c, step: central_difference(score, x, r, c, 1e-3), "the derivative itself"),
    ("central_difference", lambda score, x, r, c, step: central_difference(score, x, r, c, 2 * step), "other values"),
    ("central_difference", lambda score, x, r, c, step: -central_difference(score, x, c, r, step), "other values"),
    ("central_difference", lambda score, x, *rest: central_difference(score, x.clamp(min=0.2), *rest), "other values"),
    ("central_difference", lambda score, x, r, c, step: round(central_difference(score, x, r, c, step)), "other values"),
    ("central_difference", lambda score, x, *rest: torch.tensor([central_difference(score, x, *rest)]), "wrong shape"),
    ("response_to", lambda model, x, direction: torch.autograd.functional.vjp(model, x, direction)[1],
        "direction times Jacobian"),
    ("response_to", lambda model, x, direction: torch.autograd.functional.jvp(model, x, direction), "wrong shape"),
    ("response_to", lambda model, x, direction: torch.autograd.functional.jvp(model, x, direction)[0], "the output alone"),
    ("response_to", lambda model, x, direction: response_to(model, direction, x), "other values"),
    ("response_to", lambda model, x, direction: response_to(model, x, torch.ones_like(x)), "other values"),
    ("response_to", lambda model, x, direction: response_to(model, x, direction.sign()), "other values"),
    ("response_to", lambda model, x, direction: response_to(model, x, direction) * direction, "other values"),
    ("response_to", lambda model, x, direction: -response_to(model, x, direction), "other values"),
    ("response_to", lambda model, x, direction: (model(x + 0.1 * direction) - model(x)) / 0.1, "other values"),
    ("response_to", lambda model, x, direction: model(direction) - model(torch.zeros_like(x)), "other values"),
    ("sure", lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence * 30 / len(noisy), sigma),
        "divergence of the whole image"),
    ("sure", lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence * 5, sigma), "other values"),
    ("sure", lambda noisy, denoised, divergence, sigma: -sure(noisy, denoised, divergence, sigma), "other values"),
    ("sure", lambda noisy, denoised, divergence, sigma: abs(sure(noisy, denoised, divergence, sigma)), "other values"),
    ("sure", lambda noisy, denoised, divergence, sigma: (denoised - noisy).var().item() - sigma**2
        + 2 * sigma**2 * divergence / 30, "other values"),
    ("sure", lambda noisy, denoised, divergence, sigma: (denoised - noisy).square() - sigma**2
        + 2 * sigma**2 * divergence / 30, "wrong shape"),
    ("delete_salient", on_the_input, "changes its input"),
    ("delete_salient", on_a_lost_copy, "fills nothing"),
    ("delete_salient", above_a_limit, "one too few"),
    ("delete_salient", lambda x, saliency, count, fill: delete_salient(x, saliency.abs() * x, count, fill), "other values"),
    ("delete_salient", lambda x, saliency, count, fill: delete_salient(x, saliency.mT, count, fill), "other values"),
    ("delete_salient", lambda x, saliency, count, fill: delete_salient(x, saliency, count, x.mean().item()), "other values"),
    ("delete_salient", lambda x, saliency, count, fill: torch.where(saliency.abs() > saliency.abs().mean(), fill, x),
        "other values"),
    ("delete_salient", lambda x, saliency, count, fill: delete_salient(x, saliency, count, fill).flatten(), "wrong shape"),
    ("delete_salient", lambda x, saliency, count, fill: delete_salient(x.double(), saliency, count, fill),
        "wrong type of number"),
    ("in_standard_errors", lambda gradients: torch.from_numpy(
        gradients.numpy().mean(0) / (gradients.numpy().std(0) / math.sqrt(len(gradients)))), "deviation with K"),
    ("in_standard_errors", lambda gradients: in_standard_errors(gradients).numpy(), "wrong type of number"),
    ("in_standard_errors", lambda gradients: gradients.mean(0) / gradients.std(0) * 5**0.5, "other values"),
    ("in_standard_errors", lambda gradients: in_standard_errors(gradients) + 0.01, "other values"),
    ("in_standard_errors", lambda gradients: gradients.mean(0) / gradients.std(0) * gradients.numel() ** 0.5, "other values"),
    ("in_standard_errors", lambda gradients: in_standard_errors(gradients.abs()), "other values"),
    ("in_standard_errors", lambda gradients: gradients.median(0).values / gradients.std(0) * len(gradients) ** 0.5,
        "other values"),
    ("in_standard_errors", lambda gradients: in_standard_errors(gradients)[None], "wrong shape"),
    ("in_standard_errors", lambda gradients: gradients / (gradients.std(0) / len(gradients) ** 0.5), "wrong shape"),
    ("in_standard_errors", lambda gradients: gradients.mean((0, 1)) / gradients.std((0, 1)) * 10**0.5, "wrong shape"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "mistake"), NEARLY)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_nearly_right_is_wrong_and_told_nothing_false(
    name: str, function: Callable[..., Any], mistake: str, seed: int
) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert (outcome.status, outcome.mistake) == (WRONG, mistake), outcome.sentence
