"""Hair of the head as guided strands."""

from __future__ import annotations

from factory.rendering.head import Head, HeadModel
from factory.rendering.parts import Part
from factory.rendering.traits import Person
from factory.rendering.view import HairState


def hair_parts(model: HeadModel, neutral: Head, person: Person, state: HairState) -> list[Part]:
    """Strands on the head without expression, `fixed` as long as the state is the same."""
    return []
