"""Eyebrows: where their hairs stand, and which way they grow.

Hairs grow upward at the inner end, outward along the arch and downward at the tail; those of the
upper edge bend down and those of the lower edge up, so that they meet along a ridge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.head.roots import (
    RootedStrands,
    Roots,
    grown,
    rooted,
    scattered,
    unit,
)
from factory.rendering.traits import BrowTraits, Person

STREAM = 41
"""Of the random numbers of brows, with a person's seed."""
POOL = 16000
"""Places that hairs of both brows are chosen from."""
INNER_TO_OUTER = ((21, 20, 19, 18, 17), (22, 23, 24, 25, 26))
"""Landmarks of the brows in the right half of the face (left in the image) and in the left one."""
MARGIN = 1.4
"""Centimeters about the landmarks' line in which hairs can stand."""
SEGMENTS = 4
"""Straight pieces of a hair."""


@dataclass(frozen=True)
class BrowPlaces:
    """Places about the brows of all heads, with their coordinates along and above the line."""

    roots: Roots
    along_N: np.ndarray
    """Centimeters outward from the inner landmark, on the mean head."""
    above_N: np.ndarray
    """Centimeters above the landmarks' line."""
    side_N: np.ndarray
    """Row of INNER_TO_OUTER."""
    length_2: np.ndarray
    """Of both lines."""


def line(head_points_68x3: np.ndarray, side: int, num: int = 81) -> np.ndarray:
    """The line of a brow's landmarks [num, 3], one centimeter longer at each end."""
    points = head_points_68x3[list(INNER_TO_OUTER[side])]
    start = points[0] + unit(points[0] - points[1])
    end = points[-1] + unit(points[-1] - points[-2])
    points = np.stack([start, *points, end])
    at = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    wanted = np.linspace(0, at[-1], num)
    return np.stack([np.interp(wanted, at, points[:, axis]) for axis in range(3)], axis=1)


@lru_cache(maxsize=2)
def brow_places(model: HeadModel) -> BrowPlaces:
    """Places about the brows of the mean head."""
    points = model.mean_V3[model.landmarks_68]
    faces = model.faces_F3[model.materials_F == "M_Face"]
    middle = model.mean_V3[faces].mean(1)
    lines = [line(points, side) for side in (0, 1)]
    away = np.stack([_nearest(middle, curve)[1] for curve in lines])
    faces = faces[away.min(0) < MARGIN + 0.3]
    roots = scattered(model.mean_V3, faces, POOL, [STREAM])
    at = roots.of(model.mean_V3)
    side = (at[:, 0] > 0).astype(int)
    along, above = np.zeros(len(at)), np.zeros(len(at))
    lengths = []
    for number, curve in enumerate(lines):
        nearest, _ = _nearest(at, curve)
        length = np.linalg.norm(np.diff(curve, axis=0), axis=1).sum()
        tangent = unit(np.gradient(curve, axis=0))[nearest]
        apart = at - curve[nearest]
        mine = side == number
        # the line is sampled every millimeter, so what lies along it is added to the sample's place
        reached = nearest * length / (len(curve) - 1) - 1.0 + (apart * tangent).sum(1)
        rise = np.sign(apart[:, 1]) * np.linalg.norm(
            apart - (apart * tangent).sum(1, keepdims=True) * tangent, axis=1
        )
        along[mine], above[mine] = reached[mine], rise[mine]
        lengths.append(length - 2.0)
    return BrowPlaces(roots, along, above, side, np.array(lengths))


