"""A sealed release measured unit by unit, on whatever runs makers, with a record for each unit.

Records lie outside the release, in evaluation/<version>/<fingerprint>/ beside releases/. The
fingerprint names all that decides them, so what is recorded is not computed again when a
measurement that was cut off is started anew, and a record of something else is never taken for one.
They may hold templates of real people: they are deleted when the measurement is done.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from factory.config import Config, StoreConfig, absolute
from factory.errors import Interrupted, Unavailable
from factory.evaluation.embeddings import Space, one_ahead
from factory.evaluation.fidelity import MAX_FEATURES
from factory.evaluation.measure_unit import (
    ORIGINALS,
    PEOPLE,
    MeasureTask,
    Sampling,
    UnitMeasurer,
    record_name,
)
from factory.evaluation.real_people import RealPeople
from factory.evaluation.similarity import stride_of
from factory.evaluation.tallies import hash_limit
from factory.evaluation.unit_record import FORMAT, UnitRecord
from factory.execution.fleet_state import unheard
from factory.execution.inline import RunUnits
from factory.execution.shutdown import shutdown_on_sigterm
from factory.identities.roster import Roster
from factory.recognition.judge import judge_of
from factory.records import Log, Manifest, Shard
from factory.shards import layout
from factory.shots.environment import sources_sha256
from factory.store import Store, open_store

READERS = 16


@dataclass(frozen=True)
class Release:
    """What is measured: the store of a sealed release, its roster and its commit records."""

    store: Store
    roster: Roster
    manifest: Manifest
    own_label: dict[int, int]
    """Label in the source of each identity that comes from there."""


def sampling_of(release: Release) -> Sampling:
    """Which faces of a release are sampled."""
    people = release.roster.identities
    count = release.manifest.counts.kept
    drawn = sum(person.num_shots for person in people if person.index in release.own_label)
    return Sampling(
        release.roster.first_identity,
        stride_of(count),
        stride_of(drawn),
        hash_limit(MAX_FEATURES, count),
    )


@dataclass(frozen=True)
class Measurement:
    """Records of all units of a release, while they are needed."""

    scratch: Store
    units: list[int]
    keep: bool

    def records(self) -> Iterator[UnitRecord]:
        """All of them in the order of units; the next is read while one is used.

        Raises Unavailable where another process that measured the same has deleted one.
        """
        return one_ahead(map(self._record, self.units))

    def clear(self) -> None:
        """Delete them, and the real people beside them, unless they are to be kept."""
        names = [PEOPLE, ORIGINALS] if self.keep else self.scratch.list("")
        if self.keep:
            self.scratch.put(layout.KEPT_RECORDS, b"")
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(self.scratch.delete, names))
        self.scratch.prune()

    def _record(self, unit: int) -> UnitRecord:
        try:
            return UnitRecord.from_bytes(self.scratch.get(record_name(unit)))
        except FileNotFoundError:
            raise Unavailable(
                f"{self.scratch.url}: the record of unit {unit} is gone; another process measured "
                "this release too and cleared its records; run again alone"
            ) from None


def measure_units(
    config: Config,
    release: Release,
    spaces: dict[str, Space],
    real: tuple[RealPeople, RealPeople] | None,
    run_units: RunUnits,
    log: Log,
    *,
    audit_alone: bool = False,
    anew: bool = False,
) -> Measurement:
    """Measure every unit that has no record yet.

    `spaces` are all networks that see made faces, `real` the people in the judge's space and their
    hashes. Raises Interrupted after SIGTERM; the same command goes on.
    """
    judge = replace(config.judge, checkpoint=judge_of(config))  # where the source is at hand
    store = replace(config.store, url=release.store.url)
    config = absolute(replace(config, judge=judge, store=store))
    task = MeasureTask(
        config=config,
        release=config.store,
        scratch=config.store,
        sampling=sampling_of(release),
        own_label=release.own_label,
        audit_alone=audit_alone,
        anew=anew,
    )
    task = replace(task, scratch=_scratch(task, fingerprint(task, release, spaces, real)))
    scratch = open_store(task.scratch)
    if real:
        for people, name in zip(real, (PEOPLE, ORIGINALS), strict=True):
            people.save(scratch, name)
    units = [shard.unit for shard in release.manifest.shards]
    recorded = set(scratch.list(""))
    missing = [unit for unit in units if record_name(unit) not in recorded]
    if len(missing) < len(units):
        log(f"{len(units) - len(missing)} of {len(units)} units are measured already")
    _run(config, task, missing, run_units, log)
    return Measurement(scratch, units, config.audit.keep_records)


def fingerprint(
    task: MeasureTask,
    release: Release,
    spaces: dict[str, Space],
    real: tuple[RealPeople, RealPeople] | None,
) -> str:
    """Digest of all that decides records: faces, networks, real people, samples, code."""
    decides = {
        "format": FORMAT,
        "code": sources_sha256(),
        "release": release.store.sha256(layout.SUMS),
        "spaces": {name: space.sha256 for name, space in spaces.items()},
        "real": [people.sha256() for people in real or ()],
        "sampling": asdict(task.sampling),
        "own_label": sorted(task.own_label.items()),
        "num_rejects": task.config.audit.num_rejects,
        "kinds": [task.audit_alone, task.anew],
    }
    return hashlib.sha256(
        json.dumps(decides, sort_keys=True, allow_nan=False).encode()
    ).hexdigest()[:16]


def _scratch(task: MeasureTask, name: str) -> StoreConfig:
    """evaluation/<version>/<name> beside releases/, of a release anywhere."""
    return replace(task.release, url=f"{layout.measurements_url(task.release.url)}/{name}")


def _run(
    config: Config, task: MeasureTask, missing: list[int], run_units: RunUnits, log: Log
) -> None:
    done: list[int] = []

    def on_done(shard: Shard) -> None:
        done.append(shard.unit)
        if len(done) % max(1, len(missing) // 10) == 0:
            log(f"measured {len(done)} of {len(missing)} units")

    if missing:
        open_measurer = functools.partial(UnitMeasurer.open, task)
        with shutdown_on_sigterm(log) as draining:
            run_units(config.fleet, open_measurer, missing, on_done, draining, unheard)
        if len(done) < len(missing):
            raise Interrupted(
                f"SIGTERM: {len(missing) - len(done)} units are not measured; the same command "
                "goes on"
            )
