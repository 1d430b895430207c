"""Planted label noise is found, by limits that the noise itself does not move."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from factory.inspection import label_noise
from factory.inspection.label_noise import (
    core_scores,
    double_names,
    mislabeled_images,
    stranger_limit,
)
from factory.quality.real_limits import unit_means
from tests.factory.inspection.conftest import PEOPLE

SEEDS = (0, 1, 2)


def sphere(count: int, dim: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.1])
def test_images_under_somebody_elses_name_are_found(starter, seed, fraction):
    rng, labels = np.random.default_rng(seed), starter.faces.labels.copy()
    moved = rng.choice(len(labels), int(fraction * len(labels)), replace=False)
    labels[moved] = (labels[moved] + rng.integers(1, PEOPLE, len(moved))) % PEOPLE
    doubt = mislabeled_images(starter.unit_ND, labels)
    found = set(doubt.rows.tolist())
    assert len(found & set(moved.tolist())) >= 0.9 * len(moved)
    assert len(found - set(moved.tolist())) <= 0.05 * (len(labels) - len(moved))
    assert doubt.estimate == pytest.approx(len(moved), abs=0.02 * len(labels))
    assert np.all(np.diff(doubt.scores) >= 0), "the worst is first"


@pytest.mark.parametrize("fraction", [0.05, 0.2])
def test_people_under_two_names_are_found(starter, fraction):
    count, num_planted, num_found, num_wrong = int(fraction * PEOPLE), 0, 0, 0
    for seed in SEEDS:
        rng, labels, planted = np.random.default_rng(seed), starter.faces.labels.copy(), set()
        for second, person in enumerate(rng.choice(PEOPLE, count, replace=False), start=PEOPLE):
            rows = rng.permutation(np.flatnonzero(starter.faces.labels == person))
            labels[rows[: len(rows) // 2]] = second
            planted.add((int(person), second))
        doubt = double_names(starter.unit_ND, labels)
        found = set(map(tuple, doubt.rows.tolist()))
        num_planted += len(planted)
        num_found += len(found & planted)
        num_wrong += len({person for pair in found - planted for person in pair})
        assert np.all(np.diff(doubt.scores) <= 0), "the nearest is first"
    assert num_found >= 0.9 * num_planted
    assert num_wrong <= 0.05 * (PEOPLE - count) * len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_people_under_one_name_are_found(starter, seed):
    """Half of the images are one's, half the other's: the core is one of them, not their mean."""
    pairs = np.random.default_rng(seed).permutation(PEOPLE)[:12].reshape(-1, 2)
    labels = starter.faces.labels.copy()
    for first, second in pairs:
        labels[labels == second] = first
    flagged = np.bincount(labels[mislabeled_images(starter.unit_ND, labels).rows], minlength=PEOPLE)
    images = np.bincount(labels, minlength=PEOPLE)
    assert np.all(flagged[pairs[:, 0]] >= 0.25 * images[pairs[:, 0]])
    others = np.setdiff1d(np.arange(PEOPLE), pairs)
    assert flagged[others].sum() <= 0.05 * images[others].sum()


def test_clean_labels_are_hardly_doubted(starter):
    doubt, images = mislabeled_images(starter.unit_ND, starter.faces.labels), len(starter.faces)
    assert len(doubt.rows) <= 0.03 * images
    assert doubt.estimate <= 0.004 * images
    assert len(double_names(starter.unit_ND, starter.faces.labels).rows) <= 2


def test_a_core_is_the_half_that_is_most_alike():
    """Three images on one axis, two on another: by hand, the core is the first three."""
    unit = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8]])
    own, cores, has_core = core_scores(unit, np.array([0, 0, 0, 0, 0, 1]))
    assert own[:5].tolist() == pytest.approx([1, 1, 1, 0, 0])
    assert np.isnan(own[5]), "an image without others has no score"
    assert cores[0].tolist() == pytest.approx([1, 0])
    assert has_core.tolist() == [True, False]


@pytest.mark.parametrize("dim", [16, 64])
def test_the_limit_holds_for_people_spread_evenly(dim):
    """On a sphere the tail is known: about the wanted fraction of people has a nearer one."""
    exceeding = []
    for seed in range(8):
        centers = sphere(600, dim, seed)
        limit = stranger_limit(centers, 0.05)
        cosines = centers @ centers.T
        np.fill_diagonal(cosines, -1)
        exceeding.append((cosines.max(1) > limit).mean())
    assert 0.025 < np.mean(exceeding) < 0.1


def test_second_names_do_not_move_the_limit(starter):
    labels = starter.faces.labels
    clean = stranger_limit(unit_means(starter.unit_ND, labels), 0.01)
    halves = labels * 2 + np.arange(len(labels)) % 2  # everybody under two names
    assert stranger_limit(unit_means(starter.unit_ND, halves), 0.01) == pytest.approx(
        clean, abs=0.08
    )


def test_a_judge_that_sees_nobody_tells_nothing():
    doubt = mislabeled_images(sphere(400, 32), np.arange(400) // 5)
    assert "the judge does not know such faces" in doubt.note
    assert not len(doubt.rows)


def test_too_few_people_tell_nothing(starter):
    few = np.flatnonzero(starter.faces.labels < 5)
    assert "too few" in double_names(starter.unit_ND[few], starter.faces.labels[few]).note
    one = np.flatnonzero(starter.faces.labels < 1)
    assert "two people" in mislabeled_images(starter.unit_ND[one], starter.faces.labels[one]).note


def test_a_person_of_many_images_is_scored_in_little_memory(starter, monkeypatch):
    """A core that a sample chose gives the scores that all pairs give, but for a little."""
    rows = np.flatnonzero(starter.faces.labels < 30)
    unit, one = starter.unit_ND[rows], np.zeros(300, np.int64)
    unit = np.concatenate([unit[:1] + 0.02 * sphere(270, unit.shape[1]), unit[-30:]])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    exact, _, _ = core_scores(unit, one)
    monkeypatch.setattr(label_noise, "MAX_OWN", 50)
    sampled, _, _ = core_scores(unit, one)
    assert np.array_equal(sampled, core_scores(unit, one)[0]), "the same sample every time"
    assert np.abs(sampled - exact).max() < 0.02
    assert sampled[-30:].max() < sampled[:270].min()


def test_memory_does_not_grow_with_the_square_of_a_persons_images():
    unit, one = sphere(6000, 8), np.zeros(6000, np.int64)
    tracemalloc.start()
    core_scores(unit, one)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6000**2 * 8 / 2
