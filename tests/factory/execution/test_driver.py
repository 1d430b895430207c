"""What a driver logs of units that are committed: lines that `jobs.submit` reads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from factory.config import Config
from factory.execution.driver import make_missing
from factory.execution.driver_lease import DriverLease
from factory.records import Counts, Progress, Shard, Timings
from factory.shards import layout, locks
from factory.store import LocalStore


def lines_of(store, num_units: int, num_made: int) -> list[str]:
    """Lines of a driver that commits so many of the missing units before it ends."""
    units = [SimpleNamespace(index=index, num_shots=1) for index in range(num_units)]
    plan = SimpleNamespace(units=units, num_shots=num_units, unit=units.__getitem__)
    lines: list[str] = []

    def run_units(fleet, open_maker, missing, on_done, draining, on_state):
        for unit in missing[:num_made]:
            store.put(layout.commit_name(unit), b"{}".ljust(locks.MAX_BYTES + 1))
            on_done(Shard(unit, "h", [], Counts(1, 0, 1, 0, 0), Timings(0.0, 1.0, 1.0, 1.0)))

    make_missing(Config(), plan, store, lambda: None, run_units, lines.append, DriverLease(store))
    return lines


def test_the_start_of_an_attempt_and_its_first_commit_are_told_once(tmp_path):
    store = LocalStore(tmp_path)
    assert lines_of(store, 5, 0) == []
    assert lines_of(store, 5, 3) == ["progress: 1 of 5 units are committed"]
    assert lines_of(store, 5, 0) == ["resuming: 3 of 5 units are committed"]
    assert lines_of(store, 5, 2)[1:] == ["progress: 4 of 5 units are committed"]
    assert lines_of(store, 5, 2) == ["resuming: 5 of 5 units are committed"]


@pytest.mark.parametrize("word", ["resuming", "progress"])
def test_what_is_logged_is_what_is_read(word):
    progress = Progress(5, 20, "steps of s3://a/b are saved")
    assert Progress.read(progress.line(word)) == progress
    assert Progress.read(progress.line(word) + "\n") == progress


@pytest.mark.parametrize(
    "line",
    ["", "step 5/20 loss 1.0", "resuming: 5 of 20", "resuming: 5 of x y", "so resuming: 5 of 9 y"],
)
def test_any_other_line_is_no_progress(line):
    assert Progress.read(line) is None
