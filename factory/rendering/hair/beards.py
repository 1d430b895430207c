"""Beards: where hairs of the lower face stand, how long they are and which way they grow.

Density is a map over the lower face of the mean head, put together from regions that barbers name;
a hair's place is the same on every head, so a beard follows the shape of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.head.roots import (
    RootedStrands,
    Roots,
    grown,
    joined,
    rooted,
    scattered,
    unit,
)
from factory.rendering.traits import Person

STREAM = 42
"""Of the random numbers of beards, with a person's seed."""
POOL, FRONT_POOL = 7000, 4000
"""Places that hairs are chosen from: over the whole lower face, and again about the mouth, where
hairs are short and the camera looks."""
NUM_HAIRS = 4500
"""At most, in one beard."""
LIP_MARGIN = 0.16
"""Centimeters about the lips in which no hair stands."""
NUM_CLUMPS = 120
SEGMENTS = 4
"""Straight pieces of a hair."""


@dataclass(frozen=True)
class Style:
    """A style: how dense each region is, and lengths and directions of its hairs."""

    moustache: float = 0.0
    soul_patch: float = 0.0
    """The strip below the lower lip."""
    chin: float = 0.0
    cheeks: float = 0.0
    neck: float = 0.0
    sideburns: float = 0.0
    cheek_line: float = 0.0
    """Centimeters by which the upper edge of the cheeks' hair is raised."""
    length: tuple[float, float] = (0.15, 0.3)
    """Shortest and longest beard of the style, centimeters."""
    radius: float = 0.02
    rise: float = 0.5
    """How steeply hairs leave the skin: 0 along it."""
    clumps: float = 0.0


STYLES: dict[str, Style] = {
    "none": Style(),
    "stubble": Style(
        0.75,
        0.65,
        0.75,
        0.95,
        0.55,
        0.7,
        cheek_line=-0.2,
        length=(0.1, 0.3),
        radius=0.018,
        rise=0.6,
    ),
    "moustache": Style(moustache=1.0, length=(0.5, 1.2), radius=0.024, rise=0.3, clumps=0.25),
    "goatee": Style(0.95, 0.9, 1.0, length=(0.5, 1.8), rise=0.35, clumps=0.3),
    "short_full": Style(
        0.9, 0.8, 1.0, 0.9, 0.55, 0.9, length=(0.3, 1.3), radius=0.022, rise=0.4, clumps=0.2
    ),
    "full": Style(
        1.0, 0.9, 1.0, 1.0, 0.7, 1.0, cheek_line=0.3, length=(1.2, 4.0), rise=0.45, clumps=0.45
    ),
}


@dataclass(frozen=True)
class BeardPlaces:
    """Places over the lower face of all heads, and facts about each on the mean head."""

    roots: Roots
    at_N3: np.ndarray
    """On the mean head, from the middle of its eyes."""
    lips_N: np.ndarray
    """Centimeters outside the lips in a frontal view; negative within them."""


@lru_cache(maxsize=2)
def beard_places(model: HeadModel) -> BeardPlaces:
    """Places over the skin below the ears' middle, before the ears, without the nose."""
    points = model.mean_V3[model.landmarks_68]
    middle = points[36:48].mean(0)
    faces = model.faces_F3[model.materials_F == "M_Face"]
    at = model.mean_V3[faces].mean(1) - middle
    below = (at[:, 1] < 0.8) & (at[:, 1] > -15) & (at[:, 2] > -7.5)
    # beyond the sideburns are ears, within the mouth nobody sees hairs
    below &= (np.abs(at[:, 0]) < 7.6) & ((at[:, 1] < -1) | (np.abs(at[:, 0]) > 5.5))
    front = (
        below & (np.abs(at[:, 0]) < 4) & (at[:, 1] < -4) & (at[:, 1] > -11.5) & (at[:, 2] > -2.5)
    )
    roots = joined(
        scattered(model.mean_V3, faces[below], POOL, [STREAM, 0]),
        scattered(model.mean_V3, faces[front], FRONT_POOL, [STREAM, 1]),
    )
    place = roots.of(model.mean_V3)
    return BeardPlaces(roots, place - middle, lip_distance(points, place))


