"""What is worn on the head or held before it: glasses, hats, masks, scarves, hands."""

from __future__ import annotations

from factory.rendering.glasses import glasses_parts
from factory.rendering.head import Head, HeadModel
from factory.rendering.parts import Part
from factory.rendering.traits import Person
from factory.rendering.view import View


def accessory_parts(model: HeadModel, head: Head, person: Person, view: View) -> list[Part]:
    """Everything of view.wear but clothes."""
    return glasses_parts(model, head, person, view)
