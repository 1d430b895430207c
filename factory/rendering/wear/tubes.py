"""Tubes swept along curves: rims, bridges and temples of glasses."""

from __future__ import annotations

import numpy as np

from factory.rendering.head.roots import unit


def tube(
    path_P3: np.ndarray,
    radii: tuple[float, float],
    up_3: np.ndarray,
    closed: bool = False,
    sides: int = 8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and unit normals of an elliptic tube whose surface is closed.

    `radii` are those across `up_3` and along it, before it is made normal to the path. A path that
    is not `closed` gets flat ends.
    """
    num = len(path_P3)
    if closed:
        tangent = unit(np.roll(path_P3, -1, axis=0) - np.roll(path_P3, 1, axis=0))
    else:
        tangent = unit(np.gradient(path_P3, axis=0))
    across = unit(np.cross(tangent, up_3))
    up = np.cross(across, tangent)
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    apart = radii[0] * ring[0] * across + radii[1] * ring[1] * up
    normals = ring[0] * across / radii[0] + ring[1] * up / radii[1]
    vertices = (path_P3 + apart).transpose(1, 0, 2).reshape(-1, 3)
    normals = unit(normals.transpose(1, 0, 2).reshape(-1, 3))
    faces = _wall(num, sides, closed)
    if not closed:
        vertices, faces, normals = _capped(path_P3, tangent, vertices, normals, faces, sides)
    return vertices, faces, normals


def _wall(num: int, sides: int, closed: bool) -> np.ndarray:
    """Triangles between rings of vertices, seen counterclockwise from outside."""
    ring = np.arange(num if closed else num - 1)[:, None]
    side = np.arange(sides)[None]
    here, there = ring * sides, (ring + 1) % num * sides
    a, b = here + side, here + (side + 1) % sides
    c, d = there + side, there + (side + 1) % sides
    return np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)


def _capped(
    path_P3: np.ndarray,
    tangent_P3: np.ndarray,
    vertices_V3: np.ndarray,
    normals_V3: np.ndarray,
    faces_F3: np.ndarray,
    sides: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tube with both of its ends closed by fans about their middles."""
    num, side = len(vertices_V3), np.arange(sides)
    after = (side + 1) % sides
    first = np.stack([side, after, np.full(sides, num)], -1)
    last = np.stack([after + num - sides, side + num - sides, np.full(sides, num + 1)], -1)
    vertices = np.concatenate([vertices_V3, path_P3[[0, -1]]])
    normals = np.concatenate([normals_V3, [-tangent_P3[0], tangent_P3[-1]]])
    return vertices, np.concatenate([faces_F3, first, last]), normals


def smooth_path(points_P3: np.ndarray, num: int) -> np.ndarray:
    """A curve [num, 3] through points in a row (Catmull and Rom 1974), evenly by their number."""
    points = np.concatenate(
        [2 * points_P3[:1] - points_P3[1:2], points_P3, 2 * points_P3[-1:] - points_P3[-2:-1]]
    )
    at = np.linspace(0, len(points_P3) - 1, num)
    piece = np.minimum(at.astype(int), len(points_P3) - 2)
    t = (at - piece)[:, None]
    a, b, c, d = (points[piece + k] for k in range(4))
    return np.asarray(
        b
        + t * (c - a) / 2
        + t**2 * (a - 2.5 * b + 2 * c - d / 2)
        + t**3 * (1.5 * (b - c) + (d - a) / 2)
    )


def merged(
    meshes: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and normals of several meshes as one."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in meshes)])
    return (
        np.concatenate([vertices for vertices, _, _ in meshes]),
        np.concatenate(
            [faces + start for (_, faces, _), start in zip(meshes, starts, strict=False)]
        ),
        np.concatenate([normals for _, _, normals in meshes]),
    )
