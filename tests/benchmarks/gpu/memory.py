"""Memory: batches split where it does not do, and a recognizer's step against its formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from factory.config import ComputeConfig, RecognizerConfig
from factory.recognition.memory import rank_memory
from factory.records import DrawnBatch, Shot
from factory.synthesis.generators import Generator, SplitOnOutOfMemory
from tests.benchmarks.gpu.machine import Budget, peak_memory, reset_peak
from tests.benchmarks.gpu.starter_maker import open_maker, random_people, shots_for
from tests.fake_gpu import FakeGpu
from tests.recognizer_step import RecognizerSteps

ENOUGH = 0.6
"""Fraction of what a batch needs that a device is left with."""


def back_off(device: torch.device, budget: Budget) -> dict[str, Any]:
    """A batch that a limited device cannot draw whole: parts, and the images' difference."""
    size = 4 if budget.small else 256
    maker, shots = open_maker(device, "bf16", random_people(100)), shots_for(size, budget.small)
    reset_peak(device)
    whole = maker.images(shots, size)
    needed = peak_memory(device)
    if needed is None:
        split = SplitOnOutOfMemory(LimitedBatch(maker.generator, ENOUGH * size))
    else:
        split = SplitOnOutOfMemory(maker.generator)
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(ENOUGH * needed / total, device)
    try:
        parts = split.generate(shots, size).images_BHWC
    finally:
        if needed is not None:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
    gray = np.abs(whole.astype(np.int16) - parts.astype(np.int16))
    return {
        "micro_batch": size,
        "needed_bytes": needed,
        "remarks": split.remarks,
        "grey_levels_mean": float(gray.mean()),
    }


class LimitedBatch:
    """A generator that draws small batches alone: a stand-in where memory has no limit."""

    def __init__(self, generator: Generator, largest: float) -> None:
        self._generator, self._largest = generator, largest

    @property
    def remarks(self) -> list[str]:
        return self._generator.remarks

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        if batch_size > self._largest:
            raise torch.OutOfMemoryError(f"a batch of {batch_size}")
        return self._generator.generate(shots, batch_size)


def recognizer_step(device: torch.device, budget: Budget) -> list[dict[str, Any]]:
    """Peak of a second step over 10,000 classes at 112 px, 1/50 of 500,000, and the formula."""
    if budget.small:
        return [of_recipe(device, "iresnet_mini", 8, 32, 100, "fp32")]
    batch = 64 if device.type == "cuda" else 8
    return [of_recipe(device, "iresnet100", batch, 112, 10_000, p) for p in ("fp32", "bf16")]


def of_recipe(
    device: torch.device, backbone: str, batch: int, px: int, num_real: int, precision: str
) -> dict[str, Any]:
    recipe = RecognizerConfig(backbone=backbone, batch_size=batch)  # type: ignore[arg-type]
    compute = ComputeConfig(device=device.type, precision=precision)  # type: ignore[arg-type]
    need = rank_memory(recipe, compute, image_px=px, num_real=num_real, world=1)
    reset_peak(device)
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    steps = RecognizerSteps(recipe, compute, px, num_real, 1)
    if device.type == "cuda":
        steps.run(0)
        reset_peak(device)
        steps.run(1)
        measured = torch.cuda.max_memory_allocated(device) - before
    else:
        with FakeGpu(device) as counter:
            counter.holds(*steps.tensors())
            steps.run(0)
            counter.peak_bytes = counter.live_bytes
            steps.run(1)
        measured = counter.peak_bytes
    return {
        "backbone": backbone,
        "micro_batch": batch,
        "classes": num_real,
        "precision": precision,
        "measured_bytes": measured,
        "formula_bytes": need.peak,
        "measured_over_formula": round(measured / need.peak, 3),
    }
