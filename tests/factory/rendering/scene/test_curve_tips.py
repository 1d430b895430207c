"""Mitsuba 3.9.1 reads past the last segment of many curves; ours end in one that no ray meets.

What is read there is whatever lies in memory, so that a crash cannot be asked for: seen with 20,000
and 29,768 segments, not in every process (pull request 1928 of mitsuba3 clamps the number).
"""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.parts import Label, Material, StrandsPart
from factory.rendering.scene.shapes import _strands


def test_curves_end_in_a_strand_that_is_too_thin_and_too_deep_to_meet() -> None:
    mi = pytest.importorskip("mitsuba")
    points = np.random.default_rng(0).uniform(-1, 1, (30, 5, 3))
    part = StrandsPart("hair", Label.HAIR, points, 0.05, Material("hair"), tip=0.5)
    mi.set_variant("scalar_rgb")
    shape = _strands(mi, part)
    written = np.array(mi.traverse(shape)["control_points"]).reshape(-1, 5, 4)
    np.testing.assert_allclose(written[:30, :, :3], points, atol=1e-4)
    assert len(written) == 31
    assert written[-1, :, 3].max() < 1e-3
    np.testing.assert_allclose(written[-1, 0, :3], points.mean((0, 1)), atol=1e-3)
    assert written[:30, :, 3].min() > 0.02
