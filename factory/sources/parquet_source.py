"""Faces in parquet files, as the Hugging Face hub has them: one image at a time, from any process.

`datasets` and our own export write images uncompressed, so the bytes of each lie in the file in one
piece: they are found once, by reading the files from end to end, and kept as an index of this
machine. Images of a compressed column are unpacked beside that index, once a machine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.columns import FILE, Columns, kept_columns
from factory.sources.entries import Entry, read_entry
from factory.sources.image_table import TableSource
from factory.sources.parquet_index import build
from factory.store.cache import cache_root

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

SUFFIX = ".parquet"
FORMAT = 3
"""Raised when the columns of an index change, so that a machine makes its indexes anew."""


class ParquetSource(TableSource):
    """A FaceSource over parquet files with a row an image."""

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        root = Path(config.path or "")
        files = files_of(root)
        beside = [] if root.is_file() else sorted(set(_all_below(root)) - set(files))
        stamps = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        names = (*map(str, files), *map(str, beside))
        asked = (FORMAT, names, stamps, config.parquet_image, config.parquet_label)
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()
        folder = cache_root() / "indexes" / f"parquet-{digest[:32]}"
        unpacked = [folder / f"{number:06d}.images" for number in range(len(files))]
        columns = kept_columns(folder, lambda: build(files, unpacked, config, beside))
        if not _are_whole(columns, unpacked):  # because somebody emptied a part of the cache
            (folder / FILE).unlink(missing_ok=True)
            columns = kept_columns(folder, lambda: build(files, unpacked, config, beside))
        super().__init__(config, decoder, columns)
        self._files = [*files, *unpacked]
        if size := sum(columns["unpacked"].tolist()):
            self._remarks = (
                f"source.path: images of {config.path} are compressed, so {size / 1e6:.0f} MB of "
                f"them are unpacked in {folder}",
            )

    def encoded(self, index: int) -> bytes:
        """The bytes of one image; raises UnreadImageError for a file that is gone."""
        file = self._files[int(self.columns["file"][index])]
        start, size = int(self.columns["start"][index]), int(self.columns["size"][index])
        key = self.keys[index]
        return read_entry(Entry(file, start, size, key, key))


def _are_whole(columns: Columns, unpacked: list[Path]) -> bool:
    """Whether the files of unpacked images are those that the index was made with."""
    return all(
        not size or (path.is_file() and path.stat().st_size == size)
        for path, size in zip(unpacked, columns["unpacked"].tolist(), strict=True)
    )


def _all_below(path: Path, pattern: str = "**/*") -> list[Path]:
    return [f for f in path.glob(pattern) if f.suffix.lower() == SUFFIX and f.is_file()]


def files_of(path: Path) -> list[Path]:
    """The parquet files of a source, sorted: a file, or those of a folder, its data/, or below it.

    Raises SourceError where there are none.
    """
    if path.is_file():
        return [path]
    for pattern in ("*", "data/*", "**/*"):
        files = sorted(f for f in _all_below(path, pattern) if not f.name.startswith((".", "_")))
        if files:
            return files
    raise SourceError(
        f"source.path: no .parquet in {str(path)!r}; want a file, or a folder with *.parquet or "
        "data/*.parquet (kind parquet)"
    )
