from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from torch import Tensor, nn

from denoise_lib.display import sliders, views
from denoise_lib.display.figures import png
from denoise_lib.display.sliders import (
    COLOR_NETWORKS,
    course_explorers,
    denoise_explorer,
    denoise_filmstrip,
    estimator_explorer,
    estimator_filmstrip,
    filter_explorer,
    filter_filmstrip,
    guess_the_mu,
    noise2noise_explorer,
    noise2noise_filmstrip,
    noise_explorer,
    noise_filmstrip,
    smoothgrad_explorer,
    smoothgrad_filmstrip,
)
from denoise_lib.display.views import (
    SALIENCY_MAPS,
    example_digits,
    example_pair,
    models_for,
    own_digit,
    render_denoised,
    render_filters,
    render_smoothgrad,
    saliency_samples,
)
from denoise_lib.pretrained.weights import load_pretrained
from denoise_lib.saliency import loss_gradient


class Square(nn.Module):
    """f(x) = x^2: its gradients are exact, whatever the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


def said(box: Any) -> str:
    """The line of numbers of an explorer."""
    return html.unescape(re.sub("<[^>]*>", "", box.numbers.value))


def seen(box: Any) -> tuple[bytes, str]:
    return box.image.value, said(box)


def alt_of(strip: Any) -> str:
    _, metadata = DisplayFormatter().format(strip)
    return str(metadata["image/png"]["alt"])


@pytest.mark.parametrize("make", [noise_explorer, denoise_explorer])
def test_slider_redraws_and_comes_back_to_the_same_bytes(make) -> None:  # type: ignore[no-untyped-def]
    box = make(example_digits(8))
    first = box.image.value
    Image.open(io.BytesIO(first)).verify()
    box.slider.value = 0.6
    second, numbers = box.image.value, box.numbers.value
    assert second != first and "mu 0.60" in numbers
    box.slider.value = 0.25
    assert box.image.value == first
    assert box.slider.step == pytest.approx(0.01) and box.slider.description == "mu"


def test_denoise_explorer_menu_switches_to_the_blind_network() -> None:
    box = denoise_explorer(example_digits(8))
    assert "autoencoder" in box.numbers.value
    box.menu.value = "blind"
    assert "U-Net (blind)" in box.numbers.value and "autoencoder" not in box.numbers.value


def give(box: Any, content: bytes | None) -> None:
    """Upload a file, or take it back (None). ipywidgets 7 has a dictionary of files, which only its front end may set."""
    if isinstance(box.upload.value, dict):
        files = {"seven.png": {"metadata": {"name": "seven.png"}, "content": content}} if content is not None else {}
        box.upload.set_trait("value", files)
    else:
        box.upload.value = uploaded(content) if content is not None else ()


def uploaded(content: bytes) -> tuple[dict[str, Any], ...]:
    """A file as ipywidgets 8 keeps it."""
    facts = {"name": "seven.png", "type": "image/png", "size": len(content), "last_modified": datetime.now(UTC)}
    return ({**facts, "content": memoryview(content)},)


def test_a_digit_of_ones_own_is_denoised() -> None:
    box = denoise_explorer(example_digits(8))
    start = seen(box)
    photo = png((example_digits(1)[0, 0].numpy() * 255).round().astype(np.uint8))
    give(box, photo)
    assert box.image.value != start[0] and "U-Net" in said(box)
    pixels, numbers = render_denoised(0.25, own_digit(photo), models_for(0.25), scale=8)
    assert seen(box) == (png(pixels), numbers)
    box.slider.value = 0.4
    assert "mu 0.40" in said(box)
    box.slider.value = 0.25
    give(box, None)
    assert seen(box) == start


def test_the_last_file_counts_in_old_and_new_ipywidgets() -> None:
    files = {"a.png": {"metadata": {}, "content": b"first"}, "b.png": {"metadata": {}, "content": b"second"}}
    assert sliders._uploaded(files) == sliders._uploaded(uploaded(b"first") + uploaded(b"second")) == b"second"
    assert sliders._uploaded({}) is sliders._uploaded(()) is None


def test_a_file_that_is_no_image_is_told_in_one_sentence() -> None:
    box = denoise_explorer(example_digits(2))
    start = seen(box)
    give(box, b"no image")
    assert "cannot be read" in said(box) and "\n" not in said(box)
    give(box, None)
    assert seen(box) == start


@pytest.mark.parametrize("make", [noise_explorer, denoise_explorer])
def test_explorer_refuses_a_bad_level(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="mu"):
        make(mu=1.5)


@pytest.mark.parametrize("make", [noise_filmstrip, denoise_filmstrip])
def test_filmstrip_tells_six_levels_in_its_alt_text(make) -> None:  # type: ignore[no-untyped-def]
    _, metadata = DisplayFormatter().format(make())
    alt = metadata["image/png"]["alt"]
    assert re.findall(r"mu (0\.\d\d)", alt) == ["0.00", "0.10", "0.25", "0.40", "0.60", "0.80"]
    assert alt.count("PSNR") == 6


def test_guess_the_mu_measures_the_guess() -> None:
    box = guess_the_mu(seed=5)
    first = box.image.value
    box.slider.value = 0.2
    box.button.click()
    hidden, guess, error = (float(x) for x in re.findall(r"\d\.\d+", box.verdict.value))
    assert 0.05 <= hidden <= 0.55 and guess == 0.2
    assert error == pytest.approx(abs(hidden - guess), abs=1e-6)
    assert box.image.value != first
    assert "Round 1" in box.verdict.value


# --- noisy targets ---


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text)]


def test_bad_input_of_the_explorers(refused: Any) -> None:
    for call in (
        lambda: noise2noise_explorer(sigma=2.0),
        lambda: estimator_explorer(level=-1.0),
    ):
        with refused(ValueError):
            call()


def test_noise2noise_explorer_follows_slider_and_switches() -> None:
    box = noise2noise_explorer()
    first, numbers = box.image.value, box.numbers.value
    box.switches[2].value = True
    assert box.image.value != first and box.numbers.value != numbers
    box.switches[2].value = False
    assert box.image.value == first  # coming back gives the same picture
    box.slider.value = 0.4
    assert "sigma 0.40" in box.numbers.value
    box.slider.value = 0.0  # no noise at all has no theory: shown at the smallest step
    assert "sigma 0.01" in box.numbers.value


def test_estimator_explorer_follows_slider_and_menu() -> None:
    box = estimator_explorer()
    first = box.image.value
    box.menu.value = "skewed"
    assert box.image.value != first
    box.slider.value = 0.7
    assert "level 0.70" in box.numbers.value


def test_filmstrips_tell_their_numbers() -> None:
    for strip, words in ((estimator_filmstrip(), "white overlay"), (noise2noise_filmstrip(), "noise is shared")):
        _, metadata = DisplayFormatter().format(strip)
        alt = metadata["image/png"]["alt"]
        assert words in alt and len(numbers_in(alt)) > 12


# --- SmoothGrad ---

CONTROLS = [
    ("slider", 0.05, "noise level 5%"),
    ("slider", 0.0, "noise level 0%"),
    ("samples", 3, "n 3 "),
    ("samples", 9, "n 9 "),
    ("row", 3, ""),
    ("column", 30, ""),
    ("menu", "sum of outputs", "sum of outputs"),
    ("menu", "filter of the pixel", "filter of the pixel"),
]
"""Controls of `smoothgrad_explorer`, another value of each, and what the numbers then say."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, int], float, int]]:
    """What the explorer computes: map, pixel, noise level and number of samples of each call."""
    found: list[tuple[str, tuple[int, int], float, int]] = []

    def counted(which: str, model: nn.Module, noisy: Tensor, clean: Tensor, pixel: Any, level: float, *rest: Any) -> Tensor:
        found.append((which, pixel, level, rest[0]))
        return saliency_samples(which, model, noisy, clean, pixel, level, *rest)

    monkeypatch.setattr(sliders, "saliency_samples", counted)
    nothing = np.zeros((2, 2), np.uint8)  # what is drawn does not matter here
    monkeypatch.setattr(sliders, "render_smoothgrad", lambda samples, *_: (nothing, f"n {len(samples)} "))
    return found


