"""People of the tests of brows, beards, lashes and glasses, and what they measure by."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.head.head import Head, HeadModel, head_model
from factory.rendering.people.people import draw_person
from factory.rendering.traits import BeardTraits, BrowTraits, EyeTraits, Person

MEAN = (0.0,) * 100


@cache
def model() -> HeadModel:
    """The head model."""
    return head_model()


def person(index: int = 0, **changes: Any) -> Person:
    """Somebody with plain brows, no beard and no glasses, and with the `changes`."""
    plain: dict[str, Any] = {
        "brows": BrowTraits((0.03, 0.02, 0.01)),
        "beard": BeardTraits(),
        "eyes": EyeTraits((0.1, 0.05, 0.02), (0.1, 0.05, 0.02)),
        "presentation": 0.5,
        "glasses": None,
    }
    return replace(draw_person(RenderingConfig(), index), **(plain | changes))


def neutral(someone: Person) -> Head:
    """The head without expression."""
    return model().shaped(someone.shape, ())


def height_over_skin(points_N3: np.ndarray, head: Head) -> np.ndarray:
    """Distance from the plane of the nearest vertex of the face, negative within the skin [N]."""
    vertices, _ = model().region("M_Face", "M_BackHead")
    skin, normals = head.vertices_V3[vertices], head.normals_V3[vertices]
    square = (skin**2).sum(1)
    height = []
    for some in np.array_split(points_N3.astype(np.float32), max(len(points_N3) // 1000, 1)):
        nearest = (square - 2 * some @ skin.T).argmin(1)
        height.append(((some - skin[nearest]) * normals[nearest]).sum(1))
    return np.concatenate(height)
