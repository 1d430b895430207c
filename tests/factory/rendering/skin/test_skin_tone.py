"""Skin darkens with melanin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.rendering.skin.skin_tone import skin_tone
from tests.factory.rendering.worn import somebody


def test_tones_go_from_fair_to_dark():
    person = somebody(0)
    tones = np.array([skin_tone(replace(person, skin=replace(person.skin, melanin=m)))
                      for m in np.linspace(0, 1, 5)])  # fmt: skip
    assert (np.diff(tones, axis=0) < 0).all()
    assert (tones[:, 0] > tones[:, 1]).all()
    assert (tones[:, 1] > tones[:, 2]).all()
    assert tones.min() > 0.05
