"""How far a release is, from its store alone: any machine that can read the store can ask."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from factory.errors import PlanError
from factory.provenance.withdrawn import Withdrawn, withdrawal_of
from factory.records import Counts, Shard, total_counts
from factory.shards import layout
from factory.shards.derived import made_of
from factory.shards.driver_record import DriverRecord, read_driver
from factory.shards.manifest import committed_units, read_plan
from factory.shards.pause import Pause, pause_of
from factory.shards.writer import read_commit
from factory.shots.plan import Plan
from factory.store import Store

READERS = 16
"""Commit records read at once."""
WINDOW = 50
"""The rate is that of the last so many commits."""
STALLED, STALLED_S = 5, 120.0
"""Stalled: nothing came for so many times as long as a unit takes, and for so many seconds."""
LEAST_KEPT = 0.3
"""Fraction of kept shots below which something is wrong."""


@dataclass(frozen=True)
class Status:
    """Counts of a release that is being made, or is made."""

    sealed: bool
    num_units: int
    planned: int
    shards: list[Shard]
    num_proofs: int
    """Times a unit was made again by another maker, with the same bytes."""
    driver: DriverRecord | None = None
    """Who makes it; None where nobody does."""
    pause: Pause | None = None
    made_of: str = ""
    """Of which versions it is made; empty where its faces were drawn for it."""
    num_differences: int = 0
    """Times it was made again with other bytes, which GPUs may do; those committed first count."""
    withdrawn: Withdrawn | None = None

    @property
    def counts(self) -> Counts:
        return total_counts(self.shards)

    @property
    def shots_per_s(self) -> float | None:
        """Shots per second over the last commits; None before the first."""
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

    @property
    def actor_hours(self) -> float:
        """Hours that actors have had, or at least were at work on committed units."""
        at_work_s = sum(shard.timings.total_s for shard in self.shards)
        return max(at_work_s, self.driver.actor_s if self.driver else 0.0) / 3600

    def alarms(self, now: float) -> list[str]:
        """What an operator should look at: nobody commits any more, or hardly anything is kept."""
        if self.sealed or not self.shards:
            return []
        latest = sorted(self.shards, key=lambda shard: shard.timings.finished_at)[-WINDOW:]
        usual_s = statistics.median(s.timings.finished_at - s.timings.started_at for s in latest)
        silent_s = now - latest[-1].timings.finished_at
        alarms = []
        if len(self.shards) < self.num_units and silent_s > max(STALLED * usual_s, STALLED_S):
            alarms.append(
                f"no shard for {silent_s / 60:.1f} min, where one takes {usual_s / 60:.1f}: look "
                "at the driver and its actors"
            )
        fraction = total_counts(latest).kept_fraction
        if fraction < LEAST_KEPT:
            alarms.append(
                f"only {fraction:.0%} of the last shots were kept: look at rejects/ and the filters"
            )
        return alarms

    def rows(self, now: float, actor_hour: float | None) -> list[tuple[str, str]]:
        """The status in words; with the cost of an actor's hour, what was spent."""
        counts, rate, left_s = self.counts, self.shots_per_s, self.left_s
        rows = [
            ("sealed", "yes" if self.sealed else "no"),
            *([("made of", self.made_of)] if self.made_of else []),
            ("shards", f"{len(self.shards)} of {self.num_units}"),
            ("shots", f"{counts.planned} of {self.planned}, and {counts.topups} top-ups"),
            ("kept", f"{counts.kept} ({counts.kept_fraction:.1%}), {counts.shortfall} missing"),
            *(("identities", line) for line in counts.people_lines()),
            *((f"rejected: {reason}", str(number)) for reason, number in counts.reasons.items()),
            ("quarantined", str(counts.quarantined)),
            ("begun again", f"{sum(shard.attempt > 0 for shard in self.shards)} shards"),
            ("made twice, same bytes", f"{self.num_proofs} times"),
            ("made twice, other bytes", f"{self.num_differences} times"),
            ("rate", "unknown" if rate is None else f"{rate:.2f} shots/s"),
            ("time left", "unknown" if left_s is None else f"{left_s / 60:.1f} min"),
        ]
        if actor_hour is not None:
            rows.append(("cost so far", f"{self.actor_hours * actor_hour:.2f}, at least"))
        if self.driver and not self.sealed:
            rows.append(("driver", f"{self.driver.where}, since {self.driver.since}"))
            rows += [("bad node", str(bad)) for bad in self.driver.bad_nodes]
        if self.pause:
            rows.append(("paused", f"since {self.pause.since} {self.pause.reason}".strip()))
        if self.withdrawn:
            rows.append(("withdrawn", self.withdrawn.line.removeprefix("was withdrawn ")))
        return rows + [("alarm", alarm) for alarm in self.alarms(now)]


@dataclass
class StatusReader:
    """Reads the status again and again; a commit record is read once, for it never changes."""

    store: Store
    _shards: dict[int, Shard] = field(default_factory=dict)

    def read(self) -> Status:
        """The status as it is now; raises PlanError where no release was begun."""
        plan = read_plan(self.store)
        if plan is None:
            raise PlanError(f"{self.store.url}: no plan.json, so no release was begun here")
        self._read_commits(plan)
        return Status(
            sealed=self.store.exists(layout.SUCCESS),
            num_units=len(plan.units),
            planned=plan.num_shots,
            shards=list(self._shards.values()),
            num_proofs=len(self.store.list(layout.PROOFS)),
            driver=read_driver(self.store),
            pause=pause_of(self.store),
            made_of=made_of(plan.derived) if plan.derived else "",
            num_differences=len(self.store.list(layout.DIFFERENCES)),
            withdrawn=withdrawal_of(self.store),
        )

    def _read_commits(self, plan: Plan) -> None:
        fresh = sorted(committed_units(self.store) - set(self._shards))
        with ThreadPoolExecutor(READERS) as pool:
            shards = pool.map(lambda unit: read_commit(self.store, unit), fresh)
            self._shards |= dict(zip(fresh, shards, strict=True))
