"""Pictures: pixels first, matplotlib second.

The display range is fixed at 0..1 everywhere. A picture that is stretched to its own minimum and maximum hides how strong
the noise is, and makes a denoiser look better or worse than it is. Every picture that a notebook shows has a text in its
place (alt text) for readers who do not see it.
"""

from __future__ import annotations

import builtins
import io
import math
from collections.abc import Callable, Sequence
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..internal.checkpoints import History
from ..internal.checks import check_count, check_images, check_keys, check_list, check_number, describe

if TYPE_CHECKING:
    from IPython.display import Image as DisplayedImage
    from matplotlib.figure import Figure

WHITE = 255
GREEN, BLACK = (0, 255, 0), (0, 0, 0)
MOST_PIXELS = 10**8


def tile(images: Tensor, columns: int | None = None, *, pad: int = 1, scale: int = 1) -> np.ndarray:
    """Lay a batch out as one picture, row by row, with the display range fixed at 0..1.

    Args:
        images: float, (N, 1, H, W) gray or (N, 3, H, W) colour; values outside [0, 1] are clipped, as a screen would.
        columns: pictures in a row; by default as square as it goes.
        pad: white pixels between pictures.
        scale: each pixel becomes a block of scale x scale pixels.

    Returns:
        uint8, (height, width) for gray, (height, width, 3) for colour; 0 is black and 255 white.
    """
    check_images(images, "images", value_range=None, dims=4)
    count, channels, height, width = images.shape
    if channels not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, but have the shape {tuple(images.shape)}.")
    columns = math.ceil(math.sqrt(count)) if columns is None else check_count(columns, "columns", example=8)
    check_count(pad, "pad", 0, example=1)
    check_count(scale, "scale", example=2)
    rows = math.ceil(count / columns)
    _check_size(rows * (height + pad) * scale, columns * (width + pad) * scale)
    pixels = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    canvas = np.full((rows * (height + pad) - pad, columns * (width + pad) - pad, channels), WHITE, np.uint8)
    for index, picture in enumerate(pixels):
        top, left = index // columns * (height + pad), index % columns * (width + pad)
        canvas[top : top + height, left : left + width] = picture
    canvas = canvas.repeat(scale, axis=0).repeat(scale, axis=1)
    return canvas[..., 0] if channels == 1 else canvas


def panel(pictures: Sequence[np.ndarray], titles: Sequence[str], *, columns: int | None = None, gap: int = 12) -> np.ndarray:
    """Put uint8 pictures beside each other, each with its title above.

    Args:
        pictures: uint8, (height, width) or (height, width, 3).
        titles: one for each picture.
        columns: pictures in a row; by default all.
        gap: white pixels between them.

    Returns:
        uint8, (height, width, 3).
    """
    _check_titles(pictures, titles, "panel")
    for picture in pictures:
        _checked(picture, "each picture")
    columns = len(pictures) if columns is None else check_count(columns, "columns", example=3)
    check_count(gap, "gap", 0, example=12)
    font, line = ImageFont.load_default(13), 20
    colour = [picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2) for picture in pictures]
    text_width = max(math.ceil(font.getlength(title)) for title in titles)
    cell_height = max(picture.shape[0] for picture in colour) + line
    cell_width = max(max(picture.shape[1] for picture in colour), text_width)
    rows = math.ceil(len(colour) / columns)
    size = (columns * (cell_width + gap) - gap, rows * (cell_height + gap) - gap)
    _check_size(*size)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for index, (picture, title) in enumerate(zip(colour, titles, strict=True)):
        left, top = index % columns * (cell_width + gap), index // columns * (cell_height + gap)
        draw.text((left, top + 2), title, fill="black", font=font)
        canvas.paste(Image.fromarray(picture), (left, top + line))
    return np.asarray(canvas)


def residual(difference: Tensor, columns: int | None = None, *, limit: float = 1.0, pad: int = 1, scale: int = 1) -> np.ndarray:
    """Lay signed maps out as one picture: blue is negative, white is zero, red is positive, on a scale of -limit..limit.

    Args:
        difference: float, (N, 1, H, W).
        columns, pad, scale: as for `tile`.
        limit: the value shown in full colour.

    Returns:
        uint8, (height, width, 3).
    """
    check_images(difference, "difference", value_range=None, channels=1)
    check_number(limit, "limit", 0, open_low=True, example=1.0)
    strength = (difference.detach() / limit).clamp(-1, 1)
    fade = 1 - strength.abs()
    red, blue = torch.where(strength >= 0, 1.0, fade), torch.where(strength <= 0, 1.0, fade)
    return tile(torch.cat([red, fade, blue], dim=1), columns, pad=pad, scale=scale)


