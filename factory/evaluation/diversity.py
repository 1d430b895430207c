"""Rows must not be one picture eight times, nor pictures of the source: copies and pose."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.evaluation.similarity import Faces
from factory.sources.alignment import YuNet

SMALL = 28
"""Side to which faces are averaged before pixels are compared."""


def near_copies(release: Faces, source: Faces) -> dict[str, Any]:
    """Nearest pixel distance (root mean square of grey levels, on 28-px averages) of each kept
    face to the source, beside the source's own nearest-neighbour distance."""
    made, real = _small(release.images_NHWC), _small(source.images_NHWC)
    to_source = _nearest(made, real, skip_self=False)
    own = _nearest(real, real, skip_self=True)
    return {
        "nearest_to_source_px": _quantiles(to_source),
        "source_own_nearest_px": _quantiles(own),
        "closer_than_source_minimum": int((to_source < own.min()).sum()),
    }


def pose(release: Faces, source: Faces, detector_path: str | None) -> dict[str, Any]:
    """Standard deviation of yaw in degrees, overall and within identities, by five points."""
    if not detector_path:
        return {"note": "n/a: set source.detector to a YuNet .onnx to measure yaw"}
    detector = YuNet(detector_path)
    return {"release": _yaw(release, detector), "source": _yaw(source, detector)}


def yaw_degrees(landmarks_52: np.ndarray) -> float:
    """Yaw of a head from five points: the nose's offset from the middle of eyes and mouth, taken
    as the sine of the yaw at a nose depth of the half eye distance. An estimate, for comparing."""
    left, right, nose, mouth_left, mouth_right = landmarks_52
    across = ((right - left) + (mouth_right - mouth_left)) / 2
    middle = (left + right + mouth_left + mouth_right) / 4
    offset = float((nose - middle) @ across / (across @ across + 1e-9))
    return float(np.degrees(np.arctan(2 * offset)))


def _yaw(faces: Faces, detector: YuNet) -> dict[str, Any]:
    chosen = np.unique(np.linspace(0, len(faces.labels) - 1, 1000).astype(int))
    padded = ((32, 32), (32, 32), (0, 0))
    yaw, labels = [], []
    for index in chosen:
        points = detector.landmarks(np.pad(faces.images_NHWC[index], padded, mode="edge"))
        if points is not None:
            yaw.append(yaw_degrees(points))
            labels.append(faces.labels[index])
    values, owners = np.array(yaw), np.array(labels)
    within = [values[owners == owner].std() for owner in np.unique(owners)]
    return {
        "num_images": len(chosen),
        "num_detected": len(values),
        "yaw_std_deg": float(values.std()),
        "yaw_std_within_identity_deg": float(np.mean(within)),
    }


def _small(images_NHWC: np.ndarray) -> np.ndarray:
    """[N, SMALL*SMALL*3] float32 averages of equal cells."""
    count, side = len(images_NHWC), images_NHWC.shape[1]
    cell = max(1, side // SMALL)
    cropped = images_NHWC[:, : cell * (side // cell), : cell * (side // cell)]
    cells = cropped.reshape(count, side // cell, cell, side // cell, cell, 3)
    return cells.mean((2, 4), dtype=np.float32).reshape(count, -1)


def _nearest(query: np.ndarray, gallery: np.ndarray, *, skip_self: bool) -> np.ndarray:
    """Root mean square distance [N] to the nearest row, in blocks."""
    norms = np.square(gallery).sum(1)
    result = []
    for start in range(0, len(query), 512):
        block = query[start : start + 512]
        squared = np.square(block).sum(1)[:, None] + norms[None] - 2 * block @ gallery.T
        if skip_self:
            rows = np.arange(len(block))
            squared[rows, start + rows] = np.inf
        difference = block - gallery[squared.argmin(1)]  # exact, where the expansion cancels
        result.append(np.sqrt(np.square(difference).mean(1)))
    return np.concatenate(result)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    names = {"min": 0.0, "p01": 0.01, "median": 0.5, "p99": 0.99}
    return {name: float(np.quantile(values, q)) for name, q in names.items()}
