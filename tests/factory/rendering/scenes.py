"""Small parts, frames and lights that tests put scenes together from."""

from __future__ import annotations

import numpy as np

from factory.rendering.parts import Label, Material, MeshPart, StrandsPart
from factory.rendering.scene.frame import Frame
from factory.rendering.view import Light

PX = 32
WHITE = Light("white", (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
"""The same light from everywhere."""


def straight_frame(image_px: int = PX, pixels_per_cm: float = 2.0, distance: float = 100.0):
    """A camera that sees the plane z = 0 at a scale, its middle at the middle of the film."""
    scale = pixels_per_cm * distance
    middle = (image_px - 1) / 2
    matrix = np.array([[scale, 0, middle], [0, scale, middle]])
    return Frame(np.eye(3), np.zeros(3), distance, matrix, image_px)


def quad(
    left: float, right: float, bottom: float, top: float, z: float = 0.0,
    name: str = "quad", label: Label = Label.SKIN, material: Material | None = None, **more,
):  # fmt: skip
    """A rectangle that faces the camera, corners counterclockwise from left bottom."""
    corners = [[left, bottom, z], [right, bottom, z], [right, top, z], [left, top, z]]
    return MeshPart(
        name, label, np.array(corners, float), np.array([[0, 1, 2], [0, 2, 3]]),
        material or Material("matte", (0.5, 0.5, 0.5)), **more,
    )  # fmt: skip


def rows_of_strands(num: int = 24, count: int = 4, **more):
    """Vertical strands beside each other from y = -6 to 6."""
    points = np.zeros((num, count, 3))
    points[..., 0] = np.linspace(-6, 6, num)[:, None]
    points[..., 1] = np.linspace(-6, 6, count)
    more = {"material": Material("hair", (0.3, 0.2, 0.1)), **more}
    return StrandsPart("strands", Label.HAIR, points, 0.3, tip=1.0, **more)
