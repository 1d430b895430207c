"""Verification figures against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import SourceError
from factory.recognition.pairs import Pairs, pairs_over
from factory.recognition.verification import (
    auc,
    cosine_at_fmr,
    equal_error_rate,
    fisher_ratio,
    fold_accuracy,
    folds_of,
    pair_cosines,
    roc,
    summary,
    tar_at_far,
    told_tar,
    too_few_for_far,
    verified_pairs,
    verify_pairs,
)


def test_pairs_of_three():
    unit = np.array([[1, 0], [1, 0], [0, 1]], float)
    genuine, impostor = pair_cosines(unit, np.array([7, 7, 8]))
    assert genuine.tolist() == [1.0]
    assert impostor.tolist() == [0.0, 0.0]


def test_auc_counts_ties_half():
    assert auc(np.array([1.0, 2.0]), np.array([0.0, -1.0])) == 1.0
    assert auc(np.array([0.0]), np.array([0.0])) == 0.5
    assert auc(np.array([0.5]), np.array([0.0, 1.0])) == 0.5


def test_threshold_lets_through_exactly_the_rate():
    impostor = np.arange(1000) / 1000
    assert cosine_at_fmr(impostor, 1e-2) == pytest.approx(0.989)
    assert (impostor > cosine_at_fmr(impostor, 1e-2)).mean() == pytest.approx(0.01)
    assert cosine_at_fmr(impostor, 1e-4) == pytest.approx(0.999)  # fewer pairs than 1/FMR
    assert tar_at_far(np.array([0.995, 0.5]), impostor, 1e-2) == 0.5


def test_separated_sets_have_no_error():
    genuine, impostor = np.array([0.8, 0.9]), np.array([0.1, 0.2])
    assert equal_error_rate(genuine, impostor) == 0.0
    overlap = equal_error_rate(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert overlap == pytest.approx(0.5)


def test_fisher_ratio_of_the_papers_row():
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(0.871, 0.065, 400_000), rng.normal(0.021, 0.073, 400_000)
    assert fisher_ratio(genuine, impostor) == pytest.approx(75.6, rel=0.01)


def test_folds_choose_the_threshold_elsewhere():
    cosines = np.tile([0.9, 0.1], 50)
    assert fold_accuracy(cosines, cosines > 0.5) == (1.0, 0.0)
    apart = np.array([0.9, 0.5, 0.4, -0.5])  # the threshold of either half is wrong for the other
    same = np.array([True, False, True, False])
    assert fold_accuracy(apart, same, num_folds=2) == (0.5, 0.0)


def test_fold_accuracy_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    same = rng.random(60) < 0.5
    cosines = np.clip(rng.normal(np.where(same, 0.5, 0.2), 0.3), -1, 1)
    scores = []
    for fold in range(3):
        inside = np.arange(60) // 20 == fold
        best, threshold = -1.0, 0.0
        for candidate in np.arange(0, 4, 0.01):
            right = ((2 - 2 * cosines[~inside] < candidate) == same[~inside]).mean()
            if right > best:
                best, threshold = right, candidate
        scores.append(((2 - 2 * cosines[inside] < threshold) == same[inside]).mean())
    mean, std = fold_accuracy(cosines, same, num_folds=3)
    assert (mean, std) == pytest.approx((np.mean(scores), np.std(scores)))


def test_folds_hold_both_kinds_of_pairs_in_whatever_order_they_come():
    alternating = np.tile([True, True, False, False], 6)
    folds, in_order = folds_of(alternating, 6)
    assert in_order
    assert [fold.tolist() for fold in folds] == np.arange(24).reshape(6, 4).tolist()
    genuine_first = np.sort(alternating)[::-1]
    folds, in_order = folds_of(genuine_first, 6)
    assert not in_order
    assert sorted(np.concatenate(folds).tolist()) == list(range(24))
    assert [fold.tolist() for fold in folds[:2]] == [[0, 1, 12, 13], [2, 3, 14, 15]]


def test_accuracy_does_not_change_when_pairs_come_kind_by_kind():
    rng = np.random.default_rng(1)
    same = np.tile([True, False], 60)
    cosines = np.clip(rng.normal(np.where(same, 0.5, 0.2), 0.3), -1, 1)
    order = np.argsort(~same, kind="stable")
    assert fold_accuracy(cosines[order], same[order]) == fold_accuracy(cosines, same)


def test_a_summary_of_one_kind_of_pairs_leaves_out_what_compares():
    unit = np.eye(4)
    nobody_twice = summary(unit, np.arange(4))
    assert nobody_twice["note"] == "n/a: no genuine pairs, because nobody has two images"
    assert (nobody_twice["num_genuine"], nobody_twice["num_impostor"]) == (0, 6)
    assert nobody_twice["auc"] is None
    assert nobody_twice["genuine_mean"] is None
    assert nobody_twice["cosine_at_fmr_1e-3"] == 0.0  # impostors alone decide it
    one_person = summary(unit, np.zeros(4, int))
    assert one_person["note"] == "n/a: no impostor pairs, because all images are of one person"
    assert one_person["cosine_at_fmr_1e-3"] is None
    assert one_person["genuine_mean"] == 0.0
    assert "note" not in summary(unit, np.array([0, 0, 1, 1]))


def test_summary_has_the_gate_threshold():
    unit = np.random.default_rng(0).normal(size=(40, 8))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    figures = summary(unit, np.arange(40) // 4)
    assert -1 <= figures["cosine_at_fmr_1e-2"] <= figures["cosine_at_fmr_1e-3"] <= 1


def test_pairs_over_a_source(tmp_path):
    class ByColor:
        mirror_sum = "raw"

        def embed_with_mirror(self, images):
            mean = images.reshape(len(images), -1, 3).astype(float).mean(1)
            mean -= mean.mean(1, keepdims=True)
            return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    from factory.sources import FaceSet

    images = np.zeros((4, 4, 4, 3), np.uint8)
    images[:2, :, :, 0], images[2:, :, :, 1] = 200, 200
    keys = ["A/A_0001", "A/A_0002", "B/B_0001", "B/B_0002"]
    faces = FaceSet(images, np.array([0, 0, 1, 1]), keys, ["A", "B"], [])
    file = tmp_path / "pairs.txt"
    file.write_text("2 1\nA 1 2\nA 1 B 1\nB 1 2\nA 2 B 2\n")
    figures = verify_pairs(ByColor(), pairs_over(faces, file))
    assert (figures["accuracy"], figures["auc"], figures["num_pairs"]) == (1.0, 1.0, 4)
    assert figures["mirror_sum"] == "raw"
    assert (figures["fmr100"], "tar_at_far_1e-1" in figures) == (None, False)  # two impostors only
    assert figures["tar_note"].startswith(
        "n/a: 2 impostor pairs; a TAR at a FAR of 0.001 needs 10000"
    )
    assert (figures["resampled"], figures["num_people"]) == ("people", 2)
    assert figures["auc_interval"] == [0.0, 1.0]  # nothing is known from two people
    file.write_text("1\nA 1 9\nA 1 B 1\n")
    with pytest.raises(
        SourceError, match=r"source\.pairs: pair 1 of .* names an image that is not"
    ):
        verify_pairs(ByColor(), pairs_over(faces, file))


def test_roc_rises_to_one_and_ends_where_impostors_are_too_few():
    genuine = np.linspace(0.2, 1.0, 50)
    impostor = np.linspace(-1.0, 0.5, 1000)
    curve = roc(genuine, impostor)
    fars, tars = zip(*curve, strict=True)
    assert fars[0] == pytest.approx(1e-2)  # ten of a thousand
    assert fars[-1] == 1.0
    assert tars[-1] == 1.0
    assert list(tars) == sorted(tars)
    assert tars[fars.index(0.1)] == tar_at_far(genuine, impostor, 0.1)


def test_the_equal_error_rate_is_that_of_every_threshold():
    """All thresholds looked at one by one, many of them ties; bisecting finds the same."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        genuine = rng.integers(0, 9, rng.integers(1, 9)) / 10
        impostor = rng.integers(-3, 7, rng.integers(1, 12)) / 10
        both = np.unique(np.concatenate([genuine, impostor]))
        rates = [((genuine < t).mean(), 1 - (impostor < t).mean()) for t in both]
        least = min(abs(fnmr - fmr) for fnmr, fmr in rates)
        nearest = [(a + b) / 2 for a, b in rates if abs(a - b) <= least + 1e-12]
        found = equal_error_rate(genuine, impostor)
        assert min(abs(found - rate) for rate in nearest) < 1e-12


