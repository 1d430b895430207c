"""What flows between the rooms of the factory, in the order things come to be (PROTOCOL).

identity -> shot -> face -> verdict -> shard -> manifest. All are frozen; nothing else crosses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from factory.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from factory.config import Config

Log = Callable[[str], None]
"""Takes a line for whoever watches."""
Train = Callable[["Config", Log], dict[str, Any]]
"""A training: config and log to metrics (on rank 0)."""


@dataclass(frozen=True)
class Interval:
    """Bounds of a figure, at 95 %, by resampling people or by counts of them."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value is not outside."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Identity:
    """A row of the roster: somebody who may be drawn. `index` is the class label.

    It goes on after the last of the version that a release extends, so it is the number of a row
    only in a release that extends nothing (`row_of`).
    """

    index: int
    kind: str
    """virtual; real: of the source; edited: of a release whose people are virtual themselves."""
    proposal: str
    attempt: int
    """Proposals refused before this one."""
    nearest_real_cosine: float
    """For a real identity: to the nearest other real one."""
    nearest_other_cosine: float
    num_shots: int
    """Images planned; 0 of a reserve, who is drawn only in somebody's place (plan.on_shortfall)."""
    nearest_other: int = -1
    """Index of the nearest one in the roster; -1 where there is no other."""
    name: str = ""
    """Name in the source, of an identity that comes from there."""
    group: str = ""
    """By identities.attributes, where given."""
    originals: tuple[str, ...] = ()
    """Keys of the source's images that are edited, or of the inquiry image that is copied."""


def row_of(index: int, first: int, num_rows: int) -> int:
    """Row of an identity in a roster of `num_rows` people whose first has the index `first`.

    Raises IntegrityError for somebody who is not in it.
    """
    if not first <= index < first + num_rows:
        raise IntegrityError(
            f"identity {index}: the roster has {first} to {first + num_rows - 1}; use the plan and "
            "the roster of one release"
        )
    return index - first


def person_of(identities: Sequence[Identity], index: int) -> Identity:
    """Somebody in a roster by index; raises IntegrityError for one who is not in it."""
    first = identities[0].index if identities else 0
    return identities[row_of(index, first, len(identities))]


@dataclass(frozen=True)
class Unit:
    """A fixed range of identities that becomes one shard."""

    index: int
    first_identity: int
    num_identities: int
    num_shots: int


@dataclass(frozen=True)
class Shot:
    """The full specification of one image, the place in its batch included."""

    key: str
    identity: int
    image: int
    attempt: int
    seed: int
    sampler: str
    num_steps: int
    guidance: float
    batch: int
    """Batch within the round `attempt` of the unit."""
    slot: int
    timestep_spacing: str = "trailing"
    guidance_from: float = 0.0
    guidance_to: float = 1.0
    negative_identity: int = -1
    """Roster index of the identity that guidance leads away from (its own: from the answer at
    similarity 1); -1: nobody."""
    perturbation_cos: float = 1.0
    """Cosine of the angle by which the condition is turned (IDperturb)."""
    negative_from: float = 1.0
    """Factor on guidance - 1 at the largest noise level (AdaptDiff)."""
    negative_to: float = 1.0
    """The same without noise; linear between."""
    similarity: float | None = None
    """m that the generator is conditioned on (CemiFace)."""
    yaw: float | None = None
    """Degrees, for a generator that is shown five points (VIGFace, ICCV version)."""
    pitch: float | None = None
    """Degrees."""
    prompt: str = ""
    """What a text-to-image model is asked for (ID-Booth, Mask-ControlNet)."""
    original: str = ""
    """Key of the source's image that is edited, or, without an `edit`, of the inquiry image that is
    copied."""
    edit: str = ""
    """What is redrawn of it: a kind of region, or classic (Mask-ControlNet)."""
    occlusion: float | None = None
    """Fraction of the face that the region is to hide."""


Point = tuple[float, float]
"""x and y in pixels; the centers of pixels are whole numbers."""


