"""The distance from a head as a table: exact for a sphere, close for a head."""

from __future__ import annotations

import numpy as np

from factory.rendering.hair.scalp import ears
from factory.rendering.head.head import head_model
from factory.rendering.head.head_surface import head_surface


def _sphere(radius: float, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A fine grid of a sphere by elevation and azimuth."""
    up, turn = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 90), np.linspace(0, 2 * np.pi, 181))
    at = np.stack([np.cos(up) * np.sin(turn), np.sin(up), np.cos(up) * np.cos(turn)], -1)
    corner = np.arange(180)[:, None] * 90 + np.arange(89)
    faces = np.stack([corner, corner + 90, corner + 1, corner + 1, corner + 90, corner + 91], -1)
    return (at * radius + middle).reshape(-1, 3), faces.reshape(-1, 3)


def test_heights_above_a_sphere_are_its_distances() -> None:
    middle = np.array([0.5, 6.0, 1.0])
    surface = head_surface(*_sphere(9.0, middle), middle)
    rng = np.random.default_rng(0)
    away = rng.standard_normal((500, 3))
    away[:, 1] = np.abs(away[:, 1])
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    wanted = rng.uniform(-2, 3, 500)
    heights, normals = surface.heights(middle + away * (9 + wanted)[:, None])
    np.testing.assert_allclose(heights, wanted, atol=0.06)
    assert (normals * away).sum(1).min() > 0.99


def test_heights_of_a_cylinder_below_the_middle() -> None:
    """Below the middle the distance is from the axis, whatever the height."""
    turn, height = np.meshgrid(np.linspace(0, 2 * np.pi, 181), np.linspace(-20, 0, 80))
    at = np.stack([6 * np.sin(turn), height, 6 * np.cos(turn)], -1).reshape(-1, 3)
    corner = np.arange(79)[:, None] * 181 + np.arange(180)
    faces = np.stack([corner, corner + 181, corner + 1, corner + 1, corner + 181, corner + 182], -1)
    surface = head_surface(at, faces.reshape(-1, 3), np.zeros(3))
    heights, normals = surface.heights(np.array([[8.0, -5, 0], [0, -12, 5], [0, -3, -6.5]]))
    np.testing.assert_allclose(heights, [2, -1, 0.5], atol=0.03)
    np.testing.assert_allclose(normals, [[1, 0, 0], [0, 0, 1], [0, 0, -1]], atol=0.02)


def test_heights_above_a_scalp_are_those_above_the_nearest_vertices() -> None:
    model = head_model()
    rng = np.random.default_rng(1)
    head = model.shaped(tuple(rng.standard_normal(100)), ())
    vertices, faces = model.region("M_Face", "M_BackHead")
    at, normals = head.vertices_V3[vertices], head.normals_V3[vertices]
    faces = faces[~ears(model.mean_V3[vertices])[faces].any(1)]
    surface = head_surface(at, faces, np.array([0, 6.0, 0.5]))
    scalp = rng.choice(np.flatnonzero(at[:, 1] > 7.5), 400)
    wanted = rng.uniform(-0.5, 1.5, 400)
    heights, _ = surface.heights(at[scalp] + wanted[:, None] * normals[scalp])
    assert np.abs(heights - wanted).mean() < 0.06
    assert np.abs(heights - wanted).max() < 0.35
