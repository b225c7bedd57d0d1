"""Exercises of notebook 1, and the wrong answers that people give: noise and its measures."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from .exercise import Exercise, Mistake, noise_facts


def _images(generator: Generator, count: int = 3, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, 6, 5, generator=generator)


def _image_noise_mu(generator: Generator) -> tuple[Any, ...]:
    mu = 0.3 + 0.2 * float(torch.rand((), generator=generator))
    return _images(generator), torch.randn(3, 1, 6, 5, generator=generator), mu


def _image_wild_noise_mu(generator: Generator) -> tuple[Any, ...]:
    image, noise, mu = _image_noise_mu(generator)
    noise[:, :, 0, :2] = torch.tensor([-9.0, 9.0])  # so that some values lie below -1, too
    return image, noise, mu


def _noisy_and_clean(generator: Generator) -> tuple[Any, ...]:
    """Images and channels that are not equally noisy; no pixel is without an error, whose logarithm would be infinite."""
    clean = 0.3 + 0.4 * _images(generator, channels=3)
    levels = torch.tensor([0.3, 0.6, 1.0])[:, None, None, None] * torch.tensor([1.0, 0.4, 0.7])[:, None, None]
    size, sign = 0.2 + 0.8 * _images(generator, channels=3), _images(generator, channels=3) < 0.5
    return clean + 0.3 * levels * torch.where(sign, size, -size), clean


def blend(image: Tensor, noise: Tensor, mu: float) -> Tensor:
    return ((1 - mu) * image + mu * noise).clamp(0, 1)


def with_variance(image: Tensor, noise: Tensor, variance: float) -> Tensor:
    return image + math.sqrt(variance) * noise


def two_copies(image: Tensor, mu: float, generator: Generator) -> tuple[Tensor, Tensor]:
    first = (1 - mu) * image + mu * torch.randn(image.shape, generator=generator)
    second = (1 - mu) * image + mu * torch.randn(image.shape, generator=generator)
    return first, second


def to_float(image: Tensor) -> Tensor:
    return image.float() / 255


def mean_psnr(noisy: Tensor, clean: Tensor) -> Tensor:
    error = (noisy - clean).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).mean()


def _same_noise(image: Tensor, mu: float, generator: Generator) -> tuple[Tensor, Tensor]:
    copy = two_copies(image, mu, generator)[0]
    return copy, copy


def _fixed_seed(image: Tensor, mu: float, generator: Generator) -> tuple[Tensor, Tensor]:
    noises = [torch.randn(image.shape, generator=Generator().manual_seed(0)) for _ in range(2)]
    return (1 - mu) * image + mu * noises[0], (1 - mu) * image + mu * noises[1]


def _with_noise_of(shape: torch.Size, image: Tensor, mu: float, generator: Generator, uniform: bool = False) -> Any:
    draw = torch.rand if uniform else torch.randn
    return tuple((1 - mu) * image + mu * draw(shape, generator=generator) for _ in range(2))


def _noise_on_noise(image: Tensor, mu: float, generator: Generator) -> tuple[Tensor, Tensor]:
    first = two_copies(image, mu, generator)[0]
    return first, (1 - mu) * first + mu * torch.randn(image.shape, generator=generator)


def _one_clean(image: Tensor, mu: float, generator: Generator) -> tuple[Tensor, Tensor]:
    return two_copies(image, mu, generator)[0], image


def _scaled(image: Tensor, mu: float, generator: Generator, power: float, dim: float) -> tuple[Tensor, Tensor]:
    return tuple(dim * image + mu**power * torch.randn(image.shape, generator=generator) for _ in range(2))  # type: ignore[return-value]


def _pair_facts(arguments: tuple[Any, ...], output: Any) -> Any:
    image, mu, generator = arguments
    return noise_facts(output, (1 - mu) * image, generator)


def _gray_and_mu(generator: Generator) -> tuple[Any, ...]:
    mu = 0.15 + 0.1 * float(torch.rand((), generator=generator))
    source = Generator().manual_seed(2**31 + 1 + int(torch.randint(2**31, (), generator=generator)))
    return torch.tensor([0.05, 0.95]).repeat_interleave(200).expand(2, 1, 200, 400).clone(), mu, source


NOISE_EXERCISES = (
    Exercise(
        "blend",
        "Write blend(image, noise, mu): the papers' noise, (1 - mu) image + mu noise, clipped to [0, 1].",
        _image_wild_noise_mu,
        blend,
        (
            Mistake(
                "does not clip", "your values leave [0, 1]; clip them.", lambda image, noise, mu: (1 - mu) * image + mu * noise
            ),
            Mistake(
                "does not dim the image",
                "you add the noise to the full image; the blend dims it.",
                lambda image, noise, mu: (image + mu * noise).clamp(0, 1),
            ),
            Mistake(
                "neither dims nor clips",
                "you add the noise to the full image, and let values leave [0, 1]; the blend dims the image and clips the sum.",
                lambda image, noise, mu: image + mu * noise,
            ),
            Mistake(
                "clips at 1 alone",
                "your values end at 1, but some are below 0; clip at both ends.",
                lambda image, noise, mu: ((1 - mu) * image + mu * noise).clamp(max=1),
            ),
            Mistake(
                "clips at 0 alone",
                "your values end at 0, but some are above 1; clip at both ends.",
                lambda image, noise, mu: ((1 - mu) * image + mu * noise).clamp(min=0),
            ),
            Mistake(
                "mu on the wrong side",
                "you weigh the image with mu and the noise with 1 - mu; it is the other way round.",
                lambda image, noise, mu: (mu * image + (1 - mu) * noise).clamp(0, 1),
            ),
            Mistake(
                "mu as a variance",
                "you scale the noise with the root of mu; mu is its standard deviation.",
                lambda image, noise, mu: ((1 - mu) * image + mu**0.5 * noise).clamp(0, 1),
            ),
            Mistake(
                "clips the noise",
                "you clip the noise before it is added; clip the sum.",
                lambda image, noise, mu: (1 - mu) * image + mu * noise.clamp(0, 1),
            ),
            Mistake(
                "clips to [-1, 1]",
                "you clip to [-1, 1]; images lie in [0, 1].",
                lambda image, noise, mu: ((1 - mu) * image + mu * noise).clamp(-1, 1),
            ),
            Mistake(
                "scale of 255",
                "your noise is 255 times too strong; these images lie in [0, 1].",
                lambda image, noise, mu: ((1 - mu) * image + 255 * mu * noise).clamp(0, 1),
            ),
            Mistake(  # each call finds torch's own generator as the student's call has found it
                "noise of its own",
                "you draw noise of your own; mix in the noise that is given.",
                lambda image, noise, mu: ((1 - mu) * image + mu * torch.randn_like(image)).clamp(0, 1),
            ),
        ),
        (
            "Two images are mixed: one weight for each, and the weights add up to 1.",
            "The noise has standard deviation 1 before it is mixed in. What has it afterwards, if it is weighted with mu?",
            "Mix first; then .clamp(0, 1) on the result.",
        ),
    ),
    Exercise(
        "with_variance",
        "Write with_variance(image, noise, variance): image + noise of that variance; the given noise has variance 1. "
        "No clipping.",
        _image_noise_mu,
        with_variance,
        (
            Mistake(
                "variance as standard deviation",
                "you multiply by the variance; the factor of a random number is its standard deviation.",
                lambda image, noise, variance: image + variance * noise,
            ),
            Mistake(
                "variance squared",
                "you square the variance; take its root.",
                lambda image, noise, variance: image + variance**2 * noise,
            ),
            Mistake(
                "clips",
                "you clip; this noise is not clipped.",
                lambda image, noise, variance: (image + variance**0.5 * noise).clamp(0, 1),
            ),
            Mistake(
                "dims the image",
                "you dim the image; this noise is added to the whole of it.",
                lambda image, noise, variance: (1 - variance) * image + variance**0.5 * noise,
            ),
            Mistake(
                "noise alone", "you return the noise without the image.", lambda image, noise, variance: variance**0.5 * noise
            ),
            Mistake(
                "subtracts",
                "you subtract the noise: as likely, but not what is asked.",
                lambda image, noise, variance: image - variance**0.5 * noise,
            ),
        ),
        (
            "What happens to the variance of a random number when you multiply it by a?",
            "The variance of a * n is a squared times the variance of n.",
            "So a is the root of the wanted variance: variance**0.5.",
        ),
    ),
    Exercise(
        "two_copies",
        "Write two_copies(image, mu, generator): two unclipped noisy copies, (1 - mu) image + mu N, with independent normal "
        "noise N, as a tuple.",
        _gray_and_mu,
        two_copies,
        (
            Mistake(
                "ignores the generator",
                "your noise does not come from the generator as it is given; pass generator=generator to torch.randn, "
                "and do not seed it.",
                lambda image, mu, generator: two_copies(image, mu, Generator().manual_seed(7)),
            ),
            Mistake(
                "clips",
                "you clip; these copies are not clipped.",
                lambda image, mu, generator: tuple(copy.clamp(0, 1) for copy in two_copies(image, mu, generator)),
            ),
            Mistake(
                "one noise for both",
                "both copies have the same noise; the second needs other noise, which the generator gives if it just goes on.",
                _same_noise,
            ),
            Mistake(
                "one noise, and not the generator's",
                "both copies have the same noise, and it does not come from the generator as it is given; use that one, do "
                "not seed it, and let it go on.",
                _fixed_seed,
            ),
            Mistake(
                "one noise for all images",
                "all images of the batch get the same noise; each number has noise of its own.",
                lambda image, mu, generator: _with_noise_of(image.shape[1:], image, mu, generator),
            ),
            Mistake(
                "uniform noise",
                "you draw numbers between 0 and 1, as torch.rand does; normal noise has mean 0.",
                lambda image, mu, generator: _with_noise_of(image.shape, image, mu, generator, uniform=True),
            ),
            Mistake("noise on noise", "your second copy is made from the first; make both from the image.", _noise_on_noise),
            Mistake("one clean copy", "one of the two is the image itself; both have to be noisy.", _one_clean),
            Mistake(
                "mu as a variance",
                "your noise is too strong: mu is its standard deviation, and you take the root.",
                lambda image, mu, generator: _scaled(image, mu, generator, 0.5, 1 - mu),
            ),
            Mistake(
                "does not dim the image",
                "you add noise to the full image; the blend dims it to 1 - mu.",
                lambda image, mu, generator: _scaled(image, mu, generator, 1.0, 1.0),
            ),
        ),
        (
            "Draw noise once for each copy.",
            "A generator goes on where it was: use the one that you are given, twice.",
            "torch.randn(image.shape, generator=generator), once for each copy.",
        ),
        observe=_pair_facts,
        tolerance=0.02,
        evidence=False,
    ),
    Exercise(
        "to_float",
        "Write to_float(image): a uint8 image in 0..255 as float32 in [0, 1].",
        lambda generator: (torch.randint(20, 230, (2, 1, 6, 5), generator=generator).to(torch.uint8),),
        to_float,
        (
            Mistake("scale of 255", "your values still go up to 255; divide by 255.", lambda image: image.float()),
            Mistake("divides by 256", "you divide by 256, so that white is less than 1.", lambda image: image.float() / 256),
            Mistake(
                "divides whole numbers",
                "you divide as whole numbers, so that all but white is 0.",
                lambda image: (image // 255).float(),
            ),
            Mistake(
                "stretches each image",
                "you stretch the values to the image's own range; black and white must stay what they are.",
                lambda image: (image.float() - image.min()) / (image.max() - image.min()),
            ),
            Mistake(
                "scale of [-1, 1]",
                "your values go from -1 to 1; these images lie in [0, 1].",
                lambda image: image.float() / 127.5 - 1,
            ),
            Mistake("cuts at 1", "you cut the values at 1 instead of scaling them.", lambda image: image.float().clamp(0, 1)),
        ),
        (
            "What is white, in the file and in the network?",
            "The type first, then the scale: uint8 has no fractions.",
            "image.float() / 255",
        ),
    ),
    Exercise(
        "mean_psnr",
        "Write mean_psnr(noisy, clean): the mean over the images (N, C, H, W) of each image's PSNR in dB; values lie "
        "in [0, 1].",
        _noisy_and_clean,
        mean_psnr,
        (
            Mistake(
                "PSNR of the mean",
                "you take the logarithm of the error of all images together; take each image's PSNR, then the mean.",
                lambda noisy, clean: -10 * torch.log10((noisy - clean).square().mean()),
            ),
            Mistake(
                "one PSNR for each channel",
                "you take one PSNR for each channel, and then their mean; an image has one error over all its channels.",
                lambda noisy, clean: (-10 * torch.log10((noisy - clean).square().mean((2, 3)))).mean(),
            ),
            Mistake(
                "logarithm pixel by pixel",
                "you take the logarithm of each pixel's error; first comes the mean error of an image, then its logarithm.",
                lambda noisy, clean: (-10 * torch.log10((noisy - clean).square())).mean(),
            ),
            Mistake(
                "factor 20",
                "you use 20 log10 on a squared error; 20 belongs to its root.",
                lambda noisy, clean: 2 * mean_psnr(noisy, clean),
            ),
            Mistake(
                "natural logarithm",
                "you use the natural logarithm; decibels use log10.",
                lambda noisy, clean: (-10 * torch.log((noisy - clean).square().mean((1, 2, 3)))).mean(),
            ),
            Mistake(
                "scale of 255",
                "you take 255 as white; these images have 1.",
                lambda noisy, clean: mean_psnr(noisy, clean) + 20 * torch.log10(torch.tensor(255.0)),
            ),
            Mistake(
                "sign", "your sign is wrong: a smaller error has a larger PSNR.", lambda noisy, clean: -mean_psnr(noisy, clean)
            ),
            Mistake(
                "sum for mean",
                "you add up the squared errors of an image; take their mean.",
                lambda noisy, clean: (-10 * torch.log10((noisy - clean).square().sum((1, 2, 3)))).mean(),
            ),
            Mistake(
                "one number an image",
                "you return one number for each image; return their mean.",
                lambda noisy, clean: -10 * torch.log10((noisy - clean).square().mean((1, 2, 3))),
            ),
            Mistake(
                "sum of PSNRs",
                "you add up the images' PSNRs; take their mean.",
                lambda noisy, clean: len(noisy) * mean_psnr(noisy, clean),
            ),
        ),
        (
            "First one mean squared error for each image: a mean over which dimensions?",
            "PSNR = -10 log10(MSE) for values in [0, 1].",
            "error = (noisy - clean).square().mean(dim=(1, 2, 3)); then the logarithm, and the mean last.",
        ),
    ),
)
