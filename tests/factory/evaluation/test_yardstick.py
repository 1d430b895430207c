"""The yardstick: limit and power by closed forms, and people whom a source names twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.config import AuditConfig
from factory.evaluation.embeddings import RealFaces
from factory.evaluation.leakage import LeakageTally, LeakTest
from factory.evaluation.metrics.separability import JudgePower
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.real_people import RealPeople
from factory.evaluation.yardstick import (
    EQUAL,
    Yardstick,
    judge_power,
    own_pairs,
    people_of,
)
from factory.recognition.resampling import wilson
from factory.store import LocalStore

DIM = 64


def crowd(people: int, images: int, spread: float, seed: int = 0) -> RealFaces:
    """People in random directions, whose images scatter about them."""
    rng = np.random.default_rng(seed)
    center_PD = rng.normal(size=(people, 1, DIM)) / np.sqrt(DIM)
    unit_PID = center_PD + spread * rng.normal(size=(people, images, DIM)) / np.sqrt(DIM)
    unit_ND = unit_PID.reshape(-1, DIM)
    unit_ND /= np.linalg.norm(unit_ND, axis=1, keepdims=True)
    labels = np.repeat(np.arange(people), images)
    return RealFaces(unit_ND.astype(np.float32), labels, np.arange(len(labels)))


def with_second_name(faces: RealFaces, person: int, count: int = 1, label: int = 0) -> RealFaces:
    """The same, and the first images of a person once more under a label of their own."""
    rows = np.flatnonzero(faces.labels == person)[:count]
    label = label or int(faces.labels.max()) + 1
    return RealFaces(
        np.concatenate([faces.unit_ND, faces.unit_ND[rows]]),
        np.concatenate([faces.labels, np.full(count, label)]),
        np.arange(len(faces.labels) + count),
    )


def measured(faces: RealFaces) -> Yardstick:
    """The yardstick by these vectors, in the judge's space and as hashes alike."""
    none = RealFaces(faces.unit_ND[:0], faces.labels[:0], faces.indices[:0])
    return people_of(faces, faces, none)


def limit(yardstick: Yardstick) -> float:
    return LeakTest(yardstick.people.strangers.cosine_M, 0.05).limit


def pairs_of(cosines: np.ndarray, double: float) -> RealFaces:
    """People at right angles with two images each, and one image that is so near to the first's."""
    count = len(cosines)
    unit_ND = np.zeros((2 * count + 1, 2 * count + 1))
    for person, cosine in enumerate(cosines):
        first, second = 2 * person, 2 * person + 1
        unit_ND[first, first] = 1
        unit_ND[second, [first, second]] = cosine, np.sqrt(1 - cosine**2)
    unit_ND[-1, [0, -1]] = double, np.sqrt(1 - double**2)
    labels = np.append(np.repeat(np.arange(count), 2), count)
    return RealFaces(unit_ND.astype(np.float32), labels, np.arange(len(labels)))


def test_two_labels_are_one_person_above_95_percent_of_one_persons_pairs():
    """Unless there are too few pairs to tell; the first person's own pair is the least alike."""
    cosines = np.arange(1, 101) / 102
    limit = cosines[95]  # four of a hundred are above it
    assert not measured(pairs_of(cosines, limit - 1e-3)).doubles
    (double,) = measured(pairs_of(cosines, limit + 1e-3)).doubles
    assert (double.first, double.second) == (0, 200)
    assert not measured(pairs_of(cosines[:19], 0.999)).doubles


SHARP = crowd(60, 4, 0.3)
"""360 pairs of one person's images, near each other and far from everybody else's."""


def test_judge_power_is_a_mean_over_people_of_their_own_pairs():
    """One with many pairs does not outvote the others; a cosine at the limit is not above it."""
    pairs = [np.array([0.9, 0.9, 0.1, 0.5]), np.array([0.8])]
    power = judge_power(pairs, 0.5)
    assert isinstance(power, JudgePower)
    assert (power.num_people, power.num_pairs, power.fraction) == (2, 5, 0.75)
    assert (power.low, power.high) == wilson(0.75, 2)


def test_judge_power_wants_two_images_of_somebody():
    alone = crowd(5, 1, 0.1)
    assert own_pairs(alone) == []
    assert isinstance(judge_power(own_pairs(alone), 0.5), NotMeasured)


