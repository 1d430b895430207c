"""Shoulders and what is worn on them."""

from __future__ import annotations

from factory.rendering.head import Head, HeadModel
from factory.rendering.parts import Part
from factory.rendering.traits import Person
from factory.rendering.view import View


def clothes_parts(model: HeadModel, head: Head, person: Person, view: View) -> list[Part]:
    """Shoulders, neck opening and collar; the body turns half as far as the head."""
    return []