def lip_distance(points_68x3: np.ndarray, at_N3: np.ndarray) -> np.ndarray:
    """Centimeters from the outline of the lips in a frontal view; negative within it."""
    outline = points_68x3[48:60, :2].astype(np.float32)
    return np.array(
        [-cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in at_N3[:, :2]]
    )


def region_density(style: Style, places: BeardPlaces) -> np.ndarray:
    """Density [0, 1] of a style at all places."""
    x, y, z = np.abs(places.at_N3[:, 0]), places.at_N3[:, 1], places.at_N3[:, 2]
    front = z > -2.5
    # as broad as the mouth below and narrower at the nose, thin in the groove below it
    end = 2.1 + 0.45 * np.clip(-y - 4.7, 0, 2.6)
    moustache = _soft(-y, 4.7, 4.95) * _soft(y, -7.9, -7.0) * _soft(end - x, -0.25, 0.5)
    moustache *= (0.6 + 0.4 * _soft(x, 0.05, 0.35)) * front
    soul = _soft(-x, -1.1, -0.5) * _soft(-y, 7.8, 8.0) * _soft(y, -9.4, -9.0) * front
    chin = _soft(-np.hypot(x / 3.0, (y + 10.2) / 2.0), -1.2, -0.8) * (z > -5)
    # beside the mouth a goatee joins moustache and chin
    beside = _soft(-np.abs(x - 2.9), -0.8, -0.35) * _soft(y, -9.8, -9.2) * _soft(-y, 6.2, 6.8)
    edge = np.interp(z, *CHEEK_LINE) + style.cheek_line
    jaw = np.interp(x, *JAW_LINE)
    cheeks = _soft(edge - y, 0.0, 1.3) * _soft(y, jaw - 1.0, jaw) * _soft(x, 1.9, 2.8)
    neck = _soft(-y, -jaw - 0.2, -jaw + 0.6) * _soft(y, -13.8, -11.8) * _soft(z, -7.0, -5.0)
    sideburns = _soft(x, 6.3, 6.7) * _soft(-y, -0.8, 0.2) * _soft(y, -5.0, -4.0)
    sideburns *= _soft(z, -7.2, -6.8) * _soft(-z, 4.7, 5.3)
    regions = (
        (style.moustache, moustache),
        (style.soul_patch, soul),
        (style.chin, np.maximum(chin, beside)),
        (style.cheeks, cheeks),
        (style.neck, neck),
        (style.sideburns, sideburns),
    )
    whole = np.max([weight * region for weight, region in regions], axis=0)
    return np.asarray(whole * _soft(places.lips_N, LIP_MARGIN, LIP_MARGIN + 0.12))


CHEEK_LINE = ([-6.5, -5.2, -4.0, -2.0, 0.0, 1.0], [0.5, -2.4, -3.8, -5.2, -6.0, -6.4])
"""Upper edge of the cheeks' hair in profile: heights below the eyes at depths behind them."""
JAW_LINE = ([0.0, 1.5, 3.1, 4.3, 5.7, 6.6, 7.2], [-11.4, -11.2, -10.8, -10.0, -8.3, -6.3, -4.0])
"""Lower edge of the jaw."""


