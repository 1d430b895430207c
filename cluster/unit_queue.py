"""The units that nobody has, in their order, and what is known of those that failed."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from cluster.worker import Worker
from factory.execution.retries import RetryState

LOOKAHEAD = 8
"""Units at the head of the queue of which one is leased: the first may have to wait, for a worker
that has nothing else or is on a node where it has not failed."""
BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0
"""First and longest delay of a unit that met an error, doubled at each."""

Choose = Callable[[RetryState], Worker | None]
"""The worker that is to make a unit of which so much is known, or None."""


class UnitQueue:
    """Units to be made, and the retry states of those that were begun before."""

    def __init__(self, units: Sequence[int]) -> None:
        self._ready = deque(units)
        self._later: list[tuple[float, int]] = []
        self.retries: dict[int, RetryState] = {}
        """Of units that failed or were lost and are not committed."""

    def __len__(self) -> int:
        return len(self._ready) + len(self._later)

    def clear(self) -> None:
        """Give up what nobody has."""
        self._ready.clear()
        self._later.clear()

    def retry_of(self, unit: int) -> RetryState:
        return self.retries.get(unit, RetryState())

    def take(self, choose: Choose) -> tuple[int, RetryState, Worker] | None:
        """The first unit for which `choose` finds a worker, out of the queue; None for none."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            # behind the others, so that it shows whether it is the unit or the node that fails
            self._ready.append(heapq.heappop(self._later)[1])
        for unit in itertools.islice(self._ready, LOOKAHEAD):
            retry = self.retry_of(unit)
            worker = choose(retry)
            if worker:
                self._ready.remove(unit)
                return unit, retry, worker
        return None

    def put_back(self, units: Iterable[int]) -> None:
        """Return units to the front, in their order."""
        self._ready.extendleft(reversed(list(units)))

    def put_back_later(self, units: Iterable[int]) -> None:
        """Return units after a while, the longer the more often they were begun."""
        for unit in units:
            doubled = BACKOFF_S * 2 ** max(self.retry_of(unit).attempt - 1, 0)
            delay = min(MAX_BACKOFF_S, doubled) * random.uniform(0.5, 1.0)
            heapq.heappush(self._later, (time.monotonic() + delay, unit))

    def committed(self, unit: int) -> None:
        self.retries.pop(unit, None)

    def most_blind_deaths(self) -> tuple[int, int]:
        """(unit, deaths) of the unit with which most actors died and no shot in hand."""
        blind = {unit: retry.blind_deaths for unit, retry in self.retries.items()}
        worst = max(blind, key=blind.__getitem__, default=-1)
        return worst, blind.get(worst, 0)
