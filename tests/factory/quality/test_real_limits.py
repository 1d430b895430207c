"""From which cosine on somebody made counts as somebody real."""

from __future__ import annotations

import numpy as np
import pytest

from factory.quality.real_limits import EQUAL, is_leak, leak_limit, unit_means


@pytest.mark.parametrize(("fpir", "wanted"), [(0.1, 0.9), (0.5, 0.5), (0.01, 1.0)])
def test_limit_is_the_least_stranger_that_so_few_exceed(fpir, wanted):
    strangers = np.arange(11) / 10
    limit = leak_limit(strangers, fpir)
    brute = min(c for c in strangers if (strangers > c).mean() <= fpir + 1e-12)
    assert limit == pytest.approx(wanted) == pytest.approx(brute)


def test_a_leak_is_above_the_limit_and_an_equal_picture_always():
    cosines = np.array([0.8, np.nextafter(0.8, 1), EQUAL, 1.0])
    assert is_leak(cosines, 0.8).tolist() == [False, True, True, True]
    assert is_leak(cosines, 1.0).tolist() == [False, False, True, True]
    assert not is_leak(np.array([1 - 2e-6]), 1.0)[0]  # alike, and still two pictures


def test_means_are_of_unit_length_and_weigh_every_vector_alike():
    unit = np.array([[1, 0], [0, 1], [0, 1], [0, -1]], np.float32)
    means = unit_means(unit, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(means, [[1 / 5**0.5, 2 / 5**0.5], [0, -1]], atol=1e-6)
