"""One image of every person, from the same noise whatever the conditions, for the studies."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.config import SamplerConfig
from factory.errors import ConfigError
from factory.records import Shot
from factory.seeds import stream_seed
from factory.synthesis.generators import DiffusionGenerator


def draw_each(
    generator: DiffusionGenerator,
    people: int,
    size: int,
    sampler: SamplerConfig,
    image: int = 0,
    **fields: Any,
) -> np.ndarray:
    """RGB uint8 [people, px, px, 3] in batches of `size`; `fields` are those of every shot.

    Each person is drawn from another noise for each `image`.
    """
    if sampler.negative_condition == "nearest_identity" or sampler.perturb_identity:
        raise ConfigError(
            "sampler.negative_condition: got nearest_identity, or perturb_identity=true, which "
            "need a roster; want neither"
        )
    images = []
    for first in range(0, people, size):
        identities = range(first, min(first + size, people))
        shots = [
            shot_of(identity, slot, sampler, image, fields)
            for slot, identity in enumerate(identities)
        ]
        images.append(generator.generate(shots, size).images_BHWC[: len(shots)])
    return np.concatenate(images)


def shot_of(
    identity: int, slot: int, sampler: SamplerConfig, image: int, fields: dict[str, Any]
) -> Shot:
    """A shot of a person by a config's sampler."""
    further = (image,) if image else ()
    against_itself = sampler.negative_condition == "same_identity"
    return Shot(
        key=f"{identity:06d}_0000",
        identity=identity,
        image=image,
        attempt=0,
        seed=stream_seed(0, identity, "study", *further),
        sampler=sampler.kind,
        num_steps=sampler.num_steps,
        timestep_spacing=sampler.timestep_spacing,
        guidance=sampler.guidance,
        guidance_from=sampler.guidance_interval[0],
        guidance_to=sampler.guidance_interval[1],
        batch=0,
        slot=slot,
        negative_identity=identity if against_itself else -1,
        **fields,
    )
