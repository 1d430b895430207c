"""Reads and writes MXNet's RecordIO without mxnet (METHODS 8).

It is the format of insightface's CASIA-WebFace, MS1MV2 and Glint360K.

A chunk is u32 magic, u32 (3 bits continuation, 29 bits length), payload padded to 4 bytes. Where a
record holds the magic at a multiple of 4 it is cut there, into chunks 1 (first), 2, 3 (last), and
the magic goes between them again. A record is `<IfQQ` (flag, label, id, id2), then `flag` float32
labels, then a JPEG. Record 0 holds no image but [first identity record, one past the last]; an
identity record holds [first image, one past the last] of a person.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory.errors import SourceError
from factory.sources.base import CorruptImageError
from factory.store.atomic import dispensable, writing

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
CHUNK = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")
MAX_LENGTH = (1 << 29) - 1
MAX_LABELS = 1 << 16


@dataclass(frozen=True)
class Record:
    """A record: its labels and its image, a view of the file where it is one chunk."""

    labels: np.ndarray
    image: memoryview | bytes
    has_table: bool
    """Whether the labels are an array (flag > 0), as in record 0 and identity records."""


class RecordFile:
    """Random access to the records of a memory-mapped .rec.

    It opens again in a forked or spawned process. Errors are CorruptImageError and name the byte
    offset.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._view: memoryview | None = None
        self._pid = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "size": self.size, "_view": None, "_pid": 0}

    def read(self, offset: int) -> Record:
        """The record at a byte offset."""
        view = self._join(offset)
        if len(view) < HEADER.size:
            raise self._corrupt(offset, "is shorter than its header")
        flag, label, _, _ = HEADER.unpack_from(view)
        end = HEADER.size + 4 * flag
        if flag > MAX_LABELS or end > len(view):
            raise self._corrupt(offset, f"claims {flag} labels")
        labels = np.array([label], np.float32)
        if flag:
            labels = np.frombuffer(view, "<f4", flag, HEADER.size)
        return Record(labels, view[end:], flag > 0)

    def end_of(self, offset: int) -> int:
        """Offset one past the record that begins at `offset`, its padding included."""
        *_, (_, last) = self._chunks(offset)
        return last

    def offsets(self) -> np.ndarray:
        """Offsets of all records by one scan of their chunk headers: int64."""
        offsets, offset = [], 0
        while offset < self.size:
            offsets.append(offset)
            offset = self.end_of(offset)
        return np.array(offsets, dtype=np.int64)

    def _join(self, offset: int) -> memoryview | bytes:
        first, _ = next(chunks := self._chunks(offset))
        rest = [part for part, _ in chunks]
        return MAGIC_BYTES.join([first, *rest]) if rest else first

    def _chunks(self, offset: int) -> Iterator[tuple[memoryview, int]]:
        """Each chunk of a record as (payload, offset one past it)."""
        data, begun = self._data(), offset
        while True:
            if offset < 0 or offset % 4 or offset + CHUNK.size > self.size:
                raise self._corrupt(begun, "is cut off")
            magic, length_and_kind = CHUNK.unpack_from(data, offset)
            kind, length = length_and_kind >> 29, length_and_kind & MAX_LENGTH
            if magic != MAGIC:
                raise self._corrupt(begun, f"has no magic number at byte {offset}")
            if kind not in ((0, 1) if offset == begun else (2, 3)):
                raise self._corrupt(begun, f"has a chunk of kind {kind} at byte {offset}")
            start = offset + CHUNK.size
            offset = start + length + -length % 4
            if offset > self.size:
                raise self._corrupt(begun, "is cut off")
            yield data[start : start + length], offset
            if kind in (0, 3):
                return

    def _data(self) -> memoryview:
        if self._view is None or self._pid != os.getpid():
            with self.path.open("rb") as handle:
                self._view = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
            self._pid = os.getpid()
        return self._view

    def _corrupt(self, offset: int, problem: str) -> CorruptImageError:
        return CorruptImageError(f"{self.path}: record at byte {offset} {problem}")


def read_index(file: RecordFile) -> tuple[np.ndarray, np.ndarray]:
    """Keys and offsets of records, from the .idx of a .rec, else by a scan that is cached there.

    Raises SourceError for a file that is cut off, and for an .idx of another .rec.
    """
    listed = file.path.with_suffix(".idx")
    if listed.is_file():
        keys, offsets = _listed(listed)
        _check_listed(file, listed, offsets)
        return keys, offsets
    offsets = _scanned(file)
    return np.arange(len(offsets)), offsets


