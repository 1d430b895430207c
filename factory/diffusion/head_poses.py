"""The five points of the faces a generator learns from, and their poses (VIGFace, ICCV version)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from factory.config import Config
from factory.diffusion.pose import PoseModel, landmark_images
from factory.errors import ConfigError
from factory.sources.alignment import mirrored_points, points_of
from factory.sources.detector import DETECT_PX, FACE_RULE, YuNet, model_sha256
from factory.training.faces import FaceRows, Faces, open_faces

MAX_LEARNED = 1 << 17
"""Faces whose poses are learned; of more, evenly spaced ones, because all would be in memory."""


class FacePoses:
    """Points of faces and of their mirrors, found once.

    Those of mapped faces are in files beside them. A face in which none are found has an empty
    landmark image.
    """

    def __init__(self, faces: Faces, config: Config) -> None:
        """Raises ConfigError without source.detector, or when it finds hardly anybody."""
        self._px, self._points = faces.images_NHWC.shape[1], points_rows(faces, config).rows()
        num_learned = min(len(faces), MAX_LEARNED)
        points_N52 = self._points[np.linspace(0, len(faces) - 1, num_learned).astype(int)]
        points_2N52 = np.stack([points_N52, mirrored_points(points_N52, self._px)])
        self.model = PoseModel.learn(points_2N52, self._px)

    def images(self, mirrored: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
        """Landmark images [B, 5, px, px] of faces, or of their mirrors where 1."""
        points_B52, flipped = self._points[chosen], mirrored.astype(bool)
        points_B52[flipped] = mirrored_points(points_B52[flipped], self._px)
        return landmark_images(points_B52, self._px)

    def to_json(self) -> dict[str, Any]:
        """The pose model, as the checkpoint of a generator keeps it."""
        return asdict(self.model)


def points_rows(faces: Faces, config: Config) -> FaceRows:
    """The five points of faces, rows [5, 2] in pixels; NaN where none are found.

    Raises ConfigError without source.detector.
    """
    if not config.source.detector:
        raise ConfigError(
            "source.detector: got null while generator.pose is true; want starter or a YuNet .onnx"
        )
    detector = YuNet(config.source.detector, enlarge_to=DETECT_PX)
    made_by = [model_sha256(config.source.detector), str(DETECT_PX), FACE_RULE]
    return FaceRows(
        faces, lambda part: points_of(faces.images_NHWC[part], detector), "points", made_by
    )


def open_points(config: Config) -> FaceRows:
    """The points of a config's faces, to be found by a fleet."""
    return points_rows(open_faces(config)[0], config)
