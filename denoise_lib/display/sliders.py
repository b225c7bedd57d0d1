"""The sliders: a thin layer of widgets over the pure functions of `renders`.

Under each slider a notebook shows its filmstrip, the same function at six levels: it is what GitHub, a PDF and paper show.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..internal.checks import check_choice, check_count, check_function, check_images, check_list, check_number, describe
from ..kernels import MARGIN
from ..losses import CORRUPTIONS
from ..metrics import predict, psnr
from ..noise import LEVELS, MODERATE, add_noise
from ..pretrained.weights import load_pretrained
from ..sources.download import DataError
from .figures import panel, picture, png, residual, tile
from .views import (
    BROKEN,
    MODEL_CHOICES,
    SALIENCY_MAPS,
    Rendered,
    example_digits,
    example_pair,
    models_for,
    noisy_copy,
    own_digit,
    render_assumptions,
    render_denoised,
    render_estimators,
    render_filters,
    render_noise,
    render_smoothgrad,
    saliency_samples,
)

if TYPE_CHECKING:
    import ipywidgets
    from IPython.display import Image as DisplayedImage

COLOR_NETWORKS = ("tnet", "tiny-denoiser", "noise2noise-unet")
FILMSTRIP_LEVELS = (0.0, 0.1, 0.25, 0.4, 0.6, 0.8)


def filmstrip(render: Callable[[float], Rendered], levels: tuple[float, ...] = FILMSTRIP_LEVELS) -> DisplayedImage:
    """What a slider shows, at a few levels, as one still picture whose alt text has the numbers: a cell's own output.

    A widget's picture is not stored in a notebook; this one is, and so GitHub, a PDF and paper show it.
    """
    check_function(render, "render", "level")
    for level in check_list(levels, "levels", (0.1, 0.25)):
        check_number(level, "each of levels", 0, example=0.25)
    rendered = [_checked(render(level)) for level in levels]
    strip = panel([pixels for pixels, _ in rendered], [f"mu {level:.2f}" for level in levels], columns=3)
    return picture(strip, "What the slider shows at six levels. " + "; ".join(numbers for _, numbers in rendered))


def _checked(rendered: Rendered) -> Rendered:
    if not isinstance(rendered, tuple) or len(rendered) != 2 or not isinstance(rendered[1], str):
        raise TypeError(f"render must return (uint8 picture, text), but returned {describe(rendered)}.")
    return rendered


def noise_filmstrip(images: Tensor | None = None, *, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `noise_explorer`: eight digits at six levels."""
    digits = example_digits(8) if images is None else images
    return filmstrip(lambda level: render_noise(level, digits, seed))


