"""What a training reads of its faces, made by a runner before its ranks start.

The same files that ranks make themselves where they are missing (training/faces.py): pixels first,
then what networks compute of them. A fleet makes them on all its devices, and makes again what an
actor that died had in hand.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

from factory.config import Config, SourceConfig, absolute
from factory.errors import ConfigError, Interrupted
from factory.execution.fleet_state import unheard
from factory.execution.inline import RunUnits
from factory.execution.retries import Heartbeat, RetryState, unwatched
from factory.execution.shutdown import shutdown_on_sigterm
from factory.records import Counts, Log, Progress, Shard, Timings
from factory.training.faces import FaceRows, open_faces, pixel_task
from factory.training.row_files import KEY, RowTask

OpenRows = Callable[[Config], FaceRows]
"""Opens the networks that compute rows of a config's faces; must be picklable for the fleet."""


class RowMaker:
    """Makes shards of rows: an actor's maker, as ShardMaker is. A shard that is there is left."""

    def __init__(self, task: RowTask) -> None:
        self._task = task

    @classmethod
    def of_pixels(cls, config: Config, source: SourceConfig) -> RowMaker:
        """Open a source of faces that are kept in files."""
        task = pixel_task(config, source)
        assert task is not None, "faces in memory are made by nobody"
        return cls(task)

    @classmethod
    def of_rows(cls, config: Config, open_rows: OpenRows) -> RowMaker:
        """Open the networks; the pixels must be made."""
        task = open_rows(config).task()
        assert task is not None, "faces in memory are made by nobody"
        return cls(task)

    def make(
        self, unit_index: int, retry: RetryState | None = None, heartbeat: Heartbeat = unwatched
    ) -> list[Shard]:
        """Make a shard, and commit it by its record."""
        heartbeat(())
        started, clock, files = time.time(), time.monotonic(), self._task.files
        self._task.make_one(unit_index)
        rows, seconds = files.rows_of(unit_index), time.monotonic() - clock
        counts = Counts(rows.stop - rows.start, 0, rows.stop - rows.start, 0, 0)
        timings = Timings(started, time.time(), seconds, seconds)
        return [Shard(unit_index, files.name, [], counts, timings, retry.attempt if retry else 0)]

    def flush(self, heartbeat: Heartbeat = unwatched) -> list[Shard]:
        """Nothing waits: a shard is written when it is made."""
        return []

    def close(self) -> None:
        pass


def prepare(
    config: Config, rows: Sequence[OpenRows], run_units: RunUnits, log: Log = print
) -> None:
    """Make all that a training of `config` reads: the pixels of its faces, then each of `rows`.

    Nothing is made for faces that are kept in memory. Raises FactoryError, and leaves what is made;
    Interrupted after SIGTERM.
    """
    config = absolute(config)
    source = config.source
    pixels = pixel_task(config, source)
    if pixels is None:
        return
    _make_pixels(config, source, pixels, run_units, log)
    if source.heldout is not None:
        heldout = pixel_task(config, source.other)
        if heldout is not None:
            _make_pixels(config, source.other, heldout, run_units, log)
    num_faces = len(open_faces(config)[0])  # of those that can be read, which is known only now
    for open_rows in rows:
        units = range(-(-num_faces // pixels.files.shard_rows))
        log(f"{len(units)} shards by {open_rows.__name__}, in {pixels.files.place.store.url}")
        open_maker = functools.partial(RowMaker.of_rows, config, open_rows)
        _run(config, open_maker, units, run_units, log)


def _make_pixels(
    config: Config, source: SourceConfig, task: RowTask, run_units: RunUnits, log: Log
) -> None:
    files, missing = task.files, task.files.missing()
    url, num_made = files.place.store.url, files.count - len(missing)
    what = f"shards of faces are made in {url}"
    if num_made:
        log(Progress(num_made, files.count, what).line("resuming"))
    if missing:
        open_maker = functools.partial(RowMaker.of_pixels, config, source)
        _run(config, open_maker, missing, run_units, log)
        missing = files.missing()
        log(Progress(files.count - len(missing), files.count, what).line("progress"))
    if missing:
        raise ConfigError(
            f"{KEY}: {len(missing)} shards of faces were made by actors and are not in {url}; want "
            "a folder that all nodes see, or s3://bucket/prefix"
        )


def _run(
    config: Config,
    open_maker: Callable[[], RowMaker],
    units: Sequence[int],
    run_units: RunUnits,
    log: Log,
) -> None:
    made: list[int] = []
    with shutdown_on_sigterm(log) as stopping:
        on_done = _noting(made)
        run_units(config.fleet, open_maker, units, on_done, stopping, unheard)
        if stopping() and len(made) < len(units):
            raise Interrupted(
                f"SIGTERM: {len(units) - len(made)} of {len(units)} shards are not made; the same "
                "command goes on"
            )


def _noting(made: list[int]) -> Callable[[Shard], None]:
    return lambda shard: made.append(shard.unit)
