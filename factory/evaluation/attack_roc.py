"""ROC of scores of people: intervals by resampling people, chances by shuffling the two sides.

A person is the unit: images of one person are not independent, so each person has one score, the
mean over the person's images, and whole people are resampled, each side for itself (Efron &
Tibshirani 1993, chapter 13). Several scores are looked at, so what counts is how often sides that
are shuffled make any of them as good (Westfall & Young 1993, single-step maxT), which is exact for
sides that do not differ. Low false positive rates are what an attack is judged by (Carlini et al.
2022, "Membership inference attacks from first principles").

Shapes: N images, P members, Q held-out people, K scores, R resamplings or shuffles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from factory.evaluation.metrics.attack import (
    AttackScore,
    FalseAlarms,
    RateAtFewFalseAlarms,
    Uses,
)
from factory.recognition.resampling import CONFIDENCE, POWER, interval, rule_of_three
from factory.seeds import stream_seed

RESAMPLINGS = SHUFFLES = 4000
WANTED_RATE = 0.01
"""False positive rate at which an attack is judged."""
AT_ONCE = 500
"""Resamplings whose limits are found together."""


def person_means(values_N: np.ndarray, person_N: np.ndarray) -> np.ndarray:
    """Mean of each person's values; people are numbered from 0 without gaps."""
    sums = np.bincount(person_N, values_N.astype(np.float64))
    return np.asarray(sums / np.bincount(person_N))


def false_alarms(num_heldout: int) -> FalseAlarms:
    """How many held-out people may lie above a limit, and which rate that stands for.

    With none of n the rate is below 3/n at 95 % (Hanley & Lippman-Hand 1983).
    """
    allowed = math.floor(WANTED_RATE * num_heldout + 1e-9)
    return FalseAlarms(
        wanted=WANTED_RATE,
        allowed=allowed,
        rate=allowed / num_heldout,
        largest_rate=_largest_rate(allowed, num_heldout),
        is_resolved=allowed > 0,
    )


def _largest_rate(events: int, count: int) -> float:
    """95 % upper bound of a rate: 3/n for no event, else by Poisson's mean (bisection)."""
    if not events:
        return rule_of_three(count)
    low, high = float(events), 20.0 + 3 * events
    for _ in range(60):
        mean = (low + high) / 2
        terms = (
            math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(events + 1)
        )
        low, high = (mean, high) if sum(terms) > 1 - CONFIDENCE else (low, mean)
    return min(high / count, 1.0)


def detectable_auc(num_members: int, num_heldout: int) -> float:
    """Smallest AUC whose 95 % interval leaves out .5 with a chance of 80 %, about.

    By the deviation of the AUC without a difference, sqrt((P+Q+1)/(12PQ)) (Mann & Whitney 1947).
    """
    both = num_members * num_heldout
    deviation = math.sqrt((num_members + num_heldout + 1) / (12 * both))
    normal = NormalDist()
    factor = normal.inv_cdf((1 + CONFIDENCE) / 2) + normal.inv_cdf(POWER)
    return min(0.5 + factor * deviation, 1.0)


def auc(member_P: np.ndarray, heldout_Q: np.ndarray) -> float:
    """Chance that a member's score is larger; equal ones count half."""
    return float(_wins(member_P, heldout_Q).mean())


def tpr_at(member_P: np.ndarray, heldout_Q: np.ndarray, allowed: int) -> float:
    """Fraction of members above a limit that at most `allowed` held-out people exceed."""
    limit = np.sort(heldout_Q)[::-1][allowed]
    return float((member_P > limit).mean())


def _wins(member_P: np.ndarray, heldout_Q: np.ndarray) -> np.ndarray:
    difference = member_P[:, None] - heldout_Q[None]
    return np.asarray((difference > 0) + 0.5 * (difference == 0), np.float64)


@dataclass(frozen=True)
class Resampling:
    """How often each person comes in every resampling: counts [R, P] and [R, Q]."""

    members_RP: np.ndarray
    heldout_RQ: np.ndarray

    @classmethod
    def of(
        cls, num_members: int, num_heldout: int, seed: int, count: int = RESAMPLINGS
    ) -> Resampling:
        """The same counts for the same seed, by Philox."""
        rng = np.random.Generator(np.random.Philox(stream_seed("attack people", seed)))
        sides = [
            rng.multinomial(size, np.full(size, 1 / size), count).astype(np.float64)
            for size in (num_members, num_heldout)
        ]
        return cls(*sides)

    def aucs(self, member_P: np.ndarray, heldout_Q: np.ndarray) -> np.ndarray:
        """The AUC in every resampling [R]."""
        wins_RQ = self.members_RP @ _wins(member_P, heldout_Q)
        pairs = len(member_P) * len(heldout_Q)
        return np.asarray((wins_RQ * self.heldout_RQ).sum(1) / pairs)

    def tprs(self, member_P: np.ndarray, heldout_Q: np.ndarray, allowed: int) -> np.ndarray:
        """The rate of `tpr_at` in every resampling [R]."""
        order = np.argsort(-heldout_Q, kind="stable")
        above_RQ = np.cumsum(self.heldout_RQ[:, order], 1) > allowed
        limit_R = heldout_Q[order][above_RQ.argmax(1)]
        parts = []
        for start in range(0, len(limit_R), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            found_RP = member_P[None] > limit_R[rows, None]
            parts.append((found_RP * self.members_RP[rows]).sum(1) / len(member_P))
        return np.concatenate(parts)


def chances(
    scores_KP: np.ndarray, num_members: int, seed: int, count: int = SHUFFLES
) -> np.ndarray:
    """How often shuffled sides have some score with an AUC as far from .5 as each of these [K].

    Of all people, members first. What is given counts as one of the shuffles.
    """
    num_scores, num_people = scores_KP.shape
    num_heldout = num_people - num_members
    rng = np.random.Generator(np.random.Philox(stream_seed("attack sides", seed)))
    sides_RP = np.tile(np.arange(num_people) < num_members, (count + 1, 1))
    sides_RP[1:] = rng.permuted(sides_RP[1:], axis=1)
    ranks_KP = np.stack([_midranks(score_P) for score_P in scores_KP])
    sums_KR = ranks_KP @ sides_RP.T.astype(np.float64)
    least = num_members * (num_members + 1) / 2
    far_KR = np.abs((sums_KR - least) / (num_members * num_heldout) - 0.5)
    return np.array([(far_KR.max(0) >= far_KR[k, 0] - 1e-9).mean() for k in range(num_scores)])


def _midranks(score_P: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal scores share the mean of theirs."""
    _, which, counts = np.unique(score_P, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[which])


def attack_score(
    name: str,
    uses: Uses,
    person_scores: np.ndarray,
    num_members: int,
    resampling: Resampling,
    chance: float,
) -> AttackScore:
    """All figures of a score (one value a person, members first), whose `chance` is known."""
    member_P, heldout_Q = person_scores[:num_members], person_scores[num_members:]
    aucs, allowed = resampling.aucs(member_P, heldout_Q), false_alarms(len(heldout_Q)).allowed
    rates = resampling.tprs(member_P, heldout_Q, allowed)
    return AttackScore(
        name=name,
        uses=uses,
        auc=auc(member_P, heldout_Q),
        interval=interval(aucs),
        chance=chance,
        at_few_false_alarms=RateAtFewFalseAlarms(
            tpr_at(member_P, heldout_Q, allowed), interval(rates)
        ),
    )
