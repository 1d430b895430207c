"""Centers of people without the face itself, against a plain mean in float64."""

from __future__ import annotations

import numpy as np
import pytest

from factory.diffusion.leave_one_out import LeaveOneOutCenters
from factory.training.rows import Rows, in_memory

LABELS = np.array([0, 1, 0, 2, 1, 1, 0])


def unit_rows(seed=0):
    """Embeddings of seven faces, their mirrors and a copy, in shards of three."""
    vectors = np.random.default_rng(seed).normal(size=(len(LABELS), 3, 5))
    unit = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    shards = [unit[start : start + 3] for start in range(0, len(unit), 3)]
    return Rows(shards.__getitem__, len(unit), 3), unit


def by_hand(unit, row):
    """The mean of image and mirror of everybody else with the same label."""
    others = [j for j in range(len(LABELS)) if j != row and LABELS[j] == LABELS[row]]
    mean = unit[others, :2].astype(np.float64).reshape(-1, unit.shape[-1]).mean(0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("row", [0, 1, 2, 4, 5, 6])
def test_a_center_is_the_mean_of_the_others(row):
    rows, unit = unit_rows()
    found = LeaveOneOutCenters(LABELS, rows).of(np.array([row]))[0]
    np.testing.assert_allclose(found, by_hand(unit, row), atol=1e-6)


def test_who_is_alone_has_no_center():
    rows, _ = unit_rows()
    found = LeaveOneOutCenters(LABELS, rows).of(np.arange(len(LABELS)))
    assert found.any(1).tolist() == [True, True, True, False, True, True, True]
    np.testing.assert_allclose(np.linalg.norm(found[[0, 1, 2, 4, 5, 6]], axis=1), 1, atol=1e-6)


def test_the_face_itself_says_nothing_of_its_center():
    rows, unit = unit_rows()
    before = LeaveOneOutCenters(LABELS, rows).of(np.array([2]))
    unit[2] = -unit[2]
    after = LeaveOneOutCenters(LABELS, in_memory([unit])).of(np.array([2]))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_others_that_cancel_out_make_no_center():
    one = np.array([[1.0, 0.0]] * 2, np.float32)
    rows = in_memory([np.stack([one, one, -one])])
    found = LeaveOneOutCenters(np.array([0, 0, 0]), rows).of(np.array([0, 2]))
    assert not found[0].any()
    np.testing.assert_allclose(found[1], [1, 0])
