"""The index of parquet files: where each encoded image lies, whose it is, and its key.

Parquet keeps values of PLAIN encoding one after the other, each behind its length, in pages that a
codec may have compressed; uncompressed ones are found in the file itself, by their bytes.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.config import SourceConfig
from factory.errors import FactoryError, SourceError
from factory.sources.columns import Columns
from factory.sources.image_table import Choice, choose, columns_of, people
from factory.sources.left_out import DANGLING_LINK, NO_LABEL, OTHER_SHARD, Tally
from factory.store.atomic import writing
from factory.store.cache import PLACE
from factory.store.parquet import open_parquet

if TYPE_CHECKING:
    import pyarrow.parquet as pq

NOWHERE = -1
"""Place of an image that lies in its file in no single piece."""


class opened:
    """A parquet file while it is read; what is wrong with it is a SourceError of one line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> pq.ParquetFile:
        try:
            self._file = open_parquet(self._path)
        except (pa.ArrowException, OSError) as error:
            raise self._problem(error) from None
        return self._file

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._file.close()
        if isinstance(error, pa.ArrowException | OSError) and not isinstance(error, FactoryError):
            raise self._problem(error) from None

    def _problem(self, error: Exception) -> SourceError:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return SourceError(
            f"source.path: {self._path} is no parquet file that can be read ({first}); fetch it "
            "again"
        )


def build(
    files: list[Path], unpacked: list[Path], config: SourceConfig, beside: Sequence[Path] = ()
) -> Columns:
    """The index of all images of some files, and the files of those that must be unpacked.

    The files `beside` are only counted.

    Raises SourceError, and StoreError where the cache takes no more.
    """
    tally = Tally()
    root = Path(config.path or "")
    root = root.parent if root.is_file() else root
    for path in beside:
        tally.add(OTHER_SHARD, path.relative_to(root).as_posix())
    parts: list[dict[str, np.ndarray]] = []
    keys: list[str] = []
    names: list[str] = []
    choice: Choice | None = None
    for number, path in enumerate(files):
        place = _Unpacked(unpacked[number], len(files) + number)
        with opened(path) as file, place:
            choice = _same_choice(config, choice, file, path, files[0])
            stem, begin = path.relative_to(root).with_suffix("").as_posix(), 0
            for group in range(file.num_row_groups):
                rows = _Rows(file, group, choice, begin, stem)
                begin += rows.count
                kept = rows.kept(tally)
                parts.append(rows.columns(path, number, kept, place))
                keys += [rows.keys[row] for row in kept]
                names += [rows.people[row] for row in kept]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in (parts or [{}])[0]}
    salt = hashlib.sha256(arrays["size"].astype("<i8").tobytes()).hexdigest() if parts else ""
    sizes = [path.stat().st_size if path.is_file() else 0 for path in unpacked]
    arrays["unpacked"] = np.array(sizes, np.int64)
    return columns_of(arrays, keys, names, tally.all(), salt, str(config.path))


def _same_choice(
    config: SourceConfig, before: Choice | None, file: pq.ParquetFile, path: Path, first: Path
) -> Choice:
    """The columns of a file; raises SourceError for others than those of the `first` one."""
    own = choose(config, file.schema_arrow, partial(_first, file), path.name)
    if before is not None and (own.image, own.label) != (before.image, before.label):
        raise SourceError(
            f"source.path: {path.name} has its images and people in {own.image} and {own.label}, "
            f"{first.name} in {before.image} and {before.label}; want the same columns in all files"
        )
    return own


class _Unpacked:
    """A file of images one after the other, which is there once the first of them is."""

    def __init__(self, path: Path, number: int) -> None:
        self.number, self._path, self._held = number, path, ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)

    def add(self, image: bytes) -> int:
        """Append an image and return its place; raises StoreError."""
        if self._file is None:
            self._file = self._held.enter_context(writing(self._path, PLACE, durable=False))
        start = self._file.tell()
        self._file.write(image)
        return start


