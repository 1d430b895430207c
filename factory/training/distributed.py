"""Ranks and what passes between them.

One process needs no set-up; several come from torchrun or a gang of actors (RANK, WORLD_SIZE,
LOCAL_RANK, MASTER_ADDR, MASTER_PORT).

The collectives that carry gradients say which way: a loss is computed on every rank alike, so a
gradient is either whole on each rank or a part that must be summed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from factory.config import ComputeConfig
from factory.errors import ConfigError


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def kept_threads() -> Iterator[None]:
    """Restore the number of torch's threads on leaving."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(config: ComputeConfig) -> torch.device:
    """The device a config asks for; raises ConfigError when it wants a GPU that is not there."""
    if config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "compute.device: got 'cuda' but torch sees no GPU; want compute.device=cpu or auto"
        )
    local_rank, num_gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local_rank >= num_gpus:
        raise ConfigError(
            f"compute.device: this is process {local_rank + 1} of its node, which has {num_gpus} "
            f"GPUs; want torchrun --nproc-per-node {num_gpus}, or compute.device=cpu"
        )
    return torch.device("cuda", local_rank)


def collective_device() -> torch.device:
    """Where tensors must be that ranks exchange: this rank's GPU under NCCL, else the CPU."""
    if grouped() and torch.distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def device_here(config: ComputeConfig) -> torch.device:
    """The device a config asks for, or the CPU where this process has no GPU.

    For a driver, which may plan and measure on its CPU while its makers have GPUs.
    """
    return pick_device(config) if torch.cuda.is_available() else torch.device("cpu")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which matrix products run in the configured precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def micro_batch(batch_size: int, compute: ComputeConfig, key: str) -> int:
    """Samples of a rank's micro-batch; raises ConfigError unless they divide the batch evenly.

    Before a gang is started compute.num_ranks says how many ranks there will be.
    """
    ranks = max(world_size(), compute.num_ranks or 1)
    if batch_size % (ranks * compute.accumulate):
        raise ConfigError(
            f"{key}: got {batch_size} for {ranks} ranks and compute.accumulate="
            f"{compute.accumulate}; want a multiple of their product"
        )
    return batch_size // (ranks * compute.accumulate)


def grouped() -> bool:
    """Whether this process has joined others."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def sum_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor over all processes, without gradient; the tensor itself in a single one."""
    if not grouped():
        return value
    value = value.detach().clone()
    torch.distributed.all_reduce(value)
    return value


def mean_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Average of a tensor over all processes, without gradient."""
    return sum_over_ranks(value) / world_size() if grouped() else value


def max_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Elementwise largest over all processes, without gradient."""
    if not grouped():
        return value
    value = value.detach().clone()
    torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
    return value


def gather_rows(value_BX: torch.Tensor) -> torch.Tensor:
    """The rows of all ranks in rank order, [world * B, ...], without gradient; same B on all."""
    if not grouped():
        return value_BX.detach()
    parts = [torch.empty_like(value_BX) for _ in range(world_size())]
    torch.distributed.all_gather(parts, value_BX.detach().contiguous())
    return torch.cat(parts)


def from_rank(
    owner: int, local: torch.Tensor | None, shape: torch.Size, device: torch.device
) -> torch.Tensor:
    """A float32 tensor that rank `owner` has (`local` there), on every rank."""
    if not grouped():
        assert local is not None, "a single process owns everything"
        return local
    value = torch.empty(shape, device=device) if local is None else local.contiguous()
    torch.distributed.broadcast(value, src=owner)
    return value


def first_rank_says(answer: bool) -> bool:
    """Rank 0's answer on every rank, so that all save (or stop) at the same step."""
    if not grouped():
        return answer
    of_rank_0 = torch.tensor([int(answer)]).to(collective_device())
    torch.distributed.broadcast(of_rank_0, src=0)
    return bool(of_rank_0.item())


class FirstRankSays:
    """`first_rank_says` at every step, without waiting for a GPU: its answer is one step old there.

    So a host can prepare the next step while the GPU computes. On CPUs the answer is that of now.
    """

    def __init__(self) -> None:
        self._asked: Callable[[], bool] | None = None

    def __call__(self, answer: bool) -> bool:
        device = collective_device()
        if device.type == "cpu":
            return first_rank_says(answer)
        before, self._asked = self._asked, self._ask(answer, device)
        return before is not None and before()

    def forget(self) -> None:
        """Take back the last question, on all ranks, because its answer has become old."""
        self._asked = None

    def _ask(self, answer: bool, device: torch.device) -> Callable[[], bool]:
        """Send the answer on its way; what is returned waits for it."""
        of_rank_0 = torch.tensor([int(answer)]).to(device, non_blocking=True)
        torch.distributed.broadcast(of_rank_0, src=0)
        here = torch.empty(1, dtype=of_rank_0.dtype, pin_memory=True)
        here.copy_(of_rank_0, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()

        def wait() -> bool:
            arrived.synchronize()
            return bool(here.item())

        return wait


def all_agree(value: int) -> bool:
    """Whether every rank has the same number."""
    local = torch.tensor([value]).to(collective_device())
    return bool((gather_rows(local) == value).all())


def first_rank_gives(value: Any) -> Any:
    """Rank 0's object, of plain types, on every rank."""
    if not grouped():
        return value
    held = [value]
    torch.distributed.broadcast_object_list(held, src=0, device=collective_device())
    return held[0]


def gather_values(value: Any) -> list[Any]:
    """An object of plain types from each rank, in rank order, on every rank."""
    if not grouped():
        return [value]
    values: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def wait_for_all() -> None:
    """Return once every rank has come here."""
    if grouped():
        torch.distributed.barrier()


class GatherRows(torch.autograd.Function):
    """`gather_rows` whose gradient, a part on each rank, is summed and cut again.

    It is multiplied by the number of ranks, because an engine averages gradients over them.
    """

    @staticmethod
    def forward(ctx: Any, value_BX: torch.Tensor) -> torch.Tensor:
        ctx.size = len(value_BX)
        return gather_rows(value_BX)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        first = rank() * ctx.size
        return sum_over_ranks(grads[0])[first : first + ctx.size] * world_size()


class SumParts(torch.autograd.Function):
    """Sum of parts over ranks whose gradient, a part on each rank too, is summed too."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return sum_over_ranks(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return sum_over_ranks(grads[0])


class SumWhole(torch.autograd.Function):
    """Sum of parts over ranks whose gradient is whole on each rank and goes on as it is."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return sum_over_ranks(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0]
