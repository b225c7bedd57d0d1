"""The bank of the problem sets' questions with letters, set by set; the questions themselves stand in the notebooks."""

from __future__ import annotations

import math
from collections.abc import Callable

from .questions import ClassNumbers, Question, Text, WrongOption

Formula = Callable[[ClassNumbers], float]


def _words(text: str) -> Text:
    """The same for every class."""
    return lambda numbers: text


def _number(formula: Formula, form: str) -> Text:
    """A number of the class, written in this form."""
    return lambda numbers: form.format(formula(numbers))


def _pooled(numbers: ClassNumbers, power: float) -> float:
    """PSNR of two images, of 20 dB and 2 x copies dB more, if (mean squared error)^power is averaged."""
    errors = [10 ** (-(20 + more) / 10) for more in (0, 2 * numbers.copies)]
    return -10 / power * math.log10(sum(error**power for error in errors) / 2)


def _milliseconds(numbers: ClassNumbers, operations: float) -> float:
    """Time of a T4 for the class's thousands of digits, in ms."""
    return 1e3 * 1e3 * numbers.copies * operations / 8.1e12


NOISE_QUESTIONS = (
    Question(
        "mse_of_blend",
        _number(lambda n: 1.1 * n.mu**2, "{:.4f}"),
        (
            WrongOption(
                "forgets the dimming",
                _number(lambda n: n.mu**2, "{:.4f}"),
                "this is the noise alone: the blend also dims the image, and that is an error, too.",
            ),
            WrongOption(
                "standard deviation for variance",
                _number(lambda n: 1.1 * n.mu, "{:.4f}"),
                "the error is squared, and so mu is squared in it: mu is the standard deviation of the noise.",
            ),
            WrongOption(
                "counts the whole image as error",
                _number(lambda n: n.mu**2 + 0.1, "{:.4f}"),
                "the whole image counts as an error here; of it the share mu alone is taken away.",
            ),
            WrongOption(
                "counts what is left as error",
                _number(lambda n: n.mu**2 + 0.1 * (1 - n.mu) ** 2, "{:.4f}"),
                "what is left of the image, 1 - mu, counts as an error here; the error is what is taken away.",
            ),
        ),
    ),
    Question(
        "zeros_of_black",
        _words("50 %"),
        (
            WrongOption(
                "mu as a share of pixels",
                _number(lambda n: 100 * n.mu, "{:.0f} %"),
                "mu is no share of pixels: every pixel gets noise, and mu is its standard deviation.",
            ),
            WrongOption(
                "1 - mu as a share of pixels",
                _number(lambda n: 100 - 100 * n.mu, "{:.0f} %"),
                "1 - mu is no share of pixels that stay as they were: every pixel gets noise, and 1 - mu dims the image.",
            ),
            WrongOption(
                "half of mu",
                _number(lambda n: 50 * n.mu, "{:.0f} %"),
                "half of the noise is negative, that is right, but every pixel has noise, and not the share mu of them.",
            ),
            WrongOption(
                "no exact zeros",
                _words("0 %"),
                "a random number is hardly ever exactly 0, but clipping turns all the negative ones into 0.",
            ),
        ),
    ),
    Question(
        "unbiased_noise",
        lambda n: f"photons (Poisson): {n.peak} for white, without clipping",
        (
            WrongOption(
                "takes the blend for unbiased",
                lambda n: f"the blend at mu = {n.mu:.2f}, without clipping",
                "its noise has the mean 0, but the blend also dims every image to 1 - mu of its brightness.",
            ),
            WrongOption(
                "forgets what clipping does",
                lambda n: f"Gaussian noise of {n.sigma:.2f}, clipped to [0, 1]",
                "clipping cuts off one side of the noise where the image is dark or bright, and shifts the mean.",
            ),
            WrongOption(
                "takes black and white for balanced",
                lambda n: f"{n.mu:.0%} of the pixels black or white, half of them each".replace("%", " %"),
                "black and white balance for a gray pixel alone; a dark one becomes brighter on average, a bright one darker.",
            ),
            WrongOption(
                "forgets that missing pixels darken",
                lambda n: f"{n.mu:.0%} of the pixels missing, with a 0 in their place".replace("%", " %"),
                "a pixel that is sometimes 0 is darker on average.",
            ),
        ),
    ),
    Question(
        "pooled_psnr",
        _number(lambda n: _pooled(n, 1), "{:.2f} dB"),
        (
            WrongOption(
                "mean of the PSNRs",
                _number(lambda n: 20 + n.copies, "{:.2f} dB"),
                "this is the mean of the two PSNRs; pooled means that the squared errors are averaged before the logarithm.",
            ),
            WrongOption(
                "averages the roots",
                _number(lambda n: _pooled(n, 0.5), "{:.2f} dB"),
                "here the roots of the squared errors are averaged; the squared errors themselves should be.",
            ),
            WrongOption(
                "averages the quality",
                _number(lambda n: _pooled(n, -1), "{:.2f} dB"),
                "here 1 / error is averaged, which the better image rules; errors are averaged, and the worse image rules.",
            ),
            WrongOption(
                "the worse image alone",
                _words("20.00 dB"),
                "the worse image rules, but it is half of the pixels alone.",
            ),
        ),
    ),
)

