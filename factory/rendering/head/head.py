"""The head: ICT-FaceKit's mesh, shaped by a person's coefficients and an expression.

ICT-FaceKit (Li et al. 2020, "Learning formation of physically-based face attributes"), MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from factory.rendering.head.head_file import HeadFile, read_head_file

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Head:
    """A shaped head: vertices float32 [V, 3] of all materials, in centimeters."""

    vertices_V3: np.ndarray
    normals_V3: np.ndarray
    landmarks_68x3: np.ndarray
    """iBUG's 68 points."""

    @property
    def five_53(self) -> np.ndarray:
        """The points that faces are aligned by: eyes, nose tip, mouth corners, as in an image."""
        points = self.landmarks_68x3
        eyes = points[36:42].mean(0), points[42:48].mean(0)
        return np.stack([*eyes, points[30], points[48], points[54]])

    @property
    def middle_3(self) -> np.ndarray:
        """The middle of the eyes."""
        return np.asarray(self.landmarks_68x3[36:48].mean(0))


class HeadModel:
    """The mesh of all heads: how its vertices are joined, and what they can be shaped to.

    Its arrays, and those of `region`, are shared by everybody and cannot be written to.
    """

    def __init__(self, data: HeadFile) -> None:
        self.mean_V3 = data.mean_V3
        self.faces_F3 = data.faces_F3
        self.uv_T2, self.uv_faces_F3 = data.uv_T2, data.uv_faces_F3
        self.materials_F = data.materials_F
        self.identity_KV3 = data.identity_KV3
        self.expressions_KV3 = data.expressions_KV3
        self.expression_names = data.expression_names
        self.landmarks_68 = data.landmarks_68
        self._number = {name: number for number, name in enumerate(data.expression_names)}
        self._normals = VertexNormals(data.faces_F3, len(data.mean_V3))
        self._regions: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = {}
        self._neutral: dict[tuple[float, ...], np.ndarray] = {}
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def shaped(self, shape: tuple[float, ...], expression: tuple[tuple[str, float], ...]) -> Head:
        """The head of coefficients `shape` with an expression; unknown names are KeyErrors."""
        vertices = self._shaped_neutral(shape)
        rows = [self._number[name] for name, weight in expression if weight]
        if rows:
            weights = np.array([weight for _, weight in expression if weight], np.float32)
            vertices = vertices + np.tensordot(weights, self.expressions_KV3[rows], 1)
        return Head(vertices.copy(), self._normals.of(vertices), vertices[self.landmarks_68])

    def _shaped_neutral(self, shape: tuple[float, ...]) -> np.ndarray:
        """Vertices without expression, kept for the last shape, because it is in many images."""
        if shape not in self._neutral:
            moved = np.tensordot(np.asarray(shape, np.float32), self.identity_KV3, 1)
            self._neutral = {shape: self.mean_V3 + moved}
        return self._neutral[shape]

    def region(self, *materials: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [R] of some materials, and their triangles [G, 3] by place among these."""
        if materials not in self._regions:
            faces = self.faces_F3[np.isin(self.materials_F, materials)]
            vertices = np.unique(faces)
            place = np.full(len(self.mean_V3), -1)
            place[vertices] = np.arange(len(vertices))
            placed = place[faces]
            vertices.flags.writeable = placed.flags.writeable = False
            self._regions[materials] = vertices, placed
        return self._regions[materials]


class VertexNormals:
    """Unit normals of vertices, triangles weighted by their areas.

    Triangles are added to their vertices by rank, the first of each vertex, then the second, and so
    on, vertices of many triangles in front: sums of rows, a tenth of np.add.at's time. So is `take`
    a fifth of the time of indexing by an array.
    """

    def __init__(self, faces_F3: np.ndarray, num_vertices: int) -> None:
        self._faces_3F = np.ascontiguousarray(faces_F3.T.astype(np.int64))
        count = np.bincount(faces_F3.ravel(), minlength=num_vertices)
        vertices = np.argsort(-count, kind="stable")
        self._place = np.argsort(vertices)
        triangle = np.argsort(self._place[faces_F3.ravel()], kind="stable") // 3
        start = np.concatenate([[0], np.cumsum(count[vertices])])
        self._ranks = [
            triangle[start[: (count > rank).sum()] + rank] for rank in range(count.max(initial=0))
        ]

    def of(self, vertices_V3: np.ndarray) -> np.ndarray:
        """Normals float32 [V, 3]; zero for vertices of no triangle."""
        first, second, third = (vertices_V3.take(corner, 0) for corner in self._faces_3F)
        across = cross(second - first, third - first)
        total = np.zeros_like(vertices_V3)
        for triangles in self._ranks:
            total[: len(triangles)] += across.take(triangles, 0)
        length = np.sqrt(np.einsum("vc,vc->v", total, total))
        return np.asarray((total / (length + 1e-12)[:, None]).take(self._place, 0))


def cross(a_N3: np.ndarray, b_N3: np.ndarray) -> np.ndarray:
    """Cross products; numpy's own takes three times as long."""
    (ax, ay, az), (bx, by, bz) = a_N3.T, b_N3.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def vertex_normals(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of any mesh, triangles weighted by their areas."""
    return VertexNormals(faces_F3, len(vertices_V3)).of(vertices_V3)


@cache
def head_model() -> HeadModel:
    """The head model of the package, read once."""
    return HeadModel(read_head_file(ASSETS / "ict_facekit.npz"))
