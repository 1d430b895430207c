"""Where a training runs: in this process, or on a gang of Ray actors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from factory.config import Config, absolute
from factory.errors import ConfigError

Train = Callable[[Config, Callable[[str], None]], dict[str, Any]]
"""A training of the factory: config and log to metrics."""


def train_on_faces(train: Train, config: Config, dry_run: bool, *needs: str) -> None:
    """Check that the checkpoints of the sections `needs` are there and the source can be read; then
    train unless it is a dry run, which says what would be learned from."""
    from factory.checkpoint import read_metadata
    from factory.sources import training_faces

    for section in needs:
        read_metadata(getattr(config, section).checkpoint, section, f"{section}.checkpoint")
    if dry_run:
        faces, heldout = training_faces(config.source)
        print(faces.describe(heldout))
        return
    train_and_print(train, config)


def train_and_print(train: Train, config: Config) -> None:
    """Run a training where compute.num_ranks says, and print its metrics from rank 0."""
    from factory.training.distributed import rank

    metrics = train_where_asked(train, config)
    if rank() == 0:
        print(json.dumps(metrics, indent=2))
        print("wrote", config.training.out)


def train_where_asked(train: Train, config: Config) -> dict[str, Any]:
    """Metrics of a training, here or on a gang of compute.num_ranks."""
    from factory.training.distributed import world_size

    if config.compute.num_ranks and world_size() > 1:
        raise ConfigError(
            f"compute.num_ranks: got {config.compute.num_ranks} under torchrun; want null there"
        )
    if config.compute.num_ranks:
        from cluster.gang import run_gang

        return run_gang(train, absolute(config))
    return train(config, print)