@pytest.fixture
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib's curve takes nine tenths of the time: drawn as a gray square here, and in full where an explorer starts."""
    monkeypatch.setattr(views, "pixels", lambda figure: np.full((2, 2, 3), 99, np.uint8))


def quick(**options: Any) -> Any:
    return smoothgrad_explorer(Square(), **{"samples": 6, **options})


def same_picture(first: bytes, second: bytes) -> bool:
    """Equal but for rounding: the batch in which a gradient is computed may change its last bit."""
    one, other = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) for data in (first, second))
    return one.shape == other.shape and int(np.abs(one - other).max()) <= 1


def test_smoothgrad_starts_with_tnets_error_at_15_percent_and_50_samples() -> None:
    box = smoothgrad_explorer()
    noisy, clean = example_pair()
    samples = saliency_samples(SALIENCY_MAPS[0], load_pretrained("tnet"), noisy, clean, (16, 16), 0.15, 50)
    pixels, numbers = render_smoothgrad(samples, noisy, clean, (16, 16), 0.15, SALIENCY_MAPS[0])
    assert seen(box) == (png(pixels), numbers)
    assert (box.slider.value, box.samples.value, box.row.value, box.column.value) == (0.15, 50, 16, 16)
    assert box.menu.value == "error: dL/dX" and box.menu.options == SALIENCY_MAPS
    assert (box.slider.min, box.slider.max, box.samples.min, box.samples.max) == (0, 0.3, 1, 200)
    assert (box.row.min, box.row.max, box.column.min, box.column.max) == (0, 31, 0, 31)
    assert box.slider.step == pytest.approx(0.01)


