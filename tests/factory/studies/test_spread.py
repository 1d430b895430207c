"""Student's quantiles in closed form, the sum of two variances, and how often intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from factory.recognition.resampling import student_quantile
from factory.studies.spread import spread


def test_seeds_alone_have_students_interval():
    found = spread([0.01, 0.02, 0.03])
    half = student_quantile(0.975, 2) * 0.01 / math.sqrt(3)
    assert found.mean == pytest.approx(0.02)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.02 - half, 0.02 + half))
    assert found.detectable == pytest.approx(half * (1 + student_quantile(0.8, 2) / 4.302653))
    assert found.over == "seeds"


def test_variances_of_seeds_and_people_add_up():
    """Equal variances v with 2 and 40 degrees: (2v)^2 / (v^2/2 + v^2/40) of them."""
    people = np.tile([-0.01, 0.01], 50) / math.sqrt(3)
    found = spread([0.01, 0.02, 0.03], people, 41)
    dof = 4 / (1 / 2 + 1 / 40)
    half = student_quantile(0.975, dof) * math.sqrt(2 / 3) * 0.01
    assert found.interval.high - found.mean == pytest.approx(half)
    assert found.over == "seeds and people"
    alone = spread([0.5], people, 41)
    assert alone.over == "people"
    assert alone.interval.high - 0.5 == pytest.approx(student_quantile(0.975, 40) * people.std())


def test_what_never_varies_has_no_interval():
    assert spread([0.5, 0.5]).interval is None
    assert spread([0.5]).interval is None


def test_intervals_of_three_seeds_cover():
    """400 differences of seeds and people; three values' quantiles would cover half as often."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        people = rng.normal(0, 0.01)  # the same at all seeds
        values = people + rng.normal(0, 0.01, 3)
        covered += spread(list(values), rng.normal(0, 0.01, 100), 60).interval.holds(0.0)
    assert 0.93 <= covered / 400 <= 0.98
