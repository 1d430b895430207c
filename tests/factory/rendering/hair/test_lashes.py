"""Lashes stand on the edges of the lids and close with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from factory.rendering.hair.lashes import (
    NUM_LOWER,
    NUM_UPPER,
    edge_roots,
    grow_lashes,
    lash_parts,
    lid_edges,
    shortest_path,
)
from factory.rendering.parts import Label, StrandsPart
from tests.factory.rendering.facial_people import MEAN, model, neutral, person

BLINK = (("eyeBlink_L", 1.0), ("eyeBlink_R", 1.0))


def test_the_shortest_path_on_a_strip_is_its_straight_edge() -> None:
    # two rows of vertices; the upper one is a detour
    vertices = np.array([[x, y * (1 + 0.3 * (x % 2)), 0] for y in (0, 1) for x in range(5)], float)
    faces = np.array(
        [[x, x + 1, x + 5] for x in range(4)] + [[x + 1, x + 6, x + 5] for x in range(4)]
    )
    assert shortest_path(vertices, faces, np.array([0, 4])).tolist() == [0, 1, 2, 3, 4]
    assert shortest_path(vertices, faces, np.array([4, 0])).tolist() == [4, 3, 2, 1, 0]


def test_lid_edges_go_through_their_landmarks_along_edges_of_triangles() -> None:
    pairs = {tuple(sorted(pair)) for face in model().faces_F3.tolist()
             for pair in (face[:2], face[1:], face[::2])}  # fmt: skip
    right, left = ([36, 37, 38, 39], [36, 41, 40, 39]), ([45, 44, 43, 42], [45, 46, 47, 42])
    for edge, marks in zip(lid_edges(model()), right + left, strict=True):
        path = edge.path_P.tolist()
        places = [path.index(vertex) for vertex in model().landmarks_68[marks]]
        assert places == sorted(places)
        assert places[0] == 0
        assert places[-1] == len(path) - 1
        assert all(tuple(sorted(pair)) in pairs for pair in pairwise(path))
        length = np.linalg.norm(np.diff(model().mean_V3[edge.path_P], axis=0), axis=1).sum()
        assert length < 4.5


def test_edge_roots_lie_at_fractions_of_the_length() -> None:
    edge, vertices = lid_edges(model())[0], model().mean_V3
    at = edge_roots(edge, vertices, np.linspace(0, 1, 401)).of(vertices)
    np.testing.assert_allclose(at[[0, -1]], vertices[edge.path_P[[0, -1]]], atol=1e-5)
    steps = np.linalg.norm(np.diff(at, axis=0), axis=1)
    assert steps.std() < 0.25 * steps.mean()


def test_lashes_point_forward_upper_ones_curl_up_and_lower_ones_down() -> None:
    someone = person(shape=MEAN)
    for number, lid in enumerate(grow_lashes(model(), someone)):
        points = lid.on(neutral(someone))
        assert len(points) == (NUM_UPPER if number % 2 == 0 else NUM_LOWER)
        assert (points[:, -1, 2] > points[:, 0, 2] + 0.1).all()
        rise = points[:, -1, 1] - points[:, 0, 1]
        assert (rise > 0.05).mean() > 0.95 if number % 2 == 0 else (rise < 0).mean() > 0.95


def test_lashes_have_the_length_of_the_trait_and_makeup_lengthens_and_thickens_them() -> None:
    someone = person()
    short, long = (replace(someone, eyes=replace(someone.eyes, lash_length=x)) for x in (0.5, 1.0))
    painted = replace(someone, eyes=replace(someone.eyes, makeup=1.0, lash_length=0.5))

    def longest(one: object) -> tuple[float, float]:
        part = lash_parts(model(), neutral(someone), one)[0]  # type: ignore[arg-type]
        assert isinstance(part, StrandsPart)
        assert part.label == Label.BROWS
        steps = np.linalg.norm(np.diff(part.points_SK3, axis=1), axis=-1).sum(1)
        return float(np.median(np.sort(steps)[-40:])), part.radius

    assert longest(long)[0] == pytest.approx(2 * longest(short)[0], rel=1e-3)
    assert longest(short)[0] == pytest.approx(0.5, rel=0.35)
    assert longest(painted)[0] == pytest.approx(1.2 * longest(short)[0], rel=1e-3)
    assert longest(painted)[1] > 1.5 * longest(short)[1]


def test_a_blink_lowers_upper_lashes_with_the_lid_and_turns_their_tips_down() -> None:
    someone = person()
    open_, closed = neutral(someone), model().shaped(someone.shape, BLINK)
    for lid in grow_lashes(model(), someone)[::2]:
        before, after = lid.on(open_), lid.on(closed)
        moved = lid.roots.of(closed.vertices_V3 - open_.vertices_V3)
        np.testing.assert_allclose(after[:, 0] - before[:, 0], moved, atol=1e-4)
        assert moved[:, 1].min() < -0.5
        rise = (after - before)[:, -1, 1] - moved[:, 1]
        assert rise.mean() < -0.1


def test_lashes_of_both_eyes_mirror_each_other_in_the_mean() -> None:
    someone = person(shape=MEAN)
    lids = [lid.on(neutral(someone)) for lid in grow_lashes(model(), someone)]
    for right, left in ((lids[0], lids[2]), (lids[1], lids[3])):
        np.testing.assert_allclose(right.mean((0, 1)) * [-1, 1, 1], left.mean((0, 1)), atol=0.06)
