"""Means by kind of edit, and which pictures are shown."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.edit_metrics import SHOWN, EditTally, edit_pictures, edits_of_unit
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import sealed_plan
from factory.shards.plan_files import open_plan
from factory.shards.reader import metadata_rows
from factory.sources import open_source
from tests.factory.synthesis.test_editors import EDITED


@pytest.fixture
def edited(release_config):
    """(config, store, plan) of a sealed release of edits."""
    config = release_config(*EDITED)
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    return config, store, sealed_plan(store)


def tally_of(store, plan) -> EditTally:
    tally = EditTally()
    for unit in plan.units:
        tally.add(unit.index, *edits_of_unit(metadata_rows(store, unit.index)))
    return tally


def test_scores_that_only_some_have_are_means_of_those():
    rows = [
        {"edit": "mask", "occlusion": None, "occluded": 0.5, "original_cosine": cosine}
        | {"visible_cosine": None}
        for cosine in (0.2, None, 0.6)
    ]
    tally = EditTally()
    for unit, part in enumerate((rows[:2], rows[2:], [{"edit": "", "occlusion": None}])):
        tally.add(unit, *edits_of_unit(part))
    (measured,) = tally.metrics().values()
    assert (measured.count, measured.visible_cosine) == (3, None)
    assert measured.original_cosine == pytest.approx(0.4)
    assert tally.shown == {"mask": [(0, 0), (0, 1), (1, 0)]}


def test_means_are_those_of_the_rows_of_a_kind_and_fraction(edited):
    _, store, plan = edited
    metrics = tally_of(store, plan).metrics()
    rows = [row for unit in plan.units for row in metadata_rows(store, unit.index)]
    by_name: dict[str, list] = {}
    for row in rows:
        by_name.setdefault(f"{row['edit']} {row['occlusion']:g}", []).append(row)
    assert list(metrics) == sorted(by_name)
    for name, measured in metrics.items():
        assert measured.count == len(by_name[name])
        for score in ("occluded", "original_cosine", "visible_cosine"):
            wanted = np.mean([row[score] for row in by_name[name]])
            assert getattr(measured, score) == pytest.approx(wanted)


def test_originals_are_shown_only_where_they_may_be(edited):
    config, store, plan = edited
    source, roster = open_source(config.source), open_plan(store, config)[1]
    for show_real in (False, True):
        pictures = edit_pictures(tally_of(store, plan).shown, store, roster, source, show_real)
        assert pictures.by_kind
        for shown in pictures.by_kind.values():
            assert 0 < len(shown) <= SHOWN
            assert all((original is not None) == show_real for original, _ in shown)
