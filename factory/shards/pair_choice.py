"""Which pairs a release for testing has: genuine and impostor ones of each bin, look-alikes.

Everything is fixed by a seed. Genuine pairs are taken so that nobody gives a second pair of a bin
before everybody who can has given one.

Shapes: N images, P people, K pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from factory.config.pairs import DIFFERENCE, EQUAL, LARGER, PairsConfig
from factory.seeds import stream_seed

MAX_PAIRS = 2_000_000
"""Impostor pairs that are looked at; where there are more, so many are drawn."""
MAX_OF_A_PERSON = 50
"""Genuine pairs of a person that are looked at."""
MAX_PEOPLE = 20_000
"""People among whom look-alikes are searched; where there are more, so many are drawn."""
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Chosen:
    """Pairs of rows of images [K, 2], and whether each is of one person [K], by turns."""

    rows_K2: np.ndarray
    same_K: np.ndarray


@dataclass(frozen=True)
class Bin:
    """Pairs whose value is in [low, high], or < high but in the last bin; both None: any."""

    name: str
    column: str
    low: float
    high: float
    is_last: bool = True

    def holds(self, value_K: np.ndarray) -> np.ndarray:
        """Which values are in it [K]; NaN is in none."""
        below = value_K <= self.high if self.is_last else value_K < self.high
        return np.asarray((value_K >= self.low) & below)


def bins_of(config: PairsConfig) -> list[Bin]:
    """All bins in the order of the config; of words `same` (1) and `different` (0)."""
    bins: list[Bin] = []
    for column, edges in config.bins.items():
        if column in EQUAL:
            bins += [Bin(f"{column}-{n}", column, v, v) for n, v in (("same", 1), ("different", 0))]
            continue
        last = len(edges) - 2
        for index, (low, high) in enumerate(pairwise(edges)):
            bins.append(Bin(f"{column}-{low:g}-{high:g}", column, low, high, index == last))
    return bins


def pair_values(column: str, value_N: np.ndarray, rows_K2: np.ndarray) -> np.ndarray:
    """What a pair has of a column [K]: difference, larger or smaller value, or 1 where equal."""
    first_K, second_K = value_N[rows_K2[:, 0]], value_N[rows_K2[:, 1]]
    if column in EQUAL:
        return np.asarray(first_K == second_K, np.float64)
    if column in DIFFERENCE:
        return np.asarray(np.abs(first_K - second_K))
    if column in LARGER:
        return np.asarray(np.maximum(first_K, second_K))
    return np.asarray(np.minimum(first_K, second_K))


def genuine_pairs(person_N: np.ndarray, seed: int) -> np.ndarray:
    """Pairs of two images of one person [K, 2], at most MAX_OF_A_PERSON of each."""
    rng, parts = _rng("genuine", seed), [np.empty((0, 2), np.int64)]
    for rows in _rows_by_person(person_N):
        pairs = np.stack(np.triu_indices(len(rows), 1), 1)
        if len(pairs) > MAX_OF_A_PERSON:
            pairs = pairs[np.sort(rng.choice(len(pairs), MAX_OF_A_PERSON, replace=False))]
        parts.append(rows[pairs])
    return np.concatenate(parts)


def impostor_pairs(person_N: np.ndarray, seed: int) -> np.ndarray:
    """Pairs of images of two people [K, 2]: all of them, or MAX_PAIRS that are drawn."""
    count = len(person_N)
    if count * (count - 1) // 2 <= MAX_PAIRS:
        rows_K2 = np.stack(np.triu_indices(count, 1), 1)
    else:
        drawn_K2 = np.sort(_rng("impostor", seed).integers(0, count, (MAX_PAIRS, 2)), 1)
        rows_K2 = np.unique(drawn_K2, axis=0)
    return np.asarray(rows_K2[person_N[rows_K2[:, 0]] != person_N[rows_K2[:, 1]]])


def choose(
    genuine_K2: np.ndarray,
    impostor_K2: np.ndarray,
    person_N: np.ndarray,
    num_pairs: int,
    name: str,
    seed: int,
) -> Chosen:
    """As many genuine as impostor pairs, `num_pairs` of each at most, in turns.

    So each of ten folds in their order has both kinds.
    """
    rng = _rng(f"pairs/{name}", seed)
    count = min(num_pairs, len(genuine_K2), len(impostor_K2))
    kinds = [
        _over_people(rng.permutation(pairs_K2), person_N)[:count]
        for pairs_K2 in (genuine_K2, impostor_K2)
    ]
    rows_K2 = np.stack(kinds, 1).reshape(2 * count, 2)
    return Chosen(rows_K2, np.arange(2 * count) % 2 == 0)


def lookalike_pairs(
    unit_PD: np.ndarray, people_P: np.ndarray, person_N: np.ndarray, config: PairsConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(genuine, impostor) pairs of images of people whose cosine is in lookalike_cosine.

    `people_P` are the people of the vectors; an impostor pair has an image of each, drawn by the
    seed, and genuine pairs are those of the same people.
    """
    rng = _rng("lookalikes", seed)
    seen_P = np.flatnonzero(np.isin(people_P, person_N))
    if len(seen_P) > MAX_PEOPLE:
        seen_P = np.sort(rng.choice(seen_P, MAX_PEOPLE, replace=False))
    alike = [np.empty((0, 2), np.int64), *_alike(unit_PD[seen_P], config.lookalike_cosine)]
    pairs_K2 = people_P[seen_P][np.concatenate(alike)]
    rows_of = {int(person_N[rows[0]]): rows for rows in _rows_by_person(person_N)}
    impostor = [[int(rng.choice(rows_of[int(one)])) for one in pair] for pair in pairs_K2]
    genuine_K2 = genuine_pairs(person_N, seed)
    of_them_K = np.isin(person_N[genuine_K2[:, 0]], pairs_K2)
    return genuine_K2[of_them_K], np.array(impostor, np.int64).reshape(-1, 2)


