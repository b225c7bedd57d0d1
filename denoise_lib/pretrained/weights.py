"""The shipped weights: trained networks that load with no network and no training.

Each is a safetensors file (tensors alone, no code) beside a card, a JSON file that says how it was trained, on what, how
good it is, and the checksum of the weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from ..internal.atomic_write import write_whole
from ..internal.checks import check_choice, check_device, check_path, describe
from ..tnet import BaseNet, Noise2NoiseUNet, TinyDenoiser, TNet
from ..unet import Autoencoder, UNet

ARCHITECTURES: dict[str, type[nn.Module]] = {
    network.__name__: network for network in (UNet, Autoencoder, TNet, BaseNet, Noise2NoiseUNet, TinyDenoiser)
}
# The arguments that a network was made with: attributes of the same names.
ARGUMENTS = {"UNet": ("skips",), "TNet": ("batch_norm",), "Noise2NoiseUNet": ("shared_decoder",)}


class WeightsError(RuntimeError):
    """A weights file is missing, damaged, or does not fit its network."""


def available_weights() -> list[str]:
    """Names that `load_pretrained` takes, such as 'unet-moderate'."""
    entries = _folder().iterdir() if _folder().is_dir() else ()
    return sorted(Path(entry.name).stem for entry in entries if entry.name.endswith(".safetensors"))


def weights_card(name: str) -> dict[str, Any]:
    """How a network was trained and how good it is.

    Returns:
        A dictionary with `network`, `parameters`, `data`, `noise`, `epochs`, `seed`, `scores`, `machine`, `sha256`, ...

    Raises:
        ValueError: no weights have this name; the message lists those that there are.
        WeightsError: the card is missing or damaged.
    """
    check_choice(name, "name", tuple(available_weights()))
    try:
        card = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
        return _check_card(card)
    except (OSError, ValueError, TypeError, RecursionError) as error:  # the last for lists in lists in lists
        raise WeightsError(f"the card {name}.json is missing or damaged; reinstall denoise_lib.") from error


def load_pretrained(name: str, device: torch.device | str | None = None) -> nn.Module:
    """A trained network, in evaluation mode.

    Args:
        name: one of `available_weights()`: 'unet-mild', 'unet-moderate', 'unet-severe', 'unet-blind' (trained on mu
            from 0 to 0.5), 'autoencoder-mild', ... for digits; 'tnet', 'tiny-denoiser', ... for 32x32 colour photos;
            'photo-blind' for colour photos of any size (mu from 0 to 0.5, see `own_photos`).
        device: where to put it; the CPU by default.

    Raises:
        ValueError: no weights have this name, or there is no such device.
        WeightsError: the file or its card is missing, damaged, or does not fit the network.

    Example:
        >>> unet = load_pretrained("unet-moderate")
        >>> unet(torch.rand(1, 1, 28, 28)).shape
        torch.Size([1, 1, 28, 28])
    """
    chosen, card = check_device("cpu" if device is None else device), weights_card(name)
    try:
        content = (_folder() / f"{name}.safetensors").read_bytes()
    except OSError as error:
        raise WeightsError(f"{name}.safetensors cannot be read ({error.strerror}); reinstall denoise_lib.") from error
    return read_weights(content, card).to(chosen).eval()


def read_weights(content: bytes, card: dict[str, Any]) -> nn.Module:
    """Build the card's network and fill it with weights, after both were checked: neither can run code.

    Args:
        content: of a safetensors file, with exactly the network's tensors.
        card: with `network`, `arguments` and `sha256`.

    Raises:
        TypeError: `content` is not bytes, or `card` no dictionary.
        WeightsError: the checksum is not the card's; an unknown network or argument; tensors that are missing, too many, of
            another shape or dtype, or not finite.
    """
    if not isinstance(content, bytes):
        raise TypeError(f"content must be the bytes of a safetensors file, but is {describe(content)}.")
    if hashlib.sha256(content).hexdigest() != _check_card(card).get("sha256"):
        raise WeightsError("the weights are damaged: their checksum is not the card's; reinstall denoise_lib.")
    model, network = _new_network(card), card["network"]
    try:
        tensors = load(content)
    except Exception as error:
        raise WeightsError(f"the weights are no safetensors file, or a damaged one ({type(error).__name__}).") from error
    wanted = model.state_dict()
    if tensors.keys() != wanted.keys():
        missing, others = len(wanted.keys() - tensors.keys()), len(tensors.keys() - wanted.keys())
        raise WeightsError(f"the weights do not fit the network {network}: {missing} tensors are missing, {others} too many.")
    for name, tensor in tensors.items():
        found, expected = (f"{str(part.dtype)[6:]} of shape {tuple(part.shape)}" for part in (tensor, wanted[name]))
        if found != expected:
            raise WeightsError(f"the weights do not fit the network {network}: {name} is {found} in place of {expected}.")
        if not tensor.isfinite().all():
            raise WeightsError(f"the weights are damaged: {name} holds NaN or infinity.")
    model.load_state_dict(tensors)
    return model


def _check_card(card: object) -> dict[str, Any]:
    if not isinstance(card, dict):
        raise TypeError(f"card must be a dictionary such as weights_card returns, but is {describe(card)}.")
    return card


def _new_network(card: dict[str, Any]) -> nn.Module:
    """The card's network, untrained; the card chooses among what is known, and nothing else."""
    network, arguments = card.get("network"), card.get("arguments", {})
    if not isinstance(network, str) or network not in ARCHITECTURES:
        raise WeightsError(f"the card must name one of the networks {', '.join(ARCHITECTURES)}, but names {describe(network)}.")
    known = ARGUMENTS.get(network, ())
    fit = isinstance(arguments, dict) and arguments.keys() <= set(known)
    if not fit or not all(isinstance(value, bool) for value in arguments.values()):
        choices = " and ".join(f"{name}, true or false" for name in known) or "none"
        raise WeightsError(f"the card's arguments do not fit the network {network}, which takes {choices}.")
    with torch.random.fork_rng(devices=[]):  # the initial weights, drawn for nothing, leave the global generator as it was
        return ARCHITECTURES[network](**arguments)


def write_weights(model: nn.Module, path: str | os.PathLike[str], card: dict[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json; the card gets the checksum and the network's name.

    Args:
        model: one of `NETWORKS`.
        path: without a suffix, such as 'denoise_lib/pretrained/unet-mild'.
        card: all that a reader wants to know of the training, in what JSON knows: texts, numbers, lists, dictionaries.

    Raises:
        TypeError, ValueError: a model, a path or a card of another kind.
        WeightsError: the files cannot be written; what stood there before is still whole.
    """
    network, target = check_choice(type(model).__name__, "the model's class", tuple(ARCHITECTURES)), Path(check_path(path))
    if not isinstance(model, ARCHITECTURES[network]):
        raise ValueError(f"model must be a {network} of denoise_lib, but is another class of that name.")
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    arguments = {name: getattr(model, name) for name in ARGUMENTS.get(network, ())}
    full_card = {"network": network, "arguments": arguments, **_check_card(card)}
    full_card["sha256"] = hashlib.sha256(content).hexdigest()
    try:
        text = json.dumps(full_card, indent=2).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError("card must hold what JSON knows, such as {'seed': 0, 'noise': 'Blend(0.25)'}.") from error
    for suffix, data in ((".safetensors", content), (".json", text + b"\n")):
        file = target.with_name(target.name + suffix)
        try:
            write_whole(file, data)
        except OSError as error:
            raise WeightsError(f"{file} cannot be written ({error.strerror}).") from error


def _folder() -> Traversable:
    return resources.files("denoise_lib") / "pretrained"
