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

from .models import Autoencoder, BaseNet, Noise2NoiseUNet, TinyDenoiser, TNet, UNet
from .validation import check_choice

NETWORKS: dict[str, type[nn.Module]] = {
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
        card: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
        return card
    except (OSError, ValueError) as error:
        raise WeightsError(f"the card {name}.json is missing or damaged; reinstall denoise_lib.") from error


def load_pretrained(name: str, device: torch.device | str | None = None) -> nn.Module:
    """A trained network, in evaluation mode.

    Args:
        name: one of `available_weights()`: 'unet-mild', 'unet-moderate', 'unet-severe', 'unet-blind' (trained on mu
            from 0 to 0.5), 'autoencoder-mild', ... for digits; 'tnet', 'tiny-denoiser', ... for 32x32 colour photos.
        device: where to put it; the CPU by default.

    Raises:
        ValueError: no weights have this name.
        WeightsError: the file is damaged: its checksum is not the card's.

    Example:
        >>> unet = load_pretrained("unet-moderate")
        >>> unet(torch.rand(1, 1, 28, 28)).shape
        torch.Size([1, 1, 28, 28])
    """
    card = weights_card(name)
    return read_weights((_folder() / f"{name}.safetensors").read_bytes(), card).to(device or "cpu").eval()


def read_weights(content: bytes, card: dict[str, Any]) -> nn.Module:
    """Build the card's network and fill it with the tensors in `content`, after comparing the checksum."""
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise WeightsError("the weights are damaged: their checksum is not the card's; reinstall denoise_lib.")
    if card.get("network") not in NETWORKS:
        raise WeightsError(f"the card names the network {card.get('network')!r}; known are {', '.join(NETWORKS)}.")
    try:
        with torch.random.fork_rng(devices=[]):  # the initial weights, drawn for nothing, leave the global generator as it was
            model = NETWORKS[card["network"]](**card.get("arguments", {}))
        model.load_state_dict(load(content))
    except Exception as error:
        raise WeightsError(f"the weights do not fit the network {card['network']} ({type(error).__name__}).") from error
    return model


def write_weights(model: nn.Module, path: str | os.PathLike[str], card: dict[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json; the card gets the checksum and the network's name.

    Args:
        model: one of `NETWORKS`.
        path: without a suffix, such as 'denoise_lib/pretrained/unet-mild'.
        card: all that a reader wants to know of the training.
    """
    check_choice(type(model).__name__, "the model's class", tuple(NETWORKS))
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    network = type(model).__name__
    arguments = {name: getattr(model, name) for name in ARGUMENTS.get(network, ())}
    full_card = {"network": network, "arguments": arguments, **card}
    full_card["sha256"] = hashlib.sha256(content).hexdigest()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix, data in ((".safetensors", content), (".json", json.dumps(full_card, indent=2).encode() + b"\n")):
        scratch = target.with_name(target.name + suffix + ".part")
        scratch.write_bytes(data)
        os.replace(scratch, target.with_name(target.name + suffix))


def _folder() -> Traversable:
    return resources.files("denoise_lib") / "pretrained"
