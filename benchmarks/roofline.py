"""How far training is from what the machine can do at most.

Two limits are measured: the most multiplications and additions a second (of a large matrix product, or of a wide convolution
where that is faster), and the most bytes a second (of a large copy). Each operation of a training step must do its arithmetic,
and must read its inputs and write its outputs once; the longer of the two times is its limit. What it takes beyond is the gap.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict, astuple, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.timing import MOST_REPEATS, Row, time_interleaved
from benchmarks.training import SETTINGS, training_step
from denoise_lib.internal.checks import check_count
from denoise_lib.internal.devices import Precision, default_device, synchronize

MATRIX = {"cpu": 1536, "cuda": 8192}
WIDE, NARROW = 128, 20
"""Channels: many enough to fill the processor's vectors, and those of the U-Net's first layers."""
COPIED_BYTES = {"cpu": 2**27, "cuda": 2**31}
SHOWN = 6
"""Operations that are told for each network."""


@dataclass
class Cost:
    """What all calls of one operation cost together."""

    seconds: float = 0.0
    flops: float = 0.0
    """Multiplications and additions, each counted; 0 for operations that do little arithmetic."""
    bytes: float = 0.0
    """Sizes of inputs and outputs."""


class OpProfiler(TorchDispatchMode):
    """Counts and times each operation of torch inside a `with` block, backward passes included."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.costs: dict[str, Cost] = defaultdict(Cost)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch in the place of each operation."""
        synchronize(self.device)
        begin = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        synchronize(self.device)
        seconds = time.perf_counter() - begin
        if func.is_view:
            return out
        cost = self.costs[func.overloadpacket.__name__]
        cost.seconds += seconds
        cost.bytes += sum(part.nbytes for part in tree_leaves((args, kwargs, out)) if isinstance(part, Tensor))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            cost.flops += count(*args, **(kwargs or {}), out_val=out)
        return out


def product_speed(device: torch.device, repeats: int = 5) -> float:
    """FLOP/s of a large float32 matrix product: two for each multiplication and addition."""
    side = MATRIX.get(device.type, MATRIX["cpu"])
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.rand(side, side, generator=generator, device=device) for _ in range(2))
    return 2 * side**3 / time_interleaved({"product": lambda: a @ b}, repeats)["product"]


def convolution_speed(device: torch.device, channels: int, repeats: int = 5) -> float:
    """FLOP/s of a float32 convolution 3x3; with many channels, on some processors, a better matrix product than torch's."""
    generator = torch.Generator(device).manual_seed(0)
    x = torch.rand(32, channels, 32, 32, generator=generator, device=device).to(memory_format=torch.channels_last)
    kernel = torch.rand(channels, channels, 3, 3, generator=generator, device=device).to(memory_format=torch.channels_last)
    flops = 2 * x.numel() * channels * 9
    return flops / time_interleaved({"convolution": lambda: conv2d(x, kernel, padding=1)}, repeats)["convolution"]


def copy_speed(device: torch.device, repeats: int = 5) -> float:
    """Bytes a second of a large copy, each counted once as read and once as written."""
    source = torch.zeros(COPIED_BYTES.get(device.type, COPIED_BYTES["cpu"]), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / time_interleaved({"copy": lambda: target.copy_(source)}, repeats)["copy"]


def benchmark_limits(repeats: int = 9, device: torch.device | str | None = None) -> list[Row]:
    """Training steps of three networks in float32, beside the limits of their operations on this machine.

    Returns:
        First the measured limits: `flops_per_second` of a matrix product and of a convolution, `bytes_per_second` of a copy.
        Then, for each network, its whole step and its operations, the most costly first: `seconds`, `flops`, `bytes`, and
        `times_the_limit`, the seconds over the least time that those take at the measured speeds.
    """
    check_count(repeats, "repeats", high=MOST_REPEATS, example=9)
    chosen = default_device(device)
    product, convolution = product_speed(chosen, repeats), convolution_speed(chosen, WIDE, repeats)
    peak, copied = max(product, convolution), copy_speed(chosen, repeats)
    rows: list[Row] = [
        {"name": "large matrix product", "flops_per_second": product},
        {"name": f"convolution, {WIDE} channels", "flops_per_second": convolution},
        {"name": f"convolution, {NARROW} channels", "flops_per_second": convolution_speed(chosen, NARROW, repeats)},
        {"name": "large copy", "bytes_per_second": copied},
    ]
    for name in SETTINGS:
        step = training_step(SETTINGS[name], chosen, Precision(chosen, False))
        seconds = time_interleaved({"step": step}, repeats)["step"]
        with OpProfiler(chosen) as meter:
            for _ in range(repeats):
                step()
        costs = {operation: Cost(*(value / repeats for value in astuple(cost))) for operation, cost in meter.costs.items()}
        least = {operation: max(cost.flops / peak, cost.bytes / copied) for operation, cost in costs.items()}
        total = {"flops": sum(cost.flops for cost in costs.values()), "bytes": sum(cost.bytes for cost in costs.values())}
        rows.append({"name": f"{name}: step", "seconds": seconds, **total, "times_the_limit": seconds / sum(least.values())})
        for operation in sorted(costs, key=lambda one: -costs[one].seconds)[:SHOWN]:
            times = costs[operation].seconds / least[operation]
            rows.append({"name": f"{name}: {operation}", **asdict(costs[operation]), "times_the_limit": times})
    return rows
