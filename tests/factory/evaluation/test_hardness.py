"""AUC of weighted pairs, and of the sets of a sealed test set, by two judges."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.hardness import hardness, weighted_auc
from factory.evaluation.metrics.values import NotMeasured
from factory.recognition.verification import auc
from tests.factory.shards.test_pair_files import PX, sealed


def looped(cosines, same, weights) -> float:
    """Every genuine pair against every impostor pair."""
    wins = total = 0.0
    for a in np.flatnonzero(same):
        for b in np.flatnonzero(~same):
            weight = weights[a] * weights[b]
            total += weight
            wins += weight * ((cosines[a] > cosines[b]) + 0.5 * (cosines[a] == cosines[b]))
    return wins / total


def test_weighted_auc_agrees_with_a_loop_over_pairs_of_pairs_and_with_auc():
    rng = np.random.default_rng(0)
    cosines, same = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.5
    weights = rng.integers(0, 3, 40).astype(float)
    assert weighted_auc(cosines, same, weights) == pytest.approx(looped(cosines, same, weights))
    plain = weighted_auc(cosines, same, np.ones(40))
    assert plain == pytest.approx(auc(cosines[same], cosines[~same]))
    assert np.isnan(weighted_auc(cosines, same, weights * same))


class ByColor:
    """Tells people by the color of the middle of their faces."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        middle = images[:, PX // 2 - 2 : PX // 2 + 2, PX // 2 - 2 : PX // 2 + 2]
        color = middle.reshape(len(images), -1, 3).mean(1) - 150.0
        return color / np.linalg.norm(color, axis=1, keepdims=True)


class Blind:
    """Sees nothing: noise of its own."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(1).normal(size=(len(images), 8))
        return noise / np.linalg.norm(noise, axis=1, keepdims=True)


def test_each_set_has_the_auc_of_each_judge_with_an_interval(tmp_path):
    store = sealed(tmp_path / "r")
    found = hardness(store, PX, {"recognizer": ByColor(), "judge": Blind()}, 0)
    assert list(found) == ["lookalikes", "yaw-0-20", "yaw-20-60"]
    one = found["yaw-0-20"]
    assert one.num_pairs == 24
    assert 10 <= one.num_people <= 14
    seen, blind = one.by["recognizer"], one.by["judge"]
    assert seen.auc > 0.9
    assert abs(blind.auc - 0.5) < 0.35
    assert not isinstance(seen.interval, NotMeasured)
    assert seen.interval.low <= seen.auc <= seen.interval.high
    width = blind.interval.high - blind.interval.low
    assert width > seen.interval.high - seen.interval.low
    assert hardness(store, PX, {"recognizer": ByColor(), "judge": Blind()}, 0) == found
