"""A recognizer's accuracies on the usual sets of pairs, beside published rows, in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config.published import PublishedRow
from factory.evaluation.metrics.benchmark import AverageAccuracy, Benchmark, SetAccuracy
from factory.evaluation.metrics.values import Interval, NotMeasured
from factory.report.terminal import open_console

if TYPE_CHECKING:
    from rich.table import Table

OURS = "this recognizer"
HEAD = ["set", "size", "recipe"]


def set_rows(measured: Benchmark) -> list[list[str]]:
    """A row for each set and for the average: name, pairs, people, accuracy in %, interval."""
    rows = [[name, *_counts(one), *_accuracy(one)] for name, one in measured.sets.items()]
    return [*rows, ["average", "", "", *_accuracy(measured.average)]]


def published_table(measured: Benchmark) -> list[list[str]]:
    """Head and rows in %: set, size, recipe, sets that any row states, average, source.

    The best first; the recognizer has its place among them where it has an average.
    """
    rows = [PublishedRow(**row) for row in measured.published]
    names = [name for name in measured.sets if any(name in row.accuracies for row in rows)]
    table = [(row.average, [*_stated(row, names), row.source]) for row in rows]
    average = measured.average
    if isinstance(average, AverageAccuracy):
        own = [_short(measured.sets[name]) for name in names]
        shown = f"{100 * average.accuracy:.2f}"
        table.append((100 * average.accuracy, [OURS, "", "", *own, shown, "measured here"]))
    ordered = [cells for _, cells in sorted(table, key=lambda row: -row[0])]
    return [[*HEAD, *names, "average", "source"], *ordered]


def print_tables(measured: Benchmark) -> None:
    """Both tables, as wide as the terminal."""
    console = open_console()
    for table in tables(measured):
        console.print(table)


def tables(measured: Benchmark) -> list[Table]:
    """Both tables for a terminal: what was measured, and published averages beside it."""
    own = ["set", "pairs", "people told apart", "accuracy %", "95 % interval"]
    head, *rows = published_table(measured)
    return [
        _table(own, set_rows(measured), 1),
        _table(head, rows, len(HEAD)),
    ]


def _table(head: list[str], rows: list[list[str]], first_number: int) -> Table:
    from rich.table import Table

    table = Table()
    for index, name in enumerate(head):
        is_number = index >= first_number and name != "source"
        table.add_column(name, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == OURS else None)
    return table


def _stated(row: PublishedRow, names: list[str]) -> list[str]:
    stated = [f"{row.accuracies[name]:.2f}" if name in row.accuracies else "" for name in names]
    method = row.method if row.kind == "made" else f"{row.method} ({row.kind})"
    return [method, row.size, row.recipe, *stated, row.shown_average]


def _counts(one: SetAccuracy | NotMeasured) -> list[str]:
    return ["", ""] if isinstance(one, NotMeasured) else [str(one.num_pairs), str(one.num_people)]


def _accuracy(one: SetAccuracy | AverageAccuracy | NotMeasured) -> list[str]:
    """Accuracy in % and its interval, or the reason why there is none."""
    if isinstance(one, NotMeasured):
        return ["", one.note]
    return [f"{100 * one.accuracy:.2f}", _bounds(one.interval)]


def _short(one: SetAccuracy | NotMeasured) -> str:
    return "" if isinstance(one, NotMeasured) else f"{100 * one.accuracy:.2f}"


def _bounds(bounds: Interval | NotMeasured) -> str:
    if isinstance(bounds, NotMeasured):
        return bounds.note
    return f"{100 * bounds.low:.2f} to {100 * bounds.high:.2f}"
