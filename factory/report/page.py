"""One self-contained HTML page and the dataset card, from what was measured."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import ReleaseConfig
from factory.evaluation.evaluate import Pictures
from factory.evaluation.metrics.release import Balance, Metrics
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.similarity import MAX_FACES
from factory.provenance.licenses import hub_id
from factory.records import Manifest
from factory.report import attack, figures, sheets, tables, terms, utility
from factory.report.evidence import evidence
from factory.report.learned import faces
from factory.report.privacy import banner
from factory.report.rights import stated_license
from factory.report.statements import few_kept, statements
from factory.shards.card_header import size_category
from factory.shards.masks import mask_suffix
from factory.shards.writer import SUFFIXES
from factory.shots.plan import Plan

TEMPLATES = Path(__file__).parent
SHEET_ROWS, SHEET_COLUMNS, RANKED_ROWS = 20, 8, 4


def render_page(
    title: str,
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
    pictures: Pictures,
) -> bytes:
    """The HTML of report/index.html."""
    page = render(
        "template.html",
        title=title,
        manifest=manifest,
        banner=banner(plan, metrics),
        evidence=evidence(plan, manifest, metrics),
        headline=tables.headline(plan, manifest),
        published=utility.published(),
        max_faces=MAX_FACES,
        lineage=tables.lineage(plan),
        ancestors=tables.networks(metrics.lineage.drawing if metrics.lineage else []),
        lookers=tables.networks(metrics.lineage.looking if metrics.lineage else []),
        rights=metrics.lineage,
        few_kept=few_kept(metrics.counts),
        settings=json.dumps(plan.request.to_dict(), indent=2, sort_keys=True, allow_nan=False),
        throughput_plot=figures.throughput(manifest),
        **_accuracy(metrics),
        **_shots(manifest),
        **_faces(pictures),
        **_likeness(metrics),
        **_leaks(metrics, pictures),
        **_attack(metrics),
        is_rendered=plan.request.rendering is not None,
        **_groups(metrics.balance),
        edits=tables.edits(metrics.edits) if metrics.edits else None,
        throughput=tables.throughput(metrics.throughput),
    )
    return with_terms(page)


def render_card(
    config: ReleaseConfig,
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
) -> bytes:
    """README.md of the release, with the hub's YAML header."""
    stated = stated_license(config, metrics.lineage)
    return render(
        "card.md",
        title=config.title,
        license=hub_id(stated),
        stated=stated,
        manifest=manifest,
        size=size_category(manifest.counts.kept),
        headline=tables.headline(plan, manifest),
        tars=tar_patterns(manifest),
        images_of_each=tables.images_of_each(plan, manifest),
        statements=statements(plan, metrics),
        evidence=evidence(plan, manifest, metrics),
        suffix=SUFFIXES[plan.request.shards.image_format],
        masks=_masks(plan),
        weights=plan.request.weights,
        ancestors=tables.networks(metrics.lineage.drawing if metrics.lineage else []),
        lookers=tables.networks(metrics.lineage.looking if metrics.lineage else []),
        sources=[faces(one) for one in metrics.lineage.sources] if metrics.lineage else [],
        rights=metrics.lineage,
        **_accuracy(metrics),
        **_attack(metrics),
        **_hardness(metrics),
    )


def _hardness(metrics: Metrics) -> dict[str, Any]:
    """The table of a test set's pairs; empty of any other release."""
    sets = metrics.hardness or {}
    heads = sorted({who for one in sets.values() for who in one.by}, reverse=True)
    return {"hardness": tables.hardness(sets, heads), "hardness_heads": heads}


def _masks(plan: Plan) -> list[str]:
    """Suffixes of the masks beside each image."""
    rendering = plan.request.rendering
    return [mask_suffix(name) for name in rendering.rendering.masks] if rendering else []


def _accuracy(metrics: Metrics) -> dict[str, Any]:
    """What the release teaches, where jobs.utility has measured it."""
    measured = metrics.utility
    return {
        "accuracy": utility.rows(measured) if measured else [],
        "benchmarks": utility.benchmarks(measured) if measured else [],
        "num_seeds": utility.num_seeds(measured) if measured else 0,
        "utility_power": utility.power_line(measured) if measured else "",
    }


def _attack(metrics: Metrics) -> dict[str, Any]:
    """What an attack on the generator found, where jobs.attack was run."""
    found = metrics.attack
    return {
        "attack": attack.rows(found) if found else [],
        "attack_heads": attack.HEADS,
        "attack_verdict": attack.verdict(found) if found else "",
        "attack_sentences": attack.sentences(found) if found else [],
    }