NETWORK_QUESTIONS = (
    Question(
        "bottleneck",
        _words("pooling keeps the strongest of four values and forgets where it was; the skips still know"),
        (
            WrongOption(
                "compression",
                _words("fewer numbers leave the bottleneck than have entered the network, and details find no room"),
                "80 x 7 x 7 are 3,920 numbers, five times as many as the digit has: nothing is compressed.",
            ),
            WrongOption(
                "overfitting",
                _words("it has more parameters than the U-Net, and so it learns its training digits by heart"),
                "test and training errors are alike for both networks: neither has learnt its digits by heart.",
            ),
            WrongOption(
                "widths",
                _words("its transposed convolutions are wider than the U-Net's, and wide layers are harder to train"),
                "the U-Net with its skips zeroed has the narrow layers, and it loses as much.",
            ),
        ),
    ),
    Question(
        "skips_by_level",
        _words("a skip hands on details of the noisy input, and the noisier it is, the less these are worth"),
        (
            WrongOption(
                "parameters",
                _words("the U-Net has fewer parameters, and that helps most where there is the least to learn"),
                "with its skips zeroed the U-Net has as few parameters, and its lead is gone.",
            ),
            WrongOption(
                "both are perfect",
                _words("at severe noise both networks are nearly perfect, so that there is no lead to be won"),
                "at severe noise both have their largest errors, by far.",
            ),
            WrongOption(
                "skips remove noise",
                _words("a skip takes the noise away before the decoder, and at severe noise this is too much for it"),
                "a skip takes nothing away: it copies what the encoder has, with its noise.",
            ),
            WrongOption(
                "ratios say nothing",
                _words("nothing, since errors grow with the noise, and ratios of large errors are always near 1"),
                "a ratio is what makes small and large errors comparable, and large ones may well differ by a factor.",
            ),
        ),
    ),
    Question(
        "seconds_of_work",
        _number(lambda n: _milliseconds(n, 2 * 15.5e6), "{:.3g} ms"),
        (
            WrongOption(
                "one operation for two",
                _number(lambda n: _milliseconds(n, 15.5e6), "{:.3g} ms"),
                "a multiply-add is two operations, a product and a sum.",
            ),
            WrongOption(
                "one digit alone",
                _number(lambda n: _milliseconds(n, 2 * 15.5e6) / (1e3 * n.copies), "{:.3g} ms"),
                "this is the time for a single digit.",
            ),
            WrongOption(
                "parameters for operations",
                _number(lambda n: _milliseconds(n, 2 * 88_461), "{:.3g} ms"),
                "this counts each parameter once; a convolution uses each of its weights at every place of the image.",
            ),
            WrongOption(
                "trusts the paper's clock",
                _number(lambda n: 0.13 * n.copies, "{:.3g} ms"),
                "this is the paper's 1.3 ms for 10,000 digits: a clock that was stopped when the work had just been launched.",
            ),
        ),
    ),
)


def _two(first: Formula, second: Formula) -> Text:
    return lambda numbers: f"L2: {first(numbers):.3f}, L1: {second(numbers):.3f}"


def _clean(numbers: ClassNumbers) -> float:
    return 0.3


def _mean(numbers: ClassNumbers) -> float:
    return 0.3 + 0.7 * numbers.mu


