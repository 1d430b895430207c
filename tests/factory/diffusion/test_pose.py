"""A pose model learns how often poses come and where points lie; images show the points."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from factory.diffusion.pose import CHANNELS, PoseModel, landmark_images
from factory.errors import ConfigError
from factory.sources.alignment import TEMPLATE_52
from factory.sources.pose import draw_pose, learned_range, pitch_degrees, yaw_degrees
from tests.factory.diffusion.heads import head, many_heads, with_mirrors


def test_poses_are_read_off_five_points():
    for yaw in (-30, 0, 20):
        assert yaw_degrees(head(yaw)) == pytest.approx(yaw, abs=2)
    for pitch in (-10, 0, 15):
        assert pitch_degrees(head(0, pitch)) == pytest.approx(pitch, abs=1)


def test_points_of_a_pose_have_that_pose():
    learned = PoseModel.learn(with_mirrors(many_heads()), 112)
    rng = np.random.default_rng(1)
    for yaw in (-30.0, 0.0, 35.0):
        estimated = [yaw_degrees(learned.points(yaw, 0.0, 112, rng)) for _ in range(20)]
        assert np.mean(estimated) == pytest.approx(yaw, abs=3)
    again = PoseModel.from_json(json.loads(json.dumps(dataclasses.asdict(learned))))
    assert again == learned


def test_poses_come_as_often_as_in_the_source():
    rng = np.random.default_rng(0)
    bins = [(-20.0, 0.0, 0.25), (10.0, 0.0, 0.75)]
    drawn = [draw_pose(bins, rng) for _ in range(2000)]
    left = np.mean([yaw < -5 for yaw, _ in drawn])
    assert left == pytest.approx(0.25, abs=0.03)
    assert learned_range(bins, 0) == (-25, 15)
    assert all(-25 <= yaw <= 15 and -5 <= pitch <= 5 for yaw, pitch in drawn)


def test_rare_poses_and_lost_faces_are_left_out():
    points = np.concatenate([many_heads(), head(80)[None], np.full((9, 5, 2), np.nan)])
    low, high = learned_range(PoseModel.learn(with_mirrors(points), 112).bins, 0)
    assert -50 < low < -30
    assert 30 < high < 50
    with pytest.raises(ConfigError, match=r"generator\.pose: five points were found in 9 faces"):
        PoseModel.learn(with_mirrors(points[:9]), 112)


def test_landmark_images_have_a_spot_for_each_point():
    points = np.stack([TEMPLATE_52, np.full((5, 2), np.nan)])
    images = landmark_images(points, 112)
    assert images.shape == (2, CHANNELS, 112, 112)
    for channel, (x, y) in enumerate(TEMPLATE_52):
        peak = np.unravel_index(int(images[0, channel].argmax()), (112, 112))
        assert peak == (round(y), round(x))
        assert images[0, channel].max() > 0.9
        assert (images[0, channel] > 0.1).float().mean() < 0.02
    assert not images[1].any()
