"""What a recognizer is worth, while it is trained and at its end."""

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
    story: Checkpoint, heldout: FaceSet, pairs: Pairs | None, device: torch.device
) -> dict[str, Any]:
    """Accuracy on held-out people and on pairs, where there are any; prototypes are not needed."""
    recognizer = Recognizer(story, device)
    heldout = heldout.first_people(MAX_HELDOUT)
    found: dict[str, Any] = {}
    if len(heldout):
        found["heldout"] = summary(recognizer.embed(heldout.images_NHWC), heldout.labels)
    if pairs:
        found["pairs"] = verify_pairs(recognizer, pairs)
    return found


def measure(
    story: Checkpoint, heldout: FaceSet, pairs: Pairs | None, device: torch.device
) -> dict[str, Any]:
    """The metrics of a checkpoint: geometry of its prototypes and `figures`."""
    table = geometry(story.tensors["prototypes.real"], story.tensors["prototypes.virtual"])
    return {"geometry": table, **figures(story, heldout, pairs, device)}


def brief(found: dict[str, Any]) -> str:
    """One line of `figures`."""
    parts = []
    if "heldout" in found:
        seen = found["heldout"]
        parts.append(f"held out: AUC {seen['auc']:.4f}, TAR@.001 {seen['tar_at_far_1e-3']:.3f}")
    if "pairs" in found:
        seen = found["pairs"]
        parts.append(f"pairs: accuracy {seen['accuracy']:.4f}, AUC {seen['auc']:.4f}")
    return "; ".join(parts)
