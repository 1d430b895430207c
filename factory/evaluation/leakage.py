"""Do real people show in a release? The audit on pixels that comes after the gate (METHODS 6).

In a judge's space, which no generator was conditioned on, every kept face and every class center is
compared with every real image and center. Strangers look alike too, so the yardstick is the real
set itself: a leak is nearer to somebody than all but a fraction `leak_fpir` of the real images (or
centers) are to another person of the same gallery. Copies are found alike in the space of a
perceptual hash.

Faces are compared unit by unit where units are measured (`compare_unit`); what is kept of it are
counts, a tally and the largest cosines (`LeakageTally`). Memory: about 10*D bytes a real image
where faces are compared. Time: one inner product a face and gallery vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config import AuditConfig
from factory.errors import LeakError
from factory.evaluation.metrics.separability import (
    AuditedSource,
    DoubleLabels,
    FractionAbove,
    JudgePower,
    Leakage,
    LeakCounts,
    NearestPair,
    PairwiseRates,
)
from factory.evaluation.metrics.values import NotMeasured, distribution
from factory.evaluation.real_people import RealPeople
from factory.evaluation.tallies import CosineTally, Near, nearest_first
from factory.evaluation.yardstick import (
    MAX_PAIRED,
    DoubleLabel,
    Yardstick,
    judge_power,
    own_pairs,
)
from factory.quality.real_limits import is_leak, leak_limit
from factory.recognition.resampling import rate_interval
from factory.recognition.verification import cosine_at_fmr, pair_cosines

FMRS = (1e-3, 1e-4)
"""Fractions of stranger pairs that give the pairwise rates."""
TOP = 20
"""Nearest pairs that are listed and shown."""
LEAKS = {
    "faces": "faces are nearer to somebody of the source than its strangers are",
    "classes": "identities are nearer to somebody of the source than its strangers are",
    "near_copies": "faces are near-copies of source images",
}
"""What a leak of each kind is, in words."""

CHOSE = (
    "this judge also chose which faces stay (filters.spare_real_people), so it is not independent "
    "of them; jobs.audit with another judge.checkpoint lets a further one look"
)
"""What is said of leaks that makers were told to leave out."""


@dataclass(frozen=True)
class Pair:
    """A kept face, by unit and metadata row, and the real image that is nearest to it.

    `real_index` is the index of that image in the source, nearest in the judge's space (faces) or
    among hashes (near_copies).
    """

    kind: str
    unit: int
    row: dict[str, Any]
    real_index: int
    cosine: float


@dataclass(frozen=True)
class Audit:
    """The metrics, and the nearest pairs for the report."""

    metrics: Leakage
    pairs: list[Pair]
    lookalikes: list[tuple[int, int, float]]
    """Indices in the source of images of two people, and their cosine: the nearest first."""
    doubles: tuple[DoubleLabel, ...]
    """Labels of the source that name one person twice, which were taken for one."""


class LeakTest:
    """Which faces, classes or hashes are nearer to somebody real than strangers are.

    A leak is nearer than all but a fraction `leak_fpir` of `strangers` (cosines of real images to
    the nearest other person), or equal.
    """

    def __init__(self, strangers: np.ndarray, leak_fpir: float) -> None:
        self._strangers, self._leak_fpir = strangers, leak_fpir
        self.limit = leak_limit(strangers, leak_fpir)
        self._tally = CosineTally()
        self._leaks: list[str | int] = []

    def add(self, names: Sequence[str] | Sequence[int], cosines: np.ndarray) -> np.ndarray:
        """Look at some more of them; which are leaks, bool [N]."""
        found = is_leak(cosines, self.limit)
        self._tally.add(cosines)
        self._leaks += [names[i] for i in np.flatnonzero(found).tolist()]
        return found

    @property
    def count(self) -> int:
        """How many were looked at."""
        return self._tally.count

    def counts(self, num_people: int) -> LeakCounts:
        """What was found, of so many people: trials that do not depend on each other.

        A mean over n people of values in [0, 1] varies at most like a fraction of n, so the
        interval is never too narrow (yardstick.py).
        """
        fraction = len(self._leaks) / self.count
        return LeakCounts(
            count=self.count,
            num_strangers=len(self._strangers),
            limit_cosine=self.limit,
            num_leaks=len(self._leaks),
            fraction=fraction,
            interval=rate_interval(fraction * num_people, num_people),
            limit_note=self._limit_note(),
            leaks=self._leaks,
            nearest=self._tally.distribution(),
            num_strangers_above=int(is_leak(self._strangers, self.limit).sum()),
        )

    def _limit_note(self) -> str:
        """What the limit is where there are too few strangers for its rate."""
        num, fpir = len(self._strangers), self._leak_fpir
        if num * fpir >= 1 - 1e-9:
            return ""
        return f"the largest of {num} strangers; {fpir:g} of them needs {math.ceil(1 / fpir)}"


def tests_of(people: RealPeople, leak_fpir: float) -> tuple[LeakTest, LeakTest]:
    """The tests of faces and of class centers in the space of a judge.

    Raises LeakError for a source of one person.
    """
    if len(people.centers) < 2:
        raise LeakError(
            "source: the audit needs at least two people to tell how near strangers are"
        )
    strangers = people.strangers.cosine_M, people.between_centers()
    faces, classes = (LeakTest(cosines, leak_fpir) for cosines in strangers)
    return faces, classes


@dataclass(frozen=True)
class UnitAudit:
    """Kept faces of a unit next to real people: cosines, and indices in the source, by row.

    Faces [N] in the judge's space, copies [N] among hashes, classes [K] by their centers.
    """

    face_N: np.ndarray
    face_index_N: np.ndarray
    copy_N: np.ndarray
    copy_index_N: np.ndarray
    class_K: np.ndarray


def compare_unit(
    people: RealPeople,
    originals: RealPeople,
    judge_ND: np.ndarray,
    hash_NB: np.ndarray,
    center_KD: np.ndarray,
    own_N: np.ndarray,
    own_K: np.ndarray,
) -> UnitAudit:
    """Compare all faces and class centers of a unit with all real people but the own one.

    `own_N` and `own_K` are labels in the source, NOBODY of virtual people.
    """
    return UnitAudit(
        *people.nearest_with_index(judge_ND, own_N),
        *originals.nearest_with_index(hash_NB, own_N),
        people.nearest(center_KD, own_K),
    )


RowOf = Callable[[int, int], dict[str, Any]]
"""Metadata row of a face by unit and row."""


class LeakageTally:
    """The audit of units that come bit by bit."""

    def __init__(self, config: AuditConfig, yardstick: Yardstick) -> None:
        """Raises LeakError for a source of one person."""
        people, originals = yardstick.galleries
        self._config, self._yardstick = config, yardstick
        self._faces, self._classes = tests_of(people, config.leak_fpir)
        self._copies = LeakTest(originals.strangers.cosine_M, config.leak_fpir)
        unit_ND, label_N = people.some_images(MAX_PAIRED)
        impostor = pair_cosines(unit_ND, label_N)[1]
        self._num_impostors = len(impostor)
        self._limits = {f"{f:g}": cosine_at_fmr(impostor, f) for f in FMRS} if len(impostor) else {}
        self._above = dict.fromkeys(self._limits, 0)
        self._count = self._either = 0
        self._nearest: dict[str, list[Near]] = {"faces": [], "near_copies": []}

    def add(self, unit: int, keys: list[str], identity_K: np.ndarray, audit: UnitAudit) -> None:
        """Count what a unit's comparison gave; `identity_K` are the identities of its classes."""
        is_leak = self._faces.add(keys, audit.face_N) | self._copies.add(keys, audit.copy_N)
        self._classes.add(identity_K.tolist(), audit.class_K)
        self._count, self._either = self._count + len(keys), self._either + int(is_leak.sum())
        for fmr, limit in self._limits.items():
            self._above[fmr] += int((audit.face_N > limit).sum())
        self._keep_nearest("faces", unit, audit.face_N, audit.face_index_N)
        self._keep_nearest("near_copies", unit, audit.copy_N, audit.copy_index_N)

    def finish(self, row_of: RowOf) -> Audit:
        """The audit of all that was added."""
        pairs = [
            Pair(kind, near.unit, row_of(near.unit, near.row), near.index, near.cosine)
            for kind, some in self._nearest.items()
            for near in some
        ]
        judged, people = self._yardstick.judged, self._yardstick.people
        doubles = self._yardstick.doubles
        metrics = Leakage(
            leak_fpir=self._config.leak_fpir,
            max_leak_fraction=self._config.max_leak_fraction,
            source=AuditedSource(len(judged.labels), len(people.centers)),
            strangers=distribution(people.strangers.cosine_M),
            faces=self._faces.counts(self._classes.count),
            classes=self._classes.counts(self._classes.count),
            near_copies=self._copies.counts(self._classes.count),
            faces_or_near_copies=self._either / self._count,
            pairwise=self._pairwise(),
            nearest_pairs=[NearestPair(pair.kind, pair.row["key"], pair.cosine) for pair in pairs],
            power=judge_power(own_pairs(judged), self._faces.limit),
            double_labels=DoubleLabels(
                len(doubles), sorted((double.cosine for double in doubles), reverse=True)
            ),
        )
        return Audit(metrics, pairs, people.lookalikes(), doubles)

    def _keep_nearest(
        self, kind: str, unit: int, cosine_N: np.ndarray, index_N: np.ndarray
    ) -> None:
        rows = np.argsort(-cosine_N, kind="stable")[:TOP].tolist()
        some = [Near(float(cosine_N[row]), unit, row, int(index_N[row])) for row in rows]
        self._nearest[kind] = nearest_first([self._nearest[kind], some], TOP)

    def _pairwise(self) -> PairwiseRates | NotMeasured:
        """Fraction of faces above the cosines that a fraction of stranger pairs exceeds.

        It decides nothing, because the nearest of thousands is near.
        """
        if not self._limits:
            return NotMeasured("n/a: needs images of two people")
        fractions = {
            fmr: FractionAbove(limit, self._above[fmr] / self._count)
            for fmr, limit in self._limits.items()
        }
        return PairwiseRates(self._num_impostors, fractions)


