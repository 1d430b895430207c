"""How a head is combed: the regions of the scalp, and what a style asks of the strands there."""

from __future__ import annotations

import numpy as np

from factory.rendering.hair.growth import Strands
from factory.rendering.hair.hair_styles import HairStyle
from factory.rendering.hair.scalp import Roots, smooth
from factory.rendering.traits import HairTraits
from factory.rendering.view import HairState

FLYAWAYS = 0.03
"""Strands that no comb reached; their directions spread FLYAWAY times as far."""
FLYAWAY = 2.0
LENGTH_RANGE = (0.75, 1.35)
"""By how much a person's hair may differ from its style's usual length."""
LONG_CM = 10.0
"""From this length on, hair hangs, and what grows on top covers the sides."""

FRINGE_CM = 7.0
"""From the hairline to the brows, along the forehead."""


def regions(roots: Roots) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How much of each root is top, sides, back and fringe [N], adding up to 1."""
    away = np.abs(roots.azimuth_N)
    top = smooth(roots.height_N, 8.0, 11.0)
    back = (1 - top) * smooth(away, 95, 125)
    sides = 1 - top - back
    fringe = smooth(-away, -54, -38) * (1 - smooth(roots.margin_N, 1.2, 2.8))
    return top * (1 - fringe), sides * (1 - fringe), back * (1 - fringe), fringe


def seen_more(roots: Roots, style: HairStyle, rng: np.random.Generator) -> np.ndarray:
    """Which roots to keep [N]: of long hair all on top and a third of those that the top covers."""
    if style.top < LONG_CM:
        return np.ones(len(roots), bool)
    top, _, _, fringe = regions(roots)
    return np.asarray(rng.random(len(roots)) < 0.3 + 0.7 * (top + fringe))


def length_factor(hair: HairTraits, style: HairStyle, state: HairState) -> float:
    """By how much a person's hair is longer today than its style's usual length."""
    usual = max(style.top, style.back)
    return float(np.clip(hair.length / usual, *LENGTH_RANGE)) * state.length_factor


def lengths(
    roots: Roots, hair: HairTraits, style: HairStyle, state: HairState, rng: np.random.Generator
) -> np.ndarray:
    """Centimeters of each strand [N]; shorter along the hairline, .8 to 1.1 times by chance."""
    top, sides, back, fringe = regions(roots)
    fringe_cm = style.fringe * (1 - hair.fringe) + FRINGE_CM * hair.fringe
    if style.top < LONG_CM:
        fringe_cm = style.fringe
    usual = top * style.top + sides * style.sides + back * style.back + fringe * fringe_cm
    least = 0.8 if style.top > LONG_CM else 0.4
    edge = least + (1 - least) * np.clip(roots.margin_N / 1.2, 0, 1)
    return np.asarray(
        usual * edge * rng.uniform(0.8, 1.1, len(roots)) * length_factor(hair, style, state)
    )


def combed(
    roots: Roots,
    hair: HairTraits,
    style: HairStyle,
    state: HairState,
    clump_N: np.ndarray,
    rng: np.random.Generator,
) -> Strands:
    """What grows from roots, their locks being `clump_N`."""
    num = len(roots)
    length = lengths(roots, hair, style, state, rng)
    top, sides, back, fringe = regions(roots)
    front = fringe * hair.fringe * (style.top > LONG_CM)
    swept = top + fringe - front
    beside = roots.points_N3[:, 0] - hair.parting
    away = np.tanh(beside / (1.6 if style.top > LONG_CM else 0.6))
    along = 0.8 * np.exp(-((beside / 1.3) ** 2)) * (style.top > LONG_CM)
    comb = np.zeros((num, 3), np.float32)
    comb[:, 0] = swept * style.away * away
    comb[:, 1] = -(sides + back) * 0.9 - front * 0.6
    comb[:, 2] = 0.8 * front - top * style.backward - 0.35 * sides
    comb[:, 2] -= (fringe - front) * style.fringe_backward
    comb[:, 2] -= along * swept  # long hair beside a parting covers it
    spread = style.frizz + 0.3 * state.tousled
    locks = rng.standard_normal((int(clump_N.max(initial=0)) + 1, 3))[clump_N]
    own = rng.standard_normal((num, 3))
    wild = np.where(rng.random(num) < FLYAWAYS, FLYAWAY, 0.5)[:, None]
    comb += 2 * spread * (locks + wild * own)
    lift = style.lift * (1 - 0.5 * (sides + back)) * (1 + spread * rng.standard_normal(num))
    volume = style.volume * (top + fringe) + style.side_volume * (sides + back)
    rise = np.clip(0.25 + roots.margin_N / 2.5, 0, 1) * rng.uniform(0.1, 1, num)
    volume = volume * (1 + 0.5 * state.tousled)
    return Strands(
        roots.points_N3, roots.normals_N3, comb, np.clip(lift, 0, 1), 0.05 + volume * rise, length
    )
