"""Ranks, CMC and FNIR at FPIR against plain loops: ties, non-mated probes, failures, templates."""

from __future__ import annotations

import json

import numpy as np
import pytest

from factory.config import IdentificationConfig, SourceConfig
from factory.evaluation.identification import (
    NOBODY,
    Resampled,
    Searches,
    cmc,
    identify,
    missed,
    open_set_errors,
    rank_rates,
    search,
)
from factory.evaluation.metrics.identification import Identification
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.recognition.resampling import people_counts
from factory.recognition.search_protocols import Protocol, Side
from factory.recognition.templates import Templates
from factory.seeds import stream_seed
from factory.sources import FaceSet
from tests.vectors import exact_cosine


def templates(unit_TD, person_T, acquired_T=None) -> Templates:
    acquired_T = np.ones(len(person_T), bool) if acquired_T is None else np.array(acquired_T)
    return Templates(np.asarray(unit_TD, np.float32), np.array(person_T), acquired_T, 0, 0)


def random_sides(seed: int, dim: int = 3) -> tuple[Templates, Templates]:
    """Coarse vectors, so that there are ties; some failures; several entries of some people."""
    rng = np.random.default_rng(seed)

    def side(count: int, people: np.ndarray) -> Templates:
        unit = rng.integers(-2, 3, (count, dim)) + 0.25
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        return templates(unit, people, rng.random(count) > 0.1)

    distractors = -1 - np.arange(4)
    gallery = side(24, rng.permutation(np.concatenate([rng.integers(0, 9, 20), distractors])))
    return gallery, side(40, rng.integers(0, 14, 40))


def plain(gallery: Templates, probes: Templates):
    """(rank, cosine of the mate) of mated probes, and the nearest of the others, in a loop."""
    mated, others = [], []
    for unit, person, acquired in zip(
        probes.unit_TD, probes.person_T, probes.acquired_T, strict=True
    ):
        entries = [
            (exact_cosine(unit, other), who)
            for other, who, there in zip(
                gallery.unit_TD, gallery.person_T, gallery.acquired_T, strict=True
            )
            if there and acquired
        ]
        own = [cosine for cosine, who in entries if who == person]
        if person not in gallery.person_T:
            others.append(max((cosine for cosine, _ in entries), default=NOBODY))
        elif not own:
            mated.append((len(gallery.person_T) + 1, NOBODY))
        else:
            before = [c for c, who in entries if who != person and c >= max(own)]
            mated.append((1 + len(before), max(own)))
    return mated, others


@pytest.mark.parametrize("seed", range(8))
def test_searches_are_those_of_a_plain_loop(seed):
    gallery, probes = random_sides(seed)
    found = search(gallery, probes)
    mated, others = plain(gallery, probes)
    assert found.rank_M.tolist() == [rank for rank, _ in mated]
    np.testing.assert_allclose(found.mate_M, [cosine for _, cosine in mated], atol=1e-12)
    np.testing.assert_allclose(found.nearest_Q, others, atol=1e-12)
    enrolled = np.isin(probes.person_T, gallery.person_T)
    assert found.person_M.tolist() == probes.person_T[enrolled].tolist()
    assert found.person_Q.tolist() == probes.person_T[~enrolled].tolist()
    curve = cmc(found.rank_M, 24)
    assert curve == pytest.approx([np.mean([r <= k for r, _ in mated]) for k in range(1, 25)])


def test_a_tie_counts_against_the_recognizer():
    """An embedder that tells nobody apart has nobody at rank 1."""
    gallery = templates([[1, 0]] * 3, [0, 1, 2])
    found = search(gallery, templates([[1, 0]] * 2, [0, 2]))
    assert found.rank_M.tolist() == [3, 3]
    assert cmc(found.rank_M, 3) == [0.0, 0.0, 1.0]


def test_an_own_entry_is_no_tie_with_another_own_entry():
    gallery = templates([[1, 0], [1, 0], [0, 1]], [5, 5, 6])
    assert search(gallery, templates([[1, 0]], [5])).rank_M.tolist() == [1]


def test_a_probe_or_gallery_without_a_template_is_missed_and_never_an_alarm():
    gallery = templates([[1, 0], [0, 0], [0, 1]], [0, 1, 2], [True, False, True])
    probes = templates([[1, 0], [0, 1], [0, 0], [0, 0]], [0, 1, 2, 9], [True, True, False, False])
    found = search(gallery, probes)
    assert found.rank_M.tolist() == [1, 4, 4]
    assert found.mate_M.tolist()[1:] == [NOBODY, NOBODY]
    assert found.nearest_Q.tolist() == [NOBODY]
    assert missed(found, -1.0, None).tolist() == [False, True, True]


