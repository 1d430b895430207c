"""Grids and tubes have the triangles and sizes that they should."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.wear.sheets import grid, grid_faces, joined, tube
from tests.factory.rendering.worn import edge_uses

RED = np.array([0.5, 0.1, 0.1])


@pytest.mark.parametrize(("closed", "faces"), [(True, 2 * 3 * 5), (False, 2 * 3 * 4)])
def test_a_grid_has_two_triangles_a_cell(closed: bool, faces: int):
    assert grid_faces(4, 5, closed).shape == (faces, 3)


def test_a_closed_grid_has_two_open_rings():
    uses = edge_uses(grid_faces(4, 5, True))
    assert (uses == 1).sum() == 10
    assert uses.max() == 2


def test_an_open_grid_has_its_outline_open():
    assert (edge_uses(grid_faces(4, 5, False)) == 1).sum() == 2 * (3 + 4)


def test_a_tube_keeps_its_radius():
    path = np.stack([np.linspace(0, 9, 7), np.linspace(0, 2, 7), np.zeros(7)], 1)
    sheet = tube(path, np.linspace(1, 0.5, 7), RED, sides=8)
    rings = sheet.vertices_V3.reshape(7, 8, 3)
    assert np.allclose(rings.mean(1), path)
    distance = np.linalg.norm(rings - path[:, None], axis=-1)
    assert np.allclose(distance, np.linspace(1, 0.5, 7)[:, None])


def test_joined_sheets_keep_their_own_vertices():
    path = np.stack([np.arange(3.0), np.zeros(3), np.zeros(3)], 1)
    first, second = tube(path, np.ones(3), RED), tube(path + 5, np.ones(3), RED / 2)
    both = joined(first, second)
    assert len(both.faces_F3) == len(first.faces_F3) + len(second.faces_F3)
    corners = both.vertices_V3[both.faces_F3[len(first.faces_F3) :]]
    assert np.array_equal(corners, second.vertices_V3[second.faces_F3])
    assert both.colors_V3[-1] == pytest.approx(RED / 2)


def test_one_color_or_one_for_each_row():
    points = np.zeros((3, 4, 3))
    rows = np.linspace(0, 1, 3)[:, None, None] * RED
    assert np.array_equal(grid(points, RED, True).colors_V3, np.tile(RED, (12, 1)))
    assert np.array_equal(grid(points, rows, True).colors_V3[:4], np.zeros((4, 3)))
