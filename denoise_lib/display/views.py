"""What the sliders show, without any slider: functions of their settings that return a picture and a line of numbers.

The noise is drawn from one seed, so that a new level changes the level and nothing else, and the same settings give the same
picture to the byte.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..corruptions import PointSample
from ..data import as_float_images, mnist, photos
from ..internal.checks import check_choice, check_count, check_images, check_model, check_number, check_pair, describe
from ..internal.devices import evaluating
from ..kernels import MARGIN, center_contrast, filters, matched_gaussian, windows
from ..losses import POWERS, best_prediction, corrupted_pixel
from ..metrics import mse, predict, psnr, ssim
from ..noise import LEVELS, MODERATE, Blend, add_noise
from ..pretrained.weights import load_pretrained
from ..saliency import check_pixel, output_sum, smoothgrad_samples, squared_error
from ..sources.photographs import read_photo, square
from .assumptions import Targets
from .figures import BLACK, mark, panel, pixels, residual, tile

BROKEN: dict[str, dict[str, float | bool]] = {
    "mean is not zero": {"offset": 0.1},
    "noise is shared": {"shared": 0.5},
    "clipped": {"clip": True},
    "cut to 8 bits": {"eight_bit": True},
}
"""The ways to break an assumption of Noise2Noise, as arguments of `Targets`."""
MODEL_CHOICES = ("nearest level", "blind")
SALIENCY_MAPS = ("error: dL/dX", "sum of outputs", "filter of the pixel")
Rendered = tuple[np.ndarray, str]


def example_digits(count: int = 24) -> Tensor:
    """Test digits to look at, 0, 1, ..., 9, 0, 1, ...: float32 (count, 1, 28, 28)."""
    return as_float_images(mnist("test", "small")[: check_count(count, "count", example=24)])


def own_digit(photo: bytes) -> Tensor:
    """A photo or drawing of a digit as MNIST would have it, white on black: float32 (1, 1, 28, 28).

    Args:
        photo: the bytes of an image file. Dark ink on bright paper is turned around, and what is not square is cut.

    Raises:
        DataError: bytes that are no image.
    """
    if not isinstance(photo, bytes):
        raise TypeError(f"photo must be bytes, but is {describe(photo)}; for example Path('7.png').read_bytes().")
    gray = square(read_photo(photo), 28).float().mean(1, keepdim=True) / 255
    paper = float(torch.cat([gray[..., 0, :], gray[..., -1, :], gray[..., :, 0], gray[..., :, -1]], dim=-1).median())
    ink = (paper - gray if paper > 0.5 else gray - paper).clamp_min(0)  # paper is never quite white, nor ink quite black
    return ink / max(float(ink.max()), 1e-3)


def noisy_copy(images: Tensor, mu: float, seed: int = 0, *, clip: bool = True) -> Tensor:
    """The images at level mu; one seed draws the same noise N at every level."""
    generator = torch.Generator(check_images(images, "images").device)
    return add_noise(images, mu, generator=generator.manual_seed(check_count(seed, "seed", 0, example=0)), clip=clip)


def render_noise(mu: float, images: Tensor, seed: int = 0, *, scale: int = 2) -> Rendered:
    """Noisy digits, and their error beside what theory expects.

    Args:
        mu: level of the blend, in [0, 1].
        images: clean, float (N, C, H, W).
        seed: of the noise.
        scale: size of a pixel.

    Returns:
        (uint8 picture, one line of numbers).
    """
    noisy = noisy_copy(images, mu, seed)
    theory = Blend(mu).expected_mse(images)
    numbers = (
        f"mu {mu:.2f}   MSE {mse(noisy, images):.4f} (theory {theory:.4f})   "
        f"PSNR {psnr(noisy, images):.1f} dB   SSIM {ssim(noisy, images):.2f}"
    )
    return tile(noisy, 8, scale=scale), numbers


def render_denoised(mu: float, images: Tensor, models: dict[str, nn.Module], seed: int = 0, *, scale: int = 1) -> Rendered:
    """Noisy digits, each model's output, the clean digits, and the first model's error in red and blue.

    Args:
        mu: level of the blend, in [0, 1].
        images: clean, float (N, 1, H, W).
        models: name -> denoiser.
        seed: of the noise.
        scale: size of a pixel.

    Returns:
        (uint8 picture, one line of numbers).
    """
    _check_models(models)
    noisy = noisy_copy(images, mu, seed)
    outputs = {name: predict(model, noisy).clamp(0, 1) for name, model in models.items()}
    scores = "   ".join(f"{name} {psnr(output, images):.1f} dB" for name, output in outputs.items())
    first_name, first_output = next(iter(outputs.items()))
    columns = math.ceil(math.sqrt(1.5 * len(images)))  # 24 digits in 4 rows of 6: wider than high, as screens are
    pictures = [tile(batch, columns, scale=scale) for batch in (noisy, *outputs.values(), images)]
    pictures.append(residual(first_output - images, columns, scale=scale))
    titles = [f"noisy, mu {mu:.2f}", *outputs, "clean", f"{first_name} - clean"]
    return panel(pictures, titles, columns=3), f"mu {mu:.2f}   PSNR: noisy {psnr(noisy, images):.1f} dB   {scores}"


def models_for(mu: float, choice: str = "nearest level") -> dict[str, nn.Module]:
    """The shipped networks for a level: those trained at the nearest level, or the U-Net that was trained on all levels."""
    check_number(mu, "mu", 0, 1, example=MODERATE)
    if check_choice(choice, "choice", MODEL_CHOICES) == "blind":
        return {"U-Net (blind)": load_pretrained("unet-blind")}
    level = min(LEVELS, key=lambda name: abs(LEVELS[name] - mu))
    return {"U-Net": load_pretrained(f"unet-{level}"), "autoencoder": load_pretrained(f"autoencoder-{level}")}


def render_estimators(level: float, corruption: str = "white overlay", *, value: float = 0.3, seed: int = 0) -> Rendered:
    """Histogram of a pixel's noisy targets, with what each loss makes of them.

    Args:
        level: strength of the corruption, in [0, 1].
        corruption: one of `targets.CORRUPTIONS`.
        value: the clean pixel.
        seed: of the noise.

    Returns:
        (uint8 picture, one line of numbers).
    """
    from matplotlib.figure import Figure

    targets = corrupted_pixel(value, corruption, level, seed=seed)
    best = {loss: best_prediction(targets, loss) for loss in POWERS}
    figure = Figure(figsize=(6.4, 2.6), dpi=80, layout="constrained")
    axes = figure.subplots()
    axes.hist(targets.clamp(-0.5, 1.5).numpy(), bins=80, range=(-0.5, 1.5), color="0.8", density=True)
    axes.axvline(value, color="black", linewidth=4, alpha=0.35, label="clean pixel")
    for (loss, place), style in zip(best.items(), ("-", "--", ":"), strict=True):
        axes.axvline(place, linestyle=style, linewidth=2.2, color=f"C{list(best).index(loss)}", label=f"{loss}: {place:.2f}")
    axes.set(xlim=(-0.5, 1.5), xlabel=f"noisy targets of one pixel ({corruption}, level {level:.2f})", yticks=[])
    axes.legend(loc="upper right", fontsize=8)
    found = "   ".join(f"{loss} learns {place:.3f}" for loss, place in best.items())
    return pixels(figure), f"level {level:.2f}   clean {value:.3f}   {found}"


def render_assumptions(sigma: float, broken: tuple[str, ...] = (), *, draws: int = 2000, seed: int = 0) -> Rendered:
    """What L2 learns from Gaussian noisy targets whose assumptions are broken: theory as lines, many draws as dots.

    Args:
        sigma: standard deviation of the noise, in (0, 1].
        broken: names in `BROKEN`.
        draws: noisy targets averaged for each of 21 grey levels.
        seed: of the noise.

    Returns:
        (uint8 picture, one line of numbers). Left: mean of the targets less the clean pixel, which is the bias that a
        network learns. Right: the input's noise against the target's; a network keeps what the line's slope says.
    """
    from matplotlib.figure import Figure

    if not isinstance(broken, tuple):
        raise TypeError(f"broken must be a tuple of names, but is {describe(broken)}; for example ('clipped',).")
    for name in broken:
        check_choice(name, "broken", tuple(BROKEN))
    arguments = {key: value for name in broken for key, value in BROKEN[name].items()}
    targets = Targets(sigma, **arguments)  # type: ignore[arg-type]
    grey = torch.linspace(0, 1, 21, dtype=torch.float64)
    generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    noisy, target = targets.draw(grey.expand(check_count(draws, "draws", high=10**6, example=2000), -1), generator)
    measured, predicted = target.mean(dim=0) - grey, targets.bias(grey)
    middle = 10  # at mid-grey, where clipping matters least
    slope = float(targets.kept(grey)[middle])
    own, other = noisy[:, middle] - 0.5, target[:, middle] - target[:, middle].mean()
    kept = float((own * other).mean() / own.square().mean())
    figure = Figure(figsize=(7.2, 2.7), dpi=80, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axhline(0, color="0.7", linewidth=1)
    left.plot(grey, predicted, color="C0", label="predicted")
    left.plot(grey, measured, "o", color="C1", markersize=4, label="measured")
    left.set(ylim=(-0.25, 0.25), xlabel="clean pixel", ylabel="bias that L2 learns")
    left.legend(fontsize=8)
    right.plot(own[:400], other[:400], ".", color="0.6", markersize=3)
    ends = torch.tensor([-3 * sigma, 3 * sigma])
    right.plot(ends, slope * ends, color="C0", label=f"predicted slope {slope:.2f}")
    right.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="noise of the input", ylabel="noise of the target")
    right.legend(fontsize=8, loc="upper left")
    worst = int(predicted.abs().argmax())
    text = (
        f"sigma {sigma:.2f}   largest bias: predicted {predicted[worst]:+.3f}, measured {measured[worst]:+.3f}   "
        f"share of the input's noise that stays: predicted {slope:.2f}, measured {kept:.2f}"
    )
    return pixels(figure), text


def example_pair(index: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """One of the seven built-in photos at 32 pixels, noisy and clean: float32 (1, 3, 32, 32) each."""
    large = photos("all")
    if check_count(index, "index", 0, example=0) >= len(large):
        raise ValueError(f"index must be less than {len(large)}, the number of built-in photos, but is {index}.")
    noise, image = PointSample(), large[index : index + 1].float() / 255
    return noise(image, torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))), noise.clean(image)


def saliency_samples(
    which: str, model: nn.Module, noisy: Tensor, clean: Tensor, pixel: tuple[int, int], noise_level: float, count: int,
    seed: int = 0,
) -> Tensor:  # fmt: skip
    """The gradients that SmoothGrad averages, for one of the maps in `SALIENCY_MAPS`: (count, C, H, W)."""
    check_choice(which, "which", SALIENCY_MAPS)
    scores = {
        SALIENCY_MAPS[0]: (squared_error(model), clean),
        SALIENCY_MAPS[1]: (output_sum(model), None),
        SALIENCY_MAPS[2]: (output_sum(model, check_pixel(pixel, noisy)), None),
    }
    score, context = scores[which]
    generator = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    with evaluating(model):
        return smoothgrad_samples(
            score, noisy, n_samples=count, noise_level=noise_level, context=context, generator=generator
        )  # fmt: skip


def render_smoothgrad(
    samples: Tensor, noisy: Tensor, clean: Tensor, pixel: tuple[int, int], noise_level: float, which: str
) -> Rendered:
    """A SmoothGrad map beside its image, and how it converges.

    Args:
        samples: gradients (n, C, H, W), as `saliency_samples` returns them.
        noisy, clean: the image, float (1, C, H, W).
        pixel: (row, column), framed in the pictures.
        noise_level: of SmoothGrad, for the text.
        which: one of `SALIENCY_MAPS`, for the text.

    Returns:
        (uint8 picture, one line of numbers): the noisy image, the size of its noise, the map of one sample and of all
        (mean of the channels; red is positive, blue negative, one scale for both), and the standard error against n.
    """
    from matplotlib.figure import Figure

    check_images(samples, "samples", value_range=None, dims=4)
    check_pair(noisy, clean)
    check_number(noise_level, "noise_level", 0, example=0.15)
    check_choice(which, "which", SALIENCY_MAPS)
    maps = samples.detach().mean(1)
    count = len(maps)
    ends = maps.double().cumsum(0) / torch.arange(1, count + 1).view(-1, 1, 1)
    limit = max(float(ends[-1].abs().quantile(0.99)), 1e-6)  # as Smilkov et al. cap outliers, but on a symmetric scale
    scale = 8
    noise = (noisy - clean).mean(1, keepdim=True)
    pictures = [mark(tile(noisy, scale=scale), pixel, scale), residual(noise, limit=0.5, scale=scale)]
    for found in (ends[0], ends[-1]):
        pictures.append(mark(residual(found[None, None].float(), limit=limit, scale=scale), pixel, scale, BLACK))
    titles = ["noisy", "its noise, +-0.5", f"1 sample, +-{limit:.2g}", f"mean of {count}, +-{limit:.2g}"]
    steps = torch.arange(2, count + 1, dtype=torch.float64).view(-1, 1, 1)
    variance = (maps.double().square().cumsum(0)[1:] / steps - ends[1:].square()).clamp_min(0) * steps / (steps - 1)
    errors = (variance / steps).sqrt().mean((1, 2))  # after 2, 3, ..., n samples
    figure = Figure(figsize=(3.3, 3.1), dpi=80)
    axes = figure.add_axes((0.17, 0.17, 0.79, 0.79), xscale="log", yscale="log")
    if float(errors.sum()) > 0:
        axes.plot(steps.flatten(), errors, label="after n samples")
        axes.plot([1, 200], [float(errors[-1]) * (count / n) ** 0.5 for n in (1, 200)], "--", label="1 / sqrt(n)")
        axes.legend(fontsize=7, loc="lower left")
    axes.set(xlim=(1, 200), xlabel="samples n", ylim=(1e-3, 1))
    pictures.append(pixels(figure))
    titles.append("mean standard error")
    error = f"{float(errors[-1]):.4f}" if count > 1 else "unknown"  # one sample does not say how much samples differ
    text = (
        f"{which}   noise level {noise_level:.0%}   n {count}   "
        f"mean size {float(ends[-1].abs().mean()):.3f}   standard error {error}"
    )
    return panel(pictures, titles, columns=3), text


def render_filters(pixel: tuple[int, int], models: dict[str, nn.Module], noisy: Tensor, clean: Tensor) -> Rendered:
    """The kernel that each network applies at one pixel, beside the Gaussian that is as wide as the first network's.

    Args:
        pixel: (row, column), at least 4 pixels from the border.
        models: name -> denoiser.
        noisy, clean: the image, float (1, C, H, W).

    Returns:
        (uint8 picture, lines of numbers).
    """
    _check_models(models)
    check_pair(noisy, clean)
    kernels = {name: windows(filters(model, noisy, [pixel]).sum(1), [pixel]) for name, model in models.items()}
    kernels["Gaussian"] = matched_gaussian(next(iter(kernels.values())))
    patch = windows(clean.mean(1), [pixel])
    row, column = pixel
    cut = clean[:, :, row - MARGIN : row + MARGIN + 1, column - MARGIN : column + MARGIN + 1]
    pictures = [mark(tile(noisy, scale=6), pixel, 6), mark(tile(cut, scale=21), (MARGIN, MARGIN), 21)]
    pictures += [
        mark(residual(kernel[None].float(), limit=0.4, scale=21), (MARGIN, MARGIN), 21, BLACK) for kernel in kernels.values()
    ]
    numbers = "\n".join(
        f"{name:16s} own weight {float(kernel[0, MARGIN, MARGIN]):5.2f}   in this window {float(kernel.sum()):5.2f}   "
        f"looks at pixels unlike its own by {float(center_contrast(kernel, patch)):.3f}"
        for name, kernel in kernels.items()
    )
    titles = ["noisy", "clean, around the pixel", *(f"{name}, +-0.4" for name in kernels)]
    return panel(pictures, titles, columns=3), numbers


def _check_models(models: dict[str, nn.Module]) -> None:
    if not isinstance(models, dict) or not models:
        raise ValueError("models must be a dictionary with at least one network, for example {'TNet': TNet()}.")
    for name, model in models.items():
        check_model(model)
        if not isinstance(name, str):
            raise TypeError(f"models must have texts as names, but one is {describe(name)}; for example {{'TNet': TNet()}}.")