def summary_lines(metrics: Leakage) -> list[str]:
    """A line for each kind of leak beside the source's strangers, and what the judge can see."""
    lines = []
    for kind, leaks in metrics.counts().items():
        line = f"{leaks.num_leaks} of {leaks.count} {LEAKS[kind]} (limit {leaks.limit_cosine:.3f})"
        if leaks.num_strangers_above is not None:
            line += f"; of its strangers {leaks.num_strangers_above} of {leaks.num_strangers}"
        if leaks.interval:
            line += f"; 95 %: {leaks.interval.low:.2%} to {leaks.interval.high:.2%}"
        line += f"; the limit is {leaks.limit_note}" if leaks.limit_note else ""
        lines.append(line)
    if isinstance(metrics.power, JudgePower):
        lines.append(f"this judge would see a known person in {power_in_words(metrics.power)}")
    if metrics.double_labels and metrics.double_labels.count:
        lines.append(
            f"{metrics.double_labels.count} pairs of labels of the source name one person twice; "
            "they count as one person"
        )
    return lines


def power_in_words(power: JudgePower) -> str:
    """How often a known person is seen, with the interval and what it rests on."""
    return (
        f"{power.fraction:.1%} of images (95 % interval {power.low:.1%} to {power.high:.1%}, by "
        f"{power.num_pairs} pairs of {power.num_people} people's own images)"
    )


def refuse_leaks(metrics: Leakage | NotMeasured) -> None:
    """Raise LeakError when more leaks or copies were found than audit.max_leak_fraction allows."""
    if isinstance(metrics, NotMeasured):
        return
    limit = metrics.max_leak_fraction
    for kind, leaks in metrics.counts().items():
        if leaks.fraction > limit:
            raise LeakError(
                f"audit.max_leak_fraction: {leaks.num_leaks} of {leaks.count} {LEAKS[kind]} "
                f"({leaks.fraction:.2%}), more than {limit:.2%}; the release is not published, "
                f"metrics/leakage.json names them at {kind}.leaks"
            )
