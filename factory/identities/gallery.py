"""Exact questions to many unit vectors: is anybody too near, and how near is the nearest?

A fast search answers approximately, within a proven rounding band; what lies inside the band is
computed again in float64, in a fixed order of summation. So an answer depends on no block size, no
search and no thread count.

Shapes: M queries, G gallery vectors, T of them in a tile, P pairs, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

LENGTH = 1.001
"""Longest vector that `check_unit` lets pass."""
QUERIES, TILE = 1024, 4096
"""Queries and gallery vectors compared at once: their cosines stay in a processor's cache."""
PAIRS_AT_ONCE = 1 << 16
"""Pairs whose cosines are computed exactly in one go: 24*D bytes each."""
NEAR_ROWS = 512
"""Rows of a block that are compared at once with those before them."""
PAIRS_KEPT = 1 << 22
"""Candidate pairs after which those that have been overtaken are forgotten."""


class Bf16Search:
    """Products in bfloat16 with float32 sums: about three times as fast as float32 on a CPU with
    AMX or AVX512-BF16, more on a GPU. Memory: 2*D bytes a vector.

    bfloat16 rounds with u = 2^-8, so the product of two rounded factors errs by at most
    (2u+u^2)*|a_i*b_i| and their sum by (2u+u^2)*|a||b|; D float32 additions add D*2^-24, and
    rounding the answer adds u*|c| (Higham 2002, section 3.1).
    """

    def __init__(self, dim: int, device: torch.device) -> None:
        u, addition = 2.0**-8, 2.0**-24
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
            addition = 2.0**-22  # because tensor cores cut off instead of rounding
        self._rounding = u
        self._products = (2 * u + u * u + 1.01 * dim * addition) * LENGTH**2
        self._device, self._size = device, 0
        self._unit_GD = torch.empty(0, dim, dtype=torch.bfloat16, device=device)

    def band(self, cosine: float) -> float:
        """Bound on the error of an approximate cosine of about this size."""
        return self._products + self._rounding * (abs(cosine) + self._products)

    def add(self, unit_ND: np.ndarray) -> None:
        """Prepare vectors that join the gallery."""
        self._unit_GD = grown(self._unit_GD, self._size, self._size + len(unit_ND))
        self._unit_GD[self._size : self._size + len(unit_ND)] = torch.from_numpy(unit_ND)
        self._size += len(unit_ND)

    def fresh(self) -> Bf16Search:
        """One like this, of nobody."""
        return Bf16Search(self._unit_GD.shape[1], self._device)

    def cosines(self, unit_MD: np.ndarray, tile_TD: np.ndarray, first: int) -> torch.Tensor:
        """[M, T] with the gallery's vectors first..first+T-1, which `tile_TD` holds."""
        query_MD = torch.from_numpy(unit_MD).to(self._device, torch.bfloat16)
        return query_MD @ self._unit_GD[first : first + len(tile_TD)].T


class FaissSearch:
    """FAISS in float32, on a GPU where faiss finds one.

    The float32 error of an inner product of unit vectors is at most D*2^-24, whatever the order of
    summation (Higham 2002, eq 3.5).
    """

    def __init__(self, dim: int) -> None:
        import faiss

        self._faiss = faiss
        self._band = 1.01 * dim * 2.0**-24 * LENGTH**2
        self._gpu = faiss.StandardGpuResources() if faiss.get_num_gpus() else None

    def band(self, cosine: float) -> float:
        return self._band

    def add(self, unit_ND: np.ndarray) -> None:
        pass

    def fresh(self) -> FaissSearch:
        return self

    def cosines(self, unit_MD: np.ndarray, tile_TD: np.ndarray, first: int) -> torch.Tensor:
        metric = self._faiss.METRIC_INNER_PRODUCT
        if self._gpu:
            found = self._faiss.pairwise_distance_gpu(self._gpu, unit_MD, tile_TD, metric=metric)
        else:
            found = self._faiss.pairwise_distances(unit_MD, tile_TD, metric)
        return torch.from_numpy(found)


Search = Bf16Search | FaissSearch
"""What a gallery asks first: `cosines` that err by at most `band`."""


def pick_search(kind: Literal["auto", "faiss", "bf16"], dim: int) -> Search:
    """The search a config names; auto is bf16 where the hardware is fast at it."""
    gpu = torch.cuda.is_available()
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.6
    fast = gpu or able.get("amx_bf16") or able.get("avx512_bf16")
    if kind == "faiss" or (kind == "auto" and not fast):
        return FaissSearch(dim)
    return Bf16Search(dim, torch.device("cuda" if gpu else "cpu"))


