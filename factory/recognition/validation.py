"""Figures of a recognizer, while it is trained and at the end."""

from __future__ import annotations

from typing import Any

import torch

from factory.checkpoint import Checkpoint
from factory.recognition.embed import Recognizer
from factory.recognition.pairs import Pairs
from factory.recognition.prototypes import geometry
from factory.recognition.verification import summary, verify_pairs
from factory.sources import FaceSet

MAX_HELDOUT = 6000
"""Held-out images that are compared, all with all: 30 times their square in bytes."""


def figures(
    loaded: Checkpoint, heldout: FaceSet, pairs: Pairs | None, device: torch.device
) -> dict[str, Any]:
    """Metrics on held-out people and on pairs, where there are any; prototypes are not needed."""
    recognizer = Recognizer(loaded, device)
    heldout = heldout.first_people(MAX_HELDOUT)
    metrics: dict[str, Any] = {}
    if len(heldout):
        metrics["heldout"] = summary(recognizer.embed(heldout.images_NHWC), heldout.labels)
    if pairs:
        metrics["pairs"] = verify_pairs(recognizer, pairs)
    return metrics


def measure(
    loaded: Checkpoint,
    heldout: FaceSet,
    pairs: Pairs | None,
    device: torch.device,
    start_KD: torch.Tensor | None = None,
) -> dict[str, Any]:
    """The metrics of a checkpoint: geometry of its prototypes and `figures`.

    `start_KD` are the rows that its virtual prototypes began with.
    """
    real_ND, virtual_KD = (loaded.tensors[f"prototypes.{kind}"] for kind in ("real", "virtual"))
    table = geometry(real_ND, virtual_KD, start_KD)
    return {"geometry": table, **figures(loaded, heldout, pairs, device)}


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
