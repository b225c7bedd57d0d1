"""What a denoiser looks at: SmoothGrad, and three gradients of a network that maps images to images.

A classifier has one score an image, and SmoothGrad (Smilkov et al., 2017) averages the score's gradient over noisy copies of
the image. A denoiser has thousands of outputs, and "its gradient" needs a choice: the gradient of its error
(`loss_gradient`), of the sum of all outputs or of one output (`output_gradient`), or of each output by its own input
(`self_sensitivity`). They answer different questions. `kernels` reads the same gradients as filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from .internal.checks import (
    FLOATS,
    check_choice,
    check_count,
    check_function,
    check_generator,
    check_images,
    check_model,
    check_number,
    check_output,
    check_pair,
    check_tensor,
    describe,
)
from .internal.devices import evaluating

Score = Callable[..., Tensor]
Place = tuple[int, int] | Tensor | None
REDUCTIONS = ("mean", "abs", "square")
MOST_SAMPLES = 10**6


class Estimate(NamedTuple):
    """A map that is a mean of random samples, and how far it may be from the mean of infinitely many."""

    mean: Tensor
    """The map, shape of x."""
    standard_error: Tensor
    """Standard error of each of its values: the deviation over the samples, divided by the root of their number."""


def smoothgrad(
    score: Score,
    x: Tensor,
    *,
    n_samples: int = 50,
    noise_level: float = 0.15,
    reduce: str = "mean",
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Mean gradient of a score over noisy copies of each image: (1/n) sum_k dS/dx (x + N(0, sigma^2)).

    Args:
        score: a function (B, C, H, W) -> (B,), one number an image, each of its own image alone.
        x: images, float (N, C, H, W).
        n_samples: noisy copies n of each image; about 50 are usual.
        noise_level: sigma as a fraction of each image's own range, max - min; 0.1 to 0.2 are usual, 0 is the plain gradient.
        reduce: "mean" of the gradients as in the paper, of their absolute values ("abs"), or of their squares ("square").
        context: where the score needs more than the image, such as its clean target: a tensor with one row an image, whose
            rows `score(images, rows)` gets as its second argument.
        generator: source of the noise, on the device of x; None uses torch's global generator.
        batch_size: noisy copies in one forward and backward pass; None takes 64. It bounds the memory, and does not
            change the result but for rounding.

    Returns:
        The map, shape and device of x.

    Raises:
        TypeError, ValueError: a bad argument, or a score that does not return one number an image.
    """
    check_count(n_samples, "n_samples", high=MOST_SAMPLES, example=50)
    total = torch.zeros_like(_checked_images(x), dtype=torch.float64)
    for owner, value in _noisy_gradients(score, x, n_samples, noise_level, reduce, context, generator, batch_size):
        total.index_add_(0, owner, value.double())
    return (total / n_samples).to(x.dtype)


def smoothgrad_with_error(
    score: Score,
    x: Tensor,
    *,
    n_samples: int = 50,
    noise_level: float = 0.15,
    reduce: str = "mean",
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
) -> Estimate:
    """`smoothgrad`, and the standard error of each value of the map; infinite where there is one sample."""
    check_count(n_samples, "n_samples", high=MOST_SAMPLES, example=50)
    total, squares = (torch.zeros_like(_checked_images(x), dtype=torch.float64) for _ in range(2))
    for owner, value in _noisy_gradients(score, x, n_samples, noise_level, reduce, context, generator, batch_size):
        total.index_add_(0, owner, value.double())
        squares.index_add_(0, owner, value.double().square())
    return _estimate(total, squares, n_samples, x.dtype)


