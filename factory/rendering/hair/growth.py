"""How strands grow: along a comb, under their weight, over the head and around the face.

Each step turns a strand's direction toward what the comb and gravity want, keeps it near the
height of its layer above the skin, and moves its point out of the head where it is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.rendering.head.head_surface import HeadSurface

CLEARANCE = 0.03
"""Least height of a grown point above the skin, centimeters."""


@dataclass(frozen=True)
class Strands:
    """What grows from N roots."""

    roots_N3: np.ndarray
    normals_N3: np.ndarray
    comb_N3: np.ndarray
    """Where the comb goes at the root, in the head's space; its length says how strongly."""
    lift_N: np.ndarray
    """How upright they leave the skin: 0 along the comb, 1 along the normal."""
    layer_N: np.ndarray
    """Height above the skin at which they lie, centimeters."""
    lengths_N: np.ndarray


@dataclass(frozen=True)
class Forces:
    """What acts on all strands alike."""

    gravity: float
    hold: float
    comb_cm: float
    stiffness_cm: float = 1.5
    """Along a strand, after which it has forgotten its direction."""
    tie_3: np.ndarray | None = None
    """Where hair is gathered; the comb goes there from everywhere."""


def grown(
    strands: Strands, forces: Forces, surface: HeadSurface, num_steps: int = 20
) -> np.ndarray:
    """Points [N, num_steps + 1, 3] from the root on, at equal distances along each strand."""
    at = strands.roots_N3.astype(np.float32)
    step = (strands.lengths_N / num_steps).astype(np.float32)[:, None]
    ahead = _started(strands)
    points = [at]
    memory = np.exp(-step / forces.stiffness_cm)
    layer = strands.layer_N.astype(np.float32)
    height, normal = surface.heights(at)
    for number in range(num_steps):
        wanted = _wanted(strands, forces, at, step * number)
        ahead = _unit(memory * ahead + (1 - memory) * wanted)
        target = np.minimum(layer, CLEARANCE + (number + 1) * step[:, 0] * 0.6)
        pull = np.clip((target - height) / np.maximum(step[:, 0], 0.3), -0.9, 0.9) * forces.hold
        pull *= np.clip((at[:, 1] + 6) / 5, 0, 1)  # below the jaw hair hangs free
        moved = at + step * _unit(ahead + pull[:, None] * normal)
        height, normal = surface.heights(moved)
        inside = np.maximum(CLEARANCE + 0.5 * np.minimum(target, 0.6) - height, 0)
        height = height + inside
        ahead = _unit(moved + inside[:, None] * normal - at)
        at = at + step * ahead
        points.append(at)
    return np.stack(points, 1)


def _started(strands: Strands) -> np.ndarray:
    normal = strands.normals_N3
    comb = strands.comb_N3
    flat = comb - (comb * normal).sum(1, keepdims=True) * normal
    lift = strands.lift_N[:, None]
    return _unit(lift * normal + (1 - lift) * _unit(flat) + 1e-4)


def _wanted(strands: Strands, forces: Forces, at: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The direction that comb, weight and the face's place ask for [N, 3], not normalized."""
    if forces.tie_3 is not None:
        return _unit(forces.tie_3 - at)
    wanted = strands.comb_N3 * np.exp(-((gone / forces.comb_cm) ** 2))
    wanted = wanted + np.array([0, -forces.gravity, 0], np.float32)
    before = np.clip((at[:, 2] - 1.5) / 3, 0, 1) * np.clip((8.5 - np.abs(at[:, 0])) / 2, 0, 1)
    before *= np.clip((10.0 - at[:, 1]) / 3, 0, 1) * (strands.lengths_N > 9)
    side = np.tanh(at[:, 0] / 1.5)
    wanted[:, 0] += 1.2 * before * side
    wanted[:, 2] -= 0.8 * before
    return wanted


def cut_before(
    points_NK3: np.ndarray, forbidden_NK: np.ndarray, least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Strands ended before their first forbidden point, with as many points, and which are kept.

    Strands that keep fewer than `least` segments are dropped: which [N] is False for them.
    """
    num = points_NK3.shape[1]
    last = np.where(forbidden_NK.any(1), forbidden_NK.argmax(1) - 1, num - 1)
    kept = last >= least
    return resampled(points_NK3[kept], num, last[kept]), kept


def resampled(points_NK3: np.ndarray, num: int, last_N: np.ndarray | None = None) -> np.ndarray:
    """`num` points at equal steps of the number from the first to `last_N` (or the last one)."""
    rows = np.arange(len(points_NK3))[:, None]
    last = np.full(len(rows), points_NK3.shape[1] - 1) if last_N is None else last_N
    place = np.linspace(0, 1, num)[None] * last[:, None]
    before = np.minimum(place.astype(int), points_NK3.shape[1] - 2)
    weight = (place - before)[..., None].astype(points_NK3.dtype)
    return np.asarray(
        points_NK3[rows, before] * (1 - weight) + points_NK3[rows, before + 1] * weight
    )


def _unit(vectors_N3: np.ndarray) -> np.ndarray:
    return np.asarray(vectors_N3 / (np.linalg.norm(vectors_N3, axis=-1, keepdims=True) + 1e-9))
