"""One clear sentence for bad input: what was wrong, what is expected, an example.

Every public function checks its arguments here, so that a slip ends in a `TypeError` or a `ValueError` that a
student understands, and not in a stack of torch internals.
"""

from __future__ import annotations

import math
import os
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn


def check_tensor(value: object, name: str) -> Tensor:
    """Return `value` if it is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, but is {kind(value)}; for example torch.rand(8, 1, 28, 28), "
            "or torch.from_numpy(array) for a NumPy array."
        )
    return value


def check_images(
    image: object,
    name: str = "image",
    *,
    value_range: tuple[float, float] | None = (0.0, 1.0),
    channels: int | None = None,
    min_dim: int = 2,
    dims: int | None = None,
) -> Tensor:
    """Return `image` if it is a finite float tensor whose last two axes are height and width.

    Args:
        image: what the caller passed.
        name: the argument's name, for the message.
        value_range: least and greatest value allowed; None allows every finite value.
        channels: where given, `image` must be a batch (N, channels, H, W).
        min_dim: least number of axes, 2 for (H, W).
        dims: where given, the exact number of axes: 2 for (H, W), 3 for (P, H, W), 4 for (N, C, H, W).

    Raises:
        TypeError: no tensor, or not of a floating-point dtype.
        ValueError: empty, wrong number of axes, wrong number of channels, NaN or infinity, or a value outside the range.
    """
    image = check_tensor(image, name)
    if not image.is_floating_point():
        raise TypeError(
            f"{name} must be a float tensor with values in [0, 1], but its dtype is {image.dtype}; "
            "for 8-bit images write image.float() / 255."
        )
    if channels is not None:
        if image.dim() != 4 or image.shape[1] != channels:
            raise ValueError(
                f"{name} must have the shape (N, {channels}, H, W), but has {tuple(image.shape)}; "
                f"for example torch.rand(8, {channels}, 28, 28)."
            )
    elif dims is not None and image.dim() != dims:
        wanted = {2: "(H, W)", 3: "(P, H, W)", 4: "(N, C, H, W)"}[dims]
        raise ValueError(f"{name} must have the shape {wanted}, but has {tuple(image.shape)}.")
    elif image.dim() < min_dim:
        wanted = "(N, C, H, W)" if min_dim == 4 else "(H, W), (C, H, W) or (N, C, H, W)"
        raise ValueError(f"{name} must have the shape {wanted}, but has {tuple(image.shape)}.")
    if image.numel() == 0:
        raise ValueError(f"{name} is empty: its shape is {tuple(image.shape)}; pass at least one image.")
    low, high = (bound.item() for bound in image.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} contains NaN or infinity; every pixel must be a finite number.")
    if value_range is not None and (low < value_range[0] or high > value_range[1]):
        hint = " (divide 8-bit values by 255)" if high > 1.5 and value_range[1] == 1.0 else ""
        raise ValueError(
            f"{name} must lie in [{value_range[0]:g}, {value_range[1]:g}], but its values span {low:.4g} to {high:.4g}{hint}."
        )
    return image


def check_same_shape(a: Tensor, b: Tensor, name_a: str, name_b: str) -> None:
    """Raise `ValueError` unless both tensors have one shape: broadcasting would hide a mistake in a metric."""
    check_tensor(a, name_a)
    check_tensor(b, name_b)
    if a.shape != b.shape:
        raise ValueError(f"{name_a} and {name_b} must have the same shape, but have {tuple(a.shape)} and {tuple(b.shape)}.")
    if a.device != b.device:
        raise ValueError(f"{name_a} is on {a.device} and {name_b} on {b.device}; move one with .to({str(a.device)!r}).")


def check_pair(a: Tensor, b: Tensor, name_a: str = "noisy", name_b: str = "clean") -> None:
    """Raise a clear error unless both are finite float images (N, C, H, W) of one shape."""
    check_images(a, name_a, value_range=None, dims=4)
    check_images(b, name_b, value_range=None, dims=4)
    check_same_shape(a, b, name_a, name_b)


def check_model(model: object) -> nn.Module:
    """Return `model` if it is a network."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module such as TNet(), but is {kind(model)}.")
    return model


def check_list(values: object, name: str, example: object) -> list[Any]:
    """Return `values` as a list if it is a list or a tuple, and not empty."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be a list, but is {kind(values)}{_example(name, example)}.")
    if not values:
        raise ValueError(f"{name} must hold at least one value, but is empty{_example(name, example)}.")
    return list(values)


def check_number(
    value: object, name: str, low: float, high: float = math.inf, *, open_low: bool = False, example: object = None
) -> float:
    """Return `value` as a float if it is a real number in [low, high], or in (low, high] with `open_low`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, but is {kind(value)}{_example(name, example)}.")
    number = float(value)
    if not math.isfinite(number) or number > high or number < low or (open_low and number == low):
        if high == math.inf:
            wanted = f"greater than {low:g}" if open_low else f"at least {low:g}"
        else:
            wanted = f"in {'(' if open_low else '['}{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, but is {number:g}{_example(name, example)}.")
    return number


def check_count(value: object, name: str, low: int = 1, *, example: object = None) -> int:
    """Return `value` as an int if it is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, but is {kind(value)}{_example(name, example)}.")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, but is {value}{_example(name, example)}.")
    return value


def check_choice(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of the words in `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but is {value!r}.")
    return str(value)


def check_generator(generator: object, device: torch.device) -> torch.Generator | None:
    """Return `generator` if it is None or a `torch.Generator` that draws on `device`."""
    if generator is None:
        return None
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator or None, but is {kind(generator)}; "
            "for example torch.Generator().manual_seed(0)."
        )
    if generator.device.type != device.type:
        raise ValueError(
            f"generator draws on {generator.device.type}, but the image is on {device.type}; "
            f"write torch.Generator({device.type!r}).manual_seed(0)."
        )
    return generator


def stream_seed(seed: int, index: int) -> int:
    """The seed of one of many independent streams, such as one for each photo or epoch.

    torch's CPU generator reads 32 bits of its seed, so that a seed above them would be ignored: fold it in.
    """
    folded = seed ^ (seed >> 32)
    return (folded * 2_654_435_761 + index) % 2**32  # Knuth's multiplicative hash; seed 0 leaves the index


def check_path(path: object, name: str = "path") -> str:
    """Return `path` as a string if it is a str or a path object, and not empty."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path such as 'run/unet.pt', but is {kind(path)}.")
    text = os.fspath(path)
    if not text:
        raise ValueError(f"{name} is empty; pass a path such as 'run/unet.pt'.")
    return str(text)


def kind(value: object) -> str:
    """'the str 'abc'' for short values, 'a Tensor of shape (2, 3)' for arrays, 'a DataLoader' for others."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    text = repr(value) if isinstance(value, (str, bool, int, float, tuple, type(None))) else ""
    return f"the {type(value).__name__} {text}" if text and len(text) < 40 else f"a {type(value).__name__}"


def _example(name: str, example: object) -> str:
    return "" if example is None else f"; for example {name}={example!r}"
