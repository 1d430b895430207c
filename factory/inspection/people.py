"""The people of a looked-at source in the judge's space, and the labels that the judge doubts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from factory.evaluation.embeddings import RealFaces
from factory.evaluation.real_people import NOBODY, RealPeople
from factory.evaluation.yardstick import DoubleLabel, named_once
from factory.inspection.findings import Counted, DoubleName, LabelFindings, MislabeledImage
from factory.inspection.label_noise import NAMES_FPIR, Doubt, double_names, mislabeled_images
from factory.inspection.looked import Looked
from factory.sources.base import FaceSource

LISTED = 200
"""Entries of a ranked list."""
NEAR_FPIR = 0.001
"""Fraction of strangers' images that are nearer to somebody than the limit, or one of them."""


@dataclass
class JudgedPeople:
    """A source's people as the judge sees them; indices are rows of `looked`."""

    looked: Looked
    source: FaceSource

    @cached_property
    def faces(self) -> RealFaces:
        """Vectors of the rows that the judge saw, by label."""
        rows = self.looked.judged
        return RealFaces(self.looked.unit_MD, self.looked.labels[rows], rows)

    @cached_property
    def _named(self) -> tuple[RealPeople, list[DoubleLabel]]:
        people, doubles, _ = named_once(self.faces)
        return people, doubles

    @property
    def people(self) -> RealPeople:
        """Everybody once, though the source may name them twice."""
        return self._named[0]

    @property
    def double_images(self) -> list[DoubleLabel]:
        """Nearest images of labels that name one person, by rows."""
        return self._named[1]

    @cached_property
    def everybody(self) -> RealPeople:
        """People as the source names them."""
        return RealPeople.of(self.faces, centers=True)

    @property
    def lookalikes_P2(self) -> np.ndarray:
        """Each row with the row of another person that the judge finds nearest, int64 [P, 2]."""
        found, people = self.everybody.strangers, self.everybody
        known = found.other_M >= 0
        rows = people.indices[found.rows[known]], people.indices[found.other_M[known]]
        return np.stack(rows, 1).astype(np.int64)

    @cached_property
    def near_limit(self) -> tuple[float, float]:
        """Cosine to another person that all but a fraction of images stay below; the fraction."""
        cosine_M = self.people.strangers.cosine_M
        fraction = max(NEAR_FPIR, 1 / len(cosine_M))
        return float(np.quantile(cosine_M, 1 - fraction)), fraction

    def nearest(self, unit_MD: np.ndarray, own_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest cosine to anybody but the person of label `own_M`, and that image's row."""
        return self.everybody.nearest_with_index(unit_MD, own_M)

    def key(self, row: int) -> str:
        return str(self.source.keys[int(self.looked.indices[row])])

    def name(self, label: int) -> str:
        return str(self.source.names[int(label)])


def label_findings(judged: JudgedPeople, judge: str) -> tuple[LabelFindings, Doubt]:
    """What the judge doubts, ranked; and the mislabeled images' rows of the judge's vectors."""
    faces = judged.faces
    mislabeled = mislabeled_images(np.asarray(faces.unit_ND), faces.labels)
    doubles = double_names(faces.unit_ND, faces.labels)
    listed = [
        DoubleName(judged.name(first), judged.name(second), float(cosine), "means of their images")
        for (first, second), cosine in zip(doubles.rows.reshape(-1, 2), doubles.scores, strict=True)
    ]
    known = {frozenset((one.first, one.second)) for one in listed}
    for pair in judged.double_images:
        labels = judged.looked.labels[[pair.first, pair.second]]
        names = [judged.name(label) for label in labels]
        if frozenset(names) not in known:
            known.add(frozenset(names))
            listed.append(DoubleName(names[0], names[1], pair.cosine, "two images"))
    mixed = Counter(int(label) for label in faces.labels[mislabeled.rows])
    findings = LabelFindings(
        judge,
        _mislabeled(judged, mislabeled),
        len(mislabeled.rows),
        None if mislabeled.found is None else mislabeled.limit,
        mislabeled.found,
        mislabeled.estimate,
        mislabeled.note,
        [
            Counted(judged.name(label), count)
            for label, count in mixed.most_common(LISTED)
            if count > 1
        ],
        sorted(listed, key=lambda one: -one.cosine)[:LISTED],
        len(listed),
        None if doubles.note else doubles.limit,
        NAMES_FPIR,
        doubles.note,
    )
    return findings, mislabeled


def _mislabeled(judged: JudgedPeople, doubt: Doubt) -> list[MislabeledImage]:
    faces, rows = judged.faces, doubt.rows[:LISTED]
    if not len(rows):
        return []
    counts = np.bincount(faces.labels)
    labels = faces.labels[rows]
    cosine_M, nearest_M = judged.nearest(np.asarray(faces.unit_ND[rows]), labels)
    return [
        MislabeledImage(
            judged.key(int(faces.indices[row])),
            judged.name(label),
            float(score),
            int(counts[label]),
            "" if near == NOBODY else judged.name(int(judged.looked.labels[near])),
            float(cosine),
        )
        for row, label, score, cosine, near in zip(
            rows, labels, doubt.scores, cosine_M, nearest_M, strict=False
        )
    ]
