"""How different the images of an identity are, in pose and in quality (METHODS 1)."""

from __future__ import annotations

import numpy as np

from factory.config import SourceConfig
from factory.evaluation.metrics.release import Diversity, Pose, ScoreDeviation, YawDeviation
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.release_metadata import KeptScores
from factory.evaluation.similarity import SampledFaces, sample_source
from factory.sources import FaceSource
from factory.sources.alignment import YuNet
from factory.sources.pose import yaw_degrees

SCORES = ("sharpness", "brightness", "cr_fiqa", "ser_fiq")
MAX_YAWS = 1000
"""Images of a set whose yaw is measured, evenly spaced."""


def diversity(
    scores: KeptScores, release: SampledFaces, source: FaceSource, config: SourceConfig
) -> Diversity:
    """Deviation of pose, of the release and its source, and of scores within identities."""
    return Diversity(
        pose=pose(release, source, config),
        within_identity={name: within_identity(scores, name) for name in SCORES},
    )


def within_identity(scores: KeptScores, name: str) -> ScoreDeviation | NotMeasured:
    """Mean and standard deviation of D_k over identities with two images or more (METHODS 1).

    D_k is the standard deviation of a score within identity k; the paper has it of SER-FIQ and
    CR-FIQA.
    """
    values_N = scores.scores[name]
    if not len(values_N) or np.isnan(values_N).any():
        return NotMeasured(f"n/a: filters.min_{name} was off, so nobody measured it")
    _, class_N, counts_K = np.unique(scores.identities, return_inverse=True, return_counts=True)
    mean_K = np.bincount(class_N, weights=values_N) / counts_K
    variance_K = np.bincount(class_N, weights=np.square(values_N - mean_K[class_N])) / counts_K
    several = counts_K > 1
    if not several.any():
        return NotMeasured("n/a: no identity has two images")
    deviation_K = np.sqrt(variance_K[several])
    return ScoreDeviation(
        num_identities=int(several.sum()),
        mean=float(deviation_K.mean()),
        std=float(deviation_K.std()),
        of_all_images=float(values_N.std()),
    )


def pose(release: SampledFaces, source: FaceSource, config: SourceConfig) -> Pose | NotMeasured:
    """Standard deviation of yaw in degrees, overall and within identities, by five points.

    The source, which `config` opened, is decoded only where a detector looks at it.
    """
    if not config.detector:
        return NotMeasured("n/a: set source.detector to a YuNet .onnx to measure yaw")
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
