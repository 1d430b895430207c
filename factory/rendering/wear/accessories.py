"""What is worn on the head or held before it: glasses, hats, masks, scarves, hands."""

from __future__ import annotations

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Part
from factory.rendering.traits import Person
from factory.rendering.view import View
from factory.rendering.wear.coverings import mask_parts, scarf_part
from factory.rendering.wear.glasses import glasses_parts
from factory.rendering.wear.hands import hand_parts
from factory.rendering.wear.hats import hat_part


def accessory_parts(model: HeadModel, head: Head, person: Person, view: View) -> list[Part]:
    """Everything of view.wear but clothes."""
    wear = view.wear
    parts = glasses_parts(model, head, person, view)
    if wear.hat is not None:
        parts.append(hat_part(model, head, wear))
    if wear.mask is not None:
        parts += mask_parts(model, head, wear)
    if wear.scarf is not None:
        parts.append(scarf_part(model, head, wear))
    if wear.hand is not None:
        parts += hand_parts(model, head, person, view)
    return parts
