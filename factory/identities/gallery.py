"""Exact questions to many unit vectors: is anybody too near, and how near is the nearest?

A fast search answers approximately, within a proven error band; cosines inside the band are
computed again in float64, in a fixed order of summation. So an answer depends on no block size, no
search, no thread count and no number of shards.

Shapes: M queries, G gallery vectors, T of them in a tile, P pairs, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from factory.identities.search import LENGTH, Search, grown, pick_search

QUERIES, TILE = 1024, 4096
"""Queries and gallery vectors compared at once: their cosines fit in a processor's cache.

A search on a GPU takes `Search.tiles` times as many of each.
"""
MAPPED_QUERIES = 8192
"""Queries for which a file is read once: reading costs more than a cache that overflows."""
PAIRS_AT_ONCE = 1 << 16
"""Pairs whose cosines are computed exactly in one go: 24*D bytes each."""
NEAR_ROWS = 512
"""Rows of a block that are compared at once with the rows before them."""


class FixedGallery(Protocol):
    """Real people who stay as they are: in memory, in a file, or in files over many machines."""

    num_products: int

    def __len__(self) -> int: ...

    def too_near(self, unit_MD: np.ndarray, max_cosine: float) -> np.ndarray:
        """Whether the largest cosine of each query is at or above `max_cosine`: bool [M]."""
        ...

    def nearest(self, unit_MD: np.ndarray) -> np.ndarray:
        """Largest cosine of each query, float64 [M]; -1 for nobody."""
        ...


Ranges = tuple[np.ndarray, np.ndarray]
"""For each query a range first..stop-1 of the gallery: int64 [M], int64 [M]."""


def itself(first: int, count: int) -> Ranges:
    """Ranges of queries that are the gallery's vectors first..first+count-1 themselves."""
    own = np.arange(first, first + count)
    return own, own + 1