NOISE2NOISE_QUESTIONS = (
    Question(
        "overlay_losses",
        _two(_mean, _clean),
        (
            WrongOption(
                "mean and median exchanged",
                _two(_clean, _mean),
                "it is the other way round: L2 learns the mean of the targets, L1 their median.",
            ),
            WrongOption(
                "mean for both",
                _two(_mean, _mean),
                "L1 learns the median, which does not move as long as fewer than half of the targets are white.",
            ),
            WrongOption(
                "clean for both",
                _two(_clean, _clean),
                "L2 learns the mean of the targets, and white ones pull it up: this noise does not have the mean 0.",
            ),
            WrongOption(
                "middle of the values",
                _two(lambda n: 0.65, _clean),
                "L2 learns the mean over all targets, in which each value counts as often as it comes, and not their middle.",
            ),
        ),
    ),
    Question(
        "loss_of_mean_target",
        _number(lambda n: 0.004 + n.sigma**2 / n.copies, "{:.5f}"),
        (
            WrongOption(
                "noise of one copy",
                _number(lambda n: 0.004 + n.sigma**2, "{:.5f}"),
                "this is the loss against a single copy; the mean of several has a smaller variance.",
            ),
            WrongOption(
                "standard deviation by the copies",
                _number(lambda n: 0.004 + (n.sigma / n.copies) ** 2, "{:.5f}"),
                "this divides the standard deviation by the number of copies; it is the variance that is divided by it.",
            ),
            WrongOption(
                "no noise in the target",
                _number(lambda n: 0.004, "{:.5f}"),
                "the mean of some copies is still noisy, and no network can predict this noise.",
            ),
            WrongOption(
                "noise of the target alone",
                _number(lambda n: n.sigma**2 / n.copies, "{:.5f}"),
                "the network's own error counts, too: it and the variance of the target add up.",
            ),
        ),
    ),
    Question(
        "swapped_rows",
        _words("noise at an edge is skewed, so that L1 misses the mean; the other has no reason to hurt"),
        (
            WrongOption(
                "L1 is robust",
                _words("heavy tails need a robust loss, so that L1 must be well above the squared error"),
                "robust means that outliers are ignored; here they belong to the mean, and the mean is the clean pixel.",
            ),
            WrongOption(
                "more parameters, more decibels",
                _words("batch normalisation adds parameters to the network, and these can only raise its score"),
                "more parameters can well lower a score on photos that the network was not trained on; they are no argument.",
            ),
            WrongOption(
                "spread of the row",
                _words("two rows that differ by three hundredths of a decibel only must be the same training twice"),
                "two trainings that learn the same thing may well come that close; that is no sign of an exchange.",
            ),
        ),
    ),
    Question(
        "pixel_exchange",
        _words("noise that is independent from pixel to pixel, whatever its distribution"),
        (
            WrongOption(
                "Gaussian",
                _words("Gaussian noise of any kind, even where neighbouring pixels share it"),
                "noise that neighbours share is torn apart by the exchange, Gaussian or not: new pairs look different.",
            ),
            WrongOption(
                "mean zero",
                _words("noise of mean zero, even where neighbouring pixels share a part of it"),
                "mean zero is what L2 needs of the target; the exchange needs pixels whose noise does not belong together.",
            ),
            WrongOption(
                "equally strong",
                _words("noise that is equally strong everywhere, even if neighbours share some of it"),
                "the noise may be stronger at some places, since a pixel keeps its place; but neighbours must not share it.",
            ),
            WrongOption(
                "shares the noise",
                _words("none: the exchange gives the input a part of the noise of its target"),
                "at each pixel input and target still have the noise of different copies: they share nothing.",
            ),
        ),
    ),
)

SALIENCY_QUESTIONS = (
    Question(
        "identity_gradient",
        _number(lambda n: 2 * n.sigma, "{:.4f}"),
        (
            WrongOption(
                "nothing done, no gradient",
                _words("0.0000"),
                "the network changes nothing, but its output still follows its input, and so does the error.",
            ),
            WrongOption(
                "gradient of the output",
                _words("1.0000"),
                "this is how the output follows the input; L is its squared error, whose slope comes on top.",
            ),
            WrongOption(
                "forgets the 2 of the square",
                _number(lambda n: n.sigma, "{:.4f}"),
                "the derivative of a square has a factor of 2.",
            ),
            WrongOption(
                "the error itself",
                _number(lambda n: n.sigma**2, "{:.4f}"),
                "this is the pixel's squared error, and not its derivative.",
            ),
        ),
    ),
    Question(
        "samples_for_a_third",
        _number(lambda n: 9 * n.peak, "{:.0f}"),
        (
            WrongOption(
                "error like 1 / n",
                _number(lambda n: 3 * n.peak, "{:.0f}"),
                "three times as many samples divide the standard error by the root of 3 alone.",
            ),
            WrongOption(
                "root on the wrong side",
                _number(lambda n: math.sqrt(3) * n.peak, "{:.0f}"),
                "the root is taken of the number of samples: to divide the error by 3, that number grows by 3 squared.",
            ),
            WrongOption(
                "variance for standard error",
                _number(lambda n: 81 * n.peak, "{:.0f}"),
                "this makes the standard error nine times smaller: it falls like one over the root of the samples.",
            ),
            WrongOption(
                "noise level alone",
                lambda n: f"{n.peak} still, since it depends on the noise level alone",
                "the noise level decides which map one comes to, and the number of samples how close.",
            ),
        ),
    ),
    Question(
        "certain_or_large",
        _words("they have a little less than others, beyond doubt, but that is not very little influence"),
        (
            WrongOption(
                "certain for large",
                _words("they have very little influence, since the difference is many standard errors"),
                "many standard errors make a difference certain, and not large: look at the two means themselves.",
            ),
            WrongOption(
                "small for uncertain",
                _words("nothing at all, since a difference as small as that may well be mere chance"),
                "the difference is small, but it is many standard errors: by chance alone it would not come about.",
            ),
            WrongOption(
                "beside a network that does nothing",
                _words("they have very little influence, as a network that does nothing has exactly 1 at all pixels"),
                "beside that 1 it is hardly less, at noisy pixels and elsewhere; very little would be close to 0.",
            ),
            WrongOption(
                "the wrong way round",
                _words("they have more influence than other pixels, which is the opposite of the claim"),
                "the number at noisy pixels is the smaller one: the difference goes the paper's way.",
            ),
        ),
    ),
)

QUESTIONS: dict[str, Question] = {
    question.name: question for question in (*NOISE_QUESTIONS, *NETWORK_QUESTIONS, *NOISE2NOISE_QUESTIONS, *SALIENCY_QUESTIONS)
}
