from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets.mnist import read_image_file

from denoise_lib.corruptions import PointSample
from denoise_lib.data import NoisyImages, as_float_images, exclude_images, mnist
from denoise_lib.noise import Blend, Gaussian

pytestmark = pytest.mark.numbers

# --- the small MNIST ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "count"), [("train", 4000), ("test", 1000)])
def test_small_mnist_is_stratified_and_ordered(split: str, count: int) -> None:
    images, labels = mnist(split, "small", labels=True)
    assert images.shape == (count, 1, 28, 28) and images.dtype == torch.uint8
    assert labels.shape == (count,) and labels.dtype == torch.int64
    assert labels.tolist() == list(range(10)) * (count // 10)
    assert images.float().mean() / 255 == pytest.approx(0.1325, abs=0.01)  # the mean of all MNIST
    assert images.amin() == 0 and images.amax() == 255
    assert torch.equal(mnist(split), images)  # small is the default, and the same at each call


def test_small_labels_belong_to_their_images() -> None:
    images, labels = mnist("test", labels=True)
    train, train_labels = mnist("train", labels=True)
    # The nearest training digit has the same label for more than nine of ten: chance would be one of ten.
    distance = torch.cdist(images[:200].flatten(1).float(), train.flatten(1).float())
    assert (train_labels[distance.argmin(dim=1)] == labels[:200]).float().mean() > 0.9


def test_small_train_and_test_are_disjoint(small_train: Tensor, small_test: Tensor) -> None:
    assert len(exclude_images(small_train, small_test)) == len(small_train)
    assert len(exclude_images(small_test, small_train)) == len(small_test)
    everything = torch.cat([small_train, small_test])
    assert len({image.tobytes() for image in everything.numpy()}) == 5000


def test_changing_the_result_does_not_change_the_next(small_test: Tensor) -> None:
    mnist("test").zero_()
    assert torch.equal(mnist("test"), small_test)


@pytest.mark.parametrize(("arguments", "word"), [(("valid",), "split"), (("train", "big"), "size"), ((None,), "split")])
def test_unknown_splits_and_sizes(arguments: tuple[Any, ...], word: str, refused: Any) -> None:
    with refused(ValueError, word):
        mnist(*arguments)


def test_without_keeps_order_and_removes_every_copy() -> None:
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)[[0, 3, 1, 3, 5]]
    assert exclude_images(images, images[[1, 4]]).flatten().tolist() == [0, 1]
    assert torch.equal(exclude_images(images, images[:0]), images)
    assert exclude_images(images, images).shape == (0, 1, 1, 1)


def test_exclude_images_refuses_other_types(digits: Tensor, refused: Any) -> None:
    for bad in (digits.float(), digits[0], digits.numpy(), None):
        with refused(TypeError, "images must", "uint8"):
            exclude_images(bad, digits)  # type: ignore[arg-type]
        with refused(TypeError, "unwanted must", "uint8"):
            exclude_images(digits, bad)  # type: ignore[arg-type]


# --- the full MNIST, where it is at hand ---------------------------------------------------------------------------


def test_full_mnist(full_mnist: Path, tmp_path: Path) -> None:
    for split, count, first in (("train", 60_000, [5, 0, 4, 1, 9]), ("test", 10_000, [7, 2, 1, 0, 4])):
        images, labels = mnist(split, "full", full_mnist, labels=True)
        assert images.shape == (count, 1, 28, 28) and images.dtype == torch.uint8
        assert labels.shape == (count,) and labels.dtype == torch.int64
        assert labels[:5].tolist() == first
        packed = full_mnist / f"MNIST/raw/{'train' if split == 'train' else 't10k'}-images-idx3-ubyte.gz"
        (tmp_path / split).write_bytes(gzip.decompress(packed.read_bytes()))
        assert torch.equal(images.squeeze(1), read_image_file(str(tmp_path / split)))
    # Casey and Racape's test set: 80.7 % exact zeros, mean 0.1325.
    assert images.float().mean() / 255 == pytest.approx(0.1325, abs=5e-5)
    assert (images == 0).float().mean() == pytest.approx(0.807, abs=5e-4)


def test_all_small_digits_are_full_training_digits(full_mnist: Path, small_train: Tensor, small_test: Tensor) -> None:
    full = mnist("train", "full", full_mnist)
    assert len(exclude_images(torch.cat([small_train, small_test]), full)) == 0
    assert len(exclude_images(full, small_test)) == 59_000
    assert len(exclude_images(small_test, mnist("test", "full", full_mnist))) == 1000


# --- NoisyImages -----------------------------------------------------------------------------------------------------


