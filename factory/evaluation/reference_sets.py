"""A release compared with further sets of real faces; CR-FIQA's scores of all (METHODS 7).

This is what the tables of ID-Booth show. The sets are those of features.reference_sets.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from factory.config import Config, SourceConfig
from factory.evaluation.embeddings import Space, real_faces
from factory.evaluation.features import QUALITY
from factory.evaluation.fidelity import fidelity
from factory.evaluation.metrics.similarity import QualityScores, ReferenceSet
from factory.evaluation.metrics.values import MeanStd
from factory.evaluation.reduction import CLASS
from factory.evaluation.tallies import Moments
from factory.sources import open_source


def quality(made_N1: np.ndarray, source_M1: np.ndarray) -> QualityScores:
    """Mean and deviation of the scores of made faces and of the source's."""
    return QualityScores(release=_mean_std(made_N1), source=_mean_std(source_M1))


def reference_sets(
    config: Config,
    made: Mapping[str, np.ndarray],
    spaces: Mapping[str, Space],
    moments: Mapping[str, Moments],
) -> dict[str, ReferenceSet]:
    """FID, CMMD, precision and recall against each further set, and the set's quality.

    `made` holds vectors [S, D] of sampled faces by the names of `spaces`, `moments` those of all
    faces by the names of recognizers; the result is by the name of the set.
    """
    return {
        source.stem: _reference_set(source, made, spaces, moments, config.audit.embeddings_dir)
        for source in config.features.reference_sets
    }


def _reference_set(
    source: SourceConfig,
    made: Mapping[str, np.ndarray],
    spaces: Mapping[str, Space],
    moments: Mapping[str, Moments],
    folder: str,
) -> ReferenceSet:
    sets = real_faces(open_source(source), source, list(spaces.values()), folder)
    by_space = dict(zip(spaces, sets, strict=True))
    scores = by_space.pop(QUALITY, None)
    return ReferenceSet(
        num_images=len(sets[0].labels),
        fidelity={
            name: fidelity(
                made[name],
                faces.unit_ND,
                moments.get(name),
                Moments.of_blocks(faces.unit_ND) if name in moments else None,
                labels=(made[CLASS], faces.labels) if CLASS in made else None,
            )
            for name, faces in by_space.items()
        },
        quality=_mean_std(scores.unit_ND) if scores else None,
    )


def _mean_std(scores_N1: np.ndarray) -> MeanStd:
    return MeanStd(float(scores_N1.mean()), float(scores_N1.std()))
