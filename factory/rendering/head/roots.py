"""Roots of hairs: places on triangles of the head's mesh, so that hairs move as the skin does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.rendering.head.head import Head


@dataclass(frozen=True)
class Roots:
    """Places on a mesh: three vertices and their barycentric weights, the same for all heads."""

    corners_N3: np.ndarray
    """Numbers of vertices of the head."""
    weights_N3: np.ndarray

    def __len__(self) -> int:
        return len(self.corners_N3)

    def chosen(self, which_M: np.ndarray) -> Roots:
        """Some of these, by number or by mask."""
        return Roots(self.corners_N3[which_M], self.weights_N3[which_M])

    def of(self, values_V3: np.ndarray) -> np.ndarray:
        """Values of vertices, such as positions or normals, at these places [N, 3]."""
        weights = self.weights_N3[:, :, None]
        return np.asarray((values_V3[self.corners_N3] * weights).sum(1))

    def frames(self, vertices_V3: np.ndarray) -> np.ndarray:
        """Axes of the triangles [N, 3, 3]: rows along the first edge, across it, and normal."""
        first, second, third = (vertices_V3[self.corners_N3[:, corner]] for corner in range(3))
        along = unit(second - first)
        normal = unit(np.cross(along, third - first))
        return np.stack([along, np.cross(normal, along), normal], axis=1)


@dataclass(frozen=True)
class RootedStrands:
    """Strands grown once on a neutral head, stored in the axes of the triangles of their roots."""

    roots: Roots
    local_NK3: np.ndarray

    def on(self, head: Head) -> np.ndarray:
        """Points [N, K, 3] on a head of any expression: moved and turned with the triangles."""
        vertices = head.vertices_V3
        turned = self.local_NK3 @ self.roots.frames(vertices)
        return np.asarray(turned + self.roots.of(vertices)[:, None])


def rooted(roots: Roots, offsets_NK3: np.ndarray, neutral: Head) -> RootedStrands:
    """Strands of points at `offsets_NK3` from their roots on the neutral head."""
    local = offsets_NK3 @ roots.frames(neutral.vertices_V3).transpose(0, 2, 1)
    return RootedStrands(roots, local.astype(np.float32))


def scattered(vertices_V3: np.ndarray, faces_F3: np.ndarray, num: int, seed: list[int]) -> Roots:
    """Places spread evenly over triangles: one in each of `num` equal shares of their area."""
    rng = np.random.default_rng(seed)
    corners = vertices_V3[faces_F3]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    reached = np.cumsum(np.linalg.norm(across, axis=1))
    at = (np.arange(num) + rng.random(num)) * (reached[-1] / num)
    triangles = np.minimum(np.searchsorted(reached, at), len(faces_F3) - 1)
    root, second = np.sqrt(rng.random(num)), rng.random(num)
    weights = np.stack([1 - root, root * (1 - second), root * second], axis=1)
    return Roots(faces_F3[triangles], weights.astype(np.float32))


def joined(*roots: Roots) -> Roots:
    """Places of several sets as one."""
    return Roots(
        np.concatenate([some.corners_N3 for some in roots]),
        np.concatenate([some.weights_N3 for some in roots]),
    )


def unit(vectors_N3: np.ndarray) -> np.ndarray:
    """Vectors of length 1; those of length 0 stay."""
    length = np.linalg.norm(vectors_N3, axis=-1, keepdims=True)
    return np.asarray(vectors_N3 / np.maximum(length, 1e-9))


def grown(directions_NK3: np.ndarray, length_N: np.ndarray) -> np.ndarray:
    """Offsets [N, K + 1, 3] of strands of a length that go along unit directions, root first."""
    steps = unit(directions_NK3) * (length_N / directions_NK3.shape[1])[:, None, None]
    return np.concatenate([np.zeros_like(steps[:, :1]), np.cumsum(steps, axis=1)], axis=1)
