"""Faces in parquet files, as the Hugging Face hub has them: one image at a time, from any process.

`datasets` and our own export write images uncompressed, so the bytes of each lie in the file in one
piece: they are found once, by reading the files from end to end, and kept as an index of this
machine. Of a compressed column whole row groups are read, and a process keeps the last few.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.columns import Columns, kept_columns
from factory.sources.entries import Entry, read_entry
from factory.sources.image_table import Choice, TableSource, choose, columns_of, people
from factory.sources.left_out import DANGLING_LINK, NO_LABEL, Tally
from factory.store.cache import cache_root
from factory.store.parquet import open_parquet

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from factory.sources.readers import FaceDecoder

FORMAT = 1
"""Raised when the columns of an index change, so that a machine makes its indexes anew."""
GROUPS = 4
"""Row groups of a compressed column that a process keeps."""
NOWHERE = -1
"""Place of an image that lies in its file in no single piece."""


class ParquetSource(TableSource):
    """A FaceSource over parquet files with a row an image."""

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        self._files = files_of(Path(config.path or ""))
        stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in self._files]
        asked = (FORMAT, *map(str, self._files), stamps, config.parquet_image, config.parquet_label)
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()
        folder = cache_root() / "indexes" / f"parquet-{digest[:32]}"
        columns = kept_columns(folder, lambda: build(self._files, config))
        super().__init__(config, decoder, columns)
        self._image = str(columns.facts["image"])
        self._groups: OrderedDict[int, pa.Array] = OrderedDict()
        self._one_at_a_time = Lock()
        if (columns["start"] == NOWHERE).any():
            self.remarks = (
                f"source.path: images of {config.path} are compressed, so a row group is read for "
                "each; want files that `datasets` wrote, or `jobs export`, for faster training",
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_one_at_a_time", "_groups")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_one_at_a_time": Lock(), "_groups": OrderedDict()}

    def encoded(self, index: int) -> bytes:
        """The bytes of one image; raises CorruptImageError, SourceError for a file that is gone."""
        group, start = int(self.columns["group"][index]), int(self.columns["start"][index])
        file = self._files[int(self.columns["group_file"][group])]
        if start == NOWHERE:
            return bytes(self._group(file, group)[int(self.columns["row"][index])].as_py())
        size, key = int(self.columns["size"][index]), self.keys[index]
        return read_entry(Entry(file, start, size, key, key))

    def _group(self, file: Path, group: int) -> pa.Array:
        with self._one_at_a_time:
            if group not in self._groups:
                number = int(self.columns["group_number"][group])
                with opened(file) as parquet:
                    self._groups[group] = image_bytes(parquet, number, self._image)
                while len(self._groups) > GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
            return self._groups[group]


def files_of(path: Path) -> list[Path]:
    """The parquet files of a source, sorted: a file, or those of a folder, its data/, or below it.

    Raises SourceError where there are none.
    """
    if path.is_file():
        return [path]
    for pattern in ("*.parquet", "data/*.parquet", "**/*.parquet"):
        files = sorted(f for f in path.glob(pattern) if not f.name.startswith((".", "_")))
        if files:
            return files
    raise SourceError(
        f"source.path: no .parquet in {str(path)!r}; want a file, or a folder with *.parquet or "
        "data/*.parquet (kind parquet)"
    )


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
        if isinstance(error, pa.ArrowException | OSError) and not isinstance(error, SourceError):
            raise self._problem(error) from None

    def _problem(self, error: Exception) -> SourceError:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return SourceError(
            f"source.path: {self._path} is no parquet file that can be read ({first}); fetch it "
            "again"
        )


def build(files: list[Path], config: SourceConfig) -> Columns:
    """The index of all images of some files; raises SourceError."""
    tally, parts, groups = Tally(), [], []
    keys: list[str] = []
    names: list[str] = []
    choice: Choice | None = None
    root = Path(config.path or "")
    root = root.parent if root.is_file() else root
    for number, path in enumerate(files):
        with opened(path) as file:
            own = choose(config, file.schema_arrow, partial(_first, file), path.name)
            if choice is not None and (own.image, own.label) != (choice.image, choice.label):
                raise SourceError(
                    f"source.path: {path.name} has its images and people in {own.image} and "
                    f"{own.label}, {files[0].name} in {choice.image} and {choice.label}; want the "
                    "same columns in all files"
                )
            choice = own
            stem, begin = path.relative_to(root).with_suffix("").as_posix(), 0
            for group in range(file.num_row_groups):
                rows = _Rows(file, group, choice, begin, stem)
                begin += rows.count
                kept = rows.kept(tally)
                parts.append(rows.columns(path, kept, len(groups)))
                groups.append((number, group))
                keys += [rows.keys[row] for row in kept]
                names += [rows.people[row] for row in kept]
    assert choice is not None, "there is a file"
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in (parts or [{}])[0]}
    table = np.array(groups, np.int32).reshape(-1, 2)
    arrays |= {"group_file": table[:, 0], "group_number": table[:, 1]}
    salt = hashlib.sha256(arrays["size"].astype("<i8").tobytes()).hexdigest() if parts else ""
    columns = columns_of(arrays, keys, names, tally.all(), salt, str(config.path))
    columns.facts["image"] = choice.encoded
    return columns


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

    def columns(self, path: Path, kept: list[int], group: int) -> dict[str, np.ndarray]:
        """Where each image lies that is kept; `group` counts the row groups of all files."""
        sizes = pc.binary_length(self.images).to_numpy(zero_copy_only=False)
        starts = np.full(self.count, NOWHERE, np.int64)
        if (chunk := self._plain_chunk()) is not None:
            for row, place in _places(path, self.images, *chunk):
                starts[row] = place
        return {
            "start": starts[kept],
            "size": sizes[kept].astype(np.int64),
            "group": np.full(len(kept), group, np.int32),
            "row": np.array(kept, np.int32),
        }

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
