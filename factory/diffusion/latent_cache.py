"""Latents (or images) and conditions of faces, which do not change while a generator learns.

Those of faces in memory are in memory, those of mapped faces in files beside them, made once for
every training on the same faces and networks (training/faces.py). Pixels and prototypes are in no
second place: they are read where they are, and pixels mirrored as they are read.

Shapes: S faces of a shard, C x h x w the denoised space, D embedding, V rows of a face: itself and
its mirror, then each augmented copy and its mirror.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from factory.config import Config
from factory.diffusion.augmented_copies import AugmentedCopies
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.leave_one_out import LeaveOneOutCenters
from factory.errors import CheckpointError, ConfigError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.training.distributed import pick_device
from factory.training.faces import FaceRows, Faces, open_faces
from factory.training.rows import Rows

ENCODED_AT_ONCE = 64
"""Faces that are read, mirrored and encoded together: a batch of the networks."""
Encode = Callable[[np.ndarray], np.ndarray]
"""Rows of RGB uint8 images [B, H, W, 3]."""


NO_COPIES = AugmentedCopies()


class TrainingCache:
    """Latents and conditions of faces, half of them mirrored as they are drawn."""

    def __init__(
        self,
        faces: Faces,
        recognizer: Recognizer,
        autoencoder: Autoencoder | None,
        kind: str,
        copies: AugmentedCopies = NO_COPIES,
    ) -> None:
        """`kind` is generator.condition: embeddings of images, prototypes or centers of people.

        Raises CheckpointError where the recognizer has no prototype of somebody, ConfigError where
        nobody has a center because everybody has one image.
        """
        self._faces, self._copies = faces, copies
        self._unit: Rows | None = None
        self._centers: LeaveOneOutCenters | None = None
        self._latents: Rows | None = None
        if kind == "prototype":
            self._unit_by_label = prototypes_of(faces, recognizer)
        else:
            self._unit = embeddings_of(faces, recognizer, copies).rows()
        if kind == "center":
            assert self._unit is not None
            self._centers = LeaveOneOutCenters(faces.labels, self._unit)
            self._refuse_singles()
        if autoencoder:
            self._latents = latents_of(faces, autoencoder, copies).rows()
        first = self._x(np.array([0]), np.array([0]))
        self.channels, self.side = int(first.shape[1]), int(first.shape[2])

    def rows(self, which: np.ndarray, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(x [B, C, h, w], unit condition [B, D]) of faces, or of their mirrors where 1.

        With copies, `which` is 2 x copy more (AugmentedCopies.draw).
        """
        return self._x(which, chosen), self._conditions(which, chosen)

    def some_people(self, count: int) -> torch.Tensor:
        """Conditions of evenly spaced faces, [count, D]."""
        chosen = np.linspace(0, len(self._faces) - 1, count).astype(int)
        return self._conditions(np.zeros_like(chosen), chosen)

    @property
    def arrays(self) -> list[np.ndarray | Rows]:
        """What `rows` reads, by face."""
        x = self._faces.images_NHWC if self._latents is None else self._latents
        return [x] if self._unit is None else [x, self._unit]

    def _refuse_singles(self) -> None:
        if np.bincount(self._faces.labels).max(initial=0) < 2:
            raise ConfigError(
                "generator.condition: got center, but no person has two images, and a center is "
                "of the others; want several images of each person, or generator.condition=image"
            )

    def _x(self, which: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
        if self._latents is not None:
            return torch.from_numpy(self._latents.pick(chosen, which))
        images = self._faces.images_NHWC[chosen]
        for copy in range(1, 1 + self._copies.count):
            taken = which // 2 == copy
            if taken.any():
                images[taken] = self._copies.of_batch(images[taken], chosen[taken], copy)
        flipped = (which % 2).astype(bool)
        images[flipped] = images[flipped, :, ::-1]
        return to_network(images)

    def _conditions(self, which: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
        if self._centers is not None:
            return torch.from_numpy(self._centers.of(chosen))
        if self._unit is not None:
            return torch.from_numpy(self._unit.pick(chosen, which))
        return torch.from_numpy(self._unit_by_label[self._faces.labels[chosen]])


def latents_of(
    faces: Faces, autoencoder: Autoencoder, copies: AugmentedCopies = NO_COPIES
) -> FaceRows:
    """Latents of faces, their copies and the mirrors of these, rows [V, C, h, w]."""
    make = of_both(faces, lambda images: autoencoder.encode(images).numpy(), copies)
    return FaceRows(faces, make, "latents", [autoencoder.fingerprint, *copies.facts])


def embeddings_of(
    faces: Faces, recognizer: Recognizer, copies: AugmentedCopies = NO_COPIES
) -> FaceRows:
    """Unit embeddings of faces, their copies and the mirrors of these, rows [V, D]."""
    make = of_both(faces, recognizer.embed, copies)
    return FaceRows(faces, make, "embeddings", [recognizer.sha256, *copies.facts])


def open_latents(config: Config) -> FaceRows:
    """The latents of a config's faces, to be made by a fleet."""
    device, precision = pick_device(config.compute), config.compute.precision
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    return latents_of(open_faces(config)[0], autoencoder, AugmentedCopies.of(config))


def open_embeddings(config: Config) -> FaceRows:
    """The embeddings of a config's faces, to be made by a fleet."""
    recognizer = Recognizer.load(config.recognizer.checkpoint, pick_device(config.compute))
    return embeddings_of(open_faces(config)[0], recognizer, AugmentedCopies.of(config))


def of_both(
    faces: Faces, encode: Encode, copies: AugmentedCopies = NO_COPIES
) -> Callable[[slice], np.ndarray]:
    """A function of a slice: `encode` of its faces and of their mirrors, [S, V, ...]."""

    def encoded(batch: np.ndarray) -> np.ndarray:
        images = faces.images_NHWC[batch]
        each = (copies.of_batch(images, batch.tolist(), copy) for copy in range(1 + copies.count))
        both = (view for copy in each for view in (copy, np.ascontiguousarray(copy[:, :, ::-1])))
        return np.stack([encode(view) for view in both], 1)

    def make(part: slice) -> np.ndarray:
        rows = np.arange(len(faces))[part]
        starts = range(0, len(rows), ENCODED_AT_ONCE)
        batches = (rows[start : start + ENCODED_AT_ONCE] for start in starts)
        return np.concatenate([encoded(batch) for batch in batches])

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
