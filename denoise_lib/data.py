"""Data sets of pairs made from clean images: (noisy, clean), and (noisy, noisy again).

`NoisyImages` pairs clean images with noisy copies of them, `NoisyPairs` pairs two noisy copies, as Noise2Noise does; the
noise is drawn once (the papers) or anew whenever an image is seen. The clean images come from `mnist` and `photos`.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from .internal.checks import (
    FLOATS,
    check_count,
    check_device,
    check_flag,
    check_generator,
    check_images,
    check_same_shape,
    check_tensor,
    describe,
)
from .noise import Blend, Noise
from .sources.digits import exclude_images, mnist
from .sources.photographs import photos

__all__ = ["NoisyImages", "NoisyPairs", "as_float_images", "exclude_images", "mnist", "photos", "training_noise_seed"]

TEST_NOISE_SEED = 1
"""The seed of all test noise, so that all networks are measured on the same noisy images."""


class NoisyImages(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (noisy, clean) for supervised denoising, as a torch `Dataset`.

    The noise can be changed while the data set is in use: `data.noise = Blend(0.4)`. One seed draws the same random
    numbers at every level, so that only the level changes.

    Args:
        clean: images, uint8 or float in [0, 1], shape (N, C, H, W).
        noise: a noise model, such as `Blend(0.25)`.
        fresh: False draws each image's noise once, as the paper does; True draws it anew whenever an image is served.
        seed: of the noise.

    `data[i]` returns one pair of shape (C, H, W), for a `DataLoader`; `data.batches(...)` serves whole batches from one
    tensor, many times faster than item by item.
    """

    def __init__(self, clean: Tensor, noise: Noise, *, fresh: bool = False, seed: int = 0) -> None:
        self._images = as_float_images(clean, "clean") if clean_is_float(clean) else clean
        self.fresh = check_flag(fresh, "fresh")
        self.seed = check_count(seed, "seed", 0, example=0)
        self._generator = torch.Generator().manual_seed(seed)
        self._worker_seed: int | None = None
        self.noise = noise

    @property
    def noise(self) -> Noise:
        """The noise model; setting it draws the fixed noise again, from the same seed."""
        return self._noise

    @noise.setter
    def noise(self, noise: Noise) -> None:
        if not isinstance(noise, Noise):
            raise TypeError(f"noise must be a noise model such as Blend(0.25), but is a {type(noise).__name__}.")
        fixed: Tensor | None = None
        if not self.fresh:
            # Drawn on the CPU, so that one seed gives the same noisy images on every device.
            generator = torch.Generator().manual_seed(self.seed)
            fixed = noise(as_float_images(self._images).cpu(), generator).to(self._images.device)
        self._noise, self._fixed = noise, fixed  # both or, where the noise does not fit the images, neither

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One pair (noisy, clean), float32, each (C, H, W)."""
        place = _place(index, len(self), "images")
        image = as_float_images(self._images[place][None])
        if self._fixed is not None:
            return self._fixed[place].clone(), self._noise.clean(image)[0].clone()
        noisy = self._noise(image.cpu(), self._item_generator())[0]
        return noisy.to(image.device), self._noise.clean(image)[0]

    def batches(
        self,
        size: int,
        device: torch.device | str | None = None,
        *,
        generator: torch.Generator | None = None,
        shuffle: bool = True,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Serve all pairs once, in batches (noisy, clean) of float32 tensors (size, C, H, W); the last may be smaller.

        Args:
            size: images in a batch.
            device: where the batches are wanted; the whole set is moved there once, not item by item.
            generator: a CPU generator that shuffles the images and seeds fresh noise. None serves them in order.
            shuffle: False serves them in order with a generator too.
        """
        check_count(size, "size", example=128)
        check_generator(generator, torch.device("cpu"))
        check_flag(shuffle, "shuffle")
        device = check_device(device) if device is not None else self._images.device
        images = self._images.to(device)
        fixed = self._fixed.to(device) if self._fixed is not None else None
        order = _order(len(self), generator, shuffle, device)
        noise_seed = int(torch.randint(2**62, (1,), generator=generator or self._generator))
        fresh_noise = torch.Generator(device).manual_seed(noise_seed)
        for start in range(0, len(self), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            image = as_float_images(images[chosen])
            noisy = fixed[chosen] if fixed is not None else self._noise(image, fresh_noise)
            # Copies, where these are views: a change of the batch leaves the data set alone.
            yield (noisy, self._noise.clean(image)) if order is not None else (noisy.clone(), self._noise.clean(image).clone())

    def fingerprint(self) -> str:
        """Eight letters that change with the images and the seed: a checkpoint of other data must not pass for one of these."""
        return _fingerprint([self._images], self.seed)

    def _item_generator(self) -> torch.Generator:
        self._worker_seed = _reseed_in_worker(self._generator, self._worker_seed)
        return self._generator


class NoisyPairs(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (noisy, other noisy) for Noise2Noise, as a torch `Dataset`: two independent noisy copies of each image.

    Args:
        clean: images, uint8 or float in [0, 1], shape (N, C, H, W); for `PointSample` the large photos.
        noise: a noise model, of the input and, without `target_noise`, of the target.
        target_noise: another noise model for the target, such as `Bernoulli(0.5, missing=nan)`.
        fresh: False draws both copies once, as the second paper did; True draws them anew whenever a pair is served.
        exchange: swap the two copies at each pixel with probability 1/2, anew whenever a pair is served. For noise that is
            independent from pixel to pixel this makes new, equally good pairs of the old: 2^(H*W) of them.
        flips: mirror and turn each pair by a random one of the eight symmetries of the square, anew whenever it is served.
        seed: of the noise and, for single items, of exchange and flips.

    `data[i]` returns one pair of shape (C, H, W), `data.batches(...)` whole batches from one tensor, as for `NoisyImages`.

    Example:
        >>> from denoise_lib import Gaussian
        >>> pairs = NoisyPairs(torch.rand(10, 3, 32, 32), Gaussian(0.1), exchange=True)
        >>> noisy, other = pairs[0]
    """

    noise: Noise | None
    target_noise: Noise | None
    _images: tuple[Tensor, ...]  # both copies; or, with fresh noise, the clean images alone

    def __init__(
        self,
        clean: Tensor,
        noise: Noise,
        *,
        target_noise: Noise | None = None,
        fresh: bool = False,
        exchange: bool = False,
        flips: bool = False,
        seed: int = 0,
    ) -> None:
        target_noise = noise if target_noise is None else target_noise
        for name, model in (("noise", noise), ("target_noise", target_noise)):
            if not isinstance(model, Noise):
                raise TypeError(f"{name} must be a noise model such as Gaussian(0.1), but is a {type(model).__name__}.")
        images = as_float_images(clean, "clean") if clean_is_float(clean) else clean
        check_flag(fresh, "fresh")
        check_flag(exchange, "exchange")
        one = as_float_images(images[:1]).cpu()
        shapes = [model(one, torch.Generator()).shape[1:] for model in (noise, target_noise)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"both copies must have one shape, but noise and target_noise give {shapes[0]} and {shapes[1]}.")
        if exchange and repr(target_noise) != repr(noise):
            raise ValueError("exchange=True needs one noise for both copies, but target_noise differs from noise.")
        if exchange and isinstance(noise, Blend) and isinstance(noise.mu, tuple):
            raise ValueError("exchange=True needs one level for both copies, but this Blend draws one for each image.")
        self._set_up(exchange, flips, seed)
        self.noise, self.target_noise, self.fresh = noise, target_noise, fresh
        if fresh:
            self._images = (images,)
        else:
            # Drawn on the CPU, so that one seed gives the same noisy images on every device.
            generator, whole = torch.Generator().manual_seed(seed), as_float_images(images).cpu()
            self._images = tuple(model(whole, generator).to(images.device) for model in (noise, target_noise))

    @classmethod
    def from_copies(
        cls, first: Tensor, second: Tensor, *, exchange: bool = False, flips: bool = False, seed: int = 0
    ) -> NoisyPairs:
        """Pairs whose two copies are at hand, uint8 or float in [0, 1], (N, C, H, W) each; no clean image is needed.

        With the clean images as `second` this is training with clean targets.
        """
        for name, copy in (("first", first), ("second", second)):
            clean_is_float(copy, name)
        check_same_shape(first, second, "first", "second")
        pairs = cls.__new__(cls)
        pairs._set_up(exchange, flips, seed)
        pairs.noise, pairs.target_noise, pairs.fresh = None, None, False
        pairs._images = (first, second)
        return pairs

    def _set_up(self, exchange: bool, flips: bool, seed: int) -> None:
        self.exchange, self.flips = check_flag(exchange, "exchange"), check_flag(flips, "flips")
        self.seed = check_count(seed, "seed", 0, example=0)
        self._generator = torch.Generator().manual_seed(seed)
        self._worker_seed: int | None = None

    @property
    def augmentation(self) -> str:
        """What is done to each pair when it is served: 'none', 'exchange', 'flips' or 'exchange and flips'."""
        return " and ".join(name for name in ("exchange", "flips") if getattr(self, name)) or "none"

    def __len__(self) -> int:
        return len(self._images[0])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One pair, float32, each (C, H, W)."""
        place = _place(index, len(self), "pairs")
        self._worker_seed = _reseed_in_worker(self._generator, self._worker_seed)
        first, second = self._pairs_from([images[place : place + 1].cpu() for images in self._images], self._generator)
        return first[0].to(self._images[0].device), second[0].to(self._images[0].device)

    def batches(
        self,
        size: int,
        device: torch.device | str | None = None,
        *,
        generator: torch.Generator | None = None,
        shuffle: bool = True,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Serve all pairs once, in batches of float32 tensors (size, C, H, W); arguments as for `NoisyImages.batches`."""
        check_count(size, "size", example=32)
        check_generator(generator, torch.device("cpu"))
        check_flag(shuffle, "shuffle")
        device = check_device(device) if device is not None else self._images[0].device
        sources = [images.to(device) for images in self._images]
        order = _order(len(self), generator, shuffle, device)
        seed = int(torch.randint(2**62, (1,), generator=generator or self._generator))
        draws = torch.Generator(device).manual_seed(seed)
        for start in range(0, len(self), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            yield self._pairs_from([images[chosen] for images in sources], draws)

    def fingerprint(self) -> str:
        """Eight letters that change with the images and the seed: a checkpoint of other data must not pass for one of these."""
        return _fingerprint(self._images, self.seed)

    def _pairs_from(self, parts: list[Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if self.fresh and self.noise is not None and self.target_noise is not None:
            image = as_float_images(parts[0])
            first, second = self.noise(image, generator), self.target_noise(image, generator)
        else:  # noisy values may leave [0, 1]: not checked; copied, so that a change of the batch leaves the data set alone
            first, second = (part.float() / 255 if part.dtype == torch.uint8 else part.float().clone() for part in parts)
        if self.exchange:
            first, second = exchange_pixels(first, second, generator)
        if self.flips:
            first, second = random_symmetry(first, second, generator)
        return first, second


def training_noise_seed(seed: int) -> int:
    """The seed of the noise that a training with this seed sees: 0, 2, 3, 4, ...

    `TEST_NOISE_SEED` is left out: no network may train on the very noise that it is tested with.
    """
    return check_count(seed, "seed", 0, 2**63 - 2, example=0) + (seed >= TEST_NOISE_SEED)


def exchange_pixels(first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Swap two noisy copies at each pixel with probability 1/2, in all channels together: (N, C, H, W) each.

    Where the noise is independent from pixel to pixel, the result has the law of a new pair.
    """
    _check_copies(first, second, generator)
    swap = torch.rand(first[:, :1].shape, generator=generator, device=first.device) < 0.5
    return torch.where(swap, second, first), torch.where(swap, first, second)


def random_symmetry(first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and turn each pair alike, by one of the square's eight symmetries (four where the image is no square)."""
    _check_copies(first, second, generator)
    choice = torch.rand(3, len(first), 1, 1, 1, generator=generator, device=first.device) < 0.5
    square = first.shape[-1] == first.shape[-2]

    def turn(image: Tensor) -> Tensor:
        image = torch.where(choice[0], image.flip(-1), image)
        image = torch.where(choice[1], image.flip(-2), image)
        return torch.where(choice[2], image.transpose(-1, -2), image) if square else image

    return turn(first), turn(second)


def _check_copies(first: Tensor, second: Tensor, generator: torch.Generator) -> None:
    """Shapes and types alone: noisy values may leave [0, 1], and NaN marks those that are missing."""
    check_same_shape(first, second, "first", "second")
    if first.dim() != 4 or first.dtype not in FLOATS or second.dtype not in FLOATS:
        found = f"are {first.dtype} and {second.dtype} of shape {tuple(first.shape)}"
        raise ValueError(f"first and second must be float batches (N, C, H, W), but {found}.")
    check_generator(generator, first.device)


def _place(index: int, count: int, things: str) -> int:
    """An index, counted from the end where it is negative, as a place in a data set."""
    try:
        place = operator.index(index)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"index must be one whole number, such as 0, but is {describe(index)}.") from None
    if not -count <= place < count:
        raise IndexError(f"index {place if abs(place) < 10**30 else 'given'} is out of range for {count} {things}.")
    return place % count


def _fingerprint(images: Iterable[Tensor], seed: int) -> str:
    digest = hashlib.sha256(str(seed).encode())
    for part in images:
        digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]


def _order(count: int, generator: torch.Generator | None, shuffle: bool, device: torch.device) -> Tensor | None:
    """A random order of `count` items, or None for their own."""
    return torch.randperm(count, generator=generator).to(device) if shuffle and generator is not None else None


def _reseed_in_worker(generator: torch.Generator, last_seed: int | None) -> int | None:
    """A worker process starts with a copy of the parent's generator: reseed it, or all workers draw one noise."""
    worker = get_worker_info()
    if worker is None or worker.seed == last_seed:
        return last_seed
    generator.manual_seed(worker.seed)
    return int(worker.seed)


def clean_is_float(clean: object, name: str = "clean") -> bool:
    """True for float images; False for uint8 images of shape (N, C, H, W); an error for all else."""
    if not isinstance(clean, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of images, but is a {type(clean).__name__}; for example mnist().")
    check_tensor(clean, name)
    if clean.dim() != 4 or not clean.numel():
        raise ValueError(f"{name} must have the shape (N, C, H, W) and hold images, but has {tuple(clean.shape)}.")
    if clean.dtype not in FLOATS and clean.dtype != torch.uint8:
        raise TypeError(f"{name} must be uint8, or float in [0, 1], but its dtype is {clean.dtype}.")
    return clean.is_floating_point()


def as_float_images(images: Tensor, name: str = "images") -> Tensor:
    """uint8 0..255 -> float32 0..1; float images are checked and returned as float32."""
    if check_tensor(images, name).dtype == torch.uint8:
        return images.float() / 255
    return check_images(images, name).float()
