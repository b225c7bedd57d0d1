from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from denoise_lib.corruptions import Bernoulli, PointSample, Poisson
from denoise_lib.data import NoisyImages, NoisyPairs, exchange_pixels, random_symmetry
from denoise_lib.noise import Gaussian, Noise
from denoise_lib.sources.photographs import photos
from denoise_lib.training import fit

pytestmark = pytest.mark.numbers

SIGMAS = 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(seed: int = 0, *shape: int) -> Tensor:
    return torch.rand(shape or (12, 3, 8, 8), generator=seeded(seed))


def stacked(pairs: Any) -> tuple[Tensor, Tensor]:
    first, second = zip(*(pairs[index] for index in range(len(pairs))), strict=True)
    return torch.stack(first), torch.stack(second)


def served(pairs: Any, size: int = 5, **options: Any) -> tuple[Tensor, Tensor]:
    first, second = zip(*pairs.batches(size, **options), strict=True)
    return torch.cat(first), torch.cat(second)


def same(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@pytest.fixture(scope="module")
def squares() -> Tensor:
    """Photos, uint8 (8, 3, 128, 128)."""
    return photos("test", size=128, crops=4, seed=1)


# --- what is served --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_shapes_and_dtypes(fresh: bool, kind: str) -> None:
    clean = (images() * 255).byte() if kind == "uint8" else images().to(getattr(torch, kind))
    pairs = NoisyPairs(clean, Gaussian(0.1), fresh=fresh)
    assert len(pairs) == 12
    for copies in (stacked(pairs), served(pairs), served(pairs, generator=seeded())):
        assert all(copy.shape == clean.shape and copy.dtype == torch.float32 for copy in copies)
    assert [len(first) for first, _ in pairs.batches(5)] == [5, 5, 2]
    residual = stacked(pairs)[0] - (clean / 255 if kind == "uint8" else clean)
    assert residual.std().item() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("fresh", [False, True])
def test_point_sampled_pairs_are_smaller(fresh: bool) -> None:
    pairs = NoisyPairs(images(), PointSample(4), fresh=fresh)
    assert all(copy.shape == (12, 3, 2, 2) for copy in (*stacked(pairs), *served(pairs)))


def test_fixed_pairs_are_drawn_once() -> None:
    pairs = NoisyPairs(images(), Gaussian(0.1), seed=3)
    first = stacked(pairs)
    for again in (stacked(pairs), served(pairs), served(pairs, 12), stacked(NoisyPairs(images(), Gaussian(0.1), seed=3))):
        assert same(again, first)
    assert same((pairs[-1][0], pairs[-1][1]), (first[0][-1], first[1][-1]))


def test_fresh_pairs_are_drawn_at_each_access() -> None:
    pairs = NoisyPairs(images(), Gaussian(0.1), fresh=True)
    draws = [copy for take in (stacked, served) for _ in range(2) for copy in take(pairs)]
    for index in range(len(draws)):
        for other in range(index):
            assert abs(correlation(draws[index] - images(), draws[other] - images())) < SIGMAS / math.sqrt(images().numel())


@pytest.mark.parametrize("options", [{}, {"fresh": True}, {"exchange": True}, {"flips": True}], ids=str)
def test_one_seed_gives_one_result(options: dict[str, Any]) -> None:
    def run(seed: int) -> list[tuple[Tensor, Tensor]]:
        pairs = NoisyPairs(images(), Gaussian(0.1), seed=seed, **options)
        return [stacked(pairs), stacked(pairs), served(pairs), served(pairs, generator=seeded(9))]

    first, again, other = run(0), run(0), run(1)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    # A generator given to batches() seeds all that is drawn there.
    assert not any(same(a, b) for a, b in zip(first[:3], other[:3], strict=True))


@pytest.mark.parametrize("fresh", [False, True])
def test_the_two_copies_are_independent(fresh: bool) -> None:
    clean = images(0, 40, 3, 16, 16)
    first, second = served(NoisyPairs(clean, Gaussian(0.1), fresh=fresh))
    assert abs(correlation(first - clean, second - clean)) < SIGMAS / math.sqrt(clean.numel())
    for copy in (first, second):  # both are noisy, and alike
        assert stats.kstest((copy - clean).flatten().numpy(), stats.norm(0, 0.1).cdf).pvalue > 1e-5


def test_the_global_generator_is_untouched() -> None:
    before = torch.random.get_rng_state()
    pairs = NoisyPairs(images(), Gaussian(0.1), fresh=True, exchange=True, flips=True)
    stacked(pairs), served(pairs), served(pairs, generator=torch.Generator())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_noise_for_the_target() -> None:
    clean = torch.full((30, 3, 16, 16), 0.5)
    for fresh in (False, True):
        pairs = NoisyPairs(clean, Gaussian(0.05), target_noise=Gaussian(0.2), fresh=fresh)
        first, second = served(pairs)
        assert (pairs.noise, pairs.target_noise) == (Gaussian(0.05), Gaussian(0.2))
        assert (first - clean).std().item() == pytest.approx(0.05, rel=0.05)
        assert (second - clean).std().item() == pytest.approx(0.2, rel=0.05)
    assert NoisyPairs(clean, Gaussian(0.05)).target_noise == Gaussian(0.05)


@pytest.mark.parametrize("fresh", [False, True])
def test_targets_with_missing_pixels(fresh: bool) -> None:
    clean = images(0, 20, 3, 16, 16)
    noisy, target = served(NoisyPairs(clean, Gaussian(0.1), target_noise=Bernoulli(0.5, missing=math.nan), fresh=fresh))
    missing = target.isnan()
    assert noisy.isfinite().all() and torch.equal(missing, missing[:, :1].expand_as(missing))
    assert torch.equal(target[~missing], clean[~missing])
    assert abs(missing[:, 0].float().mean().item() - 0.5) < SIGMAS * 0.5 / math.sqrt(20 * 16 * 16)


@pytest.mark.parametrize("kind", ["uint8", "float32", "mixed"])
def test_pairs_from_copies(kind: str) -> None:
    first, second = (images(seed).mul(255).byte() for seed in (0, 1))
    expected = first / 255, second / 255
    if kind != "uint8":
        first = first / 255
    if kind == "float32":
        second = second / 255
    pairs = NoisyPairs.from_copies(first, second)
    assert same(stacked(pairs), expected) and same(served(pairs), expected)
    assert pairs.noise is pairs.target_noise is None and not pairs.fresh and pairs.augmentation == "none"


def test_copies_may_leave_the_range_of_images() -> None:
    pairs = NoisyPairs.from_copies(images() - 0.5, images() + 0.5)
    assert same(served(pairs), (images() - 0.5, images() + 0.5))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "none"), ({"exchange": True}, "exchange"), ({"flips": True}, "flips"),
        ({"exchange": True, "flips": True}, "exchange and flips"),
    ],
)  # fmt: skip
def test_augmentation_is_told(options: dict[str, bool], told: str) -> None:
    assert NoisyPairs(images(), Gaussian(0.1), **options).augmentation == told
    assert NoisyPairs.from_copies(images(), images(1), **options).augmentation == told


