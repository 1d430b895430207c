"""Figures of a recognizer, while it is trained and at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from factory.checkpoint import Checkpoint
from factory.recognition.embed import Recognizer
from factory.recognition.pairs import Pairs
from factory.recognition.prototypes import geometry
from factory.recognition.verification import Verified, verified_pairs, verified_people
from factory.sources import FaceSet

MAX_HELDOUT = 6000
"""Held-out images that are compared, all with all: 30 times their square in bytes."""
KEPT = 200
"""Resamplings whose figures are kept."""


def figures(
    loaded: Checkpoint, heldout: FaceSet, pairs: Pairs | None, device: torch.device
) -> dict[str, Any]:
    """Metrics on held-out people and on pairs, where there are any, without intervals.

    Prototypes are not needed.
    """
    verified = _verified(loaded, heldout, pairs, device, with_intervals=False)
    return {name: found.figures for name, found in verified.items()}


def _verified(
    loaded: Checkpoint,
    heldout: FaceSet,
    pairs: Pairs | None,
    device: torch.device,
    with_intervals: bool = True,
) -> dict[str, Verified]:
    recognizer = Recognizer(loaded, device)
    heldout = heldout.first_people(MAX_HELDOUT)
    found = {}
    if len(heldout):
        unit_ND = recognizer.embed(heldout.images_NHWC)
        found["heldout"] = verified_people(unit_ND, heldout.labels, with_intervals)
    if pairs:
        found["pairs"] = verified_pairs(recognizer, pairs, with_intervals=with_intervals)
    return found


def measure(
    loaded: Checkpoint,
    heldout: FaceSet,
    pairs: Pairs | None,
    device: torch.device,
    start_KD: torch.Tensor | None = None,
) -> dict[str, Any]:
    """The metrics of a checkpoint: geometry of its prototypes and `figures` with intervals.

    `start_KD` are the rows that its virtual prototypes began with. `resampled` holds figures in the
    first KEPT resamplings, which are the same for all recognizers that are verified on the same
    people, so that the difference of two has an interval too.
    """
    real_ND, virtual_KD = (loaded.tensors[f"prototypes.{kind}"] for kind in ("real", "virtual"))
    table = geometry(real_ND, virtual_KD, start_KD)
    verified = _verified(loaded, heldout, pairs, device)
    kept = {
        section: {name: _rounded(values_R[:KEPT]) for name, values_R in found.resampled.items()}
        for section, found in verified.items()
    }
    found = {name: found.figures for name, found in verified.items()}
    return {"geometry": table, **found, "resampled": kept}


def _rounded(values_R: np.ndarray) -> list[float | None]:
    """Ready for JSON, which has no NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values_R]


def brief(metrics: dict[str, Any]) -> str:
    """The metrics of `figures` in one line."""
    parts = []
    if "heldout" in metrics:
        part = metrics["heldout"]
        rates = f"AUC {_shown(part['auc'])}, TAR@.001 {_shown(part['tar_at_far_1e-3'], 3)}"
        parts.append(f"held out: {rates}")
    if "pairs" in metrics:
        part = metrics["pairs"]
        parts.append(f"pairs: accuracy {_shown(part['accuracy'])}, AUC {_shown(part['auc'])}")
    return "; ".join(parts)


def _shown(figure: float | None, digits: int = 4) -> str:
    return "n/a" if figure is None else f"{figure:.{digits}f}"
