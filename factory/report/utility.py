"""What a release teaches, next to what others have published (METHODS 9), as rows and lines."""

from __future__ import annotations

from factory.config.published import published_rows
from factory.evaluation.metrics.utility import Utility
from factory.evaluation.metrics.values import MeanStd

NAMES = {"real": "source alone", "release": "this release alone", "both": "source and release"}


def published() -> list[list[str]]:
    """Published rows, the best first: set, size, average accuracy in %, who states it."""
    return [[row.method, row.size, row.shown_average, row.source] for row in published_rows()]


def rows(measured: Utility) -> list[list[str]]:
    """A row for each set: name, images, identities, accuracy of each benchmark, average, gaps."""
    table = []
    for name, learned in measured.sets.items():
        gap = measured.gap_to_real.get(name)
        table.append(
            [
                NAMES[name],
                str(learned.images),
                str(learned.identities),
                *(percent(benchmark.accuracy) for benchmark in learned.benchmarks.values()),
                percent(learned.average) if learned.average else "n/a",
                f"{gap.points:+.2f}" if gap else "",
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
    return [head, *("  ".join(cell for cell in row if cell) for row in rows(measured))]


def percent(fraction: MeanStd) -> str:
    """Mean and deviation of a fraction, in percent."""
    return f"{100 * fraction.mean:.2f} ± {100 * fraction.std:.2f}"
