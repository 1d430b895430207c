"""Poses of the heads in a source, and where five points lie for a pose (METHODS 1).

A generator is conditioned on an image of these landmarks (VIGFace, ICCV version). Poses come from a
histogram of yaw and pitch. Points of a pose are a quadratic of both, plus the spread that people of
one pose have. Yaw and pitch are the estimates of sources/pose.py.

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
"""Deviation of a point's spot, as a fraction of the image's side."""
CHANNELS = 5
"""Channels of a landmark image: one for each point."""


@dataclass(frozen=True)
class PoseModel:
    """How often each pose comes in a source, and points as a function of a pose.

    Points are in units of the image's side.
    """

    bins: list[tuple[float, float, float]]
    """(middle of yaw, middle of pitch, fraction of faces), degrees."""
    weights_610: list[list[float]]
    """Coefficients of (1, yaw, pitch, yaw^2, pitch^2, yaw*pitch) in degrees/45, by coordinate."""
    spread_1010: list[list[float]]
    """Cholesky factor of the covariance of what remains."""

    @classmethod
    def learn(cls, points_2N52: np.ndarray, image_px: int) -> PoseModel:
        """The model of the points of faces and their mirrors [2, N, 5, 2].

        Faces with points of NaN (none were found) are left out. Raises ConfigError for fewer than
        50 faces.
        """
        points = points_2N52[np.isfinite(points_2N52).all((2, 3))]
        if len(points) < 2 * LEAST_FACES:
            raise ConfigError(
                f"generator.pose: five points were found in {len(points) // 2} faces; want at "
                f"least {LEAST_FACES}, check source.detector"
            )
        poses = np.array([(yaw_degrees(face), pitch_degrees(face)) for face in points])
        middles, counts = np.unique(np.round(poses / BIN_DEG), axis=0, return_counts=True)
        often = counts >= LEAST_IN_BIN
        fractions = counts[often] / counts[often].sum()
        bins = [
            (float(yaw * BIN_DEG), float(pitch * BIN_DEG), round(float(fraction), 8))
            for (yaw, pitch), fraction in zip(middles[often], fractions, strict=True)
        ]
        flat = points.reshape(len(points), 10) / image_px
        weights = np.linalg.lstsq(_terms(poses), flat, rcond=None)[0]
        residual = flat - _terms(poses) @ weights
        spread = np.linalg.cholesky(np.cov(residual.T) + 1e-9 * np.eye(10))
        return cls(bins, weights.round(8).tolist(), spread.round(8).tolist())

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PoseModel:
        """The model that a checkpoint keeps."""
        bins = [(yaw, pitch, fraction) for yaw, pitch, fraction in stored["bins"]]
        return cls(bins, stored["weights_610"], stored["spread_1010"])

    def points(
        self, yaw: float, pitch: float, image_px: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Five points [5, 2] of somebody in a pose."""
        mean = _terms(np.array([[yaw, pitch]])) @ np.array(self.weights_610)
        deviation = np.array(self.spread_1010) @ rng.standard_normal(10)
        return np.asarray((mean[0] + deviation).reshape(5, 2) * image_px)


def landmark_images(points_B52: np.ndarray, image_px: int) -> torch.Tensor:
    """Images [B, 5, px, px] with a spot for each point in its channel; none for a point of NaN."""
    axis = np.arange(image_px, dtype=np.float32)
    sharp = np.float32(0.5 / (POINT_PX * image_px) ** 2)
    points_B52 = np.nan_to_num(points_B52.astype(np.float32), nan=-1e4)  # far outside
    x_B5W = np.exp(-sharp * (axis - points_B52[..., :1]) ** 2)
    y_B5H = np.exp(-sharp * (axis - points_B52[..., 1:]) ** 2)
    return torch.from_numpy(y_B5H[..., None] * x_B5W[..., None, :])


def _terms(poses_N2: np.ndarray) -> np.ndarray:
    yaw, pitch = poses_N2.T / 45
    return np.stack([np.ones_like(yaw), yaw, pitch, yaw**2, pitch**2, yaw * pitch], 1)
