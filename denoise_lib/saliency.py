"""What a denoiser looks at: SmoothGrad, and three gradients of a network that maps images to images.

A classifier has one score an image, and SmoothGrad (Smilkov et al., 2017) averages the score's gradient over noisy copies of
the image. A denoiser has thousands of outputs, and "its gradient" needs a choice: the gradient of its error
(`loss_gradient`), of the sum of all outputs or of one output (`output_gradient`), or of each output by its own input
(`self_influence`). They answer different questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from .validation import check_choice, check_count, check_generator, check_images, check_number, check_same_shape

Score = Callable[..., Tensor]
REDUCTIONS = ("mean", "abs", "square")


class Smoothed(NamedTuple):
    """A SmoothGrad map, and how far it may be from the map of infinitely many samples."""

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
        batch_size: noisy copies in one forward and backward pass; None takes 256. It bounds the memory, and does not
            change the result but for rounding.

    Returns:
        The map, shape and device of x.

    Raises:
        TypeError, ValueError: a bad argument, or a score that does not return one number an image.
    """
    return smoothgrad_with_error(
        score, x, n_samples=n_samples, noise_level=noise_level, reduce=reduce, context=context, generator=generator,
        batch_size=batch_size,
    ).mean  # fmt: skip


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
) -> Smoothed:
    """`smoothgrad`, and the standard error of each value of the map; infinite where there is one sample."""
    check_images(x, "x", value_range=None, min_dim=4)
    check_count(n_samples, "n_samples", example=50)
    check_number(noise_level, "noise_level", 0, example=0.15)
    check_choice(reduce, "reduce", REDUCTIONS)
    check_generator(generator, x.device)
    size = 256 if batch_size is None else check_count(batch_size, "batch_size", example=64)
    if context is not None and (not isinstance(context, Tensor) or len(context) != len(x)):
        raise ValueError(f"context must be a tensor with one row for each of the {len(x)} images.")
    x = x.detach()
    spread = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    sigma = noise_level * spread.view(-1, 1, 1, 1)
    total, squares = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(x, dtype=torch.float64)
    # Image by image, and each copy's noise by itself: so the same noise is drawn for every batch size.
    owner = torch.arange(len(x), device=x.device).repeat_interleave(n_samples)
    for rows in owner.split(size):
        noise = torch.stack([torch.randn(x.shape[1:], generator=generator, device=x.device, dtype=x.dtype) for _ in rows])
        gradient = _gradient(score, x[rows] + sigma[rows] * noise, None if context is None else context[rows]).double()
        value = gradient.abs() if reduce == "abs" else gradient.square() if reduce == "square" else gradient
        total.index_add_(0, rows, value)
        squares.index_add_(0, rows, value.square())
    mean = total / n_samples
    variance = (squares / n_samples - mean.square()).clamp_min(0) / max(n_samples - 1, 1)
    error = variance.sqrt() if n_samples > 1 else torch.full_like(variance, torch.inf)
    return Smoothed(mean.to(x.dtype), error.to(x.dtype))


def squared_error(model: nn.Module) -> Score:
    """The score "sum of squared errors of an image" of a denoiser: (images, clean targets) -> (B,)."""
    return lambda images, clean: (model(images) - clean).square().flatten(1).sum(1)


def output_sum(model: nn.Module, pixel: tuple[int, int] | None = None) -> Score:
    """The score "sum of an image's outputs", over all of them or over the channels of one pixel (row, column)."""

    def score(images: Tensor) -> Tensor:
        output: Tensor = model(images)
        if pixel is not None:
            output = output[:, :, pixel[0], pixel[1]]
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
    check_images(x, "x", value_range=None, min_dim=4)
    check_images(target, "target", value_range=None, min_dim=4)
    check_same_shape(x, target, "x", "target")
    with _evaluating(model):
        return _gradient(squared_error(model), x.detach(), target)


