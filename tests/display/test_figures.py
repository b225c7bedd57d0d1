from __future__ import annotations

import builtins
import importlib.util
import io
import json
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from denoise_lib.display.figures import (
    BLACK,
    GREEN,
    heat_map,
    learning_curves,
    mark,
    panel,
    paper_show,
    picture,
    pixels,
    png,
    residual,
    tile,
)
from denoise_lib.training import History

pytest.importorskip("matplotlib").use("Agg")


def test_tile_places_every_image_unscaled() -> None:
    images = torch.rand(5, 1, 4, 6)
    sheet = tile(images, 3, pad=1)
    assert sheet.shape == (2 * 5 - 1, 3 * 7 - 1) and sheet.dtype == np.uint8
    for index in range(5):
        top, left = index // 3 * 5, index % 3 * 7
        expected = (images[index, 0] * 255).round().numpy().astype(np.uint8)
        np.testing.assert_array_equal(sheet[top : top + 4, left : left + 6], expected)
    assert (sheet[5:, 14:] == 255).all()  # the place of the missing sixth image stays white


def test_tile_does_not_stretch_the_contrast() -> None:
    faint = torch.full((1, 1, 2, 2), 0.2)
    faint[0, 0, 0, 0] = 0.3
    assert set(np.unique(tile(faint))) == {51, 76}
    assert set(np.unique(tile(torch.tensor([[[[-5.0, 7.0]]]])))) == {0, 255}


@given(count=st.integers(1, 9), columns=st.integers(1, 4), pad=st.integers(0, 3), scale=st.integers(1, 3), gray=st.booleans())
def test_tile_shape(count: int, columns: int, pad: int, scale: int, gray: bool) -> None:
    sheet = tile(torch.zeros(count, 1 if gray else 3, 5, 7), columns, pad=pad, scale=scale)
    rows = -(-count // columns)
    height, width = scale * (rows * (5 + pad) - pad), scale * (columns * (7 + pad) - pad)
    assert sheet.shape == ((height, width) if gray else (height, width, 3))


@pytest.mark.parametrize(
    ("images", "options", "error"),
    [
        (torch.zeros(2, 28, 28), {}, ValueError),
        (torch.zeros(1, 2, 4, 4), {}, ValueError),
        (torch.full((1, 1, 4, 4), torch.nan), {}, ValueError),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), {}, TypeError),
        (np.zeros((1, 1, 4, 4)), {}, TypeError),
        (torch.zeros(1, 1, 4, 4), {"columns": 0}, ValueError),
        (torch.zeros(1, 1, 4, 4), {"scale": 0}, ValueError),
        (torch.zeros(1, 1, 4, 4), {"pad": -1}, ValueError),
        (torch.zeros(1, 1, 4, 4), {"columns": 1.5}, TypeError),
    ],
)
def test_tile_bad_input(images: torch.Tensor, options: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        tile(images, **options)
    assert "\n" not in str(caught.value)


def test_residual_is_symmetric_around_white() -> None:
    signed = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]).view(1, 1, 1, 5)
    colours = residual(signed)[0]
    assert colours.tolist() == [[0, 0, 255], [128, 128, 255], [255, 255, 255], [255, 128, 128], [255, 0, 0]]
    mirrored = residual(-signed)[0]
    np.testing.assert_array_equal(colours[:, ::-1], mirrored)  # red and blue change places


def test_panel_keeps_the_pixels_and_adds_titles() -> None:
    gray = np.full((10, 300), 7, np.uint8)
    colour = np.full((12, 300, 3), (9, 8, 7), np.uint8)
    sheet = panel([gray, colour], ["one", "two"], columns=1)
    line, gap = 20, 12  # of the title, and between the cells
    assert (sheet[line : line + 10] == 7).all()
    top = line + 12 + gap + line
    assert (sheet[top : top + 12] == (9, 8, 7)).all()
    assert (sheet[:20] < 128).any(), "the title is drawn in black"


def test_panel_needs_a_title_a_picture() -> None:
    with pytest.raises(ValueError, match="one title a picture"):
        panel([np.zeros((2, 2), np.uint8)], [])


@given(row=st.integers(0, 4), column=st.integers(0, 6), scale=st.integers(3, 7), gray=st.booleans())
def test_a_mark_frames_one_pixel_and_nothing_else(row: int, column: int, scale: int, gray: bool) -> None:
    shape = (5 * scale, 7 * scale) if gray else (5 * scale, 7 * scale, 3)
    photo = np.random.default_rng(0).integers(0, 250, shape, dtype=np.uint8)
    kept = photo.copy()
    marked = mark(photo, (row, column), scale)
    assert marked.shape == (5 * scale, 7 * scale, 3) and marked.dtype == np.uint8
    frame = np.zeros((5 * scale, 7 * scale), bool)
    frame[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale] = True
    frame[row * scale + 1 : (row + 1) * scale - 1, column * scale + 1 : (column + 1) * scale - 1] = False
    assert frame.sum() == 4 * (scale - 1)
    colour = photo[..., None].repeat(3, axis=2) if gray else photo
    assert (marked[frame] == (0, 255, 0)).all()
    np.testing.assert_array_equal(marked[~frame], colour[~frame])
    np.testing.assert_array_equal(photo, kept)
    assert not np.shares_memory(photo, marked)