def stacked(pairs: NoisyImages) -> tuple[Tensor, Tensor]:
    items = [pairs[index] for index in range(len(pairs))]
    return torch.stack([noisy for noisy, _ in items]), torch.stack([clean for _, clean in items])


def served(pairs: NoisyImages, size: int = 10, **options: Any) -> tuple[Tensor, Tensor]:
    batches = list(pairs.batches(size, **options))
    return torch.cat([noisy for noisy, _ in batches]), torch.cat([clean for _, clean in batches])


@pytest.fixture(params=["uint8", "float"])
def clean(request: pytest.FixtureRequest, digits: Tensor) -> Tensor:
    return digits if request.param == "uint8" else digits.double() / 255


def test_fixed_noise_is_drawn_once(clean: Tensor) -> None:
    pairs = NoisyImages(clean, Blend(0.25))
    noisy, target = stacked(pairs)
    assert noisy.dtype == target.dtype == torch.float32 and noisy.shape == target.shape == clean.shape
    for again in (stacked(pairs), served(pairs), served(pairs, 32), served(NoisyImages(clean, Blend(0.25)))):
        assert torch.equal(again[0], noisy) and torch.equal(again[1], target)
    assert torch.equal((target * 255).round().byte(), (clean * (255 if clean.is_floating_point() else 1)).round().byte())
    assert torch.equal(pairs[-1][0], noisy[-1])
    expected = Blend(0.25)(as_float_images(clean), torch.Generator().manual_seed(0))
    assert torch.equal(noisy, expected)


def test_fresh_noise_is_drawn_at_each_access(clean: Tensor) -> None:
    pairs = NoisyImages(clean, Blend(0.25), fresh=True)
    draws = [stacked(pairs)[0], stacked(pairs)[0], served(pairs)[0], served(pairs)[0]]
    for first in range(4):
        for second in range(first):
            for index in range(len(clean)):
                assert not torch.equal(draws[first][index], draws[second][index])
    assert torch.equal(stacked(pairs)[1], stacked(NoisyImages(clean, Blend(0.25)))[1])


def test_fresh_noise_is_reproducible(digits: Tensor) -> None:
    first, second = (NoisyImages(digits, Blend(0.25), fresh=True, seed=3) for _ in range(2))
    assert torch.equal(stacked(first)[0], stacked(second)[0])
    assert torch.equal(served(first)[0], served(second)[0])
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    assert torch.equal(served(first, generator=generators[0])[0], served(second, generator=generators[1])[0])


@pytest.mark.parametrize("fresh", [False, True])
def test_the_global_generator_is_untouched(digits: Tensor, fresh: bool) -> None:
    before = torch.random.get_rng_state()
    pairs = NoisyImages(digits, Blend((0.1, 0.4)), fresh=fresh)
    stacked(pairs), served(pairs), served(pairs, generator=torch.Generator())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_seeds_differ(digits: Tensor) -> None:
    first, second = (stacked(NoisyImages(digits, Blend(0.25), seed=seed))[0] for seed in (0, 1))
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_setting_the_noise_keeps_the_draw(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(1.0, clip=False), seed=2)
    normal, target = stacked(pairs)
    for mu in (0.4, 0.1, 0.0):
        pairs.noise = Blend(mu, clip=False)
        assert pairs.noise == Blend(mu, clip=False)
        assert torch.allclose(stacked(pairs)[0], (1 - mu) * target + mu * normal, rtol=0, atol=1e-6)
        assert torch.equal(served(pairs)[0], stacked(pairs)[0])


def test_setting_fresh_noise(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(0.5), fresh=True)
    pairs.noise = Blend(0)
    noisy, target = stacked(pairs)
    assert torch.equal(noisy, target)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_refused_noise_leaves_the_data_set_as_it_was(digits: Tensor, fresh: bool, refused: Any) -> None:
    pairs = NoisyImages(digits, Blend(0.25), fresh=fresh)
    with refused(TypeError, "noise", "Blend(0.25)"):
        pairs.noise = 0.25  # type: ignore[assignment]
    if not fresh:
        before = stacked(pairs)[0]
        with refused(ValueError, "PointSample"):
            pairs.noise = PointSample(5)  # 28 does not divide by 5
        assert torch.equal(stacked(pairs)[0], before)
    assert pairs.noise == Blend(0.25)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_noise_that_makes_smaller_images(digits: Tensor, fresh: bool) -> None:
    pairs = NoisyImages(digits, PointSample(4), fresh=fresh)
    for noisy, target in (stacked(pairs), served(pairs)):
        assert noisy.shape == target.shape == (32, 1, 7, 7)
        assert torch.allclose(target, torch.nn.functional.avg_pool2d(digits / 255, 4))


