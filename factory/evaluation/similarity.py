"""Genuine, impostor and nearest-real cosines of a release and its source.

By the conditioning recognizer and, independently, by the judge. Up to MAX_FACES faces of each are
compared, spread evenly over the identities; pairs are exact within them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.evaluation.metrics.similarity import Overlap, PairMetrics, Similarity
from factory.evaluation.metrics.values import BINS, NotMeasured, distribution
from factory.recognition.verification import (
    auc,
    equal_error_rate,
    fisher_ratio,
    pair_cosines,
    roc,
    tar_at_far,
)
from factory.shards.reader import iterate_kept
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.sources.base import decode_image, iterate_faces
from factory.store import Store

MAX_FACES = 4000


@dataclass(frozen=True)
class SampledFaces:
    """Faces in memory: images uint8 [N, H, W, 3] and their labels [N]."""

    images_NHWC: np.ndarray
    labels: np.ndarray


def sample_release(store: Store, plan: Plan) -> SampledFaces:
    """Kept faces of a release: all, or whole identities evenly spaced up to MAX_FACES."""
    stride = max(1, -(-plan.num_shots // MAX_FACES))
    images, labels = [], []
    for row, jpeg in iterate_kept(store, plan):
        if (row["identity"] - plan.first_identity) % stride == 0:
            images.append(decode_image(jpeg, row["key"], 1 << 24))
            labels.append(row["identity"])
    return SampledFaces(np.stack(images), np.array(labels))


def sample_source(source: FaceSource, max_corrupt_fraction: float) -> SampledFaces:
    """Faces of a source: all, or whole identities evenly spaced up to MAX_FACES."""
    stride = max(1, -(-len(source) // MAX_FACES))
    faces = [
        face for face in iterate_faces(source, max_corrupt_fraction, []) if face.label % stride == 0
    ]
    return SampledFaces(np.stack([f.image_HWC for f in faces]), np.array([f.label for f in faces]))


def evenly(unit_ND: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All vectors and labels, or those of evenly spaced identities, about MAX_FACES.

    Labels run from 0 on: rows of a roster, or labels of a source.
    """
    chosen = labels % -(-len(labels) // MAX_FACES) == 0
    return unit_ND[chosen], labels[chosen]


def similarity(
    made_ND: np.ndarray, made_labels: np.ndarray, real_MD: np.ndarray, real_labels: np.ndarray
) -> Similarity:
    """Pairs and nearest neighbors by one recognizer, from its unit vectors of both sets."""
    made, real = pair_cosines(made_ND, made_labels), pair_cosines(real_MD, real_labels)
    return Similarity(
        release=pair_metrics(*made),
        source=pair_metrics(*real),
        overlap=Overlap(
            genuine=_overlap_or_none(made[0], real[0]), impostor=_overlap_or_none(made[1], real[1])
        ),
        nearest_real=distribution((made_ND @ real_MD.T).max(1)),
        source_nearest_other_person=distribution(_nearest_stranger(real_MD, real_labels)),
    )


def made_vs_photographs(
    made_ND: np.ndarray, people_N: np.ndarray, real_MD: np.ndarray, real_labels: np.ndarray
) -> PairMetrics | NotMeasured:
    """Made images of real people against photographs of them and of others.

    `people_N` are labels of the source.
    """
    cosines = made_ND @ real_MD.T
    same = people_N[:, None] == real_labels[None]
    return pair_metrics(cosines[same], cosines[~same])


def histogram_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two normalized histograms of cosines (METHODS 1)."""
    first, second = (np.histogram(values, BINS)[0] / len(values) for values in (a, b))
    return float(np.minimum(first, second).sum() / np.maximum(first, second).sum())


def pair_metrics(genuine: np.ndarray, impostor: np.ndarray) -> PairMetrics | NotMeasured:
    """How well genuine and impostor cosines are told apart, where there are both."""
    if not len(genuine) or not len(impostor):
        return NotMeasured("n/a: needs two identities, and two images of one")
    return PairMetrics(
        auc=auc(genuine, impostor),
        eer=equal_error_rate(genuine, impostor),
        fdr=fisher_ratio(genuine, impostor),
        fmr100=1 - tar_at_far(genuine, impostor, 1e-2),
        fmr1000=1 - tar_at_far(genuine, impostor, 1e-3),
        roc=roc(genuine, impostor),
        genuine=distribution(genuine),
        impostor=distribution(impostor),
    )


def _overlap_or_none(made: np.ndarray, real: np.ndarray) -> float | None:
    return histogram_overlap(made, real) if len(made) and len(real) else None


def _nearest_stranger(unit_ND: np.ndarray, labels: np.ndarray) -> np.ndarray:
    cosines = unit_ND @ unit_ND.T
    cosines[labels[:, None] == labels[None]] = -1.0
    return np.asarray(cosines.max(1))
