"""Sums, histograms, largest values and samples whose size does not grow with what is added.

Each gives what a plain computation over all values gives: exactly while there are few, and beyond
that within a bound that its docstring states.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.evaluation.metrics.values import BINS, Distribution, distribution

MAX_EXACT = 1 << 16
"""Values that a CosineTally keeps as they are."""
FINE = 1 << 17
"""Bins of a CosineTally on [-1, 1] beyond that, each 1.5e-5 wide."""


class CosineTally:
    """The distribution of cosines that come bit by bit.

    Count, mean, deviation and the histogram are those of all values, whatever their number.
    Quantiles are exact up to MAX_EXACT values, then within 1/FINE (half a bin) of the exact ones.
    """

    def __init__(self) -> None:
        self._exact: list[np.ndarray] = []
        self._moments = Moments.none(1)
        self._histogram = np.zeros(len(BINS) - 1, np.int64)
        self._fine: np.ndarray | None = None

    @property
    def count(self) -> int:
        return self._moments.count

    def add(self, values: np.ndarray) -> None:
        values = np.asarray(values, np.float64)
        self._moments = self._moments.plus(Moments.of(values[:, None]))
        self._histogram += np.histogram(values, BINS)[0]
        self._exact.append(values)
        if self._fine is not None or self.count > MAX_EXACT:
            whole = np.concatenate(self._exact)
            place = ((whole.clip(-1, 1) + 1) * (FINE / 2)).astype(np.int64).clip(max=FINE - 1)
            counted = np.bincount(place, minlength=FINE)
            self._fine = counted if self._fine is None else self._fine + counted
            self._exact = []

    def distribution(self) -> Distribution:
        """In short; at least one value must have been added."""
        if self._fine is None:
            return distribution(np.concatenate(self._exact))
        return Distribution(
            count=self.count,
            mean=float(self._moments.mean_D[0]),
            std=float(np.sqrt(self._moments.scatter_DD[0, 0] / self.count)),
            p01=self._quantile(self._fine, 0.01),
            p99=self._quantile(self._fine, 0.99),
            histogram=(self._histogram / max(self._histogram.sum(), 1)).round(6).tolist(),
        )

    def _quantile(self, fine: np.ndarray, fraction: float) -> float:
        """Linear between two neighbors in order, each taken for the center of its bin."""
        position = fraction * (self.count - 1)
        below = int(position)
        ranks = np.array([below, min(below + 1, self.count - 1)])
        bins = np.searchsorted(np.cumsum(fine), ranks, side="right")
        low, high = (bins + 0.5) * (2 / FINE) - 1
        return float(low + (position - below) * (high - low))


@dataclass(frozen=True)
class Moments:
    """Count, mean [D] and scatter [D, D] (sum of centered products) of vectors, float64.

    Those of two sets together follow from those of each (Chan, Golub and LeVeque 1983).
    """

    count: int
    mean_D: np.ndarray
    scatter_DD: np.ndarray

    @classmethod
    def none(cls, dim: int) -> Moments:
        """Of no vectors."""
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    @classmethod
    def of(cls, vectors_ND: np.ndarray) -> Moments:
        if not len(vectors_ND):
            return cls.none(vectors_ND.shape[1])
        vectors_ND = vectors_ND.astype(np.float64)
        mean_D = vectors_ND.mean(0)
        centered_ND = vectors_ND - mean_D
        return cls(len(vectors_ND), mean_D, centered_ND.T @ centered_ND)

    @classmethod
    def of_blocks(cls, vectors_ND: np.ndarray, block: int = 4096) -> Moments:
        """The same of many vectors, which may lie in a file, without a copy of them all."""
        total = cls.none(vectors_ND.shape[1])
        for start in range(0, len(vectors_ND), block):
            total = total.plus(cls.of(np.asarray(vectors_ND[start : start + block])))
        return total

    def plus(self, other: Moments) -> Moments:
        """Of both sets together."""
        count = self.count + other.count
        if not count:
            return self
        step_D = other.mean_D - self.mean_D
        weight = self.count * other.count / count
        return Moments(
            count,
            self.mean_D + step_D * (other.count / count),
            self.scatter_DD + other.scatter_DD + weight * np.outer(step_D, step_D),
        )

    def covariance(self) -> np.ndarray:
        """Of a sample, divided by count - 1, [D, D]."""
        return np.asarray(self.scatter_DD / (self.count - 1))


def hash_of(key: str) -> int:
    """A number from 0 to 2**64 - 1 that only the key decides."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def hash_limit(wanted: int, count: int) -> int:
    """Hashes below it leave hardly fewer than `wanted` of `count` keys: a quarter more is aimed at.

    With up to `wanted` keys all of them.
    """
    return (1 << 64) if count <= wanted else int((1 << 64) * min(1.0, 1.25 * wanted / count))


class Sample:
    """Up to `size` rows with the lowest hashes: a reservoir that does not depend on their order.

    A row is whatever belongs to one face; `place` orders the rows that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size, self._number = size, itertools.count()
        self._heap: list[tuple[int, int, tuple[int, int], dict[str, np.ndarray]]] = []

    def add(self, key: str, place: tuple[int, int], row: dict[str, np.ndarray]) -> None:
        item = (-hash_of(key), next(self._number), place, row)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, item)
        elif item[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, item)

    def stacked(self) -> dict[str, np.ndarray]:
        """What the rows hold by name, [S, ...], in the order of their places."""
        rows = [row for *_, row in sorted(self._heap, key=lambda item: item[2])]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}


@dataclass(frozen=True)
class Near:
    """A face, by unit and row, and its cosine to the nearest of others, by index."""

    cosine: float
    unit: int
    row: int
    index: int


def nearest_first(parts: Iterable[Sequence[Near]], count: int) -> list[Near]:
    """The `count` largest cosines of several lists; equal ones by unit and row.

    Lists may be merged in any order and grouping.
    """
    everything = itertools.chain.from_iterable(parts)
    return heapq.nsmallest(count, everything, key=lambda near: (-near.cosine, near.unit, near.row))
