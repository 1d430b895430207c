"""A person's traits as a unit vector, by which the gate keeps rendered people apart.

It is a space of parameters and not one of a recognizer: two people near each other in it have
nearly the same head, skin, eyes, hair and age; how alike they look, a recognizer has to say.
"""

from __future__ import annotations

import colorsys
import math

import numpy as np

from factory.rendering.traits import Color, Person

NUM_SHAPE = 100
"""Coefficients of the head's shape, each of standard deviation 1 among people."""
WEIGHT = 1.5
"""Of each other trait, in standard deviations of the shape's: there are few of them, and they show
from afar."""
CENTER_AGE, STD_AGE = 45.0, 16.0
"""Years."""
STYLES = 8
"""Directions that names of styles are spread over."""


def trait_vector(person: Person) -> np.ndarray:
    """Unit vector float32 [D] of a person; the same for the same traits, whatever the number."""
    shape = np.zeros(NUM_SHAPE)
    shape[: len(person.shape)] = person.shape[:NUM_SHAPE]
    vector_D = np.concatenate([shape, WEIGHT * _others(person)])
    return np.asarray(vector_D / np.linalg.norm(vector_D), np.float32)


def _others(person: Person) -> np.ndarray:
    """Traits in addition to the shape, each about standard: mean 0, deviation 1."""
    skin, hair, glasses = person.skin, person.hair, person.glasses
    numbers = [
        (person.age - CENTER_AGE) / STD_AGE,
        _centered(person.presentation),
        _centered(skin.melanin),
        _centered(skin.haemoglobin),
        _centered(skin.freckles),
        _centered(skin.wrinkles),
        _centered(hair.gray_fraction),
        _centered(hair.curl),
        _centered(hair.recession),
        _centered(min(hair.length / 40, 1)),
        _centered(person.beard.density),
        _centered(person.brows.thickness),
        _centered(person.brows.arch),
        0.0 if glasses is None else 1.0,
        *_hue(person.eyes.iris_color),
        *_hue(hair.color),
    ]
    return np.concatenate([numbers, _style(hair.style), _style(person.beard.style)])


def _centered(fraction: float) -> float:
    """A fraction in [0, 1] as about standard, as if it were uniform."""
    return (fraction - 0.5) * math.sqrt(12)


def _hue(color: Color) -> tuple[float, float, float]:
    """A linear color as a point: hue as an angle, weighed by saturation, and brightness."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(min(max(one, 0.0), 1.0) for one in color))
    angle = 2 * math.pi * hue
    return saturation * math.cos(angle), saturation * math.sin(angle), _centered(value**0.5)


def _style(name: str) -> np.ndarray:
    """A direction that only the name decides, of length 1."""
    seed = list(name.encode())
    direction = np.random.default_rng(seed).standard_normal(STYLES)
    return np.asarray(direction / np.linalg.norm(direction))
