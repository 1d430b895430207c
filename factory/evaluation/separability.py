"""Is everybody in a release apart from real people and from each other (METHODS 5, 6)?

The gate's certificate in metrics, and the same computed anew from the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from factory.config import Config
from factory.errors import IntegrityError
from factory.evaluation.metrics.separability import (
    FalseMatches,
    ProposalMetrics,
    RealStrangers,
    Separability,
)
from factory.evaluation.metrics.values import (
    NearestCosines,
    NotMeasured,
    distribution,
    nearest_cosines,
)
from factory.evaluation.mixes import mixed_people, refuse_other_mixes
from factory.identities.cosine_tail import GROUPS, fit_tail
from factory.identities.gallery import Gallery, itself
from factory.identities.gallery_files import check_galleries, open_here
from factory.identities.gate import nearest_of
from factory.identities.packing import nearest_of_random, smallest_possible_cosine
from factory.identities.rendered_people import rendered_vectors
from factory.identities.roster import Roster
from factory.identities.roster_building import class_centers, open_recognizer
from factory.recognition.resampled_figures import cosines_at_fmr, fmrs_at, intervals
from factory.recognition.resampled_scores import AllPairs
from factory.shards.plan_files import difference_from, earlier_vectors, refuse_other_inputs
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.store import Store

BLOCK = 4096
LEAST_PAIRS = 1000
"""Pairs of strangers below which no tail is fitted."""
STRANGERS_TAIL = 1e-3
"""Fraction of them that the tail is fitted to, of at least LEAST_TOP."""
LEAST_TOP = 200
AGREEMENT = 2e-6
"""Largest difference from the roster's cosines, which have six decimals."""
LOOSE_AGREEMENT = 1e-3
"""The same for real people's centers, embedded again on what may not be the driver's machine: a
plan with a canary tells that of the makers."""


def separability(
    plan: Plan, roster: Roster, impostor: np.ndarray, people: AllPairs | None = None
) -> Separability:
    """The gate's limit, what it means among strangers, and how near virtual identities come to it.

    `impostor` are cosines of images of different real people by the conditioning recognizer. Each
    identity's own cosines are columns of roster.parquet. `people` holds the same pairs by who is in
    them, for intervals.
    """
    is_virtual_N, limit = roster.virtual_N, plan.request.max_cosine
    num_virtual = int(is_virtual_N.sum())
    return Separability(
        num_virtual=num_virtual,
        num_redrawn=int((roster.column("attempt")[is_virtual_N] > 0).sum()),
        max_cosine=limit,
        real_strangers=real_strangers(impostor, limit, people),
        proposal=_proposal(plan, num_virtual, roster.unit_ND.shape[1]),
        nearest_real=_nearest(roster.column("nearest_real_cosine")[is_virtual_N]),
        nearest_other=_nearest(roster.column("nearest_other_cosine")[is_virtual_N]),
        false_matches=false_matches(impostor, limit, len(roster.identities)),
        mixed=mixed_people(roster),
    )


