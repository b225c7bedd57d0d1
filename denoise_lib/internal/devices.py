"""Where and how a network computes: the device, its precision, its mode, and the machine for the record."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .checks import check_device, check_flag, check_model, describe
from .distributed import local_gpu, world


def default_device(device: torch.device | str | None = None) -> torch.device:
    """The device asked for, or CUDA where there is one, or the CPU; a clear error where the device asked for is missing."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = check_device(device)
    # Of several processes on one machine, each has a GPU of its own.
    return torch.device("cuda", local_gpu()) if chosen == torch.device("cuda") and world().size > 1 else chosen


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all that was launched: without this, a clock measures the launch and not the work."""
    if not isinstance(device, torch.device):
        raise TypeError(f"device must be a torch.device, but is {describe(device)}; for example torch.device('cpu').")
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def half_precision(device: torch.device) -> torch.dtype:
    """The 16-bit dtype in which a device computes natively: float16 on GPUs older than Ampere, such as Colab's T4."""
    # `is_bf16_supported()` alone also counts emulation, which a T4 has and which is slow.
    native = device.type == "cpu" or torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float16


class Precision:
    """Mixed precision for one training: which dtype the forward pass computes in, and how the loss is scaled."""

    def __init__(self, device: torch.device, amp: bool | None) -> None:
        self.device = device = check_device(device)
        self.enabled = device.type == "cuda" if amp is None else check_flag(amp, "amp")
        self.dtype = half_precision(device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.enabled and self.dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the forward pass runs."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.enabled)


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU for one without weights."""
    first = next(check_model(model).parameters(), None)
    return first.device if first is not None else torch.device("cpu")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to what each layer was in: some may be frozen while the others train."""
    modes = {module: module.training for module in check_model(model).modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def machine(device: torch.device) -> dict[str, Any]:
    """Hardware and versions, to stand beside every measured number."""
    device = check_device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "denoise_lib": metadata.version("denoise-lib"),
        "date": date.today().isoformat(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"CPU {model or platform.machine()}, {os.cpu_count()} cores"
