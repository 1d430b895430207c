"""Likenesses of draws and real images against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation import attack_scores
from factory.evaluation.attack_people import AttackedPeople
from factory.evaluation.attack_scores import (
    AnybodysDraws,
    Gallery,
    OwnDraws,
    blind_scores,
    own_cosines,
    relative_distances,
    small,
    standardized_mean,
)

PX = 12


class Pixels:
    """Unit vectors of centered pixels."""

    sha256, has_unit_length = "pixels", True

    def embed(self, images_NHWC):
        flat = images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32) - 127.5
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, PX, PX, 3)).astype(np.uint8)


@pytest.fixture
def gallery():
    """Three people, two of them members, with 2, 1 and 2 images."""
    people = AttackedPeople(images(5, 0), np.array([0, 0, 1, 2, 2]), 2, 3)
    return Gallery(people, Pixels())


def test_pixel_distances_are_those_of_loops_and_of_the_nearer_mirror_image(gallery, monkeypatch):
    monkeypatch.setattr(attack_scores, "REAL_AT_ONCE", 2)
    real, drawn = gallery.people.images_NHWC, images(3, 1)
    drawn[2] = real[3, :, ::-1]
    found = gallery.distances(drawn)
    for b in range(3):
        for n in range(5):
            options = [
                np.sqrt(np.square(drawn[b] / 255 - image / 255).mean())
                for image in (real[n], real[n, :, ::-1])
            ]
            assert found[b, n] == pytest.approx(min(options), abs=1e-3)
    assert found[2, 3] == pytest.approx(0, abs=1e-3)


def test_distances_are_relative_to_the_nearest_images_of_other_people(monkeypatch):
    monkeypatch.setattr(attack_scores, "NEIGHBORS", 2)
    distance = np.array([[1.0, 4.0, 6.0, 9.0], [2.0, 2.0, 2.0, 3.0]])
    own = np.array([[True, False, False, False], [False, True, True, True]])
    found = relative_distances(distance, own)
    assert found.tolist() == [[0.2, 0.8, 1.2, 1.8], [1, 1, 1, 1.5]]


def test_own_draws_are_compared_with_the_images_of_their_person_alone(gallery):
    """A member's copy at another person's embedding counts for nobody."""
    real, own = gallery.people.images_NHWC, OwnDraws(gallery)
    own.add(np.stack([real[0], images(1, 7)[0], real[2]]), np.array([0, 1, 2]))
    own.add(images(2, 8), np.array([0, 1]))
    assert own.cosine_N[0] == pytest.approx(1)
    assert own.hash_N[0] == pytest.approx(1)
    assert own.pixels_N[0] == pytest.approx(0, abs=1e-2)
    assert own.cosine_N[1:].max() < 0.3
    assert own.copies_of.tolist() == [1, 0, 0]
    assert own.draws_of.tolist() == [2, 2, 1]
    assert np.isfinite(own.pixels_N).all()


def test_free_draws_are_compared_with_everybody(gallery):
    free, real = AnybodysDraws(gallery), gallery.people.images_NHWC
    free.add(np.stack([real[1], images(1, 7)[0]]))
    free.add(real[4:, :, ::-1])
    assert free.near_copies == 2
    assert free.cosine_N[1] == pytest.approx(1)
    wanted = Pixels().embed(np.stack([real[1], images(1, 7)[0], real[4, :, ::-1]]))
    cosines = wanted @ gallery.unit_ND.T
    for b in range(3):
        by_person = [cosines[b, :2].max(), cosines[b, 2], cosines[b, 3:].max()]
        assert free.nearest_BP[b] == pytest.approx(by_person, abs=1e-5)


def test_every_level_counts_alike_whatever_its_scale():
    losses = np.array([[1.0, 2.0, 3.0], [300.0, 200.0, 100.0]])
    assert standardized_mean(losses) == pytest.approx([0, 0, 0])
    both = standardized_mean(np.array([[1.0, 2.0, 3.0], [100.0, 200.0, 300.0]]))
    assert both == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert standardized_mean(np.ones((2, 3))).tolist() == [0, 0, 0]


def test_own_cosines_leave_the_image_itself_out():
    unit = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.8, 0.6], [0.8, 0.6]])
    found = own_cosines(unit, np.array([0, 0, 0, 1, 1]))
    others = (unit[1] + unit[2]) / np.linalg.norm(unit[1] + unit[2])
    assert found[0] == pytest.approx(unit[0] @ others)
    assert found[3:] == pytest.approx([1, 1])
    assert own_cosines(unit, np.array([0, 0, 0, 1, 2])) is None


def test_blind_scores_see_light_that_is_not_the_same_on_both_sides():
    dark, light = images(6, 2) // 2, images(6, 3) // 2 + 100
    both = np.concatenate([dark, light])
    scores = blind_scores(both, Pixels().embed(both))
    assert scores["brightness"][:6].max() < scores["brightness"][6:].min()
    gray = both.astype(np.float64).mean(3)
    assert scores["brightness"] == pytest.approx(gray.mean((1, 2)))
    assert scores["contrast"] == pytest.approx(gray.std((1, 2)), rel=1e-4)
    assert all(len(values) == 12 for values in scores.values())


def test_large_images_are_compared_small():
    large = np.full((2, 200, 200, 3), 90, np.uint8)
    assert small(large).shape == (2, 112, 112, 3)
    assert (small(large) == 90).all()
    assert small(large[:, :50, :50]).shape == (2, 50, 50, 3)
