"""What a network can learn from noisy targets, worked out for a single pixel (Lehtinen et al., 2018, section 2).

A network that cannot know the noise of its target settles, for each input, on the value with the least expected loss:
the mean of the targets for L2, the median for L1, the mode for L0. Everything here is that sentence, and what becomes of
it when one of its assumptions is broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..internal.checks import check_flag, check_generator, check_images, check_number
from ..noise import clipped_normal_moments


@dataclass(frozen=True)
class Targets:
    """Gaussian noisy targets, with switches that break the assumptions of Noise2Noise one by one.

    The input is I + sigma N. The target is I + offset + sigma (shared N + sqrt(1 - shared^2) N'), then clipped or stored in
    8 bits.
    """

    sigma: float = 0.2
    offset: float = 0.0
    """Mean of the target's noise; 0 for Noise2Noise."""
    shared: float = 0.0
    """Correlation of the target's noise with the input's; 0 for Noise2Noise."""
    clip: bool = False
    """Clip the target to [0, 1]."""
    eight_bit: bool = False
    """Store the target as `(255 * target).clip(0, 255)`, cut off to whole numbers, as a cast to uint8 does."""

    def __post_init__(self) -> None:
        check_number(self.sigma, "sigma", 0, 1, open_low=True, example=0.2)
        check_number(self.offset, "offset", -1, 1, example=0.1)
        check_number(self.shared, "shared", 0, 1, example=0.5)
        check_flag(self.clip, "clip")
        check_flag(self.eight_bit, "eight_bit")

    def draw(self, image: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(input, target) for an image of any shape."""
        check_images(image, min_dim=1)
        check_generator(generator, image.device)
        own, other = (torch.randn(image.shape, generator=generator, dtype=image.dtype) for _ in range(2))
        noise = self.shared * own + math.sqrt(1 - self.shared**2) * other
        target = image + self.offset + self.sigma * noise
        if self.clip:
            target = target.clamp(0, 1)
        if self.eight_bit:
            target = (255 * target).clamp(0, 255).floor() / 255
        return image + self.sigma * own, target

    def mean(self, image: Tensor) -> Tensor:
        """Exact expectation of the target given the clean image: what L2 learns where the noise of the two is independent."""
        check_images(image, min_dim=1)
        centre = image + self.offset
        if self.eight_bit:
            # The mean of a number that counts steps is the sum of the probabilities that each step is reached.
            steps = torch.arange(1, 256, dtype=image.dtype) / 255
            reached = torch.special.ndtr((centre.unsqueeze(-1) - steps) / self.sigma)
            mean: Tensor = reached.sum(dim=-1) / 255
            return mean
        return clipped_normal_moments(centre, self.sigma)[0] if self.clip else centre

    def kept(self, image: Tensor) -> Tensor:
        """Slope of the target on the input's noise: the share of that noise which L2 takes for signal.

        By Stein's lemma it is `shared`, times the probability that the target is not cut off.
        """
        check_images(image, min_dim=1)
        if not (self.clip or self.eight_bit):
            return torch.full_like(image, self.shared)
        centre = image + self.offset
        inside = torch.special.ndtr((1 - centre) / self.sigma) - torch.special.ndtr(-centre / self.sigma)
        slope: Tensor = self.shared * inside
        return slope

    def bias(self, image: Tensor) -> Tensor:
        """What L2 learns, less the clean image."""
        return self.mean(image) - image
