"""The pages of a release, written where they belong."""

from __future__ import annotations

from factory.config import ReleaseConfig
from factory.evaluation.evaluate import Pictures
from factory.evaluation.metrics.release import Metrics
from factory.records import Manifest
from factory.report.croissant import render_croissant
from factory.report.learned import lineage_of
from factory.report.page import render_card, render_page
from factory.shards import layout
from factory.shots.plan import Plan
from factory.store import Store


def write_pages(
    store: Store,
    config: ReleaseConfig,
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
    pictures: Pictures,
) -> None:
    """Write report/index.html, the card and croissant.json of a sealed release."""
    made, lineage = (plan, manifest, metrics), lineage_of(store)
    store.put(layout.REPORT, render_page(config.title, *made, pictures, lineage))
    store.put(layout.CARD, render_card(config, *made, lineage))
    store.put(layout.CROISSANT, render_croissant(config, *made, lineage))
