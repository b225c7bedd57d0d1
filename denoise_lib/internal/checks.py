"""One clear sentence for bad input: what was wrong, what is expected, an example.

Every public function checks its arguments here, so that a slip ends in a `TypeError` or a `ValueError` that a
student understands, and not in a stack of torch internals.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

LARGEST = 1e9
"""No image has larger numbers, and no setting is larger: their squares would overflow."""
Thing = TypeVar("Thing")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensor(value: object, name: str) -> Tensor:
    """Return `value` if it is a tensor of numbers that can be looked at: dense, and on a device that holds values."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, but is {describe(value)}; for example torch.rand(8, 1, 28, 28), "
            "or torch.from_numpy(array) for a NumPy array."
        )
    if value.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, but its layout is {value.layout}; write {name}.to_dense().")
    if value.device.type == "meta":
        raise ValueError(f"{name} is on the device 'meta', which holds no values; make it on the device 'cpu'.")
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
        value_range: least and greatest value allowed; None allows all up to `LARGEST` (65.5 in float16), and their negatives.
        channels: where given, `image` must be a batch (N, channels, H, W).
        min_dim: least number of axes, 2 for (H, W).
        dims: where given, the exact number of axes: 2 for (H, W), 3 for (P, H, W), 4 for (N, C, H, W).

    Raises:
        TypeError: no tensor, or not of a floating-point dtype.
        ValueError: empty, wrong number of axes, wrong number of channels, NaN or infinity, or a value outside the range.
    """
    image = check_tensor(image, name)
    if image.dtype not in FLOATS:
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
    most = min(LARGEST, torch.finfo(image.dtype).max / 1000)  # float16 ends at 65,504, and room is needed to compute
    least, greatest = (-most, most) if value_range is None else value_range
    if low < least or high > greatest:
        hint = " (divide 8-bit values by 255)" if high > 1.5 and greatest == 1.0 else ""
        raise ValueError(f"{name} must lie in [{least:g}, {greatest:g}], but its values span {low:.4g} to {high:.4g}{hint}.")
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


def check_model(model: object, images: Tensor | None = None) -> nn.Module:
    """Return `model` if it is a network and, where images are given, one on their device."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module such as TNet(), but is {describe(model)}.")
    first = next(model.parameters(), None)
    if first is not None and first.device.type == "meta":
        raise ValueError("model is on the device 'meta', which holds no weights; build it on the CPU.")
    if images is not None and first is not None and first.device != check_tensor(images, "images").device:
        raise ValueError(f"model is on {first.device}, but the images are on {images.device}; move one with .to('cpu').")
    return model


def check_output(output: Tensor, other: Tensor, name: str = "its input") -> Tensor:
    """Return a model's output if it and another tensor are of float numbers and of one shape: others would be broadcast.

    Values are not looked at: that would stall a GPU on every step.
    """
    check_same_shape(output, other, "the model's output", name)
    for which, value in (("the model's output", output), (name, other)):
        if value.dtype not in FLOATS or not value.numel():
            raise ValueError(f"{which} must hold float numbers, but is {value.dtype} of shape {tuple(value.shape)}.")
    return output


def check_function(value: object, name: str, *arguments: str) -> Callable[..., Any]:
    """Return `value` if it is a function, or a network, that can be called with so many arguments, whatever their names."""
    called = f"{name}({', '.join(arguments)})"
    if not callable(value):
        raise TypeError(f"{name} must be a function, called as {called}, but is {describe(value)}.")
    try:
        signature = inspect.signature(value.forward if isinstance(value, nn.Module) else value)
    except ValueError:  # some functions of C tell nothing
        return value
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{name} is called as {called}, but has other arguments ({error}).") from None
    return value


def check_instance(value: object, name: str, wanted: type[Thing], example: str) -> Thing:
    """Return `value` if it is one of a class; `example` says where such a one comes from."""
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be of the class {wanted.__name__}, but is {describe(value)}; for example {example}.")
    return value


