"""What is measured of a sealed release: the contents of metrics/*.json as types.

A field has the name of its JSON key; metrics_json.py writes and reads them. Fractions are of one,
cosines are between unit vectors of one recognizer, and None means that there is no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from factory.evaluation.metrics_json import to_json
from factory.evaluation.utility_metrics import Utility
from factory.evaluation.values import Distribution, MeanStd, NearestCosines, NotMeasured


@dataclass(frozen=True)
class KeptCounts:
    """Shots planned, and the fraction of all shots that was kept."""

    planned: int
    kept_fraction: float


@dataclass(frozen=True)
class RecognizerTraining:
    """How many images of how many people the conditioning recognizer learned from."""

    images: int
    identities: int


@dataclass(frozen=True)
class PairMetrics:
    """How well genuine and impostor pairs are told apart by their cosines."""

    auc: float
    eer: float
    fdr: float
    """Fisher's ratio: squared distance of the means over the sum of the variances."""
    fmr100: float
    """Lowest false non-match rate at a false match rate of 1 %."""
    fmr1000: float
    """The same at 0.1 %."""
    roc: list[tuple[float, float]]
    """(false accept rate, true accept rate)."""
    genuine: Distribution
    impostor: Distribution


@dataclass(frozen=True)
class Overlap:
    """Intersection over union of the release's and the source's histograms of cosines."""

    genuine: float | None = None
    impostor: float | None = None


@dataclass(frozen=True)
class Similarity:
    """Who looks like whom, by one recognizer."""

    release: PairMetrics | NotMeasured
    source: PairMetrics | NotMeasured
    overlap: Overlap
    nearest_real: Distribution
    """Largest cosine of each made face to a face of the source."""
    source_nearest_other_person: Distribution
    """Largest cosine of each face of the source to one of another person."""
    made_vs_photographs: PairMetrics | NotMeasured | None = None
    """Made images of real people against photographs of them and of others; None without any."""


@dataclass(frozen=True)
class Consistency:
    """How alike the images of a class are, and how far from other classes (METHODS 1, 7)."""

    num_classes: int
    ccs: Distribution
    """Cosine of each face to the center of its own class."""
    within_class: Distribution | None = None
    """Mean cosine of the pairs of each class; None where no class has two images."""
    nnccs: Distribution | None = None
    """Largest cosine of each face to the center of another class; None with one class."""
    ccs_minus_nnccs: float | None = None
    ccs_over_nnccs: float | None = None
    nearest_center: Distribution | None = None
    """Largest cosine of each center to another one."""


@dataclass(frozen=True)
class Fidelity:
    """How alike two sets of features are (fidelity.py)."""

    num_made: int
    num_real: int
    fid: float
    cmmd: float
    precision: float
    recall: float


@dataclass(frozen=True)
class RecognizerProperties:
    """Properties of the release and its source in the space of one recognizer."""

    release: Consistency
    source: Consistency
    fidelity: Fidelity | NotMeasured


@dataclass(frozen=True)
class QualityScores:
    """CR-FIQA scores of the release's faces and of the source's."""

    release: MeanStd
    source: MeanStd


@dataclass(frozen=True)
class ReferenceSet:
    """A further set of real faces, and how alike the release and it are in each space."""

    num_images: int
    fidelity: dict[str, Fidelity | NotMeasured]
    quality: MeanStd | None = None


@dataclass(frozen=True)
class Duplicates:
    """Fractions of faces whose pixel hash is nearly that of another face."""

    min_cosine: float
    """Cosine of two hashes from which they count as duplicates."""
    within_identity: float
    across_identities: float


@dataclass(frozen=True)
class Properties:
    """What a release is like as a set: alike within classes, unlike between, like the source."""

    recognizers: dict[str, RecognizerProperties]
    """By "recognizer" (which conditions) and "judge"."""
    features: dict[str, Fidelity | NotMeasured]
    """By the names of further networks."""
    quality: QualityScores | None
    """None where features.quality names no head."""
    reference_sets: dict[str, ReferenceSet]
    duplicates: Duplicates


