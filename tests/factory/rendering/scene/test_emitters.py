"""Emitters: only lights in the camera's way are moved, and the head sees them as before."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.scene.emitters import out_of_sight
from factory.rendering.view import AreaLight
from tests.factory.rendering.scenes import straight_frame

FRAME = straight_frame()  # sees 16 cm at the head, from 100 cm away


@pytest.mark.parametrize(
    "area",
    [
        AreaLight((1.0, 0.0, 0.2), 80.0, 20.0, (1, 1, 1)),
        AreaLight((0.0, 0.3, -1.0), 80.0, 20.0, (1, 1, 1)),
        AreaLight((0.0, 0.05, 1.0), 150.0, 20.0, (1, 1, 1)),
    ],
    ids=["beside", "behind the head", "behind the camera"],
)
def test_a_light_that_hides_nothing_stays(area):
    assert out_of_sight(area, FRAME) == area


@pytest.mark.parametrize("distance", [30.0, 70.0, 99.0, 110.0])
def test_a_light_before_the_camera_goes_behind_it_under_the_same_angle(distance):
    area = AreaLight((0.02, 0.05, 1.0), distance, 15.0, (1, 2, 3))
    moved = out_of_sight(area, FRAME)
    direction = np.array(area.direction) / np.linalg.norm(area.direction)
    assert direction[2] * moved.distance > FRAME.distance + moved.size * 0.1
    assert moved.size / moved.distance == pytest.approx(area.size / area.distance)
    assert (moved.direction, moved.radiance) == (area.direction, area.radiance)


def test_no_light_that_is_left_can_be_in_the_picture():
    """Corners of a thousand lights, projected: those before the camera lie outside the film."""
    rng = np.random.default_rng(0)
    for _ in range(1000):
        direction = rng.normal(size=3)
        direction = tuple(direction / np.linalg.norm(direction) * [1, 1, 1])
        area = AreaLight(
            direction, float(rng.uniform(20, 200)), float(rng.uniform(2, 60)), (1, 1, 1)
        )
        moved = out_of_sight(area, FRAME)
        at = np.array(moved.direction) * moved.distance
        toward = np.array(moved.direction)
        side = np.cross([0.0, 1, 0], toward)
        side /= np.linalg.norm(side)
        up = np.cross(toward, side)
        steps = moved.size / 2 * np.linspace(-1, 1, 9)
        points = at + steps[:, None, None] * side + steps[None, :, None] * up
        points = points.reshape(-1, 3)
        points = points[(points[:, 2] > 0) & (points[:, 2] < FRAME.distance)]
        pixels = FRAME.pixels(points)
        assert not ((pixels > -0.5) & (pixels < FRAME.image_px - 0.5)).all(1).any()
