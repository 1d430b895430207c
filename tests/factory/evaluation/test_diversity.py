"""What a measurement of pose needs."""

from __future__ import annotations

import numpy as np

from factory.config import SourceConfig
from factory.evaluation.diversity import pose
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.similarity import SampledFaces


class Unread:
    """A source that nobody may decode."""


def test_pose_says_what_it_needs():
    faces = SampledFaces(np.zeros((1, 28, 28, 3), np.uint8), np.array([0]))
    wanted = NotMeasured("n/a: source.detector is null; set it to starter to measure yaw")
    assert pose(faces, Unread(), SourceConfig(detector=None)) == wanted