@dataclass(frozen=True)
class Truth:
    """What is true of a rendered image, because it was rendered so; columns of its metadata.

    Degrees are those of Shot; texts are "" where there is nothing of the kind.
    """

    person: int
    """Number of the person, whom (rendering.seed, person) makes again."""
    view: int
    """Number of the image of that person: shots/plan.py:view_number of image and attempt."""
    landmarks_5: tuple[Point, ...]
    """Eyes, nose tip and mouth corners, by which the image is aligned."""
    landmarks_68: tuple[Point, ...]
    """The points of iBUG 300-W."""
    yaw: float
    """Positive when the nose moves to the right in the image."""
    pitch: float
    """Positive when the face looks up."""
    roll: float
    """Of the head before alignment, which turns it back; positive when it tilts clockwise."""
    expression: str
    light: str
    background: str
    group: str
    """A key of rendering.groups."""
    age: float
    """Years, in this image."""
    hair: str
    """Style of the hair of the head."""
    beard: str
    """Style of the beard; none where there is none."""
    glasses: bool
    """The person's own, worn in this image."""
    sunglasses: str
    hat: str
    mask: str
    scarf: str
    hand: str


@dataclass(frozen=True)
class Rendered:
    """What a renderer knows of an image that was drawn: its truth, and what each pixel shows."""

    truth: Truth
    labels_HW: np.ndarray
    """uint8 values of rendering.parts.Label."""
    occluded: float
    """Fraction of the face that is hidden."""


@dataclass(frozen=True)
class DrawnBatch:
    """Images of a batch by slot, with what their generator knows of them; padding is anything."""

    images_BHWC: np.ndarray
    """RGB uint8 [B, H, W, 3]."""
    originals_BHWC: np.ndarray | None = None
    """The images that were edited."""
    visible_BHWC: np.ndarray | None = None
    """What stays visible of these, the edited region grayed."""
    occluded_B: np.ndarray | None = None
    """Fraction of each face that the region hides; NaN where none could be placed."""
    device_BHWC: torch.Tensor | None = None
    """The images where they were drawn, so that they need not go back there."""
    rendered: dict[int, Rendered] = field(default_factory=dict)
    """Of images that were rendered, by slot."""

    @property
    def for_networks(self) -> np.ndarray | torch.Tensor:
        """The images, on the device that drew them where that is known."""
        return self.images_BHWC if self.device_BHWC is None else self.device_BHWC


@dataclass(frozen=True)
class Scores:
    """What is measured of a face; cosines by the conditioning recognizer, None without one."""

    own_cosine: float | None
    nearest_other: int
    """Roster index of the nearest other identity, -1 where there is none."""
    nearest_other_cosine: float | None
    nearest_real_cosine: float | None
    sharpness: float
    brightness: float
    cr_fiqa: float | None = None
    """Quality by the recognizer's head (CR-FIQA), where filters.min_cr_fiqa asks for it."""
    ser_fiq: float | None = None
    """Agreement of dropout passes (SER-FIQ), where filters.min_ser_fiq asks for it."""
    original_cosine: float | None = None
    """To the image that was edited."""
    visible_cosine: float | None = None
    """To what stays visible of it, the region grayed."""
    occluded: float | None = None
    """Fraction of the face that the region hides, None where none could be placed; of a rendered
    face, that is hidden by what is worn or held before it."""


@dataclass(frozen=True)
class Face:
    """A made image: its JPEG or PNG, and its scores."""

    shot: Shot
    encoded: bytes
    scores: Scores
    truth: Truth | None = None
    """Of a rendered image."""
    masks: dict[str, bytes] = field(default_factory=dict)
    """PNGs of a rendered image by the suffix of their files, as rendering.masks asks for them."""


@dataclass(frozen=True)
class Verdict:
    """Keep a face, or the reason not to."""

    keep: bool
    reason: str = ""


@dataclass(frozen=True)
class Failure:
    """A shot that raised: it is quarantined, its neighbors are not."""

    shot: Shot
    error: str
    traceback: str


