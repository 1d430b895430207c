"""Meshes that are swept: grids of points, tubes, and several of them as one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from factory.rendering.head.head import vertex_normals


@dataclass(frozen=True)
class Sheet:
    """Triangles with a color at each vertex."""

    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    colors_V3: np.ndarray

    @property
    def normals_V3(self) -> np.ndarray:
        """Unit normals."""
        return vertex_normals(self.vertices_V3, self.faces_F3)


@cache
def grid_faces(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles [F, 3] of points that stand row by row; closed: the last column meets the first."""
    across = np.arange(columns if closed else columns - 1)
    row = np.arange(rows - 1)[:, None] * columns
    a, b = row + across, row + (across + 1) % columns
    lower = np.stack([a, b, a + columns], -1).reshape(-1, 3)
    upper = np.stack([b, b + columns, a + columns], -1).reshape(-1, 3)
    return np.concatenate([lower, upper])


def grid(points_RC3: np.ndarray, colors_RC3: np.ndarray, closed: bool) -> Sheet:
    """Points in rows and columns as a sheet; colors may be one, one a row or one a point."""
    rows, columns = points_RC3.shape[:2]
    colors = np.broadcast_to(colors_RC3, points_RC3.shape).reshape(-1, 3)
    return Sheet(points_RC3.reshape(-1, 3), grid_faces(rows, columns, closed), colors)


def tube(path_K3: np.ndarray, radius_K: np.ndarray, color_3: np.ndarray, sides: int = 6) -> Sheet:
    """A round tube along a path that does not run along (.36, .48, .8), open at both ends."""
    along = np.gradient(path_K3, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, [0.36, 0.48, 0.8])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    third = np.cross(along, across)
    turn = 2 * np.pi * np.arange(sides) / sides
    ring = across[:, None] * np.cos(turn)[:, None] + third[:, None] * np.sin(turn)[:, None]
    points = path_K3[:, None] + ring * np.asarray(radius_K)[:, None, None]
    return grid(points, np.asarray(color_3), closed=True)


def joined(*sheets: Sheet) -> Sheet:
    """Several sheets as one."""
    starts = np.cumsum([0, *(len(sheet.vertices_V3) for sheet in sheets)])
    return Sheet(
        np.concatenate([sheet.vertices_V3 for sheet in sheets]),
        np.concatenate([sheet.faces_F3 + n for sheet, n in zip(sheets, starts, strict=False)]),
        np.concatenate([sheet.colors_V3 for sheet in sheets]),
    )
