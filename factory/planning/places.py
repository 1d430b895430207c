"""Places on this machine that work will write to, tried before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from factory.config import Config
from factory.execution.socket_paths import check_socket_paths
from factory.store.atomic import check_place


def check_release_places(config: Config) -> None:
    """Raise FactoryError in one line for a place that a release writes to and cannot.

    audit.embeddings_dir is not among them: what cannot be kept there is computed again.
    """
    if config.fleet.events:
        check_place("fleet.events", Path(config.fleet.events).absolute().parent)
    if config.fleet.runner == "ray" and not (config.fleet.address or os.environ.get("RAY_ADDRESS")):
        check_socket_paths()


def check_training_places(config: Config) -> None:
    """Raise FactoryError in one line for a place that a training writes to and cannot."""
    for key, place in (("out", config.training.out), ("cache", config.training.cache)):
        if place is not None and "://" not in place:
            check_place(f"training.{key}", Path(place))
