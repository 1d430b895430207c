"""Hair under a hat: pressed to the head where the hat is, free elsewhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Part, StrandsPart
from factory.rendering.view import Wear
from factory.rendering.wear.hats import (
    HAIR_CM,
    WRAPPED,
    cranium_hull,
    crown_center,
    hat_edge,
    wrap_center,
    wrap_hull,
)

PRESSED_CM = 0.5 * HAIR_CM
"""Above the taut hull of the head, safely below every hat."""
WRAPPED_CM = 0.05
"""The same under a headscarf, which lies closer."""
_GRID = (24, 48)
"""Rows of polar angles and columns of azimuths at which the hull's radius is looked up."""


def under_hat(parts: list[Part], model: HeadModel, head: Head, wear: Wear) -> list[Part]:
    """Parts with the hair of the head pressed below the hat of `wear`, if there is one.

    A headscarf hides all hair: strands that would show in its opening are left out.
    """
    if wear.hat is None:
        return parts
    hair = [isinstance(part, StrandsPart) and part.label == Label.HAIR for part in parts]
    press = _Press(model, head, wear) if any(hair) else None
    return [press.strands(part) if press and isinstance(part, StrandsPart) and is_hair else part
            for part, is_hair in zip(parts, hair, strict=True)]  # fmt: skip


class _Press:
    def __init__(self, model: HeadModel, head: Head, wear: Wear) -> None:
        self._wrapped, self._hide = wear.hat in WRAPPED, wear.hat == "headscarf"
        self._center = wrap_center(head) if self._wrapped else crown_center(head)
        self._angles, self._limits = hat_edge(model, head, wear)
        hull = wrap_hull(model, head) if self._wrapped else cranium_hull(model, head)
        ways = _grid_ways()
        reach = hull.reach(np.tile(self._center, (len(ways), 1)), ways).reshape(_GRID)
        self._radius_RC = reach + (WRAPPED_CM if self._wrapped else PRESSED_CM)
        self._band_rad = np.radians(32) if wear.hat == "headband" else np.pi

    def strands(self, part: StrandsPart) -> StrandsPart:
        """Strands with the points under the hat moved toward the head's middle."""
        from_center = part.points_SK3 - self._center
        distance = np.linalg.norm(from_center, axis=-1)
        x, y, z = np.moveaxis(from_center / np.maximum(distance, 1e-6)[..., None], -1, 0)
        polar, azimuth = np.arccos(np.clip(y, -1, 1)), np.arctan2(x, z)
        covered = self._covered(x, y, z, azimuth)
        limit = self._radius(polar, azimuth)
        shrink = np.where(covered & (distance > limit), limit / np.maximum(distance, 1e-6), 1.0)
        points = self._center + from_center * shrink[..., None]
        kept = covered.all(1) if self._hide else np.ones(len(points), bool)
        return replace(part, points_SK3=points[kept].astype(np.float32), fixed=False)

    def _radius(self, polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        """The greatest distance from the middle that hair may have, bilinear in the grid."""
        down = np.clip(polar / np.pi * (_GRID[0] - 1), 0, _GRID[0] - 1.001)
        around = (azimuth / (2 * np.pi) + 0.5) * _GRID[1]
        row, column = down.astype(int), np.floor(around).astype(int)
        v, u = down - row, around - column
        left, right = column % _GRID[1], (column + 1) % _GRID[1]
        table = self._radius_RC
        upper = table[row, left] * (1 - u) + table[row, right] * u
        lower = table[row + 1, left] * (1 - u) + table[row + 1, right] * u
        return np.asarray(upper * (1 - v) + lower * v)

    def _covered(
        self, x: np.ndarray, y: np.ndarray, z: np.ndarray, azimuth: np.ndarray
    ) -> np.ndarray:
        """Whether directions lie under the hat."""
        if self._wrapped:
            polar, turn = np.arccos(np.clip(z, -1, 1)), np.arctan2(x, y)
            edge = np.interp(turn, self._angles, self._limits, period=2 * np.pi)
            return np.asarray(polar > edge)
        above = np.arcsin(np.clip(y, -1, 1))
        edge = np.interp(azimuth, self._angles, self._limits, period=2 * np.pi)
        return np.asarray((above > edge) & (above < edge + self._band_rad))


@cache
def _grid_ways() -> np.ndarray:
    """Unit vectors [R * C, 3] at the grid's points, from straight up to straight down."""
    polar = np.pi * np.arange(_GRID[0]) / (_GRID[0] - 1)
    azimuth = 2 * np.pi * (np.arange(_GRID[1]) / _GRID[1] - 0.5)
    flat, height = np.sin(polar)[:, None], np.cos(polar)[:, None]
    ways = [flat * np.sin(azimuth), np.broadcast_to(height, _GRID), flat * np.cos(azimuth)]
    return np.stack(ways, -1).reshape(-1, 3)
