"""What an inspection finds, as it stands in inspect.json: typed, complete, without NaN."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BINS = 30
"""Bins of a histogram."""


@dataclass(frozen=True)
class Values:
    """Numbers in short; `histogram` counts them between `edges`."""

    count: int
    mean: float
    min: float
    p05: float
    median: float
    p95: float
    max: float
    edges: list[float]
    histogram: list[int]


@dataclass(frozen=True)
class Counted:
    """Something, and how often it is there."""

    name: str
    count: int


@dataclass(frozen=True)
class Contents:
    """What is in a source, before anything is looked at."""

    people: int
    images: int
    looked_at_people: int
    looked_at_images: int
    images_per_person: Values | None
    people_by_num_images: list[tuple[int, int]]
    """(images, people who have so many), the first 50."""
    fewest: list[Counted]
    most: list[Counted]
    bytes: int
    """Of the images that were looked at."""
    formats: list[Counted]
    modes: list[Counted]
    sizes: list[Counted]
    """The most frequent widths x heights."""
    num_sizes: int
    gray_fraction: float
    remarks: list[str]


@dataclass(frozen=True)
class NotRead:
    """Parts of a source that are left out for a reason, with the first names."""

    reason: str
    count: int
    first: list[str]


@dataclass(frozen=True)
class Faces:
    """What a detector finds."""

    aligned_px: int | None
    """Side of images that are aligned already; None: faces were found and aligned."""
    found: int
    none: int
    several: int
    without_face: list[str]
    """Keys of the first images in which no face is found."""
    with_several: list[str]
    eye_px: Values | None
    """Distance of the eyes in the image, pixels."""
    residual_px: Values | None
    """Of aligned images how far aligning them again would move them, else how far their points stay
    from the template: root mean square, pixels at 112."""
    max_residual_px: float
    beyond_fraction: float | None
    worst: list[tuple[str, float]]


@dataclass(frozen=True)
class CopyPair:
    """Two images that are one picture."""

    first: str
    second: str
    kind: str
    """same bytes, nearly the same, or mirrored."""
    bits: int
    """Bits of 255 in which their perceptual hashes differ; 0 for the same bytes."""


@dataclass(frozen=True)
class CopyFindings:
    """Near-duplicates within people and across them."""

    within: int
    across: int
    """Pairs."""
    extra_images: int
    """Images that could go if one of each group of copies stayed."""
    same_bytes: int
    within_pairs: list[CopyPair]
    across_pairs: list[CopyPair]


@dataclass(frozen=True)
class MislabeledImage:
    """An image that does not resemble the others of its person."""

    key: str
    person: str
    cosine: float
    """To the core of its person's other images."""
    num_images: int
    """Of its person; of two, either may be the mislabeled one."""
    nearest: str
    """The person whose images it resembles most."""
    nearest_cosine: float


@dataclass(frozen=True)
class DoubleName:
    """Two people who are likely one."""

    first: str
    second: str
    cosine: float
    by: str
    """means of their images, or two images."""


@dataclass(frozen=True)
class LabelFindings:
    """What a judge doubts of the labels, or why it tells nothing."""

    judge: str
    mislabeled: list[MislabeledImage]
    num_mislabeled: int
    mislabeled_limit: float | None
    mislabeled_found: float | None
    """Fraction of strangers' images below the limit."""
    mislabeled_estimate: int | None
    """How many images are likely somebody else's, by how their scores are distributed."""
    mislabeled_note: str
    mixed_people: list[Counted]
    """People of whom two images or more are mislabeled: perhaps two people under one name."""
    doubles: list[DoubleName]
    num_doubles: int
    doubles_limit: float | None
    doubles_fpir: float
    doubles_note: str


@dataclass(frozen=True)
class PairsOverlap:
    """What of a benchmark's pairs is in the source."""

    file: str
    num_pairs: int
    num_people: int | None
    """None where the file names nobody."""
    same_names: list[str]
    num_same_names: int
    num_same_images: int
    same_images: list[str]
    note: str


@dataclass(frozen=True)
class SetOverlap:
    """What of another dataset is in the source."""

    other: str
    people: int
    images: int
    same_names: list[str]
    num_same_names: int
    num_same_images: int
    """Images of the source that are an image of the other set."""
    same_images: list[CopyPair]
    num_same_people: int | None
    same_people: list[DoubleName]
    people_limit: float | None
    near_images: int | None
    """Images of the source that are nearer to somebody of the other set than strangers are."""
    near_limit: float | None
    near_expected: float | None
    """Fraction of strangers' images that are so near."""
    nearest: list[CopyPair]
    note: str


@dataclass(frozen=True)
class Recipe:
    """A recipe of ours that fits."""

    file: str
    title: str
    why: str
    command: str


@dataclass(frozen=True)
class Inspection:
    """All that was found."""

    source: str
    kind: str
    contents: Contents
    left_out: list[NotRead]
    corrupt: int
    corrupt_first: list[str]
    faces: Faces
    looks: dict[str, Values | None]
    """Brightness, contrast, sharpness, yaw, pitch, roll, score and quality."""
    copies: CopyFindings
    labels: LabelFindings | None
    judge_note: str
    pairs: PairsOverlap | None
    against: SetOverlap | None
    warnings: list[str] = field(default_factory=list)
    """What should be repaired or known before it is used."""
    notes: list[str] = field(default_factory=list)
    """How it was read, and what was not looked for: nothing is wrong."""
    recipes: list[Recipe] = field(default_factory=list)

    @property
    def has_findings(self) -> bool:
        """Whether something should be repaired or known before it is used."""
        return bool(self.warnings)

    def to_json(self) -> bytes:
        """UTF-8 JSON, in which what is not a number is null."""
        return (json.dumps(_plain(self), indent=1, allow_nan=False) + "\n").encode()


def values(numbers: np.ndarray) -> Values | None:
    """Numbers in short; those that are none do not count, and None stands for no number."""
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    low, high = float(numbers.min()), float(numbers.max())
    ends = (low, high) if high > low else (low - 0.5, low + 0.5)
    counts, edges = np.histogram(numbers, BINS, ends)
    p05, median, p95 = (float(np.quantile(numbers, q)) for q in (0.05, 0.5, 0.95))
    mean = float(numbers.mean())
    histogram = edges.tolist(), counts.tolist()
    return Values(len(numbers), mean, low, p05, median, p95, high, *histogram)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
