"""How far a release is, from its store alone: done, rate, time left, kept share, failures.

python -m jobs.status s3://bucket/prefix/demo/releases/0.1.0 [--watch 10]
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs.command import guarded, parser_of

if TYPE_CHECKING:
    from rich.table import Table

    from factory.shards.status import Status


def table(url: str, status: Status) -> Table:
    from rich.table import Table

    counts, rate, left_s = status.counts, status.shots_per_s, status.left_s
    rows = Table(title=url, show_header=False, title_justify="left")
    rows.add_row("sealed", "yes" if status.sealed else "no")
    rows.add_row("shards", f"{len(status.shards)} of {status.num_units}")
    rows.add_row("shots", f"{counts.planned} of {status.planned}, and {counts.topups} top-ups")
    rows.add_row("kept", f"{counts.kept} ({counts.kept_share:.1%}), {counts.shortfall} missing")
    for reason, number in counts.reasons.items():
        rows.add_row(f"rejected: {reason}", str(number))
    rows.add_row("quarantined", str(counts.quarantined))
    rows.add_row("begun again", f"{sum(shard.attempt > 0 for shard in status.shards)} shards")
    rows.add_row("made twice, same bytes", f"{status.num_proofs} times")
    rows.add_row("rate", "unknown" if rate is None else f"{rate:.2f} shots/s")
    rows.add_row("time left", "unknown" if left_s is None else f"{left_s / 60:.1f} min")
    return rows


def watch(url: str, seconds: float | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from factory.shards.status import StatusReader
    from factory.store import open_url

    reader = StatusReader(open_url(url))
    status = reader.read()
    with Live(table(url, status), console=Console(width=100), auto_refresh=False) as live:
        while seconds and not status.sealed:
            time.sleep(seconds)
            status = reader.read()
            live.update(table(url, status), refresh=True)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("release", help="folder or s3:// address of a release")
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="again until it is sealed")
    arguments = parser.parse_args()
    guarded(lambda: watch(arguments.release, arguments.watch))
