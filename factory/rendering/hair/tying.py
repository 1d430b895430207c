"""Hair that is gathered: where, the tail that falls from there, the bun that is wound around it."""

from __future__ import annotations

import numpy as np

from factory.rendering.hair.growth import Forces, Strands, grown, resampled
from factory.rendering.head.head import Head
from factory.rendering.head.head_surface import HeadSurface

TIES = {"ponytail": (0.0, 4.5, -18.6), "bun": (0.0, 8.0, -17.0)}
"""From the middle of the eyes, centimeters, near the scalp of a head of mean size."""
TIE_HEIGHT = 0.6
"""Centimeters: deeper in a long head no strand would reach it."""
REACHED = 1.3
"""Centimeters from the tie, where a strand is in it."""
BUN_RADIUS = 2.6
NUM_TAIL = 1200


def tie_of(neutral: Head, tied: str, surface: HeadSurface) -> np.ndarray:
    """The point where hair is gathered, TIE_HEIGHT above the scalp of this head."""
    at_13 = np.asarray(neutral.middle_3 + np.array(TIES[tied]), np.float32)[None]
    height_1, normal_13 = surface.heights(at_13)
    return np.asarray((at_13 + (TIE_HEIGHT - height_1)[:, None] * normal_13)[0], np.float32)


def gathered(
    points_NK3: np.ndarray, tie_3: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Strands that end in the tie, as many points each, and which reached it [N]."""
    near = np.linalg.norm(points_NK3 - tie_3, axis=-1) < REACHED
    reached = near.any(1) & (near.argmax(1) >= 3)
    points = resampled(points_NK3[reached], points_NK3.shape[1], near.argmax(1)[reached])
    points[:, -1] = tie_3 + 0.25 * rng.standard_normal((len(points), 3))
    return points, reached


def tail(
    tie_3: np.ndarray,
    length: float,
    surface: HeadSurface,
    num_points: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Strands that rise out of a tie and fall behind the neck [NUM_TAIL, num_points, 3]."""
    spread = rng.standard_normal((NUM_TAIL, 3)).astype(np.float32)
    roots = tie_3 + 0.5 * spread
    backward = np.array([0, 0.25, -1], np.float32) + 0.25 * spread
    normals = backward / np.linalg.norm(backward, axis=1, keepdims=True)
    layer = rng.uniform(0.3, 2.5, NUM_TAIL)
    strands = Strands(roots, normals, normals, np.ones(NUM_TAIL), layer,
                      length * rng.uniform(0.7, 1.1, NUM_TAIL))  # fmt: skip
    points = grown(strands, Forces(gravity=1.0, hold=0.0, comb_cm=2.0), surface)
    return resampled(points, num_points)


def bun(tie_3: np.ndarray, num_points: int, rng: np.random.Generator) -> np.ndarray:
    """Strands wound around a ball at the tie [NUM_TAIL, num_points, 3]."""
    poles = rng.standard_normal((NUM_TAIL, 3)) * 0.45 + [0, 0.6, -1]
    poles /= np.linalg.norm(poles, axis=1, keepdims=True)
    first = np.cross(poles, [0.2, 1, 0.3])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(poles, first)
    turn = rng.uniform(0, 2 * np.pi, (NUM_TAIL, 1)) + np.linspace(0, 4.5, num_points)
    tilt = rng.uniform(-0.9, 0.9, (NUM_TAIL, 1, 1))
    ring = np.cos(turn)[..., None] * first[:, None] + np.sin(turn)[..., None] * second[:, None]
    unit = np.sqrt(1 - tilt**2) * ring + tilt * poles[:, None]
    size = BUN_RADIUS * rng.uniform(0.85, 1.05, (NUM_TAIL, 1, 1))
    middle = tie_3 + np.array([0, 0.3, -1.2])
    return np.asarray((middle + size * unit).astype(np.float32))
