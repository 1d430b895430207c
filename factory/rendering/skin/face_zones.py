"""Zones of a face on the mean head: where blood, fat, lips, beard and hair are.

The forehead is yellower, the middle of the face redder and the jaw bluer (Gurney 2010, "Color and
Light"; Donner and Jensen measured alike); all centers are placed by iBUG's 68 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from factory.rendering.head.head import HeadModel
from factory.rendering.skin.skin_atlas import skin_atlas

REACH = 3.0
"""Radii from a bell's middle at which it has fallen to nothing."""
MIRROR = np.array([-1, 1, 1])


@dataclass(frozen=True)
class Zones:
    """Weights [T] in [0, 1] of the texels of an atlas; all but `lips` fade softly."""

    redness: np.ndarray
    """Cheeks, nose, ears and chin."""
    forehead: np.ndarray
    jaw: np.ndarray
    sockets: np.ndarray
    """Thin skin around the eyes."""
    lids: np.ndarray
    """The upper lids, up to their creases."""
    crease: np.ndarray
    """The creases of the upper lids."""
    waterline: np.ndarray
    """The rims of the lids, and the inner corner."""
    lips: np.ndarray
    lip_depth: np.ndarray
    """Centimeters inside the lips' border; negative outside. Large negative far away."""
    mouth_line: np.ndarray
    """Where the lips meet."""
    oil: np.ndarray
    """The T-zone: forehead, nose, chin."""
    beard: np.ndarray
    """Where a beard grows."""
    freckles: np.ndarray
    neck: np.ndarray


def smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """A step from 0 at `low` to 1 at `high`, with flat ends; falling if low > high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def near(points_N3: np.ndarray, centers_K3: np.ndarray, radius: float) -> np.ndarray:
    """A bell [N] of a radius about the nearest of some centers."""
    centers = np.atleast_2d(centers_K3).astype(np.float32)
    low, high = centers.min(0) - REACH * radius, centers.max(0) + REACH * radius
    x, y, z = points_N3.T
    close = np.flatnonzero(
        (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]) & (z > low[2]) & (z < high[2])
    )
    square = np.full(len(close), np.inf, np.float32)
    for center in centers:
        np.minimum(square, ((points_N3[close] - center) ** 2).sum(1), out=square)
    bell = np.zeros(len(points_N3), np.float32)
    bell[close] = np.exp(-square / radius**2)
    return bell


def curve(points_K3: np.ndarray, steps: int = 12, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom spline through points, `steps` pieces between two of them."""
    k = len(points_K3)
    padded = np.concatenate(
        [points_K3[-1:], points_K3, points_K3[:2]]
        if closed
        else [2 * points_K3[:1] - points_K3[1:2], points_K3, 2 * points_K3[-1:] - points_K3[-2:-1]]
    )
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for i in range(k if closed else k - 1):
        a, b, c, d = padded[i : i + 4]
        pieces.append(
            b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        )
    return np.concatenate([*pieces, points_K3[:1] if closed else points_K3[-1:]])


def distance_to(points_N2: np.ndarray, line_K2: np.ndarray) -> np.ndarray:
    """Distance [N] to the pieces of a line in the plane or in space."""
    best = np.full(len(points_N2), np.inf)
    for a, b in pairwise(line_K2):
        along = b - a
        t = np.clip((points_N2 - a) @ along / max(float(along @ along), 1e-12), 0, 1)
        np.minimum(best, ((points_N2 - a - t[:, None] * along) ** 2).sum(1), out=best)
    return np.asarray(np.sqrt(best))


def inside(points_N2: np.ndarray, ring_K2: np.ndarray) -> np.ndarray:
    """Which points [N] a closed line of the plane surrounds."""
    x, y = points_N2[:, :1], points_N2[:, 1:]
    a, b = ring_K2[:-1], ring_K2[1:]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(b[:, 1] == a[:, 1], 1e-12, b[:, 1] - a[:, 1])
    left = x < a[:, 0] + (y - a[:, 1]) / rise * (b[:, 0] - a[:, 0])
    return np.asarray((crosses & left).sum(1) % 2 == 1)