def image_bytes(file: pq.ParquetFile, group: int, column: str) -> pa.Array:
    """The encoded images of a row group, null where there is none; `column` is dotted."""
    table = file.read_row_group(group, columns=[column], use_threads=False)
    found = table[0].combine_chunks()
    return found.field("bytes") if pa.types.is_struct(found.type) else found


def _first(file: pq.ParquetFile, column: str) -> bytes | None:
    """The first image of a column, looked for in the first row group."""
    kind = file.schema_arrow.field(column).type
    dotted = f"{column}.bytes" if pa.types.is_struct(kind) else column
    for batch in file.iter_batches(1, columns=[dotted], use_threads=False):
        found = batch.column(0)
        found = found.field("bytes") if pa.types.is_struct(found.type) else found
        if found[0].is_valid:
            return bytes(found[0].as_py())
    return None


class _Rows:
    """The rows of a row group."""

    def __init__(
        self, file: pq.ParquetFile, group: int, choice: Choice, begin: int, stem: str
    ) -> None:
        wanted = [choice.label, *([choice.key] if choice.key else [])]
        table = file.read_row_group(group, columns=wanted, use_threads=False)
        self.count = len(table)
        self.images = image_bytes(file, group, choice.encoded)
        self.people: list[Any] = people(table[choice.label], choice.classes).to_pylist()
        named = table[choice.key].to_pylist() if choice.key else [None] * self.count
        self.keys = [
            name if name else f"{stem}/{row:07d}" for row, name in enumerate(named, start=begin)
        ]
        self._file, self._group, self._encoded = file, group, choice.encoded

    def kept(self, tally: Tally) -> list[int]:
        """Rows with an image and a person; the others are counted."""
        has_image = pc.is_valid(self.images).to_pylist()
        for row in range(self.count):
            if not has_image[row]:
                tally.add(DANGLING_LINK, self.keys[row])
            elif self.people[row] is None:
                tally.add(NO_LABEL, self.keys[row])
        return [r for r in range(self.count) if has_image[r] and self.people[r] is not None]

    def columns(
        self, path: Path, number: int, kept: list[int], unpacked: _Unpacked
    ) -> dict[str, np.ndarray]:
        """Where each image lies that is kept: in the file `number`, or in that of the unpacked."""
        sizes = pc.binary_length(self.images).to_numpy(zero_copy_only=False)
        starts = np.full(self.count, NOWHERE, np.int64)
        if (chunk := self._plain_chunk()) is not None:
            for row, place in _places(path, self.images, *chunk):
                starts[row] = place
        files = np.where(starts == NOWHERE, unpacked.number, number).astype(np.int32)
        for row in kept:
            if starts[row] == NOWHERE:
                starts[row] = unpacked.add(self.images[row].as_py())
        return {"start": starts[kept], "size": sizes[kept].astype(np.int64), "file": files[kept]}

    def _plain_chunk(self) -> tuple[int, int] | None:
        """First byte and number of bytes of the column's chunk where it is not compressed."""
        group = self._file.metadata.row_group(self._group)
        for number in range(group.num_columns):
            column = group.column(number)
            if column.path_in_schema == self._encoded and column.compression == "UNCOMPRESSED":
                first = column.dictionary_page_offset or column.data_page_offset
                return min(first, column.data_page_offset), column.total_compressed_size
        return None


def _places(path: Path, images: pa.Array, start: int, size: int) -> Iterator[tuple[int, int]]:
    """(row, offset in the file) of each image that lies in one piece in bytes start..start+size.

    PLAIN values (and those of a dictionary) lie one after the other, each behind its length.
    """
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as view:
        end, place = start + size, start
        for row, image in enumerate(images):
            if not image.is_valid:
                continue
            data = image.as_buffer().to_pybytes()
            found = view.find(data, place, end)
            if found < 0:  # of a dictionary, which holds equal images once
                found = view.find(data, start, end)
            if found < 0:
                return
            place = found + len(data)
            yield row, found
