"""Show how far a release is: shards, rate, time left, faces kept, failures.

    python -m jobs.status s3://bucket/prefix/demo/releases/0.1.0 [--watch 10] [--actor-hour 0.9]

It is read from the store alone, on any machine.
"""

from __future__ import annotations

import time

from jobs._arguments import RELEASE_ADDRESS, option
from jobs._job import Job


def status(release: str, store: list[str], watch: float | None, actor_hour: float | None) -> None:
    from rich.console import Group
    from rich.live import Live

    from factory.report.terminal import open_console, view
    from factory.shards.status import StatusReader
    from factory.store import open_url

    reader = StatusReader(open_url(release, store))
    state, console = reader.read(), open_console()

    def shown() -> Group:
        return view(release, state, time.time(), actor_hour, console.width)

    with Live(shown(), console=console, auto_refresh=False) as live:
        while watch and not state.sealed:
            time.sleep(watch)
            state = reader.read()
            live.update(shown(), refresh=True)
    if not console.is_terminal:  # where Live ends no line
        console.line()


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
