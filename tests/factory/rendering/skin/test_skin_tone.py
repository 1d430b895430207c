"""Skin darkens with melanin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.head.head import head_model
from factory.rendering.skin.skin import skin_part
from factory.rendering.skin.skin_tone import skin_tone
from tests.factory.rendering.worn import somebody


def test_tones_go_from_fair_to_dark():
    person = somebody(0)
    tones = np.array([skin_tone(replace(person, skin=replace(person.skin, melanin=m)))
                      for m in np.linspace(0, 1, 5)])  # fmt: skip
    assert (np.diff(tones, axis=0) < 0).all()
    assert (tones[:, 0] > tones[:, 1]).all()
    assert (tones[:, 1] > tones[:, 2]).all()
    assert tones.min() > 0.01


def test_hands_and_shoulders_have_the_color_of_the_face():
    person = somebody(0)
    face = skin_part(head_model(), head_model().shaped(person.shape, ()), person)
    assert face.texture_HWC is not None
    painted = face.texture_HWC.reshape(-1, 3)
    middle = np.median(painted[painted.sum(1) > 0], 0)
    assert skin_tone(person) == pytest.approx(middle, rel=0.35)
