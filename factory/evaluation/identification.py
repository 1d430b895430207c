"""One-to-many identification: ranks, CMC, and FNIR at FPIR, from an exact search (METHODS 7).

ISO/IEC 19795-1 (identification error rates) and NISTIR 8271 (Grother, Ngan & Hanaoka 2019, FRVT
part 2): a mated search is for somebody who is enrolled, a non-mated one for somebody who is not.
All cosines that decide are exact (identities/gallery.py), and ties count against the recognizer:
an entry of another person that is as near as the mate is before it.

Shapes: T templates, G entries of the gallery, M mated searches, Q non-mated ones, P people, R
resamplings, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.config import IdentificationConfig, SourceConfig
from factory.evaluation.metrics.identification import Identification, OpenSetErrors, RankRate
from factory.identities.gallery import Gallery, Ranges, exact_cosines
from factory.recognition.embed import Embedder
from factory.recognition.resampling import (
    LEAST_PEOPLE,
    Interval,
    interval,
    people_counts,
    rate_interval,
)
from factory.recognition.search_protocols import Protocol
from factory.recognition.templates import Templates, embed_templates
from factory.recognition.verification import cosine_at_fmr
from factory.seeds import stream_seed

LAST_RANK = 50
"""Ranks of a CMC, at most."""
LEAST_ALARMS = 10
"""Non-mated searches above a threshold, fewer of which decide no FNIR."""
NOBODY = -np.inf
"""Cosine of a template that could not be made, with anybody."""


@dataclass(frozen=True)
class Searches:
    """What all searches of a gallery gave."""

    rank_M: np.ndarray
    """Place of the nearest entry of the mate, from 1; one behind the last where either failed."""
    mate_M: np.ndarray
    """Its cosine, float64; NOBODY where either failed."""
    person_M: np.ndarray
    nearest_Q: np.ndarray
    """Cosine of the nearest entry, float64; NOBODY where the probe failed."""
    person_Q: np.ndarray


def identify(
    embedder: Embedder,
    protocol: Protocol,
    section: IdentificationConfig,
    source: SourceConfig,
) -> Identification:
    """All figures of a recognizer on a protocol.

    Raises SourceError for more unreadable images than source.max_corrupt_fraction.
    """
    limit, keep_failed = source.max_corrupt_fraction, source.count_failures
    gallery, probes = (
        embed_templates(embedder, side, limit, keep_failed=keep_failed)
        for side in (protocol.gallery, protocol.probes)
    )
    searches = search(gallery, probes)
    num_images = gallery.num_images + probes.num_images
    failures = gallery.num_failed + probes.num_failed
    people_P = np.unique(gallery.person_T)
    searched_P = np.unique(probes.person_T)
    return Identification(
        protocol=section.protocol,
        mirror_sum=embedder.mirror_sum,
        num_entries=len(gallery.person_T),
        num_enrolled=len(people_P),
        num_unsearched=int((~np.isin(people_P, searched_P)).sum()),
        num_mated=len(searches.rank_M),
        num_nonmated=len(searches.nearest_Q),
        num_searched=len(searched_P),
        num_images=num_images,
        failures_to_acquire=failures,
        fta=failures / num_images,
        counts_failures=source.count_failures,
        max_rank=section.max_rank,
        rates=rank_rates(searches, section.ranks, section.seed),
        cmc=cmc(searches.rank_M, min(LAST_RANK, len(gallery.person_T))),
        open_set=open_set_errors(searches, section.fpirs, section.max_rank, section.seed),
    )


def search(gallery: Templates, probes: Templates) -> Searches:
    """Search all probes in the gallery, exactly.

    Rank 1 is that of a mate whose nearest entry has a larger cosine than every entry of all other
    people. With several entries of one person this is the place among entries, as in TinyFace.
    """
    order_G = np.argsort(gallery.person_T, kind="stable")
    order_G = order_G[gallery.acquired_T[order_G]]
    person_G, enrolled = gallery.person_T[order_G], Gallery(gallery.unit_TD.shape[1])
    enrolled.add(gallery.unit_TD[order_G])
    is_mated_T = np.isin(probes.person_T, gallery.person_T)
    mated, others = np.flatnonzero(is_mated_T), np.flatnonzero(~is_mated_T)
    own = (
        np.searchsorted(person_G, probes.person_T[mated], "left"),
        np.searchsorted(person_G, probes.person_T[mated], "right"),
    )
    has_mate_M = (own[1] > own[0]) & probes.acquired_T[mated]
    rank_M = np.full(len(mated), len(gallery.person_T) + 1)
    mate_M = np.full(len(mated), NOBODY)
    unit_MD = probes.unit_TD[mated[has_mate_M]]
    own = (own[0][has_mate_M], own[1][has_mate_M])
    mate_M[has_mate_M] = _nearest_of(enrolled, unit_MD, own)
    rank_M[has_mate_M] = 1 + enrolled.count_from(unit_MD, mate_M[has_mate_M], without=own)
    nearest_Q = np.full(len(others), NOBODY)
    acquired_Q = probes.acquired_T[others]
    nearest_Q[acquired_Q] = enrolled.nearest(probes.unit_TD[others[acquired_Q]])
    return Searches(rank_M, mate_M, probes.person_T[mated], nearest_Q, probes.person_T[others])


def _nearest_of(gallery: Gallery, unit_MD: np.ndarray, own: Ranges) -> np.ndarray:
    """Largest cosine of each query to the entries of its own range, float64 [M]; none is empty."""
    size_M = own[1] - own[0]
    start_M = np.cumsum(size_M) - size_M
    row_P = np.repeat(np.arange(len(unit_MD)), size_M)
    column_P = np.arange(len(row_P)) - np.repeat(start_M - own[0], size_M)
    exact_P = exact_cosines(unit_MD, row_P, gallery.unit_GD, column_P)
    return np.maximum.reduceat(exact_P, start_M) if len(start_M) else exact_P


def cmc(rank_M: np.ndarray, last_rank: int) -> list[float]:
    """Cumulative match characteristic: fraction of mated searches up to rank 1, 2, ..."""
    counts = np.bincount(rank_M, minlength=last_rank + 1)[1 : last_rank + 1]
    return [float(rate) for rate in np.cumsum(counts) / len(rank_M)]


@dataclass(frozen=True)
class Resampled:
    """How often each person comes in every resampling [R, P], and the person of each search."""

    counts_RP: np.ndarray
    index_X: np.ndarray

    @classmethod
    def of(cls, person_X: np.ndarray, side: str, seed: int) -> Resampled | None:
        """The people of a side; None for so few that their combinations are no distribution."""
        people_P, index_X = np.unique(person_X, return_inverse=True)
        if len(people_P) < LEAST_PEOPLE:
            return None
        return cls(people_counts(len(people_P), stream_seed(side, seed)), index_X)

    @property
    def num_people(self) -> int:
        return int(self.counts_RP.shape[1])

    def rates(self, is_X: np.ndarray) -> np.ndarray:
        """The fraction of searches for which something is so, in every resampling [R]."""
        found_P = np.bincount(self.index_X, is_X.astype(np.float64))
        return np.asarray(self.counts_RP @ found_P / (self.counts_RP @ np.bincount(self.index_X)))

    def interval(self, rate: float, rates_R: np.ndarray) -> Interval:
        """That of resampled rates; by the number of people where the rate is 0 or 1."""
        if rate in (0.0, 1.0):
            return rate_interval(rate * self.num_people, self.num_people)
        return interval(rates_R)


def rank_rates(searches: Searches, ranks: Sequence[int], seed: int) -> list[RankRate]:
    """Identification rates at some ranks, with intervals over the people who are searched for."""
    people = Resampled.of(searches.person_M, "mated people", seed)
    found = []
    for rank in ranks:
        hit_M = searches.rank_M <= rank
        rate = float(hit_M.mean())
        bounds = people.interval(rate, people.rates(hit_M)) if people else None
        found.append(RankRate(rank, rate, bounds))
    return found


def open_set_errors(
    searches: Searches, fpirs: Sequence[float], max_rank: int | None, seed: int
) -> list[OpenSetErrors]:
    """FNIR at each FPIR; the threshold is estimated again in every resampling of people.

    Of those that fewer than LEAST_ALARMS non-mated searches would decide, the reason alone.
    """
    mated = Resampled.of(searches.person_M, "mated people", seed)
    others = Resampled.of(searches.person_Q, "non-mated people", seed)
    found = []
    for fpir in fpirs:
        num_nonmated, wanted = len(searches.nearest_Q), round(LEAST_ALARMS / fpir)
        if num_nonmated < wanted:
            note = f"n/a: {num_nonmated} non-mated searches; want {wanted} at least"
            found.append(OpenSetErrors(fpir, None, None, None, note))
            continue
        threshold = cosine_at_fmr(searches.nearest_Q, fpir)
        fnir = float(missed(searches, threshold, max_rank).mean())
        bounds = None
        if mated and others:
            bounds = mated.interval(fnir, _fnirs(searches, fpir, max_rank, mated, others))
        shown = threshold if np.isfinite(threshold) else None
        found.append(OpenSetErrors(fpir, shown, fnir, bounds))
    return found


def missed(searches: Searches, threshold: float, max_rank: int | None) -> np.ndarray:
    """Mated searches whose mate is not above the threshold, or behind `max_rank`: bool [M]."""
    behind_M = searches.rank_M > (max_rank or np.inf)
    return np.asarray((searches.mate_M <= threshold) | behind_M)


def _fnirs(
    searches: Searches, fpir: float, max_rank: int | None, mated: Resampled, others: Resampled
) -> np.ndarray:
    """FNIR at an FPIR in every resampling [R]."""
    order_Q = np.argsort(-searches.nearest_Q, kind="stable")
    descending_Q, index_Q = searches.nearest_Q[order_Q], others.index_X[order_Q]
    fnir_R = np.empty(len(mated.counts_RP))
    for row, (mated_P, others_P) in enumerate(zip(mated.counts_RP, others.counts_RP, strict=True)):
        alarms_Q = np.cumsum(others_P[index_Q])  # weight of the non-mated searches down to each
        place = np.searchsorted(alarms_Q, fpir * alarms_Q[-1], side="right")
        missed_M = missed(searches, float(descending_Q[place]), max_rank)
        weight_M = mated_P[mated.index_X]
        fnir_R[row] = weight_M @ missed_M / weight_M.sum()
    return fnir_R
