"""A person whose skin and eyes tests say, by hand."""

from __future__ import annotations

from typing import Any

from factory.rendering.traits import (
    BeardTraits,
    BrowTraits,
    EyeTraits,
    HairTraits,
    Person,
    SkinTraits,
)

BLUE, BROWN = (0.13, 0.21, 0.32), (0.06, 0.03, 0.012)


def person(
    seed: int = 5,
    age: float = 30.0,
    melanin: float = 0.2,
    haemoglobin: float = 0.5,
    style: str = "bald",
    shadow: float = 0.0,
    eyes: EyeTraits | None = None,
    **skin: Any,
) -> Person:
    """Somebody with a mean head; `skin` are further fields of SkinTraits."""
    return Person(
        index=0,
        seed=seed,
        group="medium",
        age=age,
        presentation=0.5,
        shape=(0.0,) * 100,
        skin=SkinTraits(melanin, haemoglobin, **skin),
        eyes=eyes or EyeTraits(BROWN, BROWN),
        hair=HairTraits(style, (0.02, 0.012, 0.008)),
        brows=BrowTraits((0.02, 0.012, 0.008)),
        beard=BeardTraits(shadow=shadow),
    )
