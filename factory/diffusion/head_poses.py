"""The five points of the faces a generator learns from, and their poses (VIGFace, ICCV version)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory.checkpoint import file_sha256
from factory.config import Config
from factory.diffusion.latent_cache import shards_of
from factory.diffusion.pose import PoseModel, landmark_images
from factory.errors import ConfigError
from factory.sources import FaceSet
from factory.sources.alignment import DETECT_PX, YuNet, mirrored_points, points_of


class FacePoses:
    """Points of faces and of their mirrors, found once.

    They are found once for all trainings where there is a training.cache. A face in which none are
    found has an empty landmark image.
    """

    def __init__(self, faces: FaceSet, config: Config) -> None:
        """Raises ConfigError without source.detector, or when it finds hardly anybody."""
        if not config.source.detector:
            raise ConfigError(
                "source.detector: nothing given while generator.pose is true; want YuNet's .onnx"
            )
        detector = YuNet(config.source.detector, enlarge_to=DETECT_PX)
        self._px = faces.images_NHWC.shape[1]

        def find(part: slice) -> tuple[np.ndarray]:
            return (points_of(faces.images_NHWC[part], detector),)

        made_by = [file_sha256(Path(config.source.detector)), str(DETECT_PX)]
        shards = shards_of(faces, find, ("points",), config.training.cache, made_by)
        points_N52 = np.concatenate([points for (points,) in shards])
        self._points_2N52 = np.stack([points_N52, mirrored_points(points_N52, self._px)])
        self.model = PoseModel.learn(self._points_2N52, self._px)

    def images(self, mirrored: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
        """Landmark images [B, 5, px, px] of faces, or of their mirrors where 1."""
        return landmark_images(self._points_2N52[mirrored, chosen], self._px)

    def to_json(self) -> dict[str, Any]:
        """The pose model, as the checkpoint of a generator keeps it."""
        return asdict(self.model)
