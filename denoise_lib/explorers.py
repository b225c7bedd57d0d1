"""The sliders: a thin layer of widgets over pure functions.

Each explorer shows what a function `render_...(mu, ...)` returns, a uint8 picture and a line of numbers. The noise is drawn
from one seed, so that moving the slider changes its level and nothing else, and coming back to a level gives the same picture.
Under each slider a notebook shows its filmstrip, the same function at six levels: it is what GitHub, a PDF and paper show.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .data import as_float_images, mnist
from .figures import panel, picture, pixels, png, residual, tile
from .metrics import mse, psnr, ssim
from .noise import MODERATE, Blend, add_noise
from .results import LEVELS
from .targets import CORRUPTIONS, POWERS, Targets, best_prediction, corrupted_pixel
from .training import predict
from .validation import check_choice, check_count, check_number
from .weights import load_pretrained

if TYPE_CHECKING:
    import ipywidgets
    from IPython.display import Image as DisplayedImage

FILMSTRIP_LEVELS = (0.0, 0.1, 0.25, 0.4, 0.6, 0.8)
BROKEN: dict[str, dict[str, float | bool]] = {
    "mean is not zero": {"offset": 0.1},
    "noise is shared": {"shared": 0.5},
    "clipped": {"clip": True},
    "cut to 8 bits": {"eight_bit": True},
}
"""The ways to break an assumption of Noise2Noise, as arguments of `Targets`."""
MODEL_CHOICES = ("nearest level", "blind")
Rendered = tuple[np.ndarray, str]


def example_digits(count: int = 24) -> Tensor:
    """Test digits to look at, 0, 1, ..., 9, 0, 1, ...: float32 (count, 1, 28, 28)."""
    return as_float_images(mnist("test", "small")[: check_count(count, "count", example=24)])


def noisy_copy(images: Tensor, mu: float, seed: int = 0, *, clip: bool = True) -> Tensor:
    """The images at level mu; one seed draws the same noise N at every level."""
    return add_noise(images, mu, generator=torch.Generator(images.device).manual_seed(seed), clip=clip)


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
    noisy = noisy_copy(images, mu, seed)
    outputs = {name: predict(model, noisy).clamp(0, 1) for name, model in models.items()}
    scores = "   ".join(f"{name} {psnr(output, images):.1f} dB" for name, output in outputs.items())
    first_name, first_output = next(iter(outputs.items()))
    pictures = [tile(batch, scale=scale) for batch in (noisy, *outputs.values(), images)]
    pictures.append(residual(first_output - images, scale=scale))
    titles = [f"noisy, mu {mu:.2f}", *outputs, "clean", f"{first_name} - clean"]
    return panel(pictures, titles, columns=3), f"mu {mu:.2f}   PSNR: noisy {psnr(noisy, images):.1f} dB   {scores}"


def models_for(mu: float, choice: str = "nearest level") -> dict[str, nn.Module]:
    """The shipped networks for a level: those trained at the nearest level, or the U-Net that was trained on all levels."""
    check_number(mu, "mu", 0, 1, example=MODERATE)
    if check_choice(choice, "choice", MODEL_CHOICES) == "blind":
        return {"U-Net (blind)": load_pretrained("unet-blind")}
    level = min(LEVELS, key=lambda name: abs(LEVELS[name] - mu))
    return {"U-Net": load_pretrained(f"unet-{level}"), "autoencoder": load_pretrained(f"autoencoder-{level}")}


def filmstrip(render: Callable[[float], Rendered], levels: tuple[float, ...] = FILMSTRIP_LEVELS) -> DisplayedImage:
    """What a slider shows, at a few levels, as one still picture whose alt text has the numbers: a cell's own output.

    A widget's picture is not stored in a notebook; this one is, and so GitHub, a PDF and paper show it.
    """
    rendered = [render(level) for level in levels]
    strip = panel([pixels for pixels, _ in rendered], [f"mu {level:.2f}" for level in levels], columns=3)
    return picture(strip, "What the slider shows at six levels. " + "; ".join(numbers for _, numbers in rendered))


def noise_filmstrip(images: Tensor | None = None, *, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `noise_explorer`: eight digits at six levels."""
    digits = example_digits(8) if images is None else images
    return filmstrip(lambda level: render_noise(level, digits, seed))


