"""How far a release is, in a terminal: figures, a bar of progress, shots a second over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from factory.shards.rates import shots_per_s
from factory.shards.status import Status

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

EIGHTHS, EIGHTHS_WIDE = " ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉"
COLUMNS, ROWS = 60, 5
"""Size of a plot in letters, at most."""
BESIDE = 26
"""Letters that stand beside a plot."""
WIDEST_BAR = 30
NO_TERMINAL = 100
"""Letters of a line where it is not a terminal that shows them."""


def columns(values: Sequence[float], height: int) -> list[str]:
    """A plot of values from 0 as `height` lines, the top one first, in eighths of a letter."""
    top = max([*values, 1e-12])
    eighths = [round(max(value, 0.0) / top * height * 8) for value in values]
    return [
        "".join(EIGHTHS[min(max(filled - 8 * row, 0), 8)] for filled in eighths)
        for row in reversed(range(height))
    ]


def bar(fraction: float, width: int = WIDEST_BAR) -> str:
    """A bar of a fraction of `width` letters, to an eighth of one."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    rest = EIGHTHS_WIDE[eighths % 8] if eighths % 8 else ""
    return "█" * (eighths // 8) + rest


def open_console() -> Console:
    """What is printed on: as wide as the terminal is, also when that changes."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=NO_TERMINAL)


def view(
    title: str, status: Status, now: float, actor_hour: float | None, width: int = NO_TERMINAL
) -> Group:
    """The status of a release: what `jobs.status` prints, and --watch renews.

    `width` is that of a line, in letters.
    """
    from rich.console import Group
    from rich.text import Text

    size = max(1, min(COLUMNS, width - BESIDE))
    table = _figures(title, status, now, actor_hour)
    parts: list[Table | Text] = [table, Text(_progress(status, size))]
    if len(status.shards) > 1:
        lines = (*_rate(status, size), "", *_outcomes(status, width))
        parts += [Text(line) for line in lines]
    return Group(*parts)


def _figures(title: str, status: Status, now: float, actor_hour: float | None) -> Table:
    from rich.table import Table

    rows = Table(title=title, show_header=False, title_justify="left")
    for name, value in status.rows(now, actor_hour):
        rows.add_row(name, value, style="bold red" if name == "alarm" else None)
    return rows


def _progress(status: Status, size: int) -> str:
    done = status.counts.planned / max(status.planned, 1)
    return f"{bar(done, size):{size}} {done:.0%} of planned images"


def _rate(status: Status, size: int) -> list[str]:
    edges, rate = shots_per_s(status.shards, size)
    minutes = f"{(edges[-1] - edges[0]) / 60:.1f} min"
    lines = columns(rate.tolist(), ROWS)
    lines[0] += f" {rate.max():.1f} shots/s at most"
    lines[-1] += f" {np.mean(rate):.1f} on average"
    return ["", *lines, f"0{minutes:>{size - 1}}"]


def _outcomes(status: Status, width: int) -> list[str]:
    """A bar for what was kept and for each reason why not, of all shots."""
    counts = status.counts
    parts = {"kept": counts.kept, **counts.reasons, "quarantined": counts.quarantined}
    names = max(map(len, parts))
    size = max(1, min(WIDEST_BAR, width - names - len(f"  {counts.shots}")))
    return [
        f"{name:{names}} {bar(count / max(counts.shots, 1), size):{size}} {count}"
        for name, count in parts.items()
    ]