def write_records(path: Path, labels: np.ndarray, jpegs: Iterable[bytes]) -> None:
    """Write faces as insightface reads them: a .rec with its identity table, and its .idx.

    `labels` must be sorted and begin at 0 without gaps; there is one JPEG for each.
    """
    labels = np.asarray(labels)
    people, first = np.unique(labels, return_index=True)
    if len(people) == 0 or (people != np.arange(len(people))).any() or (np.diff(labels) < 0).any():
        raise ValueError("recordio: labels must be sorted and run from 0 without gaps")
    count = len(labels)
    bounds = np.append(first, count) + 1
    with writing(path) as records, writing(path.with_suffix(".idx")) as index:

        def write(key: int, label: float | list[float], image: bytes) -> None:
            index.write(f"{key}\t{records.tell()}\n".encode())
            records.write(encode_record(key, label, image))

        write(0, [float(count + 1), float(count + 1 + len(people))], b"")
        for key, (label, jpeg) in enumerate(zip(labels, jpegs, strict=True), start=1):
            write(key, float(label), jpeg)
        for person in range(len(people)):
            write(count + 1 + person, [float(b) for b in bounds[person : person + 2]], b"")


def encode_record(key: int, label: float | list[float], image: bytes) -> bytes:
    """The chunks of a record with one label, or a list of them, as they lie in a .rec."""
    if isinstance(label, float):
        record = HEADER.pack(0, label, key, 0) + image
    else:
        values = np.array(label, "<f4").tobytes()
        record = HEADER.pack(len(label), 0.0, key, 0) + values + image
    return b"".join(_cut(record))


def _cut(record: bytes) -> Iterator[bytes]:
    """Chunks of a record, cut where it holds the magic number at a multiple of 4."""
    if len(record) > MAX_LENGTH:
        raise ValueError(f"recordio: a record of {len(record)} bytes; the format ends at 512 MiB")
    words = np.frombuffer(record[: len(record) // 4 * 4], "<u4")
    cuts = [4 * int(word) for word in np.flatnonzero(words == MAGIC)]
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(record)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        kind = 0 if not cuts else 1 if number == 0 else 3 if number == len(cuts) else 2
        part = record[start:end]
        yield CHUNK.pack(MAGIC, kind << 29 | len(part)) + part + bytes(-len(part) % 4)


def _listed(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = np.loadtxt(path, dtype=np.int64, delimiter="\t", ndmin=2)
    except ValueError as error:
        raise SourceError(f"source.path: {path} is not lines of key TAB offset ({error})") from None
    if table.shape[1:] != (2,):
        raise SourceError(f"source.path: {path} is not lines of key TAB offset; remove it")
    order = np.argsort(table[:, 1], kind="stable")
    return table[order, 0], table[order, 1]


def _check_listed(file: RecordFile, listed: Path, offsets: np.ndarray) -> None:
    """Raise SourceError unless listed records begin where the ones before them end.

    The first, the last and up to a thousand between are checked.
    """
    checked = np.unique(np.linspace(0, len(offsets) - 1, 1000).astype(int))
    try:
        for position in checked.tolist():
            end, following = file.end_of(int(offsets[position])), file.size
            if position + 1 < len(offsets):
                following = int(offsets[position + 1])
            if end != following or (position == 0 and offsets[0] != 0):
                raise CorruptImageError(f"record at byte {offsets[position]} ends at {end}")
    except CorruptImageError as error:
        raise SourceError(
            f"source.path: {listed} does not belong to {file.path} ({error}), or that is cut off; "
            "remove the .idx to have it rebuilt, or restore the .rec"
        ) from None


def _scanned(file: RecordFile) -> np.ndarray:
    cache = file.path.with_suffix(".scan.npy")
    stamp = file.path.stat()
    if cache.is_file() and cache.stat().st_mtime_ns >= stamp.st_mtime_ns:
        offsets = np.load(cache, allow_pickle=False)
        whole = offsets.ndim == 1 and offsets.dtype == np.int64 and len(offsets) > 1
        if whole and offsets[-1] == file.size and _follow(file, offsets):
            return np.asarray(offsets[:-1])
    try:
        offsets = file.offsets()
    except CorruptImageError as error:
        raise SourceError(
            f"source.path: {error}; without an .idx nothing after it can be found, restore the file"
        ) from None
    if os.access(cache.parent, os.W_OK):
        with dispensable(str(cache)), writing(cache) as target:
            np.save(target, np.append(offsets, file.size), allow_pickle=False)
    return offsets


def _follow(file: RecordFile, offsets: np.ndarray) -> bool:
    """Whether a thousand of the records end where the next begins: a copy may keep an old date."""
    checked = np.unique(np.linspace(0, len(offsets) - 2, 1000).astype(int)).tolist()
    try:
        return offsets[0] == 0 and all(
            file.end_of(int(offsets[at])) == offsets[at + 1] for at in checked
        )
    except CorruptImageError:
        return False
