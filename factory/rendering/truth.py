"""What is true of a rendered image, from the person, the view and what the renderer says."""

from __future__ import annotations

import numpy as np

from factory.records import Point, Rendered, Truth
from factory.rendering.renderer import RenderedImage
from factory.rendering.traits import Person
from factory.rendering.view import View

DECIMALS = 3
"""Of points, in pixels, and of angles and ages."""


def rendered(person: Person, view: View, image: RenderedImage) -> Rendered:
    """Truth and labels of an image of a person."""
    wear = view.wear
    truth = Truth(
        person=person.index,
        view=view.image,
        landmarks_5=_points(image.landmarks_52),
        landmarks_68=_points(image.landmarks_68x2),
        yaw=round(view.pose.yaw, DECIMALS),
        pitch=round(view.pose.pitch, DECIMALS),
        roll=round(view.pose.roll, DECIMALS),
        expression=view.expression_name,
        light=view.light.name,
        background=view.background,
        group=person.group,
        age=round(person.age + view.age_drift, DECIMALS),
        hair=person.hair.style,
        beard=person.beard.style,
        glasses=wear.glasses and person.glasses is not None,
        sunglasses=wear.sunglasses or "",
        hat=wear.hat or "",
        mask=wear.mask or "",
        scarf=wear.scarf or "",
        hand=wear.hand or "",
    )
    return Rendered(truth, image.labels_HW, round(float(image.occluded_fraction), 5))


def _points(points_N2: np.ndarray) -> tuple[Point, ...]:
    return tuple((round(float(x), DECIMALS), round(float(y), DECIMALS)) for x, y in points_N2)
