"""Exercises of problem set 1, and the wrong answers that people give: noise that is not Gaussian, and decibels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from .exercise import Exercise, Mistake


def impulse_noise(image: Tensor, u: Tensor, p: float) -> Tensor:
    with_black = torch.where(u < p / 2, 0.0, image)
    return torch.where(u >= 1 - p / 2, 1.0, with_black)


def shot_noise(image: Tensor, noise: Tensor, peak: int) -> Tensor:
    return image + (image / peak).sqrt() * noise


def sigma_for_psnr(psnr: float) -> float:
    return float(10 ** (-psnr / 20))


def noise_of_differences(noisy: Tensor) -> Tensor:
    differences = noisy[:, :, :, 1:] - noisy[:, :, :, :-1]
    return differences.std() / math.sqrt(2)


def psnr_of_average(psnr: float, copies: int) -> float:
    return psnr + 10 * math.log10(copies)


def _image_u_p(generator: Generator) -> tuple[Any, ...]:
    """One u in each of 60 equal parts of [0, 1), and an image without black and white; no u is close to a limit."""
    image = 0.1 + 0.8 * torch.rand(2, 3, 6, 5, generator=generator)
    u = (torch.randperm(60, generator=generator) + 0.1 + 0.8 * torch.rand(60, generator=generator)) / 60
    return image, u.reshape(2, 1, 6, 5), 2 * int(torch.randint(9, 13, (), generator=generator)) / 60


def _peppered(image: Tensor, black: Tensor, white: Tensor) -> Tensor:
    return torch.where(white, 1.0, torch.where(black, 0.0, image))


def _first_channel(image: Tensor, u: Tensor, p: float) -> Tensor:
    return torch.cat([impulse_noise(image[:, :1], u, p), image[:, 1:]], dim=1)


def _hit(u: Tensor, p: float) -> Tensor:
    return (u < p / 2) | (u >= 1 - p / 2)


def _image_noise_peak(generator: Generator) -> tuple[Any, ...]:
    image = (1.1 * torch.rand(2, 3, 6, 5, generator=generator) - 0.1).clamp(min=0)  # some pixels are black
    return image, torch.randn(2, 3, 6, 5, generator=generator), int(torch.randint(10, 21, (), generator=generator))


def _decibels(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _striped(generator: Generator) -> tuple[Any, ...]:
    """Dark and light rows, brighter to the right, and noise: vertical neighbours differ by much more than noise."""
    contrast = 0.2 + 0.1 * torch.rand(64, generator=generator)
    rows = torch.stack([0.3 - contrast, 0.3 + contrast], dim=1).reshape(1, 1, 128, 1)
    sigma = 0.04 + 0.02 * float(torch.rand((), generator=generator))
    return (rows + torch.linspace(0, 0.4, 16) + sigma * torch.randn(1, 1, 128, 16, generator=generator),)


def _differences(noisy: Tensor) -> Tensor:
    return noisy.diff(dim=3)


NOISE_ASSIGNMENT = (
    Exercise(
        "impulse_noise",
        "Write impulse_noise(image, u, p): salt and pepper on images (N, C, H, W); u is uniform in [0, 1), (N, 1, H, W). "
        "A pixel becomes 0 in all channels where u < p / 2, 1 where u >= 1 - p / 2, and stays elsewhere.",
        _image_u_p,
        impulse_noise,
        (
            Mistake(
                "p for each side",
                "you hit twice as many pixels as asked: p is the share of black and white pixels together.",
                lambda image, u, p: _peppered(image, u < p, u >= 1 - p),
            ),
            Mistake("pepper alone", "no pixel becomes white.", lambda image, u, p: image.where(u >= p / 2, 0.0)),
            Mistake("salt alone", "no pixel becomes black.", lambda image, u, p: image.where(u < 1 - p / 2, 1.0)),
            Mistake(
                "all the hit pixels black",
                "you hit as many pixels as asked, but all of them become black; half of them should be white.",
                lambda image, u, p: image.where(u >= p, 0.0),
            ),
            Mistake(
                "white beside black",
                "your white pixels have a u that is just above that of the black ones; they belong to the other end of [0, 1).",
                lambda image, u, p: _peppered(image, u < p / 2, (u >= p / 2) & (u < p)),
            ),
            Mistake(
                "white for all the rest",
                "no pixel is left as it was: what does not become black becomes white.",
                lambda image, u, p: _peppered(image, u < p / 2, u >= p / 2),
            ),
            Mistake(
                "black and white exchanged",
                "you exchange black and white.",
                lambda image, u, p: _peppered(image, u >= 1 - p / 2, u < p / 2),
            ),
            Mistake(
                "hits all the others",
                "you replace the pixels that should stay, and keep those that should be replaced.",
                lambda image, u, p: torch.where(_hit(u, p), image, (u >= 0.5).float()),
            ),
            Mistake(
                "one channel only",
                "you hit the first channel alone; a pixel is black or white in all channels.",
                _first_channel,
            ),
            Mistake(
                "one mask for all images",
                "you use the first image's u for all images; each has its own.",
                lambda image, u, p: impulse_noise(image, u[:1], p),
            ),
            Mistake(
                "random brightness",
                "you put u itself into the image; these pixels become black or white.",
                lambda image, u, p: torch.where(_hit(u, p), u, image),
            ),
            Mistake(
                "gray",
                "the pixels that you hit become gray; they become black or white.",
                lambda image, u, p: torch.where(_hit(u, p), 0.5, image),
            ),
            Mistake(
                "adds instead of replacing",
                "you add and subtract 1, and leave [0, 1]; the new value does not depend on the old one.",
                lambda image, u, p: image + (u >= 1 - p / 2).float() - (u < p / 2).float(),
            ),
            Mistake(  # each call finds torch's own generator as the student's call has found it
                "chance of its own",
                "you draw random numbers of your own; u is given.",
                lambda image, u, p: impulse_noise(image, torch.rand_like(u), p),
            ),
            Mistake(
                "scale of 255",
                "your white is 255; these images lie in [0, 1].",
                lambda image, u, p: torch.where(u >= 1 - p / 2, 255.0, image.where(u >= p / 2, 0.0)),
            ),
        ),
        (
            "One random number decides for each pixel: which part of [0, 1) means black, which white, and which neither?",
            "The two parts have the length p / 2 each, and lie at the two ends.",
            "torch.where takes a condition of shape (N, 1, H, W) for an image (N, C, H, W), and leaves its input as it is.",
        ),
        graded=True,
    ),
    Exercise(
        "shot_noise",
        "Write shot_noise(image, noise, peak): image + noise of the variance image / peak at each pixel, as photons have it "
        "where white is `peak` photons. The given noise has standard deviation 1. No clipping.",
        _image_noise_peak,
        shot_noise,
        (
            Mistake(
                "variance as standard deviation",
                "you multiply the noise by its variance; the factor of a random number is its standard deviation.",
                lambda image, noise, peak: image + image / peak * noise,
            ),
            Mistake(
                "the same noise everywhere",
                "your noise is as strong in the dark as in the light; its variance grows with the image.",
                lambda image, noise, peak: image + noise / math.sqrt(peak),
            ),
            Mistake(
                "the mean brightness",
                "your noise depends on the mean of the image; it depends on each pixel's own value.",
                lambda image, noise, peak: image + (image.mean() / peak).sqrt() * noise,
            ),
            Mistake(
                "multiplies by the peak",
                "your noise grows with the number of photons; more photons make a better image.",
                lambda image, noise, peak: image + (image * peak).sqrt() * noise,
            ),
            Mistake(
                "divides outside the root",
                "you divide the standard deviation by the peak; it is the variance that is divided by it.",
                lambda image, noise, peak: image + image.sqrt() / peak * noise,
            ),
            Mistake(
                "root of the peak alone",
                "your noise is proportional to the image; it grows more slowly, with the image's root.",
                lambda image, noise, peak: image + image * noise / math.sqrt(peak),
            ),
            Mistake(
                "no peak",
                "your noise does not depend on the peak.",
                lambda image, noise, peak: image + image.sqrt() * noise,
            ),
            Mistake(
                "counts photons",
                "you return numbers of photons; bring them back to [0, 1], where white is 1.",
                lambda image, noise, peak: image * peak + (image * peak).sqrt() * noise,
            ),
            Mistake(
                "clips",
                "you clip; this noise is not clipped.",
                lambda image, noise, peak: shot_noise(image, noise, peak).clamp(0, 1),
            ),
            Mistake(
                "noise alone",
                "you return the noise without the image.",
                lambda image, noise, peak: (image / peak).sqrt() * noise,
            ),
            Mistake(
                "noise of its own",
                "you draw noise of your own; use the noise that is given.",
                lambda image, noise, peak: shot_noise(image, torch.randn_like(image), peak),
            ),
            Mistake(
                "draws photons",
                "you draw photons; asked is their normal approximation, from the noise that is given.",
                lambda image, noise, peak: torch.poisson(image * peak) / peak,
            ),
        ),
        (
            "n photons scatter with a variance of n. How many arrive at a pixel of this value?",
            "image * peak photons, with that variance. What becomes of the variance when you divide the photons by the peak?",
            "What multiplies the noise is a standard deviation: the root of a variance, pixel by pixel.",
        ),
        graded=True,
    ),
    Exercise(
        "sigma_for_psnr",
        "Write sigma_for_psnr(psnr): the standard deviation of unclipped Gaussian noise which gives images in [0, 1] this PSNR "
        "in dB, as a float.",
        lambda generator: (_decibels(generator, 12, 24),),
        sigma_for_psnr,
        (
            Mistake(
                "variance",
                "you return the mean squared error, which is the variance of the noise.",
                lambda psnr: 10 ** (-psnr / 10),
            ),
            Mistake("sign", "your noise grows with the PSNR; a larger PSNR has less noise.", lambda psnr: 10 ** (psnr / 20)),
            Mistake(
                "sign, and variance",
                "your result grows with the PSNR; a larger PSNR has less noise. And asked is a standard deviation.",
                lambda psnr: 10 ** (psnr / 10),
            ),
            Mistake(
                "natural base",
                "you undo a natural logarithm; decibels use log10.",
                lambda psnr: math.exp(-psnr / 20),
            ),
            Mistake(
                "variance of the natural base",
                "you undo a natural logarithm, and decibels use log10; and asked is a standard deviation, not a variance.",
                lambda psnr: math.exp(-psnr / 10),
            ),
            Mistake(
                "scale of 255",
                "your noise is 255 times too strong; these images lie in [0, 1].",
                lambda psnr: 255 * 10 ** (-psnr / 20),
            ),
            Mistake(
                "divides by 255",
                "your noise is 255 times too weak; these images lie in [0, 1].",
                lambda psnr: 10 ** (-psnr / 20) / 255,
            ),
            Mistake(
                "two roots",
                "you take the root of the standard deviation.",
                lambda psnr: 10 ** (-psnr / 40),
            ),
            Mistake(
                "the other way round",
                "you take a logarithm, as if a standard deviation were given and its PSNR asked.",
                lambda psnr: -20 * math.log10(psnr),
            ),
        ),
        (
            "What is the mean squared error of noise with standard deviation sigma?",
            "So PSNR = -10 log10(sigma squared). Solve for sigma.",
            "A factor before the logarithm can be the exponent within it: the square becomes a factor of 2.",
        ),
        tolerance=1e-6,
        graded=True,
    ),
    Exercise(
        "noise_of_differences",
        "Write noise_of_differences(noisy): sigma of the noise, estimated from one image (1, 1, H, W): the standard deviation "
        "(.std() in torch) of all differences of horizontal neighbours, columns j and j + 1, divided by the root of 2.",
        _striped,
        noise_of_differences,
        (
            Mistake(
                "forgets the root of 2",
                "you return the standard deviation of the differences; two pixels' noise is in each of them.",
                lambda noisy: _differences(noisy).std(),
            ),
            Mistake(
                "divides by 2",
                "you divide the standard deviation by 2; it is the variance that doubles.",
                lambda noisy: _differences(noisy).std() / 2,
            ),
            Mistake(
                "multiplies by the root",
                "you multiply by the root of 2; a difference is noisier than a pixel.",
                lambda noisy: _differences(noisy).std() * math.sqrt(2),
            ),
            Mistake(
                "vertical neighbours",
                "you compare pixels above each other; horizontal neighbours lie in one row.",
                lambda noisy: noisy.diff(dim=2).std() / math.sqrt(2),
            ),
            Mistake(
                "no differences",
                "you take the standard deviation of the pixels: the image itself is in it.",
                lambda noisy: noisy.std(),
            ),
            Mistake(
                "no differences, and the root of 2",
                "you take the standard deviation of the pixels, not of their differences: the image itself is in it.",
                lambda noisy: noisy.std() / math.sqrt(2),
            ),
            Mistake(
                "mean absolute difference",
                "you take the mean of the absolute differences; that is smaller than their standard deviation.",
                lambda noisy: _differences(noisy).abs().mean() / math.sqrt(2),
            ),
            Mistake(
                "standard deviation of the absolute differences",
                "you take the absolute values before the standard deviation; the signs belong to the differences.",
                lambda noisy: _differences(noisy).abs().std() / math.sqrt(2),
            ),
            Mistake(
                "variance",
                "you return the variance of the noise; asked is its standard deviation.",
                lambda noisy: _differences(noisy).var() / 2,
            ),
            Mistake(
                "variance of the differences",
                "you return the variance of the differences; asked is a standard deviation, and that of one pixel.",
                lambda noisy: _differences(noisy).var(),
            ),
            Mistake(
                "variance over the root of 2",
                "you take the variance of the differences; asked is their standard deviation.",
                lambda noisy: _differences(noisy).var() / math.sqrt(2),
            ),
            Mistake(
                "root mean square",
                "you take the root mean square: what the image itself changes from column to column counts as noise; the "
                "standard deviation leaves the mean difference out.",
                lambda noisy: _differences(noisy).square().mean().sqrt() / math.sqrt(2),
            ),
            Mistake(
                "wraps around",
                "you also compare the last column with the first: they are no neighbours.",
                lambda noisy: (noisy.roll(-1, 3) - noisy).std() / math.sqrt(2),
            ),
        ),
        (
            "Neighbours of a smooth image are nearly alike. What is left in their difference?",
            "The noise of two pixels: its variance is twice that of one.",
            "Subtract the image without its last column from the image without its first; the columns are the last dimension.",
        ),
        tolerance=3e-5,
        graded=True,
    ),
    Exercise(
        "psnr_of_average",
        "Write psnr_of_average(psnr, copies): the PSNR in dB, a float, of the mean of `copies` unclipped copies of one image "
        "with independent noise, each of which has this psnr.",
        lambda generator: (_decibels(generator, 15, 25), int(torch.randint(4, 9, (), generator=generator))),
        psnr_of_average,
        (
            Mistake(
                "factor 20",
                "you gain twice as many decibels as there are: averaging divides the squared error by the number of copies, "
                "and 20 belongs to its root.",
                lambda psnr, copies: psnr + 20 * math.log10(copies),
            ),
            Mistake(
                "root of the copies",
                "you gain half as many decibels as there are: the root belongs to the standard deviation, not to the squared "
                "error.",
                lambda psnr, copies: psnr + 10 * math.log10(math.sqrt(copies)),
            ),
            Mistake(
                "natural logarithm",
                "you use the natural logarithm; decibels use log10.",
                lambda psnr, copies: psnr + 10 * math.log(copies),
            ),
            Mistake("no factor", "you add bels; a bel has ten decibels.", lambda psnr, copies: psnr + math.log10(copies)),
            Mistake(
                "sign",
                "your mean is noisier than one copy; averaging makes noise weaker.",
                lambda psnr, copies: psnr - 10 * math.log10(copies),
            ),
            Mistake(
                "nothing gained",
                "you return the PSNR of one copy; the mean has less noise.",
                lambda psnr, copies: psnr,
            ),
            Mistake(
                "the gain alone",
                "you return what averaging gains; asked is the PSNR after it.",
                lambda psnr, copies: 10 * math.log10(copies),
            ),
            Mistake(
                "multiplies",
                "you multiply the decibels by the number of copies; a factor on the error is a sum in decibels.",
                lambda psnr, copies: psnr * copies,
            ),
            Mistake(
                "divides",
                "you divide the decibels by the number of copies: the error is divided by it, and a smaller error has a larger "
                "PSNR.",
                lambda psnr, copies: psnr / copies,
            ),
            Mistake(
                "adds the copies",
                "you add the number of copies itself; a factor on the error is a logarithm in decibels.",
                lambda psnr, copies: psnr + copies,
            ),
            Mistake(
                "one copy too few",
                "you count one copy too few.",
                lambda psnr, copies: psnr + 10 * math.log10(copies - 1),
            ),
            Mistake(
                "3 dB for each doubling",
                "3 dB for each doubling is rounded; do not round.",
                lambda psnr, copies: psnr + 3 * math.log2(copies),
            ),
        ),
        (
            "What is the variance of the mean of n independent random numbers?",
            "It is n times smaller, and so is the mean squared error.",
            "Put the new mean squared error into -10 log10(MSE); the logarithm of a quotient is a difference.",
        ),
        tolerance=1e-6,
        graded=True,
    ),
)
