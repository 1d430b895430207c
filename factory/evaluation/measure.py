"""All figures of a sealed release in one pass over its faces and its source's."""

from __future__ import annotations

from typing import Any

from factory.config import Config
from factory.distributed import pick_device
from factory.evaluation.diversity import near_copies, pose
from factory.evaluation.similarity import Faces, sample_release, sample_source, similarity
from factory.evaluation.throughput import throughput
from factory.identities.plan import Plan
from factory.recognition.foreign import open_embedder
from factory.records import Manifest
from factory.sources import FaceSource
from factory.store import Store


def measure(
    config: Config, source: FaceSource, store: Store, plan: Plan, manifest: Manifest
) -> tuple[dict[str, Any], Faces]:
    """(figures by file stem of metrics/, the faces they were measured on)."""
    device = pick_device(config.compute)
    faces = sample_release(store, plan)
    real = sample_source(source, config.source.max_corrupt_fraction)
    named = {"recognizer": config.recognizer.checkpoint, "judge": config.judge.checkpoint}
    metrics = {
        "counts": {"planned": manifest.counts.planned, "kept_share": manifest.counts.kept_share},
        "similarity": {
            kind: similarity(open_embedder(name, device, f"{kind}.checkpoint"), faces, real)
            for kind, name in named.items()
            if name
        },
        "copies": near_copies(faces, real),
        "pose": pose(faces, real, config.source.detector),
        "throughput": throughput(manifest),
    }
    return metrics, faces