@pytest.mark.parametrize("fresh", [False, True])
def test_shuffled_batches_are_a_permutation(digits: Tensor, fresh: bool) -> None:
    pairs = NoisyImages(digits, Blend(0.25), fresh=fresh)
    generator = torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        batches = list(pairs.batches(10, generator=generator))
        assert [len(noisy) for noisy, _ in batches] == [10, 10, 10, 2]
        noisy, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
        order = [(digits / 255 == image).flatten(1).all(dim=1).nonzero().item() for image in target]
        assert sorted(order) == list(range(32)) and order != list(range(32))
        orders.append(order)
        if not fresh:
            assert torch.equal(noisy, stacked(pairs)[0][order])
        else:  # the noise belongs to the image beside it
            assert ((noisy - target).square().mean(dim=(1, 2, 3)) < 0.1).all()
    assert orders[0] != orders[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_each_item_and_epoch_its_own_noise(workers: int) -> None:
    same = torch.full((8, 1, 8, 8), 128, dtype=torch.uint8)  # one gray image eight times: only the noise can differ
    pairs = NoisyImages(same, Gaussian(0.1), fresh=True)
    loader = DataLoader(pairs, batch_size=2, num_workers=workers, generator=torch.Generator().manual_seed(0))
    images = [image for _ in range(2) for noisy, _ in loader for image in noisy]
    assert len(images) == 16
    assert len({image.numpy().tobytes() for image in images}) == 16


def test_a_data_loader_with_fixed_noise_equals_the_data_set(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(0.25))
    loader = DataLoader(pairs, batch_size=5, num_workers=2, generator=torch.Generator())
    assert torch.equal(torch.cat([noisy for noisy, _ in loader]), stacked(pairs)[0])


def test_the_clean_images_are_not_changed(clean: Tensor) -> None:
    before = clean.clone()
    for fresh in (False, True):
        pairs = NoisyImages(clean, Blend(0.0), fresh=fresh)
        for noisy, target in [*pairs.batches(4), pairs[0]]:
            noisy.add_(1)
            assert noisy.data_ptr() != target.data_ptr()
    assert torch.equal(clean, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_batches_on_a_gpu(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(0.25))
    on_gpu = served(pairs, device="cuda")
    assert on_gpu[0].is_cuda and torch.equal(on_gpu[0].cpu(), served(pairs)[0])
    assert torch.equal(served(NoisyImages(digits.cuda(), Blend(0.25)))[0].cpu(), served(pairs)[0])
    fresh = NoisyImages(digits, Blend(0.25), fresh=True)
    assert not torch.equal(served(fresh, device="cuda")[0], served(fresh, device="cuda")[0])


BAD_CLEAN: list[tuple[Callable[[Tensor], Any], type[Exception]]] = [
    (lambda x: x.numpy(), TypeError),
    (lambda x: None, TypeError),
    (lambda x: x.long(), TypeError),
    (lambda x: x[0], ValueError),
    (lambda x: x[:0], ValueError),
    (lambda x: x.float(), ValueError),  # 0..255
    (lambda x: x / 255 - 0.1, ValueError),
    (lambda x: torch.full((1, 1, 4, 4), float("nan")), ValueError),
]


@pytest.mark.parametrize(("change", "error"), BAD_CLEAN)
def test_bad_clean_images(change: Callable[[Tensor], Any], error: type[Exception], digits: Tensor, refused: Any) -> None:
    for fresh in (False, True):
        with refused(error, "clean"):
            NoisyImages(change(digits), Blend(0.25), fresh=fresh)


def test_bad_arguments(digits: Tensor, refused: Any) -> None:
    for noise in (0.25, "blend:0.25", None, Blend):
        with refused(TypeError, "noise"):
            NoisyImages(digits, noise)  # type: ignore[arg-type]
    for seed, error in ((-1, ValueError), (0.5, TypeError), (True, TypeError), ("0", TypeError)):
        with refused(error, "seed"):
            NoisyImages(digits, Blend(0.25), seed=seed)  # type: ignore[arg-type]
    pairs = NoisyImages(digits, Blend(0.25))
    for size, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError), (None, TypeError)):
        with refused(error, "size"):
            next(pairs.batches(size))  # type: ignore[arg-type]
    with refused(TypeError, "generator"):
        next(pairs.batches(4, generator=0))  # type: ignore[arg-type]
    for index in (32, -33):
        with refused(IndexError, str(index), "32 images"):
            pairs[index]


def test_as_float_images(digits: Tensor, refused: Any) -> None:
    assert torch.equal(as_float_images(digits), digits / 255)
    assert as_float_images(digits.double() / 255).dtype == torch.float32
    with refused(TypeError, "pictures"):
        as_float_images(digits.int(), "pictures")
    with refused(ValueError, "pictures", "[0, 1]"):
        as_float_images(digits.float(), "pictures")