def output_gradient(model: nn.Module, x: Tensor, pixel: tuple[int, int] | None = None) -> Tensor:
    """Gradient of the sum of an image's outputs, or of one output pixel (row, column): its receptive field.

    For one pixel this is the filter that the denoiser applies there: close to x, a network of rectified linear units *is* a
    linear filter, another one at each pixel and for each image.

    Returns:
        Shape of x.
    """
    check_images(x, "x", value_range=None, min_dim=4)
    if pixel is not None:
        row, column = pixel
        check_count(row, "the pixel's row", 0, example=16)
        check_count(column, "the pixel's column", 0, example=16)
        if row >= x.shape[-2] or column >= x.shape[-1]:
            raise ValueError(f"pixel {tuple(pixel)} is outside of images of {x.shape[-2]} x {x.shape[-1]} pixels.")
    with _evaluating(model):
        return _gradient(output_sum(model, pixel), x.detach())


def self_influence(
    model: nn.Module,
    x: Tensor,
    *,
    method: Literal["exact", "probes"] = "exact",
    probes: int = 64,
    generator: torch.Generator | None = None,
    batch_size: int = 256,
) -> Tensor:
    """How much each output depends on its own input: d f(x)[c, i, j] / d x[c, i, j], the diagonal of the Jacobian.

    Args:
        model: a denoiser.
        x: images, float (N, C, H, W).
        method: "exact" takes one backward pass for each of the C*H*W outputs; "probes" estimates it (Hutchinson): the mean of
            v * (J^T v) over random signs v, whose expectation is the diagonal.
        probes: number of random sign images v.
        generator: source of the signs, on the device of x.
        batch_size: outputs in one pass of "exact"; it bounds the memory.

    Returns:
        Shape of x.
    """
    check_images(x, "x", value_range=None, min_dim=4)
    check_choice(method, "method", ("exact", "probes"))
    check_count(probes, "probes", example=64)
    check_generator(generator, x.device)
    check_count(batch_size, "batch_size", example=256)
    x = x.detach()
    with _evaluating(model):
        if method == "probes":
            total = torch.zeros_like(x, dtype=torch.float64)
            for _ in range(probes):
                sign = torch.randint(0, 2, x.shape, generator=generator, device=x.device).to(x.dtype) * 2 - 1
                total += (sign * _pulled_back(model, x, sign)).double()
            return (total / probes).to(x.dtype)
        return torch.cat([_diagonal(model, image, batch_size) for image in x.split(1)])


def filters(model: nn.Module, x: Tensor, pixels: list[tuple[int, int]]) -> Tensor:
    """The filter that a denoiser applies at each of some pixels of one image: rows of its Jacobian.

    Args:
        model: a denoiser.
        x: one image, float (1, C, H, W).
        pixels: places (row, column) in the output.

    Returns:
        (len(pixels), C, H, W): the weight of each input pixel in the sum of the channels of that output pixel, divided by
        their number C.
    """
    check_images(x, "x", value_range=None, min_dim=4)
    if len(x) != 1 or not pixels:
        raise ValueError(f"filters takes one image and at least one pixel, but got {len(x)} images and {len(pixels)} pixels.")
    return torch.cat([output_gradient(model, x, pixel) for pixel in pixels]) / x.shape[1]


def _diagonal(model: nn.Module, image: Tensor, batch_size: int) -> Tensor:
    """The Jacobian's diagonal for one image (1, C, H, W): one-hot images are pulled back, `batch_size` at a time."""
    values = []
    for places in torch.arange(image.numel(), device=image.device).split(batch_size):
        one_hot = torch.zeros(len(places), image.numel(), dtype=image.dtype, device=image.device)
        one_hot.scatter_(1, places.view(-1, 1), 1)
        rows = _pulled_back(model, image.expand(len(places), -1, -1, -1), one_hot.view(-1, *image.shape[1:]))
        values.append(rows.flatten(1).gather(1, places.view(-1, 1)))
    return torch.cat(values).view_as(image)


def _pulled_back(model: nn.Module, x: Tensor, direction: Tensor) -> Tensor:
    """J^T v for each image: the gradient of the outputs' sum, weighted by v."""
    return _gradient(lambda images: (model(images) * direction).flatten(1).sum(1), x)


def _gradient(score: Score, x: Tensor, context: Tensor | None = None) -> Tensor:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
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


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to what it was."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module such as TNet(), but is a {type(model).__name__}.")
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
