"""What a release teaches, next to what others have published (METHODS 9), as rows and lines."""

from __future__ import annotations

from factory.config.published import published_rows
from factory.evaluation.metrics.utility import GapToReal, Utility
from factory.evaluation.metrics.values import Interval, MeanStd

NAMES = {"real": "source alone", "release": "this release alone", "both": "source and release"}


def published() -> list[list[str]]:
    """Published rows, the best first: set, size, average accuracy in %, who states it."""
    return [[row.method, row.size, row.shown_average, row.source] for row in published_rows()]


def rows(measured: Utility) -> list[list[str]]:
    """A row for each set: name, images, identities, accuracy of each benchmark, average, gaps.

    Intervals at 95 % stand in brackets, where there are any.
    """
    table = []
    for name, learned in measured.sets.items():
        gap = measured.gap_to_real.get(name)
        table.append(
            [
                NAMES[name],
                str(learned.images),
                str(learned.identities),
                *(percent(one.accuracy, one.interval) for one in learned.benchmarks.values()),
                percent(learned.average, learned.interval) if learned.average else "n/a",
                points(gap) if gap else "",
                f"{gap.percent:+.2f} %" if gap else "",
            ]
        )
    return table


def benchmarks(measured: Utility) -> list[str]:
    """Names of the benchmarks that could be read."""
    return list(measured.sets["real"].benchmarks)


def num_seeds(measured: Utility) -> int:
    """How often each set was learned."""
    return len(measured.runs["real"])


def lines(measured: Utility) -> list[str]:
    """The table as plain lines, for the terminal."""
    names = ", ".join(benchmarks(measured)) or "no benchmark read"
    head = f"accuracy in % over {num_seeds(measured)} seeds ({names})"
    told = [line] if (line := power_line(measured)) else []
    return [head, *("  ".join(cell for cell in row if cell) for row in rows(measured)), *told]


def percent(fraction: MeanStd, interval: Interval | None = None) -> str:
    """Mean and deviation of a fraction, in percent, and the interval of the mean."""
    bounds = f" ({100 * interval.low:.2f} to {100 * interval.high:.2f})" if interval else ""
    return f"{100 * fraction.mean:.2f} ± {100 * fraction.std:.2f}{bounds}"


def points(gap: GapToReal) -> str:
    """A gap in points with its interval."""
    bounds = f" ({gap.interval.low:+.2f} to {gap.interval.high:+.2f})" if gap.interval else ""
    return f"{gap.points:+.2f}{bounds}"


def power_line(measured: Utility) -> str:
    """Which gap would have been seen; empty where nothing tells."""
    seen = [gap.detectable for gap in measured.gap_to_real.values() if gap.detectable is not None]
    if not seen:
        return ""
    return (
        "In parentheses: 95 % intervals over seeds and people (pairs, where a benchmark does not "
        f"name people). A gap of {max(seen):.2f} points is seen in 80 %."
    )
