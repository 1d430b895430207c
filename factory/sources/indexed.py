"""A FaceSource over a listing of a folder or a tar: where each image's bytes lie, and who it is."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.base import SourceFace
from factory.sources.entries import read_entry
from factory.sources.left_out import check_little_left_out
from factory.sources.listing import Listing

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder


class IndexedSource:
    """A FaceSource over image files, or the members of one tar."""

    corrupt: tuple[str, ...] = ()

    def __init__(self, listing: Listing, config: SourceConfig, decoder: FaceDecoder) -> None:
        """Raises SourceError where two images have one key, or too much is left out."""
        self._entries, self._remarks = listing.entries, listing.remarks
        self.left_out = listing.left_out
        self.names = sorted(set(listing.people))
        index = {name: i for i, name in enumerate(self.names)}
        self.labels = np.array([index[name] for name in listing.people], dtype=np.int64)
        self._refuse_doubles(config.path or "starter pack")
        check_little_left_out(self.left_out, len(self), config.max_left_out_fraction)
        self._decoder = decoder
        rows = zip(listing.entries, listing.people, strict=True)
        text = "\n".join(f"{entry.key} {entry.size} {name}" for entry, name in rows)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self._entries]

    @property
    def remarks(self) -> tuple[str, ...]:
        return (*self._remarks, *self._decoder.remarks)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> SourceFace:
        entry, label = self._entries[index], int(self.labels[index])
        return self._decoder.face(read_entry(entry), entry.key, spellings(entry.name), label)

    def encoded(self, index: int) -> bytes:
        return read_entry(self._entries[index])

    def _refuse_doubles(self, location: str) -> None:
        count = Counter(entry.key for entry in self._entries)
        doubled = [i for i, entry in enumerate(self._entries) if count[entry.key] > 1]
        if doubled:
            person = int(self.labels[doubled[0]])
            number = int((self.labels[: doubled[0]] == person).sum()) + 1
            raise SourceError(
                f"source.path: {len({self._entries[i].key for i in doubled})} keys stand for two "
                f"images in {location}, first image {number} of person {person + 1} in the order "
                "of names; rename one of them"
            )


def spellings(name: str) -> list[str]:
    """A name as it is and in both of Unicode's forms: tables may spell it otherwise."""
    if name.isascii():
        return [name]
    return [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
