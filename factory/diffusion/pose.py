"""How heads stand in a source, and where five points lie for a pose (VIGFace, ICCV version; METHODS
1): what a generator is shown as an image of landmarks.

Poses come from a histogram of yaw and pitch. Points of a pose are a quadratic of both, plus the
spread that people of one pose have. Yaw and pitch are the estimates of sources/pose.py.

Shapes: N faces, B a batch; points [5, 2] in pixels of an image of `image_px`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory.errors import ConfigError
from factory.sources.pose import BIN_DEG, pitch_degrees, yaw_degrees

LEAST_FACES = 50
LEAST_IN_BIN = 2
"""Faces that a bin needs; rarer poses are left out."""
POINT_PX = 4.0 / 112
"""Deviation of a point's spot, as a share of the image's side."""
CHANNELS = 5
"""Channels of a landmark image: one for each point."""


@dataclass(frozen=True)
class PoseModel:
    """Poses of a source: bins (yaw, pitch, share), and points as a function of a pose, in units of
    the image's side."""

    bins: list[tuple[float, float, float]]
    """(middle of yaw, middle of pitch, share of faces), degrees."""
    weights_610: list[list[float]]
    """Coefficients of (1, yaw, pitch, yaw^2, pitch^2, yaw*pitch) in degrees/45, of ten places."""
    spread_1010: list[list[float]]
    """Cholesky factor of what is left."""

    @classmethod
    def learn(cls, points_2N52: np.ndarray, image_px: int) -> PoseModel:
        """From the points of faces and their mirrors [2, N, 5, 2]; those of NaN (no face found) are
        left out.

        Raises ConfigError for fewer than 50 faces.
        """
        points = points_2N52[np.isfinite(points_2N52).all((2, 3))]
        if len(points) < 2 * LEAST_FACES:
            raise ConfigError(
                f"generator.pose: five points were found in {len(points) // 2} faces; want at "
                f"least {LEAST_FACES}, check source.detector"
            )
        poses = np.array([(yaw_degrees(face), pitch_degrees(face)) for face in points])
        places, counts = np.unique(np.round(poses / BIN_DEG), axis=0, return_counts=True)
        often = counts >= LEAST_IN_BIN
        shares = counts[often] / counts[often].sum()
        bins = [
            (float(yaw * BIN_DEG), float(pitch * BIN_DEG), round(float(share), 8))
            for (yaw, pitch), share in zip(places[often], shares, strict=True)
        ]
        flat = points.reshape(len(points), 10) / image_px
        weights = np.linalg.lstsq(_terms(poses), flat, rcond=None)[0]
        left = flat - _terms(poses) @ weights
        spread = np.linalg.cholesky(np.cov(left.T) + 1e-9 * np.eye(10))
        return cls(bins, weights.round(8).tolist(), spread.round(8).tolist())

    @classmethod
    def of(cls, story: dict[str, Any]) -> PoseModel:
        """From a checkpoint's JSON."""
        bins = [(yaw, pitch, share) for yaw, pitch, share in story["bins"]]
        return cls(bins, story["weights_610"], story["spread_1010"])

    def points(
        self, yaw: float, pitch: float, image_px: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Five points [5, 2] of somebody in a pose."""
        mean = _terms(np.array([[yaw, pitch]])) @ np.array(self.weights_610)
        other = np.array(self.spread_1010) @ rng.standard_normal(10)
        return np.asarray((mean[0] + other).reshape(5, 2) * image_px)


def landmark_images(points_B52: np.ndarray, image_px: int) -> torch.Tensor:
    """[B, 5, px, px]: a spot for each point in a channel of its own; none for a point of NaN."""
    axis = np.arange(image_px, dtype=np.float32)
    sharp = np.float32(0.5 / (POINT_PX * image_px) ** 2)
    away = np.nan_to_num(points_B52.astype(np.float32), nan=-1e4)
    x_B5W = np.exp(-sharp * (axis - away[..., :1]) ** 2)
    y_B5H = np.exp(-sharp * (axis - away[..., 1:]) ** 2)
    return torch.from_numpy(y_B5H[..., None] * x_B5W[..., None, :])


def _terms(poses_N2: np.ndarray) -> np.ndarray:
    yaw, pitch = poses_N2.T / 45
    return np.stack([np.ones_like(yaw), yaw, pitch, yaw**2, pitch**2, yaw * pitch], 1)
