"""Taut cloth around a part of the head: its convex hull, by support planes.

The support function h(n) = max n.v over the vertices v bounds the convex hull by the planes
n.x = h(n) (Rockafellar 1970, "Convex analysis", section 13). A few hundred planes give a body that
contains every vertex, so what is worn on it never cuts the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

NUM_PLANES = 500
"""Planes stand 10 degrees apart; on a head's radius of 9 cm they overshoot by less than .1 cm."""
GOLDEN_ANGLE = float(np.pi * (3 - np.sqrt(5)))
_FAR = 1e3
"""Centimeters; what a ray that leaves through no plane is taken to travel."""


@cache
def plane_normals(num: int = NUM_PLANES) -> np.ndarray:
    """Unit vectors [num, 3] spread evenly over the sphere by the golden angle."""
    height = 1 - (2 * np.arange(num) + 1) / num
    turn, ring = GOLDEN_ANGLE * np.arange(num), np.sqrt(1 - height**2)
    return np.stack([ring * np.sin(turn), height, ring * np.cos(turn)], 1).astype(np.float32)


@dataclass(frozen=True)
class TautHull:
    """A convex body: all x with normals_N3 @ x <= heights_N."""

    normals_N3: np.ndarray
    heights_N: np.ndarray

    def depth(self, points_P3: np.ndarray) -> np.ndarray:
        """Centimeters [P] that points lie within the nearest plane; negative outside."""
        across = points_P3.astype(np.float32) @ self.normals_N3.T
        return np.asarray((self.heights_N - across).min(-1))

    def reach(self, origins_P3: np.ndarray, directions_P3: np.ndarray) -> np.ndarray:
        """How far [P] rays travel from within the body until they leave it."""
        speed = directions_P3.astype(np.float32) @ self.normals_N3.T
        room = self.heights_N - origins_P3.astype(np.float32) @ self.normals_N3.T
        far = np.full_like(speed, _FAR)
        return np.asarray(np.divide(room, speed, out=far, where=speed > 1e-6).min(-1))

    def front(self, x_P: np.ndarray, y_P: np.ndarray) -> np.ndarray:
        """The largest z [P] of the body at (x, y)."""
        flat = np.stack([x_P, y_P, np.zeros_like(x_P)], 1)
        return self.reach(flat, np.tile([0, 0, 1], (len(flat), 1)))

    def around(
        self, azimuth: np.ndarray, y_RC: np.ndarray, above: np.ndarray, axis_z: float = 1.5
    ) -> np.ndarray:
        """Points [R, C, 3] at heights and some centimeters outside, seen from a vertical axis.

        Azimuth 0 looks forward, pi / 2 to +x.
        """
        turn = np.broadcast_to(azimuth, y_RC.shape)
        ways = np.stack([np.sin(turn), np.zeros_like(turn), np.cos(turn)], -1)
        origins = np.stack([np.zeros_like(y_RC), y_RC, np.full_like(y_RC, axis_z)], -1)
        reach = self.reach(origins.reshape(-1, 3), ways.reshape(-1, 3)).reshape(y_RC.shape)
        return np.asarray(origins + ways * (np.maximum(reach, 1.0) + above)[..., None])


def taut_hull(points_V3: np.ndarray) -> TautHull:
    """The body that support planes of 500 directions cut out around points."""
    normals = plane_normals()
    return TautHull(normals, (points_V3.astype(np.float32) @ normals.T).max(0))
