"""Show how far a release is: shards, rate, time left, faces kept, failures.

    python -m jobs.status s3://bucket/prefix/demo/releases/0.1.0 [--watch 10] [--actor-hour 0.9]

It is read from the store alone, on any machine.
"""

from __future__ import annotations

import time

from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job


def status(release: str, store: list[str], watch: float | None, actor_hour: float | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from factory.report.terminal import view
    from factory.shards.status import StatusReader
    from factory.store import open_url

    reader = StatusReader(open_url(release, store))
    state = reader.read()
    first = view(release, state, time.time(), actor_hour)
    with Live(first, console=Console(width=100), auto_refresh=False) as live:
        while watch and not state.sealed:
            time.sleep(watch)
            state = reader.read()
            live.update(view(release, state, time.time(), actor_hour), refresh=True)


WATCH = option("--watch", "read it again every so often until it is sealed", "SECONDS", float)
ACTOR_HOUR = option("--actor-hour", "price of an actor's hour, for the cost", "PRICE", float)
JOB = Job(
    __doc__,
    status,
    subjects=(RELEASE_ADDRESS,),
    load=None,
    at_address=True,
    options=(WATCH, ACTOR_HOUR),
)

if __name__ == "__main__":
    JOB.main()
