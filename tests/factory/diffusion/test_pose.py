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


def test_points_are_a_quadratic_of_the_pose_plus_the_spread_of_what_remains():
    """Least squares on (1, y, p, y^2, p^2, yp) in units of 45 degrees; draws have that spread."""
    rng = np.random.default_rng(7)
    turns = rng.uniform(-40, 40, 150), rng.uniform(-20, 20, 150)
    points = np.stack(
        [head(y, p) + rng.normal(0, 0.6, (5, 2)) for y, p in zip(*turns, strict=True)]
    )
    both = with_mirrors(points)
    learned = PoseModel.learn(both, 112)
    faces = both.reshape(-1, 5, 2)
    poses = np.array([(yaw_degrees(face), pitch_degrees(face)) for face in faces])
    y, p = poses.T / 45
    terms = np.stack([y * 0 + 1, y, p, y * y, p * p, y * p], 1)
    weights = np.linalg.solve(terms.T @ terms, terms.T @ (faces.reshape(-1, 10) / 112))
    np.testing.assert_allclose(learned.weights_610, weights, atol=1e-6)
    remains = faces.reshape(-1, 10) / 112 - terms @ weights
    spread = np.array(learned.spread_1010)
    np.testing.assert_allclose(spread @ spread.T, np.cov(remains.T), atol=1e-7)
    drawn = np.stack([learned.points(20.0, -10.0, 112, rng).ravel() for _ in range(3000)])
    at = np.array([1, 20 / 45, -10 / 45, (20 / 45) ** 2, (10 / 45) ** 2, -200 / 45**2])
    np.testing.assert_allclose(drawn.mean(0), 112 * at @ weights, atol=0.1)
    np.testing.assert_allclose(drawn.std(0), 112 * remains.std(0), rtol=0.1)
    middles, counts = np.unique(10 * np.round(poses / 10), axis=0, return_counts=True)
    common = counts > 1
    wanted = np.column_stack([middles, counts])[common].astype(float)
    wanted[:, 2] /= counts[common].sum()
    np.testing.assert_allclose(learned.bins, wanted, atol=1e-7)


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


@pytest.mark.parametrize("image_px", [112, 56])
def test_a_spot_is_a_gaussian_of_four_pixels_of_112(image_px):
    points = np.full((1, 5, 2), 20.0)
    points[:, :, 0] = 10.0
    spot = landmark_images(points, image_px)[0, 3]
    scale = 4 * image_px / 112
    for x, y in ((10, 20), (13, 20), (10, 17), (6, 25)):
        wanted = np.exp(-((x - 10) ** 2 + (y - 20) ** 2) / (2 * scale**2))
        assert float(spot[y, x]) == pytest.approx(wanted, rel=1e-5)
