"""Outlines of the lenses of glasses in the plane of a lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LensShape:
    """A superellipse |x/a|^n + |y/b|^n = 1 (Lame), then leaned and lowered at its outer side."""

    half_width: float
    """Centimeters, on a face of average width."""
    half_height: float
    exponent: float = 2.0
    below: float = 1.0
    """Height of the lower half as a fraction of that of the upper half."""
    droop: float = 0.0
    """How far the lower half leans outward, centimeters at its lowest point."""
    lift: float = 0.0
    """How much the upper outer corner is raised, centimeters."""
    narrowing: float = 0.0
    """By which fraction the lower half is narrower than the upper one."""
    rimless: bool = False
    double_bridge: bool = False


SHAPES: dict[str, LensShape] = {
    "round": LensShape(2.4, 2.3),
    "square": LensShape(2.65, 2.05, 4.5, narrowing=0.06),
    "rectangle": LensShape(2.75, 1.55, 5.0, narrowing=0.05),
    "aviator": LensShape(
        2.85, 1.7, 3.0, below=1.65, droop=0.25, narrowing=0.22, double_bridge=True
    ),
    "cat_eye": LensShape(2.7, 1.65, 2.8, below=1.15, lift=0.55, narrowing=0.15),
    "rimless": LensShape(2.65, 1.5, 3.6, rimless=True),
}


def outline(shape: LensShape, inner: float, num: int = 48) -> np.ndarray:
    """Points [num, 2] about the pupil, x outward and y up, counterclockwise; centimeters.

    `inner` is the greatest half-width on the nose's side.
    """
    angle = 2 * np.pi * np.arange(num) / num
    x, y = _power(np.cos(angle), shape.exponent), _power(np.sin(angle), shape.exponent)
    low = np.clip(-y, 0, None)
    wide = np.where(x < 0, min(inner, shape.half_width), shape.half_width)
    high = np.where(y < 0, shape.half_height * shape.below, shape.half_height)
    right = x * wide * (1 - shape.narrowing * low) + shape.droop * low**2
    raised = shape.lift * np.clip(x, 0, None) ** 2 * np.clip(0.6 + y, 0, None) / 1.6
    return np.stack([right, y * high + raised], axis=1)


def _power(value_N: np.ndarray, exponent: float) -> np.ndarray:
    return np.asarray(np.sign(value_N) * np.abs(value_N) ** (2 / exponent))


def inside(points_N2: np.ndarray, outline_M2: np.ndarray) -> np.ndarray:
    """Whether points lie within an outline that is a star about (0, 0)."""
    around = np.arctan2(outline_M2[:, 1], outline_M2[:, 0])
    order = np.argsort(around)
    reach = np.interp(
        np.arctan2(points_N2[:, 1], points_N2[:, 0]),
        around[order],
        np.linalg.norm(outline_M2, axis=1)[order],
        period=2 * np.pi,
    )
    return np.asarray(np.linalg.norm(points_N2, axis=1) < reach)
