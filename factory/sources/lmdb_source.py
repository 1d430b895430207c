"""The faces of an LMDB, as VFace, HSFace and others publish them: encoded images by key.

The layouts are those of lmdb_layouts.py.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.base import CorruptImageError, SourceFace
from factory.sources.entries import IMAGE_SUFFIXES, stem_of
from factory.sources.left_out import Tally, check_little_left_out
from factory.sources.lmdb_environment import Environment
from factory.sources.lmdb_layouts import contents_of, unpacked
from factory.sources.texts import Texts

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder


class LmdbSource:
    """A FaceSource over the images of an LMDB, read by any number of threads and processes."""

    corrupt: tuple[str, ...] = ()

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        self._path, self._decoder = Path(config.path or ""), decoder
        self._opened: Environment | None = None
        tally = Tally()
        with self._environment.reading() as transaction:
            found = contents_of(transaction, self._path, config, tally)
        self.left_out, self._remarks = tally.all(), found.remarks
        check_little_left_out(self.left_out, len(found.keys), config.max_left_out_fraction)
        people, self.labels = np.unique(found.people, return_inverse=True)
        self.names: list[str] = people.tolist()
        self._raw, self._is_packed = np.array(found.keys, dtype=np.bytes_), found.is_packed
        stems = [_stem(key.decode()) for key in found.keys]
        doubled = len(stems) - len(set(stems))
        if doubled:
            raise SourceError(
                f"source.path: {doubled} keys in {self._path} differ from others in their suffix "
                "alone; rename one of each two"
            )
        self.keys = Texts(np.array([stem.encode() for stem in stems], dtype=np.bytes_))
        rows = zip(stems, found.sizes, found.people, strict=True)
        listing = "\n".join(f"{key} {size} {person}" for key, size, person in rows)
        self.fingerprint = hashlib.sha256(listing.encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    @property
    def _environment(self) -> Environment:
        """That of this process; held, because it closes when no source has it."""
        if self._opened is None or self._opened.is_closed:
            self._opened = Environment.of(self._path)
        return self._opened

    @property
    def remarks(self) -> tuple[str, ...]:
        return (*self._remarks, *self._decoder.remarks)

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, index: int) -> SourceFace:
        key, name = self.keys[index], bytes(self._raw[index]).decode()
        return self._decoder.face(self.encoded(index), key, [name, key], int(self.labels[index]))

    def encoded(self, index: int) -> bytes:
        with self._environment.reading() as transaction:
            value = transaction.get(bytes(self._raw[index]))
            if value is None:
                raise CorruptImageError(f"{self.keys[index]}: is gone from {self._path}")
            if not self._is_packed:
                return bytes(value)
            packed = unpacked(value)
        if packed is None:
            raise CorruptImageError(f"{self.keys[index]}: is not an image and its class any more")
        return packed[0]


def _stem(key: str) -> str:
    """A key without the suffix of an image, as those of folders are."""
    return stem_of(key) if key.lower().endswith(IMAGE_SUFFIXES) else key