def _nearest(at_N3: np.ndarray, curve_C3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the nearest points of a curve, and distances from them."""
    square = np.square(at_N3[:, None] - curve_C3).sum(-1)
    nearest = square.argmin(1)
    return nearest, np.sqrt(square[np.arange(len(at_N3)), nearest])


def coordinates(
    places: BrowPlaces, brows: BrowTraits, presentation: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in a person's brows: along, across, and the height of the brow's middle there.

    Along goes from 0 at the inner end to 1 at the tail, across from -1 to 1 at the edges; the
    height is that above the landmarks' line, centimeters.
    """
    length = places.length_2[places.side_N]
    inner = 0.55 * (brows.spacing - 0.5) - 0.1
    outer = length + 0.25 - 0.3 * (brows.spacing - 0.5)
    u = (places.along_N - inner) / (outer - inner)
    arch = 0.75 * (brows.arch - 0.45)
    # an arch is highest at two thirds of the way, and its ends are lower for it
    bump = np.exp(-np.square((u - 0.64) / 0.26)) - 0.2
    middle = HEIGHT + 0.22 * (0.5 - presentation) + arch * bump + TAIL * np.clip(u - 0.6, 0, 0.6)
    half = (0.15 + 0.25 * brows.thickness) * _profile(u)
    return u, (places.above_N - middle) / half, middle


HEIGHT = -0.62
"""Of the middle of a brow beside its landmarks, which lie on the bone above it, centimeters: 2 cm
above the pupil, as in the photographs of the Face Research Lab London Set."""
TAIL = 0.3
"""By how much tails fall less than the landmarks do, centimeters for the whole length."""


def _profile(u_N: np.ndarray) -> np.ndarray:
    """Half the height of a brow along it, as a fraction of the greatest."""
    at = [0.0, 0.12, 0.35, 0.6, 0.8, 1.0]
    return np.asarray(np.interp(u_N, at, [0.62, 0.88, 1.0, 0.88, 0.6, 0.28]))


def brow_density(u_N: np.ndarray, v_N: np.ndarray, density: float) -> np.ndarray:
    """Probability [0, 1] that a hair stands at a place; never less for a greater `density`."""
    ends = _smooth(u_N, -0.06, 0.15) * (1 - _smooth(u_N, 0.86, 1.04))
    edges = np.exp(-(np.abs(v_N) ** 2.5))
    return np.asarray(np.clip(density, 0, 1) * ends * edges)


def _smooth(value_N: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before `start`, 1 after `end`, smooth between (Hermite)."""
    t = np.clip((value_N - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def growth_angle(u_N: np.ndarray, v_N: np.ndarray) -> np.ndarray:
    """Radians from the outward direction along a brow to that of its hairs, upward positive."""
    along = np.interp(u_N, [0.0, 0.1, 0.25, 0.5, 0.8, 1.0], [82, 65, 40, 18, 4, -6])
    ridge = -np.clip(v_N, -1, 1) * np.interp(u_N, [0.0, 0.2, 1.0], [4, 22, 16])
    return np.asarray(np.radians(along + ridge))


def grow_brows(model: HeadModel, neutral: Head, person: Person) -> RootedStrands:
    """Both brows of a person on the head without expression, 5 points a hair."""
    places, brows = brow_places(model), person.brows
    rng = np.random.default_rng([person.seed, STREAM])
    chance, spread = rng.random(len(places.roots)), rng.standard_normal((len(places.roots), 4))
    u, v, _ = coordinates(places, brows, person.presentation)
    kept = np.flatnonzero(chance < PER_PLACE * brow_density(u, v, brows.density))
    roots, u, v, spread = places.roots.chosen(kept), u[kept], v[kept], spread[kept]
    out, up, normal = _axes(neutral, roots, places, kept)
    angle = growth_angle(u, v) + 0.16 * spread[:, 0]
    length = (0.42 + 0.4 * brows.thickness) * _length(u) * np.exp(0.2 * spread[:, 1])
    steps = np.linspace(0, 1, SEGMENTS)
    bend = angle[:, None] * (1 - 0.45 * steps) - np.radians(6) * steps * (u > 0.5)[:, None]
    # hairs leave the skin and lie down on it
    rise = np.interp(steps, [0, 0.4, 1], [0.55, 0.2, 0.02])[None] + 0.05 * np.abs(spread[:, 2:3])
    directions = (
        np.cos(bend)[..., None] * out[:, None]
        + np.sin(bend)[..., None] * up[:, None]
        + rise[..., None] * normal[:, None]
    )
    return rooted(roots, grown(directions, length), neutral)


PER_PLACE = 0.65
"""Hairs a place of the pool where the density is 1: about 500 a brow."""


def _length(u_N: np.ndarray) -> np.ndarray:
    """Length of hairs along a brow, as a fraction of the longest."""
    return np.asarray(np.interp(u_N, [0, 0.2, 0.7, 1.0], [0.6, 0.95, 0.9, 0.65]))


def _axes(
    neutral: Head, roots: Roots, places: BrowPlaces, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors at roots: outward along the brow, up, and off the skin."""
    normal = unit(roots.of(neutral.normals_V3))
    side, along = places.side_N[kept], places.along_N[kept]
    out = np.zeros_like(normal)
    for number in (0, 1):
        curve = line(neutral.landmarks_68x3, number)
        mine = side == number
        share = (along[mine] + 1) / (places.length_2[number] + 2)
        at = np.clip((share * (len(curve) - 1)).round().astype(int), 0, len(curve) - 1)
        out[mine] = np.gradient(curve, axis=0)[at]
    out = unit(out - (out * normal).sum(1, keepdims=True) * normal)
    up = np.cross(normal, out)
    return out, up * np.sign(up[:, 1:2]), normal
