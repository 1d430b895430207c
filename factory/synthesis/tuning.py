"""The micro-batch that suits a device, found by trying (plan.micro_batch=null).

It decides bytes, so it is measured once, where the plan is written, and stands in the plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.errors import DeviceError
from factory.records import Shot
from factory.synthesis.generators import DiffusionGenerator, Generator
from factory.training.distributed import kept_threads, pick_device

LARGEST = 512
ENOUGH = 0.95
"""Fraction of the best rate that the smallest batch must reach: a larger one pads more top-ups."""
LEAST_GAIN = 1.05
"""A doubled batch that gains less than this is the last that is tried."""
HEADROOM = 0.8
"""Fraction of an actor's memory that the trials may take."""
STEPS = 4
"""Network calls of a trial; every call costs the same."""


def tuned_micro_batch(config: Config) -> int:
    """The smallest batch of 1, 2, 4... that is drawn at nearly the best rate on this machine.

    None is larger than a unit, whose batches would be padding. On a GPU the trials have an actor's
    part of the memory, less what its recognizer may want, and
    leave none of it behind. Raises DeviceError where one shot does not fit.
    """
    shots = _shots(config, config.plan.images_per_identity * config.plan.identities_per_unit)
    on_gpu = pick_device(config.compute).type == "cuda"
    if on_gpu:
        gpus = min(1.0, config.fleet.gpus_per_actor or 1.0)
        torch.cuda.set_per_process_memory_fraction(HEADROOM * gpus)
    try:
        with kept_threads():
            torch.set_num_threads(config.plan.num_threads)
            return _tried(config, shots)
    finally:
        if on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()  # because an actor will want this GPU


def _tried(config: Config, shots: list[Shot]) -> int:
    """The best size for a generator that is forgotten afterwards, with its memory."""
    generator = _generator(config)
    return best_size(lambda size: _seconds(generator, shots[:size], size), len(shots))


def best_size(seconds_of: Callable[[int], float], largest: int = LARGEST) -> int:
    """The smallest size that reaches ENOUGH of the best rate.

    Sizes double until one gains too little, does not fit into memory, or would be larger than
    `largest`.
    """
    rates: dict[int, float] = {}
    size = 1
    while size <= largest:
        try:
            rates[size] = size / seconds_of(size)
        except torch.OutOfMemoryError:
            break
        if size > 1 and rates[size] < LEAST_GAIN * rates[size // 2]:
            break
        size *= 2
    if not rates:
        raise DeviceError("plan.micro_batch: not even one shot fits into this device's memory")
    best = max(rates.values())
    return min(size for size, rate in rates.items() if rate >= ENOUGH * best)


def _generator(config: Config) -> Generator:
    """The config's diffusion generator, over a roster of one."""
    device, precision = pick_device(config.compute), config.compute.precision
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    autoencoder = None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    dim = int(loaded.config["shape"]["embedding_dim"])
    any_identity_1D = np.full((1, dim), dim**-0.5, np.float32)
    return DiffusionGenerator(loaded, autoencoder, any_identity_1D, device, precision)


def _shots(config: Config, count: int) -> list[Shot]:
    sampler = config.sampler
    steps = min(STEPS, sampler.num_steps)
    guidance = 1.0 if sampler.guidance is None else sampler.guidance  # null: of a student
    like = (sampler.kind, steps, guidance, 0)
    optional = {
        "timestep_spacing": sampler.timestep_spacing,
        "similarity": next(iter(sampler.similarity), None),
    }
    return [Shot(f"{i}", 0, i, 0, i, *like, i, **optional) for i in range(min(count, LARGEST))]  # type: ignore[arg-type]


def _seconds(generator: Generator, shots: list[Shot], size: int) -> float:
    """The better of two draws, after one that warms up."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        generator.generate(shots, size)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