class Gallery:
    """Unit vectors [G, D] in float32, added at the end: 4*D bytes each and the search's."""

    def __init__(self, dim: int, search: Search | None = None) -> None:
        self._search = search or pick_search(dim)
        self._unit_GD = torch.empty(0, dim)
        self._size = 0
        self.num_products = 0
        """Approximate inner products computed so far."""

    def __len__(self) -> int:
        return self._size

    @property
    def unit_GD(self) -> np.ndarray:
        return self._unit_GD[: self._size].numpy()

    def add(self, unit_ND: np.ndarray) -> None:
        unit_ND = np.ascontiguousarray(unit_ND, dtype=np.float32)
        self._unit_GD = grown(self._unit_GD, self._size, self._size + len(unit_ND))
        self._unit_GD[self._size : self._size + len(unit_ND)] = torch.from_numpy(unit_ND)
        self._size += len(unit_ND)
        self._search.add(unit_ND)

    def too_near(self, unit_MD: np.ndarray, max_cosine: float) -> np.ndarray:
        """Whether the largest cosine of each query is at or above `max_cosine`: bool [M]."""
        parts = [self._too_near(unit_MD[part], max_cosine) for part in self._parts(len(unit_MD))]
        return np.concatenate([np.empty(0, bool), *parts])

    def nearest(
        self,
        unit_MD: np.ndarray,
        *,
        first: int = 0,
        stop: int | None = None,
        without: Ranges | None = None,
    ) -> np.ndarray:
        """Largest cosine of each query to vectors first..stop-1, float64 [M]; -1 for nobody.

        The vectors that `without` names do not count, such as the query itself or its own person.
        """
        return self.nearest_with_index(unit_MD, first=first, stop=stop, without=without)[0]

    def nearest_with_index(
        self,
        unit_MD: np.ndarray,
        *,
        first: int = 0,
        stop: int | None = None,
        without: Ranges | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The cosines of `nearest`, and the first vector with each, int64 [M]; -1 for nobody."""
        stop = len(self) if stop is None else stop
        cosines, indices = [np.empty(0)], [np.empty(0, np.int64)]
        for part in self._parts(len(unit_MD)):
            ranges = None if without is None else (without[0][part], without[1][part])
            cosine_M, index_M = self._nearest(unit_MD[part], first, stop, ranges)
            cosines.append(cosine_M)
            indices.append(index_M)
        return np.concatenate(cosines), np.concatenate(indices)

    def count_from(
        self, unit_MD: np.ndarray, cosine_M: np.ndarray, *, without: Ranges | None = None
    ) -> np.ndarray:
        """How many vectors have at least the cosine that is given for each query, int64 [M].

        The vectors that `without` names do not count.
        """
        counts = [np.empty(0, np.int64)]
        for part in self._parts(len(unit_MD)):
            ranges = None if without is None else (without[0][part], without[1][part])
            counts.append(self._count_from(unit_MD[part], cosine_M[part], ranges))
        return np.concatenate(counts)

    def _parts(self, count: int) -> Iterator[slice]:
        size = QUERIES * self._search.tiles
        for start in range(0, count, size):
            yield slice(start, start + size)

    @property
    def _tile(self) -> int:
        return TILE * self._search.tiles

    @torch.inference_mode()
    def _too_near(self, unit_MD: np.ndarray, max_cosine: float) -> np.ndarray:
        near_M = np.zeros(len(unit_MD), dtype=bool)
        band = self._search.band(max_cosine)
        for first in range(0, len(self), self._tile):
            open_M = np.flatnonzero(~near_M)
            if not len(open_M):
                break
            cosine_MT = self._cosines(unit_MD[open_M], first, len(self))
            top_M = cosine_MT.amax(1).float()
            near_M[open_M[(top_M >= max_cosine + band).cpu().numpy()]] = True
            unsure = ((top_M >= max_cosine - band) & (top_M < max_cosine + band)).nonzero()[:, 0]
            row_P, column_P = _pairs(cosine_MT[unsure].float() >= max_cosine - band)
            row_P = open_M[unsure.cpu().numpy()[row_P]]
            exact_P = exact_cosines(unit_MD, row_P, self.unit_GD, column_P + first)
            near_M[row_P[exact_P >= max_cosine]] = True
        return near_M

    @torch.inference_mode()
    def _count_from(
        self, unit_MD: np.ndarray, cosine_M: np.ndarray, without: Ranges | None
    ) -> np.ndarray:
        """Counts by approximate cosines outside the band, and by exact ones inside it."""
        count_M, band = np.zeros(len(unit_MD), np.int64), self._search.band(LENGTH**2)
        for first in range(0, len(self), self._tile):
            cosine_MT = self._cosines(unit_MD, first, len(self)).double()
            _leave_out(cosine_MT, first, without)
            above_MT = cosine_MT - torch.from_numpy(cosine_M)[:, None].to(cosine_MT.device)
            count_M += (above_MT >= band).sum(1).cpu().numpy()
            row_P, column_P = _pairs((above_MT >= -band) & (above_MT < band))
            exact_P = exact_cosines(unit_MD, row_P, self.unit_GD, column_P + first)
            count_M += np.bincount(row_P[exact_P >= cosine_M[row_P]], minlength=len(unit_MD))
        return count_M

    @torch.inference_mode()
    def near_pairs(self, unit_BD: np.ndarray, max_cosine: float) -> tuple[np.ndarray, np.ndarray]:
        """All pairs within a block whose cosine is at or above `max_cosine`, ordered by row.

        They are two arrays: the row of each pair, and the earlier row that it is near to.
        """
        block = type(self)(unit_BD.shape[1], self._search.fresh())
        block.add(unit_BD)
        band = self._search.band(max_cosine)
        rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for first in range(0, len(unit_BD), NEAR_ROWS):
            stop = min(first + NEAR_ROWS, len(unit_BD))
            cosine = block._cosines(unit_BD[first:stop], 0, stop).float()
            row_P, column_P = _pairs(cosine >= max_cosine - band)
            row_P = row_P + first
            earlier = column_P < row_P
            row_P, column_P = row_P[earlier], column_P[earlier]
            near = exact_cosines(unit_BD, row_P, unit_BD, column_P) >= max_cosine
            rows.append(row_P[near])
            columns.append(column_P[near])
        self.num_products += block.num_products
        return np.concatenate(rows), np.concatenate(columns)

    @torch.inference_mode()
    def _nearest(
        self, unit_MD: np.ndarray, first: int, stop: int, without: Ranges | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exact nearest cosines and their indices, by two passes over the tiles.

        The first takes each tile's largest approximate cosine; the second computes exactly where a
        tile may hold the largest of all.
        """
        starts, band = range(first, stop, self._tile), self._search.band(LENGTH**2)
        top_MK = torch.full((len(unit_MD), len(starts)), -torch.inf)
        for tile, start in enumerate(starts):
            cosine_MT = self._cosines(unit_MD, start, stop)
            _leave_out(cosine_MT, start, without)
            top_MK[:, tile] = cosine_MT.amax(1).float().cpu()
        best_M, index_M = np.full(len(unit_MD), -np.inf), np.full(len(unit_MD), -1, np.int64)
        if not len(starts):
            return np.full(len(unit_MD), -1.0), index_M
        least_M = top_MK.amax(1) - band  # the largest cosine is at least this
        for tile, start in enumerate(starts):
            rows = (top_MK[:, tile] + band >= least_M).nonzero()[:, 0].numpy()
            if not len(rows):
                continue
            cosine_RT = self._cosines(unit_MD[rows], start, stop)
            _leave_out(cosine_RT, start, without and (without[0][rows], without[1][rows]))
            least_R1 = least_M[rows].unsqueeze(1).to(cosine_RT.device)
            row_P, column_P = _pairs(cosine_RT.float() + band >= least_R1)
            row_P, column_P = rows[row_P], column_P + start
            if without:
                counts_P = (column_P < without[0][row_P]) | (column_P >= without[1][row_P])
                row_P, column_P = row_P[counts_P], column_P[counts_P]
            exact_P = exact_cosines(unit_MD, row_P, self.unit_GD, column_P)
            order_P = np.lexsort((column_P, -exact_P, row_P))
            row_R, first_R = np.unique(row_P[order_P], return_index=True)
            exact_R, column_R = exact_P[order_P][first_R], column_P[order_P][first_R]
            nearer = exact_R > best_M[row_R]
            best_M[row_R[nearer]], index_M[row_R[nearer]] = exact_R[nearer], column_R[nearer]
        return np.where(index_M < 0, -1.0, best_M), index_M

    def _cosines(self, unit_MD: np.ndarray, first: int, stop: int) -> torch.Tensor:
        tile_TD = self.unit_GD[first : min(first + self._tile, stop)]
        self.num_products += len(unit_MD) * len(tile_TD)
        return self._search.cosines(np.ascontiguousarray(unit_MD, np.float32), tile_TD, first)


class MappedGallery(Gallery):
    """Rows first..stop-1 of unit vectors [R, D], float32 or float16, in a .npy file or mapped.

    It is read tile by tile, so it takes no memory but the pages that the system caches. Cosines are
    exact for the stored values.
    """

    def __init__(
        self,
        rows: str | np.ndarray,
        first: int = 0,
        stop: int | None = None,
        search: Search | None = None,
    ) -> None:
        opened: Any = rows
        if isinstance(rows, str):
            opened = np.load(rows, mmap_mode="r", allow_pickle=False)
        self._rows_GD: np.ndarray = opened[first:stop]
        super().__init__(self._rows_GD.shape[1], search)

    def __len__(self) -> int:
        return len(self._rows_GD)

    @property
    def unit_GD(self) -> np.ndarray:
        return np.asarray(self._rows_GD)

    def add(self, unit_ND: np.ndarray) -> None:
        raise TypeError("a mapped gallery does not grow")

    def _parts(self, count: int) -> Iterator[slice]:
        for start in range(0, count, MAPPED_QUERIES):
            yield slice(start, start + MAPPED_QUERIES)

    def _cosines(self, unit_MD: np.ndarray, first: int, stop: int) -> torch.Tensor:
        tile_TD = np.array(self._rows_GD[first : min(first + self._tile, stop)], np.float32)
        self.num_products += len(unit_MD) * len(tile_TD)
        search = self._search.fresh()
        search.add(tile_TD)
        return search.cosines(np.ascontiguousarray(unit_MD, np.float32), tile_TD, 0)


def exact_cosines(
    a_MD: np.ndarray, row_P: np.ndarray, b_GD: np.ndarray, column_P: np.ndarray
) -> np.ndarray:
    """Inner products of pairs in float64, each in the same order of summation: [P]."""
    cosine_P = np.empty(len(row_P))
    for start in range(0, len(row_P), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        a_PD = a_MD[row_P[part]].astype(np.float64)
        cosine_P[part] = (a_PD * b_GD[column_P[part]]).sum(1)
    return cosine_P


def _pairs(mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    row_P, column_P = mask.nonzero().cpu().numpy().T
    return row_P, column_P


def _leave_out(cosine_MT: torch.Tensor, start: int, without: Ranges | None) -> None:
    """Write -2 where a query meets a vector that does not count; the tile begins at `start`."""
    if without is None:
        return
    first_M, stop_M = without[0] - start, without[1] - start
    rows = np.flatnonzero((stop_M > 0) & (first_M < cosine_MT.shape[1]))
    if len(rows):
        column_T = np.arange(cosine_MT.shape[1])
        out_RT = (column_T >= first_M[rows, None]) & (column_T < stop_M[rows, None])
        row_P, column_P = out_RT.nonzero()
        left_out = (torch.from_numpy(rows[row_P]), torch.from_numpy(column_P))
        cosine_MT[tuple(index.to(cosine_MT.device) for index in left_out)] = -2.0
