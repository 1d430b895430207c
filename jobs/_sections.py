"""Sections of a config that several jobs read."""

from __future__ import annotations

TRAINING = ("source", "compute", "training")
"""Of every training."""
NETWORKS = ("recognizer", "autoencoder", "generator", "base_model", "personalization", "editing")
"""Networks that draw or edit faces; which of them counts is for release.method to say."""
MEASURING = ("judge", "audit", "features")
"""How what was made is measured."""
RELEASE = (
    *("release", "source", *NETWORKS, "identities", "plan", "sampler", "filters", "shards"),
    *(*MEASURING, "fleet", "compute", "store"),
)
"""Of a release from plan to report."""
