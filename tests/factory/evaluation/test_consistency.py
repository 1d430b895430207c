"""C_k, CCS and NNCCS: closed forms and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.consistency import (
    ConsistencyTally,
    class_figures,
    consistency,
)


def test_equal_images_of_people_at_right_angles():
    unit = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    measured = consistency(unit, np.array([7, 7, 8, 8, 9]))
    assert measured.within_class.mean == pytest.approx(1)
    assert measured.within_class.count == 2  # a class of one image has no pairs
    assert measured.ccs.mean == pytest.approx(1)
    assert measured.nnccs.mean == pytest.approx(0, abs=1e-9)
    assert measured.ccs_over_nnccs == pytest.approx(1)


def test_consistency_is_that_of_plain_loops():
    unit, labels = np.random.default_rng(0).normal(size=(40, 8)), np.arange(40) % 10
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    measured = consistency(unit, labels)
    pairs = [
        np.mean([unit[i] @ unit[j] for i in range(k, 40, 10) for j in range(k, 40, 10) if i != j])
        for k in range(10)
    ]
    centers = np.stack([unit[labels == k].mean(0) for k in range(10)])
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    cosine = unit @ centers.T
    others = np.where(np.eye(10, dtype=bool)[labels], -2, cosine).max(1)
    assert measured.within_class.mean == pytest.approx(np.mean(pairs), abs=1e-6)
    assert measured.ccs.mean == pytest.approx(cosine[np.arange(40), labels].mean(), abs=1e-6)
    assert measured.nnccs.mean == pytest.approx(others.mean(), abs=1e-6)
    own = cosine[np.arange(40), labels]
    assert measured.ccs_over_nnccs == pytest.approx((own / (others + 1 + 1e-9)).mean(), abs=1e-6)
    between = (centers @ centers.T - 3 * np.eye(10)).max(1)
    assert measured.nearest_center.mean == pytest.approx(between.mean(), abs=1e-6)


def test_one_class_and_single_images_leave_figures_out():
    measured = consistency(np.eye(2, dtype=np.float32)[[0]], np.zeros(1, int))
    assert measured.nnccs is None
    assert measured.within_class is None


def test_units_give_what_all_faces_give(tmp_path, monkeypatch):
    """Classes that come in parts, and centers that are read from their file."""
    rng = np.random.default_rng(1)
    labels = np.sort(rng.integers(0, 30, 200))
    unit = rng.normal(size=(200, 8))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    monkeypatch.setattr("factory.evaluation.consistency.FACES_AT_ONCE", 20)
    whole = consistency(unit, labels)
    monkeypatch.setattr("factory.evaluation.consistency.MAPPED_CENTERS", 3)
    tally, (_, class_N) = (
        ConsistencyTally(tmp_path, 8),
        np.unique(labels, return_inverse=True),
    )
    for first in range(0, 30, 7):
        rows = (labels >= first) & (labels < first + 7)
        tally.add(class_figures(unit[rows], class_N[rows] - class_N[rows].min()))
    assert tally.finish(unit, class_N) == whole


def test_a_sample_is_compared_with_all_centers(tmp_path):
    unit = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    tally = ConsistencyTally(tmp_path, 3)
    tally.add(class_figures(unit, np.array([0, 0, 1, 2])))
    near = np.array([[0.8, 0.6, 0.0]], np.float32)
    measured = tally.finish(near, np.array([0]))
    assert measured.ccs.count == 4
    assert measured.nnccs.mean == pytest.approx(0.6)
    assert measured.ccs_minus_nnccs == pytest.approx(0.2)
