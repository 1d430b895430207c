"""Yaw and pitch of made points, and poses drawn from a histogram."""

from __future__ import annotations

import numpy as np
import pytest

from factory.sources.alignment import TEMPLATE_52, mirrored_points
from factory.sources.pose import BIN_DEG, draw_pose, learned_range, pitch_degrees, yaw_degrees

BINS = [(-20.0, 0.0, 1.0), (30.0, 10.0, 3.0)]


def test_yaw_is_zero_ahead_and_grows_with_the_nose():
    symmetric = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], float)
    turned = symmetric.copy()
    turned[2, 0] += 10
    assert yaw_degrees(symmetric) == pytest.approx(0)
    assert 20 < yaw_degrees(turned) < 40


def test_the_template_looks_ahead_and_a_mirror_image_the_other_way():
    assert pitch_degrees(TEMPLATE_52) == pytest.approx(0, abs=0.01)
    turned = TEMPLATE_52.copy()
    turned[2] += (9, -6)
    mirrored = mirrored_points(turned[None], 112)[0]
    assert yaw_degrees(mirrored) == pytest.approx(-yaw_degrees(turned))
    assert pitch_degrees(mirrored) == pytest.approx(pitch_degrees(turned), abs=1.5)
    assert pitch_degrees(turned) > 5  # the nose moves up in the image


def test_neither_depends_on_size_place_or_roll():
    turned = TEMPLATE_52.copy()
    turned[2] += (9, -6)
    angle = np.radians(20)
    roll = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = 3 * turned @ roll.T + (40, -10)
    assert yaw_degrees(moved) == pytest.approx(yaw_degrees(turned))
    assert pitch_degrees(moved) == pytest.approx(pitch_degrees(turned))


def test_poses_come_as_often_as_their_bins_and_from_all_of_them():
    rng = np.random.default_rng(0)
    poses = np.array([draw_pose(BINS, rng) for _ in range(4000)])
    right = poses[:, 0] > 0
    assert right.mean() == pytest.approx(0.75, abs=0.03)
    for rows, (yaw, pitch, _) in ((~right, BINS[0]), (right, BINS[1])):
        offsets = poses[rows] - (yaw, pitch)
        assert np.abs(offsets).max() <= BIN_DEG / 2
        assert offsets.std(0) == pytest.approx(BIN_DEG / 12**0.5, rel=0.1)


def test_the_learned_range_reaches_to_the_edges_of_the_bins():
    assert learned_range(BINS, 0) == (-25.0, 35.0)
    assert learned_range(BINS, 1) == (-5.0, 15.0)
