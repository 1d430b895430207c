"""A release, or any WebDataset tars, where they are: one image at a time by its place in a tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config import SourceConfig
from factory.config.addresses import in_bucket
from factory.errors import IntegrityError, SourceError
from factory.sources.base import SourceFace
from factory.sources.entries import IMAGE_SUFFIXES
from factory.sources.face_index import FaceIndex, Place, open_index
from factory.sources.left_out import LeftOut, Tally, check_little_left_out
from factory.sources.shard_cache import ShardCache
from factory.sources.tar_set import open_tars

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

SUFFIXES = [form for s in IMAGE_SUFFIXES for form in (s, s.upper(), s.title())]
"""Those of members, which the index leaves out, as people write them: .jpg, .JPG, .Jpg."""


class ReleaseSource:
    """A FaceSource over a `FaceIndex`, which all processes of a machine share.

    Every image is checked by its sha256, each time it is read. An image of a bucket is fetched by a
    ranged read, or comes from a shard that this machine keeps (source.cache_bytes).
    """

    corrupt: tuple[str, ...] = ()

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        tars = open_tars(config)
        self.index: FaceIndex = open_index(tars)
        self.names, self.labels, self.keys = self.index.names, self.index.labels, self.index.keys
        self.fingerprint, self._remarks = self.index.fingerprint, self.index.remarks
        tally = Tally()
        tally.merge([*tars.left_out, *self.index.left_out])
        self.left_out: tuple[LeftOut, ...] = tally.all()
        check_little_left_out(tars.left_out, len(tars.names), config.max_left_out_fraction)
        check_little_left_out(self.index.left_out, len(self), config.max_left_out_fraction)
        self.is_remote = in_bucket(tars.store.url)
        self._store, self._decoder = tars.store, decoder
        caches = self.is_remote and config.cache_bytes > 0
        self._cache = ShardCache(tars, config.cache_bytes) if caches else None

    @property
    def remarks(self) -> tuple[str, ...]:
        return (*self._remarks, *self._decoder.remarks)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> SourceFace:
        key = self.keys[index]
        names = [key + suffix for suffix in SUFFIXES]
        return self._decoder.face(self.encoded(index), key, names, int(self.labels[index]))

    def encoded(self, index: int) -> bytes:
        """The bytes of one image; raises IntegrityError for others than the index was made of."""
        place = self.index.place(index)
        if self._cache is not None:
            kept = self._cache.read(place.name, place.start, place.stop)
            if kept is not None:
                try:
                    self.index.check(index, kept)
                    return kept
                except IntegrityError:  # of a copy on this machine's disk
                    self._cache.drop(place.name)
        data = self._ranged(place)
        self.index.check(index, data)
        return data

    def _ranged(self, place: Place) -> bytes:
        try:
            return b"".join(self._store.stream(place.name, place.start, place.stop))
        except FileNotFoundError:
            raise SourceError(
                f"source.path: {self._store.url}/{place.name} is gone; restore it"
            ) from None
