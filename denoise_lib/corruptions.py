"""The other corruptions: photon noise, missing pixels, impulses, and a photo's random pixels.

`Poisson`, `Bernoulli` and `Impulse` are the corruptions of Noise2Noise (Lehtinen et al., 2018). `PointSample` makes the second
paper's noisy pairs from photos.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .internal.checks import check_choice, check_count, check_flag, check_generator, check_images, check_number, describe
from .noise import Blend, Gaussian, Noise


@dataclass(frozen=True)
class Poisson(Noise):
    """Photon counting: Y = Poisson(peak * I) / peak. `peak` is the mean count of a white pixel; few photons, much noise.

    Unbiased, with the variance I / peak: bright pixels are noisier. Values may exceed 1.
    """

    peak: float
    unbiased = True

    def __post_init__(self) -> None:
        check_number(self.peak, "peak", 0, open_low=True, example=30)

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        check_images(image)
        check_generator(generator, image.device)
        return torch.poisson(self.peak * image, generator=generator) / self.peak

    def mean(self, image: Tensor) -> Tensor:
        return check_images(image)

    def variance(self, image: Tensor) -> Tensor:
        return check_images(image) / self.peak


@dataclass(frozen=True)
class Bernoulli(Noise):
    """Missing pixels: each pixel is set to `missing` in all channels with probability p, and kept otherwise.

    Biased as it stands, with the mean (1 - p) I: Lehtinen et al. (section 3.2) leave the missing pixels of the
    *target* out of the loss. `Bernoulli(p, missing=math.nan)` draws such targets, for `losses.masked_l2_loss`.
    """

    p: float
    missing: float = 0.0

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return math.isnan(self.missing)

    def __post_init__(self) -> None:
        check_number(self.p, "p", 0, 1, example=0.5)
        if not isinstance(self.missing, (int, float)) or self.missing == self.missing != 0:
            raise ValueError(f"missing must be 0 or NaN, but is {describe(self.missing)}; for example missing=math.nan.")

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        check_images(image)
        return torch.where(draw_per_pixel(image, generator) < self.p, self.missing, image)

    def mean(self, image: Tensor) -> Tensor:
        # A missing pixel has no value: what is kept is the image itself.
        return check_images(image) * (1 - self.p if self.missing == 0 else 1)

    def variance(self, image: Tensor) -> Tensor:
        return check_images(image).square() * (self.p * (1 - self.p) if self.missing == 0 else 0)


@dataclass(frozen=True)
class Impulse(Noise):
    """Impulses: with probability p a pixel is replaced, independently of what it was, and kept otherwise.

    The replacement is a uniformly random colour (the random-valued impulse of Lehtinen et al., section 3.2), or black
    or white in all channels with `salt_and_pepper`. Biased, with the mean (1 - p) I + p / 2.
    """

    p: float
    salt_and_pepper: bool = False

    def __post_init__(self) -> None:
        check_number(self.p, "p", 0, 1, example=0.3)
        check_flag(self.salt_and_pepper, "salt_and_pepper")

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        check_images(image)
        hit = draw_per_pixel(image, generator) < self.p
        if self.salt_and_pepper:
            replacement = (draw_per_pixel(image, generator) < 0.5).to(image.dtype).expand_as(image)
        else:
            replacement = torch.rand(image.shape, generator=generator, device=image.device, dtype=image.dtype)
        return torch.where(hit, replacement, image)

    def mean(self, image: Tensor) -> Tensor:
        return (1 - self.p) * check_images(image) + self.p / 2

    def variance(self, image: Tensor) -> Tensor:
        # Second moment of the replacement: 1/2 for a fair 0/1 pixel, 1/3 for a uniform one.
        second_moment = 1 / 2 if self.salt_and_pepper else 1 / 3
        mean_square = (1 - self.p) * check_images(image).square() + self.p * second_moment
        return mean_square - self.mean(image).square()


@dataclass(frozen=True)
class PointSample(Noise):
    """Stochastic point sampling: each noisy pixel is one random pixel of a cell of a larger image.

    (N, C, cell*H, cell*W) -> (N, C, H, W), the same place in all channels. The clean image is the mean of each cell.
    Unbiased, spatially white, strong at edges and absent in flat areas: the noise of the 32x32 photos of the second
    paper, from photos of 256 px with cells of 8.
    """

    cell: int = 8
    unbiased = True

    def __post_init__(self) -> None:
        check_count(self.cell, "cell", example=8)

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self._check_cells(image)
        check_generator(generator, image.device)
        count, channels, height, width = image.shape
        rows, columns = height // self.cell, width // self.cell
        place = torch.randint(self.cell**2, (count, 1, rows, columns), generator=generator, device=image.device)
        row = torch.arange(0, height, self.cell, device=image.device).view(-1, 1) + place // self.cell
        column = torch.arange(0, width, self.cell, device=image.device) + place % self.cell
        # Read only the chosen pixels: (N, C, cell*H * cell*W) -> (N, C, H * W).
        chosen = (row * width + column).flatten(2).expand(-1, channels, -1)
        return image.flatten(2).gather(2, chosen).view(count, channels, rows, columns)

    def clean(self, image: Tensor) -> Tensor:
        self._check_cells(image)
        return avg_pool2d(image, self.cell)

    def mean(self, image: Tensor) -> Tensor:
        return self.clean(image)

    def variance(self, image: Tensor) -> Tensor:
        # Two passes: E[x^2] - E[x]^2 would lose the small variances of flat cells in float32.
        residual = image - self.clean(image).repeat_interleave(self.cell, -2).repeat_interleave(self.cell, -1)
        return avg_pool2d(residual.square(), self.cell)

    def _check_cells(self, image: Tensor) -> None:
        check_images(image, dims=4)
        height, width = image.shape[-2:]
        if image.dim() != 4 or height % self.cell or width % self.cell:
            raise ValueError(
                f"PointSample(cell={self.cell}) needs a batch (N, C, H, W) whose height and width divide by {self.cell}, "
                f"but the shape is {tuple(image.shape)}; for example (8, 3, {32 * self.cell}, {32 * self.cell})."
            )


def parse_noise(text: str) -> Noise:
    """The noise model that a command line names: 'blend:0.25', 'gaussian:0.1', 'poisson:30', 'bernoulli:0.5', 'impulse:0.3'.

    'blend:0-0.5' draws a mu from 0 to 0.5 for each image.
    """
    if not isinstance(text, str):
        raise TypeError(f"noise must be a text, but is {describe(text)}; for example 'blend:0.25'.")
    kinds = {"blend": Blend, "gaussian": Gaussian, "poisson": Poisson, "bernoulli": Bernoulli, "impulse": Impulse}
    name, _, level = text.partition(":")
    check_choice(name, "noise", tuple(kinds))
    low, _, high = level.partition("-")
    is_range = name == "blend" and low and high and low[-1] not in "eE"  # '1e-3' and '-1' are numbers
    try:
        value = (float(low), float(high)) if is_range else float(level)
    except ValueError:
        raise ValueError(
            f"noise must read KIND:LEVEL, or blend:LOW-HIGH, but is {text!r}; for example 'blend:0.25' or 'blend:0-0.5'."
        ) from None
    model: Noise = kinds[name](value)  # type: ignore[arg-type]  # a pair is for a blend alone
    return model


def draw_per_pixel(image: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1), one for each pixel and shared by its channels."""
    check_generator(generator, image.device)
    shape = image.shape if image.dim() == 2 else (*image.shape[:-3], 1, *image.shape[-2:])
    return torch.rand(shape, generator=generator, device=image.device, dtype=image.dtype)
