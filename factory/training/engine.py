"""One interface for training loops, two engines: plain torch, and DeepSpeed for several processes.

A loop calls `engine(*batch)`, makes a loss of the answer, calls `engine.backward(loss)` once for
each micro-batch and `engine.step(lr)` once for all of them. Weights stay in float32 and products
run under autocast in both engines, so their losses agree.

A saved state is whole and knows no ranks: full float32 weights and optimizer moments by parameter
name. So a training goes on with any number of processes, any ZeRO stage, and either engine. (It is
what DeepSpeed's universal checkpoints are for, without their offline conversion.)
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch

from factory.config import ComputeConfig
from factory.errors import REFUSED
from factory.store.atomic import writing
from factory.training.distributed import autocast, pick_device, rank, wait_for_all, world_size
from factory.training.schedules import MakeOptimizer

STATE = "engine.pt"
PATIENCE = timedelta(hours=2)
"""How long ranks wait for each other, for instance while rank 0 measures."""


LARGEST_BUCKET = 500_000_000
"""Most gradients that ZeRO sends at once, DeepSpeed's own default."""


class Engine(Protocol):
    """Runs a module and updates its weights."""

    module: torch.nn.Module
    device: torch.device

    def __call__(self, *batch: Any) -> Any:
        """The module's answer for the local batch, under autocast."""
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a micro-batch's loss, divided by the micro-batches of a step."""
        ...

    def step(self, lr: float) -> torch.Tensor | float | None:
        """Average gradients over ranks, clip, update with learning rate `lr`.

        Returns the gradient's norm before clipping, where it is known.
        """
        ...

    def weights(self) -> contextlib.AbstractContextManager[torch.nn.Module]:
        """The module with all its weights present, to read; all ranks call it (ZeRO 3 gathers)."""
        ...

    def save(self, folder: Path) -> None:
        """Write the state into a folder that exists; every rank calls it."""
        ...


class PlainEngine:
    """One process, torch alone."""

    def __init__(
        self,
        module: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        compute: ComputeConfig,
        *,
        grad_clip: float = 0.0,
        resume: Path | None = None,
    ) -> None:
        self.device = pick_device(compute)
        self.module = module.to(self.device)
        self._optimizer = make_optimizer(_trained(module))
        self._compute, self._grad_clip = compute, grad_clip
        if resume:
            state = _read(resume)
            module.load_state_dict(state["module"])
            for name, parameter in _named(module):
                moments = state["moments"][name]
                self._optimizer.state[parameter] = _on(self.device, moments)

    def __call__(self, *batch: Any) -> Any:
        with autocast(self.device, self._compute.precision):
            return self.module(*batch)

    def backward(self, loss: torch.Tensor) -> None:
        (loss / self._compute.accumulate).backward()

    def step(self, lr: float) -> torch.Tensor | None:
        norm = None
        if self._grad_clip:
            norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._grad_clip)
        _set_lr(self._optimizer, lr)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    @contextlib.contextmanager
    def weights(self) -> Iterator[torch.nn.Module]:
        yield self.module

    def save(self, folder: Path) -> None:
        moments = {name: dict(self._optimizer.state[p]) for name, p in _named(self.module)}
        _write(folder, self.module.state_dict(), moments)


