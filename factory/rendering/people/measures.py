"""Measures of a face, and the shape that has some of them otherwise.

A measure is a difference of mean landmark positions along an axis, so it is linear in the shape's
coefficients, m = m0 + A c. ICT-FaceKit's components carry no names; but as coefficients are
standard normal, the likeliest ones for measures that differ by t, known to a tolerance s, are the
ridge solution c = A' (A A' + s^2)^-1 t (the conditional mean of a Gaussian).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from factory.rendering.head.head import HeadModel, head_model

X, Y, Z = 0, 1, 2
MEASURES: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    "face_width": (X, (15, 16), (0, 1)),
    "jaw_width": (X, (12,), (4,)),
    "chin_width": (X, (10,), (6,)),
    "chin_height": (Y, (57,), (8,)),
    "chin_depth": (Z, (8,), (57,)),
    "cheek_depth": (Z, (2, 3, 13, 14), (30,)),
    "nose_length": (Y, (27,), (33,)),
    "nose_width": (X, (35,), (31,)),
    "nose_bridge": (Z, (27, 28), (39, 42)),
    "nose_depth": (Z, (30,), (31, 35)),
    "nose_lift": (Y, (30,), (33,)),
    "philtrum": (Y, (33,), (51,)),
    "lip_height": (Y, (51,), (57,)),
    "lip_depth": (Z, (51, 57), (33,)),
    "mouth_width": (X, (54,), (48,)),
    "brow_height": (Y, (18, 19, 20, 23, 24, 25), (37, 38, 43, 44)),
    "brow_depth": (Z, (19, 20, 21, 22, 23, 24), (37, 38, 43, 44)),
    "eye_opening": (Y, (37, 38, 43, 44), (40, 41, 46, 47)),
    "eye_width": (X, (39, 45), (36, 42)),
    "eye_slant": (Y, (36, 45), (39, 42)),
    "eye_distance": (X, (42,), (39,)),
}
"""Axis, and the iBUG points whose mean is taken from that of the others; centimeters."""
TOLERANCE_CM = 0.05
"""About the width of an eyelid's rim: nobody sees half a millimeter."""


def measured(landmarks_68x3: np.ndarray) -> dict[str, float]:
    """All measures of a face, or of displacements of its landmarks."""
    return {
        name: float(
            landmarks_68x3[list(plus), axis].mean() - landmarks_68x3[list(minus), axis].mean()
        )
        for name, (axis, plus, minus) in MEASURES.items()
    }


def shape_of(differences: dict[str, float]) -> np.ndarray:
    """Likeliest coefficients [100] of a face whose measures differ from the mean face's.

    Measures that are not named stay as they are. Unknown names are KeyErrors.
    """
    unknown = set(differences) - set(MEASURES)
    if unknown:
        raise KeyError(min(unknown))
    wanted = np.array([differences.get(name, 0.0) for name in MEASURES])
    return np.asarray(_solution() @ wanted)


def effects(model: HeadModel) -> np.ndarray:
    """By how much each component changes each measure [measures, 100], centimeters a deviation."""
    moved = model.identity_KV3[:, model.landmarks_68].astype(float)
    return np.array([list(measured(points).values()) for points in moved]).T


@cache
def _solution() -> np.ndarray:
    change = effects(head_model())
    spread = change @ change.T + TOLERANCE_CM**2 * np.eye(len(change))
    return np.asarray(change.T @ np.linalg.inv(spread))
