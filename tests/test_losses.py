from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rounding import rounding
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from torch.utils.data import TensorDataset

from denoise_lib.corruptions import Bernoulli
from denoise_lib.data import NoisyPairs
from denoise_lib.internal.checkpoints import CheckpointError, History
from denoise_lib.losses import LOSSES, AnnealedL0, hdr_loss, masked_l2_loss
from denoise_lib.noise import Gaussian
from denoise_lib.training import fit

pytestmark = pytest.mark.numbers


def numbers(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape or (2, 3, 4, 4), generator=generator, dtype=torch.float64)


def at_progress(progress: float) -> AnnealedL0:
    loss = AnnealedL0()
    loss.progress = progress
    return loss


def slopes(loss: Any, output: Tensor, step: float = 1e-6) -> Tensor:
    """The gradient by finite differences."""
    gradient = torch.empty_like(output)
    for index in range(output.numel()):
        shift = torch.zeros_like(output)
        shift.view(-1)[index] = step
        gradient.view(-1)[index] = (loss(output + shift) - loss(output - shift)) / (2 * step)
    return gradient


def gradient_of(loss: Any, output: Tensor, target: Tensor) -> Tensor:
    leaf = output.clone().requires_grad_()
    loss(leaf, target).backward()
    assert leaf.grad is not None
    return leaf.grad


# --- hdr -------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000))
def test_hdr_value(seed: int) -> None:
    output, target = numbers(seed, low=-0.5, high=5), numbers(seed + 1, high=5)
    f, y = output.numpy(), target.numpy()
    expected = ((f - y) ** 2 / (np.maximum(f, 0) + 0.01) ** 2).mean()
    assert hdr_loss(output, target).item() == pytest.approx(expected, rel=1e-12)


def test_hdr_by_hand() -> None:
    # (0.5 - 1)^2 / 0.51^2 and (-1 - 1)^2 / 0.01^2: an output below 0 counts as 0 in the denominator.
    value = hdr_loss(torch.tensor([0.49, -1.0], dtype=torch.float64), torch.tensor([0.99, 1.0], dtype=torch.float64))
    assert value.item() == pytest.approx((1 + 40_000) / 2)


def test_the_gradient_of_hdr_leaves_out_the_denominator() -> None:
    output, target = numbers(0, low=0.1, high=2), numbers(1, high=2)
    gradient = gradient_of(hdr_loss, output, target)
    scale = (output + 0.01).square()  # frozen
    assert torch.allclose(gradient, slopes(lambda f: ((f - target).square() / scale).mean(), output), rtol=1e-6, atol=1e-9)
    assert torch.allclose(gradient, 2 * (output - target) / scale / output.numel(), rtol=1e-12)
    whole = gradient_of(lambda f, y: ((f - y).square() / (f + 0.01).square()).mean(), output, target)
    assert ((gradient - whole).abs() > 1e-3 * whole.abs().max()).any()


@given(st.lists(st.floats(0, 10), min_size=2, max_size=20))
def test_hdr_comes_to_rest_at_the_mean(sample: list[float]) -> None:
    targets = torch.tensor(sample, dtype=torch.float64)
    mean = targets.mean().expand(len(targets))
    assert abs(gradient_of(hdr_loss, mean, targets).sum().item()) < 1e-12 * (1 + 1 / (mean[0].item() + 0.01) ** 2)
    for shift in (-0.005, 0.1):
        assert gradient_of(hdr_loss, mean + shift, targets).sum().item() * shift > 0


def test_an_undetached_denominator_would_come_to_rest_too_bright() -> None:
    targets = torch.tensor([0.1, 0.2, 0.9], dtype=torch.float64)
    grid = torch.linspace(0.01, 2, 2000, dtype=torch.float64)
    best = grid[((grid[:, None] - targets).square() / (grid[:, None] + 0.01).square()).mean(dim=1).argmin()]
    assert best > targets.mean() + 0.1


# --- masked L2 -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.floats(0, 0.95))
def test_masked_l2_is_the_error_of_the_known_pixels(seed: int, share: float) -> None:
    output, target = numbers(seed), numbers(seed + 1)
    target[numbers(seed + 2) < share] = math.nan
    f, y = output.numpy(), target.numpy()
    if np.isnan(y).all():
        return
    assert masked_l2_loss(output, target).item() == pytest.approx(np.nanmean((f - y) ** 2), rel=rounding(f.size))


def test_masked_l2_without_missing_pixels_is_l2() -> None:
    output, target = numbers(0), numbers(1)
    assert masked_l2_loss(output, target).item() == pytest.approx(mse_loss(output, target).item(), rel=rounding(output.numel()))
    expected = gradient_of(mse_loss, output, target)
    assert torch.allclose(gradient_of(masked_l2_loss, output, target), expected, rtol=1e-12)


