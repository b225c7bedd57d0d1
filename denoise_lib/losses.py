"""Losses for noisy targets, and what each makes a network learn (Lehtinen et al., 2018).

A network that sees many noisy targets for one input settles on the value z that makes the mean loss least: the mean of
the targets for L2, their median for L1, their mode for L0. Noise that keeps this value where the clean pixel is can be
learnt away without a clean image. Each loss is a function (output, target) -> scalar tensor, of tensors of one shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .internal.checks import check_choice, check_count, check_images, check_number, check_output

POWERS = {"L2": 2.0, "L1": 1.0, "L0": 0.05}
"""Each loss as a power of the error; a small power stands for L0, which counts the targets that are missed."""
CORRUPTIONS = ("Gaussian", "random value", "white overlay", "skewed")

Loss = Callable[[Tensor, Tensor], Tensor]


def l2_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error: learns the mean of the targets."""
    return functional.mse_loss(check_output(output, target, "its target"), target)


def l1_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error: learns the median of the targets."""
    return functional.l1_loss(check_output(output, target, "its target"), target)


def hdr_loss(output: Tensor, target: Tensor) -> Tensor:
    """Relative squared error for images without an upper limit, mean (f - y)^2 / (f + 0.01)^2 (section 3.4, "L_HDR").

    The denominator takes part in the value and not in the gradient: else a network could lower the loss by predicting
    too bright, and would no longer learn the mean. Outputs below 0 count as 0 there.
    """
    check_output(output, target, "its target")
    scale = output.detach().clamp_min(0) + 0.01
    return ((output - target) / scale).square().mean()


def masked_l2_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the target's known pixels; NaN marks those that are missing (section 3.2, eq. 7).

    For `Bernoulli(p, missing=nan)` targets: the missing pixels say nothing, and zeros in their place would be learnt.
    """
    check_output(output, target, "its target")
    known = ~target.isnan()
    error = torch.where(known, output - target.nan_to_num(), 0)  # 0, and no NaN, in the gradient of missing pixels
    return error.square().sum() / known.sum().clamp_min(1)


class AnnealedL0:
    """(|f - y| + 1e-8)^gamma with gamma from 2 down to 0 over the training (section 3.2): seeks the mode of the targets.

    `fit` sets `progress`, from 0 to 1, before each step. At gamma 2 this is L2; towards 0 only exact hits count.
    """

    progress = 0.0

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean over all pixels, at the current gamma."""
        check_output(output, target, "its target")
        gamma = 2 * (1 - self.progress)
        return ((output - target).abs() + 1e-8).pow(gamma).mean()


# A loss with a state of its own stands here as its class, of which each training makes one.
LOSSES: dict[str, Loss | type[AnnealedL0]] = {
    "l2": l2_loss,
    "l1": l1_loss,
    "l0": AnnealedL0,
    "hdr": hdr_loss,
    "masked-l2": masked_l2_loss,
}


def corrupted_pixel(value: float, corruption: str, level: float, count: int = 4000, seed: int = 0) -> Tensor:
    """Many noisy targets of one pixel.

    Args:
        value: the clean value, in [0, 1].
        corruption: "Gaussian" (standard deviation `level`), "random value" (replaced by a uniform number with probability
            `level`), "white overlay" (replaced by 1 with probability `level`), or "skewed" (exponential noise of mean 0
            and standard deviation `level`).
        level: in [0, 1].
        count: number of targets.
        seed: one seed draws the same random numbers at every level.

    Returns:
        float64 (count,).
    """
    check_number(value, "value", 0, 1, example=0.3)
    check_number(level, "level", 0, 1, example=0.3)
    check_choice(corruption, "corruption", CORRUPTIONS)
    generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    share = torch.rand(check_count(count, "count", high=10**7, example=4000), generator=generator, dtype=torch.float64)
    other = torch.rand(count, generator=generator, dtype=torch.float64)
    normal = torch.randn(count, generator=generator, dtype=torch.float64)
    if corruption == "Gaussian":
        return value + level * normal
    if corruption == "skewed":
        return value + level * (-torch.log1p(-share) - 1)
    replacement = other if corruption == "random value" else torch.ones_like(other)
    return torch.where(share < level, replacement, value)


def risk(candidates: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Mean loss of predicting each candidate for all targets: (M,) and (N,) -> (M,)."""
    power = POWERS[check_choice(loss, "loss", tuple(POWERS))]
    for name, value in (("candidates", candidates), ("targets", targets)):
        check_images(value, name, value_range=None, min_dim=1)
    return (candidates.reshape(-1, 1) - targets.reshape(1, -1)).abs().pow(power).mean(dim=1)


def best_prediction(targets: Tensor, loss: str) -> float:
    """The value with the least mean loss: the targets' mean for L2, median for L1, about their mode for L0."""
    check_choice(loss, "loss", tuple(POWERS))
    check_images(targets, "targets", value_range=None, min_dim=1)
    targets = targets.to(torch.promote_types(targets.dtype, torch.float32))  # quantiles are not computed in less
    if loss == "L2":
        return float(targets.mean())
    if loss == "L1":
        return float(targets.quantile(0.5))
    # A power below 1 is least at one of the targets: try some, spread evenly over their ranks.
    candidates = targets.quantile(torch.linspace(0, 1, 401, dtype=targets.dtype), interpolation="nearest")
    return float(candidates[risk(candidates, targets, loss).argmin()])