@cache
def face_zones(model: HeadModel) -> Zones:
    """The zones of a model's atlas, made once."""
    atlas = skin_atlas(model)
    p, lm = atlas.points_T3, atlas.landmarks_68x3
    x, y, z = p.T
    middle = lm[36:48].mean(0)
    cheeks = _both((lm[14] + lm[35]) / 2 + np.array([0.2, 0.9, 1.5]))
    nose = np.concatenate([lm[30:31], lm[[31, 35]], (lm[29:30] + lm[30:31]) / 2])
    ears = smooth(7.4, 8.2, np.abs(x)) * smooth(-3.0, -1.0, y) * smooth(6.5, 5.5, y)
    ears = ears * smooth(-4.5, -3.0, z) * smooth(4.0, 3.0, z)
    depth = _lip_depth(p, lm)
    brow = lm[17:27].mean(0)
    forehead = smooth(brow[1] + 0.3, brow[1] + 1.8, y) * smooth(4.0, 7.0, z)
    t_zone = near(p, np.array([lm[27], lm[28], lm[29], lm[30]]), 1.1)
    front = np.linspace(-2.5, 2.5, 5)[:, None] * [1, 0, 0] + brow + np.array([0, 2.2, 0.6])
    t_zone = np.maximum(t_zone, near(p, front, 2.0))
    return Zones(
        redness=np.clip(
            0.85 * near(p, cheeks, 2.3) + 0.9 * near(p, nose, 0.95) + 0.75 * ears
            + 0.45 * near(p, lm[8:9] + np.array([0, 0.7, 0.6]), 1.3), 0, 1,
        ),
        forehead=forehead,
        jaw=smooth(lm[33][1] - 0.4, lm[33][1] - 2.2, y) * smooth(-11.0, -9.0, y),
        sockets=_sockets(p, lm),
        lids=_lids(p, lm),
        crease=_crease(p, lm),
        waterline=_waterline(p, lm),
        lips=smooth(-0.05, 0.08, depth),
        lip_depth=depth,
        mouth_line=_mouth_line(p, lm),
        oil=np.maximum(t_zone, 0.6 * near(p, lm[8:9] + np.array([0, 0.8, 0.6]), 1.2)),
        beard=_beard(p, lm, depth),
        freckles=np.maximum(near(p, cheeks, 2.8), near(p, nose + np.array([0, 0.6, 0]), 1.5))
        + 0.25 * forehead * smooth(middle[1] + 6.5, middle[1] + 4.0, y),
        neck=smooth(-8.0, -9.5, y),
    )  # fmt: skip


def _both(center: np.ndarray) -> np.ndarray:
    return np.stack([center, center * MIRROR])


def _sockets(p: np.ndarray, lm: np.ndarray) -> np.ndarray:
    inner = near(p, lm[[39, 42]] + np.array([0, -0.3, 0.1]), 0.75)
    below = np.concatenate(
        [curve(lm[36:40] * 0 + lm[[36, 41, 40, 39]]), curve(lm[[42, 47, 46, 45]])]
    )
    above = np.concatenate([curve(lm[36:40]), curve(lm[42:46])])
    under = near(p, below + np.array([0, -0.35, 0.1]), 0.62)
    return np.asarray(np.clip(0.7 * inner + 0.8 * under + 0.45 * near(p, above, 0.7), 0, 1))


def _lids(p: np.ndarray, lm: np.ndarray) -> np.ndarray:
    above = np.concatenate([curve(lm[36:40]), curve(lm[42:46])])
    return near(p, above + np.array([0, 0.22, 0]), 0.36)


def _crease(p: np.ndarray, lm: np.ndarray) -> np.ndarray:
    """A line .42 cm above the upper lid's rim, as in three of four people."""
    found = np.zeros(len(p))
    for rim in (lm[36:40], lm[[45, 44, 43, 42]]):
        line = curve(rim)[:, :2] + np.stack(
            [0 * np.linspace(0, 1, 37), 0.42 * np.sin(np.linspace(0.25, 2.9, 37)) ** 0.7], -1
        )
        close = np.flatnonzero((np.abs(p[:, 1] - rim[:, 1].mean()) < 1.5) & (p[:, 2] > 7.5))
        bell = np.exp(-((distance_to(p[close, :2], line) / 0.085) ** 2))
        found[close] = np.maximum(found[close], bell)
    return found


def _waterline(p: np.ndarray, lm: np.ndarray) -> np.ndarray:
    rims = np.concatenate([curve(lm[36:42], closed=True), curve(lm[42:48], closed=True)])
    return np.asarray(np.maximum(near(p, rims, 0.10), near(p, lm[[39, 42]], 0.20)))


def _lip_depth(p: np.ndarray, lm: np.ndarray) -> np.ndarray:
    depth = np.full(len(p), -9.0)
    ring = curve(lm[48:60, :2], closed=True)
    low, high = ring.min(0) - 0.8, ring.max(0) + 0.8
    close = (p[:, :2] > low).all(1) & (p[:, :2] < high).all(1) & (p[:, 2] > 7.0)
    at = p[close, :2]
    depth[close] = np.where(inside(at, ring), 1, -1) * distance_to(at, ring)
    return depth


def _mouth_line(p: np.ndarray, lm: np.ndarray) -> np.ndarray:
    line = curve((lm[[60, 61, 62, 63, 64]] + lm[[60, 67, 66, 65, 64]]) / 2)
    return near(p, line, 0.13)


def _beard(p: np.ndarray, lm: np.ndarray, lip_depth: np.ndarray) -> np.ndarray:
    """Moustache, chin, jaw and cheeks below a line from the ear to the corner of the mouth."""
    x, y, z = p.T
    # Height of the beard's upper edge by |x|: the moustache, the cheek, the sideburn.
    edge = np.interp(
        np.abs(x), [0, 1.6, 2.6, 3.6, 5.5, 6.8, 7.4], [-1.35, -1.5, -2.3, -2.7, -1.2, 1.8, 4.2]
    )
    edge = np.where((np.abs(x) > 5.5) & (z < 3.2), -9, edge)
    below = smooth(0.25, -0.55, y - edge)
    bottom = smooth(-10.5, -8.3, y)
    lips = smooth(0.02, -0.22, lip_depth)
    sides = smooth(1.0, 3.0, z) * smooth(7.9, 7.3, np.abs(x))
    spared = 1 - 0.5 * near(p, lm[[48, 54]] + np.array([0, -1.0, 0]), 0.6)
    return np.asarray(below * bottom * lips * sides * spared)
