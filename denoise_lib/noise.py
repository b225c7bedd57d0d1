"""Noise models: what turns a clean image I into a noisy image Y.

The course's own noise is the blend of Casey and Racape (2023),

    Y = (1 - mu) I + mu N,    N ~ normal(0, 1) for each pixel,

clipped to [0, 1]. mu is a mixing weight: the noise has the standard deviation mu, and the image is dimmed by 1 - mu.
`Gaussian` is additive white noise; the other corruptions of the course are in `corruptions`.

Each noise model is called as `noise(image, generator=None)` and knows its own theory: `noise.clean(image)` is the
image that a perfect denoiser returns, `noise.mean(image)` and `noise.variance(image)` are the exact moments of each
noisy pixel, and `noise.unbiased` says whether the mean is the clean image for every image: the one condition under
which an L2 network can learn from noisy targets alone (Lehtinen et al., section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .internal.checks import check_flag, check_generator, check_images, check_number

MILD, MODERATE, SEVERE = 0.10, 0.25, 0.40
"""The three levels of mu in Casey and Racape, Figure 1."""
LEVELS: dict[str, float] = {"mild": MILD, "moderate": MODERATE, "severe": SEVERE}
"""The same by their names."""


def add_noise(image: Tensor, mu: float | Tensor, *, generator: torch.Generator | None = None, clip: bool = True) -> Tensor:
    """Blend an image with Gaussian noise: Y = (1 - mu) I + mu N (Casey and Racape, section 2).

    Args:
        image: clean image I, float, values in [0, 1], shape (H, W), (C, H, W) or (N, C, H, W).
        mu: weight of the noise, in [0, 1]; 0 returns the image, 1 pure noise. A tensor of shape (N,) gives every
            image of a batch its own level.
        generator: source of randomness, on the image's device; None uses torch's global generator.
        clip: clip Y to [0, 1] as the paper does. A black pixel then has the mean mu / sqrt(2 pi), not 0.

    Returns:
        Noisy image Y: the image's shape, dtype and device. With one generator state, the same N is drawn for every mu.

    Raises:
        TypeError: the image is no float tensor, or mu is no number.
        ValueError: a value outside [0, 1], NaN, an empty image, mu outside [0, 1], a generator on another device.

    Example:
        >>> digits = torch.rand(24, 1, 28, 28)
        >>> add_noise(digits, 0.25, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([24, 1, 28, 28])
    """
    check_images(image)
    check_generator(generator, image.device)
    check_flag(clip, "clip")
    weight = _mixing_weight(mu, image)
    standard_normal = torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
    noisy = (1 - weight) * image + weight * standard_normal
    return noisy.clamp_(0, 1) if clip else noisy


@dataclass(frozen=True)
class Noise:
    """What all noise models share: the call, and the theory of what it returns."""

    unbiased = False
    """Whether the mean of the noisy image is the clean image, for every image."""

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a noisy image. `image` is float in [0, 1]; `generator` lives on its device."""
        raise NotImplementedError

    def clean(self, image: Tensor) -> Tensor:
        """The image that a perfect denoiser would return for `self(image)`: here the image itself."""
        return check_images(image)

    def mean(self, image: Tensor) -> Tensor:
        """Exact expectation of each pixel of `self(image)`."""
        raise NotImplementedError

    def variance(self, image: Tensor) -> Tensor:
        """Exact variance of each pixel of `self(image)`."""
        raise NotImplementedError

    def expected_mse(self, image: Tensor) -> float:
        """Expected mean squared error between `self(image)` and `self.clean(image)`: bias squared plus variance."""
        bias = self.mean(image) - self.clean(image)
        return float((bias.square() + self.variance(image)).double().mean())


@dataclass(frozen=True)
class Blend(Noise):
    """The blend of Casey and Racape: Y = (1 - mu) I + mu N, clipped to [0, 1]; `add_noise` as a noise model.

    mu is a number in [0, 1], or a pair (low, high): every image then draws its own mu uniformly between the two,
    which is how one *blind* network is trained for all levels.
    """

    mu: float | tuple[float, float]
    clip: bool = True

    def __post_init__(self) -> None:
        low, high = self._bounds()
        check_number(low, "mu", 0, 1, example=MODERATE)
        check_number(high, "mu", 0, 1, example=MODERATE)
        check_flag(self.clip, "clip")
        if low > high:
            raise ValueError(f"mu=(low, high) needs low <= high, but is {self.mu}; for example mu=(0.0, 0.5).")

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if not isinstance(self.mu, tuple):
            return add_noise(image, self.mu, generator=generator, clip=self.clip)
        check_images(image, dims=4)
        check_generator(generator, image.device)
        low, high = self.mu
        share = torch.rand(len(image), generator=generator, device=image.device, dtype=image.dtype)
        return add_noise(image, low + (high - low) * share, generator=generator, clip=self.clip)

    def mean(self, image: Tensor) -> Tensor:
        return self._moments(image)[0]

    def variance(self, image: Tensor) -> Tensor:
        return self._moments(image)[1]

    def _moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        check_images(image)
        if isinstance(self.mu, tuple):
            raise ValueError(f"the moments need one mu, but mu={self.mu} is a range; for example Blend(mu=0.25).")
        centre = (1 - self.mu) * image
        if self.clip:
            return clipped_normal_moments(centre, self.mu)
        return centre, torch.full_like(image, self.mu**2)

    def _bounds(self) -> tuple[float, float]:
        if isinstance(self.mu, tuple):
            if len(self.mu) != 2:
                raise ValueError(f"mu must be a number or a pair (low, high), but is {self.mu}; for example (0.0, 0.5).")
            return self.mu
        return self.mu, self.mu


@dataclass(frozen=True)
class Gaussian(Noise):
    """Additive Gaussian noise: Y = I + sigma N, without the blend's dimming; sigma in the image's units (25/255 is usual).

    Unclipped it is unbiased; clipped to [0, 1] it is not.
    """

    sigma: float
    clip: bool = False

    def __post_init__(self) -> None:
        check_number(self.sigma, "sigma", 0, example=0.1)
        check_flag(self.clip, "clip")

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return not self.clip

    def __call__(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        check_images(image)
        check_generator(generator, image.device)
        noisy = image + self.sigma * torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
        return noisy.clamp_(0, 1) if self.clip else noisy

    def mean(self, image: Tensor) -> Tensor:
        check_images(image)
        return clipped_normal_moments(image, self.sigma)[0] if self.clip else image

    def variance(self, image: Tensor) -> Tensor:
        check_images(image)
        return clipped_normal_moments(image, self.sigma)[1] if self.clip else torch.full_like(image, self.sigma**2)


def clipped_normal_moments(centre: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Exact mean and variance of clip(X, 0, 1) for X ~ normal(centre, sigma^2), per pixel.

    From the moments of the truncated normal distribution. At centre 0 and small sigma the mean is sigma / sqrt(2 pi):
    clipping biases the background upwards, since negative noise is cut off and positive noise is not.

    Args:
        centre: means before clipping, any shape; from -1e9 to 1e9.
        sigma: standard deviation before clipping, at least 0.

    Returns:
        (mean, variance), each of the shape and dtype of `centre`.
    """
    check_images(centre, "centre", value_range=None, min_dim=0)
    sigma = check_number(sigma, "sigma", 0, example=0.25)
    if sigma == 0:
        return centre.clamp(0, 1), torch.zeros_like(centre)
    x = centre.double()
    low, high = -x / sigma, (1 - x) / sigma
    cdf_low, cdf_high = torch.special.ndtr(low), torch.special.ndtr(high)
    above = torch.special.ndtr(-high)  # 1 - cdf_high, without its cancellation
    pdf_low, pdf_high = (torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) for z in (low, high))
    inside = cdf_high - cdf_low
    mean = above + x * inside + sigma * (pdf_low - pdf_high)
    # E[X^2; 0 < X < 1] of the normal, plus 1 for all that lies above 1.
    inside_square = (x.square() + sigma**2) * inside + sigma * (x * pdf_low - (1 + x) * pdf_high)
    variance = (above + inside_square - mean.square()).clamp_min(0)
    return mean.to(centre.dtype), variance.to(centre.dtype)


def _mixing_weight(mu: float | Tensor, image: Tensor) -> float | Tensor:
    """mu as a number, or as a tensor (N, 1, 1, ...) that broadcasts over a batch."""
    if not isinstance(mu, Tensor):
        return check_number(mu, "mu", 0, 1, example=MODERATE)
    if mu.dim() == 0:
        return check_number(mu.item(), "mu", 0, 1, example=MODERATE)
    if mu.dim() != 1 or image.dim() != 4 or len(mu) != len(image):
        raise ValueError(
            f"a tensor mu must have one value an image, shape (N,), but has {tuple(mu.shape)} "
            f"for images of shape {tuple(image.shape)}."
        )
    check_images(mu.to(image.dtype), "mu", min_dim=1)
    return mu.to(image).view(-1, 1, 1, 1)
