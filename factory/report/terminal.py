"""How far a release is, in a terminal: figures, a bar of progress, shots a second over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from factory.shards.rates import shots_per_s
from factory.shards.status import Status

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

EIGHTHS, EIGHTHS_WIDE = " ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉"
COLUMNS, ROWS = 60, 5
"""Size of a plot, in letters."""
WIDEST_BAR = 30


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


def view(title: str, status: Status, now: float, actor_hour: float | None) -> Group:
    """The status of a release: what `jobs.status` prints, and --watch renews."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Table | Text] = [_figures(title, status, now, actor_hour), Text(_progress(status))]
    if len(status.shards) > 1:
        parts += [Text(line) for line in (*_rate(status), "", *_outcomes(status))]
    return Group(*parts)


def _figures(title: str, status: Status, now: float, actor_hour: float | None) -> Table:
    from rich.table import Table

    rows = Table(title=title, show_header=False, title_justify="left")
    for name, value in status.rows(now, actor_hour):
        rows.add_row(name, value, style="bold red" if name == "alarm" else None)
    return rows


def _progress(status: Status) -> str:
    done = status.counts.planned / max(status.planned, 1)
    return f"{bar(done, COLUMNS):{COLUMNS}} {done:.0%} of planned images"


def _rate(status: Status) -> list[str]:
    edges, rate = shots_per_s(status.shards, COLUMNS)
    minutes = f"{(edges[-1] - edges[0]) / 60:.1f} min"
    lines = columns(rate.tolist(), ROWS)
    lines[0] += f" {rate.max():.1f} shots/s at most"
    lines[-1] += f" {np.mean(rate):.1f} on average"
    return ["", *lines, f"0{minutes:>{COLUMNS - 1}}"]


def _outcomes(status: Status) -> list[str]:
    """A bar for what was kept and for each reason why not, of all shots."""
    counts = status.counts
    parts = {"kept": counts.kept, **counts.reasons, "quarantined": counts.quarantined}
    width = max(map(len, parts))
    return [
        f"{name:{width}} {bar(count / max(counts.shots, 1)):{WIDEST_BAR}} {count}"
        for name, count in parts.items()
    ]
