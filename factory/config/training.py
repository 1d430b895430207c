"""Settings that every training shares: its device, its folder, its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Device, precision and number of processes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where torch sees one."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Autocast type of matrix products; losses, norms and optimizers stay in fp32."""
    compile: Literal["auto", True, False] = False
    """torch.compile for training, and for drawing with release.method=diffusion, on GPUs with CUDA
    graphs. auto compiles a training only where its first steps, which are measured, say that this
    saves more time than it takes: then two runs may round otherwise. Drawing is not compiled by
    auto, because it decides bytes and stands in the plan. plan.micro_batch=null is tried out
    without it."""
    tf32: bool = False
    """Products of a recognizer's classifier, which are in float32, in TF32 on GPUs: factors keep 10
    bits, sums stay in float32. A cosine then errs by up to .001, and an H100 multiplies about seven
    times as fast by its data sheet."""
    num_threads: int | None = knob(None, low=1)
    """CPU threads of a training; None leaves torch's choice. Synthesis has plan.num_threads."""
    zero_stage: int = knob(1, low=0, high=3)
    """DeepSpeed ZeRO stage, used when more than one process trains: what is cut over the ranks.
    0: nothing, 1: optimizer states, 2: gradients too, 3: weights too."""
    num_ranks: int | None = knob(None, low=1)
    """Processes of a training, started as a gang of Ray actors with one GPU each (fleet.address
    says where); None: this process alone, or those that torchrun has started."""
    min_ranks: int | None = knob(None, low=1)
    """Ranks that a gang may go on with after it has lost nodes: the most that fit and divide
    num_ranks evenly. The step's batch stays, so a rank gets more of it. None: it waits for others,
    as long as that takes."""
    max_restarts: int = knob(3, low=0)
    """Times in a row that a gang is started again from its last state without a new one; those
    after a node was lost do not count."""
    accumulate: int = knob(1, low=1)
    """Micro-batches whose gradients make one step; batch_size is that of the step."""
    activation_checkpointing: bool = False
    """Keep only the inputs of residual blocks and compute the rest again in the backward pass:
    about a third more time, a fraction of the memory."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Where a training writes, and how often."""

    out: str = file_path("runs/training")
    """Folder of the checkpoint, which all ranks see, or s3://bucket/prefix, for which they share
    none; training again with the same one resumes."""
    cache: str | None = file_path()
    """Folder of all ranks, or s3://bucket/prefix, for what does not change while a generator, an
    autoencoder or an editor learns: aligned faces, their latents and embeddings, in files that are
    made once, for all trainings, and mapped. None: in memory where the faces take at most
    faces_in_memory_bytes, else in `faces` below `out`."""
    faces_in_memory_bytes: int = knob(1 << 30, low=0)
    """Most bytes of aligned faces (3 image_px^2 each) that a process keeps in its memory where no
    cache is given. A recognizer has batches.num_workers instead."""
    seed: int = knob(0, low=0)
    """Seed of weights, order and augmentation."""
    save_every_s: float = knob(300.0, low=0.0)
    """Seconds between resumable states."""
    log_every: int = knob(50, low=1)
    """Steps between log lines."""
    max_steps: int | None = knob(None, low=1)
    """Stop after so many steps whatever the recipe says; None: the recipe decides."""
    min_steps: int | None = knob(None, low=1)
    """At least so many steps however few images there are, so that epochs count for large sources
    alone; None: the recipe decides. With the same max_steps, exactly so many."""
    eval_every: int | None = knob(None, low=1)
    """Steps between looks at a training. A recognizer is verified on source.pairs where given, else
    on the held-out people; a generator draws the same few people (sheets/). None: only at the end,
    and no sheets."""
