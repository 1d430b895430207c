"""One self-contained HTML page and the dataset card, from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import ReleaseConfig
from factory.evaluation.evaluate import Pictures
from factory.evaluation.similarity import MAX_FACES
from factory.records import Manifest
from factory.report import figures, sheets, tables, utility
from factory.report.statements import statements
from factory.shards.writer import SUFFIXES
from factory.shots.plan import Plan

TEMPLATES = Path(__file__).parent
SHEET_ROWS, SHEET_COLUMNS, RANKED_ROWS = 20, 8, 4


def render_page(
    title: str, plan: Plan, manifest: Manifest, metrics: dict[str, Any], pictures: Pictures
) -> bytes:
    """report/index.html. `metrics` maps file stems of metrics/ to their content."""
    counts, faces = manifest.counts, pictures.faces
    similarity, properties = metrics["similarity"], metrics["properties"]
    ranked = sheets.chosen(pictures.ranking, faces.labels, RANKED_ROWS)
    verdicts = [("kept", counts.kept), *counts.reasons.items(), ("quarantined", counts.quarantined)]
    return _render(
        "template.html",
        title=title,
        manifest=manifest,
        headline=tables.headline(plan, manifest),
        taught=metrics.get("utility") and utility.rows(metrics["utility"]),
        benches=metrics.get("utility") and utility.benches(metrics["utility"]),
        num_seeds=len(metrics["utility"]["runs"]["real"]) if "utility" in metrics else 0,
        published=utility.PUBLISHED,
        sheet=sheets.identities(faces, sheets.first_identities(faces, SHEET_ROWS), SHEET_COLUMNS),
        ranked=[
            (name, sheets.identities(faces, owners, SHEET_COLUMNS))
            for name, owners in ranked.items()
            if owners
        ],
        sampled=len(np.unique(faces.labels)) < len(pictures.ranking),
        max_faces=MAX_FACES,
        verdicts=verdicts,
        shots=max(counts.shots, 1),
        rejects=[
            (reason, sheets.jpeg_uri(sheets.tiled([images], len(images))))
            for reason, images in pictures.rejects.items()
        ],
        plots=[
            *(figures.cosines(f"by the {name}", seen) for name, seen in similarity.items()),
            figures.rocs(similarity),
        ],
        similarity=tables.similarity(similarity),
        consistency_plot=figures.consistency(properties),
        consistency=tables.consistency(properties),
        fidelity=tables.fidelity(properties, similarity),
        quality=tables.quality(properties),
        repeats=properties["repeats"],
        diversity=tables.diversity(metrics["diversity"]),
        pose=tables.pose_line(metrics["diversity"]["pose"]),
        edits=tables.edits(metrics["edits"]) if "edits" in metrics else None,
        edit_sheets=sheets.edits(pictures.edits) if pictures.edits else [],
        separation_plot=figures.separation(metrics["separability"]),
        separability=tables.separability(metrics["separability"]),
        leakage=tables.leakage(metrics["leakage"]),
        leak_fpir=metrics["leakage"].get("leak_fpir"),
        leakage_note=metrics["leakage"].get("note"),
        pairwise=tables.pairwise_line(metrics["leakage"]),
        pairs=[
            (sheets.jpeg_uri(np.concatenate([made, real], axis=1)), pair.row["key"], pair.cosine)
            for made, real, pair in pictures.nearest
        ],
        balance=tables.balance(metrics["balance"]),
        group_accuracy=metrics["balance"].get("left_out_accuracy"),
        throughput_plot=figures.throughput(manifest),
        throughput=metrics["throughput"],
        lineage=tables.lineage(plan),
        settings=json.dumps(plan.request.to_dict(), indent=2, sort_keys=True),
    )


def render_card(
    asked: ReleaseConfig, plan: Plan, manifest: Manifest, metrics: dict[str, Any]
) -> bytes:
    """README.md of the release, with the hub's YAML header."""
    return _render(
        "card.md",
        title=asked.title,
        license=asked.license,
        manifest=manifest,
        size=size_category(manifest.counts.kept),
        headline=tables.headline(plan, manifest),
        said=statements(plan, metrics),
        suffix=SUFFIXES[plan.request.shards.image_format],
        taught=metrics.get("utility") and utility.rows(metrics["utility"]),
        benches=metrics.get("utility") and utility.benches(metrics["utility"]),
        weights=plan.request.weights,
    )


def size_category(count: int) -> str:
    """The hub's name for a size, for instance 100K<n<1M."""
    if count < 1000:
        return "n<1K"
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    digit = min(len(str(count)) - 4, len(names) - 2)
    return f"{names[digit]}<n<{names[digit + 1]}"


def _render(name: str, **values: Any) -> bytes:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(**values).encode()
