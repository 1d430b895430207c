"""Reads WebDataset shards: as an index for random access, as a stream from a folder or a bucket.

The stream shuffles by counters (shards of an epoch, samples of a shard), so a position is three
numbers, and a bookmark can be taken up by any number of nodes and workers without repeating or
losing a sample. Iteration over tars is webdataset's own.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from factory.errors import IntegrityError, SourceError
from factory.seeds import stream_seed
from factory.sources.base import decode_image
from factory.store import Store

Position = tuple[int, int, int]
"""(epoch, shard, sample): the sample-th of that shard in the order of that epoch."""


@dataclass(frozen=True)
class Sample:
    """One face: RGB uint8 HWC, its class, its key, and its position in the stream.

    The class is the number of an identity in its dataset: in a release that extends another it is
    `first_identity` of plan.json or more.
    """

    image_HWC: np.ndarray
    label: int
    key: str
    position: Position


@dataclass(frozen=True)
class IndexedShard:
    """An entry of index/wids.json, with its digest in SHA256SUMS."""

    name: str
    num_samples: int
    sha256: str | None


class Bookmark:
    """Which samples of an epoch were used; the consumer marks, saves and merges it."""

    def __init__(self, stream: ReleaseStream) -> None:
        self._sizes = [shard.num_samples for shard in stream.shards]
        self.epoch = 0
        self._used: dict[int, int] = {}

    def mark(self, positions: Iterable[Position]) -> None:
        """Mark samples as used, those of a shard in its order, as a DataLoader hands them out."""
        for epoch, shard, sample in positions:
            if epoch != self.epoch:
                self.epoch, self._used = epoch, {}
            self._used[shard] = max(self._used.get(shard, 0), sample + 1)

    def used(self, shard: int) -> int:
        """How many samples of a shard were used."""
        return self._used.get(shard, 0)

    @property
    def finished(self) -> bool:
        """Whether every sample of the epoch was used."""
        return all(self.used(shard) == size for shard, size in enumerate(self._sizes))

    def next_epoch(self) -> None:
        """Go on to the next epoch, none of whose samples were used."""
        self.epoch, self._used = self.epoch + 1, {}

    def merge(self, other: Bookmark) -> None:
        """Add what another rank used of the same epoch; raises ValueError for another epoch."""
        if other.epoch != self.epoch:
            raise ValueError(f"bookmark: epochs {self.epoch} and {other.epoch} cannot be merged")
        for shard, used in other._used.items():
            self._used[shard] = max(self.used(shard), used)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "used": {str(k): v for k, v in sorted(self._used.items())}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch = int(state["epoch"])
        self._used = {int(shard): int(used) for shard, used in state["used"].items()}


class ReleaseStream(IterableDataset[Sample]):
    """The samples of an epoch that its bookmark lacks, split over ranks and DataLoader workers.

    To resume, give every rank the same bookmark (merged over the ranks that were). A worker holds
    one shard in memory at a time. With `verify` a shard whose sha256 is not that of SHA256SUMS
    raises IntegrityError before any of its samples is handed out.

    Ranks get whole shards, so not all the same number of samples: stop at the shortest, or resume
    from the merged bookmark. Workers see the bookmark as it is when they start, so do not keep them
    over epochs (persistent_workers=False, DataLoader's default).
    """

    def __init__(
        self,
        store: Store,
        *,
        seed: int = 0,
        shuffle: bool = True,
        verify: bool = False,
        rank: int = 0,
        world_size: int = 1,
        max_pixels: int = 50_000_000,
    ) -> None:
        self._store, self._seed, self._shuffle, self._verify = store, seed, shuffle, verify
        self._rank, self._world_size, self._max_pixels = rank, world_size, max_pixels
        self.shards = read_index(store)
        self.bookmark = Bookmark(self)

    def __len__(self) -> int:
        """Samples of an epoch, all ranks together."""
        return sum(shard.num_samples for shard in self.shards)

    def __iter__(self) -> Iterator[Sample]:
        worker = torch.utils.data.get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        epoch = self.bookmark.epoch
        open_shards = [
            shard
            for shard in self._order(len(self.shards), "shards", epoch)
            if self.bookmark.used(shard) < self.shards[shard].num_samples
        ]
        for shard in open_shards[self._rank * workers + number :: self._world_size * workers]:
            yield from self._read(epoch, shard)

    def _read(self, epoch: int, shard: int) -> Iterator[Sample]:
        samples = list(self._members(self.shards[shard]))
        if len(samples) != self.shards[shard].num_samples:
            raise SourceError(
                f"source.path: {self.shards[shard].name} has {len(samples)} samples, its index "
                f"says {self.shards[shard].num_samples}; restore the shard"
            )
        order = self._order(len(samples), "samples", epoch, shard)
        for position in range(self.bookmark.used(shard), len(order)):
            sample = samples[order[position]]
            key = sample["__key__"]
            if "jpg" not in sample or not sample.get("cls", b"").isdigit():
                raise SourceError(
                    f"source.path: {key} in {self.shards[shard].name} lacks .jpg or a class number"
                )
            image = decode_image(sample["jpg"], key, self._max_pixels)
            yield Sample(image, int(sample["cls"]), key, (epoch, shard, position))

    def _members(self, shard: IndexedShard) -> Iterator[dict[str, Any]]:
        from webdataset.tariterators import group_by_keys

        data = self._store.get(shard.name)
        if self._verify and hashlib.sha256(data).hexdigest() != shard.sha256:
            raise IntegrityError(f"{self._store.url}/{shard.name}: does not have its sha256")
        return iter(group_by_keys(_plain_members(shard.name, data)))

    def _order(self, size: int, *stream: str | int) -> list[int]:
        if not self._shuffle:
            return list(range(size))
        generator = np.random.Generator(np.random.Philox(stream_seed(self._seed, *stream)))
        return [int(i) for i in generator.permutation(size)]


def _plain_members(name: str, data: bytes) -> Iterator[dict[str, Any]]:
    """Members of a tar in memory as webdataset wants them.

    A compressed tar is refused, because it could unpack to any size.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content:
                    yield {"fname": member.name, "data": content.read(), "__url__": name}
    except (tarfile.TarError, EOFError) as error:
        raise SourceError(f"source.path: {name} is not a readable plain tar ({error})") from None


def collate(samples: list[Sample]) -> tuple[torch.Tensor, torch.Tensor, list[Position]]:
    """Join samples for a DataLoader: images uint8 [B, H, W, 3], labels int64 [B], positions."""
    images = torch.from_numpy(np.stack([sample.image_HWC for sample in samples]))
    labels = torch.tensor([sample.label for sample in samples])
    return images, labels, [sample.position for sample in samples]


def read_index(store: Store) -> list[IndexedShard]:
    """The shards of a sealed release; raises SourceError for anything else."""
    try:
        body = json.loads(store.get("index/wids.json"))
        lines = store.get("SHA256SUMS").decode().splitlines()
        store.get("_SUCCESS")
    except FileNotFoundError as error:
        raise SourceError(
            f"source.path: {store.url} is not a sealed release ({error}); finish it first"
        ) from None
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    shards = []
    for entry in body["shardlist"]:
        name = posixpath.normpath(posixpath.join("index", entry["url"]))
        if name.startswith(("..", "/")):
            raise SourceError(f"source.path: index/wids.json names {entry['url']!r}, outside of it")
        shards.append(IndexedShard(name, int(entry["nsamples"]), digests.get(name)))
    return shards
