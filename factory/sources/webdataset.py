"""Streams the samples of a release from a folder or a bucket, mixed over many shards.

Any number of nodes and workers share an epoch and take up each other's bookmark without repeating
or losing a sample; see pieces.py for the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from factory.errors import SourceError
from factory.sources.bookmark import Bookmark, Position
from factory.sources.decoding import BACKGROUND, decode_image
from factory.sources.face_index import FaceIndex, open_index
from factory.sources.pieces import Pieces, blocks_of, even_window, lanes_of, random_stream, turns
from factory.sources.tar_set import tars_in
from factory.store import Store

FETCHERS = 8
"""Blocks that a lane fetches at once, while the samples of others are decoded."""
Equal = Literal["drop", "pad"]


@dataclass(frozen=True)
class Sample:
    """One face: RGB uint8 HWC, its class, its key, and its position in the stream.

    The class is the number of an identity in its dataset: in a release that extends another it is
    `first_identity` of plan.json or more. A sample that is repeated to fill up has no position.
    """

    image_HWC: np.ndarray
    label: int
    key: str
    position: Position | None


class ReleaseStream(IterableDataset[Sample]):
    """The samples of an epoch that its bookmark lacks, split over ranks and DataLoader workers.

    To resume, give every rank the same bookmark (merged over the ranks that were). Samples of
    `window` pieces are mixed, and about one and a half blocks (24 images) of each are in memory.
    With `verify` an image whose sha256 is not that of the release raises IntegrityError.

    Ranks (and their workers, of which all have as many) get nearly equal numbers of samples, and
    with `equal` exactly equal ones: "drop" leaves out what others do not have, which stays unused
    in the bookmark; "pad" lets those that have fewer repeat their first ones, without a position.
    Workers see the bookmark as it is when they start, so do not keep them over epochs
    (persistent_workers=False, DataLoader's default). They hand batches over in /dev/shm, which must
    hold num_workers x prefetch_factor and two further ones of B x H x W x 3 bytes for every rank of
    a machine (training/worker_memory.py: `check_shared_memory`); for one that does not fit a
    DataLoader without a timeout waits for ever.
    """

    def __init__(
        self,
        store: Store,
        *,
        seed: int = 0,
        shuffle: bool = True,
        window: int = 256,
        verify: bool = True,
        equal: Equal | None = None,
        rank: int = 0,
        world_size: int = 1,
        max_pixels: int = 50_000_000,
        background: int = BACKGROUND,
        allow_withdrawn: bool = False,
        allow_benchmark: bool = False,
    ) -> None:
        """Raises SourceError for anything but a sealed release.

        Also for one that is withdrawn, or a test set.
        """
        tars = tars_in(store, allow_withdrawn=allow_withdrawn, allow_benchmark=allow_benchmark)
        if not tars.sums:
            raise SourceError(f"source.path: {store.url} is not a sealed release; finish it first")
        self._store, self._seed, self._shuffle, self._verify = tars.store, seed, shuffle, verify
        self._window, self._equal = window if shuffle else 1, equal
        self._rank, self._world_size = rank, world_size
        self._max_pixels, self._background = max_pixels, background
        self.index: FaceIndex = open_index(tars)
        self.pieces = Pieces.of(self.index.starts)
        release = self.index.fingerprint
        self.bookmark = Bookmark(self.pieces, release, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        """Samples of an epoch, all ranks together."""
        return len(self.index)

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        num_lanes, number = self._world_size * workers, self._rank * workers + number
        epoch, left_P = self.bookmark.epoch, self.bookmark.remaining()
        order = np.arange(len(self.pieces))
        if self._shuffle:
            order = random_stream(self._seed, "pieces", epoch).permutation(len(self.pieces))
        lanes = lanes_of(left_P, order, num_lanes)
        counts = [int(left_P[pieces].sum()) if pieces else 0 for pieces in lanes]

        def lane(pieces: list[int]) -> Iterator[Sample]:
            turn = (self._seed, "turns", epoch, number, num_lanes)
            return self._lane(epoch, pieces, [int(left_P[piece]) for piece in pieces], turn)

        if self._equal == "drop" and any(counts):
            yield from islice(lane(lanes[number]), _least(counts))
            return
        yield from lane(lanes[number])
        missing = max(counts) - counts[number] if self._equal else 0
        own = lanes[number] or lanes[int(np.argmax(counts))]
        while missing:
            for sample in islice(lane(own), missing):
                missing -= 1
                yield replace(sample, position=None)

    def _lane(
        self, epoch: int, pieces: list[int], left: list[int], turn: tuple[int | str, ...]
    ) -> Iterator[Sample]:
        """The last `left` images of some pieces, mixed."""
        opened: dict[int, _OpenPiece] = {}
        pool = ThreadPoolExecutor(FETCHERS)

        def begin(place: int) -> None:
            piece = pieces[place]
            size = int(self.pieces.sizes[piece])
            blocks = blocks_of(size, (self._seed, "piece", epoch, piece) if self._shuffle else None)
            first, used = int(self.pieces.starts[piece]), size - left[place]
            opened[place] = _OpenPiece(self, first, blocks, used, pool)

        begun = even_window(len(pieces), self._window)
        try:
            for place in range(begun):
                begin(place)
            for place in turns(left, self._window, random_stream(*turn)):
                image, sample, data = opened[place].take()
                if opened[place].is_done:
                    del opened[place]
                    if begun < len(pieces):
                        begin(begun)
                        begun += 1
                yield self._sample(image, data, (epoch, pieces[place], sample))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _sample(self, image: int, data: bytes, position: Position) -> Sample:
        key = self.index.keys[image]
        label = int(self.index.numbers[self.index.labels[image]])
        image_HWC = decode_image(data, key, self._max_pixels, self._background)
        return Sample(image_HWC, label, key, position)

    def fetch(self, images: np.ndarray) -> list[bytes]:
        """The bytes of neighbors in a tar, by one ranged read, in the order of `images`.

        Raises IntegrityError for others than the release has, where the stream verifies.
        """
        first, last = int(images.min()), int(images.max())
        start, stop = self.index.offset(first), self.index.end(last)
        name = self.index.place(first).name
        try:
            data = b"".join(self._store.stream(name, start, stop))
        except FileNotFoundError:
            raise SourceError(
                f"source.path: {self._store.url}/{name} is gone; restore it"
            ) from None
        offsets = [self.index.offset(int(image)) - start for image in images]
        ends = [self.index.end(int(image)) - start for image in images]
        encoded = [data[offset:end] for offset, end in zip(offsets, ends, strict=True)]
        if self._verify:
            for image, content in zip(images.tolist(), encoded, strict=True):
                self.index.check(image, content)
        return encoded


def _least(counts: list[int]) -> int:
    """The smallest number of samples of a lane; raises SourceError where it is none."""
    if not min(counts):
        raise SourceError(
            f"source.path: {sum(counts)} samples are left for {len(counts)} workers of all ranks, "
            "too few for an equal number each; want fewer workers, or equal='pad'"
        )
    return min(counts)


class _OpenPiece:
    """A piece that is handed out; its next block is fetched while half of one is still to come."""

    def __init__(
        self,
        stream: ReleaseStream,
        first: int,
        blocks: list[np.ndarray],
        used: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._stream, self._first, self._blocks, self._pool = stream, first, blocks, pool
        self._sample, self._place = used, used
        while self._place >= len(self._blocks[0]):
            self._place -= len(self._blocks.pop(0))
        self._data = self._fetch(self._blocks[0])
        self._coming: Future[list[bytes]] | None = None

    @property
    def is_done(self) -> bool:
        return not self._blocks

    def take(self) -> tuple[int, int, bytes]:
        """The next image: its number, its place in the piece's order, its bytes."""
        block = self._blocks[0]
        image, sample = self._first + int(block[self._place]), self._sample
        data = self._data.result()[self._place]
        self._place, self._sample = self._place + 1, self._sample + 1
        if self._coming is None and len(self._blocks) > 1 and 2 * self._place >= len(block):
            self._coming = self._fetch(self._blocks[1])
        if self._place == len(block):
            del self._blocks[0]
            self._place = 0
            if self._coming is not None:
                self._data, self._coming = self._coming, None
        return image, sample, data

    def _fetch(self, block: np.ndarray) -> Future[list[bytes]]:
        return self._pool.submit(self._stream.fetch, self._first + block)


def collate(samples: list[Sample]) -> tuple[torch.Tensor, torch.Tensor, list[Position | None]]:
    """Join samples for a DataLoader: images uint8 [B, H, W, 3], labels int64 [B], positions."""
    images = torch.from_numpy(np.stack([sample.image_HWC for sample in samples]))
    labels = torch.tensor([sample.label for sample in samples])
    return images, labels, [sample.position for sample in samples]
