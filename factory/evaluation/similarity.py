"""Genuine, impostor and nearest-real cosines of a release and its source.

By the conditioning recognizer and, independently, by the judge. Up to MAX_FACES faces of each are
compared, spread evenly over the identities; pairs are exact within them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from factory.errors import SourceError
from factory.evaluation.embeddings import MAX_PIXELS
from factory.evaluation.metrics.similarity import Overlap, PairMetrics, Similarity
from factory.evaluation.metrics.values import BINS, NotMeasured, distribution
from factory.recognition.resampled_figures import intervals, power_line, resampled
from factory.recognition.resampled_scores import AllPairs
from factory.recognition.verification import (
    auc,
    equal_error_rate,
    fisher_ratio,
    pair_cosines,
    roc,
    told_tar,
)
from factory.shards.reader import metadata_rows, read_face
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.sources.base import CorruptImageError
from factory.sources.decoding import decode_image
from factory.store import Store

MAX_FACES = 4000
MAX_BYTES = 1 << 28
"""Largest sample of images."""
FARS = {"fmr100": 1e-2, "fmr1000": 1e-3}
"""Rates of false matches at which the false non-matches are counted."""
READERS = 16
"""Images read at once."""


@dataclass(frozen=True)
class SampledFaces:
    """Faces in memory: images uint8 [N, H, W, 3] and their labels [N]."""

    images_NHWC: np.ndarray
    labels: np.ndarray


def stride_of(count: int) -> int:
    """Every how many identities are sampled, of `count` faces in all, to have about MAX_FACES."""
    return max(1, -(-count // MAX_FACES))


def sample_release(store: Store, plan: Plan) -> SampledFaces:
    """Kept faces of a release: all, or whole identities evenly spaced.

    They are at most about MAX_FACES, and fewer where images are large. Only these are read.
    """
    image_bytes = 3 * plan.request.source.image_px**2
    stride = max(stride_of(plan.num_shots), -(-plan.num_shots * image_bytes // MAX_BYTES))
    first = plan.first_identity
    chosen = [
        (unit.index, row)
        for unit in plan.units
        if (first - unit.first_identity) % stride < unit.num_identities
        for row in metadata_rows(store, unit.index)
        if (row["identity"] - first) % stride == 0
    ]
    with ThreadPoolExecutor(READERS) as pool:
        encoded = pool.map(lambda place: read_face(store, *place), chosen)
        images = [
            decode_image(data, row["key"], MAX_PIXELS)
            for data, (_, row) in zip(encoded, chosen, strict=True)
        ]
    return SampledFaces(np.stack(images), np.array([row["identity"] for _, row in chosen]))


def sample_source(source: FaceSource, max_corrupt_fraction: float) -> SampledFaces:
    """Readable faces of a source: all, or whole identities evenly spaced up to MAX_FACES."""
    stride, labels = stride_of(len(source)), np.asarray(source.labels)
    faces, corrupt = [], 0
    for index in np.flatnonzero(labels % stride == 0).tolist():
        try:
            faces.append(source[index])
        except CorruptImageError:
            corrupt += 1
    if corrupt > max_corrupt_fraction * (len(faces) + corrupt):
        raise SourceError(
            f"source.max_corrupt_fraction: {corrupt} of {len(faces) + corrupt} sampled images "
            f"cannot be read, more than {max_corrupt_fraction:.1%}"
        )
    return SampledFaces(np.stack([f.image_HWC for f in faces]), np.array([f.label for f in faces]))


def evenly(unit_ND: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All vectors and labels, or those of evenly spaced identities, about MAX_FACES.

    Labels run from 0 on: rows of a roster, or labels of a source.
    """
    chosen = labels % stride_of(len(labels)) == 0
    return np.asarray(unit_ND[chosen]), labels[chosen]


def similarity(
    made_ND: np.ndarray, made_labels: np.ndarray, real_MD: np.ndarray, real_labels: np.ndarray
) -> Similarity:
    """Pairs and nearest neighbors by one recognizer, from its unit vectors of both sets."""
    made, real = pair_cosines(made_ND, made_labels), pair_cosines(real_MD, real_labels)
    return Similarity(
        release=pair_metrics(*made, AllPairs.of(made_ND, made_labels)),
        source=pair_metrics(*real, AllPairs.of(real_MD, real_labels)),
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
    people = AllPairs.between(made_ND, people_N, real_MD, real_labels)
    return pair_metrics(cosines[same], cosines[~same], people)


def histogram_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two normalized histograms of cosines (METHODS 1)."""
    first, second = (np.histogram(values, BINS)[0] / len(values) for values in (a, b))
    return float(np.minimum(first, second).sum() / np.maximum(first, second).sum())


def pair_metrics(
    genuine: np.ndarray, impostor: np.ndarray, people: AllPairs | None = None
) -> PairMetrics | NotMeasured:
    """How well genuine and impostor cosines are told apart, where there are both.

    With intervals, where `people` holds the same pairs by their people.
    """
    if not len(genuine) or not len(impostor):
        return NotMeasured("n/a: needs two identities, and two images of one")
    tars = {name: told_tar(genuine, impostor, far) for name, far in FARS.items()}
    missed = {name: None if tar is None else 1 - tar for name, tar in tars.items()}
    figures: dict[str, float | None] = {
        "auc": auc(genuine, impostor),
        "eer": equal_error_rate(genuine, impostor),
        "fdr": fisher_ratio(genuine, impostor),
        **missed,
    }
    measured = PairMetrics(
        **cast(dict[str, Any], figures),
        roc=roc(genuine, impostor),
        genuine=distribution(genuine),
        impostor=distribution(impostor),
    )
    return measured if people is None else _with_intervals(measured, figures, people)


def _with_intervals(
    measured: PairMetrics, figures: dict[str, float | None], people: AllPairs
) -> PairMetrics:
    there = [name for name, figure in figures.items() if figure is not None]
    values = resampled(people, there)
    bounds = intervals(figures, values, people.num_units)
    return replace(
        measured,
        intervals={name: bound for name, bound in bounds.items() if bound is not None},
        num_people=people.num_people,
        power=power_line("auc", values["auc"], people.num_people, "people"),
    )


def _overlap_or_none(made: np.ndarray, real: np.ndarray) -> float | None:
    return histogram_overlap(made, real) if len(made) and len(real) else None


def _nearest_stranger(unit_ND: np.ndarray, labels: np.ndarray) -> np.ndarray:
    cosines = unit_ND @ unit_ND.T
    cosines[labels[:, None] == labels[None]] = -1.0
    return np.asarray(cosines.max(1))
