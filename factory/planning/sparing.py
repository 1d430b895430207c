"""filters.spare_real_people before a plan is written: whether it is possible, by what limits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from factory.config import Config
from factory.errors import ConfigError
from factory.provenance.faces import holds_real_people
from factory.recognition.judge import describe_judge
from factory.shards import layout
from factory.shards.private_files import put_spared_again, write_spared
from factory.shots.plan import Plan
from factory.shots.request import SparedPeople
from factory.sources import FaceSource
from factory.store import Store

KEY = "filters.spare_real_people"


@dataclass(frozen=True)
class Sparing:
    """The limits that a plan holds, and the real people's vectors; both None where not asked for.

    There are no vectors where a version is planned already: those were written with it.
    """

    limits: SparedPeople | None = None
    unit_GD: np.ndarray | None = None

    def write(self, store: Store) -> None:
        """Write the vectors where the makers of the release in `store` read them."""
        if self.unit_GD is not None:
            write_spared(store, self.unit_GD)


def check_sparing(config: Config) -> None:
    """Raise ConfigError where real people are to be spared, and there is no judge or nobody real.

    That the judge is not the recognizer that conditions is checked for every release.
    """
    if not config.filters.spare_real_people:
        return
    if config.judge.checkpoint is None:
        raise ConfigError(
            f"{KEY}: got true with judge.checkpoint=null, so nobody looks; want a judge, or false"
        )
    if not holds_real_people(config.source):
        raise ConfigError(
            f"{KEY}: got true and nobody real is in the source, so nobody can be spared; want "
            "false, or source.real_people=true where its faces are photographs"
        )


def sparing(config: Config, source: FaceSource, existing: Plan | None) -> Sparing:
    """What a release is planned with; where a version is planned already, by the limits it has.

    Raises LeakError for a source of one person.
    """
    if not config.filters.spare_real_people:
        return Sparing()
    if existing is None:
        from factory.evaluation.spared import real_people_to_spare

        return Sparing(*real_people_to_spare(config, source))
    planned, judge = existing.request.spared, describe_judge(config)
    assert judge is not None, "refused by check_sparing"
    if planned is None:
        return Sparing()  # which filters.spare_real_people differs from already
    fpir = config.audit.leak_fpir
    return Sparing(dataclasses.replace(planned, judge_sha256=judge["sha256"], leak_fpir=fpir))


def restore(config: Config, store: Store, plan: Plan, source: FaceSource) -> None:
    """Make the vectors of a plan's real people anew where makers need them and they are gone.

    Raises IntegrityError where this machine does not make the same.
    """
    if plan.request.spared is None or store.exists(layout.SUMS):
        return
    if layout.private_store(store).exists(layout.SPARED_PEOPLE):
        return
    from factory.evaluation.spared import real_people_to_spare

    put_spared_again(store, plan, real_people_to_spare(config, source)[1])
