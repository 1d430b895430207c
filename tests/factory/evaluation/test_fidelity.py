"""FID, CMMD, precision and recall: closed forms and identities."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.embeddings import evenly_spaced
from factory.evaluation.fidelity import (
    cmmd,
    fid,
    fidelity,
    one_each,
    precision_recall,
)
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.tallies import Moments


def fid_of(a: np.ndarray, b: np.ndarray) -> float:
    return fid(Moments.of(a), Moments.of(b))


def sets(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(300, 12)), 1.3 * rng.normal(size=(250, 12)) + 0.2


def test_a_large_set_is_sampled_from_end_to_end():
    assert list(evenly_spaced(np.arange(10), 4)) == [0, 3, 6, 9]
    assert list(evenly_spaced(np.arange(3), 4)) == [0, 1, 2]


def test_a_set_is_like_itself():
    features, _ = sets()
    assert fid_of(features, features) == pytest.approx(0, abs=1e-9)
    assert cmmd(features, features) == pytest.approx(0, abs=1e-9)
    assert precision_recall(features, features) == (1.0, 1.0)


def test_fid_of_gaussians_in_closed_form():
    """Shifted by d and scaled by s in every dimension: D*d^2 + D*(1-s)^2 times the variance."""
    base = np.random.default_rng(0).normal(size=(100_000, 3))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T)).T)
    assert fid_of(base, base + 0.5) == pytest.approx(3 * 0.25, rel=1e-6)
    assert fid_of(base, 1.5 * base) == pytest.approx(3 * 0.25, rel=1e-6)


def test_fid_is_that_of_a_matrix_square_root():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = sets()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    shift = a.mean(0) - b.mean(0)
    wanted = shift @ shift + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert fid_of(a, b) == pytest.approx(wanted, rel=1e-6)


def test_cmmd_and_neighborhoods_are_those_of_plain_loops():
    a, b = (x[:60] for x in sets())

    def kernel(x, y):
        return np.mean([[np.exp(-((p - q) ** 2).sum() / (2 * 10.0**2)) for q in y] for p in x])

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
    assert fidelity(a[:3], b) == NotMeasured("n/a: needs 4 images in both sets")
    measured = fidelity(a[:4], b)
    assert (measured.num_made, measured.num_real) == (4, 250)
    assert measured.fid is None
    assert measured.fid_note == "n/a: 4 images in 12 dimensions"
    assert fidelity(a[:12], b).fid is None  # eleven axes at most
    enough = fidelity(a[:13], b)
    assert (enough.fid, enough.fid_note) == (fid_of(a[:13], b), "")
    assert measured.cmmd == cmmd(a[:4], b)
    assert (measured.precision, measured.recall) == precision_recall(a[:4], b)


def test_fid_is_of_all_features_and_the_rest_of_the_samples():
    a, b = sets()
    measured = fidelity(a[:50], b[:40], Moments.of(a), Moments.of(b))
    assert (measured.num_made, measured.num_real) == (300, 250)
    assert measured.fid == fid_of(a, b) != fid_of(a[:50], b[:40])
    assert measured.cmmd == cmmd(a[:50], b[:40])
    assert (measured.precision, measured.recall) == precision_recall(a[:50], b[:40])


def test_fid_from_sums_of_parts_is_that_of_all_vectors():
    """Features far from zero, where a difference of large sums would lose all digits."""
    a, b = (x + 1e4 for x in sets())
    total = Moments.none(12)
    for start in (0, 1, 7, 100, 250):
        stop = {0: 1, 1: 7, 7: 100, 100: 250, 250: 300}[start]
        total = total.plus(Moments.of(a[start:stop]))
    assert total.covariance() == pytest.approx(np.cov(a.T), rel=1e-9, abs=1e-9)
    assert fid(total, Moments.of_blocks(b, 64)) == pytest.approx(fid_of(a, b), rel=1e-6)


def test_one_image_a_person_beside_other_real_people():
    """Nine made people against every second of 20 real ones, and the ten between as the floor."""
    rng = np.random.default_rng(5)
    people = rng.normal(size=(20, 12))
    real = np.repeat(people, 3, 0) + rng.normal(0, 0.01, (60, 12))
    labels = np.repeat(rng.permutation(20) + 7, 3)
    made = rng.normal(size=(9, 12)) + 50  # far from everybody
    found = one_each(np.repeat(made, 2, 0), np.repeat(np.arange(9), 2), real, labels)
    others, against = real[0::6][np.linspace(0, 9, 9).astype(int)], real[3::6]
    against = against[np.linspace(0, 9, 9).astype(int)]
    assert (found.num_people, found.precision, found.recall) == (9, 0.0, 0.0)
    assert (found.floor_precision, found.floor_recall) == precision_recall(others, against)
    assert found.floor_precision > 0.5
    assert found.cmmd == cmmd(made, against)
    assert found.floor_cmmd == cmmd(others, against)


def test_images_a_person_do_not_count_as_variety():
    """A set of real people against itself has recall 1 by its own images; other people have not."""
    rng = np.random.default_rng(6)
    people = rng.normal(size=(80, 12))
    images = np.repeat(people, 5, 0) + rng.normal(0, 0.1, (400, 12))
    labels = np.repeat(np.arange(80), 5)
    some, rest = images[labels < 40], images[labels >= 40]
    assert precision_recall(some, rest)[1] < 0.1  # own images make neighborhoods small
    found = fidelity(some, rest, labels=(labels[:200], labels[200:])).one_each
    assert found.num_people == 20
    assert found.recall > 0.3
    few = fidelity(some, rest, labels=(np.zeros(200), labels[200:])).one_each
    assert few == NotMeasured("n/a: needs 4 made people and 8 real ones")
