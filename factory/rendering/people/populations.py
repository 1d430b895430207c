"""How faces, hair and eyes go together: populations' means, and who has which skin.

Measures are rounded differences from an average face, centimeters, after the anthropometry of
Farkas et al. (2005), "International anthropometric study of facial morphology in various ethnic
groups/races". They are means of wide distributions: everybody also has a face of their own, and
most people have something of a second population.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Population:
    """Means of people whose forebears lived in one part of the world."""

    measures: dict[str, float]
    """Differences of measures.MEASURES from the mean face, centimeters."""
    curl: tuple[float, float]
    """HairTraits.curl, lowest and highest."""
    hair: dict[str, float]
    """Shares of natural hair colors: names of colors.HAIR."""
    eyes: dict[str, float]
    """Shares of eye colors: names of colors.IRISES."""
    beard: float
    """Density of a full beard."""


DARK_HAIR = {"black": 0.75, "darkest_brown": 0.25}
DARK_EYES = {"dark_brown": 0.7, "brown": 0.3}
POPULATIONS = {
    "northern_european": Population(
        {"nose_bridge": 0.22, "nose_width": -0.15, "nose_depth": 0.12, "lip_height": -0.22,
         "lip_depth": -0.12, "brow_depth": 0.12, "cheek_depth": -0.2, "face_width": -0.1},
        curl=(0.0, 0.5),
        hair={"black": 0.03, "darkest_brown": 0.2, "brown": 0.35, "light_brown": 0.17,
              "blond": 0.19, "red": 0.06},
        eyes={"blue": 0.42, "gray": 0.12, "green": 0.14, "hazel": 0.14, "brown": 0.18},
        beard=0.85,
    ),
    "mediterranean": Population(
        {"nose_bridge": 0.25, "nose_length": 0.15, "nose_depth": 0.15, "nose_width": -0.02,
         "lip_height": -0.05, "brow_depth": 0.1, "eye_opening": 0.04, "cheek_depth": -0.15},
        curl=(0.02, 0.6),
        hair={"black": 0.4, "darkest_brown": 0.4, "brown": 0.17, "light_brown": 0.03},
        eyes={"dark_brown": 0.45, "brown": 0.33, "hazel": 0.12, "green": 0.06, "blue": 0.04},
        beard=1.0,
    ),
    "east_asian": Population(
        {"nose_bridge": -0.42, "nose_width": 0.12, "nose_depth": -0.18, "face_width": 0.3,
         "jaw_width": 0.2, "cheek_depth": 0.35, "brow_depth": -0.25, "brow_height": 0.08,
         "eye_opening": -0.1, "eye_slant": 0.12, "eye_distance": 0.1, "lip_height": 0.05},
        curl=(0.0, 0.15),
        hair={"black": 0.85, "darkest_brown": 0.15},
        eyes={"dark_brown": 0.9, "brown": 0.1},
        beard=0.4,
    ),
    "south_asian": Population(
        {"nose_bridge": 0.08, "nose_width": 0.12, "nose_depth": 0.05, "lip_height": 0.08,
         "eye_opening": 0.05, "eye_width": 0.04, "brow_height": -0.05, "face_width": -0.12},
        curl=(0.0, 0.45),
        hair=DARK_HAIR,
        eyes=DARK_EYES,
        beard=1.0,
    ),
    "american": Population(
        {"nose_bridge": 0.0, "nose_width": 0.2, "nose_length": 0.05, "face_width": 0.25,
         "cheek_depth": 0.15, "brow_depth": -0.05, "lip_height": 0.1, "eye_slant": 0.05},
        curl=(0.0, 0.3),
        hair=DARK_HAIR,
        eyes=DARK_EYES,
        beard=0.6,
    ),
    "african": Population(
        {"nose_bridge": -0.3, "nose_width": 0.5, "nose_length": -0.2, "nose_depth": -0.25,
         "lip_height": 0.45, "lip_depth": 0.35, "mouth_width": 0.15, "eye_distance": 0.12,
         "brow_depth": 0.05},
        curl=(0.7, 1.0),
        hair={"black": 0.9, "darkest_brown": 0.1},
        eyes={"dark_brown": 0.88, "brown": 0.12},
        beard=0.75,
    ),
}  # fmt: skip
"""Names say where the means are from, never where somebody lives."""

BY_TONE: dict[str, dict[str, float]] = {
    "tone1": {"northern_european": 0.88, "east_asian": 0.12},
    "tone2": {"northern_european": 0.48, "mediterranean": 0.2, "east_asian": 0.32},
    "tone3": {"mediterranean": 0.45, "east_asian": 0.25, "american": 0.2, "south_asian": 0.1},
    "tone4": {"south_asian": 0.38, "american": 0.25, "mediterranean": 0.15, "east_asian": 0.1,
              "african": 0.12},
    "tone5": {"south_asian": 0.3, "african": 0.6, "american": 0.1},
    "tone6": {"african": 0.88, "south_asian": 0.12},
}  # fmt: skip
"""Of whom the people with a skin tone are, rough shares."""


@dataclass(frozen=True)
class Descent:
    """A person's own means: of a population, with something of a second one."""

    measures: dict[str, float]
    curl: tuple[float, float]
    hair: dict[str, float]
    eyes: dict[str, float]
    beard: float


def drawn_descent(tone: str, rng: np.random.Generator) -> Descent:
    """Means for a person with a skin tone; the second population counts half at most."""
    first, second = (POPULATIONS[drawn(BY_TONE[tone], rng)] for _ in range(2))
    other = 0.5 * float(rng.random()) ** 2

    def mixed(one: dict[str, float], two: dict[str, float]) -> dict[str, float]:
        names = dict.fromkeys([*one, *two])
        return {n: (1 - other) * one.get(n, 0.0) + other * two.get(n, 0.0) for n in names}

    low, high = ((1 - other) * a + other * b for a, b in zip(first.curl, second.curl, strict=True))
    return Descent(
        mixed(first.measures, second.measures),
        (low, high),
        mixed(first.hair, second.hair),
        mixed(first.eyes, second.eyes),
        (1 - other) * first.beard + other * second.beard,
    )


def drawn(shares: dict[str, float], rng: np.random.Generator) -> str:
    """A name, as often as its share says; shares need not sum to 1."""
    names, values = list(shares), np.array(list(shares.values()))
    return names[int(rng.choice(len(names), p=values / values.sum()))]
