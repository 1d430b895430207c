"""Galleries of real people too large or too slow for one process: each actor searches a part.

The parts are ranges of rows of files that every node sees; answers are exact in each part, so they
are those of one gallery, whatever the number of actors.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import ray

from cluster.runtime import connect
from factory.config import Config
from factory.identities.files import gallery_files, open_here
from factory.identities.gallery import FixedGallery, MappedGallery


class GalleryActor:
    """Rows first..stop-1 of some files, searched in a process of their own."""

    def __init__(self, ranges: list[tuple[str, int, int]]) -> None:
        self._parts = [MappedGallery(*one) for one in ranges]

    def too_near(self, unit_MD: np.ndarray, max_cosine: float) -> tuple[np.ndarray, int]:
        """(answers [M], inner products so far)."""
        near_M = np.zeros(len(unit_MD), bool)
        for part in self._parts:
            open_M = np.flatnonzero(~near_M)
            near_M[open_M] = part.too_near(unit_MD[open_M], max_cosine)
        return near_M, self._num_products()

    def nearest(self, unit_MD: np.ndarray) -> tuple[np.ndarray, int]:
        """(largest cosines [M], inner products so far)."""
        found = [part.nearest(unit_MD) for part in self._parts]
        return np.max(found, axis=0), self._num_products()

    def _num_products(self) -> int:
        return sum(part.num_products for part in self._parts)


class ShardedGallery:
    """A FixedGallery over actors."""

    def __init__(self, actors: list[Any], num_rows: int) -> None:
        self._actors, self._num_rows = actors, num_rows
        self.num_products = 0

    def __len__(self) -> int:
        return self._num_rows

    def too_near(self, unit_MD: np.ndarray, max_cosine: float) -> np.ndarray:
        return np.any(self._ask("too_near", unit_MD, max_cosine), axis=0)

    def nearest(self, unit_MD: np.ndarray) -> np.ndarray:
        return np.asarray(np.max(self._ask("nearest", unit_MD), axis=0))

    def _ask(self, question: str, unit_MD: np.ndarray, *more: float) -> list[np.ndarray]:
        queries = ray.put(unit_MD)
        calls = [getattr(actor, question).remote(queries, *more) for actor in self._actors]
        answers, products = zip(*ray.get(calls), strict=True)
        self.num_products = sum(products)
        return list(answers)


def open_galleries(config: Config) -> list[FixedGallery]:
    """What identities.gallery names, over fleet.gallery_actors actors; in this process for 0."""
    files = gallery_files(config)
    wanted = config.fleet.gallery_actors
    if not files or not wanted:
        return open_here(config)
    connect(config.fleet)
    sizes = [len(MappedGallery(str(file))) for file in files]
    shares = [cut for cut in _cut([str(f.absolute()) for f in files], sizes, wanted) if cut]
    cls = ray.remote(num_cpus=config.fleet.cpus_per_actor)(GalleryActor)
    return [ShardedGallery([cls.remote(share) for share in shares], sum(sizes))]


def _cut(files: list[str], sizes: list[int], num_parts: int) -> list[list[tuple[str, int, int]]]:
    """Equal shares of all rows, each as ranges of files."""
    edges = np.linspace(0, sum(sizes), num_parts + 1).astype(int).tolist()
    starts = [0, *np.cumsum(sizes).tolist()]
    shares = []
    for low, high in itertools.pairwise(edges):
        share = []
        for file, (start, stop) in zip(files, itertools.pairwise(starts), strict=True):
            first, last = max(low, start), min(high, stop)
            if first < last:
                share.append((file, first - start, last - start))
        shares.append(share)
    return shares
