"""Where a training runs: in this process, or on a gang of Ray actors."""

from __future__ import annotations

import json
from typing import Any

from factory.config import Config, absolute
from factory.errors import ConfigError
from factory.records import Train


def train_on_faces(train: Train, config: Config, dry_run: bool, *needs: str) -> None:
    """Check the checkpoints of the sections `needs` and the source, then train.

    A dry run describes the faces instead of training on them.
    """
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

    metrics = run_training(train, config)
    if rank() == 0:
        print(json.dumps(metrics, indent=2))
        print("wrote", config.training.out)


def run_training(train: Train, config: Config) -> dict[str, Any]:
    """Metrics of a training, in this process or on a gang of compute.num_ranks."""
    from factory.planning.places import check_training_places
    from factory.training.distributed import world_size

    if config.compute.num_ranks and world_size() > 1:
        raise ConfigError(
            f"compute.num_ranks: got {config.compute.num_ranks} under torchrun; want null there"
        )
    if not config.compute.num_ranks:
        check_training_places(config)
    if config.compute.num_ranks:
        from cluster.gang import run_gang

        return run_gang(train, absolute(config))
    return train(config, print)
