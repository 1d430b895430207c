"""Figures of a release as rows of its report's tables; n/a where there is none."""

from __future__ import annotations

from typing import Any

from factory.evaluation.leakage import NAMES
from factory.records import Manifest
from factory.shots.plan import Plan

SETS = ("fid", "cmmd", "precision", "recall")
"""Figures of two sets of features, in their order in tables."""


def headline(plan: Plan, manifest: Manifest) -> list[tuple[str, Any]]:
    """What is in it, counted."""
    counts = manifest.counts
    identities = sum(unit.num_identities for unit in plan.units)
    from_source = identities - plan.request.identities.num_virtual
    size = sum(file.size for shard in manifest.shards for file in shard.files)
    return [
        ("virtual identities", identities - from_source),
        ("identities of the source", from_source),
        ("kept faces", counts.kept),
        ("planned faces", counts.planned),
        ("shots, top-ups included", counts.shots),
        ("kept share of shots", f"{counts.kept_fraction:.1%}"),
        ("shards", len(manifest.shards)),
        ("size", f"{size / 1e6:.1f} MB"),
    ]


def similarity(measured_by: dict[str, Any]) -> list[list[str]]:
    """A row for each recognizer and set: AUC, EER, FMR100, FMR1000, FDR, genuine, impostor."""
    rows = []
    for name, measured in measured_by.items():
        for side in ("release", "source"):
            pairs = measured[side]
            if "auc" not in pairs:
                rows.append([name, side, pairs["note"], "", "", "", "", "", ""])
                continue
            rows.append(
                [
                    name,
                    side,
                    f"{pairs['auc']:.4f}",
                    *(f"{pairs[key]:.3f}" for key in ("eer", "fmr100", "fmr1000")),
                    f"{pairs['fdr']:.2f}",
                    mean(pairs["genuine"]),
                    mean(pairs["impostor"]),
                ]
            )
    return rows


def consistency(properties: dict[str, Any]) -> list[list[str]]:
    """A row for each recognizer and set: C_k, CCS, NNCCS and their difference."""
    rows = []
    for name in ("recognizer", "judge"):
        for side in ("release", "source"):
            seen = properties.get(name, {}).get(side)
            if seen:
                cells = [mean(seen.get(key)) for key in ("within_class", "ccs", "nnccs")]
                rows.append([name, side, *cells, number(seen.get("ccs_minus_nnccs"))])
    return rows


def fidelity(properties: dict[str, Any], measured_by: dict[str, Any]) -> list[list[str]]:
    """A row for each network: FID, CMMD, precision, recall; overlaps where it is a recognizer."""
    rows = []
    seen_by = {name: properties[name]["fidelity"] for name in measured_by} | properties["features"]
    for name, seen in seen_by.items():
        figures = [number(seen.get(key)) for key in SETS]
        overlap = measured_by.get(name, {}).get("overlap", {})
        shared = [number(overlap.get(key)) for key in ("genuine", "impostor")]
        rows.append([name, *figures, *shared])
    for other, sets in properties.get("beside", {}).items():
        for name in seen_by:
            figures = [number(sets[name].get(key)) for key in SETS]
            rows.append([f"{name}, against {other}", *figures, "", ""])
    return rows


def quality(properties: dict[str, Any]) -> list[list[str]]:
    """A row for each set: its CR-FIQA scores; none where no head was given."""
    seen = dict(properties.get("quality", {}))
    others = properties.get("beside", {})
    seen |= {name: sets["quality"] for name, sets in others.items() if "quality" in sets}
    return [[name, mean(scores)] for name, scores in seen.items()]


def edits(found: dict[str, Any]) -> list[list[Any]]:
    """A row for each kind and share: how many, the share hidden, and what is left of the face."""
    keys = ("occluded", "original_cosine", "visible_cosine")
    return [
        [name, seen["count"], *("" if seen[key] is None else number(seen[key]) for key in keys)]
        for name, seen in found.items()
    ]


def diversity(found: dict[str, Any]) -> list[list[str]]:
    """A row for each score: its mean deviation within an identity, and over all images."""
    rows = []
    for name, seen in found["within_identity"].items():
        if "note" in seen:
            rows.append([name, seen["note"], "", ""])
        else:
            rows.append([name, mean(seen), number(seen["of_all_images"]), seen["num_identities"]])
    return rows


def lineage(plan: Plan) -> list[tuple[str, str]]:
    """Where a release comes from: plan, weights, source, the release it extends, code, software."""
    request = plan.request
    rows = [("plan", plan.hash)]
    rows += [(f"weights: {kind}", sha256) for kind, sha256 in request.weights.items()]
    rows.append(("source", request.source.fingerprint))
    if request.extends_plan_hash:
        rows.append((f"extends {request.identities.extends}", request.extends_plan_hash))
    rows.append(("factory, sha256 of its code", request.environment.sources_sha256))
    rows += [(name, version) for name, version in request.environment.stack.items()]
    return rows


def mean(seen: dict[str, float] | None) -> str:
    """Mean and standard deviation."""
    return f"{seen['mean']:.3f} ± {seen['std']:.3f}" if seen else "n/a"


def number(value: float | None) -> str:
    """Three decimals."""
    return "n/a" if value is None else f"{value:.3f}"


def separability(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The gate, what it means, and how near anybody comes to it."""
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


def balance(found: dict[str, Any]) -> list[list[str]]:
    """A row for each group."""
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


def leakage(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each way in which a real face can show."""
    if "note" in found:
        return []
    rows = []
    for kind, name in NAMES.items():
        seen = found[kind]
        share = f"{seen['num_above']} of {seen['count']} ({seen['fraction']:.2%})"
        limit = f"{seen['limit_cosine']:.3f}, by {seen['num_strangers']} of the source"
        rows.append((name, share, limit, f"{seen['nearest']['p99']:.3f}"))
    return rows


def pairwise_line(found: dict[str, Any]) -> str:
    """Shares above thresholds of pairs, for comparison."""
    shares = found.get("pairwise", {}).get("at_fmr", {})
    return "; ".join(
        f"{seen['fraction']:.2%} above cosine {seen['cosine']:.3f}, as {fmr} of stranger pairs are"
        for fmr, seen in shares.items()
    )


def _range(seen: dict[str, float]) -> str:
    return f"{seen['mean']:.3f} ± {seen['std']:.3f}, at most {seen['max']:.4f}"


def pose_line(pose: dict[str, Any]) -> str:
    """Spread of yaw in one sentence."""
    if "note" in pose:
        return "Yaw: " + str(pose["note"]) + "."
    made, real = pose["release"], pose["source"]
    for side, seen in (("release", made), ("source", real)):
        if "note" in seen:
            return f"Yaw of the {side}: {seen['note']}."
    return (
        f"Yaw within an identity: standard deviation {made['yaw_std_within_identity_deg']:.1f}° "
        f"in the release, {real['yaw_std_within_identity_deg']:.1f}° in the source "
        f"(faces found in {made['num_detected']} of {made['num_images']})."
    )
