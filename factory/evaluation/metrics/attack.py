"""What an attack on a generator found, as metrics/attack.json holds it: no figure of one person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from factory.evaluation.metrics.values import Interval

Uses = Literal["generator", "recognizer", "nothing"]
"""What a score asks: the generator, the recognizer alone, or neither (a blind baseline)."""
Nobody = Literal["nobody", "virtual people"]
"""Whose embeddings are no real person's: none at all, or those of a release's roster."""
Finding = Literal["told_apart", "undecided", "not_told_apart"]
Membership = Literal["recorded", "unrecorded", "contradicted"]
"""Whether the records of a generator, and of those it began with, hold all of the members."""

MAX_CHANCE = 0.05
"""Largest chance of a finding that is not put down to chance."""


@dataclass(frozen=True)
class RateAtFewFalseAlarms:
    """Fraction of members that a score finds, at a limit that few held-out people exceed."""

    tpr: float
    interval: Interval
    """At 95 %."""


@dataclass(frozen=True)
class AttackScore:
    """How well one score tells members from held-out people; larger means more like a member."""

    name: str
    uses: Uses
    auc: float
    """Chance that a member has a larger score than somebody held out."""
    interval: Interval
    """Of the AUC, at 95 %."""
    chance: float
    """How often some score of its kind is as far from .5 when the two sides are shuffled."""
    at_few_false_alarms: RateAtFewFalseAlarms

    @property
    def is_beyond_chance(self) -> bool:
        """Whether shuffled sides come as far in at most one of twenty trials."""
        return self.chance <= MAX_CHANCE

    @property
    def is_beyond_own_interval(self) -> bool:
        """Whether its interval leaves out .5."""
        return not self.interval.holds(0.5)


@dataclass(frozen=True)
class AttackSide:
    """People of one side, and how many draws were made at their embeddings."""

    people: int
    images: int
    draws: int
    near_copies: int
    """Draws whose perceptual hash is nearly that of an image of their person."""


@dataclass(frozen=True)
class FreeDraws:
    """Draws at nobody's embedding: how many are nearest to a member, and how many would by chance.

    By chance it is the share of members among the people who are compared with.
    """

    condition: Nobody
    draws: int
    nearest_is_member: int
    expected: float
    interval: Interval
    """Of nearest_is_member, at 95 %, by resampling people."""
    near_copies: int
    """Draws whose perceptual hash is nearly that of some real image."""


@dataclass(frozen=True)
class FalseAlarms:
    """Where the limit of `RateAtFewFalseAlarms` lies."""

    wanted: float
    """False positive rate that was asked for."""
    allowed: int
    """Held-out people above the limit."""
    rate: float
    """Their fraction."""
    largest_rate: float
    """With no more than that, the rate is below this at 95 % (rule of three for none)."""
    is_resolved: bool
    """Whether there are enough held-out people for the rate that was asked for."""


@dataclass(frozen=True)
class Attack:
    """All that was found; `finding` is made of the scores that use the generator."""

    generator: str
    """sha256 of its weights."""
    space: Literal["judge", "recognizer"]
    """By what cosines between faces are measured."""
    membership: Membership
    """Whether the generator's records say that it learned from the members."""
    members: AttackSide
    heldout: AttackSide
    false_alarms: FalseAlarms
    scores: list[AttackScore]
    free_draws: list[FreeDraws]
    detectable_auc: float
    """AUC that so many people show beyond a 95 % interval four times of five."""
    finding: Finding
    settings: dict[str, float | int | list[float]] = field(default_factory=dict)
    """Numbers of the section `attack`."""

    def using(self, *uses: Uses) -> list[AttackScore]:
        """Scores by what they ask."""
        return [score for score in self.scores if score.uses in uses]


def finding_of(scores: list[AttackScore]) -> Finding:
    """What scores that use the generator say together; in either direction."""
    own = [score for score in scores if score.uses == "generator"]
    if any(score.is_beyond_chance for score in own):
        return "told_apart"
    return "undecided" if any(score.is_beyond_own_interval for score in own) else "not_told_apart"
