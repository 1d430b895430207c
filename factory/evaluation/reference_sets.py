"""A release beside further sets of real faces (features.reference_sets), and CR-FIQA's scores of all of
them (METHODS 7): what the tables of ID-Booth show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from factory.config import Config
from factory.evaluation.embeddings import Space, real_faces
from factory.evaluation.fidelity import fidelity
from factory.sources import open_source

QUALITY = "quality"
"""Name of the space of CR-FIQA's scores, [N, 1]."""


def quality(made: Mapping[str, np.ndarray], source_N1: np.ndarray | None) -> dict[str, Any]:
    """Mean and deviation of the scores of made faces and of the source's; empty where no head was
    given."""
    if source_N1 is None:
        return {}
    return {"release": _spread(made[QUALITY]), "source": _spread(source_N1)}


def beside(
    config: Config, made: Mapping[str, np.ndarray], spaces: Mapping[str, Space]
) -> dict[str, dict[str, Any]]:
    """For each further set, FID, CMMD, precision and recall in each space, and the set's quality.

    `made` holds the release's vectors [N, D] by the names of `spaces`.
    """
    found: dict[str, dict[str, Any]] = {}
    for asked in config.features.reference_sets:
        sets = real_faces(
            open_source(asked), asked, list(spaces.values()), config.audit.embeddings_dir
        )
        figures: dict[str, Any] = {"num_images": len(sets[0].labels)}
        for name, faces in zip(spaces, sets, strict=True):
            if name == QUALITY:
                figures[name] = _spread(faces.unit_ND)
            else:
                figures[name] = fidelity(made[name], faces.unit_ND)
        found[asked.stem] = figures
    return found


def _spread(scores_N1: np.ndarray) -> dict[str, float]:
    return {"mean": float(scores_N1.mean()), "std": float(scores_N1.std())}
