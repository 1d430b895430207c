"""Sky, area lights and sun as emitters of Mitsuba 3, in the space of the head.

All are invisible to the camera (hide_emitters), but a body before the lens would hide the face in
the pass that asks for parts; a light that would stand there is moved behind the camera, grown so
that the head sees it under the same angle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from factory.rendering.scene.frame import Frame
from factory.rendering.view import AreaLight, Light, Sun

SUN_DISTANCE = 1000.0
"""Centimeters; far enough that its rays are parallel on a head to within half a degree."""
MIN_SUN_DEG = 0.5
SKY_ROWS = 16


def emitters_of(mi: Any, light: Light, frame: Frame) -> dict[str, Any]:
    """Emitters by name, as dictionaries of Mitsuba."""
    emitters = {"sky": _sky(mi, light, frame)}
    for number, area in enumerate(light.areas):
        emitters[f"area{number}"] = _area(mi, out_of_sight(area, frame), frame)
    if light.sun is not None:
        emitters["sun"] = _sun(mi, light.sun, frame)
    return emitters


def out_of_sight(area: AreaLight, frame: Frame) -> AreaLight:
    """The light, or one behind the camera that looks the same from the head."""
    at = _unit(area.direction) * area.distance
    scale = float(np.sqrt(abs(np.linalg.det(frame.matrix_23[:, :2]))))
    ahead = frame.distance - at[2]
    seen = frame.image_px / scale * max(ahead, 0)  # the film's side at that depth, with a margin
    aside = np.hypot(at[0], at[1]) - area.size * np.sqrt(0.5)
    if at[2] <= 0 or ahead <= -area.size or aside > seen:
        return area
    grown = (frame.distance + 2 * area.size) / at[2]
    return replace(area, distance=area.distance * grown, size=area.size * grown)


def _sky(mi: Any, light: Light, frame: Frame) -> dict[str, Any]:
    rows = np.linspace(0, 1, SKY_ROWS)[:, None, None]
    sky = np.array(light.sky_top) * (1 - rows) + np.array(light.sky_bottom) * rows
    turn = np.eye(4)
    turn[:3, :3] = frame.rotation_33.T
    return {
        "type": "envmap",
        "bitmap": mi.Bitmap(np.tile(sky, (1, 2 * SKY_ROWS, 1)).astype(np.float32)),
        "to_world": mi.ScalarTransform4f(turn.tolist()),
    }


def _area(mi: Any, area: AreaLight, frame: Frame) -> dict[str, Any]:
    return {
        "type": "rectangle",
        "to_world": _toward_head(mi, _unit(area.direction) * area.distance, area.size / 2, frame),
        "emitter": _emitter(area.radiance),
    }


def _sun(mi: Any, sun: Sun, frame: Frame) -> dict[str, Any]:
    """A disk: radiance is the irradiance over its solid angle, so the angle changes edges alone."""
    half = np.radians(max(sun.angle, MIN_SUN_DEG)) / 2
    radiance = np.array(sun.irradiance) / (np.pi * np.tan(half) ** 2)
    at = _unit(sun.direction) * SUN_DISTANCE
    return {
        "type": "disk",
        "to_world": _toward_head(mi, at, SUN_DISTANCE * np.tan(half), frame),
        "emitter": _emitter(radiance),
    }


def _toward_head(mi: Any, at_3: np.ndarray, half: float, frame: Frame) -> Any:
    """A shape of half side `half` at a place of the world that faces the head."""
    above = np.array([0, 1, 0]) if abs(_unit(at_3)[1]) < 0.99 else np.array([0, 0, 1])
    origin, target, up = frame.to_head(np.array([at_3, [0, 0, 0], at_3 + above]))
    pose = mi.ScalarTransform4f().look_at(
        origin=origin.tolist(), target=target.tolist(), up=(up - origin).tolist()
    )
    return pose @ mi.ScalarTransform4f().scale([float(half)] * 3)


def _emitter(radiance: Any) -> dict[str, Any]:
    values = [float(max(value, 0)) for value in radiance]
    return {"type": "area", "radiance": {"type": "rgb", "value": values}}


def _unit(direction: Any) -> np.ndarray:
    vector = np.asarray(direction, float)
    return np.asarray(vector / np.linalg.norm(vector))
