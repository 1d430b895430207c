"""Latents (or images) and conditions of faces, which do not change while a generator learns.

They are in memory, each process its own; or in files of SHARD faces (training.cache), each made by
one rank, once for every training on the same faces and networks, and mapped by all.

Shapes: S faces of a shard, C x h x w the denoised space, D embedding.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory.diffusion.autoencoder import Autoencoder
from factory.errors import CheckpointError, ConfigError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.sources import FaceSet
from factory.store.atomic import dispensable, write_atomically
from factory.training.distributed import rank, wait_for_all, world_size

SHARD = 4096

CachedShard = tuple[np.ndarray, np.ndarray]
"""x [2, S, C, h, w] (or uint8 images [2, S, H, W, 3]), the faces, then their mirrors; and their
conditions [2, S, D]."""


class TrainingCache:
    """Latents and conditions of faces, half of them mirrored as they are drawn."""

    def __init__(
        self,
        faces: FaceSet,
        recognizer: Recognizer,
        autoencoder: Autoencoder | None,
        kind: str,
        folder: str | None = None,
    ) -> None:
        """`kind` is generator.condition: embeddings of the images, or prototypes of their people.

        Raises CheckpointError where the recognizer has no prototype of somebody.
        """
        self._in_pixels, self._count = autoencoder is None, len(faces)
        prototypes = _prototypes_of(faces, recognizer) if kind == "prototype" else None

        def make(part: slice) -> CachedShard:
            images = faces.images_NHWC[part]
            both = (images, np.ascontiguousarray(images[:, :, ::-1]))
            x = [autoencoder.encode(each).numpy() if autoencoder else each for each in both]
            if prototypes is None:
                unit = [recognizer.embed(each) for each in both]
            else:
                unit = [prototypes[part]] * 2
            return np.stack(x), np.stack(unit)

        made_by = [recognizer.sha256, kind, autoencoder.fingerprint if autoencoder else "pixels"]
        self._shards = shards_of(faces, make, ("x", "unit"), folder, made_by)
        first = self._images(np.array([[0, 0]]))
        self.channels, self.side = int(first.shape[1]), int(first.shape[2])

    def rows(self, mirrored: np.ndarray, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(x [B, C, h, w], unit condition [B, D]) of faces, or of their mirrors where 1."""
        rows_B2 = np.stack([mirrored, chosen], 1)
        return self._images(rows_B2), self._gathered(1, rows_B2)

    def some_people(self, count: int) -> torch.Tensor:
        """Conditions of evenly spaced faces, [count, D]."""
        chosen = np.linspace(0, self._count - 1, count).astype(int)
        return self._gathered(1, np.stack([np.zeros_like(chosen), chosen], 1))

    def _images(self, rows_B2: np.ndarray) -> torch.Tensor:
        x = self._gathered(0, rows_B2)
        return to_network(x.numpy()) if self._in_pixels else x

    def _gathered(self, part: int, rows_B2: np.ndarray) -> torch.Tensor:
        """Rows (mirror, face) of x or of the conditions."""
        rows = [self._shards[i // SHARD][part][m, i % SHARD] for m, i in rows_B2.tolist()]
        return torch.from_numpy(np.stack(rows))


def shards_of(
    faces: FaceSet,
    make: Callable[[slice], tuple[np.ndarray, ...]],
    parts: tuple[str, ...],
    folder: str | None,
    made_by: list[str],
) -> list[Any]:
    """The arrays that `make` gives for each SHARD of faces, one for each of `parts`.

    They are in memory, or mapped from files in a folder, each made by one rank where it is missing.
    The files are named by a digest of the faces, their pixels, and `made_by`: whatever else decides
    what is in them.
    """
    slices = [slice(start, start + SHARD) for start in range(0, len(faces), SHARD)]
    if folder is None:
        return [make(part) for part in slices]
    # the pixels too, because a source's fingerprint does not say how they were aligned
    made_from = [faces.fingerprint, faces.pixels_sha256(), *made_by]
    home = Path(folder) / hashlib.sha256(" ".join(made_from).encode()).hexdigest()[:16]
    count = len(slices)
    files = [[home / f"{part}-{number:05d}.npy" for part in parts] for number in range(count)]
    unwritten: dict[int, tuple[np.ndarray, ...]] = {}
    for number in range(rank(), count, world_size()):
        if not all(file.exists() for file in files[number]):
            arrays = make(slices[number])
            # because alone a rank can go on with what is in its memory
            with dispensable("training.cache") if world_size() == 1 else nullcontext():
                for file, array in zip(files[number], arrays, strict=True):
                    write_atomically(file, _npy(array), "training.cache")
            if not all(file.exists() for file in files[number]):
                unwritten[number] = arrays
    wait_for_all()
    there = [shard for number, shard in enumerate(files) if number not in unwritten]
    missing = [file for shard in there for file in shard if not file.exists()]
    if missing:
        raise ConfigError(
            f"training.cache: {missing[0]} was made by another rank and is not there; want a "
            "folder that all nodes see, or null"
        )
    return [
        unwritten.get(number)
        or tuple(np.load(file, mmap_mode="r", allow_pickle=False) for file in shard)
        for number, shard in enumerate(files)
    ]


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _prototypes_of(faces: FaceSet, recognizer: Recognizer) -> np.ndarray:
    index = {name: i for i, name in enumerate(recognizer.real_names)}
    missing = [name for name in faces.names if name not in index]
    if missing:
        raise CheckpointError(
            f"generator.condition: the recognizer has no prototype of {missing[0]!r} "
            f"({len(missing)} people); train it on this source or use generator.condition=image"
        )
    rows = np.array([index[name] for name in faces.names])
    return np.asarray(recognizer.unit_real[rows[faces.labels]])
