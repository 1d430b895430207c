"""The mean color of a person's skin, for hands and shoulders that have no texture of their own."""

from __future__ import annotations

import numpy as np

from factory.rendering.skin.skin_color import skin_color
from factory.rendering.traits import Person


def skin_tone(person: Person) -> np.ndarray:
    """Linear RGB reflectance [3]."""
    skin = person.skin
    color_13 = skin_color(np.array([skin.melanin]), np.array([skin.haemoglobin]))
    return np.asarray(color_13[0])
