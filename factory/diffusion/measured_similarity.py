"""Labels that are measured: how alike a training image is to the center of its person.

CemiFace asks in training for an m that its loss then enforces through a recognizer (METHODS 2),
which a network can fool. A measured label is a fact about the image, so denoising alone teaches it.
The center leaves the image itself out. The image's share of a plain mean of n images raises its
cosine, the more the fewer they are; and a recognizer's prototypes were drawn toward these images in
training, and exist for its own people only.

Shapes: N faces, B a batch, S faces of a shard, P people, D embedding; two rows of a face, itself
and its mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.latent_cache import embeddings_of
from factory.diffusion.leave_one_out import LeaveOneOutCenters
from factory.diffusion.similarity import TrainingSimilarities
from factory.errors import ConfigError
from factory.provenance.lineage import NetworkRecord
from factory.provenance.networks import records_of
from factory.recognition.embed import Recognizer
from factory.training.faces import FaceRows, Faces
from factory.training.rows import Rows

KEY = "generator.similarity_recognizers"
FORMAT = "cosines to leave-one-out centers of images and mirrors, 1"
"""What files of cosines hold, for their names."""


class MeasuredSimilarity:
    """m of every face and of its mirror, the mean of what some recognizers measure.

    Cosines of recognizers differ in mean and spread, so they are standardized over all images
    first, and their mean is stated in the units of the first recognizer:
    m = mean_1 + std_1 * mean over r of (c_r - mean_r) / std_r. With one recognizer m = c_1.
    """

    def __init__(self, faces: Faces, recognizers: Sequence[Recognizer]) -> None:
        """Raises ConfigError where fewer than two images have a label, or all have the same."""
        self._cosines = [cosines_of(faces, one).rows() for one in recognizers]
        whole_RN2 = np.stack([_whole(rows) for rows in self._cosines]).astype(np.float64)
        alone_N = np.isnan(whole_RN2[0, :, 0])
        known_RM = whole_RN2[:, ~alone_N].reshape(len(recognizers), -1)
        if known_RM.shape[1] < 2 or (known_RM.std(1) == 0).any():
            raise ConfigError(
                f"generator.similarity_label: got measured, but of {len(faces)} images "
                f"{known_RM.shape[1] // 2} have others of their person, all at one cosine to them; "
                "want different images of each person, or generator.similarity_label=asked"
            )
        self._mean_R, self._std_R = known_RM.mean(1), known_RM.std(1)
        self.learned = TrainingSimilarities.of(
            self._joined(known_RM), int(alone_N.sum()), [one.sha256 for one in recognizers]
        )

    def rows(self, which_B: np.ndarray, chosen_B: np.ndarray) -> torch.Tensor:
        """m [B] of faces, or of their mirrors where 1; NaN where a person has no other image."""
        picked = [rows.pick(chosen_B, which_B) for rows in self._cosines]
        return torch.from_numpy(self._joined(np.stack(picked)).astype(np.float32))

    def _joined(self, cosine_RB: np.ndarray) -> np.ndarray:
        if len(cosine_RB) == 1:
            return np.asarray(cosine_RB[0])
        z_RB = (cosine_RB - self._mean_R[:, None]) / self._std_R[:, None]
        return np.asarray(self._mean_R[0] + self._std_R[0] * z_RB.mean(0))


def cosines_of(faces: Faces, recognizer: Recognizer) -> FaceRows:
    """Cosines of faces and of their mirrors to the centers of their people's others, rows [2]."""

    @cache
    def centers() -> tuple[Rows, LeaveOneOutCenters]:
        unit = embeddings_of(faces, recognizer).rows()
        return unit, LeaveOneOutCenters(faces.labels, unit)

    def make(part: slice) -> np.ndarray:
        unit, leave_one_out = centers()
        rows = np.arange(len(faces))[part]
        center_SD = leave_one_out.of(rows)
        cosine_S2 = (unit[rows] * center_SD[:, None]).sum(2)
        cosine_S2[~center_SD.any(1)] = np.nan
        return np.asarray(cosine_S2, np.float32)

    return FaceRows(faces, make, "cosines", [recognizer.sha256, FORMAT])


def open_label_recognizers(config: Config, device: torch.device) -> list[Recognizer]:
    """The further recognizers that measure labels.

    Raises CheckpointError for what is no checkpoint of a recognizer.
    """
    names = config.generator.similarity_recognizers
    return [Recognizer.load(name, device, KEY) for name in names]


def label_records(config: Config) -> list[NetworkRecord]:
    """Records of these recognizers and of what they descend from."""
    return [
        record
        for name in config.generator.similarity_recognizers
        for record in records_of(checkpoint.read_metadata(name, "recognizer", KEY))
    ]


def _whole(rows: Rows) -> np.ndarray:
    """All rows [N, 2]: eight bytes a face."""
    starts = range(0, len(rows), rows.shard_rows)
    return np.concatenate([rows[start : start + rows.shard_rows] for start in starts])