def mark(picture: np.ndarray, pixel: tuple[int, int], scale: int, colour: tuple[int, int, int] = GREEN) -> np.ndarray:
    """A copy of a picture with a frame around one pixel of the image that it shows.

    Args:
        picture: uint8, (height, width) or (height, width, 3), of one image as `tile(image, scale=scale)` returns it.
        pixel: (row, column) in the image.
        scale: size of a pixel in the picture.
        colour: of the frame: green shows on photos, black on signed maps.

    Returns:
        uint8, (height, width, 3).
    """
    _checked(picture, "picture")
    check_count(scale, "scale", 3, example=6)
    if len(check_list(colour, "colour", GREEN)) != 3:
        raise ValueError(f"colour must be (red, green, blue), but has {len(colour)} numbers; for example colour={GREEN}.")
    for part in colour:
        check_count(part, "each part of colour", 0, 255, example=255)
    if not isinstance(pixel, (tuple, list)) or len(pixel) != 2 or not all(type(place) is int for place in pixel):
        raise TypeError(f"pixel must be (row, column) in whole numbers, for example (16, 16), but is {describe(pixel)}.")
    framed = picture.copy() if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    top, left = pixel[0] * scale, pixel[1] * scale
    if not (0 <= top <= framed.shape[0] - scale and 0 <= left <= framed.shape[1] - scale):
        raise ValueError(f"pixel {tuple(pixel)} is outside of a picture of {picture.shape[:2]} at scale {scale}.")
    inside = framed[top + 1 : top + scale - 1, left + 1 : left + scale - 1].copy()
    framed[top : top + scale, left : left + scale] = colour
    framed[top + 1 : top + scale - 1, left + 1 : left + scale - 1] = inside
    return framed


def png(pixels: np.ndarray, *, compress_level: int = 3) -> bytes:
    """A uint8 picture, (height, width) or (height, width, 3), as the bytes of a PNG file.

    Args:
        pixels: the picture; one whose three channels are equal is stored as gray.
        compress_level: 0 to 9; 3 is quick enough for a slider, 9 is small enough to keep.
    """
    _checked(pixels, "pixels")
    check_count(compress_level, "compress_level", 0, 9, example=3)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=compress_level)
    return buffer.getvalue()


def picture(content: np.ndarray | Figure, alt: str) -> DisplayedImage:
    """What a cell ends with: a PNG of an array or of a matplotlib figure, with alt text.

    Args:
        content: a uint8 array such as `tile` or `panel` returns, or a matplotlib figure, which is closed.
        alt: what is to be seen, in words and numbers, for readers who do not see it.
    """
    from IPython.display import Image as DisplayedImage  # its argument `alt` is missing in Colab's IPython 7: use metadata

    if not isinstance(alt, str) or len(alt) < 15:
        raise ValueError("alt must say in words what is to be seen; for example 'Eight digits, noisier from left to right'.")
    if isinstance(content, np.ndarray):
        return DisplayedImage(data=png(content, compress_level=9), format="png", metadata={"alt": alt})
    if not _is_figure(content):
        raise TypeError(f"content must be a uint8 array or a matplotlib figure, but is {describe(content)}.")
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    content.savefig(buffer, format="png", dpi=80, bbox_inches="tight", pil_kwargs={"compress_level": 9})
    plt.close(content)
    return DisplayedImage(data=buffer.getvalue(), format="png", metadata={"alt": alt})


