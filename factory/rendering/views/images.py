"""How a person looks in one image: everything that changes, from the image's number.

Each aspect has a random stream of its own, so that what one of them is told by config changes
nothing else: a release without hats has the same poses, light and cameras as one with hats.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.numbers import view_seed
from factory.rendering.traits import Person
from factory.rendering.view import Camera, HairState, Light, Pose, View
from factory.rendering.views.backgrounds import draw_background
from factory.rendering.views.camera import draw_camera
from factory.rendering.views.expressions import draw_expression, draw_gaze, with_gaze
from factory.rendering.views.lights import draw_light, white_balance
from factory.rendering.wear.wear import draw_wear


class Stream(IntEnum):
    """Numbers of an image's random streams, which never change.

    Finer parts (clutter behind a head, noise of pixels) have numbers below 100.
    """

    POSE = 101
    EXPRESSION = 102
    GAZE = 103
    LIGHT = 104
    CAMERA = 105
    HAIR = 106
    WEAR = 107
    BACKGROUND = 108
    AGE = 109
    LANDMARKS = 110


CANDID_FRACTION = 0.2
"""Images in which nobody posed: heads turn farther, in yaw and pitch alike."""
POSED_STD = 0.7
"""Of posed images, as a fraction of the whole's standard deviation."""
CANDID_STD = ((1 - (1 - CANDID_FRACTION) * POSED_STD**2) / CANDID_FRACTION) ** 0.5
"""So that both together have the standard deviation that is asked for."""
LARGEST_DEG = (60.0, 35.0, 35.0)
"""Of yaw, pitch, roll."""
DRIFT_STD_YEARS, DRIFT_MOST_YEARS = 2.5, 7.0
"""Photographs of somebody are from some years."""
LANDMARK_STD_PX = (0.3, 0.8)
"""By which a detector's points are wrong in an aligned image, from good images to bad ones."""
NUM_HAIR_STATES = 3
HAIR_STATE_FRACTIONS = (0.62, 0.24, 0.14)
TIED_CM = 18.0
"""Hair of this length is sometimes tied."""


def draw_view(config: RenderingConfig, person: Person, image: int) -> View:
    """Image number `image` of a person, whatever other images are drawn."""
    seed = view_seed(config, person.index, image)

    def stream(which: Stream) -> np.random.Generator:
        return np.random.default_rng([seed, which])

    pose = draw_pose(config, stream(Stream.POSE))
    name, muscles = draw_expression(config, person, stream(Stream.EXPRESSION))
    gaze = draw_gaze(pose.yaw, pose.pitch, stream(Stream.GAZE))
    light = draw_light(config, stream(Stream.LIGHT))
    return View(
        image,
        seed,
        pose,
        expression_name=name,
        expression=with_gaze(muscles, gaze, float(config.expression > 0)),
        gaze=gaze,
        light=light,
        camera=_balanced(draw_camera(config, stream(Stream.CAMERA)), light),
        hair=draw_hair_state(person, stream(Stream.HAIR)),
        wear=draw_wear(config, person, stream(Stream.WEAR)),
        background=draw_background(config, stream(Stream.BACKGROUND)),
        age_drift=draw_age_drift(stream(Stream.AGE)),
        landmark_noise=draw_landmark_noise(stream(Stream.LANDMARKS)),
    )


def draw_pose(config: RenderingConfig, rng: np.random.Generator) -> Pose:
    """Degrees: a mixture of posed and candid images, with the standard deviations of config.

    LFW's yaw, seen by a detector of frontal faces, has a standard deviation of 14 degrees and no
    tails; candid images add those that it leaves out.
    """
    candid = rng.random() < CANDID_FRACTION
    normal_3 = rng.standard_normal(3) * (CANDID_STD if candid else POSED_STD)
    spread = (config.yaw_std_deg, config.pitch_std_deg, config.roll_std_deg)
    yaw, pitch, roll = np.clip(normal_3 * spread, -np.array(LARGEST_DEG), LARGEST_DEG)
    return Pose(float(yaw), float(pitch), float(roll))


def draw_hair_state(person: Person, rng: np.random.Generator) -> HairState:
    """One of the person's NUM_HAIR_STATES, so that a renderer can keep the strands of each."""
    return hair_states(person)[int(rng.choice(NUM_HAIR_STATES, p=HAIR_STATE_FRACTIONS))]


def hair_states(person: Person) -> tuple[HairState, ...]:
    """As always; tousled; longer, shorter or tied: from the person's own seed."""
    rng = np.random.default_rng([person.seed, 72])
    tousled, other = float(rng.uniform(0.2, 0.6)), float(rng.choice([0.75, 0.85, 1.15]))
    tied = person.hair.length >= TIED_CM and rng.random() < 0.8
    last = HairState(tied=True) if tied else HairState(length_factor=other)
    return HairState(), HairState(tousled=tousled), last


def draw_age_drift(rng: np.random.Generator) -> float:
    """Years added to the person's age."""
    years = DRIFT_STD_YEARS * rng.standard_normal()
    return float(np.clip(years, -DRIFT_MOST_YEARS, DRIFT_MOST_YEARS))


def draw_landmark_noise(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Pixels of a 112-pixel image by which each of the five points is wrong."""
    std = rng.uniform(*LANDMARK_STD_PX)
    return tuple((float(x), float(y)) for x, y in std * rng.standard_normal((5, 2)))


def _balanced(camera: Camera, light: Light) -> Camera:
    """The camera with gains against the color of the light, times its own residual."""
    gains = np.array(white_balance(light, camera.adaptation)) * camera.white_balance
    red, green, blue = (float(gain) for gain in gains)
    return replace(camera, white_balance=(red, green, blue))