def check_list(values: object, name: str, example: object) -> list[Any]:
    """Return `values` as a list if it is a list or a tuple, and not empty."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be a list, but is {describe(values)}{_example(name, example)}.")
    if not values:
        raise ValueError(f"{name} must hold at least one value, but is empty{_example(name, example)}.")
    return list(values)


def check_real(value: object, name: str) -> float:
    """Return `value` as a float if it is a number; NaN and infinity, which say that something is unknown, are numbers too."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, but is {describe(value)}.")
    return float(value) if isinstance(value, (float, np.floating)) else check_number(value, name, -LARGEST)


def check_flag(value: object, name: str) -> bool:
    """Return `value` if it is True or False: a text such as "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, but is {describe(value)}.")
    return bool(value)


def check_number(
    value: object, name: str, low: float, high: float = LARGEST, *, open_low: bool = False, example: object = None
) -> float:
    """Return `value` as a float if it is a number in [low, high], or in (low, high] with `open_low`.

    Where there is no `high`, a number in (0, ...] is at least 1 / `LARGEST`: to divide by less would overflow.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, but is {describe(value)}{_example(name, example)}.")
    try:
        number = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf if value > 0 else -math.inf
    least = 1 / LARGEST if open_low and low == 0 and high == LARGEST else low
    if not least <= number <= high or (open_low and number == low):
        if low < number < least:
            wanted = f"at least {least:g}"
        elif high < LARGEST or low < 0:
            wanted = f"in {'(' if open_low else '['}{low:g}, {high:g}]"
        elif high < number < math.inf:
            wanted = f"at most {high:g}"
        else:
            wanted = f"greater than {low:g}" if open_low else f"at least {low:g}"
        raise ValueError(f"{name} must be {wanted}, but is {number:g}{_example(name, example)}.")
    return number


def check_count(value: object, name: str, low: int = 1, high: int = 2**63 - 1, *, example: object = None) -> int:
    """Return `value` as an int if it is a whole number from `low` to `high`, by default the largest that torch takes."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, but is {describe(value)}{_example(name, example)}.")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, but is {_short(value)}{_example(name, example)}.")
    if value > high:
        raise ValueError(f"{name} must be at most {high}, but is {_short(value)}{_example(name, example)}.")
    return value


def check_choice(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of the words in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but is {_short(value)}.")
    return str(value)


def check_device(device: object) -> torch.device:
    """Return the device of this name, such as 'cpu' or 'cuda', if it is there and holds values."""
    try:
        chosen: torch.device = torch.device(device)  # type: ignore[call-overload]
        missing = chosen.type == "cuda" and not torch.cuda.is_available()
        if not missing:
            torch.empty(1, device=chosen)
    except (RuntimeError, TypeError, ValueError, OverflowError, AssertionError):
        raise ValueError(f"device must be a name such as 'cpu' or 'cuda', but is {_short(device)}.") from None
    if missing:
        raise ValueError(f"device={str(chosen)!r} was asked for, but torch sees no CUDA device; use device='cpu'.")
    if chosen.type == "meta":
        raise ValueError("device='meta' holds no values; use device='cpu'.")
    return chosen


def check_keys(content: object, name: str, keys: Iterable[str]) -> dict[str, Any]:
    """Return `content` if it is a dictionary with these keys."""
    if not isinstance(content, dict):
        raise TypeError(f"{name} must be a dictionary with {', '.join(map(repr, keys))}, but is {describe(content)}.")
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{name} must be a dictionary with {', '.join(map(repr, keys))}, but {missing[0]!r} is missing.")
    return content


@contextmanager
def reading(name: str, example: str) -> Iterator[None]:
    """Tell in one sentence that a content of many parts, such as a results file's, is not what is read here.

    Args:
        name: the argument's name.
        example: what returns the right one.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}" if _text(str(error)) else type(error).__name__
        raise ValueError(f"{name} must be as {example} returns it, but has a missing or an odd part ({reason}).") from error


