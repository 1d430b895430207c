"""How far points are from a head: its radius around an axis, as a table.

Below the middle of the skull a point's place is its height and its azimuth, above it the azimuth
and the elevation; what the head looks like from there is one radius for each place. A lookup is
thirty times faster than the nearest vertex; hollows (behind the ears) are filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROWS, COLUMNS = 120, 128
LOWEST = -2.5
"""Of the table's rows, in radians of elevation; below the middle one is SCALE centimeters."""
SCALE = 9.0
BARYCENTRIC = np.array([[a, b, 3 - a - b] for a in range(4) for b in range(4 - a)], np.float32) / 3
"""Ten points of a triangle, closer to each other than a cell is wide."""


@dataclass(frozen=True)
class HeadSurface:
    """The outside of a head around a vertical axis through `middle_3`."""

    middle_3: np.ndarray
    table_RC4: np.ndarray
    """Radius and unit normal of each place, float32."""

    def heights(self, points_N3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centimeters above the surface [N] (negative: inside) and unit normals there [N, 3]."""
        row, column, away_N3, distance = _cells(points_N3, self.middle_3)
        radius, normals = self._lookup(row, column)
        normals /= np.sqrt((normals**2).sum(1, keepdims=True))
        across = np.maximum((away_N3 * normals).sum(1), 0.3)
        return (distance - radius) * across, normals

    def _lookup(self, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Radius [N] and normal [N, 3], interpolated between four places."""
        top = np.clip(row.astype(np.int32), 0, ROWS - 2)
        left = np.floor(column).astype(np.int32)
        down = np.clip(row - top, 0, 1)[:, None].astype(np.float32)
        right = (column - left)[:, None].astype(np.float32)
        flat = self.table_RC4.reshape(-1, 4)
        here, beside = top * COLUMNS + left % COLUMNS, top * COLUMNS + (left + 1) % COLUMNS
        upper = flat[here] * (1 - right) + flat[beside] * right
        lower = flat[here + COLUMNS] * (1 - right) + flat[beside + COLUMNS] * right
        found = upper * (1 - down) + lower * down
        return found[:, 0], found[:, 1:]


def _cells(
    points_N3: np.ndarray, middle_3: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    away = (points_N3 - middle_3).astype(np.float32)
    flat = np.sqrt(away[:, 0] ** 2 + away[:, 2] ** 2)
    above = away[:, 1] > 0
    elevation = np.where(above, np.arctan2(away[:, 1], flat), away[:, 1] / SCALE)
    away[~above, 1] = 0
    distance = np.sqrt((away**2).sum(1))
    row = (elevation - LOWEST) / (np.pi / 2 - LOWEST) * (ROWS - 1)
    column = np.arctan2(away[:, 0], away[:, 2]) / (2 * np.pi) * COLUMNS
    return row, column, away / np.maximum(distance, 1e-6)[:, None], distance


def head_surface(
    vertices_V3: np.ndarray, faces_F3: np.ndarray, middle_3: np.ndarray
) -> HeadSurface:
    """The surface of triangles: in each cell the outermost of ten points of each of them."""
    points = np.einsum("bc,fcx->fbx", BARYCENTRIC, vertices_V3[faces_F3]).reshape(-1, 3)
    row, column, _, distance = _cells(points, middle_3)
    cell = np.clip(row.round(), 0, ROWS - 1).astype(int) * COLUMNS
    cell += column.round().astype(int) % COLUMNS
    radius = np.zeros(ROWS * COLUMNS, np.float32)
    np.maximum.at(radius, cell, distance)
    filled = _smoothed(_filled(radius.reshape(ROWS, COLUMNS)))
    return HeadSurface(middle_3, np.concatenate([filled[..., None], _normals(filled)], -1))


def _neighbors(table_RC: np.ndarray) -> np.ndarray:
    """The table and its eight shifts [9, R, C]; columns wrap, rows repeat at the ends."""
    padded = np.pad(np.pad(table_RC, ((1, 1), (0, 0)), "edge"), ((0, 0), (1, 1)), "wrap")
    return np.stack(
        [padded[r : r + ROWS, c : c + COLUMNS] for r in range(3) for c in range(3)]
    )  # fmt: skip


def _filled(radius_RC: np.ndarray) -> np.ndarray:
    """Empty cells become the mean of their neighbors, from the edges of holes inward."""
    while (radius_RC == 0).any():
        around = _neighbors(radius_RC)
        mean = around.sum(0) / np.maximum((around > 0).sum(0), 1)
        radius_RC = np.where(radius_RC == 0, mean, radius_RC)
    return radius_RC


def _smoothed(radius_RC: np.ndarray) -> np.ndarray:
    return np.asarray(_neighbors(radius_RC).mean(0))


def _normals(radius_RC: np.ndarray) -> np.ndarray:
    """Unit normals [R, C, 3] of the surface that the radii give."""
    rows = np.linspace(LOWEST, np.pi / 2, ROWS)[:, None]
    turn = (np.arange(COLUMNS) * 2 * np.pi / COLUMNS)[None]
    up = np.maximum(rows, 0)
    flat = radius_RC * np.cos(up)
    height = np.where(rows > 0, radius_RC * np.sin(up), rows * SCALE)
    at = np.stack([flat * np.sin(turn), height, flat * np.cos(turn)], -1)
    along = np.concatenate([at[:, -1:], at, at[:, :1]], 1)
    across = np.cross(along[:, 2:] - along[:, :-2], np.gradient(at, axis=0))
    normals = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    normals[-1] = [0, 1, 0]
    return np.asarray(normals.astype(np.float32))
