"""Rows must not be one picture eight times: how much of pose and quality there is in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.config import SourceConfig
from factory.evaluation.release_metadata import KeptScores
from factory.evaluation.similarity import SampledFaces, sample_source
from factory.sources import FaceSource
from factory.sources.alignment import YuNet
from factory.sources.pose import yaw_degrees

SCORES = ("sharpness", "brightness", "cr_fiqa", "ser_fiq")


def diversity(
    kept: KeptScores, release: SampledFaces, source: FaceSource, asked: SourceConfig
) -> dict[str, Any]:
    """metrics/diversity.json: spread of pose, beside the source's, and of scores in identities."""
    return {
        "pose": pose(release, source, asked),
        "within_identity": {name: within_identity(kept, name) for name in SCORES},
    }


def within_identity(kept: KeptScores, score: str) -> dict[str, Any]:
    """D_k, the standard deviation of a score within identity k, over identities with two images or
    more: mean and standard deviation (METHODS 1 has it of SER-FIQ and CR-FIQA)."""
    values_N = kept.scores[score]
    if not len(values_N) or np.isnan(values_N).any():
        return {"note": f"n/a: filters.min_{score} was off, so nobody measured it"}
    _, class_N, counts_K = np.unique(kept.identities, return_inverse=True, return_counts=True)
    mean_K = np.bincount(class_N, weights=values_N) / counts_K
    variance_K = np.bincount(class_N, weights=np.square(values_N - mean_K[class_N])) / counts_K
    several = counts_K > 1
    if not several.any():
        return {"note": "n/a: no identity has two images"}
    deviation_K = np.sqrt(variance_K[several])
    return {
        "num_identities": int(several.sum()),
        "mean": float(deviation_K.mean()),
        "std": float(deviation_K.std()),
        "of_all_images": float(values_N.std()),
    }


def pose(release: SampledFaces, source: FaceSource, asked: SourceConfig) -> dict[str, Any]:
    """Standard deviation of yaw in degrees, overall and within identities, by five points. The
    source, which `asked` opened, is decoded only where a detector looks at it."""
    if not asked.detector:
        return {"note": "n/a: set source.detector to a YuNet .onnx to measure yaw"}
    detector, real = YuNet(asked.detector), sample_source(source, asked.max_corrupt_fraction)
    return {"release": _yaw(release, detector), "source": _yaw(real, detector)}


def _yaw(faces: SampledFaces, detector: YuNet) -> dict[str, Any]:
    chosen = np.unique(np.linspace(0, len(faces.labels) - 1, 1000).astype(int))
    padded = ((32, 32), (32, 32), (0, 0))
    yaw, labels = [], []
    for index in chosen:
        points = detector.landmarks(np.pad(faces.images_NHWC[index], padded, mode="edge"))
        if points is not None:
            yaw.append(yaw_degrees(points))
            labels.append(faces.labels[index])
    if not yaw:
        return {"num_images": len(chosen), "note": "n/a: no face was found in any image"}
    values, owners = np.array(yaw), np.array(labels)
    within = [values[owners == owner].std() for owner in np.unique(owners)]
    return {
        "num_images": len(chosen),
        "num_detected": len(values),
        "yaw_std_deg": float(values.std()),
        "yaw_std_within_identity_deg": float(np.mean(within)),
    }
