"""Consistency, repeats, FID, CMMD, precision and recall: closed forms and identities."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.consistency import consistency, repeats
from factory.evaluation.fidelity import SIGMA, cmmd, fid, fidelity, precision_recall
from factory.evaluation.similarity import histogram_overlap
from tests.factory.identities.test_gate import unit_rows


def sets(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(300, 12)), 1.3 * rng.normal(size=(250, 12)) + 0.2


def test_a_set_is_like_itself():
    features, _ = sets()
    assert fid(features, features) == pytest.approx(0, abs=1e-9)
    assert cmmd(features, features) == pytest.approx(0, abs=1e-9)
    assert precision_recall(features, features) == (1.0, 1.0)


def test_fid_of_gaussians_in_closed_form():
    """Shifted by d and scaled by s in every dimension: D*d^2 + D*(1-s)^2 times the variance."""
    base = np.random.default_rng(0).normal(size=(100_000, 3))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T)).T)
    assert fid(base, base + 0.5) == pytest.approx(3 * 0.25, rel=1e-6)
    assert fid(base, 1.5 * base) == pytest.approx(3 * 0.25, rel=1e-6)


def test_fid_is_that_of_a_matrix_square_root():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = sets()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    shift = a.mean(0) - b.mean(0)
    wanted = shift @ shift + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert fid(a, b) == pytest.approx(wanted, rel=1e-6)


def test_cmmd_and_neighbourhoods_are_those_of_plain_loops():
    a, b = (x[:60] for x in sets())

    def kernel(x, y):
        return np.mean([[np.exp(-((p - q) ** 2).sum() / (2 * SIGMA**2)) for q in y] for p in x])

    wanted = 1000 * (kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))
    assert cmmd(a, b) == pytest.approx(wanted, rel=1e-6)

    def inside(x, y):
        distance = [[np.linalg.norm(p - q) for q in y] for p in y]
        radius = [sorted(row)[3] for row in distance]
        near = [any(np.linalg.norm(p - q) <= r for q, r in zip(y, radius, strict=True)) for p in x]
        return np.mean(near)

    assert precision_recall(a, b) == pytest.approx((inside(a, b), inside(b, a)))


def test_sets_too_small_say_so():
    a, b = sets()
    assert "n/a" in fidelity(a[:3], b)["note"]
    assert set(fidelity(a, b)) == {"num_made", "num_real", "fid", "cmmd", "precision", "recall"}


def test_equal_images_of_people_at_right_angles():
    unit = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    found = consistency(unit, np.array([7, 7, 8, 8, 9]))
    assert found["within_class"]["mean"] == pytest.approx(1)
    assert found["within_class"]["count"] == 2  # a class of one image has no pairs
    assert found["ccs"]["mean"] == pytest.approx(1)
    assert found["nnccs"]["mean"] == pytest.approx(0, abs=1e-9)
    assert found["ccs_over_nnccs"] == pytest.approx(1)


def test_consistency_is_that_of_plain_loops():
    unit, labels = unit_rows(0, 40, 8), np.arange(40) % 10
    found = consistency(unit, labels)
    pairs = [
        np.mean([unit[i] @ unit[j] for i in range(k, 40, 10) for j in range(k, 40, 10) if i != j])
        for k in range(10)
    ]
    centres = np.stack([unit[labels == k].mean(0) for k in range(10)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    cosine = unit @ centres.T
    others = np.where(np.eye(10, dtype=bool)[labels], -2, cosine).max(1)
    assert found["within_class"]["mean"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found["ccs"]["mean"] == pytest.approx(cosine[np.arange(40), labels].mean(), abs=1e-6)
    assert found["nnccs"]["mean"] == pytest.approx(others.mean(), abs=1e-6)


def test_one_class_and_single_images_leave_figures_out():
    found = consistency(np.eye(2, dtype=np.float32)[[0]], np.zeros(1, int))
    assert "nnccs" not in found
    assert "within_class" not in found


def test_repeats_within_and_across():
    hashes = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 2, 3]]
    found = repeats(hashes, np.array([0, 0, 0, 1, 2, 2]))
    assert found["within_identity"] == pytest.approx(2 / 6)
    assert found["across_identities"] == pytest.approx(2 / 6)


def test_overlap_of_histograms():
    a, b = np.array([0.01, 0.01, 0.51, 0.51]), np.array([0.01, 0.51, 0.51, 0.51])
    assert histogram_overlap(a, a) == 1.0
    assert histogram_overlap(a, b) == pytest.approx(0.75 / 1.25)
    assert histogram_overlap(a, -b - 0.1) == 0.0
