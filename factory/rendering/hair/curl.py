"""Locks and curls: strands drawn together toward their tips, and wound around their own course.

A curl is a helix whose radius grows from the root (Bertails et al. 2006 give measured ones).
"""

from __future__ import annotations

import numpy as np

PITCHES = np.array([[0, 9.0], [0.3, 6.5], [0.6, 2.8], [1, 1.1]])
"""Curl and centimeters of a turn along the strand."""
RADII = np.array([[0, 0], [0.3, 0.55], [0.6, 0.5], [1, 0.28]])
"""Curl and radius of a turn, centimeters."""
RISE_CM = 2.0
"""From the root, until a curl has its radius."""


def pitch_of(curl: float) -> float:
    """Centimeters of a turn along the strand."""
    return float(np.interp(curl, PITCHES[:, 0], PITCHES[:, 1]))


def radius_of(curl: float) -> float:
    """Radius of a turn, centimeters."""
    return float(np.interp(curl, RADII[:, 0], RADII[:, 1]))


def nearest(points_N3: np.ndarray, centers_G3: np.ndarray) -> np.ndarray:
    """The nearest center of each point [N]."""
    far = (centers_G3**2).sum(1) - 2 * points_N3.astype(np.float32) @ centers_G3.T.astype(
        np.float32
    )
    return np.asarray(far.argmin(1))


def clumped(
    points_NK3: np.ndarray, clump_N: np.ndarray, guides_G: np.ndarray, amount_N: np.ndarray
) -> np.ndarray:
    """Strands whose tips come near their guide's by `amount_N` in [0, 1]; roots stay."""
    along = np.linspace(0, 1, points_NK3.shape[1], dtype=np.float32)[None, :, None] ** 0.8
    toward = points_NK3[guides_G[clump_N]] - points_NK3
    return np.asarray(points_NK3 + along * amount_N[:, None, None] * toward)


def curled(
    points_NK3: np.ndarray, radius_N: np.ndarray, pitch_N: np.ndarray, phase_N: np.ndarray
) -> np.ndarray:
    """Strands wound as helices around their course; the root stays."""
    steps = np.diff(points_NK3, axis=1)
    length = np.linalg.norm(steps, axis=-1)
    gone = np.concatenate([np.zeros((len(length), 1)), length.cumsum(1)], 1)
    tangent = np.concatenate([steps, steps[:, -1:]], 1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
    aside = np.cross(tangent, np.array([0.31, 0.12, 0.94]))
    aside /= np.linalg.norm(aside, axis=-1, keepdims=True) + 1e-9
    other = np.cross(tangent, aside)
    turn = 2 * np.pi * gone / pitch_N[:, None] + phase_N[:, None]
    reach = (radius_N[:, None] * np.clip(gone / RISE_CM, 0, 1))[..., None]
    return np.asarray(
        points_NK3 + reach * (np.cos(turn)[..., None] * aside + np.sin(turn)[..., None] * other)
    )
