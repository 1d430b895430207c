"""Finds names and face templates in the files of a folder, whatever holds them.

Every file is read as it is, and what can be unpacked of it: members of tar and zip (npz), columns
of parquet, base64 in HTML, texts in pictures. A name is searched for as UTF-8, as JSON and as
addresses spell it. A template is any run of D consecutive numbers within a cosine of one that is
given: as float16, float32 or float64 (little-endian, at every byte), as a column or list of
parquet, or as numbers in a text.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

KINDS = ("<f2", "<f4", "<f8")
LARGEST = 1e9
"""No template has a larger value, nor zeros in half of its places; most other bytes have."""
BLOCK = 1 << 14
"""Windows that are compared at once."""
NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
BETWEEN = re.compile(rb"[\s,;\[\]()]*")
BASE64 = re.compile(rb"base64,([A-Za-z0-9+/]+=*)")
MEMBERS_DEEP = 4


@dataclass(frozen=True)
class Finding:
    """What was found, and the file, or the part of one, that holds it."""

    place: str
    what: str


class ByteScan:
    """Searches for names, and for vectors [M, D] that are near to unit `centers_MD`."""

    def __init__(
        self, names: Iterable[str], centers_MD: np.ndarray | None = None, min_cosine: float = 0.5
    ) -> None:
        self._spellings = [(name, spelled) for name in names for spelled in _spellings(name)]
        self._centers_DM = None if centers_MD is None else np.asarray(centers_MD, np.float64).T
        self._min_cosine = min_cosine

    def folder(self, root: Path) -> list[Finding]:
        """All findings in the files below a folder; there must be some files."""
        files = [file for file in sorted(root.rglob("*")) if file.is_file()]
        assert files, f"{root} holds nothing"
        found: list[Finding] = []
        for file in files:
            found += self._texts(str(file.relative_to(root)), str(file.relative_to(root)).encode())
            found += self.data(str(file.relative_to(root)), file.read_bytes())
        return found

    def data(self, place: str, data: bytes, depth: int = 0) -> list[Finding]:
        """All findings in some bytes, and in what is packed in them."""
        found = self._texts(place, data) + self._vectors(place, data)
        if depth < MEMBERS_DEEP:
            for name, member in _members(data):
                found += self._texts(f"{place}!{name}", name.encode())
                found += self.data(f"{place}!{name}", member, depth + 1)
        for name, values in _columns(data):
            found += self._near(f"{place}!{name}", values)
        return found

    def _texts(self, place: str, data: bytes) -> list[Finding]:
        return [
            Finding(place, f"name {name}") for name, spelled in self._spellings if spelled in data
        ]

    def _vectors(self, place: str, data: bytes) -> list[Finding]:
        if self._centers_DM is None:
            return []
        found: list[Finding] = []
        for kind in KINDS:
            size = np.dtype(kind).itemsize
            for phase in range(size):
                count = (len(data) - phase) // size
                if count >= len(self._centers_DM):
                    with np.errstate(all="ignore"):
                        values = np.frombuffer(data, kind, count, phase).astype(np.float64)
                    found += self._near(f"{place} ({kind})", values)
        for numbers in _number_runs(data, len(self._centers_DM)):
            found += self._near(f"{place} (text)", numbers)
        return found

    def _near(self, place: str, values_N: np.ndarray) -> list[Finding]:
        """Windows of D consecutive values that are near to a center."""
        if self._centers_DM is None or len(values_N) < len(self._centers_DM):
            return []
        dim = len(self._centers_DM)
        with np.errstate(invalid="ignore"):
            bad_N = ~(np.abs(values_N) <= LARGEST)
        start_W = np.flatnonzero((_sums(bad_N, dim) == 0) & (_sums(values_N != 0, dim) * 2 > dim))
        windows = np.lib.stride_tricks.sliding_window_view(values_N, dim)
        found: list[Finding] = []
        for begin in range(0, len(start_W), BLOCK):
            some_BD = windows[start_W[begin : begin + BLOCK]]
            norm_B = np.linalg.norm(some_BD, axis=1)
            dot_BM = some_BD @ self._centers_DM
            near = np.argwhere(dot_BM > self._min_cosine * norm_B[:, None] + 1e-300)
            found += [
                Finding(place, f"template of {person} at {int(start_W[begin + row])}")
                for row, person in near.tolist()
            ]
        return found


def _sums(is_N: np.ndarray, dim: int) -> np.ndarray:
    """How many of each window of `dim` consecutive values are so."""
    before = np.concatenate([[0], np.cumsum(is_N)])
    return np.asarray(before[dim:] - before[:-dim])


def _spellings(name: str) -> set[bytes]:
    return {name.encode(), json.dumps(name)[1:-1].encode(), quote(name).encode()}


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What is packed in some bytes, by name; nothing where they pack nothing."""
    for opener in (_tar, _zip, _gzip, _base64, _texts_of_picture, _texts_of_parquet):
        with suppress(Exception):  # because it is no such file, as openers tell in many ways
            yield from opener(data)


def _tar(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            handle = tar.extractfile(member)
            if handle:
                yield member.name, handle.read()


def _zip(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


def _gzip(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(data)


def _base64(data: bytes) -> Iterator[tuple[str, bytes]]:
    for number, found in enumerate(BASE64.finditer(data)):
        yield f"base64 {number}", base64.b64decode(found[1])


def _texts_of_picture(data: bytes) -> Iterator[tuple[str, bytes]]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        for name, value in image.info.items():
            yield str(name), value if isinstance(value, bytes) else str(value).encode()


def _texts_of_parquet(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        yield "rows", json.dumps(table.to_pylist(), ensure_ascii=False, default=str).encode()


def _columns(data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Numbers of a parquet's columns, one row after the other."""
    if data[:4] != b"PAR1":
        return
    for field, column in zip(*_schema_and_columns(data), strict=True):
        values = column.combine_chunks()
        while pa.types.is_nested(values.type) and hasattr(values, "flatten"):
            flat = values.flatten()
            if not isinstance(flat, pa.Array):  # a struct's fields, which rows above have as text
                break
            values = flat
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
            yield field.name, np.nan_to_num(values.cast(pa.float64(), safe=False).to_numpy(False))


def _schema_and_columns(data: bytes) -> tuple[pa.Schema, list[pa.ChunkedArray]]:
    table = pq.read_table(io.BytesIO(data))
    return table.schema, table.columns


def _number_runs(data: bytes, least: int) -> Iterator[np.ndarray]:
    """Runs of at least `least` numbers in a text, with nothing but commas and blanks between."""
    with suppress(UnicodeDecodeError):
        data.decode()
        run: list[float] = []
        end = -1
        for found in NUMBER.finditer(data):
            between = BETWEEN.match(data, end) if end >= 0 else None
            if between is None or between.end() != found.start():
                if len(run) >= least:
                    yield np.array(run)
                run = []
            run.append(float(found[0]))
            end = found.end()
        if len(run) >= least:
            yield np.array(run)
