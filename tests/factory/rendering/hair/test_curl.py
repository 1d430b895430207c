"""Locks and curls in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.hair.curl import RISE_CM, clumped, curled, nearest, pitch_of, radius_of


def _straight(num: int = 3, points: int = 40, step: float = 0.5) -> np.ndarray:
    strands = np.zeros((num, points, 3))
    strands[..., 1] = -np.arange(points) * step
    strands[..., 0] = np.arange(num)[:, None]
    return strands


def test_a_curl_is_a_helix_of_its_radius_and_pitch() -> None:
    straight = _straight()
    radius, pitch = np.array([0.3, 0.5, 0.0]), np.array([4.0, 5.0, 4.0])
    wound = curled(straight, radius, pitch, np.array([0.0, 1.0, 2.0])) - straight
    np.testing.assert_allclose(wound[..., 1], 0, atol=1e-9)
    settled = slice(int(RISE_CM / 0.5), None)
    np.testing.assert_allclose(
        np.linalg.norm(wound, axis=-1)[:, settled], np.tile(radius[:, None], (1, 36)), atol=1e-9
    )
    np.testing.assert_allclose(wound[0, settled][:-8], wound[0, settled][8:], atol=1e-9)
    half_turn = wound[1, settled]
    np.testing.assert_allclose(half_turn[:-5], -half_turn[5:], atol=1e-9)
    assert np.abs(wound[2]).max() == 0


def test_roots_do_not_move() -> None:
    straight = _straight()
    wound = curled(straight, np.full(3, 0.5), np.full(3, 4.0), np.zeros(3))
    np.testing.assert_array_equal(wound[:, 0], straight[:, 0])


def test_curlier_hair_has_shorter_turns() -> None:
    curls = np.linspace(0, 1, 11)
    pitches = [pitch_of(curl) for curl in curls]
    assert pitches == sorted(pitches, reverse=True)
    assert radius_of(0.0) == 0
    assert radius_of(0.6) == pytest.approx(0.5)


def test_tips_of_a_lock_come_together_and_roots_stay() -> None:
    straight = _straight(4)
    clump, guides = np.array([0, 0, 1, 1]), np.array([0, 3])
    drawn = clumped(straight, clump, guides, np.array([1.0, 1.0, 0.5, 0.5]))
    np.testing.assert_allclose(drawn[:, 0], straight[:, 0])
    np.testing.assert_allclose(drawn[:, -1, 0], [0, 0, 2.5, 3])


def test_the_nearest_center_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(3)
    points, centers = rng.standard_normal((200, 3)), rng.standard_normal((17, 3))
    far = np.linalg.norm(points[:, None] - centers[None], axis=-1)
    np.testing.assert_array_equal(nearest(points, centers), far.argmin(1))