@pytest.mark.usefixtures("no_curve")
def test_smoothgrad_starts_where_it_is_told() -> None:
    box = smoothgrad_explorer(Square(), index=2, noise_level=0.3, samples=1, seed=4)
    noisy, clean = example_pair(2, 4)
    samples = saliency_samples(SALIENCY_MAPS[0], Square(), noisy, clean, (16, 16), 0.3, 1, 4)
    pixels, numbers = render_smoothgrad(samples, noisy, clean, (16, 16), 0.3, SALIENCY_MAPS[0])
    assert seen(box) == (png(pixels), numbers)
    others = [quick(**change) for change in ({}, {"index": 2}, {"seed": 4})]
    assert len({box.image.value for box in others}) == 3


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize(("control", "value", "words"), CONTROLS)
def test_smoothgrad_follows_each_control_and_comes_back(control: str, value: Any, words: str) -> None:
    box = quick()
    start, widget = seen(box), getattr(box, control)
    before = widget.value
    widget.value = value
    assert box.image.value != start[0] and words in said(box)
    assert (said(box) != start[1]) == (control not in ("row", "column"))  # the frame moves, and the map stays
    widget.value = before
    assert seen(box) == start


@pytest.mark.usefixtures("no_curve")
def test_the_pixel_chooses_the_filter() -> None:
    box = quick()
    box.menu.value = "filter of the pixel"
    start = seen(box)
    for control in (box.row, box.column):
        control.value = 20
        assert box.image.value != start[0] and said(box) != start[1]
        control.value = 16
        assert seen(box) == start


@pytest.mark.usefixtures("no_curve")
def test_any_number_of_samples_looks_as_in_a_fresh_explorer() -> None:
    box = smoothgrad_explorer(samples=5)
    for count in (9, 2, 70, 5):  # up and down; SmoothGrad takes 64 at once
        box.samples.value = count
        fresh = smoothgrad_explorer(samples=count)
        assert said(box) == said(fresh) and f"n {count} " in said(box)
        assert same_picture(box.image.value, fresh.image.value)


@pytest.mark.usefixtures("no_curve")
def test_a_path_through_all_controls_ends_where_a_fresh_explorer_does() -> None:
    box = quick()
    for control, value, _ in CONTROLS:
        getattr(box, control).value = value
    fresh = quick(noise_level=0.0, samples=9)
    fresh.row.value, fresh.column.value, fresh.menu.value = 3, 30, "filter of the pixel"
    assert seen(box) == seen(fresh)


def test_fewer_samples_are_not_computed_again(calls: list[Any]) -> None:
    box = quick()
    assert calls == [("error: dL/dX", (16, 16), 0.15, 6)]
    for count in (5, 2, 1, 4, 6):
        box.samples.value = count
        assert f"n {count} " in said(box)
    assert len(calls) == 1
    box.samples.value = 7
    box.samples.value = 3
    assert calls[1:] == [("error: dL/dX", (16, 16), 0.15, 7)]


