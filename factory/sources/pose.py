"""Yaw and pitch of a head, estimated from its five points.

The nose lies before the plane of eyes and mouth, so it moves aside and up or down with the head.
The estimates serve for comparing; they are no measurements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BIN_DEG = 10.0
"""Side of a bin of poses."""
TEMPLATE_OFFSET = -0.00504
"""Offset of the template's nose from the middle of its eyes and mouth, in their distance."""


def yaw_degrees(landmarks_52: np.ndarray) -> float:
    """Yaw in degrees, positive to the right in the image.

    The nose's offset from the middle of eyes and mouth is taken as the tangent of the yaw, at a
    nose depth of half the eye distance.
    """
    left, right, nose, mouth_left, mouth_right = landmarks_52
    across = ((right - left) + (mouth_right - mouth_left)) / 2
    offset = float((nose - _middle(landmarks_52)) @ across / (across @ across + 1e-9))
    return float(np.degrees(np.arctan(2 * offset)))


def pitch_degrees(landmarks_52: np.ndarray) -> float:
    """Pitch in degrees, positive upward, from where the nose lies between eyes and mouth.

    It is 0 in the ArcFace template.
    """
    left, right, nose, mouth_left, mouth_right = landmarks_52
    down = (mouth_left + mouth_right - left - right) / 2
    offset = float((nose - _middle(landmarks_52)) @ down / (down @ down + 1e-9))
    return float(np.degrees(np.arctan(-2 * (offset - TEMPLATE_OFFSET))))


def draw_pose(bins: list[Any], rng: np.random.Generator) -> tuple[float, float]:
    """Draw (yaw, pitch) in degrees as often as in the source: a bin, then uniformly within it."""
    fractions = np.array([fraction for _, _, fraction in bins])
    yaw, pitch, _ = bins[int(rng.choice(len(bins), p=fractions / fractions.sum()))]
    aside = (rng.random(2) - 0.5) * BIN_DEG
    return round(float(yaw + aside[0]), 3), round(float(pitch + aside[1]), 3)


def learned_range(bins: list[Any], axis: int) -> tuple[float, float]:
    """Smallest and largest yaw (axis 0) or pitch (1) in the bins, degrees."""
    middles = [bin_[axis] for bin_ in bins]
    return min(middles) - BIN_DEG / 2, max(middles) + BIN_DEG / 2


def _middle(landmarks_52: np.ndarray) -> np.ndarray:
    left, right, _, mouth_left, mouth_right = landmarks_52
    return np.asarray((left + right + mouth_left + mouth_right) / 4)
