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

from .internal.checks import check_output

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
