"""One embedding an image: a source's kept in a folder of yours, a release's beside it in its store.

A source's embeddings tell who its people are: they never enter a release or a bucket.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from factory.records import Manifest
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.sources import FaceSource
from factory.sources.base import decode_image, iterate_faces
from factory.store import Store

MAX_PIXELS = 1 << 24
"""Largest image that is decoded from a shard."""
BATCH = 256


class Space(Protocol):
    """What gives images a place among others: an embedder, or a hash of pixels."""

    sha256: str

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        """RGB uint8 [N, H, W, 3] -> float32 unit vectors [N, D]."""
        ...


@dataclass(frozen=True)
class RealFaces:
    """Readable faces of a source: unit vectors [N, D], labels [N], and their places in it [N]."""

    unit_ND: np.ndarray
    labels: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class MadeFaces:
    """Kept faces of a unit: metadata rows, and unit vectors [N, D] in each space asked for."""

    unit: int
    rows: list[dict[str, Any]]
    unit_by_space: list[np.ndarray]


def real_faces(
    source: FaceSource, space: Space, folder: str, max_corrupt_fraction: float
) -> RealFaces:
    """All readable faces of a source; embedded once, then read from `folder`."""
    name = hashlib.sha256(f"{source.fingerprint} {space.sha256}".encode()).hexdigest()[:32]
    path = Path(folder) / f"{name}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            return RealFaces(kept["unit_ND"], kept["labels"], kept["places"])
    found = _embed_source(source, space, max_corrupt_fraction)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.savez(file, unit_ND=found.unit_ND, labels=found.labels, places=found.places)
    part.replace(path)
    return found


def made_faces(
    store: Store, dataset: Store, manifest: Manifest, spaces: Sequence[Space]
) -> Iterator[MadeFaces]:
    """Kept faces of a sealed release, unit by unit. Embedded once, then read from the dataset's
    vectors/ folder, where names are digests of space and shard."""
    for shard in manifest.shards:
        rows = metadata_rows(store, shard.unit)
        tar = next(file for file in shard.files if file.name == layout.tar(shard.unit))
        names = [layout.vectors(space.sha256, tar.sha256) for space in spaces]
        missing = [place for place, name in enumerate(names) if not dataset.exists(name)]
        images = _images(store.get(tar.name), rows) if missing and rows else None
        found = []
        for place, (space, name) in enumerate(zip(spaces, names, strict=True)):
            if place in missing:
                unit_ND = np.empty((0, 1)) if images is None else space.embed(images)
                dataset.put(name, _npy(unit_ND))
            found.append(np.load(io.BytesIO(dataset.get(name)), allow_pickle=False))
        if rows:
            yield MadeFaces(shard.unit, rows, found)


def _embed_source(source: FaceSource, space: Space, max_corrupt_fraction: float) -> RealFaces:
    place_of = {key: place for place, key in enumerate(source.keys)}
    faces = iterate_faces(source, max_corrupt_fraction, [])
    units, labels, places = [], [], []
    while batch := list(itertools.islice(faces, BATCH)):
        units.append(space.embed(np.stack([face.image_HWC for face in batch])))
        labels += [face.label for face in batch]
        places += [place_of[face.key] for face in batch]
    return RealFaces(np.concatenate(units), np.array(labels), np.array(places))


def _images(data: bytes, rows: list[dict[str, Any]]) -> np.ndarray:
    return np.stack(
        [
            decode_image(data[row["offset"] : row["offset"] + row["size"]], row["key"], MAX_PIXELS)
            for row in rows
        ]
    )


def _npy(unit_ND: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, unit_ND.astype(np.float32), allow_pickle=False)
    return buffer.getvalue()
