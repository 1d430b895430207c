"""The mean color of a person's skin, for hands and shoulders that have no texture of their own."""

from __future__ import annotations

import numpy as np

from factory.rendering.traits import Person


def skin_tone(person: Person) -> np.ndarray:
    """Linear RGB reflectance [3]."""
    light, dark = np.array([0.80, 0.56, 0.45]), np.array([0.20, 0.105, 0.07])
    return np.asarray(light * (1 - person.skin.melanin) + dark * person.skin.melanin)
