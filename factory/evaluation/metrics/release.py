"""All that is measured of a sealed release; the other metrics are made of these types.

A field has the name of its JSON key; json_form.py writes and reads them. Fractions are of one,
cosines are between unit vectors of one recognizer, and None means that there is no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from factory.evaluation.metrics.attack import Attack
from factory.evaluation.metrics.hardness import SetHardness
from factory.evaluation.metrics.json_form import to_json
from factory.evaluation.metrics.lineage import LineageMetrics
from factory.evaluation.metrics.separability import Leakage, Separability
from factory.evaluation.metrics.similarity import Properties, Similarity
from factory.evaluation.metrics.utility import Utility
from factory.evaluation.metrics.values import NotMeasured


@dataclass(frozen=True)
class KeptCounts:
    """Shots planned, and the fraction of all shots that was kept."""

    planned: int
    kept_fraction: float
    source_people: int | None = None
    """People of the source of whom images were kept; None in metrics of older factories."""
    min_kept_fraction: float | None = None
    """filters.min_kept_fraction, below which a release is not published; None: no such limit, or
    it was published when it was measured."""

    @property
    def too_few(self) -> bool:
        """Whether fewer were kept than a published release has."""
        return self.min_kept_fraction is not None and self.kept_fraction < self.min_kept_fraction


@dataclass(frozen=True)
class RecognizerTraining:
    """How many images of how many people the conditioning recognizer learned from."""

    images: int
    identities: int


@dataclass(frozen=True)
class AuditVerdict:
    """Whether it is established that nobody real shows in a release."""

    real_people: bool
    """Whether photographs of people who exist are in its source; of others the audit informs.
    So it was when the release was planned."""
    established: bool
    reason: str
    """Why it is not established; empty where it is."""
    min_power: float
    """audit.min_power."""
    accepted: bool
    """audit.accept_weak_judge: published though it is not established."""
    judge: str | None = None
    """As a config names it, a file or folder without where it lies; None for no judge."""
    judge_sha256: str | None = None
    judge_shares: str = ""
    """What the judge shares with the networks of the release; empty where nothing is known."""
    judge_chose: bool = False
    """Whether this judge also chose which faces stay, by these limits (filters.spare_real_people):
    then it is not independent of them."""


NO_VERDICT = AuditVerdict(
    real_people=True,
    established=False,
    reason="it was measured by an older factory, which kept no verdict of the audit",
    min_power=0.0,
    accepted=False,
)
"""Of a release that was measured before there were verdicts."""


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
    audit: AuditVerdict = NO_VERDICT
    lineage: LineageMetrics | None = None
    """None of a release that was planned by a factory that kept none."""
    edits: dict[str, EditMetrics] | None = None
    """By kind and occluded fraction; None where nothing was edited."""
    utility: Utility | None = None
    """What jobs.utility has measured of the release, if it was run."""
    attack: Attack | None = None
    """What jobs.attack has found of its generator, if it was run."""
    hardness: dict[str, SetHardness] | None = None
    """Of each set of pairs, where the release is a test set."""

    def files(self) -> dict[str, Any]:
        """JSON by file stem of metrics/, without those of jobs.utility and jobs.attack."""
        named = {item.name: getattr(self, item.name) for item in fields(self)}
        del named["utility"], named["attack"]
        bodies = {stem: to_json(value) for stem, value in named.items() if value is not None}
        if not self.audit.judge_chose:
            del bodies["audit"]["judge_chose"]  # as files of other releases were before
        return bodies
