"""One embedding an image, written to a folder of yours for the next time (audit.embeddings_dir).

A source's embeddings tell who its people are: they never enter a release or a bucket.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from factory.config import SourceConfig
from factory.errors import IntegrityError
from factory.recognition.embed import Embedder
from factory.records import Manifest
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.sources import FaceSource
from factory.sources.alignment_facts import pixel_facts
from factory.sources.base import decode_image, iterate_faces
from factory.sources.contents import contents_sha256
from factory.store import Store
from factory.store.atomic import dispensable, writing

MAX_PIXELS = 1 << 24
"""Largest image that is decoded from a shard."""
BATCH = 256


class Space(Protocol):
    """Where images are vectors: a recognizer, a hash of pixels, or a network of features."""

    @property
    def sha256(self) -> str:
        """Tells this space from every other one."""
        ...

    @property
    def has_unit_length(self) -> bool:
        """Whether its vectors have unit length."""
        ...

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        """RGB uint8 [N, H, W, 3] -> float32 vectors [N, D]."""
        ...


@dataclass(frozen=True)
class RecognizerSpace:
    """The unit vectors of an embedder."""

    embedder: Embedder

    @property
    def sha256(self) -> str:
        return self.embedder.sha256

    @property
    def has_unit_length(self) -> bool:
        return True

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        return self.embedder.embed(images_NHWC)


@dataclass(frozen=True)
class RealFaces:
    """Readable faces of a source: vectors [N, D], labels [N], and their indices in it [N]."""

    unit_ND: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


@dataclass(frozen=True)
class MadeFaces:
    """Kept faces of a unit: metadata rows, and vectors [N, D] in each of some spaces."""

    unit: int
    rows: list[dict[str, Any]]
    unit_by_space: list[np.ndarray]


def real_faces(
    source: FaceSource, config: SourceConfig, spaces: Sequence[Space], folder: str
) -> list[RealFaces]:
    """All readable faces of the source that `config` opened, in each space.

    They are embedded once, in one pass, then read from `folder`, where the name of a file is the
    digest of every image, of how it is aligned, and of the space; all images are read for it.
    """
    pixels = pixel_facts(config, contents_sha256(source))
    inputs = [json.dumps(pixels, sort_keys=True)]
    paths = [_path(folder, [*inputs, space.sha256]) for space in spaces]
    by_space = [_read(path, None, space) for path, space in zip(paths, spaces, strict=True)]
    missing = [index for index, arrays in enumerate(by_space) if arrays is None]
    if missing:
        fresh = _embed_source(source, [spaces[i] for i in missing], config.max_corrupt_fraction)
        for index, arrays in zip(missing, fresh, strict=True):
            _check(arrays, None, spaces[index])
            _write(paths[index], arrays)
            by_space[index] = arrays
    return [
        RealFaces(arrays["unit_ND"], arrays["labels"], arrays["places"])
        for arrays in by_space
        if arrays is not None
    ]


def made_faces(
    store: Store, manifest: Manifest, spaces: Sequence[Space], folder: str | None
) -> Iterator[MadeFaces]:
    """Kept faces of a sealed release, unit by unit, in each space.

    They are embedded once, then read from `folder`, where the name of a file is the digest of shard
    and space; None: embedded now. Raises IntegrityError for a shard that does not have the digest
    of its commit record.
    """
    for unit in one_ahead(_units(store, manifest, spaces, folder)):
        for index, space in enumerate(spaces):
            if unit.by_space[index] is None:
                assert unit.images_NHWC is not None
                arrays = {"unit_ND": space.embed(unit.images_NHWC)}
                _check(arrays, len(unit.rows), space)
                _write(unit.paths[index], arrays)
                unit.by_space[index] = arrays
        vectors = [arrays["unit_ND"] for arrays in unit.by_space if arrays is not None]
        yield MadeFaces(unit.number, unit.rows, vectors)


Arrays = dict[str, np.ndarray]
"""A file of embeddings: unit_ND, and of real faces labels and places (their indices)."""
Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each made by a thread while the one before it is used."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, source, end)
            yield cast(Item, item)


@dataclass
class _Unit:
    """A shard on its way: what is known of it in each space, its images where something is not."""

    number: int
    rows: list[dict[str, Any]]
    paths: list[Path | None]
    by_space: list[Arrays | None]
    images_NHWC: np.ndarray | None


def _units(
    store: Store, manifest: Manifest, spaces: Sequence[Space], folder: str | None
) -> Iterator[_Unit]:
    for shard in manifest.shards:
        rows = metadata_rows(store, shard.unit)
        if not rows:
            continue
        tar = next(file for file in shard.files if file.name == layout.tar_name(shard.unit))
        paths = [_path(folder, [tar.sha256, space.sha256]) for space in spaces]
        by_space = [_read(path, len(rows), s) for path, s in zip(paths, spaces, strict=True)]
        images = _images(store, tar.name, tar.sha256, rows) if None in by_space else None
        yield _Unit(shard.unit, rows, paths, by_space, images)


def _path(folder: str | None, inputs: list[str]) -> Path | None:
    if folder is None:
        return None
    return Path(folder) / f"{hashlib.sha256(' '.join(inputs).encode()).hexdigest()[:32]}.npz"


def _read(path: Path | None, count: int | None, space: Space) -> Arrays | None:
    """Arrays that were written before; None where there are none, or the file is broken."""
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        _check(arrays, count, space)
        return arrays
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, IntegrityError):
        return None


def _write(path: Path | None, arrays: Arrays) -> None:
    if path is None:
        return
    with dispensable("audit.embeddings_dir"), writing(path) as file:
        np.savez(file, **cast(dict[str, Any], arrays))


def _check(arrays: Arrays, count: int | None, space: Space) -> None:
    """Raise IntegrityError unless there are so many vectors, all finite and as long as they say.

    A vector that is not a number would hide every leak that it is compared with.
    """
    unit_ND, count = arrays["unit_ND"], len(arrays["labels"]) if count is None else count
    length_N = np.linalg.norm(unit_ND.astype(np.float64), axis=1)
    unit = space.has_unit_length
    bad = np.flatnonzero(~(np.abs(length_N - 1) < 1e-3) if unit else ~np.isfinite(length_N))
    if len(unit_ND) != count or len(bad):
        raise IntegrityError(
            f"a network that looks at faces gives {len(unit_ND)} vectors for {count} images, "
            f"{len(bad)} of them not {'of unit length' if unit else 'finite'}; want another "
            "recognizer, judge or features, or mend these images"
        )


def _embed_source(
    source: FaceSource, spaces: Sequence[Space], max_corrupt_fraction: float
) -> list[Arrays]:
    """Vectors, labels and indices of all readable faces in each space."""
    index_of = {key: index for index, key in enumerate(source.keys)}
    faces = iterate_faces(source, max_corrupt_fraction, [])
    batches = iter(lambda: list(itertools.islice(faces, BATCH)), [])
    units: list[list[np.ndarray]] = [[] for _ in spaces]
    labels, indices = [], []
    for batch in one_ahead(batches):
        images_NHWC = np.stack([face.image_HWC for face in batch])
        for space, parts in zip(spaces, units, strict=True):
            parts.append(space.embed(images_NHWC).astype(np.float32))
        labels += [face.label for face in batch]
        indices += [index_of[face.key] for face in batch]
    shared = {"labels": np.array(labels), "places": np.array(indices)}
    return [{"unit_ND": np.concatenate(parts), **shared} for parts in units]


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


def evenly_spaced(rows: np.ndarray, max_rows: int) -> np.ndarray:
    """All rows, or `max_rows` of them at equal distances."""
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), max_rows)).astype(int)
    return np.asarray(rows[chosen])
