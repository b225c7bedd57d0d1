"""How far is a denoised image from the clean one: MSE, PSNR and SSIM.

This is the one place that says *which* PSNR. Two definitions are in use: the mean over images of each image's PSNR
(the papers' and this course's default), and the PSNR of the mean squared error pooled over all images. The first is
never smaller (Jensen's inequality). Name the one you quote.

`evaluate` measures quality and time as a reader would expect: clipped outputs, a named PSNR, and a clock that waits for the
device.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from .internal.checks import check_count, check_flag, check_images, check_number, check_output, check_same_shape, describe
from .internal.devices import device_of, evaluating, synchronize


def mse(a: Tensor, b: Tensor) -> float:
    """Mean squared error over all pixels of all images: mean (a - b)^2.

    Args:
        a, b: float tensors of one shape, (H, W), (C, H, W) or (N, C, H, W); values from -1e9 to 1e9.

    Returns:
        A number of at least 0, in squared image units.
    """
    a, b = _checked_pair(a, b)
    return float((a - b).square().double().mean())


def mse_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error of each image of a batch: (N, C, H, W) -> (N,), float64."""
    a, b = _checked_pair(a, b)
    if a.dim() != 4:
        raise ValueError(f"a and b must be batches of shape (N, C, H, W), but have the shape {tuple(a.shape)}.")
    return (a - b).square().double().mean(dim=(1, 2, 3))


def psnr(a: Tensor, b: Tensor, *, per_image: bool = True, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(data_range^2 / MSE).

    Nothing is clipped here: clip predictions to [0, 1] first, as `evaluate` does.

    Args:
        a, b: float tensors of one shape, (N, C, H, W) or one image.
        per_image: True for the mean of the images' PSNRs (the papers' number); False for the PSNR of the pooled MSE.
        data_range: greatest minus least possible value, 1 for images in [0, 1].

    Returns:
        dB; infinity where the images are equal.
    """
    peak = check_number(data_range, "data_range", 0, open_low=True, example=1.0)
    a, b = _checked_pair(a, b)
    if not check_flag(per_image, "per_image") or a.dim() < 4:
        error = mse(a, b)
        return 10 * math.log10(peak**2 / error) if error > 0 else math.inf
    return float((10 * torch.log10(peak**2 / mse_per_image(a, b))).mean())


def ssim(a: Tensor, b: Tensor, *, data_range: float = 1.0) -> float:
    """Mean structural similarity (Wang et al., 2004): Gaussian window of 11x11, sigma 1.5, K = (0.01, 0.03).

    Compares local means, contrasts and correlations, so it notices blur that MSE forgives. Averaged over all windows
    that lie inside the image, all channels and all images; equals scikit-image's `structural_similarity` with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Args:
        a, b: float tensors of one shape, (N, C, H, W) or one image, at least 11x11 pixels.
        data_range: greatest minus least possible value, 1 for images in [0, 1].

    Returns:
        A number from -1 to 1; 1 where the images are equal.
    """
    peak = check_number(data_range, "data_range", 0, open_low=True, example=1.0)
    a, b = _checked_pair(a, b)
    height, width = a.shape[-2:]
    if min(height, width) < 11:
        raise ValueError(f"ssim needs images of at least 11 x 11 pixels, but they are {height} x {width}.")
    offset = torch.arange(-5, 6, dtype=torch.float64, device=a.device)
    window = torch.exp(-offset.square() / (2 * 1.5**2))
    window = window / window.sum()

    def blur(image: Tensor) -> Tensor:
        return conv2d(conv2d(image, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    total, planes = 0.0, a.numel() // (height * width)
    # Float64, since variances are small differences; a thousand planes at a time bound the memory.
    for x, y in zip(a.reshape(-1, 1, height, width).split(1000), b.reshape(-1, 1, height, width).split(1000), strict=True):
        x, y = x.double(), y.double()
        mean_x, mean_y = blur(x), blur(y)
        var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
        covariance = blur(x * y) - mean_x * mean_y
        c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
        total += float(similarity.mean(dim=(1, 2, 3)).sum())
    return total / planes


def _checked_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both images, in float32 at least: in float16 the square of 256 is infinite."""
    check_images(a, "a", value_range=None)
    check_images(b, "b", value_range=None)
    check_same_shape(a, b, "a", "b")
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)


@dataclass(frozen=True)
class Scores:
    """Quality of a denoiser on a set of pairs."""

    mse: float
    """Mean squared error of the raw output, which may leave [0, 1]: the first paper's number."""
    mse_clipped: float
    """Mean squared error of the output clipped to [0, 1]."""
    psnr: float
    """Mean of the images' PSNRs in dB, on clipped outputs: the second paper's number."""
    psnr_pooled: float
    """PSNR in dB of the pooled `mse_clipped`."""
    ssim: float
    """Mean structural similarity, on clipped outputs."""
    seconds_per_image: float
    """Seconds for one image, in batches, after a warm-up and with the device synchronised."""
    images: int
    """Number of pairs."""


def predict(model: nn.Module, noisy: Tensor, *, batch_size: int = 500) -> Tensor:
    """Denoise a batch: (N, C, H, W) -> the model's raw outputs, in evaluation mode, without gradients, `batch_size` at a time.

    The outputs may leave [0, 1]; write `.clamp(0, 1)` to look at them. They come back on the device of `noisy`.
    """
    check_images(noisy, "noisy", value_range=None, dims=4)
    check_count(batch_size, "batch_size", example=500)
    device = device_of(model)
    with evaluating(model), torch.inference_mode():
        outputs = [_output_for(part, model(part.to(device))).to(noisy.device) for part in noisy.split(batch_size)]
    return torch.cat(outputs).clone()


def evaluate(model: nn.Module, noisy: Tensor, clean: Tensor, *, batch_size: int = 500) -> Scores:
    """Measure a denoiser on pairs: quality, and time per image.

    Args:
        model: a network (N, C, H, W) -> (N, C, H, W).
        noisy, clean: float32, (N, C, H, W); the clean images in [0, 1].
        batch_size: images in one forward pass.

    Returns:
        `Scores`. The time is that of the forward passes alone: after one warm-up pass, the device synchronised before each
        look at the clock.
    """
    check_images(noisy, "noisy", value_range=None, dims=4)
    check_images(clean, "clean", dims=4)
    check_same_shape(noisy, clean, "noisy", "clean")
    check_count(batch_size, "batch_size", example=500)
    device = device_of(model)
    batches = [part.to(device) for part in noisy.split(batch_size)]
    with evaluating(model), torch.inference_mode():
        _output_for(batches[0], model(batches[0]))  # warm-up: allocations, choice of kernels
        synchronize(device)
        start = time.perf_counter()
        outputs = [model(batch) for batch in batches]
        synchronize(device)
        seconds = time.perf_counter() - start
    output = torch.cat(outputs).to(clean.device, torch.float32)
    check_images(check_output(output, clean, "clean"), "the model's output", value_range=None)
    clipped = output.clamp(0, 1)
    return Scores(
        mse=mse(output, clean),
        mse_clipped=mse(clipped, clean),
        psnr=psnr(clipped, clean),
        psnr_pooled=psnr(clipped, clean, per_image=False),
        ssim=ssim(clipped, clean),
        seconds_per_image=seconds / len(noisy),
        images=len(noisy),
    )


def _output_for(part: Tensor, output: Tensor) -> Tensor:
    """What a model returned for some images, if it is one output for each."""
    if not isinstance(output, Tensor) or not output.dim() or len(output) != len(part):
        raise TypeError(f"model must return one output for each of {len(part)} images, but returned {describe(output)}.")
    return output
