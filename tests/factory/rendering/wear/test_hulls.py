"""Support planes contain what they are put around, tightly."""

from __future__ import annotations

import numpy as np

from factory.rendering.wear.hulls import plane_normals, taut_hull

CUBE = np.stack(np.meshgrid([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]), -1).reshape(-1, 3)


def cloud(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((300, 3)) * [7, 9, 8]


def test_normals_are_units_that_sum_to_nothing():
    normals = plane_normals()
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert np.abs(normals.mean(0)).max() < 2e-3


def test_no_direction_is_far_from_a_normal():
    ways = np.random.default_rng(0).standard_normal((2000, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    assert np.degrees(np.arccos((ways @ plane_normals().T).max(1))).max() < 10


def test_a_hull_contains_every_point():
    points = cloud(1)
    assert taut_hull(points).depth(points).min() > -1e-4


def test_every_plane_touches_a_point():
    points = cloud(2)
    hull = taut_hull(points)
    slack = hull.heights_N - points @ hull.normals_N3.T
    assert np.allclose(slack.min(0), 0, atol=1e-4)


def test_a_sphere_is_reached_at_its_radius_and_hardly_beyond():
    ways = np.random.default_rng(3).standard_normal((500, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    points = np.random.default_rng(4).standard_normal((20000, 3))
    hull = taut_hull(5 * points / np.linalg.norm(points, axis=1, keepdims=True))
    reach = hull.reach(np.zeros((500, 3)), ways)
    assert reach.min() > 4.99
    assert reach.max() < 5.1


def test_where_a_ray_leaves_is_on_the_surface():
    hull = taut_hull(cloud(5))
    ways = np.random.default_rng(6).standard_normal((50, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    origins = np.full((50, 3), 0.5)
    left = origins + ways * hull.reach(origins, ways)[:, None]
    assert np.allclose(hull.depth(left), 0, atol=1e-3)


def test_the_front_of_a_cube():
    hull = taut_hull(CUBE)
    front = hull.front(np.array([0.0, 0.3]), np.array([0.0, -0.2]))
    assert np.allclose(front, 1, atol=0.1)
    assert front.min() >= 1 - 1e-5


def test_depth_is_negative_outside():
    assert taut_hull(CUBE).depth(np.array([[3.0, 0, 0]]))[0] < -1.5


def test_around_goes_from_the_front_to_the_right():
    hull = taut_hull(CUBE * 4)
    points = hull.around(np.array([0.0, np.pi / 2]), np.zeros((1, 2)), np.full((1, 2), 0.5), 0.0)
    assert np.allclose(points[0], [[0, 0, 4.5], [4.5, 0, 0]], atol=0.5)