def _shots(manifest: Manifest) -> dict[str, Any]:
    """What became of the shots."""
    counts = manifest.counts
    verdicts = [("kept", counts.kept), *counts.reasons.items(), ("quarantined", counts.quarantined)]
    return {"verdicts": verdicts, "shots": max(counts.shots, 1)}


def _faces(pictures: Pictures) -> dict[str, Any]:
    """Sheets of identities, rejects and edits."""
    faces = pictures.faces
    ranked = sheets.chosen(pictures.ranking, faces.labels, RANKED_ROWS)
    return {
        "sheet": sheets.identities(
            faces, sheets.first_identities(faces, SHEET_ROWS), SHEET_COLUMNS
        ),
        "ranked": [
            (name, sheets.identities(faces, owners, SHEET_COLUMNS))
            for name, owners in ranked.items()
            if owners
        ],
        "sampled": len(np.unique(faces.labels)) < len(pictures.ranking),
        "rejects": [
            (reason, sheets.jpeg_uri(sheets.tiled([images], len(images))))
            for reason, images in pictures.rejects.items()
        ],
        "edit_sheets": sheets.edits(pictures.edits) if pictures.edits else [],
    }


def _likeness(metrics: Metrics) -> dict[str, Any]:
    """Cosines within and between identities of the release, next to its source."""
    similarity, properties = metrics.similarity, metrics.properties
    return {
        "plots": [
            *(figures.cosines(f"by the {name}", by_one) for name, by_one in similarity.items()),
            figures.rocs(similarity),
        ],
        "similarity": tables.similarity(similarity),
        "similarity_power": tables.similarity_power(similarity),
        "consistency_plot": figures.consistency(properties.recognizers),
        "consistency": tables.consistency(properties),
        "fidelity": tables.fidelity(properties, similarity),
        "quality": tables.quality(properties),
        "duplicates": properties.duplicates,
        "diversity": tables.diversity(metrics.diversity),
        "pose": tables.pose_line(metrics.diversity.pose),
        "separation_plot": figures.separation(metrics.separability),
        "separability": tables.separability(metrics.separability),
    }


def _leaks(metrics: Metrics, pictures: Pictures) -> dict[str, Any]:
    """Whether real people show, or why nobody looked, and what that establishes."""
    leakage = metrics.leakage
    measured = None if isinstance(leakage, NotMeasured) else leakage
    return {
        "leakage": tables.leakage(leakage),
        "leakage_note": leakage.note if isinstance(leakage, NotMeasured) else "",
        "leak_fpir": measured.leak_fpir if measured else None,
        "power": tables.power_line(measured) if measured else "",
        "audit": metrics.audit,
        "judge": tables.judge_line(metrics.audit),
        "double_labels": measured.double_labels.count if measured and measured.double_labels else 0,
        "pairwise": tables.pairwise_line(measured) if measured else "",
        "pairs": [
            (sheets.jpeg_uri(np.concatenate([made, real], axis=1)), pair.row["key"], pair.cosine)
            for made, real, pair in pictures.nearest
        ],
    }


def _groups(balance: Balance | NotMeasured) -> dict[str, Any]:
    """Balance of groups, where attributes tell them apart."""
    measured = None if isinstance(balance, NotMeasured) else balance
    return {
        "balance": tables.balance(balance),
        "group_accuracy": measured.left_out_accuracy if measured else None,
    }


def tar_patterns(manifest: Manifest) -> str:
    """Where the tars lie, for the hub and for `load_dataset`: one pattern, or a list of them."""
    tars = [file for shard in manifest.shards for file in shard.files if file.name[:5] == "data/"]
    patterns = sorted({file.path.rpartition("/")[0] + "/train-*.tar" for file in tars})
    return json.dumps(patterns[0] if len(patterns) == 1 else patterns, allow_nan=False)


def with_terms(page: bytes, meanings: Mapping[str, str] = terms.TERMS) -> bytes:
    """The page with a list of the terms that it uses, in the place that is marked for it."""
    terms_used = "".join(
        f"<dt>{html.escape(term)}</dt><dd>{html.escape(meaning)}</dd>"
        for term, meaning in terms.used_in(page.decode(), meanings)
    )
    listed = f"<details><summary>Terms</summary><dl>{terms_used}</dl></details>"
    return page.replace(b"<!-- terms -->", listed.encode())


def render(name: str, **values: Any) -> bytes:
    """A template of this room filled in; what stands in an .html is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["explained"] = terms.explained
    return environment.get_template(name).render(**values).encode()
