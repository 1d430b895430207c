"""Live progress of a release: faces a second, kept fraction, time left; the limit on failures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from factory.errors import PlanError
from factory.records import Counts, Shard
from factory.shots.plan import UnitPlan


class ProgressBar:
    """A bar on a terminal, a line every half minute elsewhere."""

    def __init__(self, plan: UnitPlan, missing: Sequence[int], max_failed_fraction: float) -> None:
        self._planned = sum(plan.unit(unit).num_shots for unit in missing)
        self._max_failures = max_failed_fraction * plan.num_shots
        self._counts = Counts(0, 0, 0, 0, 0)
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("first shards", total=self._planned)
        self._started = self._printed_at = time.monotonic()

    def shard_done(self, shard: Shard) -> None:
        """Count a committed shard; raises PlanError once too many shots have failed."""
        self._counts = self._counts.plus(shard.counts)
        line = self._line()
        self._bar.update(self._task, completed=self._counts.planned, description=line)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed_at > 30:
            self._console.print(line)
            self._printed_at = now
        if self._counts.quarantined > self._max_failures:
            raise PlanError(
                f"release.max_failed_fraction: {self._counts.quarantined} shots failed already; "
                "read quarantine/*.jsonl and fix the cause"
            )

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        left_s = seconds * (self._planned - self._counts.planned) / max(self._counts.planned, 1)
        rate = self._counts.shots / seconds
        return (
            f"{self._counts.kept} faces, {rate:.1f}/s, kept {self._counts.kept_fraction:.0%}, "
            f"{left_s / 60:.1f} min left"
        )

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
