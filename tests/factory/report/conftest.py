"""A small release with its pages, and real plots."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.evaluation.metrics.json_form import to_json
from factory.execution.inline import run_units
from factory.release import Release, build, evaluate_and_report
from factory.report import figures
from factory.shards import layout, manifest
from factory.sources import open_source
from tests.conftest import tiny_dotlist
from tests.measured import utility

PLOT = figures.plot


@pytest.fixture(scope="package")
def plots():
    """Plots are drawn, as they are not in other tests."""
    before, figures.plot = figures.plot, PLOT
    yield
    figures.plot = before


@pytest.fixture(scope="package")
def release(plots, people, weights, tmp_path_factory):
    """The store of a sealed release with rejects, measured again after jobs.utility."""
    root = tmp_path_factory.mktemp("release")
    (root / "c.yaml").write_text("{}\n")
    dotlist = tiny_dotlist(people, weights, root / "store")
    title = "release.title=<b>Tiny & true</b>"
    picky = "filters.min_own_cosine=0"
    config = load(
        root / "c.yaml", [*dotlist, title, picky, "plan.max_rounds=1", "audit.show_real=true"]
    )
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    plan = manifest.sealed_plan(store)
    sealed = manifest.collect(store, plan)
    assert 0 < sealed.counts.kept < sealed.counts.shots, "wants some of both"
    manifest.put_metrics(store, {layout.UTILITY: to_json(utility())})
    made = Release(store, plan, sealed)
    evaluate_and_report(config, open_source(config.source), made, run_units, lambda line: None)
    return store