# --- order -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NoisyImages, NoisyPairs])
@pytest.mark.parametrize("fresh", [False, True])
def test_batches_are_shuffled_by_the_generator_alone(kind: Any, fresh: bool) -> None:
    clean = torch.arange(20.0).view(20, 1, 1, 1).expand(20, 1, 4, 4) / 20
    dataset = kind(clean, Gaussian(0.001), fresh=fresh)

    def order(**options: Any) -> list[int]:
        noisy, target = served(dataset, 6, **options)
        found = (noisy.mean(dim=(1, 2, 3)) * 20).round().int().tolist()
        assert found == (target.mean(dim=(1, 2, 3)) * 20).round().int().tolist()  # pairs stay together
        return found

    in_order = list(range(20))
    assert order() == order(shuffle=False) == order(generator=seeded(), shuffle=False) == in_order
    generator = seeded()
    first, second = order(generator=generator), order(generator=generator)
    assert sorted(first) == sorted(second) == in_order and first != second and first != in_order
    assert order(generator=seeded()) == first


def test_without_shuffling_the_generator_still_seeds_fresh_noise() -> None:
    pairs = NoisyPairs(images(), Gaussian(0.1), fresh=True)
    first = served(pairs, generator=seeded(1), shuffle=False)
    assert same(served(pairs, generator=seeded(1), shuffle=False), first)
    assert not same(served(pairs, generator=seeded(2), shuffle=False), first)


