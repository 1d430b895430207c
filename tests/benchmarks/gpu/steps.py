"""Steps a second of a recognizer and a generator in this process, on random data.

    python -m tests.benchmarks.gpu.steps cuda plain
    python -m tests.benchmarks.gpu.steps cpu 2 --small        # ZeRO 2, one rank; wants MASTER_PORT

Prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import torch

from factory.config import ComputeConfig, GeneratorConfig, RecognizerConfig
from factory.diffusion.train import GeneratorLoss
from factory.diffusion.uvit import Shape
from factory.recognition.embed import Recognizer
from factory.training.engine import DeepSpeedEngine, Engine, PlainEngine
from factory.training.schedules import adamw
from tests.benchmarks.gpu.machine import median_s, peak_memory, reset_peak
from tests.recognizer_step import RecognizerSteps


def main() -> None:
    device, engine, small = torch.device(sys.argv[1]), sys.argv[2], "--small" in sys.argv
    start: Callable[..., Engine] = PlainEngine
    with contextlib.redirect_stdout(sys.stderr):  # because DeepSpeed prints
        if engine != "plain":
            join_alone(device)
            start = DeepSpeedEngine
        compute = ComputeConfig(
            device=device.type,  # type: ignore[arg-type]
            precision="bf16",
            zero_stage=0 if engine == "plain" else int(engine),
        )
        figures = {}
        for kind, make in (("recognizer", recognizer), ("generator", generator)):
            reset_peak(device)
            step, batch = make(start, compute, small)
            seconds = median_s(device, step, 2 if small else 20)
            figures |= {
                f"{kind}_steps_per_s": round(1 / seconds, 3),
                f"{kind}_batch_size": batch,
                f"{kind}_peak_memory_bytes": peak_memory(device),
            }
    print(json.dumps(figures))


def join_alone(device: torch.device) -> None:
    """A group of one rank, without asking a launcher for it."""
    import deepspeed
    from deepspeed.ops import __compatible_ops__

    __compatible_ops__["deepspeed_shm_comm"] = False  # because it compiles C++ for a minute
    backend = "nccl" if device.type == "cuda" else "gloo"
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)


def recognizer(
    start: Callable[..., Engine], compute: ComputeConfig, small: bool
) -> tuple[Callable[[], Any], int]:
    """A step of IResNet-50 over 10,000 classes, and its batch."""
    size, px, classes = (4, 32, 50) if small else (128, 112, 10_000)
    backbone = "iresnet_mini" if small else "iresnet50"
    recipe = RecognizerConfig(backbone=backbone, batch_size=size)  # type: ignore[arg-type]
    steps = RecognizerSteps(recipe, compute, px, classes, 1, start)
    return lambda: steps.run(0), size


def generator(
    start: Callable[..., Engine], compute: ComputeConfig, small: bool
) -> tuple[Callable[[], Any], int]:
    """A step of a U-ViT of the starter's shape without an identity loss, and its batch."""
    config = GeneratorConfig(identity_weight=0.0)
    size, dim = (2, 256) if small else (64, 256)
    shape = Shape(8, 14, 2, None, 240, 3 if small else 9, 5, dim)
    frozen = Recognizer.load("starter:recognizer", torch.device("cpu"))
    model = GeneratorLoss(config, shape, lambda x: x, frozen)
    engine = start(model, adamw(1e-4, 0.01), compute, grad_clip=1.0)
    x, noise = (torch.randn(size, 8, 14, 14, device=engine.device) for _ in range(2))
    t_B = torch.randint(0, config.num_timesteps, (size,), device=engine.device)
    unit_BD = torch.randn(size, dim, device=engine.device)
    m_B = torch.zeros(size, device=engine.device)

    def step() -> None:
        loss, _ = engine(x, noise, t_B, unit_BD, unit_BD, m_B)
        engine.backward(loss)
        engine.step(1e-4)

    return step, size


if __name__ == "__main__":
    main()
