"""How long a step of a training takes on this machine, found by a training that is thrown away.

The training itself then begins with its number of steps known, so that it is the same as one that
was given them, and the same command goes on with it.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from factory.config import Config
from factory.errors import ConfigError
from factory.records import Train

NOT_TIMED = 3
"""First steps, which compile, allocate and read: part of the set-up."""
TIMED_S, FEWEST_TIMED = 20.0, 5
MOST_S = 60.0
"""Timing ends after TIMED_S and FEWEST_TIMED steps, at the latest MOST_S after it began."""
MANY = 1_000_000
"""Steps of the training that is thrown away, none of whose schedules moves meanwhile."""


@dataclass(frozen=True)
class Pace:
    """How a training goes on this machine."""

    setup_s: float
    """Until its first steps are behind it."""
    step_s: float


class _TimedOut(Exception):
    """Enough steps were timed."""


class _Stopwatch:
    """Takes a training's lines; raises _TimedOut once enough steps were timed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._began = clock, clock()
        self._times: list[float] = []

    def __call__(self, line: str) -> None:
        if not re.match(r"step \d+/", line):
            return
        self._times.append(self._clock())
        timed, num_timed = self._times[NOT_TIMED - 1 :], len(self._times) - NOT_TIMED
        if num_timed < 1:
            return
        passed = timed[-1] - timed[0]
        if (passed >= TIMED_S and num_timed >= FEWEST_TIMED) or passed >= MOST_S:
            raise _TimedOut

    @property
    def pace(self) -> Pace:
        first = self._times[NOT_TIMED - 1]
        step_s = (self._times[-1] - first) / (len(self._times) - NOT_TIMED)
        return Pace(first - self._began, max(step_s, 1e-4))


def pace_of(train: Train, config: Config, clock: Callable[[], float] = time.monotonic) -> Pace:
    """Time the first steps of a training, at most about a minute of them, and leave nothing.

    Uncompiled with compute.compile=auto: what the training itself compiles is for it to gain.
    Raises ConfigError for one on several ranks.
    """
    if config.compute.num_ranks:
        raise ConfigError(
            f"--budget: got compute.num_ranks={config.compute.num_ranks}; want null, because steps "
            "are timed in this process (or give training.max_steps)"
        )
    watch = _Stopwatch(clock)
    compute = config.compute
    if compute.compile == "auto":  # because of MANY steps a compile would always pay
        compute = replace(compute, compile=False)
    with tempfile.TemporaryDirectory(prefix="pace-") as folder:
        training = replace(
            config.training,
            out=folder,
            log_every=1,
            eval_every=None,
            min_steps=MANY,
            max_steps=MANY,
            save_every_s=float("inf"),
        )
        try:
            train(replace(config, training=training, compute=compute), watch)
        except _TimedOut:
            pass
    return watch.pace
