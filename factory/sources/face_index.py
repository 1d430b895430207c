"""Where each image of a release lies, in 24 bytes: made once a machine, mapped by all processes.

A column holds one number of each image; keys are made of the numbers of identity and image, and
names are one a person. The file lies below $XDG_CACHE_HOME/face-factory/indexes, in a folder named
by the digest of SHA256SUMS, so no copy is ever stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.errors import IntegrityError
from factory.sources.columns import Columns, kept_columns
from factory.sources.index_building import build
from factory.sources.left_out import LeftOut
from factory.sources.tar_set import TarSet
from factory.sources.texts import NumberedKeys, Texts
from factory.store.cache import cache_root

FORMAT = 2
"""Raised when the columns change, so that a machine makes its indexes anew."""
DIGEST_BYTES = 8
"""Bytes kept of an image's sha256: enough to see damage, not to stop somebody who forges images;
the tables that they come from are checked whole."""


@dataclass(frozen=True)
class Place:
    """The bytes start..stop-1 of a tar."""

    name: str
    start: int
    stop: int


class FaceIndex:
    """All images of a set of tars, in the order of tars by name and of images in each.

    `labels` int32 [N] index `names` and `numbers`, the class numbers int64 of the identities.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.labels, self.numbers = columns["label"], columns["number"]
        self.starts = columns["shard_start"]
        """First image of each tar, and the number of images: int64 [S + 1]."""
        self.shards: Sequence[str] = Texts(columns["shard_name"])
        self.names: Sequence[str] = Texts(columns["name"])
        self.fingerprint = str(columns.facts["fingerprint"])
        self.remarks: tuple[str, ...] = tuple(columns.facts.get("remarks", ()))
        self.left_out = tuple(
            LeftOut(reason, count, tuple(first))
            for reason, count, first in columns.facts.get("left_out", ())
        )
        self.keys: Sequence[str] = Texts(columns["key"]) if "key" in columns else self._numbered()

    def __reduce__(self) -> tuple[Any, ...]:
        return FaceIndex, (self.columns,)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns: what the index takes, in memory that all processes share."""
        return self.columns.nbytes

    def shard_of(self, index: int) -> int:
        return int(np.searchsorted(self.starts, index, "right")) - 1

    def place(self, index: int) -> Place:
        """Where an image lies."""
        name = self.shards[self.shard_of(index)]
        return Place(name, self.offset(index), self.end(index))

    def offset(self, index: int) -> int:
        """First byte of an image in its tar."""
        return int(self.columns["block"][index]) * 512

    def end(self, index: int) -> int:
        """One past the last byte of an image in its tar."""
        return self.offset(index) + int(self.columns["size"][index])

    def check(self, index: int, data: bytes | memoryview) -> None:
        """Raise IntegrityError unless these are the bytes that the index was made of."""
        head = hashlib.sha256(data).digest()[:DIGEST_BYTES]
        if head != self.columns["digest"][index].tobytes():
            shard = self.shards[self.shard_of(index)]
            raise IntegrityError(
                f"source.path: image {self.keys[index]} in {shard} does not have its sha256; "
                "restore the file"
            )

    def _numbered(self) -> NumberedKeys:
        digits = self.columns.facts["digits"]
        images = self.columns["image"]
        return NumberedKeys(self.numbers, self.labels, images, (digits[0], digits[1]))


def open_index(tars: TarSet) -> FaceIndex:
    """The index of a set of tars, from this machine's copy, or made and kept there.

    The first process to ask makes it and the others wait. Where the disk refuses, it is made in
    memory. Raises SourceError for tars without images, IntegrityError for files that SHA256SUMS
    does not vouch for.
    """
    folder = cache_root() / "indexes" / f"{FORMAT}-{tars.digest[:32]}"
    return FaceIndex(kept_columns(folder, lambda: build(tars)))
