"""Brows and beards as strands that move with the face."""

from __future__ import annotations

from factory.rendering.head import Head, HeadModel
from factory.rendering.parts import Part
from factory.rendering.traits import Person


def brow_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Both eyebrows."""
    return []


def beard_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Moustache and beard; nothing for who has none."""
    return []