@dataclass(frozen=True)
class RealStrangers:
    """What the gate's limit means: the fraction of pairs of different real people above it."""

    num_pairs: int
    false_match_rate: float | None


@dataclass(frozen=True)
class ProposalMetrics:
    """What largest cosines of so many random or perfectly packed directions would be."""

    name: str
    num_dims: int
    nearest_of_random: Distribution | None = None
    smallest_possible_cosine: float | None = None


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
    same_person_above: float | None
    """Fraction of genuine pairs above the faces' limit; None without such pairs."""
    faces: LeakCounts
    classes: LeakCounts
    near_copies: LeakCounts
    faces_or_near_copies: float
    pairwise: PairwiseRates | NotMeasured
    nearest_pairs: list[NearestPair]

    def counts(self) -> dict[str, LeakCounts]:
        """Leaks by kind."""
        return {"faces": self.faces, "classes": self.classes, "near_copies": self.near_copies}


@dataclass(frozen=True)
class YawDeviation:
    """Standard deviation of yaw in degrees, over all images and within identities."""

    num_images: int
    num_detected: int
    yaw_std_deg: float
    yaw_std_within_identity_deg: float


@dataclass(frozen=True)
class Pose:
    """Yaw of the release and of its source."""

    release: YawDeviation | NotMeasured
    source: YawDeviation | NotMeasured


@dataclass(frozen=True)
class ScoreDeviation:
    """D_k, the standard deviation of a score within identity k, over identities (METHODS 1)."""

    num_identities: int
    mean: float
    std: float
    of_all_images: float


@dataclass(frozen=True)
class Diversity:
    """How different the images of an identity are."""

    pose: Pose | NotMeasured
    within_identity: dict[str, ScoreDeviation | NotMeasured]
    """By score."""


@dataclass(frozen=True)
class GroupBalance:
    """Size and separability of a group of virtual identities."""

    count: int
    fraction: float
    quota: float | None
    mean_attempts: float
    mean_cosine_within: float | None
    nearest_other_mean: float
    nearest_real_mean: float


@dataclass(frozen=True)
class Balance:
    """Groups of virtual identities, and how often groups of real people left out were right."""

    left_out_accuracy: float | None
    groups: dict[str, GroupBalance]


@dataclass(frozen=True)
class Throughput:
    """How fast a release was made."""

    wall_s: float
    busy_s: float
    sampling_s: float
    faces_per_s: float
    sampling_fraction_of_busy_time: float
    mean_makers_at_work: float


@dataclass(frozen=True)
class EditMetrics:
    """Edits of one kind: how many, the fraction hidden, and cosines to the original."""

    count: int
    occluded: float | None
    original_cosine: float | None
    visible_cosine: float | None


@dataclass(frozen=True)
class Metrics:
    """All that is known of a sealed release; each field is a file of metrics/."""

    counts: KeptCounts
    recognizer_training: RecognizerTraining | NotMeasured
    similarity: dict[str, Similarity]
    """By "recognizer" (which conditions) and "judge"."""
    properties: Properties
    separability: Separability
    leakage: Leakage | NotMeasured
    diversity: Diversity
    balance: Balance | NotMeasured
    throughput: Throughput
    edits: dict[str, EditMetrics] | None = None
    """By kind and occluded fraction; None where nothing was edited."""
    utility: Utility | None = None
    """What jobs.utility has measured of the release, if it was run."""

    def files(self) -> dict[str, Any]:
        """JSON by file stem of metrics/, of all that `evaluate` measures (so without utility)."""
        named = {item.name: getattr(self, item.name) for item in fields(self)}
        del named["utility"]
        return {stem: to_json(value) for stem, value in named.items() if value is not None}