def test_pairs_in_blocks_are_all_pairs_in_their_order(monkeypatch):
    unit, labels = np.random.default_rng(1).normal(size=(30, 5)), np.arange(30) // 4
    row, column = np.triu_indices(30, k=1)
    cosines, same = (unit @ unit.T)[row, column], labels[row] == labels[column]
    for rows in (1, 7, 30, 512):
        monkeypatch.setattr("factory.recognition.verification.ROWS_AT_ONCE", rows)
        genuine, impostor = pair_cosines(unit, labels)
        np.testing.assert_allclose(genuine, cosines[same], rtol=1e-12)
        np.testing.assert_allclose(impostor, cosines[~same], rtol=1e-12)


def test_a_pair_at_the_threshold_is_no_match():
    impostor = np.arange(100) / 100
    threshold = cosine_at_fmr(impostor, 0.05)
    assert tar_at_far(np.array([threshold, threshold + 1e-6]), impostor, 0.05) == 0.5


def test_thresholds_are_on_the_squared_distance_by_hundredths():
    """2 - 2c of .104 and .116 are told apart by .11; of .104 and .108 by nothing between."""
    same = np.tile([True, False], 10)
    for other, accuracy in ((0.116, 1.0), (0.108, 0.5)):
        distances = np.where(same, 0.104, other)
        assert fold_accuracy(1 - distances / 2, same, num_folds=2)[0] == accuracy