def test_a_new_pixel_is_computed_where_the_map_is_the_pixels(calls: list[Any]) -> None:
    box = quick()
    for which in SALIENCY_MAPS[:2]:
        box.menu.value = which
        calls.clear()
        box.row.value, box.column.value = 3, 5
        box.row.value, box.column.value = 16, 16
        assert calls == []
    box.menu.value = SALIENCY_MAPS[2]
    calls.clear()
    box.row.value = 3
    box.column.value = 5
    box.samples.value = 2
    assert calls == [(SALIENCY_MAPS[2], (3, 16), 0.15, 6), (SALIENCY_MAPS[2], (3, 5), 0.15, 6)]


def test_a_new_level_and_a_new_map_are_computed_once(calls: list[Any]) -> None:
    box = quick()
    calls.clear()
    box.slider.value = 0.1
    box.menu.value = "sum of outputs"
    assert calls == [("error: dL/dX", (16, 16), 0.1, 6), ("sum of outputs", (16, 16), 0.1, 6)]


def test_redrawing_computes_nothing(calls: list[Any]) -> None:
    box = quick()
    start = seen(box)
    box.redraw()
    assert seen(box) == start and len(calls) == 1


def test_the_smoothgrad_filmstrip_tells_its_numbers() -> None:
    strip = smoothgrad_filmstrip()
    words = alt_of(strip)
    assert "red positive" in words and "blue negative" in words
    told = re.findall(r"noise (\d+)%, n (\d+): mean \|map\| (0\.\d+)", words)
    assert [(level, count) for level, count, _ in told] == [(level, n) for n in ("1", "50") for level in ("0", "5", "15")]
    size = {(level, count): float(value) for level, count, value in told}
    noisy, clean = example_pair()
    plain = loss_gradient(load_pretrained("tnet"), noisy, clean).mean((0, 1)).abs().mean().item()
    assert size["0", "1"] == size["0", "50"] == pytest.approx(plain, abs=0.00051)  # nothing to average
    assert size["15", "50"] < size["15", "1"]
    assert smoothgrad_filmstrip().data == strip.data != smoothgrad_filmstrip(index=1).data
    assert alt_of(smoothgrad_filmstrip(seed=1)) != words


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"index": 7}, ValueError, ("index", "7")),
        ({"index": -1}, ValueError, ("index",)),
        ({"index": 0.5}, TypeError, ("index",)),
        ({"noise_level": 0.31}, ValueError, ("noise", "level", "0.31", "0.3]")),
        ({"noise_level": -0.1}, ValueError, ("noise", "level", "-0.1")),
        ({"noise_level": "high"}, TypeError, ("noise", "level", "'high'")),
        ({"samples": 0}, ValueError, ("samples", "0")),
        ({"samples": 201}, ValueError, ("samples", "200", "201")),
        ({"samples": 2.5}, TypeError, ("samples",)),
        ({"seed": -1}, ValueError, ("seed",)),
        ({"seed": None}, TypeError, ("seed",)),
    ],
)
def test_bad_arguments_of_smoothgrads_explorer(
    options: dict[str, Any], error: type[Exception], words: tuple[str, ...], refused: Any
) -> None:
    with refused(error, *words):
        smoothgrad_explorer(Square(), **options)


@pytest.mark.parametrize(("name", "value"), [("noise_level", 0.5), ("noise_level", -1.0), ("samples", 0), ("samples", 2.5)])
def test_the_message_names_the_argument_as_it_is_written(name: str, value: Any, refused: Any) -> None:
    with refused((ValueError, TypeError), f"{name} must be"):
        smoothgrad_explorer(Square(), **{name: value})


@pytest.mark.parametrize("model", ["tnet", Square, 3], ids=str)
def test_smoothgrad_explores_networks_alone(model: Any, refused: Any) -> None:
    with refused(TypeError, "model", "Module"):
        smoothgrad_explorer(model)


# --- filters ---


def test_filters_start_in_the_middle() -> None:
    box = filter_explorer()
    models = {name: load_pretrained(name) for name in COLOR_NETWORKS}
    pixels, numbers = render_filters((16, 16), models, *example_pair())
    assert seen(box) == (png(pixels), numbers)
    assert all(name in said(box) for name in (*COLOR_NETWORKS, "Gaussian"))
    assert (box.row.value, box.column.value) == (16, 16)
    assert (box.row.min, box.row.max, box.column.min, box.column.max) == (4, 27, 4, 27)  # a window fits around each


