"""One image of every person, from the same noise whatever else is asked for, for the studies."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.config import SamplerConfig
from factory.records import Shot
from factory.seeds import stream_seed
from factory.synthesis.generators import DiffusionGenerator


def draw_each(
    generator: DiffusionGenerator, people: int, size: int, sampler: SamplerConfig, **told: Any
) -> np.ndarray:
    """RGB uint8 [people, px, px, 3] in batches of `size`; `told` are fields of every shot."""
    if sampler.negative_condition == "nearest" or sampler.perturb_identity:
        raise ValueError(
            "sampler: got away=nearest or turn=true, which need a roster; want neither"
        )
    images = []
    for first in range(0, people, size):
        who = range(first, min(first + size, people))
        shots = [_shot(place, slot, sampler, told) for slot, place in enumerate(who)]
        images.append(generator.generate(shots, size)[: len(shots)])
    return np.concatenate(images)


def _shot(who: int, slot: int, sampler: SamplerConfig, told: dict[str, Any]) -> Shot:
    return Shot(
        key=f"{who:06d}_0000",
        identity=who,
        image=0,
        attempt=0,
        seed=stream_seed(0, who, "study"),
        sampler=sampler.kind,
        num_steps=sampler.num_steps,
        spacing=sampler.timestep_spacing,
        guidance=sampler.guidance,
        guidance_from=sampler.guidance_from,
        guidance_to=sampler.guidance_to,
        batch=0,
        slot=slot,
        away=who if sampler.negative_condition == "itself" else -1,
        **told,
    )
