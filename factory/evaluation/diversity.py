"""How different the poses of an identity's images are (METHODS 1)."""

from __future__ import annotations

import numpy as np

from factory.config import SourceConfig
from factory.evaluation.metrics.release import Pose, YawDeviation
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.similarity import SampledFaces, sample_source
from factory.sources import FaceSource
from factory.sources.detector import YuNet
from factory.sources.pose import yaw_degrees

MAX_YAWS = 1000
"""Images of a set whose yaw is measured, evenly spaced."""


def pose(release: SampledFaces, source: FaceSource, config: SourceConfig) -> Pose | NotMeasured:
    """Standard deviation of yaw in degrees, overall and within identities, by five points.

    The source, which `config` opened, is decoded only where a detector looks at it.
    """
    if not config.detector:
        return NotMeasured("n/a: source.detector is null; set it to starter to measure yaw")
    detector, real = YuNet(config.detector), sample_source(source, config.max_corrupt_fraction)
    return Pose(release=_yaw(release, detector), source=_yaw(real, detector))


def _yaw(faces: SampledFaces, detector: YuNet) -> YawDeviation | NotMeasured:
    chosen = np.unique(np.linspace(0, len(faces.labels) - 1, MAX_YAWS).astype(int))
    padded = ((32, 32), (32, 32), (0, 0))
    yaw, labels = [], []
    for index in chosen:
        points = detector.landmarks(np.pad(faces.images_NHWC[index], padded, mode="edge"))
        if points is not None:
            yaw.append(yaw_degrees(points))
            labels.append(faces.labels[index])
    if not yaw:
        return NotMeasured(f"n/a: no face was found in any of {len(chosen)} images")
    values, owners = np.array(yaw), np.array(labels)
    within = [values[owners == owner].std() for owner in np.unique(owners)]
    return YawDeviation(
        num_images=len(chosen),
        num_detected=len(values),
        yaw_std_deg=float(values.std()),
        yaw_std_within_identity_deg=float(np.mean(within)),
    )
