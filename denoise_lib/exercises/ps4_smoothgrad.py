"""Exercises of problem set 4, and the wrong answers that people give: derivatives by hand, and what maps are good for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from .exercise import Exercise, Mistake

Score = Callable[[Tensor], Tensor]


def central_difference(score: Score, x: Tensor, row: int, column: int, step: float) -> float:
    above, below = x.clone(), x.clone()
    above[0, 0, row, column] += step
    below[0, 0, row, column] -= step
    return float(score(above) - score(below)) / (2 * step)


def response_to(model: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    response: Tensor = torch.autograd.functional.jvp(model, x, direction)[1]
    return response


def sure(noisy: Tensor, denoised: Tensor, divergence: float, sigma: float) -> float:
    changed = float((denoised - noisy).square().mean())
    return changed - sigma**2 + 2 * sigma**2 * divergence / noisy.numel()


def delete_salient(x: Tensor, saliency: Tensor, count: int, fill: float) -> Tensor:
    salient = saliency.abs().flatten().topk(count).indices
    pixels = x.clone().flatten()
    pixels[salient] = fill
    return pixels.view_as(x)


def in_standard_errors(gradients: Tensor) -> Tensor:
    error = gradients.std(dim=0) / math.sqrt(len(gradients))
    return gradients.mean(dim=0) / error


def _score_and_pixel(generator: Generator) -> tuple[Any, ...]:
    row, column = torch.randperm(6, generator=generator)[:2].tolist()  # two places that differ
    signs = 1 - 2 * torch.randint(2, (1, 1, 6, 6), generator=generator)
    weights = signs * (0.5 + torch.rand(1, 1, 6, 6, generator=generator))
    step = 0.12 + 0.04 * float(torch.rand((), generator=generator))
    x = torch.rand(1, 1, 6, 6, generator=generator)
    # Of two seeds in a row, one has a positive slope at a pixel near 1, and one a negative slope at a pixel near 0.
    even = generator.initial_seed() % 2 == 0
    weights[0, 0, row, column] = weights[0, 0, row, column].abs() * (1 if even else -1)
    x[0, 0, row, column] = x[0, 0, row, column] / 25 + (0.95 if even else 0.05)

    def score(images: Tensor) -> Tensor:
        return (weights * torch.exp(4 * images.double())).sum((1, 2, 3))  # the slope changes within one step

    return score, x, row, column, step


def _network_and_direction(generator: Generator) -> tuple[Any, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 1, 3, padding=1)).requires_grad_(False)
        for weights in model.parameters():
            weights.mul_(2)
    return model, torch.rand(2, 1, 6, 5, generator=generator), torch.randn(2, 1, 6, 5, generator=generator)


def _denoised_and_divergence(generator: Generator) -> tuple[Any, ...]:
    sigma = 0.2 + 0.2 * float(torch.rand((), generator=generator))
    noisy = torch.rand(1, 1, 6, 5, generator=generator) + sigma * torch.randn(1, 1, 6, 5, generator=generator)
    divergence = 3 + 3 * float(torch.rand((), generator=generator))
    change = torch.randn(1, 1, 6, 5, generator=generator)
    if generator.initial_seed() % 2:
        return noisy, noisy + 0.05 * change, divergence, sigma  # the estimate is below 0
    return noisy, 0.3 * noisy + 0.3 + 0.2 * change, divergence + 6, sigma


def _image_and_map(generator: Generator) -> tuple[Any, ...]:
    ranks = torch.randperm(30, generator=generator).view(1, 1, 6, 5)
    saliency = (ranks + 1) / 10 * (1 - 2 * (ranks % 2))  # no two of one size, and signs that alternate with it
    count = int(torch.randint(6, 12, (), generator=generator))
    fill = 0.3 + 0.4 * float(torch.rand((), generator=generator))
    return torch.rand(1, 1, 6, 5, generator=generator), saliency, count, fill


def _sampled_gradients(generator: Generator) -> tuple[Any, ...]:
    samples = 4 + generator.initial_seed() % 3
    return (torch.randn(2, 4, 3, generator=generator) + torch.randn(samples, 2, 4, 3, generator=generator),)


def _score_at(score: Score, x: Tensor, row: int, column: int, step: float) -> float:
    moved = x.clone()
    moved[0, 0, row, column] += step
    return float(score(moved))


def _gradient(score: Score, x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Of the sum of all scores, each with its weight."""
    x = x.clone().requires_grad_()
    scores = score(x)
    return torch.autograd.grad(scores, x, torch.ones_like(scores) if weights is None else weights)[0]