def smoothgrad_samples(
    score: Score,
    x: Tensor,
    *,
    n_samples: int = 50,
    noise_level: float = 0.15,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """The gradients that `smoothgrad` averages, one by one: (n_samples, C, H, W) for one image x, (1, C, H, W).

    Means of the first 1, 2, ..., n of them show how a map converges. Arguments as for `smoothgrad`.
    """
    check_count(n_samples, "n_samples", high=MOST_SAMPLES, example=50)
    if len(_checked_images(x)) != 1:
        raise ValueError(f"smoothgrad_samples takes one image, shape (1, C, H, W), but got {len(x)}; for example x[:1].")
    steps = _noisy_gradients(score, x, n_samples, noise_level, "mean", context, generator, batch_size)
    return torch.cat([value for _, value in steps])


def squared_error(model: nn.Module) -> Score:
    """The score "sum of squared errors of an image" of a denoiser: (images, clean targets) -> (B,)."""

    def score(images: Tensor, clean: Tensor) -> Tensor:
        output = check_output(check_model(model, images)(images), clean, "clean")
        return (output - clean).square().flatten(1).sum(1)

    return score


def output_sum(model: nn.Module, pixel: Place = None) -> Score:
    """The score "sum of an image's outputs": all of them, or all channels of one pixel (row, column), or of a region (mask)."""

    def score(images: Tensor) -> Tensor:
        output = check_tensor(check_model(model, images)(images), "the model's output")
        if output.dtype not in FLOATS or output.dim() < (2 if pixel is None else 4):
            wanted = "(N, ...)" if pixel is None else "(N, C, H, W)"
            raise ValueError(
                f"the model's output must hold float numbers of shape {wanted}, "
                f"but is {output.dtype} of shape {tuple(output.shape)}."
            )
        if isinstance(pixel, Tensor):
            if pixel.dtype != torch.bool or pixel.shape != output.shape[-2:]:
                raise ValueError(
                    f"a region must be a boolean mask of shape {tuple(output.shape[-2:])}, "
                    f"but is {pixel.dtype} of shape {tuple(pixel.shape)}; for example image[0, 0] > 0.5."
                )
            output = output * pixel.to(output)
        elif pixel is not None:
            row, column = check_pixel(pixel, output)
            output = output[:, :, row, column]
        return output.flatten(1).sum(1)

    return score


def loss_gradient(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Gradient of each image's sum of squared errors by its pixels: where would a change of the input change the error?

    Args:
        model: a denoiser.
        x, target: noisy and clean images, float (N, C, H, W).

    Returns:
        Shape of x.
    """
    check_pair(x, target, "x", "target")
    with evaluating(model):
        return _gradient(squared_error(model), x.detach(), target)


def output_gradient(model: nn.Module, x: Tensor, pixel: Place = None) -> Tensor:
    """Gradient of the sum of an image's outputs: of all, or of one pixel or region, whose receptive field it then shows.

    Args:
        model: a denoiser.
        x: images, float (N, C, H, W).
        pixel: (row, column) of one output pixel, a boolean mask (H, W) of a region, or None for all pixels.

    Returns:
        Shape of x.
    """
    _checked_images(x)
    with evaluating(model):
        return _gradient(output_sum(model, pixel), x.detach())


def self_sensitivity(
    model: nn.Module,
    x: Tensor,
    *,
    method: Literal["exact", "probes"] = "exact",
    colors: Literal["per_channel", "joint"] = "per_channel",
    probes: int = 64,
    generator: torch.Generator | None = None,
    batch_size: int = 256,
) -> Tensor:
    """How much each output depends on its own input: d f(x)[c, i, j] / d x[c, i, j], the diagonal of the Jacobian.

    Args:
        model: a denoiser.
        x: images, float (N, C, H, W).
        method: "exact" takes one backward pass for each output; "probes" estimates it (Hutchinson): the mean of
            v * (J^T v) over random signs v, whose expectation is the diagonal.
        colors: "per_channel" moves one channel of one pixel, and watches that channel. "joint" moves all channels of a pixel
            by the same amount, and watches their mean.
        probes: number of random sign images v.
        generator: source of the signs, on the device of x.
        batch_size: outputs in one pass of "exact"; it bounds the memory.

    Returns:
        Shape of x; (N, 1, H, W) for colors "joint".
    """
    if check_choice(method, "method", ("exact", "probes")) == "probes":
        return self_sensitivity_with_error(model, x, colors=colors, probes=probes, generator=generator).mean
    _checked_images(x)
    check_choice(colors, "colors", ("per_channel", "joint"))
    check_count(batch_size, "batch_size", example=256)
    with evaluating(model):
        return torch.cat([_diagonal(model, image, colors, batch_size) for image in x.detach().split(1)])


self_influence = self_sensitivity
"""Its name until 2026, kept for older notebooks; elsewhere "influence" means the influence of a training example."""


def self_sensitivity_with_error(
    model: nn.Module,
    x: Tensor,
    *,
    colors: Literal["per_channel", "joint"] = "per_channel",
    probes: int = 64,
    generator: torch.Generator | None = None,
) -> Estimate:
    """`self_sensitivity` by probes, and the standard error of each of its values; arguments as there."""
    _checked_images(x)
    check_choice(colors, "colors", ("per_channel", "joint"))
    check_count(probes, "probes", high=MOST_SAMPLES, example=64)
    check_generator(generator, x.device)
    shape = (len(x), 1, *x.shape[2:]) if colors == "joint" else x.shape
    total, squares = (torch.zeros(shape, dtype=torch.float64, device=x.device) for _ in range(2))
    with evaluating(model):
        for _ in range(probes):
            sign = torch.randint(0, 2, shape, generator=generator, device=x.device).to(x.dtype) * 2 - 1
            value = (sign * _pulled_back(model, x, sign.expand_as(x))).double()
            value = value.mean(1, keepdim=True) if colors == "joint" else value
            total += value
            squares += value.square()
    return _estimate(total, squares, probes, x.dtype)


def check_pixel(pixel: object, x: Tensor) -> tuple[int, int]:
    """Return `pixel` as (row, column), or raise a clear error unless it is a place in the images x, (N, C, H, W)."""
    if not isinstance(pixel, (tuple, list)) or len(pixel) != 2:
        raise TypeError(
            f"pixel must be (row, column), for example (16, 16), but is {describe(pixel)} "
            "(a region, where one is taken, must be a boolean torch mask)."
        )
    if check_tensor(x, "x").dim() < 2:
        raise ValueError(f"x must have the shape (N, C, H, W), but has {tuple(x.shape)}.")
    row = check_count(pixel[0], "the pixel's row", 0, example=16)
    column = check_count(pixel[1], "the pixel's column", 0, example=16)
    if row >= x.shape[-2] or column >= x.shape[-1]:
        raise ValueError(f"pixel {(row, column)} is outside of images of {x.shape[-2]} x {x.shape[-1]} pixels.")
    return row, column


def _checked_images(x: Tensor) -> Tensor:
    return check_images(x, "x", value_range=None, dims=4)


def _noisy_gradients(
    score: Score,
    x: Tensor,
    n_samples: int,
    noise_level: float,
    reduce: str,
    context: Tensor | None,
    generator: torch.Generator | None,
    batch_size: int | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Gradients at the noisy copies, reduced, a batch at a time: (index of the image each belongs to, values)."""
    check_number(noise_level, "noise_level", 0, example=0.15)
    check_choice(reduce, "reduce", REDUCTIONS)
    check_generator(generator, x.device)
    size = 64 if batch_size is None else check_count(batch_size, "batch_size", example=64)
    _check_score(score, context, len(x))
    x = x.detach()
    spread = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    sigma = noise_level * spread.view(-1, 1, 1, 1)
    # Image by image, and each copy's noise by itself: so the same noise is drawn for every batch size.
    for owner in torch.arange(len(x), device=x.device).repeat_interleave(n_samples).split(size):
        noisy = x[owner]
        if noise_level > 0:  # else nothing is drawn: the generator stays as it is
            noise = torch.stack([torch.randn(x.shape[1:], generator=generator, device=x.device, dtype=x.dtype) for _ in owner])
            noisy = noise.mul_(sigma[owner]).add_(noisy)
        gradient = _gradient(score, noisy, None if context is None else context[owner])
        yield owner, gradient.abs() if reduce == "abs" else gradient.square() if reduce == "square" else gradient


def _check_score(score: Score, context: Tensor | None, count: int) -> None:
    if context is not None and (not check_tensor(context, "context").dim() or len(context) != count):
        raise ValueError(f"context must be a tensor with one row for each of the {count} images.")
    check_function(score, "score", *(["images"] if context is None else ["images", "context"]))


def _estimate(total: Tensor, squares: Tensor, count: int, dtype: torch.dtype) -> Estimate:
    """Mean and standard error from the sums of values and of their squares, in float64 as their difference cancels."""
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0) / max(count - 1, 1)
    error = variance.sqrt() if count > 1 else torch.full_like(variance, torch.inf)
    return Estimate(mean.to(dtype), error.to(dtype))


def _diagonal(model: nn.Module, image: Tensor, colors: str, batch_size: int) -> Tensor:
    """The Jacobian's diagonal for one image (1, C, H, W): one-hot images are pulled back, `batch_size` at a time."""
    shape = image.shape[1:] if colors == "per_channel" else (1, *image.shape[2:])
    count, values = math.prod(shape), []
    for places in torch.arange(count, device=image.device).split(batch_size):
        one_hot = torch.zeros(len(places), count, dtype=image.dtype, device=image.device)
        one_hot.scatter_(1, places.view(-1, 1), 1)
        copies = image.expand(len(places), -1, -1, -1)
        rows = _pulled_back(model, copies, one_hot.view(-1, *shape).expand_as(copies))
        rows = rows.mean(1, keepdim=True) if colors == "joint" else rows
        values.append(rows.flatten(1).gather(1, places.view(-1, 1)))
    return torch.cat(values).view(1, *shape)


def _pulled_back(model: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    """J^T v for each image: the gradient of the outputs' sum, weighted by v."""

    def score(images: Tensor) -> Tensor:
        output = check_output(check_model(model, images)(images), images)
        return (output * direction).flatten(1).sum(1)

    return _gradient(score, x)


def _gradient(score: Score, x: Tensor, context: Tensor | None = None) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        x = _plain(x).requires_grad_()
        context = None if context is None else _plain(context)
        values = score(x) if context is None else score(x, context)
        if not isinstance(values, Tensor) or values.shape != (len(x),):
            shape = tuple(values.shape) if isinstance(values, Tensor) else f"a {type(values).__name__}"
            raise ValueError(
                f"score must return one number an image, shape ({len(x)},), but returned {shape}; "
                "for example lambda images: model(images).flatten(1).sum(1)."
            )
        if not values.requires_grad:
            raise ValueError("score does not depend on the image: it has no gradient.")
        (gradient,) = torch.autograd.grad(values.sum(), x, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


def _plain(x: Tensor) -> Tensor:
    """x without its own history; a copy of what was made in torch.inference_mode(), of which no gradients can be taken."""
    return x.clone() if x.is_inference() else x.detach()