def test_the_colour_of_a_mark() -> None:
    photo = tile(torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)), scale=6)
    for options, colour in (({}, GREEN), ({"colour": BLACK}, BLACK), ({"colour": (1, 2, 3)}, (1, 2, 3))):
        marked = mark(photo, (3, 0), 6, **options)  # type: ignore[arg-type]
        assert (marked[18, :6] == colour).all() and (marked[23, :6] == colour).all() and (marked[18:, 0] == colour).all()


def test_a_picture_can_be_marked_twice() -> None:
    gray = np.full((12, 12), 7, np.uint8)
    both = mark(mark(gray, (0, 0), 6), (1, 1), 6, BLACK)
    assert (both[0, :6] == GREEN).all() and (both[6, 6:] == BLACK).all() and (both[0, 6:] == 7).all()


@pytest.mark.parametrize(
    ("pixel", "scale", "error", "words"),
    [
        ((2, 0), 6, ValueError, ("pixel", "(2, 0)", "outside")),
        ((0, 2), 6, ValueError, ("pixel", "(0, 2)", "outside")),
        ((-1, 0), 6, ValueError, ("pixel", "outside")),
        ((0, -1), 6, ValueError, ("pixel", "outside")),
        ((0, 0), 13, ValueError, ("pixel", "scale 13")),
        ((0, 0), 2, ValueError, ("scale", "3")),
        ((0, 0), 0, ValueError, ("scale",)),
        ((0, 0), 6.0, TypeError, ("scale",)),
        ((0, 0), None, TypeError, ("scale",)),
    ],
)
def test_bad_marks(pixel: Any, scale: Any, error: type[Exception], words: tuple[str, ...], refused: Any) -> None:
    with refused(error, *words):
        mark(np.zeros((12, 12), np.uint8), pixel, scale)


@pytest.mark.parametrize("pixel", [3, (1,), (0.5, 0.5), "ab", None], ids=str)
def test_a_marked_pixel_is_a_row_and_a_column(pixel: Any, refused: Any) -> None:
    with refused((TypeError, ValueError), "pixel", "row"):
        mark(np.zeros((12, 12), np.uint8), pixel, 6)


def test_png_roundtrip() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
    gray = pixels[..., :1].repeat(3, axis=2)
    read = Image.open(io.BytesIO(png(gray)))
    assert read.mode == "L", "equal channels are stored once"
    np.testing.assert_array_equal(np.asarray(read.convert("RGB")), gray)
    with pytest.raises(TypeError, match="uint8"):
        png(pixels / 255)


def test_picture_carries_its_alt_text() -> None:
    alt = "A gray square, three pixels wide"
    shown = picture(np.full((3, 3), 99, np.uint8), alt)
    data, metadata = DisplayFormatter().format(shown)
    assert metadata["image/png"]["alt"] == alt and "image/png" in data
    with pytest.raises(ValueError, match="alt"):
        picture(np.zeros((2, 2), np.uint8), "digits")


def test_picture_closes_the_figure() -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    picture(learning_curves({"U-Net": History(loss=[1.0, 0.1], validation=[0.9, 0.2])}), "Two falling curves, one dashed")
    assert plt.get_fignums() == before


def test_learning_curves_show_the_history() -> None:
    figure = learning_curves({"U-Net": History(loss=[1.0, 0.1], validation=[0.9, 0.2]), "other": History(loss=[3.0])})
    lines = {str(line.get_label()): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines == {"U-Net, training": [1.0, 0.1], "U-Net, validation": [0.9, 0.2], "other, training": [3.0]}


def test_heat_map_prints_each_number() -> None:
    values = np.array([[0.001, 0.02], [0.3, 4.0]])
    figure = heat_map(values, ["a", "b"], ["c", "d"], xlabel="x", ylabel="y", title="t")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.001", "0.02", "0.3", "4"]
    with pytest.raises(ValueError, match="shape"):
        heat_map(values, ["a"], ["c", "d"], xlabel="x", ylabel="y", title="t")


def test_paper_show_stretches_the_contrast_and_leaves_no_trace() -> None:
    """torch-snippets writes into builtins and changes how tensors print and what JSON writes; none may outlive the import."""
    if importlib.util.find_spec("torch_snippets") is None:
        pytest.skip("torch-snippets (extra: snippets) is not installed")
    for name in [name for name in sys.modules if name.startswith("torch_snippets")]:
        del sys.modules[name]
    printed = repr(torch.arange(3))
    faint = np.full((8, 8), 0.4)
    faint[0, 0] = 0.6
    figure = paper_show([faint], ["faint"])
    assert figure is not None
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (0.4, 0.6), "the package stretches to the picture's own minimum and maximum"
    assert repr(torch.arange(3)) == printed
    assert not any(hasattr(builtins, name) for name in ("nn", "np", "optim", "DataLoader"))
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"a": {1, 2}})


def test_paper_show_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_snippets", None)
    monkeypatch.setitem(sys.modules, "torch_snippets.loader", None)
    assert paper_show([np.zeros((4, 4))], ["nothing"]) is None


def test_pixels_of_a_figure() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=50, facecolor="red")
    drawn = pixels(figure)
    assert drawn.shape == (50, 100, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[0, 0], (255, 0, 0))
