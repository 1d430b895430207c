"""Colors that people come in: hair, irises, lips, frames. Linear RGB reflectances."""

from __future__ import annotations

import numpy as np

from factory.rendering.traits import Color

HAIR: dict[str, Color] = {
    "black": (0.010, 0.0085, 0.008),
    "darkest_brown": (0.024, 0.015, 0.010),
    "brown": (0.065, 0.038, 0.021),
    "light_brown": (0.14, 0.085, 0.045),
    "blond": (0.34, 0.23, 0.115),
    "red": (0.21, 0.068, 0.022),
    "dyed_red": (0.13, 0.018, 0.014),
    "dyed_blond": (0.42, 0.31, 0.17),
}
DYES_OF_LIGHT = {"dyed_blond": 0.3, "blond": 0.25, "light_brown": 0.2, "brown": 0.12,
                 "dyed_red": 0.1, "black": 0.03}  # fmt: skip
DYES_OF_DARK = {"brown": 0.36, "black": 0.24, "light_brown": 0.16, "dyed_red": 0.16,
                "dyed_blond": 0.05, "blond": 0.03}  # fmt: skip
"""Shares of what hair is dyed to: few people bleach dark hair to blond."""
IRISES: dict[str, tuple[Color, Color]] = {
    "dark_brown": ((0.035, 0.018, 0.010), (0.05, 0.025, 0.012)),
    "brown": ((0.085, 0.040, 0.016), (0.12, 0.058, 0.022)),
    "hazel": ((0.13, 0.095, 0.035), (0.17, 0.085, 0.025)),
    "green": ((0.13, 0.15, 0.075), (0.20, 0.15, 0.06)),
    "gray": ((0.20, 0.23, 0.25), (0.24, 0.24, 0.22)),
    "blue": ((0.13, 0.21, 0.32), (0.20, 0.26, 0.32)),
}
"""Of the iris, and of its inner ring."""
LIPS: tuple[Color, Color] = ((0.50, 0.235, 0.205), (0.145, 0.066, 0.055))
"""Without pigment in the skin, and with the most."""
LIPSTICKS: tuple[Color, ...] = (
    (0.42, 0.045, 0.05),
    (0.30, 0.03, 0.06),
    (0.50, 0.16, 0.17),
    (0.42, 0.14, 0.12),
    (0.22, 0.035, 0.045),
)
FRAMES: dict[str, tuple[Color, float]] = {
    "black": ((0.012, 0.012, 0.013), 0.0),
    "tortoise": ((0.10, 0.045, 0.018), 0.0),
    "gunmetal": ((0.20, 0.20, 0.21), 1.0),
    "gold": ((0.55, 0.40, 0.18), 1.0),
    "silver": ((0.60, 0.60, 0.60), 1.0),
    "clear": ((0.55, 0.52, 0.48), 0.0),
    "red": ((0.25, 0.03, 0.04), 0.0),
    "blue": ((0.03, 0.06, 0.18), 0.0),
}
"""Of glasses, and how metallic they are."""


def varied(color: Color, spread: float, rng: np.random.Generator) -> Color:
    """The color of one person: brighter or darker, and a little off in each channel."""
    gain = np.exp(spread * rng.standard_normal() + 0.3 * spread * rng.standard_normal(3))
    return _color(np.asarray(color) * gain)


def between(first: Color, second: Color, amount: float) -> Color:
    """A mixture of two colors in equal ratios, as pigments mix."""
    return _color(np.asarray(first) ** (1 - amount) * np.asarray(second) ** amount)


def _color(values: np.ndarray) -> Color:
    red, green, blue = (float(value) for value in np.clip(values, 0.002, 0.98))
    return red, green, blue
