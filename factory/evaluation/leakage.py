"""Do real people show in a release? The audit on pixels that comes after the gate (METHODS 6).

In a judge's space, which no generator was conditioned on, every kept face and every class center is
compared with every real image and center. Strangers look alike too, so the yardstick is the real
set itself: a leak is nearer to somebody than all but a fraction `leak_fpir` of the real images (or
centers) are to another person of the same gallery. Copies are found alike in the space of a
perceptual hash.

Memory: about 20*D bytes a real image while galleries are filled, 10*D after. Time: one inner
product a face and gallery vector.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from factory.config import AuditConfig
from factory.errors import LeakError
from factory.evaluation.embeddings import MadeFaces, RealFaces, evenly_spaced
from factory.evaluation.metrics.separability import (
    AuditedSource,
    FractionAbove,
    Leakage,
    LeakCounts,
    NearestPair,
    PairwiseRates,
)
from factory.evaluation.metrics.values import NotMeasured, distribution
from factory.identities.gallery import Gallery
from factory.recognition.verification import cosine_at_fmr, pair_cosines

MAX_PROBES = 50_000
"""Real images that tell how near strangers are: all of them, or so many, evenly spaced."""
MAX_PAIRED = 4000
"""Real images whose pairs give the pairwise rates."""
TOP = 20
"""Nearest pairs that are listed and shown."""
NOBODY = -1
EQUAL = 1 - 1e-6
"""Cosine from which two hashes are the same."""
LEAKS = {
    "faces": "faces are nearer to a real person than strangers are",
    "classes": "identities are nearer to a real person than strangers are",
    "near_copies": "faces are near-copies of source images",
}
"""What a leak of each kind is, in words."""


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
    """Indices in the source of images of two people, and their cosine: the nearest first. One
    person under two names is among them, and loosens the limit."""


class LeakTest:
    """Which faces, classes or hashes are nearer to somebody real than strangers are.

    A leak is nearer than all but a fraction `leak_fpir` of `strangers` (cosines of real images to
    the nearest other person), or equal.
    """

    def __init__(
        self,
        names: Sequence[str] | Sequence[int],
        cosines: np.ndarray,
        strangers: np.ndarray,
        leak_fpir: float,
    ) -> None:
        self._names, self.cosines, self._num_strangers = names, cosines, len(strangers)
        self._limit = float(np.quantile(strangers, 1 - leak_fpir, method="higher"))
        self.is_leak = (cosines > self._limit) | (cosines >= EQUAL)

    def fraction_above(self, cosines: np.ndarray) -> float:
        """Fraction of other cosines that are above the limit too."""
        return float((cosines > self._limit).mean())

    def counts(self) -> LeakCounts:
        return LeakCounts(
            count=len(self.cosines),
            num_strangers=self._num_strangers,
            limit_cosine=self._limit,
            num_leaks=int(self.is_leak.sum()),
            fraction=float(self.is_leak.mean()),
            leaks=[self._names[i] for i in np.flatnonzero(self.is_leak).tolist()],
            nearest=distribution(self.cosines),
        )


class RealPeople:
    """Real images, and with `centers` the mean of everybody's, person by person, in one space."""

    def __init__(self, faces: RealFaces, *, centers: bool) -> None:
        people, firsts = np.unique(faces.labels, return_index=True)
        parts = [(faces.unit_ND, faces.labels, faces.indices)]
        if centers:
            unit_PD = unit_means(faces.unit_ND, np.searchsorted(people, faces.labels))
            parts.append((unit_PD, people, faces.indices[firsts]))
        unit_GD, labels, indices = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(labels, kind="stable")
        self.labels, self.indices = labels[order], indices[order]
        self.images = np.flatnonzero(order < len(faces.labels))
        self.centers = np.flatnonzero(order >= len(faces.labels))
        self._gallery = Gallery(unit_GD.shape[1])
        self._gallery.add(unit_GD[order])

    def nearest(self, unit_MD: np.ndarray, own_M: np.ndarray) -> np.ndarray:
        """Largest cosine to anybody but person `own_M` (NOBODY: to anybody), float64 [M]."""
        first, stop = (np.searchsorted(self.labels, own_M, side=side) for side in ("left", "right"))
        return self._gallery.nearest(unit_MD, without=(first, stop))

    def between_strangers(self, rows: np.ndarray) -> np.ndarray:
        """Largest cosine of gallery rows to another person's, float64; at most MAX_PROBES rows."""
        rows = evenly_spaced(rows, MAX_PROBES)
        return self.nearest(self._gallery.unit_GD[rows], self.labels[rows])

    def lookalikes(self, rows: np.ndarray, cosines: np.ndarray) -> list[tuple[int, int, float]]:
        """The nearest pairs, given what `between_strangers` answers for these rows."""
        rows = evenly_spaced(rows, MAX_PROBES)
        pairs: dict[tuple[int, int], tuple[int, int, float]] = {}
        for position in np.argsort(-cosines)[: 2 * TOP]:
            row = rows[position]
            other = self.index_of_nearest(self._gallery.unit_GD[row], int(self.labels[row]))
            first, second = sorted((int(self.indices[row]), other))
            pairs.setdefault((first, second), (first, second, float(cosines[position])))
        return list(pairs.values())[:TOP]

    def index_of_nearest(self, unit_D: np.ndarray, own: int) -> int:
        """Index in the source of the nearest image (of a center: of its person's first one)."""
        cosines = self._gallery.unit_GD @ unit_D
        cosines[self.labels == own] = -2.0
        return int(self.indices[cosines.argmax()])


