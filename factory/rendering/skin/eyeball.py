"""An eyeball: a sphere with a cornea, and an iris painted in rings and fibers.

The mesh is made about the line of sight, so that rings of vertices lie where colors change: at the
pupil's edge, the limbus, the collarette (Lefohn et al. 2003, "An ocularist's approach to human iris
synthesis", has the layers).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.skin.face_zones import smooth
from factory.rendering.skin.noise import noise
from factory.rendering.traits import EyeTraits, Person

SIDES = {"Right": slice(36, 42), "Left": slice(42, 48)}
"""The lids' landmarks by the subject's side."""
SEGMENTS = 72
BULGE_CM, BULGE_DEG = 0.085, 29.0
"""How far the cornea stands out of the sphere, and the angle at which it meets the sclera."""
LAST_DEG = 105.0
"""Of the mesh; what lies behind is never seen."""
SCLERA = np.array([0.66, 0.615, 0.575])
VEINS = np.array([0.52, 0.26, 0.22])
PUPIL = 0.004
SEED = 53


@dataclass(frozen=True)
class Eyeball:
    """Where an eyeball is: it does not move with an expression."""

    center_3: np.ndarray
    radius: float


@cache
def _round(model: HeadModel, side: str) -> np.ndarray:
    """Vertices of the mesh's sclera behind the cornea, which lie on a sphere."""
    vertices, _ = model.region(f"M_Sclera{side}")
    points, close = model.mean_V3[vertices], np.ones(len(vertices), bool)
    for _ in range(12):
        center, radius = sphere_through(points[close])
        close = np.abs(np.linalg.norm(points - center, axis=1) - radius) < 0.05
    return np.asarray(vertices[close])


def eyeball(model: HeadModel, head: Head, side: str) -> Eyeball:
    """The eyeball of the subject's `Left` or `Right` side."""
    center, radius = sphere_through(head.vertices_V3[_round(model, side)])
    return Eyeball(center, round(radius, 4))


def sphere_through(points_N3: np.ndarray) -> tuple[np.ndarray, float]:
    """Center [3] and radius of the sphere nearest to points, by least squares of |p|^2."""
    points = points_N3.astype(np.float64)
    rows = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    solution = np.linalg.lstsq(rows, (points**2).sum(1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))


def sight(gaze: tuple[float, float]) -> np.ndarray:
    """Turn [3, 3] of the eyes; its last column is where they look."""
    right, up = np.radians(gaze)
    across = [[np.cos(right), 0, np.sin(right)], [0, 1, 0], [-np.sin(right), 0, np.cos(right)]]
    lift = [[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]]
    return np.array(across) @ np.array(lift)


def rings(eyes: EyeTraits, radius: float) -> np.ndarray:
    """Angles [R] from the line of sight at which there are vertices, radians, rising."""
    pupil, iris = (np.arcsin(cm / radius) for cm in (eyes.pupil_radius, eyes.iris_radius))
    edges = [0.6 * pupil, 0.93 * pupil, 1.07 * pupil]
    fibers = pupil + (iris - pupil) * np.array([0.2, 0.34, 0.48, 0.62, 0.75, 0.86, 0.95])
    white = iris * np.array([1.05, 1.12, 1.25, 1.45, 1.7, 2.0, 2.4, 2.8, 3.2])
    return np.concatenate([edges, fibers, white, np.radians([LAST_DEG])])


@lru_cache(maxsize=16)
def eyeball_mesh(eyes: EyeTraits, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [N, 3] and normals about the origin that look along z, and triangles [G, 3]."""
    angle = rings(eyes, radius)
    theta = np.concatenate([[0.0], np.repeat(angle, SEGMENTS)])
    phi = np.concatenate([[0.0], np.tile(np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS, len(angle))])
    part = np.clip(theta / np.radians(BULGE_DEG), 0, 1)
    height = radius + BULGE_CM * (1 - part**2) ** 2
    slope = -4 * BULGE_CM * part * (1 - part**2) / np.radians(BULGE_DEG)
    outward = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1)
    along = np.stack([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)], 1)
    normals = outward - along * (slope / height)[:, None]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return outward * height[:, None], normals, _ring_faces(len(angle))


def _ring_faces(num_rings: int) -> np.ndarray:
    here = np.arange(SEGMENTS)
    beside = (here + 1) % SEGMENTS
    faces = [np.stack([0 * here, 1 + here, 1 + beside], 1)]
    for ring in range(num_rings - 1):
        a, b = 1 + ring * SEGMENTS, 1 + (ring + 1) * SEGMENTS
        faces.append(np.stack([a + here, b + here, b + beside], 1))
        faces.append(np.stack([a + here, b + beside, a + beside], 1))
    return np.concatenate(faces)


@lru_cache(maxsize=16)
def eye_colors(person: Person, side: str, radius: float) -> np.ndarray:
    """Linear RGB [N, 3] of the mesh's vertices; both irises of a person are nearly alike."""
    eyes, seed = person.eyes, [person.seed, SEED, len(side)]
    points, _, _ = eyeball_mesh(eyes, radius)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    away = radius * np.hypot(unit[:, 0], unit[:, 1])
    away = np.where(unit[:, 2] < 0, 2 * radius - away, away)
    around = (
        np.stack([unit[:, 0], unit[:, 1]], 1) / np.maximum(np.hypot(*unit[:, :2].T), 1e-9)[:, None]
    )
    iris = _iris(eyes, away, around, seed)
    sclera = _sclera(eyes, away, points, seed)
    color = np.where((away < eyes.iris_radius)[:, None], iris, sclera)
    return np.asarray(np.where((away < eyes.pupil_radius)[:, None], PUPIL, color).clip(0, 1))


def _iris(
    eyes: EyeTraits, away_N: np.ndarray, around_N2: np.ndarray, seed: list[int]
) -> np.ndarray:
    """Fibers from the pupil outward, another color within the collarette, a dark rim."""
    part = np.clip((away_N - eyes.pupil_radius) / (eyes.iris_radius - eyes.pupil_radius), 0, 1)
    on_ring = np.concatenate([around_N2, 0.15 * part[:, None]], 1)
    fibers = noise(on_ring, 5.0, [*seed, 0], octaves=2)
    edge = 0.34 + 0.07 * noise(on_ring * [1, 1, 0], 1.6, [*seed, 1])
    inner = smooth(0.12, -0.12, part - edge)[:, None]
    color = inner * np.array(eyes.inner_color) + (1 - inner) * np.array(eyes.iris_color)
    color = color * (1 + 0.22 * np.clip(fibers, -2, 2))[:, None]
    rim = smooth(0.72, 1.0, part) * (0.35 + 0.5 * eyes.limbal_ring)
    return np.asarray(color * (1 - rim - 0.25 * smooth(0.15, 0.0, part))[:, None])


def _sclera(
    eyes: EyeTraits, away_N: np.ndarray, points_N3: np.ndarray, seed: list[int]
) -> np.ndarray:
    """White, redder and veined toward the corners."""
    corner = smooth(eyes.iris_radius * 1.1, eyes.iris_radius * 2.4, away_N)
    veins = np.exp(-((noise(points_N3, 1.7, [*seed, 2], octaves=2) / 0.22) ** 2))
    red = corner * (0.16 + eyes.sclera_redness * (0.3 + 0.5 * veins))
    return np.asarray(SCLERA + np.clip(red, 0, 0.8)[:, None] * (VEINS - SCLERA))