def denoise_filmstrip(images: Tensor | None = None, *, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `denoise_explorer`: eight noisy digits above what the U-Net of the nearest level makes of them."""
    digits = example_digits(8) if images is None else images

    def render(level: float) -> Rendered:
        noisy = noisy_copy(digits, level, seed)
        output = predict(models_for(level)["U-Net"], noisy).clamp(0, 1)
        numbers = f"mu {level:.2f}: PSNR noisy {psnr(noisy, digits):.1f} dB, U-Net {psnr(output, digits):.1f} dB"
        return tile(torch.cat([noisy, output]), len(digits)), numbers

    return filmstrip(render)


def noise_explorer(images: Tensor | None = None, *, mu: float = MODERATE, seed: int = 0) -> ipywidgets.VBox:
    """A slider over mu above noisy digits and their live numbers.

    Args:
        images: clean, float (N, 1, H, W) in [0, 1]; by default 24 test digits.
        mu: where the slider starts.
        seed: of the noise.
    """
    digits = example_digits() if images is None else images
    return _explorer(lambda level: render_noise(level, digits, seed), mu)


def denoise_explorer(images: Tensor | None = None, *, mu: float = MODERATE, seed: int = 0) -> ipywidgets.VBox:
    """A slider over mu above noisy, denoised and clean digits; a menu chooses networks by level or the blind one.

    Args:
        images: clean, float (N, 1, H, W) in [0, 1]; by default 64 test digits, as in the paper's figures.
        mu: where the slider starts.
        seed: of the noise.
    """
    import ipywidgets

    digits = example_digits(64) if images is None else images
    networks = {(choice, level): models_for(level, choice) for choice in MODEL_CHOICES for level in LEVELS.values()}
    menu = ipywidgets.Dropdown(options=MODEL_CHOICES, description="networks")

    def render(level: float) -> Rendered:
        nearest = min(LEVELS.values(), key=lambda trained: abs(trained - level))
        return render_denoised(level, digits, networks[menu.value, nearest], seed, scale=1 if len(digits) > 25 else 2)

    box = _explorer(render, mu)
    menu.observe(lambda _: box.redraw(), names="value")
    box.children = (menu, *box.children)
    box.menu = menu
    return box


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

    for name in broken:
        check_choice(name, "broken", tuple(BROKEN))
    arguments = {key: value for name in broken for key, value in BROKEN[name].items()}
    targets = Targets(sigma, **arguments)  # type: ignore[arg-type]
    grey = torch.linspace(0, 1, 21, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    noisy, target = targets.draw(grey.expand(check_count(draws, "draws", example=2000), -1), generator)
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


def estimator_explorer(*, corruption: str = "white overlay", level: float = 0.4, seed: int = 0) -> ipywidgets.VBox:
    """A slider over the strength of a corruption, above what L2, L1 and L0 learn from it; a menu chooses the corruption."""
    import ipywidgets

    menu = ipywidgets.Dropdown(options=CORRUPTIONS, value=corruption, description="noise")
    box = _explorer(lambda value: render_estimators(value, menu.value, seed=seed), level, name="level")
    menu.observe(lambda _: box.redraw(), names="value")
    box.children = (menu, *box.children)
    box.menu = menu
    return box


def estimator_filmstrip(*, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `estimator_explorer`: white overlay at three levels, and each other noise at one."""
    cases = [("white overlay", 0.2), ("white overlay", 0.4), ("white overlay", 0.6)]
    cases += [("random value", 0.6), ("Gaussian", 0.4), ("skewed", 0.4)]
    rendered = [render_estimators(level, corruption, seed=seed) for corruption, level in cases]
    return _strip(rendered, [f"{corruption}, level {level:.1f}" for corruption, level in cases], columns=2)


def noise2noise_explorer(*, sigma: float = 0.2, seed: int = 0) -> ipywidgets.VBox:
    """The assumption breaker: a slider over the noise and a switch for each assumption of Noise2Noise.

    Args:
        sigma: where the slider starts.
        seed: of the noise.
    """
    import ipywidgets

    switches = [ipywidgets.Checkbox(value=False, description=name, indent=False) for name in BROKEN]

    def render(value: float) -> Rendered:
        broken = tuple(switch.description for switch in switches if switch.value)
        return render_assumptions(max(value, 0.01), broken, seed=seed)

    box = _explorer(render, sigma, name="sigma")
    for switch in switches:
        switch.observe(lambda _: box.redraw(), names="value")
    box.children = (ipywidgets.HBox(switches), *box.children)
    box.switches = switches
    return box


def noise2noise_filmstrip(*, sigma: float = 0.2, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `noise2noise_explorer`: nothing broken, each assumption alone, and two together."""
    cases: list[tuple[str, ...]] = [(), *((name,) for name in BROKEN), ("mean is not zero", "noise is shared")]
    rendered = [render_assumptions(sigma, case, seed=seed) for case in cases]
    return _strip(rendered, [" and ".join(case) or "nothing is broken" for case in cases], columns=2)


def _strip(rendered: list[Rendered], titles: list[str], columns: int) -> DisplayedImage:
    words = "; ".join(f"{title}: {numbers}" for title, (_, numbers) in zip(titles, rendered, strict=True))
    return picture(panel([shown for shown, _ in rendered], titles, columns=columns), f"What the slider shows. {words}")


def guess_the_mu(images: Tensor | None = None, *, seed: int = 0) -> ipywidgets.VBox:
    """A game: eight digits at a hidden level, a slider for the guess, and a button that tells how far off it is.

    Args:
        images: clean, float (N, 1, H, W) in [0, 1]; by default 24 test digits, eight of which are drawn for each round.
        seed: of the rounds.
    """
    import ipywidgets

    digits = example_digits() if images is None else images
    source = torch.Generator().manual_seed(check_count(seed, "seed", 0, example=0))
    errors: list[float] = []
    slider = ipywidgets.FloatSlider(value=0.15, min=0, max=0.6, step=0.01, description="my guess", readout_format=".2f")
    button = ipywidgets.Button(description="Guess", tooltip="Compare my guess with the hidden mu, and draw a new one")
    image, verdict = _image(), ipywidgets.HTML("Which mu is it?")
    hidden = 0.0

    def next_round() -> None:
        nonlocal hidden
        hidden = round(0.05 + 0.5 * float(torch.rand((), generator=source)), 2)
        chosen = digits[torch.randperm(len(digits), generator=source)[:8]]
        image.value = png(tile(add_noise(chosen, hidden, generator=source), 8, scale=3))

    def guess(*_: object) -> None:
        errors.append(abs(slider.value - hidden))
        verdict.value = (
            f"It was {hidden:.2f}; you said {slider.value:.2f}. Round {len(errors)}, "
            f"off by {sum(errors) / len(errors):.3f} on average. The next one:"
        )
        next_round()

    next_round()
    button.on_click(guess)
    box = ipywidgets.VBox([verdict, image, ipywidgets.HBox([slider, button])])
    box.slider, box.button, box.image, box.verdict = slider, button, image, verdict
    return box


def _explorer(render: Callable[[float], Rendered], start: float, name: str = "mu") -> ipywidgets.VBox:
    """Slider, numbers and picture in a box; the parts are its attributes `slider`, `numbers`, `image`."""
    import ipywidgets

    slider = ipywidgets.FloatSlider(
        value=check_number(start, name, 0, 1, example=MODERATE), min=0, max=1, step=0.01, description=name, readout_format=".2f"
    )
    slider.layout.width = "420px"
    image, numbers = _image(), ipywidgets.HTML()

    def redraw(*_: object) -> None:
        pixels, text = render(slider.value)
        image.value = png(pixels)
        numbers.value = f"<pre role='status' style='margin: 4px 0'>{html.escape(text)}</pre>"

    redraw()
    slider.observe(redraw, names="value")
    box = ipywidgets.VBox([slider, numbers, image])
    box.slider, box.image, box.numbers, box.redraw = slider, image, numbers, redraw
    return box


def _image() -> ipywidgets.Image:
    """A picture at its own size: stretched to the page, its pixels would blur."""
    import ipywidgets

    image = ipywidgets.Image(format="png")
    image.layout.align_self, image.layout.max_width = "flex-start", "100%"
    return image