class NearestReal:
    """All kept faces in one space: the largest cosine of each to a real image, and the top pairs.

    `own_label` says which person of the source an identity of kind real is; it is compared with
    the others.
    """

    def __init__(self, kind: str, people: RealPeople, own_label: dict[int, int]) -> None:
        self._kind, self._people, self._own_label = kind, people, own_label
        self.keys: list[str] = []
        self._cosines: list[np.ndarray] = []
        self._top: list[tuple[Pair, np.ndarray]] = []

    @property
    def cosines(self) -> np.ndarray:
        return np.concatenate(self._cosines)

    def add(self, unit: int, rows: list[dict[str, Any]], unit_ND: np.ndarray) -> None:
        """Compare the faces of a unit."""
        own_N = np.array([self._own(row) for row in rows])
        cosine_N = self._people.nearest(unit_ND, own_N)
        self.keys += [row["key"] for row in rows]
        self._cosines.append(cosine_N)
        self._top += [
            (Pair(self._kind, unit, row, -1, float(cosine)), vector_D)
            for row, cosine, vector_D in zip(rows, cosine_N, unit_ND, strict=True)
        ]
        self._top = sorted(self._top, key=lambda top: -top[0].cosine)[:TOP]

    def nearest_pairs(self) -> list[Pair]:
        """The TOP pairs, the nearest first."""
        return [
            replace(pair, real_index=self._people.index_of_nearest(vector_D, self._own(pair.row)))
            for pair, vector_D in self._top
        ]

    def _own(self, row: dict[str, Any]) -> int:
        return self._own_label.get(row["identity"], NOBODY)