def denoise_filmstrip(images: Tensor | None = None, *, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `denoise_explorer`: eight noisy digits above what the U-Net of the nearest level makes of them."""
    digits = example_digits(8) if images is None else check_images(images, "images", channels=1)

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
    slider = _slider("mu", mu)
    return _explorer(lambda: render_noise(slider.value, digits, seed), slider)


def denoise_explorer(images: Tensor | None = None, *, mu: float = MODERATE, seed: int = 0) -> ipywidgets.VBox:
    """A slider over mu above noisy, denoised and clean digits; a menu chooses networks by level or the blind one.

    A button takes an image of your own: a photo or drawing of a digit.

    Args:
        images: clean, float (N, 1, H, W) in [0, 1]; by default 24 test digits.
        mu: where the slider starts.
        seed: of the noise.
    """
    import ipywidgets

    digits = example_digits() if images is None else check_images(images, "images", channels=1)
    networks = {(choice, level): models_for(level, choice) for choice in MODEL_CHOICES for level in LEVELS.values()}
    menu = ipywidgets.Dropdown(options=MODEL_CHOICES, description="networks")
    upload = ipywidgets.FileUpload(accept="image/*", description="a digit of your own", layout={"width": "220px"})
    slider = _slider("mu", mu)

    def render() -> Rendered:
        nearest = min(LEVELS.values(), key=lambda trained: abs(trained - slider.value))
        own = _uploaded(upload.value)
        try:
            shown = digits if own is None else own_digit(own)
        except DataError as error:
            return render_noise(0.0, digits[:1])[0], str(error)
        scale = 8 if len(shown) == 1 else 2 if len(shown) <= 25 else 1
        return render_denoised(slider.value, shown, networks[menu.value, nearest], seed, scale=scale)

    box = _explorer(render, slider, menu, upload)
    box.menu, box.upload = menu, upload
    return box


def course_explorers(*, seed: int = 0) -> ipywidgets.Tab:
    """All explorers of the course in tabs: for a projector."""
    import ipywidgets

    explorers = {
        "Noise": noise_explorer(seed=seed),
        "Denoise": denoise_explorer(seed=seed),
        "Guess the mu": guess_the_mu(seed=seed),
        "Losses": estimator_explorer(seed=seed),
        "Break Noise2Noise": noise2noise_explorer(seed=seed),
        "SmoothGrad": smoothgrad_explorer(seed=seed),
        "Filters": filter_explorer(seed=seed),
    }
    tabs = ipywidgets.Tab(children=list(explorers.values()))
    for index, title in enumerate(explorers):
        tabs.set_title(index, title)
    return tabs


def estimator_explorer(*, corruption: str = "white overlay", level: float = 0.4, seed: int = 0) -> ipywidgets.VBox:
    """A slider over the strength of a corruption, above what L2, L1 and L0 learn from it; a menu chooses the corruption."""
    import ipywidgets

    check_choice(corruption, "corruption", CORRUPTIONS)
    menu = ipywidgets.Dropdown(options=CORRUPTIONS, value=corruption, description="noise")
    slider = _slider("level", level)
    box = _explorer(lambda: render_estimators(slider.value, menu.value, seed=seed), slider, menu)
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

    slider = _slider("sigma", sigma)

    def render() -> Rendered:
        broken = tuple(switch.description for switch in switches if switch.value)
        return render_assumptions(max(slider.value, 0.01), broken, seed=seed)

    box = _explorer(render, slider, *switches)
    box.children = (ipywidgets.HBox(switches), slider, box.numbers, box.image)
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


def smoothgrad_explorer(
    model: nn.Module | None = None, *, index: int = 0, noise_level: float = 0.15, samples: int = 50, seed: int = 0
) -> ipywidgets.VBox:
    """Sliders over SmoothGrad's noise level and number of samples, and over a pixel; a menu chooses the map.

    Args:
        model: a denoiser of colour photos; by default the shipped TNet.
        index: which of the built-in photos.
        noise_level: where its slider starts, 0 to 0.3 of the image's range.
        samples: where its slider starts, 1 to 200.
        seed: of all noise.
    """
    import ipywidgets

    network = load_pretrained("tnet") if model is None else model
    noisy, clean = example_pair(index, seed)
    menu = ipywidgets.Dropdown(options=SALIENCY_MAPS, description="map")
    slider, number = _slider("noise_level", noise_level, high=0.3), _steps("samples", samples, 1, 200)
    row, column = (_steps(name, 16, 0, noisy.shape[-1] - 1) for name in ("row", "column"))
    known: dict[tuple[object, ...], Tensor] = {}  # what was computed last: so moving n costs next to nothing

    def render() -> Rendered:
        pixel = (row.value, column.value)
        key = (menu.value, slider.value, pixel if menu.value == SALIENCY_MAPS[2] else None)
        if key not in known or len(known[key]) < number.value:
            found = saliency_samples(menu.value, network, noisy, clean, pixel, slider.value, number.value, seed)
            known.clear()
            known[key] = found
        return render_smoothgrad(known[key][: number.value], noisy, clean, pixel, slider.value, menu.value)

    box = _explorer(render, slider, menu, number, row, column)
    box.children = (menu, slider, number, row, column, box.numbers, box.image)
    box.menu, box.samples, box.row, box.column = menu, number, row, column
    return box


def smoothgrad_filmstrip(*, index: int = 0, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `smoothgrad_explorer`: dL/dX at three noise levels, each with one sample and with fifty."""
    model = load_pretrained("tnet")
    noisy, clean = example_pair(index, seed)
    cases = [(level, count) for count in (1, 50) for level in (0.0, 0.05, 0.15)]
    shown, words = [], []
    for level, count in cases:
        found = saliency_samples(SALIENCY_MAPS[0], model, noisy, clean, (16, 16), level, count, seed).mean((0, 1))
        shown.append(residual(found[None, None], limit=0.3, scale=6))
        words.append(f"noise {level:.0%}, n {count}: mean |map| {float(found.abs().mean()):.3f}")
    strip = panel(shown, [f"noise level {level:.0%}, n = {count}" for level, count in cases], columns=3)
    return picture(strip, "What the slider shows: dL/dX, red positive, blue negative, +-0.3. " + "; ".join(words))


def filter_explorer(*, index: int = 0, seed: int = 0) -> ipywidgets.VBox:
    """Step over the pixels of a photo, and see which kernel TNet, TinyDenoiser and the U-Net apply at each.

    Args:
        index: which of the built-in photos.
        seed: of its noise.
    """
    models, (noisy, clean) = {name: load_pretrained(name) for name in COLOR_NETWORKS}, example_pair(index, seed)
    row, column = (_steps(name, 16, MARGIN, noisy.shape[-1] - 1 - MARGIN) for name in ("row", "column"))
    box = _explorer(lambda: render_filters((row.value, column.value), models, noisy, clean), row, column)
    box.children = (row, column, box.numbers, box.image)
    box.row, box.column = row, column
    return box


def filter_filmstrip(pixels: Sequence[tuple[int, int]], *, index: int = 0, seed: int = 0) -> DisplayedImage:
    """The filmstrip of `filter_explorer`: the kernels at a few pixels."""
    check_list(pixels, "pixels", [(16, 16)])
    models, (noisy, clean) = {name: load_pretrained(name) for name in COLOR_NETWORKS}, example_pair(index, seed)
    rendered = [render_filters(pixel, models, noisy, clean) for pixel in pixels]
    return _strip(rendered, [f"row {row}, column {column}" for row, column in pixels], columns=2)


def guess_the_mu(images: Tensor | None = None, *, seed: int = 0) -> ipywidgets.VBox:
    """A game: eight digits at a hidden level, a slider for the guess, and a button that tells how far off it is.

    Args:
        images: clean, float (N, 1, H, W) in [0, 1]; by default 24 test digits, eight of which are drawn for each round.
        seed: of the rounds.
    """
    import ipywidgets

    digits = example_digits() if images is None else check_images(images, "images", dims=4)
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


def _explorer(render: Callable[[], Rendered], slider: ipywidgets.Widget, *controls: ipywidgets.Widget) -> ipywidgets.VBox:
    """Controls, slider, numbers and picture in a box, drawn anew whenever a control changes.

    `render` reads the controls by itself. The parts are the box's attributes `slider`, `numbers`, `image` and `redraw`.
    """
    import ipywidgets

    image, numbers = _image(), ipywidgets.HTML()

    def redraw(*_: object) -> None:
        pixels, text = render()
        image.value = png(pixels)
        numbers.value = f"<pre role='status' style='margin: 4px 0'>{html.escape(text)}</pre>"

    redraw()
    for control in (slider, *controls):
        control.observe(redraw, names="value")
    box = ipywidgets.VBox([*controls, slider, numbers, image])
    box.slider, box.image, box.numbers, box.redraw = slider, image, numbers, redraw
    return box


def _uploaded(value: Any) -> bytes | None:
    """The bytes of the last uploaded file: ipywidgets 7 keeps a dictionary of files, and 8 a tuple."""
    files = list(value.values()) if isinstance(value, dict) else list(value)
    return bytes(files[-1]["content"]) if files else None


def _slider(name: str, start: float, high: float = 1.0) -> ipywidgets.FloatSlider:
    """A slider for an argument from 0 to `high` in steps of 0.01, labelled with its name."""
    import ipywidgets

    value = check_number(start, name, 0, high, example=0.5 * high)
    return ipywidgets.FloatSlider(
        value=value,
        min=0,
        max=high,
        step=0.01,
        description=name.replace("_", " "),
        readout_format=".2f",
        layout={"width": "420px"},
    )


def _steps(name: str, start: int, low: int, high: int) -> ipywidgets.IntSlider:
    """A slider over whole numbers."""
    import ipywidgets

    if check_count(start, name, low, example=low) > high:
        raise ValueError(f"{name} must be at most {high}, but is {start}.")
    return ipywidgets.IntSlider(value=start, min=low, max=high, description=name, layout={"width": "420px"})


def _image() -> ipywidgets.Image:
    """A picture at its own size: stretched to the page, its pixels would blur."""
    import ipywidgets

    image = ipywidgets.Image(format="png")
    image.layout.align_self, image.layout.max_width = "flex-start", "100%"
    return image