@pytest.mark.parametrize("control", ["row", "column"])
def test_filters_follow_the_pixel_and_come_back(control: str) -> None:
    box = filter_explorer(index=1, seed=2)
    start, widget = seen(box), getattr(box, control)
    models = {name: load_pretrained(name) for name in COLOR_NETWORKS}
    for value in (widget.min, widget.max):
        widget.value = value
        pixels, numbers = render_filters((box.row.value, box.column.value), models, *example_pair(1, 2))
        assert seen(box) == (png(pixels), numbers) != start
    widget.value = 16
    assert seen(box) == start


def test_the_filter_filmstrip_tells_its_numbers() -> None:
    places = [(8, 16), (20, 5)]
    words = alt_of(filter_filmstrip(places))
    models = {name: load_pretrained(name) for name in COLOR_NETWORKS}
    for row, column in places:
        numbers = render_filters((row, column), models, *example_pair())[1]
        assert f"row {row}, column {column}: {numbers}" in words
    assert alt_of(filter_filmstrip(places, index=1)) != words != alt_of(filter_filmstrip(places, seed=1))


@pytest.mark.parametrize("make", [filter_explorer, lambda **options: filter_filmstrip([(16, 16)], **options)])
@pytest.mark.parametrize(
    ("options", "error"), [({"index": 7}, ValueError), ({"index": "0"}, TypeError), ({"seed": -1}, ValueError)]
)
def test_bad_arguments_of_the_filters(
    make: Callable[..., Any], options: dict[str, Any], error: type[Exception], refused: Any
) -> None:
    with refused(error, next(iter(options))):
        make(**options)


@pytest.mark.parametrize(("pixel", "words"), [((2, 16), "border"), ((16, 40), "outside")])
def test_bad_pixels_of_the_filter_filmstrip(pixel: tuple[int, int], words: str, refused: Any) -> None:
    with refused(ValueError, "pixel", words):
        filter_filmstrip([(16, 16), pixel])


def test_a_filmstrip_of_no_pixels(refused: Any) -> None:
    with refused(ValueError, "pixel"):
        filter_filmstrip([])


# --- all of them ---

EXPLORERS: dict[str, tuple[Callable[[], Any], int]] = {
    "noise": (lambda: noise_explorer(example_digits(2)), 1),
    "denoise": (lambda: denoise_explorer(example_digits(2)), 3),
    "estimator": (estimator_explorer, 2),
    "noise2noise": (noise2noise_explorer, 5),
    "smoothgrad": (quick, 5),
    "filter": (filter_explorer, 2),
    "guess": (guess_the_mu, 2),
}
"""Each explorer, and the number of its controls."""


def controls(widget: Any) -> list[Any]:
    """The parts of a box that a hand can move."""
    if isinstance(widget, ipywidgets.Box):
        return [part for child in widget.children for part in controls(child)]
    return [] if isinstance(widget, (ipywidgets.HTML, ipywidgets.Image)) else [widget]


@pytest.mark.usefixtures("no_curve")
@pytest.mark.parametrize("name", EXPLORERS)
def test_all_controls_are_in_the_box_and_have_labels_of_their_own(name: str) -> None:
    make, count = EXPLORERS[name]
    labels = [control.description for control in controls(make())]
    assert len(labels) == len(set(labels)) == count and all(label.strip() for label in labels)


@pytest.mark.parametrize("name", [name for name in EXPLORERS if name != "guess"])
def test_picture_and_numbers_are_in_the_box(name: str) -> None:
    box = EXPLORERS[name][0]()
    assert box.image in box.children and box.numbers in box.children
    assert "role='status'" in box.numbers.value and said(box).strip()  # read aloud when it changes
    Image.open(io.BytesIO(box.image.value)).verify()


@pytest.mark.usefixtures("no_curve")
def test_explorers_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    for make, _ in EXPLORERS.values():
        make()
    smoothgrad_filmstrip()
    filter_filmstrip([(16, 16)])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("no_curve")
def test_the_explorers_of_the_course_are_in_tabs() -> None:
    tabs = course_explorers(seed=3)
    titles = [tabs.get_title(index) for index in range(len(tabs.children))]
    assert len(set(titles)) == len(titles) == len(EXPLORERS) and all(titles)
    assert [len(controls(tab)) for tab in tabs.children] == [1, 3, 2, 2, 5, 5, 2]
    assert tabs.children[0].image.value == noise_explorer(seed=3).image.value != noise_explorer().image.value