@pytest.mark.parametrize("kind", ["NoisyImages", "NoisyPairs", "DataLoader"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_fit_serves_in_order_where_it_is_asked_to(kind: str, shuffle: bool) -> None:
    clean = torch.arange(20.0).view(20, 1, 1, 1).expand(20, 1, 4, 4) / 20
    dataset: Any = {
        "NoisyImages": NoisyImages(clean, Gaussian(0)), "NoisyPairs": NoisyPairs(clean, Gaussian(0)),
        "DataLoader": TensorDataset(clean, clean),
    }[kind]  # fmt: skip
    seen: list[int] = []

    def recording(output: Tensor, target: Tensor) -> Tensor:
        seen.extend((target[:, 0, 0, 0] * 20).round().int().tolist())
        return mse_loss(output, target)

    model = nn.Conv2d(1, 1, 3, padding=1)
    fit(model, dataset, epochs=2, batch_size=6, loss=recording, shuffle=shuffle, device="cpu", progress=False)
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert (seen == 2 * list(range(20))) != shuffle
    assert (seen[:20] == seen[20:]) != shuffle


@pytest.mark.parametrize("workers", [0, 2])
def test_each_item_worker_and_epoch_draws_its_own_noise(workers: int) -> None:
    same_image = torch.full((8, 1, 8, 8), 128, dtype=torch.uint8)
    pairs = NoisyPairs(same_image, Gaussian(0.1), fresh=True)
    loader = DataLoader(pairs, batch_size=2, num_workers=workers, generator=seeded())
    copies = [copy for _ in range(2) for batch in loader for side in batch for copy in side]
    assert len(copies) == 32
    assert len({copy.numpy().tobytes() for copy in copies}) == 32


def test_workers_flip_each_pair_in_their_own_way() -> None:
    one = images(0, 1, 1, 8, 8).expand(64, 1, 8, 8)
    pairs = NoisyPairs.from_copies(one, one, flips=True)
    batches = list(DataLoader(pairs, batch_size=32, num_workers=2, generator=seeded()))  # one worker each
    assert not torch.equal(batches[0][0], batches[1][0])
    assert all(torch.equal(first, second) for first, second in batches)


# --- exchange of pixels ----------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_exchange_keeps_both_values_at_each_pixel(seed: int, count: int, channels: int, height: int, width: int) -> None:
    first, second = images(seed, count, channels, height, width), images(seed + 1, count, channels, height, width)
    before = first.clone(), second.clone()
    a, b = exchange_pixels(first, second, seeded(seed))
    swapped = (a != first).any(dim=1, keepdim=True)
    assert torch.equal(a, torch.where(swapped, second, first)) and torch.equal(b, torch.where(swapped, first, second))
    assert torch.equal(a + b, first + second)
    assert same((first, second), before)  # the input is left as it was


def test_exchange_swaps_half_of_the_pixels_in_all_channels_together() -> None:
    first, second = torch.zeros(50, 3, 20, 20), torch.ones(50, 3, 20, 20)
    swapped, _ = exchange_pixels(first, second, seeded())
    assert torch.equal(swapped, swapped[:, :1].expand_as(swapped))
    coins = swapped[:, 0]
    assert abs(coins.mean().item() - 0.5) < SIGMAS * 0.5 / math.sqrt(coins.numel())
    assert abs(correlation(coins[:, 1:], coins[:, :-1])) < SIGMAS / math.sqrt(coins[:, 1:].numel())  # each pixel for itself
    assert abs(correlation(coins[1:], coins[:-1])) < SIGMAS / math.sqrt(coins[1:].numel())  # each image for itself


@pytest.mark.parametrize("take", [stacked, served])
def test_exchange_makes_new_pairs_at_each_service(take: Callable[..., tuple[Tensor, Tensor]]) -> None:
    plain = stacked(NoisyPairs(images(), Gaussian(0.1)))
    pairs = NoisyPairs(images(), Gaussian(0.1), exchange=True)
    first, second = take(pairs), take(pairs)
    assert not same(first, second) and not same(first, plain)
    for a, b in (first, second):
        assert torch.equal(a + b, plain[0] + plain[1])
        assert torch.equal(torch.minimum(a, b), torch.minimum(*plain))


def test_exchange_of_unequal_copies_is_refused(refused: Any) -> None:
    with refused(ValueError, "exchange", "target_noise"):
        NoisyPairs(images(), Gaussian(0.1), target_noise=Gaussian(0.2), exchange=True)
    NoisyPairs(images(), Gaussian(0.1), target_noise=Gaussian(0.1), exchange=True)  # an equal one is no other


# --- flips -----------------------------------------------------------------------------------------------------------


def symmetries(image: Tensor) -> list[Tensor]:
    """The eight of a square, by quarter turns and a mirror."""
    return [torch.rot90(side, turns, (-2, -1)) for side in (image, image.flip(-1)) for turns in range(4)]


def which(image: Tensor, original: Tensor) -> int:
    found = [index for index, turned in enumerate(symmetries(original)) if torch.equal(turned, image)]
    assert len(found) == 1
    return found[0]


def test_all_eight_symmetries_of_a_square_occur_equally_often() -> None:
    one, count = images(0, 1, 2, 4, 4), 1600
    first, second = random_symmetry(one.expand(count, -1, -1, -1), one.expand(count, -1, -1, -1) + 1, seeded())
    assert torch.equal(second, first + 1)  # both copies alike
    counts = np.bincount([which(image, one[0]) for image in first], minlength=8)
    assert len(counts) == 8 and stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize("shape", [(3, 5), (6, 2)])
def test_only_symmetries_that_keep_the_shape(shape: tuple[int, int]) -> None:
    one, count = images(0, 1, 2, *shape), 400
    first, second = random_symmetry(one.expand(count, -1, -1, -1), -one.expand(count, -1, -1, -1), seeded())
    assert first.shape == (count, 2, *shape) and torch.equal(second, -first)
    found = [which(image, one[0]) for image in first]
    assert set(found) == {0, 2, 4, 6}
    assert stats.chisquare(np.bincount(found, minlength=8)[::2]).pvalue > 1e-5


@pytest.mark.parametrize("take", [stacked, served])
def test_flips_are_drawn_at_each_service(take: Callable[..., tuple[Tensor, Tensor]]) -> None:
    clean = images(0, 40, 3, 8, 8)
    pairs = NoisyPairs.from_copies(clean, clean + 1, flips=True)
    draws = []
    for _ in range(2):
        first, second = take(pairs)
        assert torch.equal(second, first + 1)
        draws.append([which(image, original) for image, original in zip(first, clean, strict=True)])
    assert draws[0] != draws[1] and set(draws[0]) == set(range(8))


def test_exchange_and_flips_together_keep_the_sum() -> None:
    first, second = images(0, 30, 1, 6, 6), images(1, 30, 1, 6, 6)
    a, b = served(NoisyPairs.from_copies(first, second, exchange=True, flips=True))
    turns = [which(image, original) for image, original in zip(a + b, first + second, strict=True)]
    assert len(set(turns)) > 4
    assert not any(
        torch.equal(image, symmetries(original)[turn]) for image, original, turn in zip(a, first, turns, strict=True)
    )


# --- the noise of the pairs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [PointSample(4), Gaussian(0.2), Poisson(20)], ids=repr)
@pytest.mark.parametrize("exchange", [False, True])
def test_both_copies_have_the_clean_image_as_their_mean(noise: Noise, exchange: bool, squares: Tensor) -> None:
    side = 32 if noise == PointSample(4) else 8
    one, draws = squares[:1, :, :side, 40 : 40 + side].float() / 255, 3000
    pairs = NoisyPairs(one.expand(draws, -1, -1, -1), noise, fresh=True, exchange=exchange)
    mean, variance, clean = noise.mean(one)[0], noise.variance(one)[0], noise.clean(one)[0]
    assert torch.allclose(mean, clean, atol=1e-6)
    for sample in served(pairs, 1000):
        assert ((sample.mean(dim=0) - clean).abs() <= SIGMAS * (variance / draws).sqrt() + 1e-5).all()
        deviation = sample - mean
        error = ((deviation.pow(4).mean(dim=0) - variance.square()).clamp_min(0) / draws).sqrt()
        assert ((deviation.square().mean(dim=0) - variance).abs() <= SIGMAS * error + 1e-5).all()


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
def test_each_pixel_of_each_copy_is_one_of_its_cell(cell: int, rows: int, columns: int, seed: int) -> None:
    clean = images(seed, 2, 3, rows * cell, columns * cell)
    for copies in (stacked(NoisyPairs(clean, PointSample(cell))), stacked(NoisyPairs(clean, PointSample(cell), fresh=True))):
        for copy in copies:
            cells = clean.view(2, 3, rows, cell, columns, cell).permute(0, 1, 2, 4, 3, 5).flatten(4)
            # One place of the cell holds the colour in all channels.
            assert (cells == copy[..., None]).all(dim=1).any(dim=-1).all()


def residuals(squares: Tensor) -> list[Tensor]:
    noise, clean = PointSample(4), squares / 255
    return [copy - noise.clean(clean) for copy in served(NoisyPairs(clean, noise, seed=2))]


def test_point_sampling_is_white_in_space(squares: Tensor) -> None:
    for residual in residuals(squares):
        # By how much neighbours vary differs: the sum's own variance says how far from 0 it may be.
        for products in (residual[..., 1:, :] * residual[..., :-1, :], residual[..., 1:] * residual[..., :-1]):
            by_place = products.sum(dim=1)  # the channels are correlated
            assert abs(by_place.sum()) < SIGMAS * by_place.square().sum().sqrt()
            # The same as a correlation, against independent numbers of one variance: their heavy tails cost a factor of 2.
            assert abs(products.mean() / residual.square().mean()) < 2 * SIGMAS / math.sqrt(by_place.numel())


def test_point_sampling_is_one_place_for_all_channels(squares: Tensor) -> None:
    for residual in residuals(squares):
        for one, other in ((0, 1), (1, 2), (0, 2)):
            assert correlation(residual[:, one], residual[:, other]) > 0.5


def test_the_copies_of_photos_are_independent(squares: Tensor) -> None:
    first, second = residuals(squares)
    by_place = (first * second).sum(dim=1)
    assert abs(by_place.sum()) < SIGMAS * by_place.square().sum().sqrt()


@pytest.mark.parametrize("kind", [NoisyImages, NoisyPairs])
def test_noisy_targets_teach_the_same_line_as_clean_ones(kind: Any) -> None:
    # The best straight line from Y = X + N back to X, with variances 1/12 and 1/10, has the slope (1/12) / (1/12 + 1/10).
    noisy, target = served(kind(images(7, 200, 1, 16, 16), Gaussian(math.sqrt(0.1))))
    line = stats.linregress(noisy.flatten().numpy(), target.flatten().numpy())
    slope = (1 / 12) / (1 / 12 + 1 / 10)
    assert abs(line.slope - slope) < SIGMAS * line.stderr
    assert abs(line.intercept - (1 - slope) / 2) < SIGMAS * line.intercept_stderr


# --- bad arguments ---------------------------------------------------------------------------------------------------

BAD_IMAGES: list[tuple[Callable[[Tensor], Any], type[Exception]]] = [
    (lambda x: x.numpy(), TypeError), (lambda x: None, TypeError), (lambda x: x.long(), TypeError),
    (lambda x: x[0], ValueError), (lambda x: x[:0], ValueError),
]  # fmt: skip
BAD_VALUES: list[Callable[[Tensor], Tensor]] = [lambda x: 255 * x, lambda x: x - 0.5, lambda x: x * math.nan]


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(("change", "error"), BAD_IMAGES + [(change, ValueError) for change in BAD_VALUES])
def test_bad_clean_images(change: Callable[[Tensor], Any], error: type[Exception], fresh: bool, refused: Any) -> None:
    with refused(error, "clean"):
        NoisyPairs(change(images()), Gaussian(0.1), fresh=fresh)


@pytest.mark.parametrize(("change", "error"), BAD_IMAGES)
def test_bad_copies(change: Callable[[Tensor], Any], error: type[Exception], refused: Any) -> None:
    with refused(error, "first"):
        NoisyPairs.from_copies(change(images()), images())
    with refused(error, "second"):
        NoisyPairs.from_copies(images(), change(images()))


def test_copies_of_two_shapes_are_refused(refused: Any) -> None:
    for other in (images()[:6], images()[:, :1], images()[..., :4]):
        with refused(ValueError, "first and second", "same shape"):
            NoisyPairs.from_copies(images(), other)


def test_bad_arguments(refused: Any) -> None:
    for noise in (0.1, "gaussian:0.1", None, Gaussian):
        with refused(TypeError, "noise", "Gaussian(0.1)"):
            NoisyPairs(images(), noise)  # type: ignore[arg-type]
        if noise is not None:
            with refused(TypeError, "target_noise"):
                NoisyPairs(images(), Gaussian(0.1), target_noise=noise)  # type: ignore[arg-type]
    for seed, error in ((-1, ValueError), (0.5, TypeError), (True, TypeError), ("0", TypeError), (None, TypeError)):
        with refused(error, "seed"):
            NoisyPairs(images(), Gaussian(0.1), seed=seed)  # type: ignore[arg-type]
        with refused(error, "seed"):
            NoisyPairs.from_copies(images(), images(), seed=seed)  # type: ignore[arg-type]
    with refused(ValueError, "PointSample"):
        NoisyPairs(images(), PointSample(5))
    pairs = NoisyPairs(images(), Gaussian(0.1))
    for size, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError), (None, TypeError)):
        with refused(error, "size"):
            next(pairs.batches(size))  # type: ignore[arg-type]
    with refused(TypeError, "generator"):
        next(pairs.batches(4, generator=0))  # type: ignore[arg-type]
    for index in (12, -13):
        with refused(IndexError, str(index), "12 pairs"):
            pairs[index]


