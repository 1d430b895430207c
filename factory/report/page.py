"""One self-contained HTML page and the dataset card, from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from factory.evaluation.leakage import NAMES
from factory.evaluation.measure import Pictures
from factory.identities.plan import Plan
from factory.records import Manifest
from factory.report.figures import contact_sheet, histogram_uri, jpeg_uri

TEMPLATES = Path(__file__).parent
SHEET_ROWS, SHEET_COLUMNS = 20, 8


def render_page(
    title: str, plan: Plan, manifest: Manifest, metrics: dict[str, Any], pictures: Pictures
) -> bytes:
    """report/index.html. `metrics` maps file stems of metrics/ to their content."""
    counts = manifest.counts
    similarity = metrics["similarity"]
    verdicts = [("kept", counts.kept), *counts.reasons.items(), ("quarantined", counts.quarantined)]
    return _render(
        "template.html",
        title=title,
        manifest=manifest,
        headline=_headline(plan, manifest),
        sheet=jpeg_uri(contact_sheet(pictures.faces, SHEET_ROWS, SHEET_COLUMNS)),
        verdicts=verdicts,
        shots=max(counts.shots, 1),
        plots=[histogram_uri(f"by the {name}", measured) for name, measured in similarity.items()],
        similarity=_similarity_rows(similarity),
        separability=_separability_rows(metrics["separability"]),
        leakage=_leakage_rows(metrics["leakage"]),
        leak_fpir=metrics["leakage"].get("leak_fpir"),
        leakage_note=metrics["leakage"].get("note"),
        pairwise=_pairwise_line(metrics["leakage"]),
        pairs=[
            (jpeg_uri(np.concatenate([made, real], axis=1)), pair.row["key"], pair.cosine)
            for made, real, pair in pictures.nearest
        ],
        properties=_property_rows(metrics["properties"]),
        fidelity=_fidelity_rows(metrics["properties"], similarity),
        repeats=metrics["properties"]["repeats"],
        balance=_balance_rows(metrics["balance"]),
        group_accuracy=metrics["balance"].get("left_out_accuracy"),
        pose=_pose_line(metrics["pose"]),
        throughput=metrics["throughput"],
        settings=json.dumps(plan.request, indent=2, sort_keys=True),
    )


def render_card(
    title: str, plan: Plan, manifest: Manifest, metrics: dict[str, Any], license_name: str
) -> bytes:
    """README.md of the release, with the hub's YAML header."""
    return _render(
        "card.md",
        title=title,
        manifest=manifest,
        counts=manifest.counts,
        headline=_headline(plan, manifest),
        license=license_name,
        weights=plan.request["weights"],
        leakage=metrics["leakage"],
        allow_real=plan.request["release"]["allow_real"],
    )


def _headline(plan: Plan, manifest: Manifest) -> list[tuple[str, Any]]:
    counts = manifest.counts
    identities = sum(unit.num_identities for unit in plan.units)
    real = identities - plan.request["identities"]["num_virtual"]
    size = sum(file.size for shard in manifest.shards for file in shard.files)
    return [
        ("virtual identities", identities - real),
        ("real identities", real),
        ("kept faces", counts.kept),
        ("planned faces", counts.planned),
        ("shots, top-ups included", counts.shots),
        ("kept share of shots", f"{counts.kept_share:.1%}"),
        ("shards", len(manifest.shards)),
        ("size", f"{size / 1e6:.1f} MB"),
    ]


