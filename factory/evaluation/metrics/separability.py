"""How far people of a release are from real people and each other: separability and leakage."""

from __future__ import annotations

from dataclasses import dataclass

from factory.evaluation.metrics.values import Distribution, Interval, NearestCosines, NotMeasured


@dataclass(frozen=True)
class RealStrangers:
    """What the gate's limit means: the fraction of pairs of different real people above it."""

    num_pairs: int
    false_match_rate: float | None
    interval: Interval | None = None
    """Of the rate, at 95 % by resampling people; None in metrics of older factories."""
    limit_interval: Interval | None = None
    """Of the cosine at that rate: where a limit of it lies with as many other people. None where no
    pair is above the limit."""
    num_people: int | None = None


@dataclass(frozen=True)
class FalseMatches:
    """For how many others each person would be taken at the gate's limit, were nobody kept apart.

    It is what a recognizer would get wrong among as many real strangers. The gate leaves none of
    them between the identities themselves, but their images scatter about that limit.
    """

    rate: float
    """Fraction of pairs of real strangers above the limit, by a tail fitted to their cosines."""
    rate_error: float | None
    """Standard error of the rate, as a fraction of it; None where it cannot be told."""
    num_others: int
    """Other people in the release."""
    per_person: float
    """rate x num_others."""


@dataclass(frozen=True)
class ProposalMetrics:
    """What largest cosines of so many random or perfectly packed directions would be."""

    name: str
    num_dims: int
    nearest_of_random: Distribution | None = None
    smallest_possible_cosine: float | None = None


@dataclass(frozen=True)
class MixedPeople:
    """How near mixes of two people (identities.mix) are to the two; vectors, not images."""

    weight: float
    """Of the first parent."""
    num_nearest_to_parent: int
    """Mixes to whom no other identity is as near as one of their parents."""
    between_parents: Distribution
    """Cosines of the two parents of each."""
    nearest_parent: NearestCosines
    """Cosine of each mix to the nearer one of its parents."""


@dataclass(frozen=True)
class Separability:
    """How far virtual identities are from real people and from each other."""

    num_virtual: int
    num_redrawn: int
    max_cosine: float
    """The gate's limit."""
    real_strangers: RealStrangers
    proposal: ProposalMetrics
    nearest_real: NearestCosines | NotMeasured
    nearest_other: NearestCosines | NotMeasured
    false_matches: FalseMatches | None = None
    """None with too few pairs of real strangers, and in metrics of older factories."""
    mixed: MixedPeople | None = None
    """None where nobody is a mix."""


@dataclass(frozen=True)
class LeakCounts:
    """Faces, classes or hashes that are nearer to somebody real than strangers are."""

    count: int
    """All that were compared."""
    num_strangers: int
    limit_cosine: float
    num_leaks: int
    fraction: float
    leaks: list[str | int]
    """Keys of faces, or identities."""
    nearest: Distribution
    num_strangers_above: int | None = None
    """Of real strangers, those above the limit too; None in metrics of older factories."""
    interval: Interval | None = None
    """Of the fraction, at 95 %, people being the trials; the rule of three where no leak is seen.
    None in metrics of older factories."""
    limit_note: str = ""
    """Where the limit rests on too few strangers for its rate: what it is instead."""


@dataclass(frozen=True)
class JudgePower:
    """How often the judge would see a known person at the faces' limit.

    The fraction of pairs of one real person's images above it, mean over people.
    """

    num_people: int
    """With two images or more."""
    num_pairs: int
    fraction: float
    low: float
    """Lower end of the 95 % interval."""
    high: float


@dataclass(frozen=True)
class DoubleLabels:
    """Labels of the source that name one person twice; which ones stays unsaid."""

    count: int
    """Pairs of labels."""
    cosines: list[float]
    """Of their nearest images, the largest first."""


@dataclass(frozen=True)
class AuditedSource:
    """Real images and people that a release was compared with."""

    num_images: int
    num_people: int


@dataclass(frozen=True)
class FractionAbove:
    """A cosine, and the fraction of faces whose nearest real face is above it."""

    cosine: float
    fraction: float


@dataclass(frozen=True)
class PairwiseRates:
    """Fractions of faces above the cosines that a fraction of stranger pairs exceeds."""

    num_pairs: int
    at_fmr: dict[str, FractionAbove]
    """By the fraction of stranger pairs."""


@dataclass(frozen=True)
class NearestPair:
    """A made face that is among the nearest to somebody real; who that is stays unsaid."""

    kind: str
    key: str
    cosine: float


@dataclass(frozen=True)
class Leakage:
    """Whether real people show in a release (METHODS 6)."""

    leak_fpir: float
    max_leak_fraction: float
    source: AuditedSource
    strangers: Distribution
    """Largest cosine of each real image to another person's."""
    faces: LeakCounts
    classes: LeakCounts
    near_copies: LeakCounts
    faces_or_near_copies: float
    pairwise: PairwiseRates | NotMeasured
    nearest_pairs: list[NearestPair]
    power: JudgePower | NotMeasured | None = None
    """None in metrics of older factories."""
    double_labels: DoubleLabels | None = None
    """Left out of the yardstick; None in metrics of older factories."""

    def counts(self) -> dict[str, LeakCounts]:
        """Leaks by kind."""
        return {"faces": self.faces, "classes": self.classes, "near_copies": self.near_copies}
