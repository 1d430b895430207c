"""Figures of hand-made faces."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import SourceConfig
from factory.evaluation.diversity import pose
from factory.evaluation.similarity import BINS, SampledFaces, similarity
from factory.evaluation.throughput import throughput
from factory.records import Counts, Manifest, Shard, Timings


class ByColour:
    """Embeds a flat image by its first pixel."""

    sha256, dim = "fake", 3

    def embed(self, images):
        unit = images[:, 0, 0].astype(np.float64) + 1e-6
        return unit / np.linalg.norm(unit, axis=1, keepdims=True)


def similarity_of(release: SampledFaces, source: SampledFaces):
    embed = ByColour().embed
    return similarity(
        embed(release.images_NHWC), release.labels, embed(source.images_NHWC), source.labels
    )


def flat(*colours) -> np.ndarray:
    return np.stack([np.full((28, 28, 3), colour, np.uint8) for colour in colours])


RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def test_separated_people():
    faces = SampledFaces(flat(RED, RED, GREEN, GREEN), np.array([0, 0, 1, 1]))
    source = SampledFaces(flat(BLUE, BLUE, RED, RED), np.array([0, 0, 1, 1]))
    figures = similarity_of(faces, source)
    assert figures["release"]["auc"] == 1.0
    assert figures["release"]["genuine"]["mean"] == pytest.approx(1)
    assert figures["nearest_real"]["mean"] == pytest.approx(0.5, abs=1e-3)
    assert figures["source_nearest_other_person"]["mean"] == pytest.approx(0, abs=1e-3)
    histogram = figures["release"]["genuine"]["histogram"]
    assert (len(histogram), sum(histogram)) == (len(BINS) - 1, pytest.approx(1))


def test_one_person_is_not_enough_for_pairs():
    one = SampledFaces(flat(RED, RED), np.array([0, 0]))
    assert "n/a" in similarity_of(one, one)["release"]["note"]


class Unread:
    """A source that nobody may decode."""


def test_pose_says_what_it_needs():
    faces = SampledFaces(flat(RED), np.array([0]))
    assert "source.detector" in pose(faces, Unread(), SourceConfig())["note"]


def test_throughput_counts_from_first_shot_to_last_commit():
    shards = [
        Shard(0, "h", [], Counts(8, 2, 8, 2, 0), Timings(100.0, 110.0, 8.0, 10.0)),
        Shard(1, "h", [], Counts(10, 0, 10, 0, 0), Timings(105.0, 120.0, 14.0, 15.0)),
    ]
    figures = throughput(Manifest("d", "v", "h", shards))
    assert figures["faces_per_s"] == 1.0
    assert figures["sampling_share_of_busy_time"] == pytest.approx(22 / 25)
    assert figures["mean_makers_at_work"] == 1.25