def gallery_and_probes(
    person_N: np.ndarray, unmated_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the gallery, of probes of its people, and of probes of nobody in it.

    The gallery has one image of each person, drawn by the seed; people with a single image are
    rather those who are not in it.
    """
    rng, groups = _rng("gallery", seed), list(_rows_by_person(person_N))
    order = rng.permutation(len(groups))
    order = order[np.argsort([len(groups[i]) > 1 for i in order], kind="stable")]
    num_unmated = round(unmated_fraction * len(groups))
    none = [np.empty(0, np.int64)]
    gallery, mated = none.copy(), none.copy()
    for rows in (rng.permutation(groups[i]) for i in order[num_unmated:]):
        gallery.append(rows[:1])
        mated.append(rows[1:])
    unmated = [*none, *(groups[i] for i in order[:num_unmated])]
    parts = [np.sort(np.concatenate(part)) for part in (gallery, mated, unmated)]
    return parts[0], parts[1], parts[2]


def _over_people(rows_K2: np.ndarray, person_N: np.ndarray) -> np.ndarray:
    """The same pairs, the first one of everybody (by its first image) before any second one."""
    person_K = person_N[rows_K2[:, 0]]
    order = np.argsort(person_K, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(person_K[order]) != 0]) if len(order) else order
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.asarray(rows_K2[np.argsort(rank, kind="stable")])


def _alike(unit_PD: np.ndarray, cosine: tuple[float, float]) -> Iterator[np.ndarray]:
    """Pairs of rows, the lower one first, whose cosine is in a range."""
    low, high = cosine
    for start in range(0, len(unit_PD), ROWS_AT_ONCE):
        cosine_BP = unit_PD[start : start + ROWS_AT_ONCE] @ unit_PD.T
        first, second = np.nonzero((cosine_BP >= low) & (cosine_BP <= high))
        later = second > first + start
        yield np.stack([first[later] + start, second[later]], 1)


def _rows_by_person(person_N: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of each person, by number."""
    order = np.argsort(person_N, kind="stable")
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(person_N[order])) + 1)


def _rng(stream: str, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(stream_seed("benchmark release", stream, seed)))
