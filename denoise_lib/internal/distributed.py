"""One training on several GPUs or machines: what `fit` needs of torch.distributed.

`torchrun --nproc-per-node=2 -m denoise_lib train ...` starts the same program twice. Each process serves the same batches, in
the same order and with the same noise, and computes its share of each; the gradients are averaged, so that all processes take
the same step: the one that a single process would have taken with the whole batch.
"""

from __future__ import annotations

import atexit
import gc
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from .checks import check_instance, check_model, check_tensor

ALONE_LAYERS = (_BatchNorm,)
"""Layers that look at a whole batch, and would see a share of it."""


@dataclass(frozen=True)
class World:
    """The processes that train one network together."""

    rank: int = 0
    """Which one this is, from 0."""
    size: int = 1
    """How many there are."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that prints, and writes files."""
        return self.rank == 0

    def shard(self, noisy: Tensor, target: Tensor) -> tuple[Tensor, Tensor, int]:
        """This process's part of a batch, and how many of its pairs count.

        Args:
            noisy, target: the whole batch, (N, C, H, W) each; the same in all processes.

        Returns:
            (noisy, target, count): `count` pairs. Where there are fewer pairs than processes, the last processes get one pair
            that does not count, since each must take part in each step.
        """
        inputs, targets = (check_tensor(part, name) for part, name in ((noisy, "noisy"), (target, "target")))
        if self.size == 1:
            return inputs, targets, len(inputs)
        mine, wanted = (part.tensor_split(self.size)[self.rank] for part in (inputs, targets))
        return (mine, wanted, len(mine)) if len(mine) else (inputs[:1], targets[:1], 0)

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with gradients that are averaged over all processes; all start from the first one's weights.

        Raises:
            ValueError: the model has batch normalisation, whose means would be those of a share.
        """
        check_model(model)
        if self.size == 1:
            return model
        if any(isinstance(layer, ALONE_LAYERS) for layer in model.modules()):
            raise ValueError("batch normalisation needs whole batches; train this network in one process, without torchrun.")
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, in each of them."""
        total = check_tensor(value, "value").clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def broadcast_from_first(self, answer: bool, device: torch.device) -> bool:
        """The first process's answer, in all processes: they must not take different ways."""
        if self.size == 1:
            return answer
        flag = torch.tensor(int(answer), device=device)
        dist.broadcast(flag, src=0)
        return bool(flag)


def world() -> World:
    """The processes that torchrun has started, or this one alone."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return World()
    return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def join(device: torch.device) -> World:
    """Meet the other processes, where there are any: by NCCL on GPUs, by Gloo on CPUs."""
    check_instance(device, "device", torch.device, "torch.device('cpu')")
    found = world()
    if found.size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(leave)
    return found


def leave() -> None:
    """Part from the other processes: a group that is left to the interpreter's end can abort the process there."""
    if dist.is_available() and dist.is_initialized():
        gc.collect()  # a network that was wrapped for the group still holds it
        dist.destroy_process_group()


def local_gpu() -> int:
    """The GPU of this process, among its machine's."""
    return int(os.environ["LOCAL_RANK"]) if dist.is_available() and dist.is_torchelastic_launched() else 0
