"""Exercises of notebook 3, and the wrong answers that people give: learning from noisy pairs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from .exercise import Exercise, Mistake, noise_facts


def exchange(first: Tensor, second: Tensor, swap: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(swap, second, first), torch.where(swap, first, second)


def psnr_from_noisy_loss(loss: float, variance: float) -> float:
    return -10 * math.log10(loss - variance)


def masked_loss(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    return ((output - target).square() * known).sum() / known.sum()


def point_sample(large: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    height, width = rows.shape
    i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return large[:, :, 4 * i + rows, 4 * j + columns]


def noisy_targets(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
    noises = [sigma * torch.randn(clean.shape, generator=generator) for _ in range(2)]
    return clean + noises[0], clean + noises[1]


def best_constants(targets: Tensor) -> tuple[Tensor, Tensor]:
    return targets.mean(), targets.median()


def _copies(generator: Generator) -> tuple[Any, ...]:
    first, second = (torch.rand(2, 3, 6, 5, generator=generator) for _ in range(2))
    return first, second, torch.rand(2, 1, 6, 5, generator=generator) < 0.5


def _loss_and_variance(generator: Generator) -> tuple[Any, ...]:
    variance = 0.2 + 0.1 * float(torch.rand((), generator=generator))
    # More than the variance's root, which else leaves a negative number to the logarithm: all such slips would look alike.
    return math.sqrt(variance) + 0.05 + 0.1 * float(torch.rand((), generator=generator)), variance


def _with_gaps(generator: Generator) -> tuple[Any, ...]:
    output, target, chance = (torch.rand(2, 3, 6, 5, generator=generator) for _ in range(3))
    scale, share = torch.tensor([[1.0, 0.5], [0.3, 0.7]])[:, :, None, None, None]  # uneven errors, uneven gaps
    known = (chance < share).float()
    target = (target - 0.3).clamp(min=0)  # some known numbers are 0, too
    return (0.3 + 0.7 * output) * scale, target * known, known


def _cells(generator: Generator) -> tuple[Any, ...]:
    rows, columns = (torch.randint(0, 4, (3, 5), generator=generator) for _ in range(2))
    rows[0, 0], columns[0, 0] = 1, 3  # not the corner of the first cell
    return torch.rand(1, 3, 12, 20, generator=generator), rows, columns


def _fixed(large: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return point_sample(large, torch.zeros_like(rows), torch.zeros_like(columns))


def _one_place(large: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return point_sample(large, rows[:1, :1].expand_as(rows), columns[:1, :1].expand_as(columns))


def _cut(large: Tensor, rows: Tensor, columns: Tensor, strided: bool) -> Tensor:
    height, width = rows.shape
    i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    if strided:
        return large.reshape(1, 3, 4, height, 4, width)[:, :, rows, i, columns, j]
    return large.reshape(1, 3, height, width, 4, 4)[:, :, i, j, rows, columns]


def _gray_and_sigma(generator: Generator) -> tuple[Any, ...]:
    sigma = 0.2 + 0.1 * float(torch.rand((), generator=generator))
    source = Generator().manual_seed(2**31 + 1 + int(torch.randint(2**31, (), generator=generator)))
    return torch.tensor([0.2, 0.8]).repeat_interleave(128).expand(2, 3, 128, 256).clone(), sigma, source


def _target_facts(arguments: tuple[Any, ...], output: Any) -> Any:
    clean, _, generator = arguments
    return noise_facts(output, clean, generator)


def _shared(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
    noisy = noisy_targets(clean, sigma, generator)[0]
    return noisy, noisy.clone()


def _clean_target(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
    return noisy_targets(clean, sigma, generator)[0], clean.clone()


def _clipped(clean: Tensor, sigma: float, generator: Generator, both: bool) -> tuple[Tensor, Tensor]:
    first, second = noisy_targets(clean, sigma, generator)
    return (first.clamp(0, 1) if both else first), second.clamp(0, 1)


def _twice_noisy(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
    first = noisy_targets(clean, sigma, generator)[0]
    return first, first + sigma * torch.randn(clean.shape, generator=generator)


def _gray_noise(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
    noises = [sigma * torch.randn(clean[:, :1].shape, generator=generator) for _ in range(2)]
    return clean + noises[0], clean + noises[1]


def _uniform_noise(clean: Tensor, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
    noises = [sigma * torch.rand(clean.shape, generator=generator) for _ in range(2)]
    return clean + noises[0], clean + noises[1]


def _by_image(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    return torch.stack([masked_loss(*image) for image in zip(output, target, known, strict=True)]).mean()


def _clear_median(generator: Generator) -> tuple[Any, ...]:
    targets = torch.rand(101, generator=generator) ** 3
    median = targets.median()
    # No other target is near the median, so that one beside it is told from it, and a search on a grid from neither.
    return (0.9 * targets + 0.05 * (targets >= median) + 0.05 * (targets > median),)


def _least_losses(targets: Tensor) -> tuple[Tensor, Tensor]:
    mean, median = best_constants(targets)
    return (targets - mean).square().mean(), (targets - median).abs().mean()


NOISE2NOISE_EXERCISES = (
    Exercise(
        "noisy_targets",
        "Write noisy_targets(clean, sigma, generator): input and target of Noise2Noise with unclipped Gaussian noise, "
        "as a tuple.",
        _gray_and_sigma,
        noisy_targets,
        (
            Mistake("one noise for both", "input and target share their noise: the network learns to keep it.", _shared),
            Mistake(
                "one noise for all colours",
                "all three colours of a pixel get the same noise; each number has noise of its own.",
                _gray_noise,
            ),
            Mistake(
                "ignores the generator",
                "your noise does not come from the generator as it is given; pass generator=generator to torch.randn, "
                "and do not seed it.",
                lambda clean, sigma, generator: noisy_targets(clean, sigma, Generator().manual_seed(7)),
            ),
            Mistake(
                "one noise, and not the generator's",
                "input and target share their noise, and it does not come from the generator as it is given; use that one, do "
                "not seed it, and let it go on.",
                lambda clean, sigma, generator: _shared(clean, sigma, Generator().manual_seed(7)),
            ),
            Mistake(
                "uniform noise",
                "you draw numbers between 0 and 1, as torch.rand does; Gaussian noise has mean 0.",
                _uniform_noise,
            ),
            Mistake("clean target", "your target is clean; Noise2Noise has none.", _clean_target),
            Mistake(
                "clips the target",
                "you clip the target: its mean is then no longer the clean value, and the network learns that.",
                lambda clean, sigma, generator: _clipped(clean, sigma, generator, both=False),
            ),
            Mistake(
                "clips both",
                "you clip both: the mean of the target is then no longer the clean value.",
                lambda clean, sigma, generator: _clipped(clean, sigma, generator, both=True),
            ),
            Mistake(
                "target from the input",
                "your target is made from the noisy input, so that it contains its noise.",
                _twice_noisy,
            ),
            Mistake(
                "variance as standard deviation",
                "your noise is too weak: sigma is its standard deviation, and you square it.",
                lambda clean, sigma, generator: noisy_targets(clean, sigma**2, generator),
            ),
            Mistake(
                "scale of 255",
                "your noise is divided by 255; these images lie in [0, 1].",
                lambda clean, sigma, generator: noisy_targets(clean, sigma / 255, generator),
            ),
        ),
        (
            "Two assumptions: the target's noise has mean zero, and it is independent of the input's.",
            "Independent: draw twice. Mean zero: no clipping.",
            "clean + sigma * torch.randn(clean.shape, generator=generator), once for each.",
        ),
        observe=_target_facts,
        tolerance=0.02,
        evidence=False,
    ),
    Exercise(
        "exchange",
        "Write exchange(first, second, swap): exchange the pixels of two copies (N, 3, H, W) where swap (N, 1, H, W) is true, "
        "and return both, as a tuple.",
        _copies,
        exchange,
        (
            Mistake(
                "one side only",
                "the second copy does not get what the first one gave away.",
                lambda first, second, swap: (torch.where(swap, second, first), second),
            ),
            Mistake(
                "the other side only",
                "the first copy does not get what the second one gave away.",
                lambda first, second, swap: (first, torch.where(swap, first, second)),
            ),
            Mistake(
                "the same copy twice",
                "both results are the same copy, and the other pixels are lost.",
                lambda first, second, swap: (torch.where(swap, second, first),) * 2,
            ),
            Mistake(
                "exchanges the others",
                "you exchange where swap is false.",
                lambda first, second, swap: exchange(first, second, ~swap),
            ),
            Mistake(
                "exchanges all",
                "you exchange whole images; swap says which pixels.",
                lambda first, second, swap: (second, first),
            ),
            Mistake(
                "mixes",
                "you average the two copies; that makes a less noisy image, and no pair.",
                lambda first, second, swap: ((first + second) / 2,) * 2,
            ),
            Mistake(
                "one colour only",
                "you exchange the first channel alone; a pixel's colours go together.",
                lambda first, second, swap: exchange(first, second, torch.cat([swap, swap & False, swap & False], dim=1)),
            ),
        ),
        (
            "Every pixel of the two copies must be in exactly one of the results, at its place.",
            "torch.where(swap, a, b) takes a where swap is true.",
            "Twice: once with (second, first), once with (first, second).",
        ),
    ),
    Exercise(
        "psnr_from_noisy_loss",
        "Write psnr_from_noisy_loss(loss, variance): the pooled PSNR to the clean image in dB, from the loss against "
        "noisy targets.",
        _loss_and_variance,
        psnr_from_noisy_loss,
        (
            Mistake(
                "forgets the target's noise",
                "the loss contains the variance of the target's noise; subtract it first.",
                lambda loss, variance: -10 * math.log10(loss),
            ),
            Mistake(
                "adds the variance",
                "you add the variance of the target's noise; the loss contains it already.",
                lambda loss, variance: -10 * math.log10(loss + variance),
            ),
            Mistake(
                "root of the variance",
                "you subtract the root of the variance; the loss is a squared error, and contains the variance itself.",
                lambda loss, variance: -10 * math.log10(loss - math.sqrt(variance)),
            ),
            Mistake(
                "variance squared",
                "you square the variance; it is a square already.",
                lambda loss, variance: -10 * math.log10(loss - variance**2),
            ),
            Mistake(
                "natural logarithm",
                "you use the natural logarithm; decibels use log10.",
                lambda loss, variance: -10 * math.log(loss - variance),
            ),
            Mistake(
                "factor 20",
                "you use 20 log10 on a squared error; 20 belongs to its root.",
                lambda loss, variance: -20 * math.log10(loss - variance),
            ),
            Mistake(
                "sign",
                "your sign is wrong: a smaller error has a larger PSNR.",
                lambda loss, variance: 10 * math.log10(loss - variance),
            ),
            Mistake(
                "subtracts decibels",
                "you subtract after the logarithm, which is to divide; errors add up, decibels do not.",
                lambda loss, variance: -10 * math.log10(loss) + 10 * math.log10(variance),
            ),
        ),
        (
            "What is the mean squared error against a noisy target made of?",
            "Error to the clean image + variance of the target's noise.",
            "Subtract; then -10 log10 of what is left.",
        ),
    ),
    Exercise(
        "masked_loss",
        "Write masked_loss(output, target, known): the mean squared error over the known numbers of the target (known "
        "is 1 there, else 0).",
        _with_gaps,
        masked_loss,
        (
            Mistake(
                "learns the gaps",
                "the missing numbers count as zeros, and the network learns to darken; leave them out.",
                lambda output, target, known: (output - target).square().mean(),
            ),
            Mistake(
                "divides by all",
                "you divide by the number of all pixels; divide by that of the known ones.",
                lambda output, target, known: ((output - target).square() * known).mean(),
            ),
            Mistake(
                "sum for mean",
                "you add the errors up; divide by the number of known pixels.",
                lambda output, target, known: ((output - target).square() * known).sum(),
            ),
            Mistake(
                "the gaps alone",
                "you count the missing pixels and leave the known ones out.",
                lambda output, target, known: masked_loss(output, target, 1 - known),
            ),
            Mistake(
                "divides by the images",
                "you divide by the number of images; divide by that of the known numbers.",
                lambda output, target, known: ((output - target).square() * known).sum() / len(output),
            ),
            Mistake(
                "gaps from the target's zeros",
                "you take each 0 of the target for a gap, but a known number may be 0; known says where the gaps are.",
                lambda output, target, known: masked_loss(output, target, (target != 0).float()),
            ),
            Mistake(
                "mean image by image",
                "you take one mean for each image, and then their mean; each known number counts as much as any other.",
                _by_image,
            ),
            Mistake(
                "absolute error",
                "you take the absolute error; asked is the squared one.",
                lambda output, target, known: ((output - target).abs() * known).sum() / known.sum(),
            ),
        ),
        (
            "A missing pixel says nothing: it may neither add to the error nor to the count.",
            "Multiply the squared errors with known before you add them up.",
            "Then divide by known.sum().",
        ),
    ),
    Exercise(
        "point_sample",
        "Write point_sample(large, rows, columns): from each 4 x 4 cell of large (1, 3, 4h, 4w) take the pixel at "
        "(rows, columns), (h, w) each; the result is (1, 3, h, w).",
        _cells,
        point_sample,
        (
            Mistake(
                "mean of the cell",
                "you take the mean of each cell: that is the clean image; take one pixel.",
                lambda large, rows, columns: large.unflatten(2, (-1, 4)).unflatten(4, (-1, 4)).mean((3, 5)),
            ),
            Mistake(
                "always the same corner", "you take the first pixel of each cell, wherever rows and columns point.", _fixed
            ),
            Mistake("one place for all cells", "you use the first cell's place for all cells.", _one_place),
            Mistake(
                "rows and columns exchanged",
                "you exchange rows and columns.",
                lambda large, rows, columns: point_sample(large, columns, rows),
            ),
            Mistake(
                "counts from the far end",
                "your places count from the far end of the cell.",
                lambda large, rows, columns: point_sample(large, 3 - rows, 3 - columns),
            ),
            Mistake(
                "counts within the large image",
                "you take rows and columns for places in the large image; they count within each cell.",
                lambda large, rows, columns: large[:, :, rows, columns],
            ),
            Mistake(
                "cuts the cells wrongly",
                "the pixels of what you take for a cell lie far apart; a cell is 4 x 4 neighbours.",
                lambda large, rows, columns: _cut(large, rows, columns, strided=True),
            ),
            Mistake(
                "cells of 16 in a row",
                "what you take for a cell are 16 pixels one after the other; a cell is 4 x 4 neighbours.",
                lambda large, rows, columns: _cut(large, rows, columns, strided=False),
            ),
            Mistake(
                "another place for each colour",
                "each colour comes from another pixel; the colours of a pixel stay together.",
                lambda large, rows, columns: torch.cat(
                    [point_sample(large[:, c : c + 1], (rows + c) % 4, columns) for c in range(3)], dim=1
                ),
            ),
        ),
        (
            "Where does cell (i, j) begin in the large image?",
            "At row 4 i and column 4 j; its pixel is at (4 i + rows[i, j], 4 j + columns[i, j]).",
            "Index with two tensors of shape (h, w): large[:, :, 4 * i + rows, 4 * j + columns], with i and j from "
            "torch.meshgrid.",
        ),
    ),
    Exercise(
        "best_constants",
        "Write best_constants(targets): the number with the least mean squared error to all targets, and the one with "
        "the least mean absolute error, as a tuple.",
        _clear_median,
        best_constants,
        (
            Mistake(
                "mean for both",
                "you take the mean for the absolute error, too; that has another best guess.",
                lambda targets: (targets.mean(), targets.mean()),
            ),
            Mistake(
                "median for both",
                "you take the median for the squared error, too; that has another best guess.",
                lambda targets: (targets.median(), targets.median()),
            ),
            Mistake(
                "exchanged", "you exchange the two: each has the other's answer.", lambda targets: best_constants(targets)[::-1]
            ),
            Mistake(
                "middle of the range",
                "you take the middle between the smallest and the largest target.",
                lambda targets: ((targets.min() + targets.max()) / 2,) * 2,
            ),
            Mistake("the losses themselves", "you return the least losses, and not the numbers that have them.", _least_losses),
            Mistake("sum", "you add the targets up; take their mean.", lambda targets: (targets.sum(), targets.median())),
        ),
        (
            "Set the derivative of the mean loss to zero: once for (c - t)^2, once for |c - t|.",
            "For |c - t| the derivative counts how many targets are above and how many below.",
            "The first is targets.mean(), the second targets.median().",
        ),
        tolerance=2e-3,  # a search over a thousand numbers is right, too
    ),
)
