"""All figures of a sealed release in one pass over its faces and its source's."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.config import Config
from factory.distributed import pick_device
from factory.evaluation.diversity import near_copies, pose
from factory.evaluation.separability import separability
from factory.evaluation.similarity import Faces, sample_release, sample_source, similarity
from factory.evaluation.throughput import throughput
from factory.identities.plan import Plan
from factory.recognition.foreign import open_embedder
from factory.recognition.verification import pair_cosines
from factory.records import Manifest
from factory.sources import FaceSource
from factory.store import Store
from factory.synthesis.opening import open_plan


def measure(
    config: Config, source: FaceSource, store: Store, plan: Plan, manifest: Manifest
) -> tuple[dict[str, Any], Faces]:
    """(figures by file stem of metrics/, the faces they were measured on)."""
    device = pick_device(config.compute)
    faces = sample_release(store, plan)
    real = sample_source(source, config.source.max_corrupt_fraction)
    named = {"recognizer": config.recognizer.checkpoint, "judge": config.judge.checkpoint}
    similar, strangers = {}, np.empty(0)
    for kind, name in named.items():
        if not name:
            continue
        embedder = open_embedder(name, device, f"{kind}.checkpoint")
        made_ND, real_MD = embedder.embed(faces.images_NHWC), embedder.embed(real.images_NHWC)
        similar[kind] = similarity(made_ND, faces, real_MD, real)
        if kind == "recognizer":
            strangers = pair_cosines(real_MD, real.labels)[1]
    metrics = {
        "counts": {"planned": manifest.counts.planned, "kept_share": manifest.counts.kept_share},
        "similarity": similar,
        "separability": separability(plan, open_plan(store)[1], strangers),
        "copies": near_copies(faces, real),
        "pose": pose(faces, real, config.source.detector),
        "throughput": throughput(manifest),
    }
    return metrics, faces
