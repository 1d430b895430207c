"""The faces of CVLface's folders: train.tsv with a .rec or images, and points where there are any.

Where train.rec (with train.idx) lies beside train.tsv, the key of a line is that of a record;
without one, its path is that of an image in the folder. The tables are those of cvlface_tables.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.base import CorruptImageError, SourceFace
from factory.sources.cvlface_tables import (
    TABLE,
    Row,
    folder_of,
    points_file,
    read_points,
    read_rows,
)
from factory.sources.entries import IMAGE_SUFFIXES, Entry, read_entry, stem_of
from factory.sources.left_out import MISSING_IMAGE, NO_LABEL, Tally, check_little_left_out
from factory.sources.listing import is_system_part, suffix_of
from factory.sources.recordio import RecordFile, read_index
from factory.sources.texts import Texts

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

RECORDS = "train.rec"
SAMPLED = 1000
"""Records whose class is compared with that of the table."""


class CvlfaceSource:
    """A FaceSource over the images that a train.tsv lists."""

    corrupt: tuple[str, ...] = ()
    _remarks: tuple[str, ...] = ()

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        root = folder_of(config)
        self._decoder = decoder
        rows = list(read_rows(root / TABLE))
        tally = Tally()
        records = root / RECORDS
        images = _Records(records, rows, tally) if records.is_file() else _Files(root, rows, tally)
        self._images: _Records | _Files = images
        self.left_out = tally.all()
        kept = np.flatnonzero(images.is_there)
        check_little_left_out(self.left_out, len(kept), config.max_left_out_fraction)
        if not len(kept):
            raise SourceError(
                f"source.path: none of the {len(rows)} images that {root / TABLE} lists is there; "
                f"want {RECORDS}, or files at its paths, in that folder"
            )
        self._rows = kept.astype(np.int64)
        stems = [stem_of(rows[row].path) for row in kept.tolist()]
        if len(set(stems)) < len(stems):
            raise SourceError(
                f"source.path: {len(stems) - len(set(stems))} paths of {root / TABLE} come twice; "
                "want a path for each image"
            )
        self.keys = Texts(np.array([stem.encode() for stem in stems], dtype=np.bytes_))
        classes = np.array([row.label for row in rows], dtype=np.int64)[kept]
        people, self.labels = np.unique(classes, return_inverse=True)
        self.names = [f"{person:08d}" for person in people]
        file = points_file(config)
        self._fractions_N52 = None if file is None else read_points(file, len(rows))
        self.fingerprint = _fingerprint(stems, images.sizes[kept], classes, file)

    @property
    def remarks(self) -> tuple[str, ...]:
        return (*self._remarks, *self._decoder.remarks)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> SourceFace:
        row, key = int(self._rows[index]), self.keys[index]
        names, label = [self._images.name(row), key], int(self.labels[index])
        return self._decoder.face(self.encoded(index), key, names, label, self._points(row))

    def encoded(self, index: int) -> bytes | memoryview:
        return self._images.read(int(self._rows[index]), self.keys[index])

    def _points(self, row: int) -> np.ndarray | None:
        """Five points of an image, of its width and height; None where the table has none."""
        if self._fractions_N52 is None or not np.isfinite(self._fractions_N52[row]).all():
            return None
        return np.asarray(self._fractions_N52[row])


class _Records:
    """The images of a .rec, by the keys that lie in a table."""

    def __init__(self, path: Path, rows: list[Row], tally: Tally) -> None:
        self._file = RecordFile(path)
        keys, offsets = read_index(self._file)
        order = np.argsort(keys, kind="stable")
        wanted = np.array([row.key for row in rows], dtype=np.int64)
        place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        self.is_there = keys[order][place] == wanted
        for row in np.flatnonzero(~self.is_there).tolist():
            tally.add(MISSING_IMAGE, rows[row].path)
        self._offsets = offsets[order][place]
        self.sizes = self._offsets
        self._paths = np.array([row.path.encode() for row in rows], dtype=np.bytes_)
        self._check_classes(rows)
        for key in np.setdiff1d(self._image_keys(keys, offsets), wanted).tolist():
            tally.add(NO_LABEL, f"record {key}")

    def _image_keys(self, keys: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Keys of records that hold images: all, or those before an identity table's."""
        head = self._file.read(int(offsets[0]))
        if keys[0] == 0 and head.has_table and len(head.labels) > 1 and not len(head.image):
            return np.asarray(keys[(keys > 0) & (keys < head.labels[0])])
        return keys

    def _check_classes(self, rows: list[Row]) -> None:
        """Raise SourceError where records have other classes than the table says, of a sample."""
        there = np.flatnonzero(self.is_there)
        if not len(there):
            return
        sample = there[np.unique(np.linspace(0, len(there) - 1, SAMPLED).astype(int))]
        for row in sample.tolist():
            try:
                label = float(self._file.read(int(self._offsets[row])).labels[0])
            except CorruptImageError:  # which is counted when it is read
                continue
            if label != rows[row].label:
                raise SourceError(
                    f"source.path: line {row + 1} of {TABLE} says class {rows[row].label}, and the "
                    f"record of its key in {self._file.path} has {label:g}; want the table that "
                    "was written with it"
                )

    def name(self, row: int) -> str:
        return bytes(self._paths[row]).decode()

    def read(self, row: int, key: str) -> bytes | memoryview:
        try:
            return self._file.read(int(self._offsets[row])).image
        except CorruptImageError as error:
            raise CorruptImageError(f"{key}: {error}") from None


class _Files:
    """The images of a folder, by the paths that lie in a table."""

    def __init__(self, root: Path, rows: list[Row], tally: Tally) -> None:
        self._root = root
        self._paths = np.array([row.path.encode() for row in rows], dtype=np.bytes_)
        sizes = [_size(root / row.path) for row in rows]
        for row, size in zip(rows, sizes, strict=True):
            if size is None:
                tally.add(MISSING_IMAGE, row.path)
        listed = {Path(row.path) for row in rows}
        for path in _images_below(root):
            if path not in listed:
                tally.add(NO_LABEL, path.as_posix())
        self.is_there = np.array([size is not None for size in sizes])
        self.sizes = np.array([size or 0 for size in sizes], dtype=np.int64)

    def name(self, row: int) -> str:
        return bytes(self._paths[row]).decode()

    def read(self, row: int, key: str) -> bytes:
        name = self.name(row)
        return read_entry(Entry(self._root / name, 0, int(self.sizes[row]), name, key))


def _images_below(root: Path) -> Iterator[Path]:
    """Images of a folder by path from it, sorted, without hidden and system files."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_system_part(name))
        for name in sorted(names):
            if suffix_of(name) in IMAGE_SUFFIXES and not is_system_part(name):
                yield (Path(folder) / name).relative_to(root)


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    return path.stat().st_size if path.is_file() else None


def _fingerprint(
    stems: list[str], sizes: np.ndarray, classes: np.ndarray, points: Path | None
) -> str:
    """sha256 of a line `key size class` for each image, and of the table of points."""
    rows = zip(stems, sizes.tolist(), classes.tolist(), strict=True)
    listing = "\n".join(f"{key} {size} {label}" for key, size, label in rows)
    digest = hashlib.sha256(listing.encode())
    if points is not None:
        digest.update(points.read_bytes())
    return digest.hexdigest()
