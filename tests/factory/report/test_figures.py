"""Plots of metrics, where all is known and where hardly anything is."""

from __future__ import annotations

import base64

import pytest

from factory.records import Counts, Manifest, Shard, Timings
from factory.report import figures
from tests.measured import bare_metrics, full_metrics

ONCE = Shard(0, "h", [], Counts(1, 0, 1, 0, 0), Timings(5.0, 5.0, 0.0, 0.0))


def drawn_from(metrics) -> list[str]:
    """SVGs of all plots of a report."""
    uris = [
        *(figures.cosines(name, measured) for name, measured in metrics.similarity.items()),
        figures.rocs(metrics.similarity),
        figures.separation(metrics.separability),
        figures.consistency(metrics.properties.recognizers),
        figures.throughput(Manifest("d", "v", "h", [ONCE])),
    ]
    head = "data:image/svg+xml;base64,"
    assert all(uri.startswith(head) for uri in uris)
    return [base64.b64decode(uri.removeprefix(head)).decode() for uri in uris]


@pytest.mark.usefixtures("plots")
def test_every_plot_is_drawn_and_fewer_curves_where_less_is_known():
    full, bare = drawn_from(full_metrics()), drawn_from(bare_metrics())
    assert len(full) == len(bare) + 1  # no judge's cosines
    for by_recognizer, without_pairs in ((full[0], bare[0]), (full[-3], bare[-3])):
        assert by_recognizer.count("<path") > without_pairs.count("<path")


@pytest.mark.usefixtures("plots")
def test_a_plot_is_read_in_dark_mode_and_its_letters_are_letters():
    """Nothing is black or white by itself: what is ink takes the color of the page's text."""
    for svg in drawn_from(full_metrics()):
        assert "prefers-color-scheme: dark" in svg
        assert "currentColor" in svg
        assert "<text" in svg
        assert "#000000" not in svg
        assert "#ffffff" not in svg


@pytest.mark.usefixtures("plots")
def test_a_plot_drawn_twice_has_the_same_bytes():
    assert drawn_from(full_metrics()) == drawn_from(full_metrics())