def test_judge_power_counts_pairs_of_one_person_and_of_no_others():
    """Brute force over all pairs; strangers' would be near 0."""
    cosine = SHARP.unit_ND @ SHARP.unit_ND.T
    same = SHARP.labels[:, None] == SHARP.labels
    genuine = np.sort(cosine[np.triu(same, 1)])
    np.testing.assert_allclose(np.sort(np.concatenate(own_pairs(SHARP))), genuine, atol=1e-6)
    tally = LeakageTally(AuditConfig(leak_fpir=0.05), measured(SHARP))
    assert judge_power(own_pairs(SHARP), tally._faces.limit).fraction == 1.0
    blurred = crowd(60, 4, 3.0)
    power = judge_power(own_pairs(blurred), limit(measured(blurred)))
    assert power.fraction < 0.1


def test_judge_power_of_a_made_distribution_is_that_of_its_quantile():
    """Genuine cosines 0.00 .. 0.99 of one person each, the limit at strangers' 95 %."""
    strangers = np.arange(100) / 100
    pairs = [np.array([value]) for value in np.arange(100) / 100]
    at = LeakTest(strangers, 0.05).limit
    assert at == pytest.approx(0.95)
    assert judge_power(pairs, at).fraction == pytest.approx(0.04)


@pytest.mark.parametrize("count", [1, 4])
def test_judge_power_and_limit_are_those_of_the_set_without_double_labels(count):
    clean, twice = measured(SHARP), measured(with_second_name(SHARP, 7, count))
    assert not clean.doubles
    assert [double.cosine for double in twice.doubles] == pytest.approx([1.0])
    assert {twice.doubles[0].first, twice.doubles[0].second} >= {len(SHARP.labels)} or count > 1
    assert limit(twice) == limit(clean) < 0.7
    np.testing.assert_array_equal(
        np.sort(twice.people.strangers.cosine_M), np.sort(clean.people.strangers.cosine_M)
    )
    kept = RealPeople.of(with_second_name(SHARP, 7, count), centers=True)
    assert kept.strangers.cosine_M.max() == pytest.approx(1.0)  # what leaving them out has spared


def test_a_person_of_three_names_is_one():
    named = with_second_name(with_second_name(SHARP, 7), 7, 2)
    found = measured(named)
    assert len(found.people.centers) == 60
    assert limit(found) == limit(measured(SHARP))


def test_another_picture_of_the_same_person_is_found_where_it_is_near_enough():
    """Nearer than 95 % of one person's pairs, and not equal."""
    rng = np.random.default_rng(1)
    near = SHARP.unit_ND[:1] + 0.05 * rng.normal(size=(1, DIM)) / np.sqrt(DIM)
    near /= np.linalg.norm(near)
    named = RealFaces(
        np.concatenate([SHARP.unit_ND, near.astype(np.float32)]),
        np.append(SHARP.labels, 60),
        np.arange(241),
    )
    (double,) = measured(named).doubles
    assert (double.first, double.second) == (0, 240)
    assert 0.99 < double.cosine < EQUAL


def test_a_judge_that_takes_strangers_for_one_person_finds_equal_pictures_only():
    """Else it would leave out whoever is near, and look sharper than it is."""
    blurred = crowd(300, 2, 3.0)
    assert not measured(blurred).doubles
    (double,) = measured(with_second_name(blurred, 5)).doubles
    assert double.cosine == pytest.approx(1.0)


def test_few_pairs_of_one_person_tell_no_quantile():
    few = crowd(10, 2, 0.3)
    swapped = replace(few, labels=np.append(few.labels[:-1], 10))  # no second picture of the last
    assert not measured(swapped).doubles


def test_a_question_by_either_name_means_the_same_person(tmp_path):
    """Also where units are measured, which read people from a file."""
    named = with_second_name(SHARP, 7)
    people = measured(named).people
    people.save(LocalStore(tmp_path), "people.npz")
    for one in (people, RealPeople.load(LocalStore(tmp_path), "people.npz")):
        query = np.repeat(named.unit_ND[28:29], 2, 0)
        by_name = one.nearest(query, np.array([7, 60]))
        assert by_name[0] == by_name[1] < 0.7
    assert people.sha256() != RealPeople.of(named, centers=True).sha256()