# --- found wanting ---------------------------------------------------------------------------------------------------


def test_noises_that_give_two_shapes_are_refused(refused: Any) -> None:
    with refused(ValueError, "target_noise"):
        NoisyPairs(images(), PointSample(4), target_noise=Gaussian(0.1))


@pytest.mark.parametrize("kind", ["NoisyImages", "NoisyPairs", "from_copies"])
def test_what_is_served_may_be_changed(kind: str) -> None:
    first, second = images(), images(1)
    dataset: Any = {
        "NoisyImages": NoisyImages(images(), Gaussian(0.1)), "NoisyPairs": NoisyPairs(images(), Gaussian(0.1)),
        "from_copies": NoisyPairs.from_copies(first, second),
    }[kind]  # fmt: skip
    before = [copy.clone() for copy in served(dataset)]
    for copy in [copy for batch in dataset.batches(4) for copy in batch] + list(dataset[0]):
        copy.add_(1)
    assert same(served(dataset), (before[0], before[1]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_pairs_on_a_gpu() -> None:
    fixed = NoisyPairs(images(), Gaussian(0.1))
    on_gpu = served(fixed, device="cuda")
    assert on_gpu[0].is_cuda and same((on_gpu[0].cpu(), on_gpu[1].cpu()), served(fixed))
    fresh = NoisyPairs(images(), PointSample(4), fresh=True, exchange=True, flips=True)
    assert served(fresh, device="cuda", generator=seeded())[0].shape == (12, 3, 2, 2)
    assert NoisyPairs(images().cuda(), Gaussian(0.1), fresh=True)[0][0].is_cuda