def real_strangers(
    impostor: np.ndarray, limit: float, people: AllPairs | None = None
) -> RealStrangers:
    """The rate of strangers at a limit, and by resampling people how sure it and the limit are."""
    rate = float((impostor >= limit).mean()) if len(impostor) else None
    if rate is None or people is None:
        return RealStrangers(len(impostor), rate)
    parts = list(people.resampled(seed=0))
    rates_R = np.concatenate([fmrs_at(part, limit) for part in parts])
    interval = intervals({"fmr": rate}, {"fmr": rates_R}, people.num_strangers // 2)["fmr"]
    limits_R = np.concatenate([cosines_at_fmr(part, rate) for part in parts])
    limits = intervals({"limit": limit}, {"limit": limits_R}, people.num_strangers)["limit"]
    return RealStrangers(
        num_pairs=len(impostor),
        false_match_rate=rate,
        interval=interval,
        limit_interval=limits if rate else None,
        num_people=people.num_strangers,
    )


@dataclass(frozen=True)
class LargestCosines:
    """Largest cosines of virtual identities to real people and to other identities."""

    real: float = -1.0
    other: float = -1.0


def gate_lines(plan: Plan, roster: Roster, largest: LargestCosines) -> list[str]:
    """What `audit` has found, line by line."""
    if not roster.virtual_N.any():
        return [f"{len(roster.identities)} identities of the source; nobody passed a gate"]
    return [
        f"{len(roster.identities)} identities, gate {plan.request.max_cosine}",
        f"largest cosine to a real person {largest.real:.6f}",
        f"largest cosine to another       {largest.other:.6f}",
        "gate       holds, computed anew",
    ]


def audit(
    config: Config,
    plan: Plan,
    roster: Roster,
    source: FaceSource,
    dataset: Store,
) -> LargestCosines:
    """Compute the roster's cosines anew from its vectors and all that it was kept apart from.

    That is the recognizer, the source, the people of identities.gallery and the identities of
    earlier releases, in `dataset`. Raises IntegrityError for the first identity whose cosines are
    not those of the roster, or not below the gate, and for a mix that is not its parents' mix.
    """
    refuse_other_inputs(config, plan, source)
    if plan.request.rendering:
        return _audit_rendered(plan, roster)
    refuse_other_mixes(roster)
    recognizer = open_recognizer(config)
    planned = plan.request.identities
    if check_galleries(config, recognizer.dim, recognizer.sha256) != planned.gallery:
        raise IntegrityError(
            "identities.gallery: is not what the release was planned with; use those files"
        )
    further = open_here(config)
    unit_earlier_ED = earlier_vectors(dataset, planned.extends)
    elsewhere = plan.canary is not None or difference_from(plan, recognizer.device) is not None
    centers_ND, _ = class_centers(recognizer, source, config.source.max_corrupt_fraction)
    unit_ND = np.ascontiguousarray(roster.unit_virtual_VD, np.float32)
    virtual = np.flatnonzero(roster.virtual_N)
    agreement = LOOSE_AGREEMENT if elsewhere else AGREEMENT
    gallery = Gallery(recognizer.dim)
    for part in (recognizer.unit_real, centers_ND):
        gallery.add(part)
    num_real, limit = len(gallery), plan.request.max_cosine
    if unit_earlier_ED is not None:
        gallery.add(unit_earlier_ED)
    num_before = len(gallery)
    gallery.add(unit_ND)
    largest = LargestCosines()
    for start in range(0, len(unit_ND), BLOCK):
        part = unit_ND[start : start + BLOCK]
        rows = virtual[start : start + len(part)]
        real = nearest_of(part, gallery, num_real, further)
        own = itself(num_before + start, len(part))
        other = gallery.nearest(part, first=num_real, without=own)
        _compare("real", roster, rows, real, agreement, limit)
        _compare("other", roster, rows, other, AGREEMENT, limit)
        largest = LargestCosines(
            max(largest.real, float(real.max())), max(largest.other, float(other.max()))
        )
    return largest


def _audit_rendered(plan: Plan, roster: Roster) -> LargestCosines:
    """The same of rendered people, whose vectors are drawn anew from their numbers."""
    assert plan.request.rendering is not None
    unit_ND = rendered_vectors(roster.people, plan.request.rendering.rendering)
    if not np.array_equal(unit_ND, roster.unit_ND):
        raise IntegrityError(
            "embeddings.npy: holds other traits than those of the people of the roster; restore it"
        )
    gallery = Gallery(unit_ND.shape[1])
    gallery.add(unit_ND)
    other = gallery.nearest(unit_ND, without=itself(0, len(unit_ND)))
    _compare("other", roster, np.arange(len(unit_ND)), other, AGREEMENT, plan.request.max_cosine)
    return LargestCosines(other=float(other.max(initial=-1.0)))


def _compare(
    kind: Literal["real", "other"],
    roster: Roster,
    rows: np.ndarray,
    cosine_B: np.ndarray,
    agreement: float,
    limit: float,
) -> None:
    """Raise IntegrityError for a cosine that is not the roster's, or not below the gate's limit."""
    listed_B = roster.column(f"nearest_{kind}_cosine")[rows]
    wrong_B = (np.abs(cosine_B - listed_B) > agreement) | (cosine_B >= limit)
    if wrong_B.any():
        first = int(wrong_B.argmax())
        raise IntegrityError(
            f"identity {roster.first_identity + int(rows[first])}: cosine to the nearest {kind} "
            f"identity is {cosine_B[first]:.6f}; the roster says {listed_B[first]:.6f}, the gate "
            f"{limit:.6f}"
        )


def _proposal(plan: Plan, num_virtual: int, dim: int) -> ProposalMetrics:
    """What a largest cosine of so many identities is worth.

    It is compared with that of random directions in the dimensions which the proposal uses, and
    with the one that no packing in them can undercut.
    """
    identities = plan.request.identities
    if identities.proposal in ("pca", "packing"):
        dim = min(dim, identities.pca_dims + 1)  # because draws are a mean and its axes
    if num_virtual < 2:
        return ProposalMetrics(identities.proposal, dim)
    return ProposalMetrics(
        name=identities.proposal,
        num_dims=dim,
        nearest_of_random=distribution(nearest_of_random(num_virtual - 1, dim)),
        smallest_possible_cosine=smallest_possible_cosine(num_virtual, dim),
    )


def false_matches(impostor: np.ndarray, limit: float, num_people: int) -> FalseMatches | None:
    """For how many others each of `num_people` strangers would be taken at a cosine of `limit`.

    The rate is far below one pair of those measured, so it is that of a tail fitted to the largest
    of them. `impostor` holds pairs in the order of people, so contiguous ones share them, which the
    error's jackknife needs. None for fewer than LEAST_PAIRS pairs.
    """
    if len(impostor) < LEAST_PAIRS or not num_people:
        return None
    num_top = max(int(STRANGERS_TAIL * len(impostor)), LEAST_TOP)
    top_P = np.argpartition(-impostor, num_top - 1)[:num_top]
    tail = fit_tail(impostor[top_P], len(impostor), top_P * GROUPS // len(impostor))
    threshold, rate = tail.fit.threshold, tail.rate(limit)
    if limit < threshold:
        rate = float((impostor >= limit).mean())
    error = tail.error(max(limit, threshold))
    return FalseMatches(
        rate=rate,
        rate_error=error if np.isfinite(error) else None,
        num_others=num_people - 1,
        per_person=rate * (num_people - 1),
    )


def _nearest(cosines: np.ndarray) -> NearestCosines | NotMeasured:
    if not len(cosines):
        return NotMeasured("n/a: no virtual identity")
    return nearest_cosines(cosines)
