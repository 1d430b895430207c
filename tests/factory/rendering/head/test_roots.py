"""Roots stay at their places on triangles, and strands turn with these."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.head.head import Head, vertex_normals
from factory.rendering.head.roots import Roots, grown, joined, rooted, scattered

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def _head(vertices: np.ndarray) -> Head:
    return Head(vertices, vertex_normals(vertices, FACES), vertices[:1])


def test_a_place_is_its_barycentric_mean_of_the_corners() -> None:
    roots = Roots(np.array([[0, 1, 2]]), np.array([[0.5, 0.25, 0.25]]))
    assert roots.of(SQUARE)[0] == pytest.approx([0.5, 0.25, 0.0])


def test_strands_turn_and_move_with_their_triangle() -> None:
    roots = scattered(SQUARE, FACES, 50, [1])
    offsets = np.random.default_rng(2).standard_normal((50, 4, 3)).astype(np.float32)
    strands = rooted(roots, offsets, _head(SQUARE))
    angle = 0.7
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    moved = (SQUARE @ turn.T + [3, -1, 2]).astype(np.float32)
    want = (roots.of(SQUARE)[:, None] + offsets) @ turn.T + [3, -1, 2]
    np.testing.assert_allclose(strands.on(_head(moved)), want, atol=1e-5)


def test_strands_do_not_grow_with_a_triangle_that_is_stretched() -> None:
    roots = Roots(FACES[:1], np.array([[1 / 3, 1 / 3, 1 / 3]]))
    strands = rooted(roots, np.array([[[0.0, 0.0, 0.4]]]), _head(SQUARE))
    tip = strands.on(_head(SQUARE * 3))[0, 0]
    assert tip == pytest.approx([2.0, 1.0, 0.4])


def test_places_are_spread_by_area() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, -1 / 3, 0]], np.float32)
    roots = scattered(vertices, np.array([[0, 1, 2], [0, 3, 1]]), 4000, [3])
    assert (roots.corners_N3[:, 1] == 1).sum() == pytest.approx(3000, abs=1)
    assert (roots.weights_N3 >= 0).all()
    np.testing.assert_allclose(roots.weights_N3.sum(1), 1, atol=1e-6)
    # the mean of a uniform density over a triangle is its centroid
    mean = roots.of(vertices)[roots.corners_N3[:, 1] == 1].mean(0)
    np.testing.assert_allclose(mean, [1, 1 / 3, 0], atol=0.04)


def test_a_strand_has_the_length_asked_whatever_its_directions() -> None:
    directions = np.random.default_rng(4).standard_normal((20, 5, 3))
    length = np.linspace(0.1, 3, 20)
    offsets = grown(directions, length)
    assert offsets.shape == (20, 6, 3)
    assert not offsets[:, 0].any()
    steps = np.linalg.norm(np.diff(offsets, axis=1), axis=-1)
    np.testing.assert_allclose(steps.sum(1), length)


def test_joined_places_are_those_of_each_set_in_order() -> None:
    first, second = scattered(SQUARE, FACES, 5, [5]), scattered(SQUARE, FACES, 7, [6])
    both = joined(first, second)
    np.testing.assert_array_equal(both.of(SQUARE)[:5], first.of(SQUARE))
    np.testing.assert_array_equal(both.chosen(np.arange(5, 12)).of(SQUARE), second.of(SQUARE))
