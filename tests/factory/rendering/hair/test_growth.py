"""How strands grow: straight without forces, down under weight, never into the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.hair.growth import Forces, Strands, cut_before, grown, resampled
from factory.rendering.head.head_surface import COLUMNS, LOWEST, ROWS, SCALE, HeadSurface

FREE = Forces(gravity=0.0, hold=0.0, comb_cm=1000.0)


def _ball(radius: float = 5.0) -> HeadSurface:
    """A ball on a pole of the same radius, about the origin."""
    rows = np.linspace(LOWEST, np.pi / 2, ROWS)[:, None].repeat(COLUMNS, 1)
    turn = (np.arange(COLUMNS) * 2 * np.pi / COLUMNS)[None].repeat(ROWS, 0)
    up = np.maximum(rows, 0)
    normals = np.stack([np.cos(up) * np.sin(turn), np.sin(up), np.cos(up) * np.cos(turn)], -1)
    table = np.concatenate([np.full((ROWS, COLUMNS, 1), radius), normals], -1)
    return HeadSurface(np.zeros(3), table.astype(np.float32))


def _strands(num: int = 50, length: float = 6.0, lift: float = 1.0, layer: float = 5.0) -> Strands:
    rng = np.random.default_rng(2)
    out = rng.standard_normal((num, 3))
    out[:, 1] = np.abs(out[:, 1])
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return Strands(
        5 * out, out, out.copy(), np.full(num, lift), np.full(num, layer), np.full(num, length)
    )


def _length(points_NK3: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(points_NK3, axis=1), axis=-1).sum(1)


def test_without_forces_strands_stand_along_their_normals() -> None:
    strands = _strands()
    points = grown(strands, FREE, _ball(), 12)
    assert points.shape == (50, 13, 3)
    np.testing.assert_allclose(points[:, 0], strands.roots_N3, atol=1e-5)
    np.testing.assert_allclose(points[:, -1], 11 / 5 * strands.roots_N3, atol=0.02)


@pytest.mark.parametrize("hold", [0.0, 0.8])
@pytest.mark.parametrize("gravity", [0.0, 1.0])
def test_strands_have_their_lengths_and_stay_outside(hold: float, gravity: float) -> None:
    strands = replace(_strands(lift=0.3, layer=0.4, length=12.0))
    points = grown(strands, replace(FREE, gravity=gravity, hold=hold), _ball())
    np.testing.assert_allclose(_length(points), 12.0, rtol=1e-4)
    assert _ball().heights(points[:, 1:].reshape(-1, 3))[0].min() > -0.15


def test_weight_lets_strands_hang() -> None:
    strands = replace(_strands(length=14.0), comb_N3=np.zeros((50, 3)))
    points = grown(strands, replace(FREE, gravity=1.0), _ball())
    last = points[:, -1] - points[:, -3]
    down = -last[:, 1] / np.linalg.norm(last, axis=1)
    assert np.median(down) > 0.95


def test_hold_keeps_strands_at_their_layers() -> None:
    comb = np.tile([0.0, 0.0, -1.0], (50, 1))
    strands = replace(_strands(lift=0.2, layer=0.5, length=5.0), comb_N3=comb)
    heights = [
        _ball().heights(grown(strands, replace(FREE, hold=hold), _ball())[:, -1])[0]
        for hold in (0.0, 0.9)
    ]
    assert np.abs(heights[1] - 0.5).mean() < 0.2 < np.abs(heights[0] - 0.5).mean()


def test_a_tie_draws_all_strands() -> None:
    tie = np.array([0, 2.0, -6.0], np.float32)
    strands = _strands(lift=0.1, layer=0.3, length=20.0)
    points = grown(strands, replace(FREE, hold=0.9, tie_3=tie), _ball(), 40)
    nearest = np.linalg.norm(points - tie, axis=-1).min(1)
    assert (nearest < 1.0).mean() > 0.95


def test_long_strands_leave_the_face_free() -> None:
    roots = np.array([[x, 4.9, 1.0] for x in (-1.0, -0.4, 0.4, 1.0)])
    normals = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    comb = np.tile([0.0, 0.0, 1.0], (4, 1))
    strands = Strands(roots, normals, comb, np.full(4, 0.2), np.full(4, 0.3), np.full(4, 18.0))
    points = grown(strands, replace(FREE, gravity=1.0, comb_cm=3.0), _ball())
    before = (points[..., 2] > 4) & (points[..., 1] < 0) & (np.abs(points[..., 0]) < 1.5)
    assert not before.any()


def test_cut_strands_end_before_what_is_forbidden() -> None:
    points = np.zeros((3, 5, 3))
    points[..., 0] = np.arange(5)
    forbidden = np.zeros((3, 5), bool)
    forbidden[1, 4] = forbidden[2, 2] = True
    cut, kept = cut_before(points, forbidden)
    assert kept.tolist() == [True, True, False]
    np.testing.assert_allclose(cut[0, :, 0], np.arange(5))
    np.testing.assert_allclose(cut[1, :, 0], np.linspace(0, 3, 5))


def test_resampled_points_lie_on_the_strand() -> None:
    points = np.stack([np.arange(6.0), np.zeros(6), np.zeros(6)], 1)[None]
    np.testing.assert_allclose(resampled(points, 4)[0, :, 0], [0, 5 / 3, 10 / 3, 5])


def test_the_pole_of_the_fixture_has_the_ball_s_radius() -> None:
    heights, _ = _ball().heights(np.array([[6.0, -SCALE, 0], [0, 5.5, 0]]))
    np.testing.assert_allclose(heights, [1, 0.5], atol=1e-4)
