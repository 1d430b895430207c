"""The faces of CVLface's folders: train.tsv, a .rec or images, and the points of ldmk_*points.csv.

Of M. Kim's CVLface (github.com/mk-minchul/CVLface): each line of train.tsv is key TAB path TAB class,
without a header. Where train.rec (with train.idx) lies beside it, key is that of a record; without
one, path is that of an image in the folder. ldmk_5points.csv has a header and then, for each line of
train.tsv by its number from 0, x and y of five points (or x, y and a score) as fractions of the
image's width and height.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.base import CorruptImageError, SourceFace
from factory.sources.entries import Entry, read_entry, stem_of
from factory.sources.left_out import MISSING_IMAGE, NO_LABEL, Tally, check_little_left_out
from factory.sources.recordio import RecordFile, read_index
from factory.sources.texts import Texts

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

TABLE, RECORDS, POINTS = "train.tsv", "train.rec", "ldmk_*points.csv"
SAMPLED = 1000
"""Records whose class is compared with that of the table."""


@dataclass(frozen=True)
class Row:
    """A line of train.tsv."""

    key: int
    path: str
    label: int


class CvlfaceSource:
    """A FaceSource over the images that a train.tsv lists."""

    corrupt: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

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

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> SourceFace:
        row, key = int(self._rows[index]), self.keys[index]
        fractions_52 = None if self._fractions_N52 is None else self._fractions_N52[row]
        names = [self._images.name(row), key]
        return self._decoder.face(
            self.encoded(index), key, names, int(self.labels[index]), fractions_52
        )

    def encoded(self, index: int) -> bytes | memoryview:
        return self._images.read(int(self._rows[index]), self.keys[index])


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
            return keys[(keys > 0) & (keys < head.labels[0])]
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
        self.is_there = np.array([size is not None for size in sizes])
        self.sizes = np.array([size or 0 for size in sizes], dtype=np.int64)

    def name(self, row: int) -> str:
        return bytes(self._paths[row]).decode()

    def read(self, row: int, key: str) -> bytes:
        name = self.name(row)
        return read_entry(Entry(self._root / name, 0, int(self.sizes[row]), name, key))


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    return path.stat().st_size if path.is_file() else None


def folder_of(config: SourceConfig) -> Path:
    """The folder of a source of kind cvlface, or the one of the train.tsv that it names."""
    path = Path(config.path or "")
    root = path.parent if path.is_file() and path.name == TABLE else path
    if not (root / TABLE).is_file():
        raise SourceError(
            f"source.path: no {TABLE} in {str(path)!r}; want a folder with {TABLE} as CVLface "
            "writes it, or another source.kind"
        )
    return root


def points_file(config: SourceConfig) -> Path | None:
    """The table of points in a folder of CVLface; None without one, and with source.landmarks.

    Raises SourceError where there are several.
    """
    if config.landmarks:
        return None
    root = folder_of(config)
    found = sorted(file for file in root.glob(POINTS) if not file.name.startswith("."))
    if len(found) > 1:
        raise SourceError(f"source.path: {root} holds {len(found)} files {POINTS}; want one")
    return found[0] if found else None


def read_rows(path: Path) -> Iterator[Row]:
    """The lines of a train.tsv; raises SourceError for the first that is none."""
    wanted = "want key TAB path TAB class, without a header"
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for number, line in enumerate(csv.reader(handle, delimiter="\t", quoting=3), start=1):
                if len(line) != 3 or not (line[0].isdecimal() and line[2].isdecimal()):
                    raise SourceError(
                        f"source.path: line {number} of {path} has {len(line)} columns, or a key "
                        f"or class that is no number; {wanted}"
                    )
                name = PurePosixPath(line[1])
                if name.is_absolute() or ".." in name.parts or not name.name:
                    raise SourceError(
                        f"source.path: the path in line {number} of {path} leads out of its "
                        "folder; want one below it"
                    )
                yield Row(int(line[0]), name.as_posix(), int(line[2]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"source.path: {path} is not UTF-8 text ({type(error).__name__}); {wanted}"
        ) from None


def read_points(path: Path, num_rows: int) -> np.ndarray:
    """Five points of each row as fractions of width and height: float64 [N, 5, 2].

    NaN for a row that the table lacks. Raises SourceError for anything but numbers.
    """
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise SourceError(f"source.path: {path} is not numbers under a header ({error})") from None
    if table.shape[1] not in (11, 16):
        raise SourceError(
            f"source.path: {path} has {table.shape[1]} columns; want idx and x,y, or x,y,score, of "
            "five points"
        )
    rows = table[:, 0]
    if (rows < 0).any() or (rows >= num_rows).any() or len(np.unique(rows)) < len(rows):
        raise SourceError(
            f"source.path: idx of {path} must be numbers of lines of {TABLE}, from 0 to "
            f"{num_rows - 1} and each once; want the table of that folder"
        )
    points_N52 = table[:, 1:].reshape(len(table), 5, -1)[..., :2]
    if np.nanmax(np.abs(points_N52), initial=0.0) > 4:
        raise SourceError(
            f"source.path: {path} has points in pixels; want fractions of width and height, or "
            "set source.landmarks to a table of pixels"
        )
    all_N52 = np.full((num_rows, 5, 2), np.nan)
    all_N52[rows.astype(np.int64)] = points_N52
    return all_N52


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
