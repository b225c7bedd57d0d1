"""Problem set 3: the solutions against oracles, other right ways, and answers that are nearly right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from denoise_lib.corruptions import Bernoulli
from denoise_lib.exercises.exercise import RIGHT, WRONG
from denoise_lib.exercises.judging import judge
from denoise_lib.exercises.ps3_noise2noise import (
    NOISE2NOISE_ASSIGNMENT,
    hdr_loss,
    input_and_target,
    kept_pixels,
    self_ensemble,
    turn_pair,
)
from denoise_lib.losses import hdr_loss as library_hdr_loss
from denoise_lib.tnet import SelfEnsemble

pytestmark = pytest.mark.numbers

EXERCISES = {exercise.name: exercise for exercise in NOISE2NOISE_ASSIGNMENT}
SEEDS = (0, 1, 2, 41, 1000)
Answer = tuple[str, Callable[..., Any]]
Nearly = tuple[str, Callable[..., Any], str]


def arguments(name: str, seed: int) -> tuple[Any, ...]:
    return EXERCISES[name].arguments(Generator().manual_seed(seed))


def test_all_are_graded_and_know_enough_mistakes() -> None:
    assert list(EXERCISES) == ["input_and_target", "hdr_loss", "kept_pixels", "turn_pair", "self_ensemble"]
    assert all(exercise.graded and len(exercise.mistakes) >= 6 for exercise in NOISE2NOISE_ASSIGNMENT)


# --- the solutions against oracles ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_target_knows_nothing_of_the_inputs_noise(seed: int) -> None:
    (copies,) = arguments("input_and_target", seed)
    noisy, target = input_and_target(copies)
    others = sum((copy.double() for copy in copies[1:]), torch.zeros(1)) / (len(copies) - 1)
    assert torch.equal(noisy, copies[0])
    torch.testing.assert_close(target.double(), others)
    copies[0] += 1
    torch.testing.assert_close(input_and_target(copies)[1], target)


def test_the_mean_of_copies_has_less_noise() -> None:
    noise = torch.randn(5, 50, 3, 8, 8, generator=Generator().manual_seed(3))
    noisy, target = input_and_target(noise)
    assert noisy.var().item() == pytest.approx(1, abs=0.05) and target.var().item() == pytest.approx(1 / 4, abs=0.02)
    assert abs((noisy * target).mean().item()) < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_is_the_finite_difference_with_a_frozen_denominator(seed: int) -> None:
    output, target = (tensor.detach().double() for tensor in arguments("hdr_loss", seed))
    leaf = output.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(hdr_loss(leaf, target), leaf)
    scale, step = output + 0.01, 1e-4
    for place in range(0, output.numel(), 17):
        move = torch.zeros_like(output).view(-1).index_fill(0, torch.tensor([place]), step).view_as(output)
        above, below = (((output + sign * move - target) / scale).square().mean() for sign in (1, -1))
        assert gradient.view(-1)[place].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_is_the_librarys(seed: int) -> None:
    output, target = arguments("hdr_loss", seed)
    mine, theirs = hdr_loss(output, target), library_hdr_loss(output, target)
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, output)[0] for loss in (mine, theirs)))


def test_the_kept_pixels_have_the_clean_image_for_their_mean() -> None:
    clean, _, p = arguments("kept_pixels", 0)
    masks = (torch.rand(20_000, 1, 6, 5, generator=Generator().manual_seed(1)) < p).float()
    mean = kept_pixels(clean[:1], masks, p).mean(0)
    torch.testing.assert_close(mean, clean[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_kept_pixels_are_those_of_the_librarys_noise_made_up_for(seed: int) -> None:
    clean = arguments("kept_pixels", seed)[0].clamp(min=0.01)
    noisy = Bernoulli(0.6)(clean, Generator().manual_seed(seed))  # 0.6 is the probability to lose a pixel
    mask = (noisy != 0).any(1, keepdim=True).float()
    torch.testing.assert_close(kept_pixels(clean, mask, 0.4), noisy / 0.4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_share_of_a_mask_is_not_its_probability(seed: int) -> None:
    _, mask, p = arguments("kept_pixels", seed)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - p) > 0.02 and abs(p - 0.5) > 0.02


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_a_turn_moves_each_pixel_where_it_belongs(quarters: int, flip: bool) -> None:
    first, second, *_ = arguments("turn_pair", 0)
    for image, turned in zip((first, second), turn_pair(first, second, quarters, flip), strict=True):
        for row in range(5):
            for column in range(5):
                i, j = row, column
                for _ in range(quarters):
                    i, j = 4 - j, i  # counter-clockwise: the right edge becomes the top
                j = 4 - j if flip else j
                assert torch.equal(turned[:, :, i, j], image[:, :, row, column])


@pytest.mark.parametrize("seed", range(12))
def test_the_cases_have_every_turn_with_and_without_a_flip(seed: int) -> None:
    turns = {arguments("turn_pair", case)[2:] for case in range(seed, seed + EXERCISES["turn_pair"].cases)}
    assert turns == {(quarters, flip) for quarters in (1, 2, 3) for flip in (False, True)}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ensemble_is_the_librarys_and_turns_with_the_image(seed: int) -> None:
    model, x = arguments("self_ensemble", seed)
    output = self_ensemble(model, x)
    torch.testing.assert_close(output, SelfEnsemble(model)(x))
    assert (output - model(x)).abs().max() > 0.05
    for quarters, flip in ((1, False), (2, True), (3, True)):
        turned, wanted = turn_pair(x, output, quarters, flip)
        torch.testing.assert_close(self_ensemble(model, turned), wanted)


def test_an_ensemble_of_a_network_that_does_nothing_does_nothing() -> None:
    x = arguments("self_ensemble", 0)[1]
    torch.testing.assert_close(self_ensemble(nn.Identity(), x), x)


# --- other right ways ---


def added_up(copies: Tensor) -> tuple[Tensor, Tensor]:
    total = torch.zeros_like(copies[0])
    for copy in copies[1:]:
        total = total + copy
    return copies[0], total / (len(copies) - 1)


def without_graph(output: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        scale = output + 0.01
    return nn.functional.mse_loss(output / scale, target / scale)


def one_quarter_at_a_time(first: Tensor, second: Tensor, quarters: int, flip: bool) -> tuple[Tensor, Tensor]:
    for _ in range(quarters):
        first, second = first.transpose(2, 3).flip(2), second.transpose(2, 3).flip(2)
    return (first.flip(3), second.flip(3)) if flip else (first, second)


def mirrored_top_bottom(model: nn.Module, x: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    for quarters in range(4):
        for flip in (False, True):
            turned = torch.rot90(x.flip(2) if flip else x, quarters, (2, 3))
            output = torch.rot90(model(turned), 4 - quarters, (2, 3))
            total += output.flip(2) if flip else output
    return total / 8


def in_one_batch(model: nn.Module, x: Tensor) -> Tensor:
    ways = [(quarters, dims) for quarters in (-1, 0, 1, 2) for dims in ([], [3])]
    outputs = model(torch.cat([torch.rot90(x, quarters, (-2, -1)).flip(dims) for quarters, dims in ways])).chunk(8)
    back = [torch.rot90(output.flip(dims), -quarters, (-2, -1)) for output, (quarters, dims) in zip(outputs, ways, strict=True)]
    return torch.stack(back).mean(0)


OTHER_WAYS: list[Answer] = [
    ("input_and_target", added_up),
    ("input_and_target", lambda copies: (copies[0], (copies.sum(0) - copies[0]) / (len(copies) - 1))),
    ("input_and_target", lambda copies: [copies[0].clone(), torch.stack(list(copies[1:])).mean(0)]),
    ("input_and_target", lambda copies: (copies.numpy()[0], np.mean(copies.numpy()[1:], axis=0))),
    ("hdr_loss", without_graph),
    ("hdr_loss", lambda output, target: ((output - target) ** 2 / (output.detach() + 0.01) ** 2).mean()),
    ("hdr_loss", lambda output, target: ((target - output) / (output.data + 0.01)).pow(2).sum() / output.numel()),
    ("hdr_loss", lambda output, target: (output - target).div(output.clone().detach().clamp(min=0) + 0.01).square().mean()),
    ("kept_pixels", lambda clean, mask, p: torch.where(mask > 0, clean / p, 0)),
    ("kept_pixels", lambda clean, mask, p: clean.masked_fill(mask == 0, 0) / p),
    ("kept_pixels", lambda clean, mask, p: clean * (mask / p).expand_as(clean)),
    ("turn_pair", one_quarter_at_a_time),
    ("turn_pair", lambda first, second, quarters, flip: tuple(
        torch.cat([first, second]).rot90(quarters, (-2, -1)).flip([3] if flip else []).chunk(2))),
    ("turn_pair", lambda first, second, quarters, flip: [
        torch.rot90(image.flip(3), -quarters, (2, 3)) if flip else torch.rot90(image, quarters, (2, 3))
        for image in (first, second)]),
    ("self_ensemble", lambda model, x: SelfEnsemble(model)(x)),
    ("self_ensemble", mirrored_top_bottom),
    ("self_ensemble", in_one_batch),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), OTHER_WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_other_ways_to_be_right_are_right(name: str, function: Callable[..., Any], seed: int) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert outcome.status == RIGHT, outcome.sentence


# --- nearly right ---


def in_place(copies: Tensor) -> tuple[Tensor, Tensor]:
    target = copies[1]
    for copy in copies[2:]:
        target += copy
    return copies[0], target / (len(copies) - 1)


def with_backward(output: Tensor, target: Tensor) -> Tensor:
    loss = hdr_loss(output, target)
    loss.backward()
    return loss


def loss_and_gradient(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    loss = hdr_loss(output, target)
    return loss, torch.autograd.grad(loss, output, retain_graph=True)[0]


def odd_quarters_alone(first: Tensor, second: Tensor, quarters: int, flip: bool) -> tuple[Tensor, Tensor]:
    return turn_pair(first, second, 1 if quarters % 2 else 0, flip)


def running_mean(model: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = model(x)
    for quarters in range(1, 4):
        output = (output + torch.rot90(model(torch.rot90(x, quarters, (2, 3))), -quarters, (2, 3))) / 2
    return output


def six_ways(model: nn.Module, x: Tensor) -> Tensor:
    turned = [torch.rot90(model(torch.rot90(x, quarters, (2, 3))), -quarters, (2, 3)) for quarters in range(4)]
    return torch.stack([*turned, *(model(x.flip(d)).flip(d) for d in (2, 3))]).mean(0)


NEARLY: list[Nearly] = [
    ("input_and_target", in_place, "changes its input"),
    ("input_and_target", lambda copies: (copies[0], copies[2:].mean(0)), "other values"),
    ("input_and_target", lambda copies: (copies[0], copies[1:].sum(0) / 4), "other values"),
    ("input_and_target", lambda copies: (copies[0], copies[1:4].mean(0)), "other values"),
    ("input_and_target", lambda copies: (copies[0], copies[1:-1].mean(0)), "other values"),
    ("input_and_target", lambda copies: (copies[:1], copies[1:].mean(0, keepdim=True)), "wrong shape"),
    ("input_and_target", lambda copies: (copies[0], copies[1:].mean()), "wrong shape"),
    ("hdr_loss", with_backward, "no gradient"),
    ("hdr_loss", loss_and_gradient, "wrong shape"),
    ("hdr_loss", lambda output, target: hdr_loss(output, target).item(), "no gradient"),
    ("hdr_loss", lambda output, target: hdr_loss(output, target).detach().numpy(), "no gradient"),
    ("hdr_loss", lambda output, target: [hdr_loss(output, target)], "wrong shape"),
    ("hdr_loss", lambda output, target: hdr_loss(output, target).sqrt(), "other values"),
    ("hdr_loss", lambda output, target: hdr_loss(output, target.clamp(0, 1)), "other values"),
    ("hdr_loss", lambda output, target: ((output - target) / (output + 0.01)).square().sum(), "other values"),
    ("hdr_loss", lambda output, target: ((output - target) / (output.detach() + 0.01)).mean().square(), "other values"),
    ("hdr_loss", lambda output, target: ((output - target) / (output.detach().mean() + 0.01)).square().mean(), "other values"),
    ("kept_pixels", lambda clean, mask, p: clean * mask / mask.mean((1, 2, 3), keepdim=True), "other values"),
    ("kept_pixels", lambda clean, mask, p: nn.functional.dropout(clean, 1 - p), "other values"),
    ("kept_pixels", lambda clean, mask, p: clean * mask / p + clean * (1 - mask), "other values"),
    ("kept_pixels", lambda clean, mask, p: (clean / p).clamp(0, 1) * mask, "clips"),
    ("kept_pixels", lambda clean, mask, p: clean.mul_(mask) / p, "changes its input"),
    ("kept_pixels", lambda clean, mask, p: clean[mask.expand_as(clean) > 0] / p, "wrong shape"),
    ("turn_pair", odd_quarters_alone, "other values"),
    ("turn_pair", lambda first, second, quarters, flip: turn_pair(first, second, quarters, not flip), "other values"),
    ("turn_pair", lambda first, second, quarters, flip: turn_pair(first, second, 90 * quarters, flip), "other values"),
    ("turn_pair", lambda first, second, quarters, flip: turn_pair(first, first, quarters, flip), "other values"),
    ("turn_pair", lambda first, second, quarters, flip: torch.stack(turn_pair(first, second, quarters, flip)), "wrong shape"),
    ("turn_pair", lambda first, second, quarters, flip: [
        torch.rot90(image, quarters, (3, 2)).flip([3] if flip else []) for image in (first, second)], "turns the other way"),
    ("turn_pair", lambda first, second, quarters, flip: [
        torch.rot90(image, quarters, (2, 3)).flip([2] if flip else []) for image in (first, second)], "mirrors top-bottom"),
    ("turn_pair", lambda first, second, quarters, flip: [
        torch.rot90(image.flip([3] if flip else []), quarters, (2, 3)) for image in (first, second)], "mirrors before turning"),
    ("self_ensemble", running_mean, "other values"),
    ("self_ensemble", six_ways, "other values"),
    ("self_ensemble", lambda model, x: self_ensemble(model, x) / 2, "other values"),
    ("self_ensemble", lambda model, x: self_ensemble(model, x).clamp(0, 1), "other values"),
    ("self_ensemble", lambda model, x: self_ensemble(model, x).mean(0, keepdim=True), "wrong shape"),
    ("self_ensemble", lambda model, x: self_ensemble(nn.Identity(), x), "other values"),
    ("self_ensemble", lambda model, x: torch.rot90(model(torch.rot90(x)), -1), "raises"),
    ("self_ensemble", lambda model, x: self_ensemble(nn.Identity(), model(x)), "the plain output"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "mistake"), NEARLY)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_nearly_right_is_wrong_and_told_nothing_false(
    name: str, function: Callable[..., Any], mistake: str, seed: int
) -> None:
    outcome = judge(EXERCISES[name], function, seed)
    assert (outcome.status, outcome.mistake) == (WRONG, mistake), outcome.sentence
