"""Where a training runs: in this process, or on a gang of Ray actors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from factory.config import Config, SourceConfig, absolute
from factory.errors import ConfigError
from factory.records import Train
from factory.store.json_text import json_text
from jobs._runners import runner_of

if TYPE_CHECKING:
    from factory.execution.preparation import OpenRows


def train_on_faces(
    train: Train, config: Config, dry_run: bool, *needs: str, rows: Sequence[OpenRows] = ()
) -> None:
    """Check the checkpoints of the sections `needs` and the source, then train.

    `rows` opens what the training reads of its faces besides their pixels; before a gang starts,
    the fleet makes it. A dry run describes the faces instead of training on them.
    """
    from factory.checkpoint import read_metadata
    from factory.diffusion.acceptance import check_accepted
    from factory.provenance.faces import require_license
    from factory.training.distributed import rank
    from factory.training.faces import describe_faces

    require_license(config.source)
    check_consents(config.source)
    named = {section: getattr(config, section).checkpoint for section in needs}
    networks = {
        section: (name, read_metadata(name, section, f"{section}.checkpoint"))
        for section, name in named.items()
    }
    remarks = check_accepted(config.acceptance, networks)
    if remarks and rank() == 0:
        print("\n".join(remarks))
    if dry_run:
        print(describe_faces(config))
        return
    if config.compute.num_ranks:
        _prepare(config, rows)
    train_and_print(train, config)


def check_training_sources(config: Config) -> None:
    """Raise FactoryError unless source and batches.mix may be learned from.

    Each has a license, and everybody in them consented.
    """
    from factory.provenance.faces import require_license

    mixed = [one.source for one in config.batches.mix]
    require_license(config.source)
    for index, source in enumerate(mixed):
        require_license(source, f"batches.mix[{index}].source")
    check_consents(config.source, *mixed)


def check_consents(*sources: SourceConfig, today: date | None = None) -> None:
    """Raise SourceError unless everybody in the sources of a training consented to it."""
    from factory.provenance.consent import check_consent
    from factory.sources import open_source

    for source in sources:
        if source.consent:
            check_consent(source, open_source(source).names, today or date.today())


def _prepare(config: Config, rows: Sequence[OpenRows]) -> None:
    """Have the runner make the files of a training's faces, unless the training has begun."""
    from cluster.gang import latest_state_name
    from factory.execution.preparation import prepare

    if latest_state_name(config) is None:  # what has gone since is made by the ranks
        prepare(config, rows, runner_of(config))


def train_and_print(train: Train, config: Config) -> None:
    """Run a training where compute.num_ranks says, and print its metrics from rank 0."""
    from factory.training.distributed import rank

    metrics = run_training(train, config)
    if rank() == 0:
        print(json_text(metrics, indent=2))
        print("wrote", config.training.out)


def run_training(train: Train, config: Config) -> dict[str, Any]:
    """Metrics of a training, in this process or on a gang of compute.num_ranks."""
    from factory.planning.places import check_training_places
    from factory.training.distributed import world_size

    check_consents(config.source)
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