def test_missing_pixels_have_no_gradient() -> None:
    output, target = numbers(0), numbers(1)
    missing = numbers(2) < 0.4
    target[missing] = math.nan
    gradient = gradient_of(masked_l2_loss, output, target)
    assert (gradient[missing] == 0).all()
    expected = 2 * (output - target)[~missing] / int((~missing).sum())
    assert torch.allclose(gradient[~missing], expected, rtol=1e-12)
    output[missing] += 5  # what is predicted there does not matter
    assert torch.equal(gradient_of(masked_l2_loss, output, target), gradient)


def test_where_all_is_missing_the_loss_is_zero() -> None:
    output, target = numbers(0), torch.full((2, 3, 4, 4), math.nan, dtype=torch.float64)
    assert masked_l2_loss(output, target).item() == 0
    assert (gradient_of(masked_l2_loss, output, target) == 0).all()


def test_a_network_that_is_no_number_is_not_hidden() -> None:
    assert math.isnan(masked_l2_loss(torch.full((2,), math.nan), torch.zeros(2)).item())


# --- annealed L0 -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.floats(0, 1))
def test_l0_value(seed: int, progress: float) -> None:
    output, target = numbers(seed), numbers(seed + 1)
    gamma = 2 - 2 * progress
    expected = ((np.abs(output.numpy() - target.numpy()) + 1e-8) ** gamma).mean()
    assert at_progress(progress)(output, target).item() == pytest.approx(expected, rel=1e-9)


def test_l0_begins_as_l2_and_ends_as_a_count() -> None:
    output, target = numbers(0), numbers(1)
    assert AnnealedL0().progress == 0
    assert AnnealedL0()(output, target).item() == pytest.approx(mse_loss(output, target).item(), abs=1e-6)
    assert at_progress(0.5)(output, target).item() == pytest.approx(l1_loss(output, target).item(), abs=1e-6)
    assert at_progress(1)(output, target).item() == 1


@pytest.mark.parametrize("progress", [0, 0.5, 0.9, 0.999])
def test_l0_has_a_finite_gradient_at_a_hit(progress: float) -> None:
    output = numbers(0).float()
    target = output.clone()
    target[0] += 0.1
    gradient = gradient_of(at_progress(progress), output, target)
    assert gradient.isfinite().all() and gradient[0].abs().min() > 0


# --- what each loss seeks: Lehtinen et al., section 2 --------------------------------------------------------------------

SAMPLE = [0.1, 0.1, 0.1, 0.3, 0.4, 0.8, 0.93]  # skewed: mode 0.1, median 0.3, mean 0.39
MEAN, MEDIAN, MODE = 0.39, 0.3, 0.1


@pytest.mark.parametrize(
    ("loss", "best"),
    [
        (mse_loss, MEAN), (masked_l2_loss, MEAN), (AnnealedL0(), MEAN), (l1_loss, MEDIAN), (at_progress(0.5), MEDIAN),
        (at_progress(0.95), MODE), (at_progress(0.99), MODE),
    ],
)  # fmt: skip
def test_the_constant_that_a_loss_seeks(loss: Any, best: float) -> None:
    targets = torch.tensor(SAMPLE, dtype=torch.float64)
    grid = torch.linspace(0, 1, 1001, dtype=torch.float64)
    found = grid[torch.stack([loss(z.expand(7), targets) for z in grid]).argmin()].item()
    assert found == pytest.approx(best, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15), st.floats(-1, 2))
def test_no_constant_beats_the_mean_under_l2_or_the_median_under_l1(sample: list[float], other: float) -> None:
    targets = torch.tensor(sample, dtype=torch.float64)

    def cost(loss: Any, z: float) -> float:
        return loss(torch.full_like(targets, z), targets).item()

    spread, distance = np.var(sample), (other - np.mean(sample)) ** 2
    exact = rounding(3 * len(sample) + 5, 4.0)  # three sums over the sample; no squared distance is above 4
    assert cost(mse_loss, other) == pytest.approx(spread + distance, abs=exact)  # closed form: least at the mean
    assert cost(l1_loss, float(np.median(sample))) <= cost(l1_loss, other) + exact


# --- within fit ------------------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """One number for all pixels."""

    def __init__(self, start: float = 0.6) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand_as(x)


def quick(model: nn.Module, dataset: Any, **options: Any) -> History:
    return fit(model, dataset, **{"epochs": 3, "batch_size": 8, "device": "cpu", "progress": False} | options)


def some_pairs(count: int = 20) -> NoisyPairs:
    return NoisyPairs.from_copies(numbers(3, count, 1, 4, 4).float(), numbers(4, count, 1, 4, 4).float())


