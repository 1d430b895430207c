"""Labels that a judge doubts: images of somebody else, and people under two names.

Two questions to the vectors of a judge, and for each a limit that the source's own impostors give:

An image is mislabeled where it does not resemble the core of its person, the half of the images
that are most alike. The score is the cosine to the mean of the core without the image itself. How
strangers score is known from images against the cores of other people, which a little noise does
not change. With F0 their distribution and G that of all scores, the fraction p of mislabeled images
follows from the lower half of F0, where own images are rare: p = G(median) / .5. The limit is the
largest cosine below which at most MAX_FALSE of own images lie by (G - p*F0) / (1 - p), and no
larger than it must be to hold FOUND of strangers.

Two names are one person where the means of their images are nearer than strangers' are. Second
names lie in the upper tail of the cosines of pairs of people, so the limit is extrapolated from
below them by the tail of factory/identities/cosine_tail.py: all but `fpir` of people without a
second name stay below it.

Shapes: N images, P people, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.evaluation.embeddings import evenly_spaced
from factory.identities.cosine_tail import CosineTail, Fit
from factory.identities.gallery import Gallery, itself
from factory.quality.real_limits import unit_means

MAX_FALSE = 0.03
"""Estimated fraction of a person's own images that may be taken for somebody else's."""
FOUND = 0.99
"""Fraction of strangers that a limit need not exceed."""
MIN_FOUND = 0.5
"""Fraction of strangers below the limit from which a judge tells anything."""
MIN_TOLD = 40
"""Images of people with three or more from which these alone decide the limit."""
NAMES_FPIR = 0.01
"""Fraction of people without a second name that may be taken for having one."""
LAST_RATE, MAX_RATE = 0.01, 0.3
"""Fractions of pairs of people above the quantiles that a limit is extrapolated from: the smaller
one at least, and the larger one at most."""
MAX_COMPARED = 2000
"""People whose pairs are compared for that."""
MAX_OWN = 2000
"""Images of a person, drawn with a fixed seed, that are compared with one another for a core."""
MIN_PEOPLE = 12
"""People from which quantiles of their pairs say something."""
SEED = 22


@dataclass(frozen=True)
class Doubt:
    """What was doubted, worst first, and what the limit stands for."""

    rows: np.ndarray
    """Of images int64 [F], or pairs of people int64 [F, 2]."""
    scores: np.ndarray
    """Cosine of each, float64 [F]."""
    limit: float
    found: float | None = None
    """Fraction of strangers' images that the limit would find; None where it is not known."""
    estimate: int | None = None
    """How many images are likely somebody else's; None where it is not known."""
    note: str = ""
    """Why nothing can be told, or empty."""


def mislabeled_images(unit_ND: np.ndarray, label_N: np.ndarray) -> Doubt:
    """Images that do not resemble the other images of their person: rows in rising cosine."""
    own_N, core_PD, has_core_P = core_scores(unit_ND, label_N)
    tested = np.flatnonzero(np.isfinite(own_N))
    people = np.flatnonzero(has_core_P)
    if len(people) < 2:
        return _nothing("n/a: fewer than two people have two images, so nothing is compared")
    stranger_N = _stranger_scores(unit_ND[tested], label_N[tested], core_PD, people)
    of_several = np.bincount(label_N)[label_N[tested]] > 2  # of two, both are taken for mislabeled
    told = of_several if of_several.sum() >= MIN_TOLD else np.ones(len(tested), bool)
    limit, found, mislabeled = _own_limit(own_N[tested][told], stranger_N[told])
    if found < MIN_FOUND:
        return _nothing(
            "n/a: images of one name resemble each other hardly more than those of two: a limit "
            f"that spares {1 - MAX_FALSE:.0%} of own images finds {found:.0%} of mislabeled ones. "
            "Perhaps the names (folders) are not people, or the judge does not know such faces "
            "(--judge)",
            limit,
            found,
        )
    below = tested[own_N[tested] < limit]
    order = below[np.argsort(own_N[below], kind="stable")]
    return Doubt(order, own_N[order], limit, found, round(mislabeled * len(tested)))


