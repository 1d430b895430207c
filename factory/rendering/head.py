"""The head: ICT-FaceKit's mesh, shaped by a person's coefficients and an expression.

ICT-FaceKit (Li et al. 2020, "Learning formation of physically-based face attributes"), MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

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
    """The mesh of all heads: how its vertices are joined, and what they can be shaped to."""

    def __init__(self, file: Path) -> None:
        data = np.load(file, allow_pickle=False)
        self.mean_V3: np.ndarray = data["V"].astype(np.float32)
        self.faces_F3: np.ndarray = data["F"]
        self.uv_T2: np.ndarray = data["T"]
        self.uv_faces_F3: np.ndarray = data["FT"]
        self.materials_F: np.ndarray = data["M"]
        self.identity_KV3: np.ndarray = data["I"].astype(np.float32)
        self.expressions_KV3: np.ndarray = data["E"].astype(np.float32)
        self.expression_names: list[str] = [str(name) for name in data["names"]]
        self.landmarks_68: np.ndarray = data["lm"]

    def shaped(self, shape: tuple[float, ...], expression: tuple[tuple[str, float], ...]) -> Head:
        """The head of coefficients `shape` with an expression; unknown names are KeyErrors."""
        vertices = self.mean_V3 + np.tensordot(np.asarray(shape, np.float32), self.identity_KV3, 1)
        for name, weight in expression:
            vertices = vertices + weight * self.expressions_KV3[self._number[name]]
        normals = vertex_normals(vertices, self.faces_F3)
        return Head(vertices, normals, vertices[self.landmarks_68])

    @property
    def _number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.expression_names)}

    def region(self, *materials: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [R] of some materials, and their triangles [G, 3] by place among these."""
        faces = self.faces_F3[np.isin(self.materials_F, materials)]
        vertices = np.unique(faces)
        place = np.full(len(self.mean_V3), -1)
        place[vertices] = np.arange(len(vertices))
        return vertices, place[faces]


def vertex_normals(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3], triangles weighted by their areas."""
    corners = vertices_V3[faces_F3]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices_V3)
    for corner in range(3):
        np.add.at(normals, faces_F3[:, corner], across)
    return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12))


@cache
def head_model() -> HeadModel:
    """The head model of the package, read once."""
    return HeadModel(Path("/work/shared/data/ict_facekit/ict_facekit_f16.npz"))
