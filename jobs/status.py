"""How far a release is, from its store alone: done, rate, time left, kept share, failures.

python -m jobs.status s3://bucket/prefix/demo/releases/0.1.0 [--watch 10] [--actor-hour 0.9]
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs._command import guarded, parser_of

if TYPE_CHECKING:
    from rich.table import Table

    from factory.shards.status import Status


def table(url: str, status: Status, actor_hour: float | None) -> Table:
    from rich.table import Table

    rows = Table(title=url, show_header=False, title_justify="left")
    for name, value in status.rows(time.time(), actor_hour):
        rows.add_row(name, value, style="bold red" if name == "alarm" else None)
    return rows


def watch(url: str, seconds: float | None, actor_hour: float | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from factory.shards.status import StatusReader
    from factory.store import open_url

    reader = StatusReader(open_url(url))
    status = reader.read()
    with Live(
        table(url, status, actor_hour), console=Console(width=100), auto_refresh=False
    ) as live:
        while seconds and not status.sealed:
            time.sleep(seconds)
            status = reader.read()
            live.update(table(url, status, actor_hour), refresh=True)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("release", help="folder or s3:// address of a release")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="again until it is sealed")
    parser.add_argument("--actor-hour", type=float, metavar="PRICE", help="of an actor's hour")
    given = parser.parse_args()
    guarded(lambda: watch(given.release, given.watch, given.actor_hour))
