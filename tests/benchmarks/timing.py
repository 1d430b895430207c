"""Two things timed in one run, in turns; the ratio as a line of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable


def fastest(*runs: Callable[[], object], repeats: int = 5) -> list[float]:
    """Seconds of the fastest of `repeats` runs of each, taken in turns."""
    return fastest_by(time.perf_counter, *runs, repeats=repeats)


def fastest_by(
    clock: Callable[[], float], *runs: Callable[[], object], repeats: int = 5
) -> list[float]:
    """As `fastest`, by another clock, for instance time.process_time."""
    best = [float("inf")] * len(runs)
    for _ in range(repeats):
        for i, run in enumerate(runs):
            started = clock()
            run()
            best[i] = min(best[i], clock() - started)
    return best


def report(name: str, ratio: float, floor: float, **figures: float) -> None:
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 3), "floor": floor, **figures}))
    assert ratio >= floor
