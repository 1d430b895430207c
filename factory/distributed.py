"""One interface for training loops, two engines: plain torch, and DeepSpeed for several processes.

A loop calls `engine(*batch)` for the loss of its local batch, then `engine.step(loss, lr)`. Weights
stay in float32 and products run under autocast in both engines, so their losses agree.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import torch

from factory.checkpoint import load_resume, save_resume
from factory.config import ComputeConfig
from factory.errors import ConfigError


def pick_device(config: ComputeConfig) -> torch.device:
    """The device a config asks for; raises ConfigError when it wants a GPU that is not there."""
    if config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "compute.device: got 'cuda' but torch sees no GPU; want compute.device=cpu or auto"
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which matrix products run in the configured precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


class Engine(Protocol):
    """Runs a module whose forward gives the loss of the local batch."""

    module: torch.nn.Module
    device: torch.device
    rank: int
    world_size: int

    def __call__(self, *batch: Any) -> torch.Tensor: ...

    def step(self, loss: torch.Tensor, lr: float) -> None:
        """Backward, average over ranks, clip, update with learning rate `lr`."""
        ...

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write all that a resume needs, `extra` included; every rank calls it."""
        ...

    def load(self, folder: Path) -> dict[str, Any] | None:
        """Restore what `save` wrote and return `extra`, or None when nothing is there."""
        ...


class PlainEngine:
    """One process, torch alone."""

    rank, world_size = 0, 1

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        compute: ComputeConfig,
        grad_clip: float = 0.0,
    ) -> None:
        self.device = pick_device(compute)
        self.module = module.to(self.device)
        self._optimizer = optimizer
        self._precision = compute.precision
        self._grad_clip = grad_clip

    def __call__(self, *batch: Any) -> torch.Tensor:
        with autocast(self.device, self._precision):
            return self.module(*batch)  # type: ignore[no-any-return]

    def step(self, loss: torch.Tensor, lr: float) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._grad_clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._grad_clip)
        _set_lr(self._optimizer, lr)
        self._optimizer.step()

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        optimizer = self._optimizer.state_dict()
        module = self.module.state_dict()
        save_resume(folder, {"module": module, "optimizer": optimizer, "extra": extra})

    def load(self, folder: Path) -> dict[str, Any] | None:
        state = load_resume(folder)
        if state is None:
            return None
        self.module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        return dict(state["extra"])


class DeepSpeedEngine:
    """Several processes (torchrun or a gang of actors), gradients and states by ZeRO."""

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        compute: ComputeConfig,
        grad_clip: float = 0.0,
    ) -> None:
        import deepspeed
        from deepspeed.ops import __compatible_ops__

        __compatible_ops__["deepspeed_shm_comm"] = False  # because it compiles C++ for a minute
        self.device = pick_device(compute)
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        deepspeed.init_distributed(dist_backend=backend, verbose=False)
        self.rank = torch.distributed.get_rank()
        self.world_size = torch.distributed.get_world_size()
        self._precision = compute.precision
        settings = {
            "train_micro_batch_size_per_gpu": 1,  # because loops cut their own batches
            "gradient_accumulation_steps": 1,
            "gradient_clipping": grad_clip,
            "zero_optimization": {"stage": compute.zero_stage},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": 1 << 30,
        }
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=module.to(self.device), optimizer=optimizer, config=settings
        )
        self.module = self._engine.module

    def __call__(self, *batch: Any) -> torch.Tensor:
        with autocast(self.device, self._precision):
            return self._engine(*batch)  # type: ignore[no-any-return]

    def step(self, loss: torch.Tensor, lr: float) -> None:
        _set_lr(self._optimizer, lr)
        self._engine.backward(loss)
        self._engine.step()

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        self._engine.save_checkpoint(str(folder / "resume"), client_state={"extra": extra})

    def load(self, folder: Path) -> dict[str, Any] | None:
        if not (folder / "resume" / "latest").exists():
            return None
        _, client_state = self._engine.load_checkpoint(str(folder / "resume"))
        return dict(client_state["extra"])


def start_engine(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    compute: ComputeConfig,
    grad_clip: float = 0.0,
) -> Engine:
    """DeepSpeed when WORLD_SIZE says more than one process, else plain torch."""
    if compute.num_threads:
        torch.set_num_threads(compute.num_threads)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return DeepSpeedEngine(module, optimizer, compute, grad_clip)
    return PlainEngine(module, optimizer, compute, grad_clip)


def mean_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Average of a tensor over all processes; the tensor itself in a single one."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return value
    value = value.detach().clone()
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()


def first_rank_says(answer: bool) -> bool:
    """Rank 0's answer on every rank, so that all save (or stop) at the same step."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return answer
    said = torch.tensor([int(answer)])
    if torch.distributed.get_backend() == "nccl":
        said = said.cuda()
    torch.distributed.broadcast(said, src=0)
    return bool(said.item())


def _set_lr(optimizer: Any, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
