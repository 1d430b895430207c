"""Tubes are closed surfaces of the radius asked, with normals that point outward."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.wear.tubes import merged, smooth_path, tube

UP = np.array([0.0, 0.0, 1.0])
ANGLE = 2 * np.pi * np.arange(40) / 40
CIRCLE = np.stack([3 * np.cos(ANGLE), 3 * np.sin(ANGLE), np.zeros(40)], axis=1)
LINE = np.stack([np.linspace(0, 5, 11), np.zeros(11), np.zeros(11)], axis=1)


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def _edges_are_shared_by_two_triangles_each(faces: np.ndarray) -> bool:
    forth = [
        (a, b) for face in faces.tolist() for a, b in zip(face, face[1:] + face[:1], strict=True)
    ]
    return len(set(forth)) == len(forth) and set(forth) == {(b, a) for a, b in forth}


@pytest.mark.parametrize(("path", "closed"), [(CIRCLE, True), (LINE, False)])
def test_a_tube_is_a_closed_surface_that_faces_outward(path: np.ndarray, closed: bool) -> None:
    vertices, faces, normals = tube(path, (0.2, 0.2), UP, closed, sides=12)
    assert _edges_are_shared_by_two_triangles_each(faces)
    length = 2 * np.pi * 3 if closed else 5.0
    # an inscribed polygon of 12 sides has 3 r^2 of area
    assert _volume(vertices, faces) == pytest.approx(length * 3 * 0.2**2, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    flat = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]],
                    vertices[faces[:, 2]] - vertices[faces[:, 0]])  # fmt: skip
    assert (np.einsum("fc,fc->f", flat, normals[faces].mean(1)) > 0).all()


def test_a_rim_has_the_radius_asked_all_around() -> None:
    vertices, _, _ = tube(CIRCLE, (0.15, 0.15), UP, closed=True)
    around = np.hypot(np.hypot(vertices[:, 0], vertices[:, 1]) - 3, vertices[:, 2])
    np.testing.assert_allclose(around, 0.15, atol=1e-9)


def test_the_second_radius_is_the_one_along_up() -> None:
    vertices, _, _ = tube(LINE, (0.1, 0.4), UP)
    np.testing.assert_allclose([np.abs(vertices[:, 1]).max(), vertices[:, 2].max()], [0.1, 0.4])


def test_a_smooth_path_goes_through_its_points_and_along_lines() -> None:
    points = np.array([[0.0, 0, 0], [1, 2, 0], [2, -1, 1], [4, 0, 3]])
    path = smooth_path(points, 31)
    np.testing.assert_allclose(path[::10], points, atol=1e-12)
    np.testing.assert_allclose(smooth_path(LINE, 21)[:, 0], np.linspace(0, 5, 21))


def test_merged_meshes_keep_their_triangles() -> None:
    first, second = tube(LINE, (0.1, 0.1), UP), tube(CIRCLE, (0.1, 0.1), UP, closed=True)
    vertices, faces, normals = merged([first, second])
    assert len(vertices) == len(normals) == len(first[0]) + len(second[0])
    both = _volume(first[0], first[1]) + _volume(second[0], second[1])
    assert _volume(vertices, faces) == pytest.approx(both)
