"""All that is written beside the data of a sealed release for those who read of it."""

from __future__ import annotations

from factory.config import ReleaseConfig
from factory.evaluation.evaluate import Pictures
from factory.evaluation.metrics.release import Metrics
from factory.records import Manifest
from factory.report.croissant import render_croissant
from factory.report.page import render_card, render_page
from factory.report.rights import license_file, notice_file
from factory.report.spdx import render_spdx
from factory.shards import layout
from factory.shots.plan import Plan
from factory.store import Store


def write_documents(
    config: ReleaseConfig,
    store: Store,
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
    pictures: Pictures,
) -> None:
    """Write report, card, croissant.json, spdx.json, LICENSE, NOTICE; seal_extras must follow."""
    made = (plan, manifest, metrics)
    store.put(layout.REPORT, render_page(config.title, *made, pictures))
    store.put(layout.CARD, render_card(config, *made))
    store.put(layout.CROISSANT, render_croissant(config, *made))
    store.put(layout.SPDX, render_spdx(config, *made))
    store.put(layout.LICENSE, license_file(config, plan, metrics.lineage))
    store.put(layout.NOTICE, notice_file(plan, metrics.lineage))
