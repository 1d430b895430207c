"""How many steps each training of a pipeline gets, so that all stages end in a given time.

The time that is left is divided among the stages that are left, by their shares; what one takes
longer or shorter is divided among those after it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from factory.errors import ConfigError
from factory.planning.pace import Pace

UNITS_S = {"s": 1, "m": 60, "h": 3600}
SHORTEST_S = 60


def seconds_of(text: str) -> int:
    """Seconds of 90s, 30m, 1h or 1h30m; raises ConfigError for anything else."""
    parts = re.findall(r"(\d+)([smh])", text)
    total = sum(int(count) * UNITS_S[unit] for count, unit in parts)
    if "".join(count + unit for count, unit in parts) != text or total < SHORTEST_S:
        raise ConfigError(f"--budget: got {text!r}; want a time of at least 1m, as in 30m or 1h30m")
    return total


@dataclass
class Budget:
    """A time for all stages, by the clock."""

    total_s: float
    shares: Mapping[str, float]
    """Shares of the stages by name; they need no sum of 1."""
    clock: Callable[[], float] = time.monotonic
    _end: float = field(init=False)
    _planned_left_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not any(self.shares.values()):
            raise ConfigError("--budget: no stage has a share of it; want some, as stages[0].share")
        self._end = self.clock() + self.total_s

    @property
    def left_s(self) -> float:
        """Seconds to the end, 0 once it has passed."""
        return max(0.0, self._end - self.clock())

    def plan_left(self, seconds: float) -> None:
        """Take note that an earlier run meant to have so much left after a stage."""
        self._planned_left_s = seconds

    def take_off_planned(self) -> None:
        """End no later than so that no more is left than an earlier run meant to have.

        What that run really took is not known where it was stopped, so that what it planned counts.
        """
        if self._planned_left_s is not None:
            self._end = min(self._end, self.clock() + self._planned_left_s)
        self._planned_left_s = None

    def seconds_for(self, name: str, later: Sequence[str]) -> float:
        """What a stage may take now: its part of the time left for it and the `later` ones."""
        waiting = sum(self.shares[one] for one in (name, *later))
        return self.left_s * self.shares[name] / waiting if waiting else 0.0

    def expected(self, names: Sequence[str]) -> str:
        """A line of what each stage is meant to take, and when all end."""
        total = sum(self.shares[name] for name in names) or 1.0
        parts = [
            f"{name} {minutes(self.left_s * self.shares[name] / total)}"
            for name in names
            if self.shares[name]
        ]
        end = datetime.now() + timedelta(seconds=self.left_s)
        return f"expected: {', '.join(parts)}; end about {end:%H:%M}"


@dataclass(frozen=True)
class Steps:
    """What a budget gives a training."""

    count: int
    expected_s: float
    """From its beginning to its end."""
    is_short: bool
    """Whether it had less time than its fewest steps take."""
    limit: str = ""
    """Setting that holds it to fewer steps than fit; empty where none does."""

    def line(self, name: str, allowed_s: float, pace: Pace) -> str:
        """What is expected of the training, said before it begins."""
        text = (
            f"{name}: {self.count} steps of {pace.step_s:.2f} s in about {minutes(self.expected_s)}"
        )
        if self.limit:
            return f"{text}, the most it is given ({self.limit}) of the {minutes(allowed_s)} it has"
        if not self.is_short:
            return text
        return (
            f"{text}, which is more than the {minutes(allowed_s)} it has: {self.count} are the "
            "fewest (min_steps of the stage), so the pipeline will end later"
        )


def steps_within(
    allowed_s: float,
    pace: Pace,
    fewest: int,
    most: Mapping[str, int | None],
    spent_s: float = 0.0,
) -> Steps:
    """The steps that fit into what is allowed, of which `spent_s` went into finding the pace.

    `most` holds limits of the steps by the setting that asks for them; None: no limit.
    """
    fitting = int((allowed_s - spent_s - pace.setup_s) / pace.step_s)
    count, limit = max(fewest, fitting), ""
    for key, largest in most.items():
        if largest is not None and largest < count:
            count, limit = largest, key
    is_short = fitting < count
    limit = limit if count < fitting else ""
    return Steps(count, pace.setup_s + count * pace.step_s, is_short, limit)


def minutes(seconds: float) -> str:
    """A time as people say it: 0.3 s, 40 s, 12 min, 3.5 hours."""
    if 0 < seconds < 0.95:
        return f"{seconds:.1f} s" if seconds >= 0.1 else "less than 0.1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} hours"