def learning_curves(histories: dict[str, History]) -> Figure:
    """Training loss, and validation loss where there is one (dashed), against epochs, on a logarithmic scale."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    check_keys(histories, "histories", ())
    if not histories or not all(isinstance(name, str) and isinstance(found, History) for name, found in histories.items()):
        raise TypeError("histories must hold at least one History by its name, for example {'U-Net': fit(...)}.")
    figure, axes = plt.subplots(figsize=(7, 3.5))
    for index, (name, history) in enumerate(histories.items()):
        epochs = range(1, history.epochs + 1)
        axes.semilogy(epochs, history.loss, marker="o", color=f"C{index}", label=f"{name}, training")
        if history.validation:
            axes.semilogy(epochs, history.validation, "--", marker="s", color=f"C{index}", label=f"{name}, validation")
    axes.set(xlabel="epoch", ylabel="mean squared error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def heat_map(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, xlabel: str, ylabel: str, title: str
) -> Figure:
    """A table of numbers as colours, each cell with its number (three significant digits), on a logarithmic colour scale."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    for name, texts in (("rows", rows), ("columns", columns), ("the labels", [xlabel, ylabel, title])):
        for text in check_list(texts, name, ["mild", "severe"]):
            _check_text(text, f"each of {name}", "mild")
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or not ((values > 0) & np.isfinite(values)).all():
        raise TypeError(f"values must be a float array of positive numbers, for their logarithms, but are {describe(values)}.")
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"values must have the shape ({len(rows)}, {len(columns)}), but have {values.shape}.")
    figure, axes = plt.subplots(figsize=(1.5 + 0.75 * len(columns), 1.2 + 0.42 * len(rows)))
    norm = LogNorm(values.min(), values.max())
    axes.imshow(values, norm=norm, cmap="viridis", aspect="auto")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for (row, column), value in np.ndenumerate(values):
        dark = norm(value) < 0.6
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return figure


def paper_show(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> Figure | None:
    """Draw pictures as the first paper did, with torch-snippets' `show`: each stretched to its own minimum and maximum.

    Returns:
        A matplotlib figure, or None where torch-snippets is not installed (`pip install torch-snippets`).
    """
    _check_titles(pictures, titles, "paper_show")
    for shown in pictures:
        if not isinstance(shown, np.ndarray) or shown.dtype.kind not in "uif" or shown.ndim not in (2, 3) or not shown.size:
            raise TypeError(f"each picture must be an array of numbers, (height, width) or (..., 3), but is {describe(shown)}.")
    show = _torch_snippets_show()
    if show is None:
        return None
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(pictures), figsize=(3.2 * len(pictures), 3.4), squeeze=False)
    for axis, pixels, title in zip(axes[0], pictures, titles, strict=True):
        show(pixels, ax=axis, title=title)
        axis.set_axis_off()
    return figure


def _torch_snippets_show() -> Callable[..., Any] | None:
    """torch_snippets.show, with the side effects of its import taken back.

    The import writes names such as `torch` and `np` into `builtins`, so that a notebook with a missing import would still
    run, changes how every tensor prints, and lets JSON write what it should refuse.
    """
    names_before = set(vars(builtins))
    json_default = JSONEncoder.default
    tensor_methods = {name: vars(Tensor).get(name) for name in ("__repr__", "__str__")}
    try:
        from torch_snippets.loader import show
    except ImportError:
        return None
    finally:
        JSONEncoder.default = json_default  # type: ignore[method-assign]
        for name in set(vars(builtins)) - names_before:
            delattr(builtins, name)
        for name, method in tensor_methods.items():
            if method is not None:
                setattr(Tensor, name, method)
            elif name in vars(Tensor):
                delattr(Tensor, name)
    function: Callable[..., Any] = show
    return function


def pixels(figure: Figure) -> np.ndarray:
    """A matplotlib figure drawn as a uint8 picture, (height, width, 3): for a slider, which shows pictures and no figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if not _is_figure(figure):
        raise TypeError(f"figure must be a matplotlib figure, but is {describe(figure)}.")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _checked(picture: object, name: str) -> np.ndarray:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        raise TypeError(f"{name} must be a uint8 array such as tile() returns, but is {describe(picture)}.")
    if not picture.size or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(f"{name} must have the shape (height, width) or (height, width, 3), but has {picture.shape}.")
    return picture


def _check_titles(pictures: Sequence[np.ndarray], titles: Sequence[str], name: str) -> None:
    count = len(check_list(pictures, "pictures", ["tile(images)"]))
    if isinstance(titles, (list, tuple)) and len(titles) != count:
        raise ValueError(f"{name} needs one title a picture, but got {count} pictures and {len(titles)} titles.")
    for title in check_list(titles, "titles", ["noisy", "clean"]):
        _check_text(title, "each title", "noisy")


def _check_text(text: object, name: str, example: str) -> None:
    if not isinstance(text, str) or not text.isprintable():
        raise TypeError(f"{name} must be a text of one line, for example {example!r}, but is {describe(text)}.")


def _check_size(height: int, width: int) -> None:
    """Before anything of that size is made: numpy crashes, and does not raise, where a picture has far too many pixels."""
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"the picture would have more than {MOST_PIXELS:,} pixels; take a smaller scale, pad or gap, or fewer columns."
        )


def _is_figure(value: object) -> bool:
    from matplotlib.figure import Figure

    return isinstance(value, Figure)
