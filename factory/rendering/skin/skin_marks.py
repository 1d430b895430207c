"""Marks of a skin: freckles, moles, blemishes, scars, spots of age.

Each is drawn on the atlas of the mean head from the person's seed, in three dimensions, so that it
is round on the face wherever the texture is stretched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.rendering.skin.face_zones import Zones, smooth
from factory.rendering.skin.skin_atlas import BACK_WIDTH, FACE_WIDTH, HEIGHT, SkinAtlas
from factory.rendering.traits import Person

TEXEL_CM = 0.08
"""No texel of the front of a face is smaller."""
WIDTH = FACE_WIDTH + BACK_WIDTH
FRECKLES = 700
"""Of a face that is full of them."""
SEED = 23
"""Sets the numbers of marks apart from others of the same person."""


@dataclass(frozen=True)
class Marks:
    """What marks add to the pigments of texels [T]."""

    melanin: np.ndarray
    haemoglobin: np.ndarray
    pale: np.ndarray
    """Weight of scar tissue."""


@dataclass(frozen=True)
class Spots:
    """Round marks: the texel of each center, radii in centimeters, strengths."""

    texel_N: np.ndarray
    radius_N: np.ndarray
    strength_N: np.ndarray


def draw_marks(atlas: SkinAtlas, zones: Zones, person: Person) -> Marks:
    """All marks of a person."""
    skin = person.skin
    rng = np.random.default_rng([person.seed, SEED])
    clear = (1 - zones.lips) * (1 - zones.neck) * (atlas.points_T3[:, 2] > 1)
    freckles = draw_spots(
        rng,
        atlas,
        zones.freckles * clear,
        round(FRECKLES * skin.freckles),
        (0.06, 0.13),
        (0.15, 0.4),
    )
    moles = draw_spots(rng, atlas, clear, skin.num_moles, (0.09, 0.19), (0.45, 0.8))
    blemishes = draw_spots(
        rng, atlas, clear * (0.3 + zones.redness + zones.jaw), round(40 * skin.blemishes),
        (0.10, 0.24), (0.35, 0.9),
    )  # fmt: skip
    aged = float(smooth(45, 80, np.array(person.age))) * (1 - skin.melanin)
    spots = draw_spots(
        rng, atlas, clear * (zones.forehead + zones.freckles + 0.15), round(30 * aged),
        (0.15, 0.42), (0.12, 0.3),
    )  # fmt: skip
    melanin = np.maximum(painted(atlas, freckles), painted(atlas, spots, soft=0.5))
    melanin = np.maximum(melanin, painted(atlas, moles, soft=0.25))
    pale = np.zeros(len(atlas.texel_T), np.float32)
    for _ in range(skin.num_scars):
        pale = np.maximum(pale, _scar(rng, atlas, clear))
    return Marks(melanin * (1 - 0.55 * skin.melanin), painted(atlas, blemishes, soft=0.6), pale)


def draw_spots(
    rng: np.random.Generator,
    atlas: SkinAtlas,
    weight_T: np.ndarray,
    num: int,
    radius: tuple[float, float],
    strength: tuple[float, float],
) -> Spots:
    """Spots at random by weight and area; `num` of them."""
    share = np.cumsum(weight_T * atlas.area_T)
    texel = np.searchsorted(share, rng.random(num) * share[-1])
    return Spots(
        np.minimum(texel, len(share) - 1), rng.uniform(*radius, num), rng.uniform(*strength, num)
    )


def painted(atlas: SkinAtlas, spots: Spots, soft: float = 0.4) -> np.ndarray:
    """The strongest spot [T] at each texel; the last `soft` of a radius fades."""
    values = np.zeros(len(atlas.texel_T), np.float32)
    for center, radius, strength in zip(
        spots.texel_N, spots.radius_N, spots.strength_N, strict=True
    ):
        near = window(atlas, int(center), radius * 1.5)
        away = np.linalg.norm(atlas.points_T3[near] - atlas.points_T3[center], axis=1)
        bell = strength * smooth(radius * (1 + soft), radius * (1 - soft), away)
        values[near] = np.maximum(values[near], bell)
    return values


def window(atlas: SkinAtlas, center: int, radius: float) -> np.ndarray:
    """Covered texels in a square about one that holds a disk of a radius, by place."""
    reach = int(np.ceil(radius / TEXEL_CM)) + 1
    row, column = divmod(int(atlas.texel_T[center]), WIDTH)
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, HEIGHT))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, WIDTH))
    number = (rows[:, None] * WIDTH + columns).ravel()
    place = atlas.source_HW.ravel()[number]
    return np.asarray(place[atlas.texel_T[place] == number])


def _scar(rng: np.random.Generator, atlas: SkinAtlas, weight_T: np.ndarray) -> np.ndarray:
    """A pale line [T] of 1 to 2.5 cm."""
    center = draw_spots(rng, atlas, weight_T, 1, (0.5, 1.25), (0.6, 1.0))
    half, width = float(center.radius_N[0]), float(rng.uniform(0.05, 0.1))
    near = window(atlas, int(center.texel_N[0]), half)
    direction = rng.standard_normal(3)
    away = atlas.points_T3[near] - atlas.points_T3[center.texel_N[0]]
    direction /= np.linalg.norm(direction)
    # The line lies in the surface: what its direction has of the surface's normal falls away.
    spread = np.linalg.svd(away, full_matrices=False)[2][:2]
    direction = spread.T @ (spread @ direction)
    direction /= np.linalg.norm(direction)
    along = np.clip(away @ direction, -half, half)
    across = np.linalg.norm(away - along[:, None] * direction, axis=1)
    values = np.zeros(len(atlas.texel_T), np.float32)
    values[near] = float(center.strength_N[0]) * np.exp(-((across / width) ** 2))
    return values
