"""Yaw and pitch of a head from its five points, estimates for comparing: the nose lies before the
plane of eyes and mouth, so it moves aside and up or down with the head."""

from __future__ import annotations

from typing import Any

import numpy as np

BIN_DEG = 10.0
"""Side of a bin of poses."""
TEMPLATE_OFFSET = -0.00504
"""Where the template's nose lies between its eyes and mouth, from their middle."""


def yaw_degrees(landmarks_52: np.ndarray) -> float:
    """Yaw in degrees, positive to the right in the image: the nose's offset from the middle of eyes
    and mouth, taken as the sine of the yaw at a nose depth of the half eye distance."""
    left, right, nose, mouth_left, mouth_right = landmarks_52
    across = ((right - left) + (mouth_right - mouth_left)) / 2
    offset = float((nose - _middle(landmarks_52)) @ across / (across @ across + 1e-9))
    return float(np.degrees(np.arctan(2 * offset)))


def pitch_degrees(landmarks_52: np.ndarray) -> float:
    """Pitch in degrees, positive upward, likewise from the nose's place between eyes and mouth; 0
    in the ArcFace template."""
    left, right, nose, mouth_left, mouth_right = landmarks_52
    down = (mouth_left + mouth_right - left - right) / 2
    offset = float((nose - _middle(landmarks_52)) @ down / (down @ down + 1e-9))
    return float(np.degrees(np.arctan(-2 * (offset - TEMPLATE_OFFSET))))


def draw_pose(bins: list[Any], rng: np.random.Generator) -> tuple[float, float]:
    """(yaw, pitch) in degrees as often as in the source: a bin, then anywhere in it."""
    shares = np.array([share for _, _, share in bins])
    yaw, pitch, _ = bins[int(rng.choice(len(bins), p=shares / shares.sum()))]
    aside = (rng.random(2) - 0.5) * BIN_DEG
    return round(float(yaw + aside[0]), 3), round(float(pitch + aside[1]), 3)


def learned_range(bins: list[Any], axis: int) -> tuple[float, float]:
    """Least and most yaw (axis 0) or pitch (1) in the bins, degrees."""
    middles = [bin_[axis] for bin_ in bins]
    return min(middles) - BIN_DEG / 2, max(middles) + BIN_DEG / 2


def _middle(landmarks_52: np.ndarray) -> np.ndarray:
    left, right, _, mouth_left, mouth_right = landmarks_52
    return np.asarray((left + right + mouth_left + mouth_right) / 4)
