"""C_k, CCS and NNCCS, and near-duplicates: closed forms and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.consistency import consistency, duplicates


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


def test_one_class_and_single_images_leave_figures_out():
    measured = consistency(np.eye(2, dtype=np.float32)[[0]], np.zeros(1, int))
    assert measured.nnccs is None
    assert measured.within_class is None


def test_duplicates_within_and_across():
    hashes = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 2, 3]]
    measured = duplicates(hashes, np.array([0, 0, 0, 1, 2, 2]))
    assert measured.within_identity == pytest.approx(2 / 6)
    assert measured.across_identities == pytest.approx(2 / 6)
