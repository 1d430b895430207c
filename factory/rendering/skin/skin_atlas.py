"""The texture of the skin: where each of its texels lies on the mean head.

ICT-FaceKit's UVs have the face in one square and the back of the head in the next; the atlas puts
them side by side, the face twice as wide. All that is painted is placed on the mean head, whose
vertices move with every shape and expression, so that a mark stays where it is on a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from factory.rendering.head.head import HeadModel

HEIGHT, FACE_WIDTH, BACK_WIDTH = 288, 288, 144
"""Texels of 1 mm on the face; a pixel of an aligned face of 112 pixels shows about 2 mm."""
MARGIN = 3
"""Texels that are painted beyond the edge of what is covered, for interpolation."""


@dataclass(frozen=True)
class SkinAtlas:
    """The outer skin as a mesh that has texture coordinates, and its texels."""

    vertices_V: np.ndarray
    """Which vertex of the head each vertex of the mesh is; twice at seams."""
    faces_G3: np.ndarray
    mean_V3: np.ndarray
    """Where the mesh's vertices lie on the mean head."""
    uv_V2: np.ndarray
    texel_T: np.ndarray
    """Covered texels: row * width + column."""
    points_T3: np.ndarray
    """Where they lie on the mean head, centimeters, float32."""
    corners_T3: np.ndarray
    """The vertices of the mesh that each lies between, and their weights."""
    weights_T3: np.ndarray
    area_T: np.ndarray
    """Square centimeters that each covers."""
    source_HW: np.ndarray
    """Place in texel_T of the covered texel that each texel shows."""
    landmarks_68x3: np.ndarray
    """Of the mean head."""

    def spread(self, values_V: np.ndarray) -> np.ndarray:
        """Values of the mesh's vertices at its texels [T]: for what changes slowly."""
        return np.asarray((values_V[self.corners_T3] * self.weights_T3).sum(1))

    def image(self, values_T: np.ndarray) -> np.ndarray:
        """Values [T] or [T, C] as a texture [HEIGHT, width] or [HEIGHT, width, C]."""
        return np.asarray(values_T[self.source_HW])


@cache
def skin_atlas(model: HeadModel) -> SkinAtlas:
    """The atlas of a model, made once."""
    outer = model.materials_F == "M_Face"
    outer |= (model.materials_F == "M_BackHead") & ~inside_faces(model)
    corners = np.stack([model.faces_F3[outer], model.uv_faces_F3[outer]], -1).reshape(-1, 2)
    pairs, place = np.unique(corners, axis=0, return_inverse=True)
    faces, uv = place.reshape(-1, 3), _in_atlas(model.uv_T2[pairs[:, 1]])
    points = model.mean_V3[pairs[:, 0]]
    texel, owner, weights = _rasterized(uv, faces)
    at = (points[faces[owner]] * weights[..., None]).sum(1).astype(np.float32)
    return SkinAtlas(
        vertices_V=pairs[:, 0],
        faces_G3=faces,
        mean_V3=points,
        uv_V2=uv.astype(np.float32),
        texel_T=texel,
        points_T3=at,
        corners_T3=faces[owner],
        weights_T3=weights.astype(np.float32),
        area_T=_texel_areas(points[faces], uv[faces])[owner],
        source_HW=_nearest_covered(texel),
        landmarks_68x3=model.mean_V3[model.landmarks_68],
    )


def inside_faces(model: HeadModel) -> np.ndarray:
    """Which triangles [F] of the back of the head line the mouth and the sockets of the eyes."""
    back = model.materials_F == "M_BackHead"
    label = np.arange(len(model.mean_V3))
    faces = model.faces_F3[back]
    for _ in range(len(label)):
        before = label.copy()
        lowest = label[faces].min(1)
        for corner in range(3):
            np.minimum.at(label, faces[:, corner], lowest)
        label = label[label]
        if np.array_equal(before, label):
            break
    top = faces[model.mean_V3[faces][..., 1].max(1).argmax(), 0]
    inside = np.zeros(len(back), bool)
    inside[back] = label[faces[:, 0]] != label[top]
    return inside


def _in_atlas(uv_N2: np.ndarray) -> np.ndarray:
    width = FACE_WIDTH + BACK_WIDTH
    columns = np.where(
        uv_N2[:, 0] < 1, uv_N2[:, 0] * FACE_WIDTH, FACE_WIDTH + (uv_N2[:, 0] - 1) * BACK_WIDTH
    )
    return np.stack([columns / width, uv_N2[:, 1]], -1)


def _texels(uv: np.ndarray) -> np.ndarray:
    """Columns and rows of texture coordinates; centers of texels are whole numbers."""
    size = np.array([FACE_WIDTH + BACK_WIDTH, HEIGHT])
    return np.asarray(np.stack([uv[..., 0], 1 - uv[..., 1]], -1) * size - 0.5)


def _rasterized(uv_V2: np.ndarray, faces_G3: np.ndarray) -> tuple[np.ndarray, ...]:
    """Covered texels [T], the triangle that covers each, and its weights of corners [T, 3]."""
    corners = _texels(uv_V2)[faces_G3]
    low = np.ceil(corners.min(1)).astype(int)
    size = np.floor(corners.max(1)).astype(int) - low + 1
    found = []
    for side in np.unique(size.max(1)[size.min(1) > 0]):
        which = np.flatnonzero((size.max(1) == side) & (size.min(1) > 0))
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(1, -1, 2)
        at = low[which][:, None] + grid
        weights = _barycentric(corners[which], at)
        triangle, place = np.nonzero(weights.min(-1) >= -1e-6)
        column, row = at[triangle, place].T
        number = row * (FACE_WIDTH + BACK_WIDTH) + column
        found.append((number, which[triangle], weights[triangle, place]))
    number, owner, weights = (np.concatenate(part) for part in zip(*found, strict=True))
    texel, first = np.unique(number, return_index=True)
    return texel, owner[first], weights[first]


def _barycentric(corners_G32: np.ndarray, at_GN2: np.ndarray) -> np.ndarray:
    """Weights [G, N, 3] of a triangle's corners at points of its plane."""
    a, b, c = (corners_G32[:, None, k] for k in range(3))

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])

    whole = cross(b - a, c - a)
    whole = np.where(np.abs(whole) < 1e-12, np.inf, whole)
    second, third = cross(at_GN2 - a, c - a) / whole, cross(b - a, at_GN2 - a) / whole
    return np.stack([1 - second - third, second, third], -1)


def _texel_areas(points_G33: np.ndarray, uv_G32: np.ndarray) -> np.ndarray:
    """Square centimeters of a texel in each triangle."""
    across = np.cross(points_G33[:, 1] - points_G33[:, 0], points_G33[:, 2] - points_G33[:, 0])
    sides = _texels(uv_G32)
    u, v = sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]
    texels = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    return np.asarray(np.linalg.norm(across, axis=1) / np.maximum(texels, 1e-9))


def _nearest_covered(texel_T: np.ndarray) -> np.ndarray:
    """For each texel a covered one within MARGIN steps, else the first."""
    place = np.full((HEIGHT, FACE_WIDTH + BACK_WIDTH), -1)
    place.ravel()[texel_T] = np.arange(len(texel_T))
    for _ in range(MARGIN):
        for axis in (0, 1):
            for step in (1, -1):
                beside = np.roll(place, step, axis)
                place = np.where(place < 0, beside, place)
    return np.asarray(np.maximum(place, 0))