class Gallery:
    """Unit vectors [G, D] in float32, which grow at their end: 4*D bytes each and the search's."""

    def __init__(self, dim: int, search: Search | None = None) -> None:
        self._search = search or pick_search("auto", dim)
        self._unit_GD = torch.empty(0, dim)
        self._size = 0
        self.num_products = 0
        """Inner products computed so far, the approximate ones."""

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
        parts = [self._too_near(part_MD, max_cosine) for _, part_MD in _parts(unit_MD)]
        return np.concatenate([np.empty(0, bool), *parts])

    def nearest(
        self,
        unit_MD: np.ndarray,
        *,
        first: int = 0,
        stop: int | None = None,
        own: int | None = None,
    ) -> np.ndarray:
        """Largest cosine of each query to vectors first..stop-1, float64 [M]; -1 for nobody.

        With `own` query i is vector own+i, and does not count.
        """
        stop = len(self) if stop is None else stop
        parts = [
            self._nearest(part_MD, first, stop, None if own is None else own + start)
            for start, part_MD in _parts(unit_MD)
        ]
        return np.concatenate([np.empty(0), *parts])

    @torch.inference_mode()
    def _too_near(self, unit_MD: np.ndarray, max_cosine: float) -> np.ndarray:
        near_M = np.zeros(len(unit_MD), dtype=bool)
        band = self._search.band(max_cosine)
        for first in range(0, len(self), TILE):
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
    def near_pairs(self, unit_BD: np.ndarray, max_cosine: float) -> tuple[np.ndarray, np.ndarray]:
        """(rows, earlier rows) of all pairs within a block whose cosine is at or above
        `max_cosine`, by row."""
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
    def _nearest(self, unit_MD: np.ndarray, first: int, stop: int, own: int | None) -> np.ndarray:
        least_M = torch.full((len(unit_MD),), -torch.inf)  # the largest cosine is at least this
        band = self._search.band(LENGTH**2)
        kept = _Candidates()
        for start in range(first, stop, TILE):
            cosine_MT = self._cosines(unit_MD, start, stop)
            if own is not None:
                _leave_out_own(cosine_MT, own, start)
            top_M = cosine_MT.amax(1).float().cpu()
            least_M = torch.maximum(least_M, top_M - band)
            rows = (top_M + band >= least_M).nonzero()[:, 0]
            approximate = cosine_MT[rows.to(cosine_MT.device)].float().cpu()
            row_P, column_P = _pairs(approximate + band >= least_M[rows].unsqueeze(1))
            upper_P = approximate[row_P, column_P].numpy() + band
            row_P, column_P = rows.numpy()[row_P], column_P + start
            other_P = column_P != row_P + own if own is not None else np.full(len(row_P), True)
            kept.add(row_P[other_P], column_P[other_P], upper_P[other_P])
            if len(kept) > PAIRS_KEPT:
                kept.forget(least_M.numpy())
        kept.forget(least_M.numpy())
        best_M = np.full(len(unit_MD), -1.0)
        exact_P = exact_cosines(unit_MD, kept.row_P, self.unit_GD, kept.column_P)
        np.maximum.at(best_M, kept.row_P, exact_P)
        return best_M

    def _cosines(self, unit_MD: np.ndarray, first: int, stop: int) -> torch.Tensor:
        tile_TD = self.unit_GD[first : min(first + TILE, stop)]
        self.num_products += len(unit_MD) * len(tile_TD)
        return self._search.cosines(np.ascontiguousarray(unit_MD, np.float32), tile_TD, first)


class _Candidates:
    """Pairs that may hold a query's largest cosine, with upper bounds of it."""

    def __init__(self) -> None:
        self.row_P, self.column_P = np.empty(0, np.int64), np.empty(0, np.int64)
        self._upper_P = np.empty(0, np.float32)

    def __len__(self) -> int:
        return len(self.row_P)

    def add(self, row_P: np.ndarray, column_P: np.ndarray, upper_P: np.ndarray) -> None:
        self.row_P = np.concatenate([self.row_P, row_P])
        self.column_P = np.concatenate([self.column_P, column_P])
        self._upper_P = np.concatenate([self._upper_P, upper_P])

    def forget(self, least_M: np.ndarray) -> None:
        """Drop the pairs that cannot reach what their query is known to reach."""
        alive = self._upper_P >= least_M[self.row_P]
        self.row_P, self.column_P = self.row_P[alive], self.column_P[alive]
        self._upper_P = self._upper_P[alive]


def exact_cosines(
    a_MD: np.ndarray, row_P: np.ndarray, b_GD: np.ndarray, column_P: np.ndarray
) -> np.ndarray:
    """Inner products of pairs in float64, each in the same order of summation: [P]."""
    found_P = np.empty(len(row_P))
    for start in range(0, len(row_P), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        a_PD = a_MD[row_P[part]].astype(np.float64)
        found_P[part] = (a_PD * b_GD[column_P[part]]).sum(1)
    return found_P


def grown(tensor_GD: torch.Tensor, size: int, wanted: int) -> torch.Tensor:
    """The tensor, or one with the same first `size` rows and room for `wanted` and half more."""
    if wanted <= len(tensor_GD):
        return tensor_GD
    larger = tensor_GD.new_empty(
        max(wanted, wanted * 3 // 2 if size else wanted), tensor_GD.shape[1]
    )
    larger[:size] = tensor_GD[:size]
    return larger


def _parts(unit_MD: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(unit_MD), QUERIES):
        yield start, unit_MD[start : start + QUERIES]


def _pairs(mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    row_P, column_P = mask.nonzero().cpu().numpy().T
    return row_P, column_P


def _leave_out_own(cosine_MT: torch.Tensor, own: int, start: int) -> None:
    """Put -2 where a query meets itself: query i is gallery vector own+i."""
    first = max(0, start - own)
    stop = min(len(cosine_MT), start + cosine_MT.shape[1] - own)
    if first < stop:
        rows = torch.arange(first, stop, device=cosine_MT.device)
        cosine_MT[rows, rows + own - start] = -2.0