def core_scores(
    unit_ND: np.ndarray, label_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine [N] of each image to its person's core without it, the cores [P, D], who has one [P].

    NaN for an image whose person has no other.
    """
    order = np.argsort(label_N, kind="stable")
    starts = np.flatnonzero(np.diff(label_N[order], prepend=-1))
    num_people = int(label_N.max()) + 1 if len(label_N) else 0
    own_N = np.full(len(label_N), np.nan)
    core_PD, has_core_P = np.zeros((num_people, unit_ND.shape[1])), np.zeros(num_people, bool)
    for rows in np.split(order, starts[1:]):
        if len(rows) < 2:
            continue
        person = int(label_N[rows[0]])
        own_N[rows], core_PD[person] = _core(np.asarray(unit_ND[rows], np.float64))
        has_core_P[person] = True
    return own_N, core_PD, has_core_P


def _core(unit_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores [M] of one person's images, and the unit mean [D] of the core."""
    size = len(unit_MD) // 2 + 1
    core = np.argsort(-(unit_MD @ unit_MD[_middle(unit_MD)]), kind="stable")[:size]
    sum_D = unit_MD[core].sum(0)
    in_core_M = np.isin(np.arange(len(unit_MD)), core)
    others_MD = sum_D - np.where(in_core_M[:, None], unit_MD, 0)
    length_M = np.linalg.norm(others_MD, axis=1)
    scores_M = (others_MD * unit_MD).sum(1) / np.maximum(length_M, 1e-12)
    return scores_M, sum_D / np.maximum(np.linalg.norm(sum_D), 1e-12)


def _middle(unit_MD: np.ndarray) -> int:
    """The image, of at most MAX_OWN, that half of these resemble most."""
    rows = np.arange(len(unit_MD))
    if len(rows) > MAX_OWN:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MAX_OWN, replace=False))
    cosine_SS = unit_MD[rows] @ unit_MD[rows].T
    nearest_S = np.sort(cosine_SS, axis=1)[:, -(len(rows) // 2 + 1) :].mean(1)
    return int(rows[np.argmax(nearest_S)])


def _stranger_scores(
    unit_MD: np.ndarray, label_M: np.ndarray, core_PD: np.ndarray, people: np.ndarray
) -> np.ndarray:
    """Cosine [M] of each image to the core of another person, drawn with a fixed seed."""
    rng = np.random.default_rng(SEED)
    at_M = np.searchsorted(people, label_M)
    other_M = people[(at_M + rng.integers(1, len(people), len(label_M))) % len(people)]
    return np.asarray((unit_MD * core_PD[other_M]).sum(1))


def _own_limit(own_N: np.ndarray, stranger_N: np.ndarray) -> tuple[float, float, float]:
    """The limit of mislabeled images, what part of strangers is below it, and of such images."""
    own, strangers = np.sort(own_N), np.sort(stranger_N)
    middle = float(np.median(strangers))
    mislabeled = min(0.5, float((own < middle).mean()) / 0.5)
    grid = np.unique(strangers[: int(np.ceil(FOUND * len(strangers)))])
    below = np.searchsorted(own, grid) / len(own)
    of_strangers = np.searchsorted(strangers, grid) / len(strangers)
    false = (below - mislabeled * of_strangers) / (1 - mislabeled)
    allowed = np.flatnonzero(np.maximum.accumulate(false) <= MAX_FALSE)
    at = int(allowed[-1]) if len(allowed) else 0
    return float(grid[at]), float(of_strangers[at]), mislabeled


def double_names(unit_ND: np.ndarray, label_N: np.ndarray, fpir: float = NAMES_FPIR) -> Doubt:
    """Pairs of people whose images' means are nearer than strangers' are, nearest first."""
    people, at_N = np.unique(label_N, return_inverse=True)
    if len(people) < MIN_PEOPLE:
        return _nothing(f"n/a: {len(people)} people are too few; want {MIN_PEOPLE} at least")
    center_PD = unit_means(np.asarray(unit_ND), at_N)
    gallery = Gallery(center_PD.shape[1])
    gallery.add(center_PD)
    cosine_P, other_P = gallery.nearest_with_index(center_PD, without=itself(0, len(people)))
    limit = stranger_limit(center_PD, fpir)
    pairs: dict[tuple[int, int], float] = {}
    for at in np.argsort(-cosine_P, kind="stable"):
        if cosine_P[at] <= limit:
            break
        first, second = sorted((int(people[at]), int(people[other_P[at]])))
        pairs.setdefault((first, second), float(cosine_P[at]))
    rows = np.array(list(pairs), np.int64).reshape(-1, 2)
    return Doubt(rows, np.array(list(pairs.values())), limit)


def stranger_limit(center_PD: np.ndarray, fpir: float) -> float:
    """The cosine that the nearest stranger of all but `fpir` of people stays below, at most 1.

    The fraction of pairs above it is fpir / (P - 1). It is extrapolated from two quantiles that no
    second names reach: P people have at most P/2 of them, 1/P of all pairs.
    """
    chosen = center_PD[evenly_spaced(np.arange(len(center_PD)), MAX_COMPARED)]
    cosine_P = (chosen @ chosen.T)[np.triu_indices(len(chosen), 1)]
    last = max(LAST_RATE, 2 / len(center_PD))
    first = min(10 * last, MAX_RATE)
    low, high = (float(np.quantile(cosine_P, 1 - rate)) for rate in (first, last))
    if high <= max(low, 0):
        return 1.0
    low = max(low, 1e-3)
    smallest, largest = np.log(1.0), np.log(1e6)
    for _ in range(60):  # because the rate at `high` falls as dimensions grow
        middle = (smallest + largest) / 2
        above = Fit(low, first, float(np.exp(middle))).log_rate(high) > np.log(last)
        smallest, largest = (middle, largest) if above else (smallest, middle)
    tail = CosineTail(Fit(low, first, float(np.exp(largest))))
    return tail.cosine(fpir / (len(center_PD) - 1))


def _nothing(note: str, limit: float = 0.0, found: float | None = None) -> Doubt:
    return Doubt(np.empty(0, np.int64), np.empty(0), limit, found, None, note)
