"""Pairs and nearest neighbors of hand-made faces, and overlaps of histograms."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.metrics.similarity import Overlap
from factory.evaluation.metrics.values import BINS, NotMeasured
from factory.evaluation.similarity import (
    histogram_overlap,
    made_vs_photographs,
    pair_metrics,
    similarity,
)

RED, GREEN, BLUE = np.eye(3, dtype=np.float32)
TWICE = np.array([0, 0, 1, 1])
REAL = np.stack([RED, RED, GREEN, GREEN])


def test_separated_people():
    made, real = np.stack([RED, RED, GREEN, GREEN]), np.stack([BLUE, BLUE, RED, RED])
    measured = similarity(made, TWICE, real, TWICE)
    assert measured.release.auc == 1.0
    assert measured.release.genuine.mean == pytest.approx(1)
    assert measured.nearest_real.mean == pytest.approx(0.5)
    assert measured.source_nearest_other_person.mean == pytest.approx(0)
    assert measured.overlap == Overlap(genuine=1.0, impostor=1.0)
    assert measured.made_vs_photographs is None
    histogram = measured.release.genuine.histogram
    assert (len(histogram), sum(histogram)) == (len(BINS) - 1, pytest.approx(1))


def test_people_who_are_told_apart_by_chance():
    """A genuine cosine of 0.6 beside impostors of 0.8 and 0: figures in closed form."""
    other = np.array([0.8, 0.6, 0], np.float32)
    measured = similarity(np.stack([RED, other, other]), np.array([0, 1, 2]), REAL, TWICE)
    assert isinstance(measured.release, NotMeasured)  # no two images of one person
    assert measured.overlap.genuine is None
    mixed = similarity(np.stack([RED, GREEN, other]), np.array([0, 1, 1]), REAL, TWICE).release
    assert mixed.genuine.mean == pytest.approx(0.6)
    assert mixed.impostor.mean == pytest.approx(0.4)
    assert mixed.auc == pytest.approx(0.5)
    assert mixed.fdr == pytest.approx((0.6 - 0.4) ** 2 / 0.16, rel=1e-5)


def test_error_rates_of_pairs_are_those_of_counts():
    """Of 10,000 impostors 100 may be above the cosine of FMR100, ten above that of FMR1000."""
    impostor = np.linspace(-0.5, 0.5, 10000)
    genuine = np.array([impostor[-50], impostor[-120], 0.1, 0.9])
    metrics = pair_metrics(genuine, impostor)
    assert (metrics.fmr100, metrics.fmr1000) == (0.5, 0.75)
    few = pair_metrics(genuine, impostor[:9999])
    assert few.fmr1000 is None
    assert few.intervals is None


def test_figures_of_a_release_have_intervals_over_its_people():
    rng = np.random.default_rng(0)
    unit = np.repeat(rng.normal(size=(20, 6)), 3, 0) + rng.normal(0, 0.6, (60, 6))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    measured = similarity(unit, np.arange(60) // 3, unit, np.arange(60) // 3).release
    assert measured.num_people == 20
    for name in ("auc", "eer", "fdr", "fmr100"):
        bounds = measured.interval(name)
        assert bounds.low <= getattr(measured, name) <= bounds.high
    assert measured.interval("fmr1000") is None  # 1,710 impostor pairs
    assert "in auc is seen with 20 people a side in 80 %" in measured.power
    photographs = made_vs_photographs(unit, np.arange(60) // 3, unit, np.arange(60) // 3)
    assert photographs.interval("auc").low < photographs.auc


def test_one_person_is_not_enough_for_pairs():
    one = np.stack([RED, RED])
    measured = similarity(one, np.array([0, 0]), one, np.array([0, 0]))
    assert measured.release == measured.source
    assert measured.release == NotMeasured("n/a: needs two identities, and two images of one")
    assert measured.overlap == Overlap(genuine=1.0, impostor=None)


def test_made_faces_against_photographs_of_the_same_people():
    real = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    made = np.eye(4, dtype=np.float32)[[0, 1, 1]]
    measured = made_vs_photographs(made, np.array([0, 1, 0]), real, TWICE)
    assert measured.genuine.mean == pytest.approx(2 / 3)  # the third is drawn as another
    assert measured.impostor.mean == pytest.approx(1 / 3)
    assert measured.genuine.count == measured.impostor.count == 6


def test_overlap_is_the_intersection_over_the_union_of_histograms():
    a, b = np.array([0.01, 0.01, 0.51, 0.51]), np.array([0.01, 0.51, 0.51, 0.51])
    assert histogram_overlap(a, a) == 1.0
    assert histogram_overlap(a, b) == pytest.approx(0.75 / 1.25)
    assert histogram_overlap(a, -b - 0.1) == 0.0
    assert histogram_overlap(a, np.tile(b, 3)) == pytest.approx(0.75 / 1.25)  # of any sizes
