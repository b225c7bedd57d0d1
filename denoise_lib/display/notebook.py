"""What a notebook prints of itself: a report on the machine, and its headline numbers."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from ..data import NoisyImages, mnist
from ..internal.checks import check_real, describe
from ..internal.devices import default_device
from ..noise import MODERATE, Blend
from ..papers.results import read_results
from ..training import fit
from ..unet import UNet


def headline(key: str, value: float) -> None:
    """Print a notebook's number beside the band that several seeds gave, in the form that `make run` reads.

    The bands stand in `results/bands.json`. A number outside its band is no rounding matter: something has changed.
    """
    if not isinstance(key, str):
        raise TypeError(f"key must be a text, but is {describe(key)}; for example 'SSIM at mu 0.25'.")
    check_real(value, "value")
    band = read_results("bands")["bands"].get(key)
    low, high = (band["low"], band["high"]) if band else (float("nan"), float("nan"))
    verdict = "ok" if low <= value <= high else "OUTSIDE"
    print(f"headline  {key}: {value:.4g}   band {low:.4g} .. {high:.4g}   {verdict}")


def setup_report(device: torch.device | str | None = None) -> str:
    """One line for a notebook's first cell: versions, device, what training costs here, and what to do without a GPU.

    Times a few training steps of the U-Net, about two seconds, and estimates the paper's training: ten epochs of 60,000 digits.
    """
    chosen = default_device(device)
    digits = mnist("train", "small")[:512]
    with torch.random.fork_rng(devices=[]):  # a notebook's seed stays as it was
        model, data = UNet(), NoisyImages(digits, Blend(MODERATE))
    fit(model, data, epochs=1, batch_size=64, device=str(chosen), progress=False)  # warm-up
    history = fit(model, data, epochs=1, batch_size=64, device=str(chosen), progress=False)
    rate = len(digits) / history.seconds[0]
    minutes = 10 * 60_000 / rate / 60
    advice = "No network is needed from here on."
    if chosen.type == "cpu":
        advice = (
            "No GPU is used: networks train briefly here, and trained ones are at hand; for more, choose in Colab Runtime > "
            f"Change runtime type > T4 GPU. {advice}"
        )
    versions = f"denoise_lib {metadata.version('denoise-lib')}, torch {torch.__version__}, Python {platform.python_version()}"
    return (
        f"{versions}, device {chosen.type}. This machine trains the U-Net on {rate:,.0f} digits a second: the paper's ten "
        f"epochs of 60,000 digits would take about {minutes:.1f} minutes a network. {advice}"
    )
