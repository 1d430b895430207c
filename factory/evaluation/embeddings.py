"""The source's faces in the space of a network, kept in a folder of yours for the next time.

The folder is audit.embeddings_dir. A source's embeddings tell who its people are: they never enter
a release. While one is audited those of the judge lie beside its records (measuring.py) and are
deleted with these.
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
from typing import Protocol, TypeVar, cast

import numpy as np
from numpy.lib import format as npy

from factory.config import SourceConfig
from factory.errors import IntegrityError
from factory.evaluation.rows_on_disk import RowsOnDisk
from factory.recognition.embed import Embedder
from factory.sources import FaceSource
from factory.sources.alignment_facts import pixel_facts
from factory.sources.base import iterate_faces
from factory.sources.contents import contents_sha256
from factory.sources.decoding import DECODING
from factory.store.atomic import check_place, dispensable, of_file, writing

MAX_PIXELS = 1 << 24
"""Largest image that is decoded from a shard."""
KEY = "audit.embeddings_dir"
BATCH = 256
CHECKED_AT_ONCE = 1 << 16
MAPPED_BYTES = 1 << 28
"""Vectors of real faces that take more stay in their file."""


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


def real_faces(
    source: FaceSource, config: SourceConfig, spaces: Sequence[Space], folder: str
) -> list[RealFaces]:
    """All readable faces of the source that `config` opened, in each space.

    They are embedded once, in one pass, then read from `folder`, where the names of files are the
    digest of every image, of how it is aligned, and of the space; all images are read for it. Many
    vectors stay in their file, mapped.
    """
    pixels = pixel_facts(config, contents_sha256(source))
    inputs = json.dumps(pixels | {"decoding": DECODING}, sort_keys=True, allow_nan=False)
    stems = [
        hashlib.sha256(f"{inputs} {space.sha256}".encode()).hexdigest()[:32] for space in spaces
    ]
    found = [_read(Path(folder), stem, space) for stem, space in zip(stems, spaces, strict=True)]
    missing = [index for index, faces in enumerate(found) if faces is None]
    if missing:
        some = [spaces[index] for index in missing]
        where = _folder_for_files(folder)
        fresh = _embed_source(source, some, config.max_corrupt_fraction, where)
        for index, faces in zip(missing, fresh, strict=True):
            check_vectors(faces.unit_ND, len(faces.labels), spaces[index])
            _keep(Path(folder), stems[index], faces)
            found[index] = faces
    return [faces for faces in found if faces is not None]


Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each made by a thread while the one before it is used."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, source, end)
            yield cast(Item, item)


def _folder_for_files(folder: str) -> str | None:
    """The folder itself where it can be written, else None: that for temporary files."""
    with dispensable(KEY):
        check_place(KEY, Path(folder))
        Path(folder).mkdir(parents=True, exist_ok=True)
        return folder
    return None


def _read(folder: Path, stem: str, space: Space) -> RealFaces | None:
    """Faces that were embedded before; None where there are none, or a file is broken."""
    try:
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as file:
            labels, places = file["labels"], file["places"]
        unit_ND = _open(folder / f"{stem}.npy")
        check_vectors(unit_ND, len(labels), space)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, IntegrityError):
        return None
    return RealFaces(unit_ND, labels, places)


def _open(path: Path) -> np.ndarray:
    """Vectors of a file, mapped where they are many."""
    mapped = path.stat().st_size > MAPPED_BYTES
    return np.asarray(np.load(path, "r" if mapped else None, allow_pickle=False))


def _keep(folder: Path, stem: str, faces: RealFaces) -> None:
    """Write what was just embedded where it is found the next time."""
    with dispensable(KEY), of_file(folder):
        with writing(folder / f"{stem}.npz") as file:
            np.savez(file, labels=faces.labels, places=faces.indices)
        with writing(folder / f"{stem}.npy") as file:
            npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(faces.unit_ND))
            for start in range(0, len(faces.unit_ND), CHECKED_AT_ONCE):
                file.write(faces.unit_ND[start : start + CHECKED_AT_ONCE].tobytes())


def check_vectors(vectors_ND: np.ndarray, count: int, space: Space) -> None:
    """Raise IntegrityError unless there are so many vectors, all finite and as long as they say.

    A vector that is not a number would hide every leak that it is compared with.
    """
    unit, num_bad = space.has_unit_length, 0
    for start in range(0, len(vectors_ND), CHECKED_AT_ONCE):
        part_ND = np.asarray(vectors_ND[start : start + CHECKED_AT_ONCE], np.float64)
        length_N = np.linalg.norm(part_ND, axis=1)
        bad_N = ~(np.abs(length_N - 1) < 1e-3) if unit else ~np.isfinite(length_N)
        num_bad += int(bad_N.sum())
    if len(vectors_ND) != count or num_bad:
        raise IntegrityError(
            f"a network that looks at faces gives {len(vectors_ND)} vectors for {count} images, "
            f"{num_bad} of them not {'of unit length' if unit else 'finite'}; want another "
            "recognizer, judge or features, or mend these images"
        )


def _embed_source(
    source: FaceSource, spaces: Sequence[Space], max_corrupt_fraction: float, folder: str | None
) -> list[RealFaces]:
    """All readable faces in each space; many vectors stay in nameless files in `folder`."""
    index_of = {key: index for index, key in enumerate(source.keys)}
    faces = iterate_faces(source, max_corrupt_fraction, [])
    batches = iter(lambda: list(itertools.islice(faces, BATCH)), [])
    files: list[RowsOnDisk] = []
    labels, indices = [], []
    for batch in one_ahead(batches):
        images_NHWC = np.stack([face.image_HWC for face in batch])
        parts = [space.embed(images_NHWC).astype(np.float32) for space in spaces]
        files = files or [RowsOnDisk(folder, part.shape[1], np.float32) for part in parts]
        for file, part_ND in zip(files, parts, strict=True):
            file.append(part_ND)
        labels += [face.label for face in batch]
        indices += [index_of[face.key] for face in batch]
    shared = np.array(labels), np.array(indices)
    vectors = [file.finish() for file in files]
    in_memory = [v if v.nbytes > MAPPED_BYTES else np.array(v) for v in vectors]
    return [RealFaces(unit_ND, *shared) for unit_ND in in_memory]


def evenly_spaced(rows: np.ndarray, max_rows: int) -> np.ndarray:
    """All rows, or `max_rows` of them at equal distances."""
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), max_rows)).astype(int)
    return np.asarray(rows[chosen])