def searches(seed: int, num_mated: int, num_nonmated: int, people: int = 30) -> Searches:
    rng = np.random.default_rng(seed)
    rank_M = rng.integers(1, 6, num_mated)
    mate_M = np.round(rng.normal(0.5, 0.2, num_mated), 2)
    person_M = rng.integers(0, people, num_mated)
    nearest_Q = np.round(rng.normal(0.2, 0.1, num_nonmated), 2)
    return Searches(
        rank_M, mate_M, person_M, nearest_Q, 100 + rng.integers(0, people, num_nonmated)
    )


@pytest.mark.parametrize("max_rank", [None, 1, 3])
def test_fnir_at_fpir_is_that_of_every_threshold(max_rank):
    """Of all observed thresholds the smallest that few enough non-mated searches are above."""
    made = searches(0, 150, 400)
    for errors in open_set_errors(made, (0.3, 0.1, 0.025), max_rank, seed=0):
        allowed = [t for t in made.nearest_Q if (made.nearest_Q > t).mean() <= errors.fpir]
        assert errors.threshold == min(allowed)
        lost = [
            cosine <= errors.threshold or (max_rank is not None and rank > max_rank)
            for rank, cosine in zip(made.rank_M, made.mate_M, strict=True)
        ]
        assert errors.fnir == pytest.approx(np.mean(lost))
        assert errors.interval.low <= errors.fnir <= errors.interval.high
        assert errors.note == ""


def test_too_few_non_mated_searches_have_the_reason_in_their_place():
    (errors,) = open_set_errors(searches(0, 20, 99), (0.1,), None, seed=0)
    assert (errors.threshold, errors.fnir, errors.interval) == (None, None, None)
    assert errors.note == "n/a: 99 non-mated searches; want 100 at least"
    (enough,) = open_set_errors(searches(0, 20, 100), (0.1,), None, seed=0)
    assert enough.fnir is not None


def test_intervals_resample_people_and_find_the_threshold_again():
    made = searches(3, 60, 110, people=15)
    (errors,) = open_set_errors(made, (0.1,), None, seed=7)
    sides = []
    for person, name in ((made.person_M, "mated people"), (made.person_Q, "non-mated people")):
        people, index = np.unique(person, return_inverse=True)
        sides.append(people_counts(len(people), stream_seed(name, 7))[:, index])
    fnirs = []
    for weight_M, weight_Q in zip(*sides, strict=True):
        repeated = np.repeat(made.nearest_Q, weight_Q.astype(int))
        observed = np.unique(repeated)
        above = (repeated > observed[:, None]).mean(1)
        threshold = observed[above <= 0.1].min()
        fnirs.append(np.average(made.mate_M <= threshold, weights=weight_M))
    wanted = np.quantile(fnirs, [0.025, 0.975])
    assert [errors.interval.low, errors.interval.high] == pytest.approx(wanted.tolist())
    (first,) = rank_rates(made, (1,), seed=7)
    rates = [np.average(made.rank_M <= 1, weights=weight) for weight in sides[0]]
    wanted = np.quantile(rates, [0.025, 0.975])
    assert [first.interval.low, first.interval.high] == pytest.approx(wanted.tolist())


def test_without_any_error_the_people_bound_the_rate():
    made = searches(1, 90, 100)
    (last,) = rank_rates(made, (5,), seed=0)
    num_people = len(np.unique(made.person_M))
    assert last.rate == 1.0
    assert (last.interval.low, last.interval.high) == (1 - 3 / num_people, 1.0)
    assert Resampled.of(made.person_M[:5], "mated people", 0) is None


class ByColor:
    """Embeds an image as its mean color."""

    dim, sha256, image_px, mirror_sum = 3, "", 4, "unit"

    def embed_with_mirror(self, images):
        mean = images.reshape(len(images), -1, 3).astype(np.float32).mean(1) - 100
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_identify_averages_templates_and_counts_who_is_where():
    colors = [[200, 100, 90], [200, 120, 80], [90, 200, 100], [201, 110, 85], [92, 190, 101]]
    images = np.array(colors, np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    labels = np.array([0, 0, 1, 0, 2])
    faces = FaceSet(images, labels, [f"k{i}" for i in range(5)], ["a", "b", "c"], [])
    gallery = Side(faces, np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([0, 1]))
    probes = Side(faces, np.array([3, 4]), np.array([0, 1]), np.array([0, 2]))
    section = IdentificationConfig(fpirs=(0.1,), ranks=(1,))
    found = identify(ByColor(), Protocol(gallery, probes), section, SourceConfig())
    assert (found.num_entries, found.num_enrolled, found.num_unsearched) == (2, 2, 1)
    assert (found.num_mated, found.num_nonmated, found.num_searched) == (1, 1, 2)
    assert (found.num_images, found.failures_to_acquire, found.fta) == (5, 0, 0.0)
    assert found.cmc == [1.0, 1.0]
    assert found.rates[0].interval is None  # of one person
    body = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert from_json(Identification, body) == found
