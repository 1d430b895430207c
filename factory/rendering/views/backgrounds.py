"""What is behind a head: rooms, streets, trees, walls, out of focus.

A backdrop is painted in the light of the world, turned as alignment turns the photograph, and
blurred as a lens would blur what is far behind the face. It is always painted at the same
resolution, so images of any size show the same one.
"""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.view import Light, View
from factory.rendering.views.scenery import CANVAS_PX, PAINTERS, Canvas, beside

SHARES = {
    "wall": 0.22,
    "office": 0.2,
    "room": 0.13,
    "curtain": 0.09,
    "press": 0.07,
    "crowd": 0.09,
    "street": 0.07,
    "park": 0.05,
    "night": 0.03,
    "sky": 0.02,
    "dark": 0.03,
}
"""How often photographs of people have each kind: mostly indoors, cluttered and dim (LFW)."""
KINDS = ("plain", *SHARES)
INDOORS = ("wall", "office", "room", "curtain", "press", "crowd")
BESIDE = 0.6
"""Of these, how many have something large at one side: LFW's corners differ so much."""
DIM = 0.8
"""What is behind people is mostly farther from the lamps than they are."""
CROP_PX = 112
"""Of the canvas, what an image shows."""
BRIGHTEST = 3.0
MEDIAN_BLUR_PX = 1.2
"""In pixels of a 112-pixel image: LFW's cameras were far away and at small apertures,
so much of what is behind the head is still nearly sharp."""


def draw_background(config: RenderingConfig, rng: np.random.Generator) -> str:
    """A kind of backdrop for one image: a name of KINDS."""
    kind = str(rng.choice(list(SHARES), p=np.array(list(SHARES.values())) / sum(SHARES.values())))
    return "plain" if config.background == "plain" else kind


def background_HWC(view: View, side_px: int) -> np.ndarray:
    """Linear RGB float32 [side, side, 3] that fills the image behind the head.

    A KeyError names a kind that is not in KINDS.
    """
    if view.background == "plain":
        color = np.abs(0.25 + 0.15 * np.random.default_rng([view.seed, 7]).standard_normal(3))
        return np.tile(color.astype(np.float32), (side_px, side_px, 1))
    rng = np.random.default_rng([view.seed, 8])
    canvas = Canvas(rng)
    PAINTERS[view.background](canvas, rng)
    if view.background in INDOORS and rng.random() < BESIDE:
        beside(canvas, rng)
    blur = max(MEDIAN_BLUR_PX * float(np.exp(0.6 * rng.standard_normal())), canvas.least_blur_px)
    near = 1 + canvas.nearness * float(rng.beta(1, 1.5))
    picture = _turned(_blurred(canvas, blur / near), view.pose.roll, side_px, near)
    lit = picture * (DIM * light_level(view.light) * np.array(view.light.behind))
    lit = np.clip(lit, 0, BRIGHTEST)
    return np.asarray(lit, np.float32)


def light_level(light: Light) -> float:
    """What a white surface that faces the camera sends back, the mean of its three colors."""
    level = (np.array(light.sky_top) + np.array(light.sky_bottom)) / 2
    for area in light.areas:
        facing = max(area.direction[2], 0.0)
        level = level + np.array(area.radiance) * facing * area.size**2 / area.distance**2 / np.pi
    if light.sun is not None:
        level = level + np.array(light.sun.irradiance) * max(light.sun.direction[2], 0.0) / np.pi
    return float(level.mean())


def _blurred(canvas: Canvas, blur_px: float) -> np.ndarray:
    import cv2

    soft = cv2.GaussianBlur(canvas.picture_HWC, (0, 0), max(blur_px, 0.4))
    if not canvas.glints:
        return np.asarray(soft)
    disc = 2 + int(2 * blur_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * disc + 1, 2 * disc + 1))
    glints = cv2.filter2D(canvas.glints_HWC, -1, kernel / kernel.sum() ** 0.75)
    return np.asarray(soft + cv2.GaussianBlur(glints, (0, 0), 0.6))


def _turned(picture_HWC: np.ndarray, roll_deg: float, side_px: int, near: float) -> np.ndarray:
    """The middle of a canvas, `near` times as large, turned against the head's roll."""
    import cv2

    scale = CROP_PX / side_px / near
    cos, sin = np.cos(np.radians(roll_deg)) * scale, np.sin(np.radians(roll_deg)) * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    half = (side_px - 1) / 2
    start = (CANVAS_PX - 1) / 2 - turn @ [half, half]
    if scale > 1:
        picture_HWC = cv2.GaussianBlur(picture_HWC, (0, 0), 0.4 * scale)
    matrix = np.concatenate([turn, start[:, None]], 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture_HWC, matrix, (side_px, side_px), flags=flags,
                                     borderMode=cv2.BORDER_REFLECT))  # fmt: skip