class DeepSpeedEngine:
    """Several processes (torchrun or a gang of actors), gradients and states by ZeRO."""

    def __init__(
        self,
        module: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        compute: ComputeConfig,
        *,
        grad_clip: float = 0.0,
        resume: Path | None = None,
    ) -> None:
        import deepspeed

        self.device = pick_device(compute)
        join(compute)
        self._compute = compute
        state = _read(resume) if resume else None
        if state:
            module.load_state_dict(state["module"])
        self._torch_optimizer = make_optimizer(_trained(module))
        _set_lr(self._torch_optimizer, 0.0)  # because ZeRO may step once to allocate its states
        num_trained = sum(parameter.numel() for parameter in _trained(module))
        settings = {
            "train_micro_batch_size_per_gpu": 1,  # because loops cut their own batches
            "gradient_accumulation_steps": compute.accumulate,
            "gradient_clipping": grad_clip,
            "zero_optimization": {
                "stage": compute.zero_stage,
                # because each step allocates it whole: 2 GB of float32 by default
                "reduce_bucket_size": max(1, min(num_trained, LARGEST_BUCKET)),
            },
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": 1 << 30,
        }
        _run_under_autocast(module, self.device, compute.precision)
        self._engine, _, _, _ = deepspeed.initialize(
            model=module.to(self.device), optimizer=self._torch_optimizer, config=settings
        )
        self.module = self._engine.module
        if state:
            self._set_moments(state["moments"])

    def __call__(self, *batch: Any) -> Any:
        return self._engine(*batch)

    def backward(self, loss: torch.Tensor) -> None:
        self._engine.backward(loss)
        if not self._engine.is_gradient_accumulation_boundary():
            self._engine.step()  # which only counts, before the last micro-batch

    def step(self, lr: float) -> torch.Tensor | float | None:
        _set_lr(self._torch_optimizer, lr)
        self._engine.step()
        norm: torch.Tensor | float | None = self._engine.get_global_grad_norm()
        return norm

    @contextlib.contextmanager
    def weights(self) -> Iterator[torch.nn.Module]:
        import deepspeed

        whole = list(self.module.parameters()) if self._compute.zero_stage == 3 else []
        with deepspeed.zero.GatheredParameters(whole):
            yield self.module

    def save(self, folder: Path) -> None:
        moments = {name: self._moments_of(p) for name, p in _named(self.module)}
        with self.weights() as module:
            if rank() == 0:
                _write(folder, module.state_dict(), moments)

    def _moments_of(self, parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
        """Whole moments of a parameter, gathered; scalars as they are."""
        from deepspeed.utils import safe_get_full_optimizer_state

        if self._compute.zero_stage == 0:
            return dict(self._torch_optimizer.state[parameter])
        flat: dict[str, Any] = next(iter(self._torch_optimizer.state.values()), {})
        return {
            key: value.clone()
            if value.ndim == 0
            else safe_get_full_optimizer_state(parameter, key).cpu()
            for key, value in flat.items()
        }

    def _set_moments(self, moments: dict[str, dict[str, torch.Tensor]]) -> None:
        """Put whole moments where ZeRO keeps its parts; all parameters have the same keys."""
        from deepspeed.utils import safe_set_full_optimizer_state

        if self._compute.zero_stage == 0:
            for name, parameter in _named(self.module):
                self._torch_optimizer.state[parameter] = _on(self.device, moments[name])
            return
        optimizer, kinds = self._engine.optimizer, next(iter(moments.values()))
        if self._compute.zero_stage == 3:
            flats = optimizer.fp32_partitioned_groups_flat
        else:
            flats = optimizer.single_partition_of_fp32_groups
        for flat in flats:
            self._torch_optimizer.state[flat] = {
                key: value.clone() if value.ndim == 0 else torch.zeros_like(flat)
                for key, value in kinds.items()
            }
        if self._compute.zero_stage < 3:
            optimizer._lazy_init_hp_params_optimizer_state()  # else only its first step makes them
        for name, parameter in _named(self.module):
            for key, value in moments[name].items():
                if value.ndim:
                    safe_set_full_optimizer_state(parameter, value.to(self.device), key)


def start_engine(
    module: torch.nn.Module,
    make_optimizer: MakeOptimizer,
    compute: ComputeConfig,
    *,
    grad_clip: float = 0.0,
    resume: Path | None = None,
) -> Engine:
    """DeepSpeed when WORLD_SIZE says more than one process, else plain torch.

    `resume` is a folder that some engine has saved into.
    """
    if compute.num_threads:
        torch.set_num_threads(compute.num_threads)
    kind = DeepSpeedEngine if world_size() > 1 else PlainEngine
    return kind(module, make_optimizer, compute, grad_clip=grad_clip, resume=resume)


def channels_last(module: torch.nn.Module) -> torch.nn.Module:
    """Put a module into the layout that convolutions are fast in, where one process trains.

    ZeRO cuts weights as flat pieces of memory and takes no other layout than the plain one.
    """
    if world_size() > 1:
        return module
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def join(compute: ComputeConfig) -> None:
    """Join the other ranks, once; a single process does nothing.

    The rank's GPU becomes the current one before anything else, because NCCL's collectives, and all
    that names no GPU, would use GPU 0 on every rank of a node.
    """
    if world_size() == 1 or torch.distributed.is_initialized():
        return
    device = pick_device(compute)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    import deepspeed
    from deepspeed.ops import __compatible_ops__
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    __compatible_ops__["deepspeed_shm_comm"] = False  # because it compiles C++ for a minute
    backend = "nccl" if device.type == "cuda" else "gloo"
    deepspeed.init_distributed(dist_backend=backend, verbose=False, timeout=PATIENCE)
    atexit.register(_leave)


def end_rank(error: str = "", exit_code: int = REFUSED) -> None:
    """End this process at once where it has joined other ranks; a single process goes on.

    The interpreter's own end aborts a rank now and then ("terminate called without an active
    exception"): DeepSpeed keeps process groups alive, and their threads ask for an interpreter that
    is being taken down. With an error, printed on stderr, no other rank is waited for (it may be
    gone), and the process ends with `exit_code`.
    """
    if world_size() == 1 or not torch.distributed.is_initialized():
        return
    if error:
        print(error, file=sys.stderr)
    else:
        wait_for_all()  # so that nobody's last answer is cut off
        _leave()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code if error else 0)


def _leave() -> None:
    """Leave the group while the interpreter still stands."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _run_under_autocast(module: torch.nn.Module, device: torch.device, precision: str) -> None:
    """Put the autocast into the module's forward: DeepSpeed switches one round itself off."""
    forward = module.forward

    def under_autocast(*batch: Any) -> Any:
        with autocast(device, precision):
            return forward(*batch)

    module.forward = under_autocast


def _on(device: torch.device, moments: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Moments of a parameter on its device; scalars (AdamW's step) stay on the CPU."""
    return {k: v.to(device, copy=True) if v.ndim else v.clone() for k, v in moments.items()}


def _trained(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _named(module: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def _write(folder: Path, weights: dict[str, Any], moments: dict[str, Any]) -> None:
    with writing(folder / STATE) as file:
        torch.save({"module": weights, "moments": moments}, file)


def _read(folder: Path) -> dict[str, Any]:
    return dict(torch.load(folder / STATE, map_location="cpu", weights_only=True))


def _set_lr(optimizer: Any, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
