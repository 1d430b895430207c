"""Who a rendered person is: all traits from a number."""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.traits import (
    BeardTraits,
    BrowTraits,
    EyeTraits,
    HairTraits,
    Person,
    SkinTraits,
)
from factory.seeds import stream_seed


def draw_person(config: RenderingConfig, index: int) -> Person:
    """The person with a number, whoever else is drawn."""
    seed = stream_seed("person", config.seed, index)
    rng = np.random.default_rng(seed)
    melanin = float(rng.beta(1.2, 1.5))
    dark = (0.03, 0.02, 0.012)
    return Person(
        index=index,
        seed=seed,
        group="medium",
        age=float(rng.uniform(18, 75)),
        presentation=float(rng.random()),
        shape=tuple(float(c) for c in rng.standard_normal(100)),
        skin=SkinTraits(melanin, 0.5),
        eyes=EyeTraits((0.1, 0.05, 0.02), (0.15, 0.08, 0.03)),
        hair=HairTraits("short", dark),
        brows=BrowTraits(dark),
        beard=BeardTraits(),
    )
