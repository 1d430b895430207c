"""The faces of an MXNet .rec: insightface's with its identity table, im2rec's with labels.

Record 0 is an identity table where it has labels and no image; every record has its own labels
otherwise, of which source.label_column says who is in the image (`im2rec --pack-label` writes
several). insightface's folders hold train.rec, train.idx and `property`, a line
num_classes,height,width that is compared with the records.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.base import CorruptImageError, SourceFace
from factory.sources.decoding import decode_image, image_header
from factory.sources.left_out import MISSING_IMAGE, NO_LABEL, Tally, check_little_left_out
from factory.sources.recordio import Record, RecordFile, read_index

EXACT_FLOAT = 1 << 24
"""Largest count that float32 labels hold exactly; tables of longer files are not used."""
RECORDS, PROPERTY = "train.rec", "property"


@dataclass(frozen=True)
class LabeledRecords:
    """The image records of a .rec: a number of each in every array."""

    keys: np.ndarray
    offsets: np.ndarray
    identities: np.ndarray
    """Class numbers, with gaps."""
    num_columns: int = 1
    """Most labels that a record has."""


class RecordSource:
    """A FaceSource over the images of a .rec; they must have the aligned size already."""

    corrupt: tuple[str, ...] = ()

    def __init__(self, config: SourceConfig) -> None:
        path = records_of(Path(config.path or ""))
        self._file, self._config = RecordFile(path), config
        tally = Tally()
        found = labeled_records(self._file, config, tally)
        self.left_out = tally.all()
        check_little_left_out(self.left_out, len(found.keys), config.max_left_out_fraction)
        if not len(found.keys):
            raise SourceError(f"source.path: {path} holds no image record; check that it is whole")
        self._keys, self._offsets = found.keys, found.offsets
        people, self.labels = np.unique(found.identities, return_inverse=True)
        self.names = [f"{person:08d}" for person in people]
        self.remarks = _remarks(path, people, found, self._first_size())
        digest = hashlib.sha256(self._offsets.tobytes())
        digest.update(self.labels.astype(np.int64).tobytes())
        digest.update(str(self._file.size).encode())
        self.fingerprint = digest.hexdigest()

    @property
    def keys(self) -> list[str]:
        return [str(key) for key in self._keys]

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> SourceFace:
        key, offset = str(self._keys[index]), int(self._offsets[index])
        try:
            data, config = self._file.read(offset).image, self._config
            image = decode_image(data, key, config.max_pixels, config.background)
        except CorruptImageError as error:
            raise CorruptImageError(f"{key}: {error} (record at byte {offset})") from None
        px = self._config.image_px
        if image.shape[:2] != (px, px):
            raise SourceError(
                f"source.image_px: {key} is {image.shape[1]}x{image.shape[0]}, not {px}x{px}; "
                "records hold aligned faces, set source.image_px to their size"
            )
        return SourceFace(image, int(self.labels[index]), key)

    def encoded(self, index: int) -> bytes | memoryview:
        return self._file.read(int(self._offsets[index])).image

    def _first_size(self) -> tuple[int, int] | None:
        """(width, height) of the first image, by its header; None where it has none."""
        try:
            return image_header(self.encoded(0), str(self._keys[0]))[2:]
        except CorruptImageError:
            return None


def records_of(path: Path) -> Path:
    """The .rec that a path names, or that lies in the folder of that path.

    Raises SourceError where there is none, or several and none of them is train.rec.
    """
    found = [path]
    if path.is_dir():
        found = sorted(file for file in path.glob("*.rec") if not file.name.startswith("."))
        found = [file for file in found if file.name == RECORDS] or found
    if len(found) > 1:
        raise SourceError(f"source.path: {path} holds {len(found)} .rec files; name one of them")
    if not found or found[0].suffix != ".rec" or not _has_bytes(found[0]):
        raise SourceError(
            f"source.path: got {str(path)!r}; want a .rec file with records in it, or a folder "
            f"with {RECORDS}"
        )
    return found[0]


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def labeled_records(file: RecordFile, config: SourceConfig, tally: Tally) -> LabeledRecords:
    """The image records of a file with their class numbers; the others are counted by `tally`.

    Raises SourceError where too many cannot be read, or labels are no class numbers.
    """
    keys, offsets = read_index(file)
    if len(np.unique(keys)) < len(keys):
        raise SourceError(
            f"source.path: keys in the .idx of {file.path} stand for two records; remove the .idx "
            "to have the records numbered in their order"
        )
    head = _table_head(file, keys, offsets)
    if head is not None and config.label_column == 0:
        table = _by_table(file, keys, offsets, head, tally)
        if table is not None:
            return table
    return _by_labels(file, keys, offsets, head is not None, config, tally)


def _table_head(file: RecordFile, keys: np.ndarray, offsets: np.ndarray) -> tuple[int, int] | None:
    """[first identity record, one past the last] by record 0; None where that is no table.

    A table has labels and no image; `im2rec --pack-label` gives every record both.
    """
    place = np.flatnonzero(keys == 0)
    try:
        head = file.read(int(offsets[place[0]])) if len(place) else None
        if head is None or not head.has_table or len(head.labels) < 2 or len(head.image):
            return None
        return int(head.labels[0]), int(head.labels[1])
    except (ValueError, OverflowError, CorruptImageError):
        return None


def _by_table(
    file: RecordFile,
    keys: np.ndarray,
    offsets: np.ndarray,
    head: tuple[int, int],
    tally: Tally,
) -> LabeledRecords | None:
    """The image records by the identity records, without touching an image.

    None where the table cannot be used; images that it gives to nobody are counted.
    """
    if head[1] > EXACT_FLOAT:
        return None
    position_of = {int(key): position for position, key in enumerate(keys)}
    positions: list[int] = []
    identities: list[int] = []
    try:
        for person, key in enumerate(range(*head)):
            record = file.read(int(offsets[position_of[key]]))
            start, stop = record.labels[:2]
            own = [position_of[image] for image in range(int(start), int(stop))]
            if len(record.image) or len(positions) + len(own) > len(keys):
                return None  # an image, or people who share images
            positions += own
            identities += [person] * len(own)
    except (KeyError, ValueError, OverflowError, CorruptImageError):
        return None
    listed = set(positions)
    for key, position in position_of.items():
        if 0 < key < head[0] and position not in listed:
            tally.add(NO_LABEL, str(key))
    return LabeledRecords(keys[positions], offsets[positions], np.array(identities, dtype=np.int64))


def _by_labels(
    file: RecordFile,
    keys: np.ndarray,
    offsets: np.ndarray,
    has_head: bool,
    config: SourceConfig,
    tally: Tally,
) -> LabeledRecords:
    """The image records by the labels of each."""
    chosen: list[int] = []
    identities: list[int] = []
    corrupt: list[str] = []
    columns, num_short = 1, 0
    for position, offset in enumerate(offsets):
        try:
            record = file.read(int(offset))
        except CorruptImageError as error:
            corrupt.append(f"{keys[position]}: {error}")
            continue
        if not len(record.image):
            if not (has_head and record.has_table):  # else it is of the table
                tally.add(MISSING_IMAGE, str(keys[position]))
            continue
        columns = max(columns, len(record.labels))
        num_short += config.label_column >= len(record.labels)
        identity = _identity(record, config.label_column, int(offset))
        if identity is None:
            tally.add(NO_LABEL, str(keys[position]))
            continue
        chosen.append(position)
        identities.append(identity)
    if len(corrupt) > config.max_corrupt_fraction * len(offsets):
        raise SourceError(
            f"source.max_corrupt_fraction: {len(corrupt)} of {len(offsets)} records have no "
            f"label that can be read, first {corrupt[0]}; restore the file or raise the limit"
        )
    if num_short and not chosen:
        raise SourceError(
            f"source.label_column: got {config.label_column}, and the records of {file.path} have "
            f"{columns} labels at most; want a column from 0 to {columns - 1}"
        )
    return LabeledRecords(
        keys[chosen], offsets[chosen], np.array(identities, dtype=np.int64), columns
    )


def _identity(record: Record, column: int, offset: int) -> int | None:
    """The class number of a record; None where it has none.

    Raises SourceError for a label with a fraction: an age, a pose or a score is nobody.
    """
    if column >= len(record.labels):
        return None
    label = float(record.labels[column])
    if not np.isfinite(label) or label < 0:
        return None
    if not label.is_integer():
        raise SourceError(
            f"source.label_column: column {column} of the record at byte {offset} is {label:g}; "
            "want the column of class numbers, which are whole"
        )
    return int(label)


def _remarks(
    path: Path, people: np.ndarray, found: LabeledRecords, size: tuple[int, int] | None
) -> tuple[str, ...]:
    """What a person should know of the records."""
    remarks = []
    if found.num_columns > 1:
        remarks.append(
            f"{path}: records have up to {found.num_columns} labels; column source.label_column "
            "says who is who"
        )
    if len(people) <= people[-1]:
        missing = int(people[-1]) + 1 - len(people)
        remarks.append(
            f"{path}: labels up to {people[-1]} with {missing} gaps; classes are numbered "
            "without them"
        )
    file = path.with_name(PROPERTY)
    if path.name == RECORDS and file.is_file():
        remarks.append(_property_remark(file, people, size))
    return tuple(remarks)


def _property_remark(file: Path, people: np.ndarray, size: tuple[int, int] | None) -> str:
    """Whether insightface's `property` says what the records hold."""
    try:
        classes, height, width = map(int, file.read_text().strip().split(","))
    except ValueError:
        return f"{file}: not a line num_classes,height,width, so it says nothing of the records"
    says = f"{classes} classes of {width}x{height} pixels"
    if classes in (len(people), int(people[-1]) + 1) and size in (None, (width, height)):
        return f"{file}: {says}, as the records hold"
    there = "" if size is None else f", the first image {size[0]}x{size[1]}"
    return (
        f"{file}: {says}, but the records hold {len(people)} people{there}; check that the .rec "
        "is whole"
    )
