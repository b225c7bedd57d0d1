"""Problem set 2: the solutions against torch and the library, other right ways, and answers that are nearly right."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv1d, mse_loss, pad

from denoise_lib.exercises.exercise import RIGHT, WRONG
from denoise_lib.exercises.judging import judge
from denoise_lib.exercises.ps2_networks import (
    NETWORK_ASSIGNMENT,
    ablated_join,
    blend_each,
    error_over_batches,
    receptive_field,
    transposed_size,
)
from denoise_lib.noise import add_noise

pytestmark = pytest.mark.numbers

EXERCISES = {exercise.name: exercise for exercise in NETWORK_ASSIGNMENT}
SEEDS = (0, 1, 2, 41, 1000)
Layers = list[tuple[int, int]]
Batches = list[tuple[Tensor, Tensor]]


def arguments(name: str, seed: int) -> tuple[Any, ...]:
    return EXERCISES[name].arguments(Generator().manual_seed(seed))


def test_all_are_graded_and_know_enough_mistakes() -> None:
    assert list(EXERCISES) == ["receptive_field", "transposed_size", "ablated_join", "error_over_batches", "blend_each"]
    assert all(exercise.graded and len(exercise.mistakes) >= 6 for exercise in NETWORK_ASSIGNMENT)


# --- the solutions against torch and the library ---


def seen(layers: Layers) -> int:
    """How many pixels have a gradient."""
    x = torch.zeros(1, 1, 400, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = conv1d(y, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride)
    y[0, 0, 0].backward()
    assert x.grad is not None
    return int((x.grad != 0).sum())


def made(size: int, kernel: int, stride: int, padding: int) -> int:
    return int(nn.ConvTranspose2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, size, size)).shape[-1])


def test_sizes_of_known_networks() -> None:
    assert receptive_field([]) == 1 and receptive_field([(3, 1)] * 5) == 11
    assert receptive_field([(3, 1), (3, 1), (2, 2), (3, 1)]) == 10
    assert transposed_size(7, 2, 2, 0) == 14 and transposed_size(7, 4, 2, 1) == 14


@pytest.mark.parametrize("seed", range(20))
def test_sizes_are_those_of_torch(seed: int) -> None:
    assert receptive_field(*arguments("receptive_field", seed)) == seen(*arguments("receptive_field", seed))
    assert transposed_size(*arguments("transposed_size", seed)) == made(*arguments("transposed_size", seed))


def test_a_join_without_the_skip() -> None:
    x, skip = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    joined = ablated_join(x, skip)
    assert torch.equal(joined[:, :3], x) and joined.shape == (2, 8, 4, 4) and not joined[:, 3:].any() and skip.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_error_is_that_of_all_images_at_once(seed: int) -> None:
    model, batches = arguments("error_over_batches", seed)
    error = error_over_batches(model, batches)
    with torch.no_grad():
        together = mse_loss(
            model.eval()(torch.cat([noisy for noisy, _ in batches])), torch.cat([clean for _, clean in batches])
        )
    assert error == pytest.approx(together.item(), rel=1e-5) and not model.kept
    assert sorted(len(clean) for _, clean in batches) == [1, 2, 5]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_blend_is_the_library_s(seed: int) -> None:
    clean, noise, mus = arguments("blend_each", seed)
    assert clean.shape == noise.shape == (3, 3, 3, 3) and mus.shape == (3,)  # so that the mus fit everywhere
    torch.testing.assert_close(blend_each(clean, torch.zeros_like(noise), mus), (1 - mus.reshape(3, 1, 1, 1)) * clean)
    drawn = torch.randn(clean.shape, generator=Generator().manual_seed(9))
    expected = add_noise(clean, mus, generator=Generator().manual_seed(9))
    torch.testing.assert_close(blend_each(clean, drawn, mus), expected)


# --- other right ways ---


def from_the_output(layers: Layers) -> int:
    side = 1
    for kernel, stride in reversed(layers):
        side = (side - 1) * stride + kernel
    return side


def with_numpy(layers: Layers) -> Any:
    kernels, strides = np.array(layers).T
    return 1 + ((kernels - 1) * np.concatenate([[1], strides.cumprod()[:-1]])).sum()


def filled(x: Tensor, skip: Tensor) -> Tensor:
    joined = torch.zeros(len(x), x.shape[1] + skip.shape[1], *x.shape[2:])
    joined[:, : x.shape[1]] = x
    return joined


def at_once(model: nn.Module, batches: Batches) -> float:
    model.eval()
    with torch.inference_mode():
        output = model(torch.cat([noisy for noisy, _ in batches]))
    return float((output - torch.cat([clean for _, clean in batches])).square().mean())


def weighted(model: nn.Module, batches: Batches) -> float:
    model.eval()
    with torch.no_grad():
        errors = [(mse_loss(model(noisy), clean).item(), len(clean)) for noisy, clean in batches]
    return sum(error * images for error, images in errors) / sum(images for _, images in errors)


def mode_restored(model: nn.Module, batches: Batches) -> Tensor:
    was = model.training
    model.train(False)
    with torch.no_grad():
        errors = torch.cat([((model(noisy) - clean) ** 2).flatten() for noisy, clean in batches])
    model.train(was)
    return errors.mean()


def mu_and(clean: Tensor, noise: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return ((1 - one) * clean + other * noise).clamp(0, 1)


def one_by_one(clean: Tensor, noise: Tensor, mus: Tensor) -> Tensor:
    return torch.stack([((1 - mu) * a + mu * b).clamp(0, 1) for a, b, mu in zip(clean, noise, mus, strict=True)])


OTHER_WAYS: list[tuple[str, Callable[..., Any]]] = [
    ("receptive_field", from_the_output),
    ("receptive_field", with_numpy),
    ("receptive_field", seen),
    ("transposed_size", made),
    ("transposed_size", lambda n, k, s, p: n * s - s + k - p - p),
    ("transposed_size", lambda n, k, s, p: next(m for m in range(1000) if (m + 2 * p - k) / s + 1 == n)),
    ("ablated_join", filled),
    ("ablated_join", lambda x, skip: torch.cat((x, 0 * skip), 1)),
    ("ablated_join", lambda x, skip: torch.concat([x, skip.new_zeros(skip.shape)], dim=-3)),
    ("ablated_join", lambda x, skip: pad(x, (0, 0, 0, 0, 0, skip.shape[1]))),
    ("error_over_batches", at_once),
    ("error_over_batches", weighted),
    ("error_over_batches", mode_restored),
    ("error_over_batches", lambda model, batches: weighted(copy.deepcopy(model), batches)),
    ("blend_each", one_by_one),
    ("blend_each", lambda clean, noise, mus: torch.lerp(clean, noise, mus.view(-1, 1, 1, 1).expand_as(clean)).clip(0, 1)),
    ("blend_each", lambda clean, noise, mus: mu_and(clean.movedim(0, 3), noise.movedim(0, 3), mus, mus).movedim(3, 0)),
    ("blend_each", lambda clean, noise, mus: torch.einsum("n,nchw->nchw", mus, noise - clean).add(clean).clamp(0.0, 1.0)),
]


@pytest.mark.parametrize(("name", "function"), OTHER_WAYS, ids=[name for name, _ in OTHER_WAYS])
@pytest.mark.parametrize("seed", SEEDS)
def test_other_ways_to_be_right_are_right(name: str, function: Callable[..., Any], seed: int) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert outcome.status == RIGHT, outcome.sentence


# --- nearly right ---


def recursion(layers: Layers, step: Callable[[int, int, int, int], tuple[int, int]]) -> int:
    side, jump = 1, 1
    for kernel, stride in layers:
        side, jump = step(side, jump, kernel, stride)
    return side


def skip_in_place(x: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([x, skip.zero_()], dim=1)


def eval_too_late(model: nn.Module, batches: Batches) -> float:
    total, count = 0.0, 0
    with torch.no_grad():
        for noisy, clean in batches:
            total, count = total + float((model(noisy) - clean).square().sum()), count + clean.numel()
            model.eval()
    return total / count


def returns_in_the_loop(model: nn.Module, batches: Batches) -> float:
    model.eval()
    with torch.no_grad():
        for noisy, clean in batches:
            return float((model(noisy) - clean).square().mean())
    return 0.0


def counts_as_the_first(model: nn.Module, batches: Batches) -> float:
    model.eval()
    with torch.no_grad():
        total = sum(float((model(noisy) - clean).square().sum()) for noisy, clean in batches)
    return total / (len(batches) * batches[0][0].numel())


def no_eval_at_once(model: nn.Module, batches: Batches) -> float:
    with torch.no_grad():
        output = model(torch.cat([noisy for noisy, _ in batches]))
    return float((output - torch.cat([clean for _, clean in batches])).square().mean())


def detached(model: nn.Module, batches: Batches) -> float:
    model.eval()
    return torch.cat([(model(noisy) - clean).square().detach() for noisy, clean in batches]).mean().item()


def for_each_batch(model: nn.Module, batches: Batches) -> list[float]:
    return [weighted(model, [batch]) for batch in batches]


def clean_in_place(clean: Tensor, noise: Tensor, mus: Tensor) -> Tensor:
    for image, other, mu in zip(clean, noise, mus, strict=True):
        image.mul_(1 - mu).add_(mu * other).clamp_(0, 1)
    return clean


GENERAL = "other values"
NEARLY: list[tuple[str, Callable[..., Any], str]] = [
    (
        "receptive_field",
        lambda layers: recursion(layers, lambda r, j, k, s: ((r - 1) * s + k, j)),
        "from the output to the input",
    ),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (r + 2 * (k // 2) * j, j * s)), GENERAL),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (r + (k - 1) // 2 * j, j * s)), GENERAL),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (r + (k - 1) * s, j)), GENERAL),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (r + (k - 1) * j, j * 2)), GENERAL),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (r + (k - 1) * j, j + s - 1)), GENERAL),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (max(r, k * j), j * s)), GENERAL),
    ("receptive_field", lambda layers: recursion(layers, lambda r, j, k, s: (r * s + k - 1, j)), GENERAL),
    ("receptive_field", lambda layers: receptive_field(layers[:-1]), GENERAL),
    ("receptive_field", lambda layers: receptive_field(layers[1:]), GENERAL),
    ("receptive_field", lambda layers: receptive_field(layers) + 1, GENERAL),
    ("receptive_field", lambda layers: math.prod(stride for _, stride in layers), GENERAL),
    ("receptive_field", lambda layers: (receptive_field(layers),) * 2, "wrong shape"),
    ("transposed_size", lambda n, k, s, p: (n - 1) * s - 2 * p + k + s - 1, GENERAL),
    ("transposed_size", lambda n, k, s, p: (n - 1) * s - 2 * p + k + 1, GENERAL),
    ("transposed_size", lambda n, k, s, p: (n + 1) * s - 2 * p + k, GENERAL),
    ("transposed_size", lambda n, k, s, p: n * s + k, GENERAL),
    ("transposed_size", lambda n, k, s, p: n * s - 2 * p, GENERAL),
    ("transposed_size", lambda n, k, s, p: n * s - p + k, GENERAL),
    ("transposed_size", lambda n, k, s, p: n * s + 2 * p - k, GENERAL),
    ("transposed_size", lambda n, k, s, p: (n - 1) * s + k - 1, GENERAL),
    ("transposed_size", lambda n, k, s, p: (n - 1) * k - 2 * p + s, GENERAL),
    ("transposed_size", lambda n, k, s, p: 2 * n, GENERAL),
    ("transposed_size", lambda n, k, s, p: (n + 2 * p - k) / s + 1, GENERAL),
    ("ablated_join", skip_in_place, "changes its input"),
    ("ablated_join", lambda x, skip: torch.cat([x, torch.randn_like(skip)], 1), GENERAL),
    ("ablated_join", lambda x, skip: torch.cat([x, skip.flip(0)], 1), GENERAL),
    ("ablated_join", lambda x, skip: torch.cat([x, -skip], 1), GENERAL),
    ("ablated_join", lambda x, skip: torch.cat([x, 1e-3 * skip], 1), GENERAL),
    ("ablated_join", lambda x, skip: torch.cat([x, torch.full_like(skip, 0.5)], 1), GENERAL),
    ("ablated_join", lambda x, skip: ablated_join(x.relu(), skip), GENERAL),
    ("ablated_join", lambda x, skip: torch.cat([x, x], 1), "wrong shape"),
    ("ablated_join", lambda x, skip: skip, "wrong shape"),
    ("ablated_join", lambda x, skip: (x, torch.zeros_like(skip)), "wrong shape"),
    ("ablated_join", lambda x, skip: torch.cat([x, skip]), "joins the images"),
    ("ablated_join", lambda x, skip: torch.cat([x, torch.zeros_like(skip)], 2), "raises"),
    ("ablated_join", lambda x, skip: x * skip * 0, "number by number"),
    ("ablated_join", lambda x, skip: torch.cat([x, torch.zeros(skip.shape).double()], 1), "wrong type of number"),
    ("error_over_batches", eval_too_late, GENERAL),
    ("error_over_batches", returns_in_the_loop, "first batch alone"),
    ("error_over_batches", counts_as_the_first, GENERAL),
    ("error_over_batches", no_eval_at_once, GENERAL),
    ("error_over_batches", detached, "forgets no_grad"),
    ("error_over_batches", lambda model, batches: weighted(model, batches[:-1]), GENERAL),
    ("error_over_batches", lambda model, batches: weighted(model, [pair[::-1] for pair in batches]), GENERAL),
    ("error_over_batches", lambda model, batches: -10 * math.log10(weighted(model, batches)), GENERAL),
    ("error_over_batches", for_each_batch, "wrong shape"),
    ("error_over_batches", lambda model, batches: f"{weighted(model, batches)}", "wrong type"),
    ("blend_each", clean_in_place, "changes its input"),
    ("blend_each", lambda clean, noise, mus: blend_each(clean, noise, mus.flip(0)), GENERAL),
    ("blend_each", lambda clean, noise, mus: mu_and(clean, noise, mus.reshape(3, 1, 1, 1), mus), GENERAL),
    ("blend_each", lambda clean, noise, mus: mu_and(clean, noise, mus, mus.reshape(3, 1, 1, 1)), GENERAL),
    ("blend_each", lambda clean, noise, mus: mu_and(clean, noise, mus.max(), mus.max()), GENERAL),
    ("blend_each", lambda clean, noise, mus: mu_and(clean, noise, mus.median(), mus.median()), GENERAL),
    ("blend_each", lambda clean, noise, mus: mu_and(clean, noise, 1 - mus, mus), GENERAL),
    ("blend_each", lambda clean, noise, mus: blend_each(clean, -noise, mus), GENERAL),
    ("blend_each", lambda clean, noise, mus: blend_each(clean[:1], noise, mus), GENERAL),
    ("blend_each", lambda clean, noise, mus: blend_each(clean, noise, mus)[0], "wrong shape"),
    ("blend_each", lambda clean, noise, mus: blend_each(clean, noise, mus).double(), "wrong type of number"),
]


@pytest.mark.parametrize(("name", "function", "mistake"), NEARLY, ids=[f"{name}-{what}" for name, _, what in NEARLY])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_nearly_right_is_wrong_and_told_nothing_false(
    name: str, function: Callable[..., Any], mistake: str, seed: int
) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert (outcome.status, outcome.mistake) == (WRONG, mistake), outcome.sentence
