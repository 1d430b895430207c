"""Brows and beards as strands that move with the face."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from factory.rendering.hair.beards import STYLES, grow_beard
from factory.rendering.hair.brows import grow_brows
from factory.rendering.head.head import Head, HeadModel
from factory.rendering.head.roots import RootedStrands
from factory.rendering.parts import Label, Material, Part, StrandsPart
from factory.rendering.traits import Color, Person

BROW_RADIUS = 0.012
"""Centimeters: twice that of a hair, for half as many."""


@lru_cache(maxsize=4)
def _brows(model: HeadModel, person: Person) -> RootedStrands:
    return grow_brows(model, model.shaped(person.shape, ()), person)


def brow_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Both eyebrows."""
    points = _brows(model, person).on(head)
    if not len(points):
        return []
    hair = Material("hair", person.brows.color, roughness=0.4)
    return [StrandsPart("brows", Label.BROWS, points, BROW_RADIUS, hair, tip=0.35)]


@lru_cache(maxsize=4)
def _beard(model: HeadModel, person: Person) -> tuple[RootedStrands, np.ndarray]:
    return grow_beard(model, model.shaped(person.shape, ()), person)


def beard_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Moustache and beard in two shades; nothing for who has none."""
    beard = person.beard
    if beard.style == "none" or beard.density <= 0:
        return []
    strands, light = _beard(model, person)
    points, parts = strands.on(head), list[Part]()
    for name, which, color in (
        ("beard", ~light, beard.color),
        ("beard_light", light, lighter(beard.color)),
    ):
        if which.any():
            hair, radius = Material("hair", color, roughness=0.45), STYLES[beard.style].radius
            parts.append(StrandsPart(name, Label.BEARD, points[which], radius, hair, tip=0.4))
    return parts


def lighter(color: Color) -> Color:
    """The color of the lighter hairs of a beard."""
    red, green, blue = (
        0.75 * part + add for part, add in zip(color, (0.06, 0.04, 0.025), strict=True)
    )
    return red, green, blue