def _similarity_rows(similarity: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, measured in similarity.items():
        for side in ("release", "source"):
            pairs = measured[side]
            if "auc" not in pairs:
                rows.append([name, side, pairs["note"], "", "", "", ""])
                continue
            rows.append(
                [
                    name,
                    side,
                    f"{pairs['auc']:.4f}",
                    f"{pairs['eer']:.3f}",
                    f"{pairs['fdr']:.2f}",
                    f"{pairs['genuine']['mean']:.3f} ± {pairs['genuine']['std']:.3f}",
                    f"{pairs['impostor']['mean']:.3f} ± {pairs['impostor']['std']:.3f}",
                ]
            )
    return rows


def _property_rows(properties: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name in ("recognizer", "judge"):
        for side in ("release", "source"):
            seen = properties.get(name, {}).get(side)
            if seen:
                cells = [_mean(seen.get(key)) for key in ("within_class", "ccs", "nnccs")]
                rows.append([name, side, *cells, _number(seen.get("ccs_minus_nnccs"))])
    return rows


def _fidelity_rows(properties: dict[str, Any], similarity: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, measured in similarity.items():
        seen, overlap = properties[name]["fidelity"], measured["overlap"]
        figures = [_number(seen.get(key)) for key in ("fid", "cmmd", "precision", "recall")]
        shared = [_number(overlap.get(key)) for key in ("genuine", "impostor")]
        rows.append([name, *figures, *shared])
    return rows


def _mean(seen: dict[str, float] | None) -> str:
    return f"{seen['mean']:.3f} ± {seen['std']:.3f}" if seen else "n/a"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _separability_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    strangers, rate = found["real_strangers"], found["real_strangers"]["false_match_rate"]
    meaning = "n/a" if rate is None else f"{rate:.2e} of {strangers['num_pairs']} pairs"
    rows = [
        ("gate: cosines stay below", f"{found['max_cosine']:.4f}"),
        ("real strangers above it, by the same recognizer", meaning),
        ("identities drawn again", f"{found['num_redrawn']} of {found['num_virtual']}"),
    ]
    proposal = found["proposal"]
    if "nearest_of_random" in proposal:
        dims = f"in {proposal['num_dims']} dimensions"
        rows.append(
            (
                f"as many random directions {dims}: to the nearest other",
                f"{proposal['nearest_of_random']['mean']:.3f} on average",
            )
        )
        rows.append(
            (
                f"no packing of so many {dims} has a smaller largest cosine than",
                f"{proposal['smallest_possible_cosine']:.3f}",
            )
        )
    for kind, title in (("real", "nearest real person"), ("other", "nearest other identity")):
        seen = found[f"nearest_{kind}"]
        rows.append((f"cosine of an identity to the {title}", seen.get("note") or _range(seen)))
    return rows


def _balance_rows(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, seen in found.get("groups", {}).items():
        within = seen["mean_cosine_within"]
        rows.append(
            [
                name,
                str(seen["count"]),
                f"{seen['share']:.1%}",
                "" if seen["quota"] is None else f"{seen['quota']:.1%}",
                f"{seen['mean_attempts']:.1f}",
                "" if within is None else f"{within:.3f}",
                f"{seen['nearest_other_mean']:.3f}",
                f"{seen['nearest_real_mean']:.3f}",
            ]
        )
    return rows


def _leakage_rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    if "note" in found:
        return []
    rows = []
    for kind, name in NAMES.items():
        seen = found[kind]
        share = f"{seen['num_above']} of {seen['count']} ({seen['fraction']:.2%})"
        limit = f"{seen['limit_cosine']:.3f}, by {seen['num_strangers']} of the source"
        rows.append((name, share, limit, f"{seen['nearest']['p99']:.3f}"))
    return rows


def _pairwise_line(found: dict[str, Any]) -> str:
    shares = found.get("pairwise", {}).get("at_fmr", {})
    return "; ".join(
        f"{seen['fraction']:.2%} above cosine {seen['cosine']:.3f}, as {fmr} of stranger pairs are"
        for fmr, seen in shares.items()
    )


def _range(seen: dict[str, float]) -> str:
    return f"{seen['mean']:.3f} ± {seen['std']:.3f}, at most {seen['max']:.4f}"


def _pose_line(pose: dict[str, Any]) -> str:
    if "note" in pose:
        return "Yaw: " + str(pose["note"]) + "."
    made, real = pose["release"], pose["source"]
    return (
        f"Yaw within an identity: standard deviation {made['yaw_std_within_identity_deg']:.1f}° "
        f"in the release, {real['yaw_std_within_identity_deg']:.1f}° in the source "
        f"(faces found in {made['num_detected']} of {made['num_images']})."
    )


def _render(name: str, **values: Any) -> bytes:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(**values).encode()
