"""Everything that a view wears becomes a part with its label."""

from __future__ import annotations

import pytest

from factory.rendering.parts import Label
from factory.rendering.view import View, Wear
from factory.rendering.wear.accessories import accessory_parts
from tests.factory.rendering.worn import MODEL, head_of, somebody


def labels(wear: Wear) -> list[Label]:
    parts = accessory_parts(MODEL, head_of(0), somebody(0), View(0, 0, wear=wear))
    return [part.label for part in parts]


def test_nothing_worn_is_no_part():
    assert labels(Wear()) == []


@pytest.mark.parametrize(
    ("wear", "expected"),
    [
        (Wear(hat="cap"), [Label.HAT]),
        (Wear(mask="ffp"), [Label.OCCLUDER]),
        (Wear(scarf="neck"), [Label.OCCLUDER]),
        (Wear(hand="chin"), [Label.OCCLUDER]),
        (Wear(hat="beanie", mask="cloth", scarf="neck"),
         [Label.HAT, Label.OCCLUDER, Label.OCCLUDER]),
    ],
)  # fmt: skip
def test_each_has_its_label(wear: Wear, expected: list[Label]):
    assert labels(wear) == expected


def test_names_differ():
    wear = Wear(hat="cap", mask="ffp", scarf="neck", hand="phone")
    parts = accessory_parts(MODEL, head_of(0), somebody(0), View(0, 0, wear=wear))
    names = [part.name for part in parts]
    assert len(names) == len(set(names)) == 5
