"""The table of a recognizer's accuracies beside published rows."""

from __future__ import annotations

import io
from dataclasses import asdict, replace

from rich.console import Console

from factory.config.published import PublishedRow
from factory.evaluation.metrics.benchmark import AverageAccuracy, Benchmark, SetAccuracy
from factory.evaluation.metrics.values import Interval, NotMeasured
from factory.report.benchmark import OURS, published_table, set_rows, tables

ROWS = [
    PublishedRow(method="A", images=500_000, average=91.0, source="A's paper"),
    PublishedRow(
        method="B", kind="real", average=93.0, source="B's", loss="ArcFace", accuracies={"LFW": 99}
    ),
]
MEASURED = Benchmark(
    recognizer="0" * 64,
    mirror_sum="raw",
    seed=0,
    sets={
        "LFW": SetAccuracy(6000, 4000, 10, 0.985, 0.004, Interval(0.98, 0.99)),
        "CPLFW": SetAccuracy(6000, 4000, 10, 0.865, 0.01, Interval(0.85, 0.88)),
    },
    average=AverageAccuracy(0.925, Interval(0.92, 0.931)),
    published=[asdict(row) for row in ROWS],
)


def test_accuracies_are_in_percent_with_their_intervals():
    assert set_rows(MEASURED) == [
        ["LFW", "6000", "4000", "98.50", "98.00 to 99.00"],
        ["CPLFW", "6000", "4000", "86.50", "85.00 to 88.00"],
        ["average", "", "", "92.50", "92.00 to 93.10"],
    ]


def test_the_recognizer_stands_among_published_rows_by_its_average():
    head, *rows = published_table(MEASURED)
    assert head == ["set", "size", "recipe", "LFW", "average", "source"]
    assert rows == [
        ["B (real)", "", "ArcFace", "99.00", "93.00", "B's"],
        [OURS, "", "", "98.50", "92.50", "measured here"],
        ["A", "500K", "not stated", "", "91.00", "A's paper"],
    ]


def test_a_missing_set_has_its_reason_and_takes_no_place_among_the_published():
    missing = NotMeasured("n/a: no such file")
    measured = replace(
        MEASURED,
        sets=MEASURED.sets | {"CPLFW": missing},
        average=NotMeasured("n/a: 1 of 2 sets are missing"),
    )
    assert set_rows(measured)[1:] == [
        ["CPLFW", "", "", "", "n/a: no such file"],
        ["average", "", "", "", "n/a: 1 of 2 sets are missing"],
    ]
    assert OURS not in [row[0] for row in published_table(measured)]


def test_it_is_printed_whole_in_a_hundred_columns():
    console = Console(width=100, record=True, file=io.StringIO())
    for table in tables(MEASURED):
        console.print(table)
    text = console.export_text()
    assert "85.00 to 88.00" in text
    assert "…" not in text
