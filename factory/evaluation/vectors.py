"""One embedding an image, kept in a folder of yours for the next time (audit.vectors).

A source's embeddings tell who its people are: they never enter a release or a bucket.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from factory.config import SourceConfig, as_dict
from factory.errors import IntegrityError
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
    """What gives images a place among others: an embedder, a hash of pixels, or a network of
    features, which says `has_unit_length` where its vectors have not."""

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


def real_faces(source: FaceSource, asked: SourceConfig, space: Space, folder: str) -> RealFaces:
    """All readable faces of the source that `asked` opened. Embedded once, then read from `folder`,
    where a name is the digest of source, files, settings and space."""
    what = [source.fingerprint, _stamps(asked), json.dumps(as_dict(asked)), space.sha256]

    make = functools.partial(_embed_source, source, space, asked.max_corrupt_fraction)
    return RealFaces(**_kept(folder, what, make, None, _unit(space)))


def made_faces(
    store: Store, manifest: Manifest, spaces: Sequence[Space], folder: str | None
) -> Iterator[MadeFaces]:
    """Kept faces of a sealed release, unit by unit. Embedded once, then read from `folder`, where a
    name is the digest of shard and space; None: embedded now.

    Raises IntegrityError for a shard that does not have the digest of its commit record.
    """
    for shard in manifest.shards:
        rows = metadata_rows(store, shard.unit)
        if not rows:
            continue
        tar = next(file for file in shard.files if file.name == layout.tar(shard.unit))
        images = functools.cache(functools.partial(_images, store, tar.name, tar.sha256, rows))
        found = []
        for space in spaces:
            make = functools.partial(_embed_images, images, space)
            what = [tar.sha256, space.sha256]
            found.append(_kept(folder, what, make, len(rows), _unit(space))["unit_ND"])
        yield MadeFaces(shard.unit, rows, found)


def _embed_images(images: Callable[[], np.ndarray], space: Space) -> dict[str, np.ndarray]:
    return {"unit_ND": space.embed(images())}


def _kept(
    folder: str | None,
    what: list[str],
    make: Callable[[], dict[str, np.ndarray]],
    count: int | None,
    unit: bool,
) -> dict[str, np.ndarray]:
    """Arrays that `make` gives, or gave before; a file that cannot be read is made again. There are
    `count` vectors, None: as many as labels, of unit length where `unit` says so."""
    path = None
    if folder is not None:
        path = Path(folder) / f"{hashlib.sha256(' '.join(what).encode()).hexdigest()[:32]}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            _check(found, count, unit)
            return found
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, IntegrityError):
            pass  # none, or half of one
    found = make()
    _check(found, count, unit)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        with part.open("wb") as file:
            np.savez(file, **found)
        part.replace(path)
    return found


def _unit(space: Space) -> bool:
    return getattr(space, "has_unit_length", True)


def _check(found: dict[str, np.ndarray], count: int | None, unit: bool) -> None:
    """Raise IntegrityError unless there are so many vectors, all finite and, where `unit` says so,
    of unit length: one that is not a number would hide every leak that it is compared with."""
    unit_ND, count = found["unit_ND"], len(found["labels"]) if count is None else count
    length_N = np.linalg.norm(unit_ND.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(length_N - 1) < 1e-3) if unit else ~np.isfinite(length_N))
    if len(unit_ND) != count or len(bad):
        raise IntegrityError(
            f"judge.checkpoint: gives {len(unit_ND)} vectors for {count} images, "
            f"{len(bad)} of them not of unit length; want another judge, or mend these images"
        )


def _stamps(asked: SourceConfig) -> str:
    """Newest change and number of the files that a source is read from."""
    paths = [Path(p) for p in (asked.path, asked.landmarks, asked.detector) if p]
    files = [f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file()]
    return f"{len(files)} {max((f.stat().st_mtime_ns for f in files), default=0)}"


def _embed_source(
    source: FaceSource, space: Space, max_corrupt_fraction: float
) -> dict[str, np.ndarray]:
    place_of = {key: place for place, key in enumerate(source.keys)}
    faces = iterate_faces(source, max_corrupt_fraction, [])
    units, labels, places = [], [], []
    while batch := list(itertools.islice(faces, BATCH)):
        units.append(space.embed(np.stack([face.image_HWC for face in batch])))
        labels += [face.label for face in batch]
        places += [place_of[face.key] for face in batch]
    vectors = np.concatenate(units).astype(np.float32)
    return {"unit_ND": vectors, "labels": np.array(labels), "places": np.array(places)}


def _images(store: Store, tar: str, sha256: str, rows: list[dict[str, Any]]) -> np.ndarray:
    data = store.get(tar)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(f"{store.url}/{tar}: does not have its sha256; restore it")
    return np.stack(
        [
            decode_image(data[row["offset"] : row["offset"] + row["size"]], row["key"], MAX_PIXELS)
            for row in rows
        ]
    )
