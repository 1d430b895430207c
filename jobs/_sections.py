"""Sections of a config that several jobs read."""

from __future__ import annotations

TRAINING = ("source", "rendering", "compute", "training", "store")
"""Of every training."""
ON_FACES = (*TRAINING, "fleet", "acceptance")
"""Of a training whose faces a fleet makes into files before a gang starts."""
NETWORKS = ("recognizer", "autoencoder", "generator", "base_model", "personalization", "editing")
"""Networks that draw or edit faces; which of them counts is for release.method to say."""
MEASURING = ("judge", "audit", "features")
"""How what was made is measured."""
SEALED = (
    "release",
    "source",
    "rendering",
    *NETWORKS,
    "identities",
    "plan",
    "sampler",
    "filters",
    "quality",
    "pairs",
    *MEASURING,
)
"""Of a finished release that is looked at again: what must be as when it was made, and how it is
measured."""
RELEASE = (
    *(*SEALED, "checkpoint", "acceptance"),
    *("shards", "fleet", "estimate", "compute", "store"),
)
"""Of a release from plan to report."""
