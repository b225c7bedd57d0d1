"""Exercises of notebook 4, and the wrong answers that people give: gradients of scores and of denoisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from .exercise import Exercise, Mistake

Score = Callable[[Tensor], Tensor]


def gradient_of(score: Score, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(score(x).sum(), x)[0]


def smoothgrad_of(score: Score, x: Tensor, noise: Tensor, level: float) -> Tensor:
    sigma = level * (x.max() - x.min())
    return torch.stack([gradient_of(score, x + sigma * sample) for sample in noise]).mean(0)


def error_gradient(model: nn.Module, x: Tensor, clean: Tensor) -> Tensor:
    return gradient_of(lambda images: (model(images) - clean).square().sum(), x)


def own_influence(model: nn.Module, x: Tensor, row: int, column: int) -> Tensor:
    gradient = gradient_of(lambda images: model(images)[0, 0, row, column], x)
    return gradient[0, 0, row, column]


def kernel_at(model: nn.Module, x: Tensor, row: int, column: int) -> Tensor:
    return gradient_of(lambda images: model(images)[0, 0, row, column], x)


def _smoothed(score: Score, x: Tensor, noise: Tensor, sigma: Tensor | float, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    gradients = torch.stack([gradient_of(score, x + sigma * sample) for sample in noise])
    return reduce(gradients)


def _range(x: Tensor) -> Tensor:
    return x.max() - x.min()


def _through_sigma(score: Score, x: Tensor, noise: Tensor, level: float) -> Tensor:
    def mean_score(images: Tensor) -> Tensor:
        return torch.stack([score(images + level * _range(images) * sample) for sample in noise]).mean(0)

    return gradient_of(mean_score, x)


def _clipped(score: Score, x: Tensor, noise: Tensor, level: float) -> Tensor:
    copies = [(x + level * _range(x) * sample).clamp(0, 1) for sample in noise]
    return torch.stack([gradient_of(score, copy) for copy in copies]).mean(0)


def _impulse(x: Tensor, row: int, column: int) -> Tensor:
    impulse = torch.zeros_like(x)
    impulse[0, 0, row, column] = 1
    return impulse


def _score(generator: Generator) -> tuple[Any, ...]:
    weights = torch.randn(1, 1, 5, 4, generator=generator)
    x = 0.1 + 0.9 * torch.rand(1, 1, 5, 4, generator=generator)

    def score(images: Tensor) -> Tensor:
        return (weights * torch.sin(8 * images)).sum((1, 2, 3))  # its slope changes sign

    return score, x


def _with_noise(generator: Generator) -> tuple[Any, ...]:
    score, x = _score(generator)
    level = 0.15 + 0.1 * float(torch.rand((), generator=generator))
    return score, x, torch.randn(6, 1, 1, 5, 4, generator=generator), level


def _network(generator: Generator, strength: float = 1.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        first, last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
    network = nn.Sequential(first, nn.Tanh(), last).requires_grad_(False)
    first.weight.mul_(strength)
    return network


def _denoiser_and_pair(generator: Generator) -> tuple[Any, ...]:
    return _network(generator), torch.rand(3, 1, 6, 5, generator=generator), torch.rand(3, 1, 6, 5, generator=generator)


def _denoiser_and_pixel(generator: Generator) -> tuple[Any, ...]:
    row, column = (int(torch.randint(1, 4, (), generator=generator)) for _ in range(2))
    return _network(generator, 3.0), torch.rand(1, 1, 6, 6, generator=generator), row, column + (row == column)


def _denoiser_and_odd_pixel(generator: Generator) -> tuple[Any, ...]:
    """A pixel whose influence is, sign apart, not that of the exchanged place, of the strongest input or of all together."""
    while True:
        model, x, row, column = _denoiser_and_pixel(generator)
        kernel = kernel_at(model, x, row, column)
        own, others = kernel[0, 0, row, column], [kernel.abs().max(), kernel.sum(), own_influence(model, x, column, row)]
        if own.abs() > 0.03 and all((own.abs() - other.abs()).abs() > 0.02 for other in others):
            # Of one check's cases, whose seeds follow one another, some have an output that falls where its input rises.
            model[2].weight.mul_(own.sign() if generator.initial_seed() % 2 else -own.sign())
            return model, x, row, column


SALIENCY_EXERCISES = (
    Exercise(
        "smoothgrad_of",
        "Write smoothgrad_of(score, x, noise, level): the mean gradient of score(x + sigma * sample) over the samples "
        "in noise, with sigma "
        "= level times the range of x.",
        _with_noise,
        smoothgrad_of,
        (
            Mistake(
                "mean of sizes",
                "you average the sizes of the gradients, and so add up what cancels; average the gradients.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * _range(x), lambda g: g.abs().mean(0)),
            ),
            Mistake(
                "size of the mean",
                "you take the size of the mean gradient; keep its sign.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * _range(x), lambda g: g.mean(0).abs()),
            ),
            Mistake(
                "mean of squares",
                "you average the squares of the gradients; average the gradients.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * _range(x), lambda g: g.square().mean(0)),
            ),
            Mistake(
                "noise in absolute units",
                "your sigma is the level itself; it is a fraction of the image's range, max - min.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level, lambda g: g.mean(0)),
            ),
            Mistake(
                "fraction of the deviation",
                "your sigma is a fraction of the image's standard deviation; asked is its range.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * x.std(), lambda g: g.mean(0)),
            ),
            Mistake(
                "fraction of the maximum",
                "your sigma is a fraction of the brightest pixel; asked is the range, max - min.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * x.max(), lambda g: g.mean(0)),
            ),
            Mistake(
                "sum for mean",
                "you add the gradients up; take their mean.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * _range(x), lambda g: g.sum(0)),
            ),
            Mistake(
                "gradients add up",
                "backward() adds to what stands in .grad already, so that the first samples count more often; clear it before "
                "each sample.",
                lambda score, x, noise, level: _smoothed(score, x, noise, level * _range(x), lambda g: g.cumsum(0).mean(0)),
            ),
            Mistake(
                "sigma takes part in the gradient",
                "your gradient runs through sigma, too, which changes it at the darkest and the brightest pixel; sigma is a "
                "number.",
                _through_sigma,
            ),
            Mistake(
                "clips",
                "you clip the noisy images; the score is asked at x + sigma * sample, wherever that is.",
                _clipped,
            ),
            Mistake(
                "no noise",
                "you take the gradient at the image itself, without any noise.",
                lambda score, x, noise, level: gradient_of(score, x),
            ),
            Mistake(
                "averages the images",
                "you average the noisy images before you take one gradient; average gradients.",
                lambda score, x, noise, level: gradient_of(score, x + level * _range(x) * noise.mean(0)),
            ),
        ),
        (
            "A loop over the samples: a noisy copy, its gradient, a mean.",
            "sigma = level * (x.max() - x.min())",
            "copy = (x + sigma * sample).requires_grad_(); torch.autograd.grad(score(copy).sum(), copy)[0]",
        ),
    ),
    Exercise(
        "error_gradient",
        "Write error_gradient(model, x, clean): the gradient, by x, of the sum of squared errors of model(x) to clean.",
        _denoiser_and_pair,
        error_gradient,
        (
            Mistake(
                "mean for sum",
                "you take the gradient of the mean error; asked is the sum.",
                lambda model, x, clean: error_gradient(model, x, clean) / x.numel(),
            ),
            Mistake(
                "mean over the images",
                "you divide by the number of images; asked is the sum over all of them.",
                lambda model, x, clean: error_gradient(model, x, clean) / len(x),
            ),
            Mistake(
                "gradient of the outputs",
                "you take the gradient of the outputs' sum; asked is that of the error.",
                lambda model, x, clean: gradient_of(model, x),
            ),
            Mistake(
                "the error itself",
                "you return 2 (f(x) - clean); it still has to go back through the network.",
                lambda model, x, clean: 2 * (model(x) - clean),
            ),
            Mistake(
                "sizes",
                "you take absolute values; asked is the signed gradient.",
                lambda model, x, clean: error_gradient(model, x, clean).abs(),
            ),
            Mistake(
                "error to the input",
                "you compare the output with the noisy image, and not with the clean one.",
                lambda model, x, clean: error_gradient(model, x, x),
            ),
            Mistake(
                "clean and noisy exchanged",
                "you put the clean image into the network, and compare with the noisy one.",
                lambda model, x, clean: error_gradient(model, clean, x),
            ),
            Mistake(
                "half the error",
                "your gradient is half as large: the factor 2 of the square is missing.",
                lambda model, x, clean: error_gradient(model, x, clean) / 2,
            ),
            Mistake(
                "absolute error",
                "you take the gradient of the absolute error; asked is the squared one.",
                lambda model, x, clean: gradient_of(lambda images: (model(images) - clean).abs().sum(), x),
            ),
        ),
        (
            "Which single number is differentiated?",
            "The sum of squares: (model(x) - clean).square().sum()",
            "x = x.clone().requires_grad_(); torch.autograd.grad(that number, x)[0]",
        ),
    ),
    Exercise(
        "kernel_at",
        "Write kernel_at(model, x, row, column): the filter that a denoiser applies at one pixel of a gray image (1, "
        "1, H, W): the gradient of that output by all inputs, with the shape of x.",
        _denoiser_and_pixel,
        kernel_at,
        (
            Mistake(
                "gradient of all outputs",
                "you differentiate the sum of all outputs; asked is one of them.",
                lambda model, x, row, column: gradient_of(model, x),
            ),
            Mistake(
                "row and column exchanged",
                "you exchange row and column; the row comes first.",
                lambda model, x, row, column: kernel_at(model, x, column, row),
            ),
            Mistake(
                "column of the Jacobian",
                "you ask what one *input* does to all outputs; asked is what all inputs do to one output.",
                lambda model, x, row, column: torch.autograd.functional.jacobian(model, x)[0, 0, :, :, 0, 0, row, column][
                    None, None
                ],
            ),
            Mistake(
                "sizes",
                "you take absolute values; a filter has signs.",
                lambda model, x, row, column: kernel_at(model, x, row, column).abs(),
            ),
            Mistake(
                "normalised",
                "you divide by the sum of the weights; asked are the weights themselves.",
                lambda model, x, row, column: (lambda kernel: kernel / kernel.sum())(kernel_at(model, x, row, column)),
            ),
            Mistake(
                "response to an impulse",
                "you brighten one input and look at all outputs; asked is what small changes of all inputs do to one.",
                lambda model, x, row, column: model(x + _impulse(x, row, column)) - model(x),
            ),
            Mistake(
                "picture of an impulse",
                "you denoise a picture with a single bright pixel, and x has no part in it; asked are the weights at x.",
                lambda model, x, row, column: model(_impulse(x, row, column)),
            ),
            Mistake("one number", "you return the weight of the pixel itself; asked are those of all inputs.", own_influence),
        ),
        (
            "The score is one number of the output.",
            "model(x)[0, 0, row, column]",
            "Its gradient by x has the shape of x: torch.autograd.grad(score, x)[0].",
        ),
        tolerance=5e-3,  # differences in place of derivatives are right, too
    ),
    Exercise(
        "own_influence",
        "Write own_influence(model, x, row, column): d f(x)[row, column] / d x[row, column], one number, for a gray "
        "image (1, 1, H, W).",
        _denoiser_and_odd_pixel,
        own_influence,
        (
            Mistake(
                "sum of all outputs",
                "you ask what the pixel does to all outputs together; asked is its own output.",
                lambda model, x, row, column: gradient_of(model, x)[0, 0, row, column],
            ),
            Mistake(
                "sum of the filter",
                "you add up the whole filter; asked is the weight of the pixel itself.",
                lambda model, x, row, column: kernel_at(model, x, row, column).sum(),
            ),
            Mistake("whole filter", "you return the whole filter; asked is one number.", kernel_at),
            Mistake(
                "row and column exchanged",
                "you exchange row and column; the row comes first.",
                lambda model, x, row, column: own_influence(model, x, column, row),
            ),
            Mistake(
                "output over input",
                "you divide the output by the input; asked is a derivative.",
                lambda model, x, row, column: model(x)[0, 0, row, column] / x[0, 0, row, column],
            ),
            Mistake(
                "largest weight",
                "you return the largest weight of the filter, wherever it is.",
                lambda model, x, row, column: kernel_at(model, x, row, column).abs().max(),
            ),
            Mistake(
                "size",
                "you take the absolute value; an output may also fall where its input rises.",
                lambda model, x, row, column: own_influence(model, x, row, column).abs(),
            ),
        ),
        (
            "One entry of the Jacobian's diagonal.",
            "Differentiate one output, and look at one input.",
            "torch.autograd.grad(model(x)[0, 0, row, column], x)[0][0, 0, row, column]",
        ),
        tolerance=3e-3,  # so is a difference here
    ),
)