def check_generator(generator: object, device: torch.device) -> torch.Generator | None:
    """Return `generator` if it is None or a `torch.Generator` that draws on `device`."""
    if generator is None:
        return None
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator or None, but is {describe(generator)}; "
            "for example torch.Generator().manual_seed(0)."
        )
    if generator.device.type != device.type:
        raise ValueError(
            f"generator draws on {generator.device.type}, but the image is on {device.type}; "
            f"write torch.Generator({device.type!r}).manual_seed(0)."
        )
    return generator


def check_path(path: object, name: str = "path") -> str:
    """Return `path` as a string if it is a str or a path object, not empty, and a name that a file can have."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path such as 'run/unet.pt', but is {describe(path)}.")
    if not text:
        raise ValueError(f"{name} is empty; pass a path such as 'run/unet.pt'.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise ValueError(f"{name} must be a path such as 'run/unet.pt', but has a character that no file name can have.")
    if max(map(len, encoded.split(os.sep.encode()))) > 255:
        raise ValueError(f"{name} must be a path such as 'run/unet.pt', but has a name of more than 255 letters.")
    return str(text)


def describe(value: object) -> str:
    """'the str 'abc'' for short values, 'a Tensor of shape (2, 3)' for arrays, 'a DataLoader' for others."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    text = _text(value) if isinstance(value, (str, bool, int, float, tuple, type(None))) else ""
    return f"the {type(value).__name__} {text}" if text else f"a {type(value).__name__}"


def _short(value: object) -> str:
    """The value itself where it is short, else its kind."""
    return (_text(value) if isinstance(value, (str, bool, int, float, type(None))) else "") or describe(value)


def _text(value: object) -> str:
    """The value as Python writes it; empty where that is long, has several lines, or cannot be done."""
    try:
        text = repr(value)
    except Exception:  # a number of thousands of digits, an object of the caller's own
        return ""
    return text if len(text) < 40 and "\n" not in text else ""


def _example(name: str, example: object) -> str:
    return "" if example is None else f"; for example {name}={example!r}"


def check_input_size(x: Tensor, *, channels: int, multiple: int, network: str, weight: Tensor | None = None) -> None:
    """Raise a clear error unless x is a float batch (N, channels, H, W) with H and W divisible by `multiple`.

    With one of the network's weights, x must also have its dtype and be on its device. Only the shape and the type are looked
    at: looking at values would stall a GPU on every step.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{network} takes a torch.Tensor of shape (N, {channels}, H, W), but got a {type(x).__name__}.")
    if not x.is_floating_point():
        raise TypeError(f"{network} takes float images in [0, 1], but got {x.dtype}; write image.float() / 255.")
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"{network} takes images of shape (N, {channels}, H, W), but got {tuple(x.shape)}; "
            f"for example torch.rand(8, {channels}, {7 * multiple}, {7 * multiple})."
        )
    height, width = x.shape[-2:]
    if height % multiple or width % multiple or not height or not width:
        raise ValueError(
            f"{network} needs a height and a width that divide by {multiple}, but got {height} x {width}; "
            f"pad the image to {-(-max(height, 1) // multiple) * multiple} x {-(-max(width, 1) // multiple) * multiple}."
        )
    if weight is not None:
        _check_type(x, weight, network)


def _check_type(x: Tensor, weight: Tensor, network: str) -> None:
    """Whether a layer with this weight can compute with x; its own complaint would speak of biases."""
    if x.layout != torch.strided:
        raise TypeError(f"{network} takes a dense tensor, but got {x.layout}; write image.to_dense().")
    if x.device != weight.device:
        raise ValueError(
            f"{network} is on {weight.device}, but the images are on {x.device}; write image.to({str(weight.device)!r})."
        )
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{network} computes in {weight.dtype}, but got {x.dtype}; write image.to({weight.dtype}).")
    if x.is_inference() and torch.is_grad_enabled():
        raise ValueError(f"{network} cannot take gradients of images made in torch.inference_mode(); write image.clone().")