@dataclass(frozen=True)
class FileRecord:
    """A file of a release: its name below the release, bytes and digest."""

    name: str
    size: int
    sha256: str
    version: str = ""
    """The version of the same dataset that holds it, of a file that a union refers to."""

    @property
    def path(self) -> str:
        """Where it lies, from the folder of the release that lists it."""
        return f"../{self.version}/{self.name}" if self.version else self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without a version that there is not."""
        body = asdict(self)
        if not self.version:
            del body["version"]
        return body


@dataclass(frozen=True)
class Counts:
    """Shots by outcome; `planned + topups == kept + rejected + quarantined` always."""

    planned: int
    topups: int
    kept: int
    rejected: int
    quarantined: int
    reasons: dict[str, int] = field(default_factory=dict)
    identities: int | None = None
    """Identities that have a kept face; None: counted by a factory that did not tell."""
    short: int | None = None
    """Of these, those with fewer kept faces than were planned of them."""

    @property
    def shots(self) -> int:
        return self.planned + self.topups

    @property
    def shortfall(self) -> int:
        """Planned images that stayed without a kept face after the last round."""
        return self.planned - self.kept

    @property
    def kept_fraction(self) -> float:
        return self.kept / max(self.shots, 1)

    def adds_up(self) -> bool:
        whole = self.kept + self.rejected + self.quarantined == self.shots
        return whole and self.topups >= 0 and 0 <= self.kept <= self.planned

    def plus(self, other: Counts) -> Counts:
        reasons = {
            reason: self.reasons.get(reason, 0) + other.reasons.get(reason, 0)
            for reason in sorted({*self.reasons, *other.reasons})
        }
        return Counts(
            self.planned + other.planned,
            self.topups + other.topups,
            self.kept + other.kept,
            self.rejected + other.rejected,
            self.quarantined + other.quarantined,
            reasons,
            _sum(self.identities, other.identities),
            _sum(self.short, other.short),
        )

    def people_lines(self) -> list[str]:
        """How many identities have images, and how many of them too few; none if nobody counted."""
        if self.identities is None:
            return []
        return [f"{self.identities} have images, {self.short} of them fewer than planned"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


@dataclass(frozen=True)
class Timings:
    """When a unit was begun and committed, by the clock of the machine that made it."""

    started_at: float
    finished_at: float
    sampling_s: float
    """Seconds in the generator."""
    total_s: float
    """Seconds until all its shots were judged; encoding and uploading overlap the next unit."""
    upload_s: float = 0.0
    """Seconds in which its files were written to the store."""
    retries: int = 0
    """Requests to the store that had to be made again meanwhile."""


@dataclass(frozen=True)
class Shard:
    """The commit record of a unit: the only truth that it is done."""

    unit: int
    plan_hash: str
    files: list[FileRecord]
    counts: Counts
    timings: Timings
    attempt: int = 0
    """Times the unit had been begun before, by makers that died."""
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a commit record holds them."""
        files = [file.to_dict() for file in self.files]
        return asdict(self) | {"files": files, "counts": self.counts.to_dict()}


@dataclass(frozen=True)
class UnitResult:
    """What became of a unit: all that its maker knows when it is drawn and judged."""

    unit: int
    plan_hash: str
    counts: Counts
    timings: Timings
    kept: list[Face] = field(default_factory=list)
    rejected: list[tuple[Face, str]] = field(default_factory=list)
    """Without pixels, and why."""
    failures: list[Failure] = field(default_factory=list)
    attempt: int = 0
    """Times the unit had been begun before, by makers that died."""
    remarks: list[str] = field(default_factory=list)
    """What a commit record should tell of the making."""
    tells_truth: bool = False
    """Whether its images are rendered, so that metadata has the columns of Truth."""
    vectors: dict[str, np.ndarray] = field(default_factory=dict, compare=False)
    """Vectors [K, D] of the kept faces, in their order, by the sha256 of the network that gave
    them: what a maker knows and an evaluation need not compute again."""


def total_counts(shards: Iterable[Shard]) -> Counts:
    """Counts of several shards together."""
    total = Counts(0, 0, 0, 0, 0, {}, 0, 0)
    for shard in shards:
        total = total.plus(shard.counts)
    return total


@dataclass(frozen=True)
class BadNode:
    """A node that gets no more actors, and why."""

    address: str
    kind: str
    """What kind of trouble it made, for instance 'store' or 'other machine'."""
    error: str

    def __str__(self) -> str:
        return f"node {self.address} ({self.kind}): {self.error}"


@dataclass(frozen=True)
class Manifest:
    """All shards of a release and where they come from."""

    dataset: str
    version: str
    plan_hash: str
    shards: list[Shard]

    @property
    def counts(self) -> Counts:
        return total_counts(self.shards)


@dataclass(frozen=True)
class Progress:
    """What a job has done for good, as a line of its log, the only one that a program reads.

    `resuming: 5 of 20 units are committed` is logged where an attempt begins with some done,
    `progress: 6 of 20 units are committed` once it has added to them. `jobs.submit` counts attempts
    anew when either number has grown (cluster/submission.py).
    """

    done: int
    total: int
    what: str
    """Units of a plan, or steps of a training, and where."""

    def line(self, word: Literal["resuming", "progress"]) -> str:
        return f"{word}: {self.done} of {self.total} {self.what}"

    @classmethod
    def read(cls, line: str) -> Progress | None:
        """The progress that a line of a log tells, or None."""
        found = re.fullmatch(r"(?:resuming|progress): (\d+) of (\d+) (.+)", line.rstrip())
        return cls(int(found[1]), int(found[2]), found[3]) if found else None
