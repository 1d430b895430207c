"""Where hair grows: the scalp of ICT-FaceKit's mesh, its hairline and its regions.

Places are read off the mean head, so that a vertex belongs to the same part of everybody's scalp.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel, head_model
from factory.rendering.traits import HairTraits

HAIRLINE = np.array(
    [
        [0, 10.1], [14, 10.4], [26, 10.4], [36, 9.7], [44, 8.8], [50, 7.7], [55, 6.6], [59, 5.2],
        [62, 3.4], [65, 1.4], [71, 1.4], [75, 4.6], [82, 5.7], [94, 5.7], [104, 4.8], [111, 2.5],
        [117, -1.0], [124, -3.6], [140, -5.2], [160, -5.4], [180, -5.6],
    ]
)  # fmt: skip
"""Azimuth in degrees (0 forehead, 90 ear, 180 nape) and height in centimeters on the mean head."""
CROWN_3 = np.array([0.6, 13.4, -4.0])
"""The whorl, on the mean head; a little to one side."""
SKULL_RADIUS = 7.5
"""At the height of the temples, centimeters."""
SHADOW_CM = (-0.3, 0.8)
"""Inside the hairline, where skin begins to look dark by the roots in it and where it is dark."""
SOFT_CM = 1.0
"""Behind the hairline, where hair becomes as dense as elsewhere."""


def smooth(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, without a kink between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


@dataclass(frozen=True)
class Roots:
    """Where strands leave the skin."""

    points_N3: np.ndarray
    normals_N3: np.ndarray
    azimuth_N: np.ndarray
    """Degrees from the forehead, positive toward +x."""
    height_N: np.ndarray
    """Of the place on the mean head, centimeters."""
    mean_N3: np.ndarray
    """The place on the mean head."""
    margin_N: np.ndarray
    """Centimeters inside the hairline."""

    def __len__(self) -> int:
        return len(self.points_N3)

    def some(self, chosen: np.ndarray) -> Roots:
        """Those of a mask or of numbers."""
        return Roots(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@cache
def _mean_skin() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    model = head_model()
    vertices, faces = model.region("M_Face", "M_BackHead")
    return vertices, faces, model.mean_V3[vertices]


def ears(points_N3: np.ndarray) -> np.ndarray:
    """Which points of the mean head belong to an ear [N]."""
    x, y, z = np.abs(points_N3[:, 0]), points_N3[:, 1], points_N3[:, 2]
    return np.asarray((y > -3.2) & (y < 5.6) & (z > -3.2) & (z < 3.6) & (x > 7.1 + 0.13 * y))


def azimuths(points_N3: np.ndarray) -> np.ndarray:
    """Degrees around the vertical axis from the forehead toward +x [N]."""
    return np.asarray(np.degrees(np.arctan2(points_N3[:, 0], points_N3[:, 2])))


def hairline_heights(azimuth_N: np.ndarray, hair: HairTraits, seed: int) -> np.ndarray:
    """Height of a person's hairline at azimuths, centimeters on the mean head [N].

    `hairline` moves the forehead's line by 1.8 cm; `recession` lifts temples first, the middle
    later (Norwood 1975's stages); the line waves a little, with a widow's peak in some people.
    """
    rng = np.random.default_rng([seed, 301])
    azimuth_N = (azimuth_N + 180) % 360 - 180
    away = np.abs(azimuth_N)
    line = np.interp(away, HAIRLINE[:, 0], HAIRLINE[:, 1])
    front = np.clip((56 - away) / 20, 0, 1)
    temples = np.exp(-(((away - 34) / 15) ** 2))
    peak = max(0.0, float(rng.normal(0.1, 0.4))) * np.exp(-((away / 9) ** 2))
    line = line + front * (1.8 * (hair.hairline - 0.5) - peak)
    line = line + hair.recession * temples * 2.8 + front * 3.0 * max(0.0, hair.recession - 0.4)
    sideburn = (away > 58) & (away < 74)
    line = line + sideburn * float(rng.uniform(-1.2, 1.0))
    waves = np.radians(azimuth_N)[:, None] * np.array([5, 9, 17]) + rng.uniform(0, 6.28, 3)
    edge = smooth(away, 30, 50) * smooth(-away, -74, -60)
    return np.asarray(line + np.sin(waves).mean(1) * (0.12 + 0.2 * front + 0.4 * edge))


def margins(points_N3: np.ndarray, hair: HairTraits, seed: int) -> np.ndarray:
    """How far points of the mean head lie inside a person's hairline, centimeters [N]."""
    turn = azimuths(points_N3)
    above = points_N3[:, 1] - hairline_heights(turn, hair, seed)
    below, beyond = (hairline_heights(turn + side, hair, seed) for side in (-4, 4))
    slope = (beyond - below) / (np.radians(8) * SKULL_RADIUS)
    above = above / np.sqrt(1 + slope**2)  # the distance from a steep line, at the temples
    crown = np.linalg.norm(points_N3 - CROWN_3, axis=1) - 9.0 * max(0.0, hair.recession - 0.45)
    margin = np.minimum(above, crown) if hair.recession > 0.45 else above
    return np.where(ears(points_N3) | (points_N3[:, 1] < -7), -5.0, margin)


def hair_shadow(points_N3: np.ndarray, hair: HairTraits, seed: int) -> np.ndarray:
    """How far roots darken the skin at points of the mean head [N], 0 to 1."""
    return smooth(margins(points_N3, hair, seed), *SHADOW_CM)


def scalp_roots(
    head: Head, model: HeadModel, hair: HairTraits, seed: int, num: int, soft_cm: float = SOFT_CM
) -> Roots:
    """About `num` roots, uniform by area inside the hairline and sparser along it.

    The first roots of a larger number are those of a smaller one.
    """
    vertices, faces, mean = _mean_skin()
    margin_V = margins(mean, hair, seed)
    faces = faces[margin_V[faces].max(1) > 0]
    corners = head.vertices_V3[vertices][faces]
    rng = np.random.default_rng([seed, 302])
    which, weights = sample_triangles(corners, num, rng)
    chosen = faces[which]

    def at(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("nc,nc...->n...", weights, values[chosen]))

    place, margin = at(mean), at(margin_V)
    normals = at(head.normals_V3[vertices])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    roots = Roots(
        at(head.vertices_V3[vertices]), normals, azimuths(place), place[:, 1], place, margin
    )
    kept = np.clip(margin / soft_cm, 0, 1) ** 1.5 > rng.random(num)
    return roots.some(kept)


def sample_triangles(
    corners_F33: np.ndarray, num: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [N] chosen by their areas and uniform barycentric weights [N, 3] in them."""
    across = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
    area = np.linalg.norm(across, axis=1).cumsum()
    draws = rng.random((num, 3))
    which = np.searchsorted(area, draws[:, 0] * area[-1], side="right")
    root = np.sqrt(draws[:, 1])  # Turk 1990, uniform in a triangle
    weights = np.stack([1 - root, root * (1 - draws[:, 2]), root * draws[:, 2]], 1)
    return np.minimum(which, len(area) - 1), weights