def _soft(value_N: np.ndarray, start: float | np.ndarray, end: float | np.ndarray) -> np.ndarray:
    """0 before `start`, 1 after `end`, smooth between (Hermite)."""
    t = np.clip((value_N - start) / (np.asarray(end) - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def direction_field(places: BeardPlaces, which: np.ndarray) -> np.ndarray:
    """Directions of growth [N, 3] before they are laid on the skin: down, and outward of lips."""
    at = places.at_N3[which]
    x, y = at[:, 0], at[:, 1]
    outward = np.sign(x) * np.interp(np.abs(x), [0, 0.4, 1.5, 3.0, 5.0], [0.1, 0.6, 0.9, 0.4, 0.0])
    on_lip = _soft(y, -7.6, -6.6)
    # below the jaw hairs grow down and forward, on the chin toward its middle
    inward = -0.12 * x * _soft(-y, 8.5, 10.0)
    forward = 0.25 * _soft(-y, 10.5, 12.0)
    return np.stack([outward * on_lip + inward, -np.ones_like(x), forward], axis=1)


def grow_beard(model: HeadModel, neutral: Head, person: Person) -> tuple[RootedStrands, np.ndarray]:
    """A beard on the head without expression, 5 points a hair; True where one is light."""
    style, places, beard = STYLES[person.beard.style], beard_places(model), person.beard
    rng = np.random.default_rng([person.seed, STREAM])
    chance, spread = rng.random(POOL + FRONT_POOL), rng.standard_normal((POOL + FRONT_POOL, 5))
    light = rng.random(POOL + FRONT_POOL) < LIGHT_FRACTION
    wanted = region_density(style, places) * np.clip(beard.density, 0, 1)
    kept = np.flatnonzero(chance < wanted * HAIRS_PER_PLACE)
    if len(kept) > NUM_HAIRS:
        kept = np.sort(kept[np.argsort(chance[kept] / wanted[kept], kind="stable")[:NUM_HAIRS]])
    roots, spread = places.roots.chosen(kept), spread[kept]
    normal = unit(roots.of(neutral.normals_V3))
    field = unit(direction_field(places, kept))
    flat = unit(field - (field * normal).sum(1, keepdims=True) * normal)
    length = _lengths(style, beard.length, places, kept) * np.exp(0.22 * spread[:, 0])
    scatter = 0.16 * spread[:, 1:4] + style.clumps * _clumps(places.at_N3[kept], rng)
    scatter -= np.minimum((scatter * normal).sum(1, keepdims=True), 0) * normal
    start = flat + (style.rise + 0.1 * np.abs(spread[:, 4:])) * normal + scatter
    # long hair bends to where it hangs
    hang = unit(flat + 0.25 * normal + [0, -0.4, 0]) + 1.3 * scatter
    steps = np.linspace(0, 1, SEGMENTS)[:, None] * np.clip(length / 1.5, 0, 1)[:, None, None]
    directions = unit(start)[:, None] * (1 - steps) + unit(hang)[:, None] * steps
    strands = rooted(roots, grown(directions, length), neutral)
    return strands, light[kept]


HAIRS_PER_PLACE = 1.0
LIGHT_FRACTION = 0.22
"""Hairs of a beard that are lighter than the others."""


def _lengths(style: Style, wanted: float, places: BeardPlaces, which: np.ndarray) -> np.ndarray:
    """Length of each hair: longest on the chin, and short above lips, which stay free."""
    longest = float(np.clip(wanted, *style.length))
    at, to_lips = places.at_N3[which], places.lips_N[which]
    length = longest * np.interp(-at[:, 1], [0.0, 3.0, 7.0, 10.0], [0.2, 0.3, 0.5, 1.0])
    # what grows below the jaw would grow into the neck
    below = _soft(np.interp(np.abs(at[:, 0]), *JAW_LINE) - at[:, 1], -0.3, 0.6)
    below = np.maximum(below, _soft(-at[:, 2], 1.0, 3.0) * _soft(-at[:, 1], 8.5, 10.0))
    length = np.minimum(length, longest * (1 - below) + 0.5 * below)
    length = np.maximum(length, min(longest, 0.3))
    above = (at[:, 1] > -7.0) & (np.abs(at[:, 0]) < 2.6)
    return np.asarray(np.where(above, np.minimum(length, 0.15 + 0.8 * to_lips), length))


def _clumps(at_N3: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A direction [N, 3] that neighbors share, so that hairs gather in locks."""
    centers = at_N3[rng.integers(0, max(len(at_N3), 1), NUM_CLUMPS)] if len(at_N3) else at_N3
    shared = 0.5 * rng.standard_normal((NUM_CLUMPS, 3))
    if not len(at_N3):
        return np.zeros_like(at_N3)
    square = (at_N3**2).sum(1)[:, None] - 2 * at_N3 @ centers.T + (centers**2).sum(1)
    return np.asarray(shared[square.argmin(1)])
