"""denoise_lib: the small library under the denoising course's notebooks.

Images are float32 in [0, 1] of shape (N, C, H, W) unless a name says uint8; randomness comes from a `torch.Generator`.
"""

from __future__ import annotations

import importlib
from typing import Any

from .corruptions import Bernoulli, Impulse, PointSample, Poisson
from .metrics import mse, psnr, ssim
from .noise import MILD, MODERATE, SEVERE, Blend, Gaussian, add_noise
from .tnet import BaseNet, Noise2NoiseUNet, TinyDenoiser, TNet
from .unet import Autoencoder, UNet, count_parameters

__version__ = "0.1.0"

# Loaded when first used, so that `import denoise_lib` stays fast and needs neither matplotlib nor ipywidgets.
_LAZY = {
    "mnist": "data",
    "photos": "data",
    "NoisyImages": "data",
    "NoisyPairs": "data",
    "fit": "training",
    "evaluate": "training",
    "predict": "training",
    "smoothgrad": "saliency",
    "available_weights": "weights",
    "load_pretrained": "weights",
    "weights_card": "weights",
    "tile": "figures",
    "noise_explorer": "explorers",
    "denoise_explorer": "explorers",
    "noise2noise_explorer": "explorers",
    "smoothgrad_explorer": "explorers",
}

__all__ = [
    "MILD", "MODERATE", "SEVERE", "add_noise", "Blend", "Gaussian", "Poisson", "Bernoulli", "Impulse", "PointSample",
    "UNet", "Autoencoder", "TNet", "BaseNet", "Noise2NoiseUNet", "TinyDenoiser", "count_parameters",
    "mse", "psnr", "ssim", *_LAZY,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
