"""How a person looks in one image: everything that changes, from the image's number."""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.backgrounds import draw_background
from factory.rendering.camera import draw_camera
from factory.rendering.lights import draw_light
from factory.rendering.traits import Person
from factory.rendering.view import Pose, View
from factory.rendering.wear import draw_wear
from factory.seeds import stream_seed


def draw_view(config: RenderingConfig, person: Person, image: int) -> View:
    """Image number `image` of a person, whatever other images are drawn."""
    seed = stream_seed("image", config.seed, person.index, image)
    rng = np.random.default_rng(seed)
    spread = (config.yaw_std_deg, config.pitch_std_deg, config.roll_std_deg)
    yaw, pitch, roll = (float(std * rng.standard_normal()) for std in spread)
    return View(
        image,
        seed,
        Pose(yaw, pitch, roll),
        light=draw_light(config, rng),
        camera=draw_camera(config, rng),
        wear=draw_wear(config, person, np.random.default_rng([seed, 39])),
        background=draw_background(config, np.random.default_rng([seed, 40])),
    )