def _filled(x: Tensor, order: Tensor, count: int, fill: float) -> Tensor:
    """x with `fill` at the `count` pixels that are largest in `order`."""
    return delete_salient(x, order - order.min(), count, fill)


def _where_salient(x: Tensor, saliency: Tensor, count: int, values: Tensor | float) -> Tensor:
    salient = _filled(torch.zeros_like(x), saliency.abs(), count, 1.0) > 0
    return torch.where(salient, values, x)


SALIENCY_ASSIGNMENT = (
    Exercise(
        "central_difference",
        "Write central_difference(score, x, row, column, step): score(x) with pixel x[0, 0, row, column] alone raised by "
        "step, minus that with it lowered by step, over their distance, as a float. No clipping. score: (1, 1, H, W) -> (1,).",
        _score_and_pixel,
        central_difference,
        (
            Mistake(
                "forward difference",
                "you compare the pixel raised with the image as it is; asked are both sides.",
                lambda score, x, row, column, step: (_score_at(score, x, row, column, step) - float(score(x))) / step,
            ),
            Mistake(
                "backward difference",
                "you compare the image as it is with the pixel lowered; asked are both sides.",
                lambda score, x, row, column, step: (float(score(x)) - _score_at(score, x, row, column, -step)) / step,
            ),
            Mistake(
                "divides by one step",
                "you divide by one step; the two images are further apart.",
                lambda score, x, row, column, step: 2 * central_difference(score, x, row, column, step),
            ),
            Mistake(
                "one side over two steps",
                "you move the pixel to one side alone, but divide by two steps.",
                lambda score, x, row, column, step: (_score_at(score, x, row, column, step) - float(score(x))) / (2 * step),
            ),
            Mistake(
                "does not divide",
                "you return the difference of the scores; a derivative divides it by the distance.",
                lambda score, x, row, column, step: 2 * step * central_difference(score, x, row, column, step),
            ),
            Mistake(
                "multiplies by step",
                "you halve the difference and multiply by step; divide by it.",
                lambda score, x, row, column, step: step**2 * central_difference(score, x, row, column, step),
            ),
            Mistake(
                "half steps",
                "you move the pixel by half a step to each side; asked is a whole one.",
                lambda score, x, row, column, step: central_difference(score, x, row, column, step / 2),
            ),
            Mistake(
                "clips",
                "you clip the moved image, so that the pixel does not move as far as you divide by.",
                lambda score, x, row, column, step: central_difference(
                    lambda moved: score(moved.clamp(0, 1)), x, row, column, step
                ),
            ),
            Mistake(
                "the whole image moves",
                "you raise and lower the whole image; move that pixel alone.",
                lambda score, x, row, column, step: float(score(x + step) - score(x - step)) / (2 * step),
            ),
            Mistake(
                "sign",
                "your sign is wrong: subtract the score below from the score above.",
                lambda score, x, row, column, step: -central_difference(score, x, row, column, step),
            ),
            Mistake(
                "size",
                "you take the size of the derivative; keep its sign.",
                lambda score, x, row, column, step: abs(central_difference(score, x, row, column, step)),
            ),
            Mistake(
                "row and column exchanged",
                "you exchange row and column; the row comes first.",
                lambda score, x, row, column, step: central_difference(score, x, column, row, step),
            ),
            Mistake(
                "the same image twice",
                "your difference is 0: both scores are of the same image; move the pixel in copies of its own.",
                lambda score, x, row, column, step: 0.0,
            ),
            Mistake(
                "the derivative itself",
                "yours is the derivative itself, as of autograd or a tiny step; asked is the difference over the given step.",
                lambda score, x, row, column, step: float(_gradient(score, x)[0, 0, row, column]),
            ),
        ),
        (
            "Two images that differ in one pixel, and their two scores.",
            "x.clone() makes a copy; [0, 0, row, column] += step moves its pixel.",
            "(score(above) - score(below)) / (2 * step), as a float",
        ),
        tolerance=2e-4,
        graded=True,
    ),
    Exercise(
        "response_to",
        "Write response_to(model, x, direction): the Jacobian of model at x times direction: how fast model's outputs change "
        "when x moves along direction, which is not to be normalised. Exact, with signs, in the shape of x.",
        _network_and_direction,
        response_to,
        (
            Mistake(
                "direction times Jacobian",
                "you multiply from the other side: that is how the sum of outputs, weighted with direction, depends on x.",
                lambda model, x, direction: _gradient(model, x, direction),
            ),
            Mistake(
                "output for the direction",
                "you give the direction to the network as an image; it is a change of x.",
                lambda model, x, direction: model(direction),
            ),
            Mistake(
                "a whole step",
                "you subtract the outputs at x + direction and x: over a whole step the network is not linear.",
                lambda model, x, direction: model(x + direction) - model(x),
            ),
            Mistake(
                "a whole step to both sides",
                "you subtract the outputs a whole step to each side: over so long a way the network is not linear.",
                lambda model, x, direction: (model(x + direction) - model(x - direction)) / 2,
            ),
            Mistake(
                "output a step away",
                "you return the output at x + direction; asked is how the output changes on the way, and not where it arrives.",
                lambda model, x, direction: model(x + direction),
            ),
            Mistake(
                "gradient times direction",
                "you multiply the gradient of the outputs' sum with direction, pixel by pixel: that says what each input does "
                "to all outputs.",
                lambda model, x, direction: _gradient(model, x) * direction,
            ),
            Mistake(
                "one number",
                "you return one number, the change of all outputs together; asked is that of each.",
                lambda model, x, direction: (_gradient(model, x) * direction).sum(),
            ),
            Mistake(
                "size",
                "you take absolute values; an output may fall, too.",
                lambda model, x, direction: response_to(model, x, direction).abs(),
            ),
            Mistake(
                "normalised",
                "you divide by the length of the direction; a direction twice as long has twice the response.",
                lambda model, x, direction: response_to(model, x, direction / direction.norm()),
            ),
            Mistake(
                "the output as well",
                "you return the output at x plus its change; asked is the change.",
                lambda model, x, direction: model(x) + response_to(model, x, direction),
            ),
            Mistake(
                "the output alone",
                "you return the output at x; asked is how it changes.",
                lambda model, x, direction: model(x),
            ),
            Mistake(
                "response of the residual",
                "yours is the response of model(x) - x; asked is that of model(x).",
                lambda model, x, direction: response_to(model, x, direction) - direction,
            ),
        ),
        (
            "torch.autograd.grad has one number for each input. Asked is one for each output: a Jacobian-vector product.",
            "torch.autograd.functional.jvp(model, x, direction) returns a tuple, and so does torch.func.jvp.",
            "Its first part is the output at x, its second the response.",
        ),
        tolerance=1e-3,
        cases=2,
        graded=True,
    ),
    Exercise(
        "sure",
        "Write sure(noisy, denoised, divergence, sigma): Stein's unbiased risk estimate of the mean squared error per pixel, "
        "a float. Images (1, 1, H, W), noise of deviation sigma; divergence: the sum of d denoised / d noisy over all pixels.",
        _denoised_and_divergence,
        sure,
        (
            Mistake(
                "forgets the noise of the input",
                "you compare with the noisy image, whose own noise has to be subtracted.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence, sigma) + sigma**2,
            ),
            Mistake(
                "adds the noise of the input",
                "you add the variance of the noise; the difference to the noisy image contains it already.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence, sigma) + 2 * sigma**2,
            ),
            Mistake(
                "factor 2",
                "the factor 2 before the divergence is missing: it comes from the mixed term of a square.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence / 2, sigma),
            ),
            Mistake(
                "standard deviation for variance",
                "you take sigma where its square belongs, in both terms.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence, math.sqrt(sigma)),
            ),
            Mistake(
                "standard deviation with the divergence",
                "you multiply the divergence with sigma; the variance belongs there.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence / sigma, sigma),
            ),
            Mistake(
                "subtracts the standard deviation",
                "you subtract sigma; the variance has to be subtracted.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence, sigma) + sigma**2 - sigma,
            ),
            Mistake(
                "divergence of the whole image",
                "your divergence is that of the whole image, while the other terms are per pixel.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, divergence * noisy.numel(), sigma),
            ),
            Mistake(
                "sum for mean",
                "you add up the squared differences; take their mean, for the other terms are per pixel.",
                lambda noisy, denoised, divergence, sigma: (
                    sure(noisy, denoised, divergence, sigma) + (noisy.numel() - 1) * float((denoised - noisy).square().mean())
                ),
            ),
            Mistake(
                "of the whole image",
                "your estimate is that of the squared error of the whole image; asked is that of one pixel.",
                lambda noisy, denoised, divergence, sigma: noisy.numel() * sure(noisy, denoised, divergence, sigma),
            ),
            Mistake(
                "sign of the divergence",
                "you subtract the divergence; a denoiser that follows the noise has a larger error.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, -divergence, sigma),
            ),
            Mistake(
                "forgets the divergence",
                "your estimate lacks the divergence; without it, a denoiser that does nothing seems the best.",
                lambda noisy, denoised, divergence, sigma: sure(noisy, denoised, 0.0, sigma),
            ),
            Mistake(
                "cuts at 0",
                "you cut the estimate at 0; an error is never below, but its estimate may be, or its mean is too large.",
                lambda noisy, denoised, divergence, sigma: max(0.0, sure(noisy, denoised, divergence, sigma)),
            ),
            Mistake(
                "absolute difference",
                "you take the size of the differences; asked are their squares.",
                lambda noisy, denoised, divergence, sigma: (
                    sure(noisy, noisy, divergence, sigma) + float((denoised - noisy).abs().mean())
                ),
            ),
        ),
        (
            "With y clean: denoised - noisy = (denoised - y) - (noisy - y). Square it; what are the means of the three terms?",
            "Squared error + variance of the noise - twice the mean of (denoised - y)(noisy - y); that mean is, after Stein, "
            "sigma squared times the divergence per pixel.",
            "mean((denoised - noisy)^2) - sigma^2 + 2 sigma^2 divergence / n, with n pixels",
        ),
        graded=True,
    ),
    Exercise(
        "delete_salient",
        "Write delete_salient(x, saliency, count, fill): a copy of x (1, 1, H, W) in which the count pixels of the largest "
        "size of saliency (same shape; its sign does not count) have the value fill; all others stay as they are.",
        _image_and_map,
        delete_salient,
        (
            Mistake(
                "largest with sign",
                "you take the largest values with their sign; pixels that speak against the score count as well.",
                lambda x, saliency, count, fill: _filled(x, saliency, count, fill),
            ),
            Mistake(
                "most negative",
                "you take the most negative values; asked are the largest sizes.",
                lambda x, saliency, count, fill: _filled(x, -saliency, count, fill),
            ),
            Mistake(
                "least salient",
                "you delete the pixels with the smallest sizes of saliency; asked are the largest.",
                lambda x, saliency, count, fill: _filled(x, -saliency.abs(), count, fill),
            ),
            Mistake(
                "keeps the salient",
                "you keep the salient pixels and fill all the others; it is the other way round.",
                lambda x, saliency, count, fill: _filled(x, -saliency.abs(), x.numel() - count, fill),
            ),
            Mistake(
                "one too many",
                "you delete one pixel more than count.",
                lambda x, saliency, count, fill: _filled(x, saliency.abs(), count + 1, fill),
            ),
            Mistake(
                "one too few",
                "you delete one pixel less than count.",
                lambda x, saliency, count, fill: _filled(x, saliency.abs(), count - 1, fill),
            ),
            Mistake(
                "sets to zero",
                "you set the pixels to 0; asked is fill.",
                lambda x, saliency, count, fill: delete_salient(x, saliency, count, 0.0),
            ),
            Mistake(
                "multiplies by fill",
                "you multiply the pixels by fill; they have to become fill.",
                lambda x, saliency, count, fill: _where_salient(x, saliency, count, fill * x),
            ),
            Mistake(
                "adds fill",
                "you add fill to the pixels; they have to become fill.",
                lambda x, saliency, count, fill: _where_salient(x, saliency, count, fill + x),
            ),
            Mistake(
                "brightest pixels",
                "you delete the brightest pixels of the image; it is the map that says which.",
                lambda x, saliency, count, fill: _filled(x, x, count, fill),
            ),
            Mistake(
                "fills the map",
                "you fill the map; asked is the image.",
                lambda x, saliency, count, fill: delete_salient(saliency, saliency, count, fill),
            ),
            Mistake(
                "fills all",
                "you fill the whole image.",
                lambda x, saliency, count, fill: torch.full_like(x, fill),
            ),
            Mistake(
                "fills nothing",
                "your result is x itself: nothing is deleted in what you return.",
                lambda x, saliency, count, fill: x.clone(),
            ),
        ),
        (
            "Which pixels? What are their places, if the map is one long row?",
            "saliency.abs().flatten().topk(count).indices",
            "pixels = x.clone().flatten(); pixels at these indices become fill; then the shape of x again.",
        ),
        graded=True,
    ),
    Exercise(
        "in_standard_errors",
        "Write in_standard_errors(gradients): gradients (K, C, H, W) of K noisy samples. Return, for each pixel and with its "
        "sign, their mean over the standard error of that mean (standard deviation with K - 1, over root K), (C, H, W).",
        _sampled_gradients,
        in_standard_errors,
        (
            Mistake(
                "standard deviation for standard error",
                "you divide by the standard deviation of one sample; the mean of K is more certain.",
                lambda gradients: gradients.mean(0) / gradients.std(0),
            ),
            Mistake(
                "variance",
                "you divide by the variance over root K; its root belongs there.",
                lambda gradients: gradients.mean(0) / (gradients.var(0) / len(gradients) ** 0.5),
            ),
            Mistake(
                "variance of the mean",
                "you divide by the variance of the mean; the standard error is its root.",
                lambda gradients: gradients.mean(0) / (gradients.var(0) / len(gradients)),
            ),
            Mistake(
                "plain variance",
                "you divide by the variance of one sample; take its root, and mind how many samples there are.",
                lambda gradients: gradients.mean(0) / gradients.var(0),
            ),
            Mistake(
                "K for its root",
                "you divide the standard deviation by K; the standard error falls with the root of K.",
                lambda gradients: len(gradients) * gradients.mean(0) / gradients.std(0),
            ),
            Mistake(
                "root K on the wrong side",
                "you make the error of the mean larger by root K; the more samples, the smaller it is.",
                lambda gradients: gradients.mean(0) / (gradients.std(0) * len(gradients) ** 0.5),
            ),
            Mistake(
                "deviation with K",
                "your standard deviation divides by K; asked is K - 1, which makes up for the mean that is fitted.",
                lambda gradients: gradients.mean(0) / gradients.std(0, correction=0) * len(gradients) ** 0.5,
            ),
            Mistake(
                "root of K - 1",
                "you divide the standard deviation by the root of K - 1; the K - 1 is in the deviation already.",
                lambda gradients: gradients.mean(0) / gradients.std(0) * (len(gradients) - 1) ** 0.5,
            ),
            Mistake(
                "mean of sizes",
                "you average the sizes of the gradients, and so add up what cancels; average the gradients.",
                lambda gradients: gradients.abs().mean(0) / gradients.std(0) * len(gradients) ** 0.5,
            ),
            Mistake(
                "size of the mean",
                "you take the size of the result; keep its sign.",
                lambda gradients: in_standard_errors(gradients).abs(),
            ),
            Mistake(
                "sum for mean",
                "you add the gradients up; take their mean.",
                lambda gradients: gradients.sum(0) / gradients.std(0) * len(gradients) ** 0.5,
            ),
            Mistake(
                "the mean alone",
                "you return the mean alone; say how many of its standard errors that is.",
                lambda gradients: gradients.mean(0),
            ),
            Mistake(
                "the standard error alone",
                "you return the standard error; divide the mean by it.",
                lambda gradients: gradients.std(0) / len(gradients) ** 0.5,
            ),
            Mistake(
                "upside down",
                "you divide the standard error by the mean; it is the other way round.",
                lambda gradients: 1 / in_standard_errors(gradients),
            ),
            Mistake(
                "root of the mean square",
                "you take the root of the mean square for the deviation; subtract the mean before you square.",
                lambda gradients: gradients.mean(0) / gradients.square().mean(0).sqrt() * len(gradients) ** 0.5,
            ),
            Mistake(
                "over the channels",
                "you take mean and deviation over the channels; the samples are dimension 0.",
                lambda gradients: in_standard_errors(gradients.transpose(0, 1)),
            ),
            Mistake(
                "one error for all pixels",
                "you take one standard deviation of all numbers together; each pixel has its own.",
                lambda gradients: gradients.mean(0) / gradients.std() * len(gradients) ** 0.5,
            ),
            Mistake(
                "spread over the pixels",
                "you divide the mean by how much it differs from pixel to pixel; asked is how much the samples differ.",
                lambda gradients: gradients.mean(0) / gradients.mean(0).std(),
            ),
        ),
        (
            "How far would the mean move, were the samples drawn anew?",
            "By sd / sqrt(K): dimension 0 for both, mean and standard deviation.",
            "gradients.mean(0) / (gradients.std(0) / math.sqrt(len(gradients)))",
        ),
        graded=True,
    ),
)