def leakage(
    config: AuditConfig,
    made: Iterable[MadeFaces],
    real: RealFaces,
    real_hashes: RealFaces,
    own_label: dict[int, int],
) -> Audit:
    """Audit a release: `made` in the judge's space and as hashes, `real` likewise.

    The real hashes are those of the mirrored images too. `own_label` says which person of the
    source an identity of kind real is; it is audited against the others. Raises LeakError for a
    source of one person.
    """
    if len(np.unique(real.labels)) < 2:
        raise LeakError(
            "source: the audit needs at least two people to tell how near strangers are"
        )
    people, originals = RealPeople(real, centers=True), RealPeople(real_hashes, centers=False)
    by_judge = NearestReal("faces", people, own_label)
    by_hash = NearestReal("near_copies", originals, own_label)
    sums: dict[int, np.ndarray] = {}
    for unit in made:
        judge_ND, hash_NB = unit.unit_by_space
        by_judge.add(unit.unit, unit.rows, judge_ND)
        by_hash.add(unit.unit, unit.rows, hash_NB)
        for row, vector_D in zip(unit.rows, judge_ND, strict=True):
            sums[row["identity"]] = sums.get(row["identity"], 0.0) + vector_D
    center_CD = np.stack(list(sums.values()))
    center_CD = (center_CD / np.linalg.norm(center_CD, axis=1, keepdims=True)).astype(np.float32)
    own_C = np.array([own_label.get(identity, NOBODY) for identity in sums])
    stranger_N = people.between_strangers(people.images)
    faces = LeakTest(by_judge.keys, by_judge.cosines, stranger_N, config.leak_fpir)
    classes = LeakTest(
        list(sums),
        people.nearest(center_CD, own_C),
        people.between_strangers(people.centers),
        config.leak_fpir,
    )
    near_copies = LeakTest(
        by_hash.keys,
        by_hash.cosines,
        originals.between_strangers(originals.images),
        config.leak_fpir,
    )
    chosen = real.labels % -(-len(real.labels) // MAX_PAIRED) == 0
    genuine, impostor = pair_cosines(real.unit_ND[chosen], real.labels[chosen])
    pairs = [*by_judge.nearest_pairs(), *by_hash.nearest_pairs()]
    metrics = Leakage(
        leak_fpir=config.leak_fpir,
        max_leak_fraction=config.max_leak_fraction,
        source=AuditedSource(num_images=len(real.labels), num_people=len(people.centers)),
        strangers=distribution(stranger_N),
        same_person_above=faces.fraction_above(genuine) if len(genuine) else None,
        faces=faces.counts(),
        classes=classes.counts(),
        near_copies=near_copies.counts(),
        faces_or_near_copies=float((faces.is_leak | near_copies.is_leak).mean()),
        pairwise=_pairwise(impostor, faces.cosines),
        nearest_pairs=[NearestPair(pair.kind, pair.row["key"], pair.cosine) for pair in pairs],
    )
    return Audit(metrics, pairs, people.lookalikes(people.images, stranger_N))


def summary_lines(metrics: Leakage) -> list[str]:
    """A line for each kind of leak, and one for how sharp the judge is."""
    lines = []
    for kind, leaks in metrics.counts().items():
        fraction = f"{leaks.num_leaks} of {leaks.count}"
        lines.append(f"{fraction} {LEAKS[kind]} (limit {leaks.limit_cosine:.3f})")
    if metrics.same_person_above is not None:
        lines.append(
            f"of pairs of one real person's images {metrics.same_person_above:.0%} are above the "
            "faces' limit: so often this judge would see that person in a face"
        )
    return lines


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


def unit_means(unit_ND: np.ndarray, rows_N: np.ndarray) -> np.ndarray:
    """Unit mean [P, D] of the vectors of each row 0..P-1."""
    sums_PD = np.zeros((rows_N.max() + 1, unit_ND.shape[1]))
    np.add.at(sums_PD, rows_N, unit_ND)
    unit_PD = sums_PD / np.linalg.norm(sums_PD, axis=1, keepdims=True)
    return np.asarray(unit_PD, np.float32)


def _pairwise(impostor: np.ndarray, cosines: np.ndarray) -> PairwiseRates | NotMeasured:
    """Fraction of faces above the cosines that a fraction of stranger pairs exceeds.

    It decides nothing, because the nearest of thousands is near.
    """
    if not len(impostor):
        return NotMeasured("n/a: needs images of two people")
    limits = {f"{fmr:g}": cosine_at_fmr(impostor, fmr) for fmr in (1e-3, 1e-4)}
    fractions = {
        fmr: FractionAbove(limit, float((cosines > limit).mean())) for fmr, limit in limits.items()
    }
    return PairwiseRates(len(impostor), fractions)
