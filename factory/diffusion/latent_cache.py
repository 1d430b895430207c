"""Latents (or images) and conditions of faces, which do not change while a generator learns.

Those of faces in memory are in memory, those of mapped faces in files beside them, made once for
every training on the same faces and networks (training/faces.py). Pixels and prototypes are in no
second place: they are read where they are, and pixels mirrored as they are read.

Shapes: S faces of a shard, C x h x w the denoised space, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.errors import CheckpointError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.training.distributed import pick_device
from factory.training.faces import FaceRows, Faces, open_faces
from factory.training.rows import Rows

ENCODED_AT_ONCE = 64
"""Faces that are read, mirrored and encoded together: a batch of the networks."""
Encode = Callable[[np.ndarray], np.ndarray]
"""Rows of RGB uint8 images [B, H, W, 3]."""


class TrainingCache:
    """Latents and conditions of faces, half of them mirrored as they are drawn."""

    def __init__(
        self, faces: Faces, recognizer: Recognizer, autoencoder: Autoencoder | None, kind: str
    ) -> None:
        """`kind` is generator.condition: embeddings of the images, or prototypes of their people.

        Raises CheckpointError where the recognizer has no prototype of somebody.
        """
        self._faces = faces
        self._unit: Rows | None = None
        self._latents: Rows | None = None
        if kind == "prototype":
            self._unit_by_label = prototypes_of(faces, recognizer)
        else:
            self._unit = embeddings_of(faces, recognizer).rows()
        if autoencoder:
            self._latents = latents_of(faces, autoencoder).rows()
        first = self._x(np.array([0]), np.array([0]))
        self.channels, self.side = int(first.shape[1]), int(first.shape[2])

    def rows(self, mirrored: np.ndarray, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(x [B, C, h, w], unit condition [B, D]) of faces, or of their mirrors where 1."""
        return self._x(mirrored, chosen), self._conditions(mirrored, chosen)

    def some_people(self, count: int) -> torch.Tensor:
        """Conditions of evenly spaced faces, [count, D]."""
        chosen = np.linspace(0, len(self._faces) - 1, count).astype(int)
        return self._conditions(np.zeros_like(chosen), chosen)

    @property
    def arrays(self) -> list[np.ndarray | Rows]:
        """What `rows` reads, by face."""
        x = self._faces.images_NHWC if self._latents is None else self._latents
        return [x] if self._unit is None else [x, self._unit]

    def _x(self, mirrored: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
        if self._latents is not None:
            return torch.from_numpy(self._latents.pick(chosen, mirrored))
        images = self._faces.images_NHWC[chosen]
        flipped = mirrored.astype(bool)
        images[flipped] = images[flipped, :, ::-1]
        return to_network(images)

    def _conditions(self, mirrored: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
        if self._unit is not None:
            return torch.from_numpy(self._unit.pick(chosen, mirrored))
        return torch.from_numpy(self._unit_by_label[self._faces.labels[chosen]])


def latents_of(faces: Faces, autoencoder: Autoencoder) -> FaceRows:
    """Latents of faces and their mirrors, rows [2, C, h, w]."""
    make = of_both(faces, lambda images: autoencoder.encode(images).numpy())
    return FaceRows(faces, make, "latents", [autoencoder.fingerprint])


def embeddings_of(faces: Faces, recognizer: Recognizer) -> FaceRows:
    """Unit embeddings of faces and their mirrors, rows [2, D]."""
    return FaceRows(faces, of_both(faces, recognizer.embed), "embeddings", [recognizer.sha256])


def open_latents(config: Config) -> FaceRows:
    """The latents of a config's faces, to be made by a fleet."""
    device, precision = pick_device(config.compute), config.compute.precision
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    return latents_of(open_faces(config)[0], autoencoder)


def open_embeddings(config: Config) -> FaceRows:
    """The embeddings of a config's faces, to be made by a fleet."""
    recognizer = Recognizer.load(config.recognizer.checkpoint, pick_device(config.compute))
    return embeddings_of(open_faces(config)[0], recognizer)


def of_both(faces: Faces, encode: Encode) -> Callable[[slice], np.ndarray]:
    """A function of a slice: `encode` of its faces and of their mirrors, [S, 2, ...]."""

    def encoded(images: np.ndarray) -> np.ndarray:
        both = (images, np.ascontiguousarray(images[:, :, ::-1]))
        return np.stack([encode(each) for each in both], 1)

    def make(part: slice) -> np.ndarray:
        rows = np.arange(len(faces))[part]
        starts = range(0, len(rows), ENCODED_AT_ONCE)
        batches = (rows[start : start + ENCODED_AT_ONCE] for start in starts)
        return np.concatenate([encoded(faces.images_NHWC[batch]) for batch in batches])

    return make


def prototypes_of(faces: Faces, recognizer: Recognizer) -> np.ndarray:
    """Prototypes of the faces' people by label, unit [P, D]."""
    index = {name: i for i, name in enumerate(recognizer.real_names)}
    missing = [name for name in faces.names if name not in index]
    if missing:
        raise CheckpointError(
            f"generator.condition: the recognizer has no prototype of {missing[0]!r} "
            f"({len(missing)} people); train it on this source or use generator.condition=image"
        )
    rows = np.array([index[name] for name in faces.names])
    return np.asarray(recognizer.unit_real[rows])
