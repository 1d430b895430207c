"""How far a release is, told by its store alone: any machine that can read it can ask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from factory.errors import PlanError
from factory.identities.plan import Plan
from factory.records import Counts, Shard, total_counts
from factory.shards import layout
from factory.shards.manifest import committed_units, plan_of
from factory.shards.writer import read_commit
from factory.store import Store

READERS = 16
"""Commit records read at once."""
WINDOW = 50
"""The rate is that of the last so many commits."""


@dataclass(frozen=True)
class Status:
    """Counts of a release that is being made, or is made."""

    sealed: bool
    num_units: int
    planned: int
    shards: list[Shard]
    num_proofs: int
    """Times a unit was made again by another maker, with the same bytes."""

    @property
    def counts(self) -> Counts:
        return total_counts(self.shards)

    @property
    def shots_per_s(self) -> float | None:
        """Over the last commits; None before the first."""
        latest = sorted(self.shards, key=lambda shard: shard.timings.finished_at)[-WINDOW:]
        if not latest:
            return None
        first = min(shard.timings.started_at for shard in latest)
        seconds = latest[-1].timings.finished_at - first
        return sum(shard.counts.shots for shard in latest) / max(seconds, 1e-9)

    @property
    def left_s(self) -> float | None:
        """Seconds to go, were the rest like what is done; None before the first commit."""
        rate, done = self.shots_per_s, self.counts
        if rate is None or not done.planned:
            return None
        return (self.planned - done.planned) * done.shots / done.planned / rate


@dataclass
class StatusReader:
    """Reads the status again and again; a commit record is read once, for it never changes."""

    store: Store
    _known: dict[int, Shard] = field(default_factory=dict)

    def read(self) -> Status:
        """Raises PlanError where no release was begun."""
        plan = plan_of(self.store)
        if plan is None:
            raise PlanError(f"{self.store.url}: no plan.json, so no release was begun here")
        self._read_commits(plan)
        return Status(
            sealed=self.store.exists(layout.SUCCESS),
            num_units=len(plan.units),
            planned=plan.num_shots,
            shards=list(self._known.values()),
            num_proofs=len(self.store.list(layout.PROOFS)),
        )

    def _read_commits(self, plan: Plan) -> None:
        fresh = sorted(committed_units(self.store) - set(self._known))
        with ThreadPoolExecutor(READERS) as pool:
            shards = pool.map(lambda unit: read_commit(self.store, unit), fresh)
            self._known |= dict(zip(fresh, shards, strict=True))