@pytest.mark.parametrize("loss", LOSSES)
def test_fit_takes_all_losses_by_name(loss: str) -> None:
    pairs, model = some_pairs(), Constant()
    noisy, target = next(pairs.batches(20))
    chosen = LOSSES[loss]
    expected = (chosen() if isinstance(chosen, type) else chosen)(model(noisy), target).item()
    assert expected > 0
    assert quick(model, pairs, loss=loss, epochs=1, batch_size=20).loss == pytest.approx([expected], rel=1e-5)
    assert model.value.item() != Constant().value.item()


def test_fit_refuses_unknown_losses(refused: Any) -> None:
    for loss in ("l3", "L2", "", "masked_l2"):
        with refused(ValueError, "loss", *(repr(name) for name in LOSSES)):
            quick(Constant(), some_pairs(), loss=loss)


def test_each_training_has_an_annealing_of_its_own() -> None:
    assert LOSSES["l0"] is AnnealedL0
    first, second = AnnealedL0(), AnnealedL0()
    assert isinstance(first, AnnealedL0) and first is not second


@pytest.mark.parametrize(("loss", "best"), [("l2", MEAN), ("l1", MEDIAN), ("hdr", MEAN)])
def test_fit_ends_at_the_constant_that_the_loss_seeks(loss: str, best: float) -> None:
    targets = torch.tensor(SAMPLE).view(7, 1, 1, 1)
    model = Constant()
    quick(model, TensorDataset(torch.zeros_like(targets), targets), loss=loss, lr=0.02, epochs=400, schedule="cosine")
    assert model.value.item() == pytest.approx(best, abs=0.01)


def test_the_annealing_ends_at_the_mode() -> None:
    # 70 % of the targets are 0.2 and the rest are brighter; the mean is 0.365.
    targets = torch.cat([torch.full((70,), 0.2), torch.linspace(0.5, 1, 30)]).view(100, 1, 1, 1)
    model = Constant()
    options: dict[str, Any] = {"loss": "l0", "lr": 0.02, "epochs": 200, "batch_size": 100, "schedule": "cosine"}
    history = quick(model, TensorDataset(torch.zeros_like(targets), targets), **options)
    assert model.value.item() == pytest.approx(0.2, abs=0.01)
    assert history.loss[-1] > history.loss[0]  # the values at two gammas cannot be compared


@pytest.mark.parametrize(("loss", "missing", "best"), [("masked-l2", math.nan, 0.8), ("l2", 0.0, 0.4)])
def test_masked_l2_learns_the_image_and_not_the_zeros(loss: str, missing: float, best: float) -> None:
    clean = torch.full((40, 1, 16, 16), 0.8)
    pairs = NoisyPairs(clean, Gaussian(0.1), target_noise=Bernoulli(0.5, missing=missing), seed=1)
    model = Constant(0.5)
    quick(model, pairs, loss=loss, lr=0.02, epochs=150, batch_size=40, schedule="cosine")
    # 10,240 fair coins: 5 standard errors of their mean, times 0.8, are 0.02.
    assert model.value.item() == pytest.approx(best, abs=1e-3 if loss == "masked-l2" else 0.02)


class Recording(AnnealedL0):
    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[float] = []
        self.stop_at = stop_at

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(self.progress)
        return super().__call__(output, target)


def test_fit_drives_the_annealing() -> None:
    loss = Recording()
    quick(Constant(), some_pairs(), loss=loss, epochs=4)  # three steps an epoch
    assert loss.seen == pytest.approx([step / 12 for step in range(12)])


def test_a_resume_goes_on_at_the_right_gamma(tmp_path: Path) -> None:
    straight, expected = Constant(), Recording()
    quick(straight, some_pairs(), loss=expected, epochs=4)
    options = {"epochs": 4, "checkpoint": tmp_path / "run.pt"}
    with pytest.raises(KeyboardInterrupt):  # in the last step of epoch 3
        quick(Constant(), some_pairs(), loss=Recording(8), **options)
    resumed, loss = Constant(), Recording()
    quick(resumed, some_pairs(), loss=loss, **options)
    assert loss.seen == expected.seen[6:]
    assert torch.equal(resumed.value, straight.value)


def test_an_annealing_is_laid_out_over_all_epochs(tmp_path: Path, refused: Any) -> None:
    quick(Constant(), some_pairs(), loss="l0", epochs=2, checkpoint=tmp_path / "run.pt")
    with refused(CheckpointError, "epochs was 2 and is now 3"):
        quick(Constant(), some_pairs(), loss="l0", epochs=3, checkpoint=tmp_path / "run.pt")