def test_ten_folds_unless_told():
    assert Pairs(np.empty(0), np.empty(0)).num_folds == 10
    rng = np.random.default_rng(3)
    same = np.tile([True, False], 40)
    cosines = np.clip(rng.normal(np.where(same, 0.5, 0.3), 0.2), -1, 1)
    assert fold_accuracy(cosines, same) == fold_accuracy(cosines, same, num_folds=10)
    assert fold_accuracy(cosines, same) != fold_accuracy(cosines, same, num_folds=5)


class AtAngles:
    """Embeds images as told, on the unit circle; the sum with the mirror image stays there."""

    def __init__(self, angles):
        self._unit = np.stack([np.cos(angles), np.sin(angles)], 1)
        self.mirror_sum = "unit"

    def embed_with_mirror(self, images):
        return self._unit[: len(images)]


def test_figures_of_pairs_are_those_of_their_cosines():
    """fmr100 and fmr1000 are the genuine pairs at or below the cosine of 1 % and .1 %."""
    impostor = np.linspace(-0.5, 0.5, 10000)
    genuine = np.array([impostor[-2], impostor[-102], impostor[-5], 0.1, 0.9])
    cosines = np.concatenate([genuine, impostor])
    angles = np.zeros(2 * len(cosines))
    angles[1::2] = np.arccos(cosines) + 1e-9  # a hair below
    pairs = Pairs(np.zeros((len(angles), 1, 1, 3)), np.arange(len(cosines)) < len(genuine), 5)
    verified = verified_pairs(AtAngles(angles), pairs, with_intervals=False)
    figures = verified.figures
    assert figures["fmr100"] == pytest.approx(2 / 5)  # of a hundred above: .1 and the second not
    assert figures["fmr1000"] == pytest.approx(2 / 5)  # of ten above: the same
    assert figures["tar_at_far_1e-1"] == pytest.approx(4 / 5)
    assert "tar_at_far_1e-4" not in figures  # one pair's luck
    assert verified.resampled == {}


def test_a_rate_is_told_where_ten_impostors_exceed_it():
    assert too_few_for_far(10000, 1e-3) == ""
    assert too_few_for_far(9999, 1e-3) == (
        "n/a: 9999 impostor pairs; a TAR at a FAR of 0.001 needs 10000"
    )
    impostor = np.arange(999) / 999
    assert told_tar(np.array([2.0]), impostor, 1e-2) is None
    assert told_tar(np.array([2.0]), impostor, 1e-1) == 1.0


@pytest.mark.parametrize("known", [True, False])
def test_figures_of_pairs_have_intervals_over_people_or_pairs(known):
    rng = np.random.default_rng(0)
    same = np.tile([True, False], 150)
    cosines = np.clip(rng.normal(np.where(same, 0.5, 0.2), 0.15), -1, 1)
    angles = np.zeros(600)
    angles[1::2] = np.arccos(cosines)
    one = np.arange(300) // 6
    two = np.where(same, one, (one + 1) % 50)
    names = tuple(np.stack([one, two], 1).reshape(-1).astype(str).tolist())
    pairs = Pairs(np.zeros((600, 1, 1, 3)), same, people=names if known else ())
    verified = verified_pairs(AtAngles(angles), pairs)
    figures, unit = verified.figures, "people" if known else "pairs"
    assert (figures["resampled"], figures[f"num_{unit}"]) == (unit, 50 if known else 300)
    for name in ("accuracy", "auc", "eer", "fdr", "tar_at_far_1e-1"):
        low, high = figures[f"{name}_interval"]
        assert low < figures[name] < high
        assert len(verified.resampled[name]) == 1000
    assert f"accuracy is seen with {50 if known else 300} {unit} a side in 80 %" in figures["power"]


def test_a_summary_has_intervals_over_people():
    rng = np.random.default_rng(2)
    unit = np.repeat(rng.normal(size=(30, 8)), 4, 0) + rng.normal(0, 0.8, (120, 8))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    figures = summary(unit, np.arange(120) // 4)
    assert (figures["resampled"], figures["num_people"]) == ("people", 30)
    for name in ("auc", "eer", "fdr", "tar_at_far_1e-2", "cosine_at_fmr_1e-2"):
        low, high = figures[f"{name}_interval"]
        assert low <= figures[name] <= high
    assert figures["tar_at_far_1e-3"] is None
    assert "tar_at_far_1e-3_interval" not in figures
    assert "6960 impostor pairs" in figures["tar_note"]
