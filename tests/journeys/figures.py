"""Check what a journey is to reach: published, audited, people told apart by dlib, faces kept.

python figures.py RELEASE MIN_AUC MIN_KEPT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from factory.config import StoreConfig
from factory.shards import layout
from factory.store import open_store


def failures(metrics: dict[str, Any], min_auc: float, min_kept: float) -> list[str]:
    """A line for each figure that is not reached; `metrics` are metrics/*.json by their stems."""
    auc = metrics["similarity"]["judge"]["release"]["auc"]
    kept = metrics["counts"]["kept_fraction"]
    lines = [f"AUC between people by the judge: {auc:.3f}, want {min_auc}"] * (auc < min_auc)
    lines += [f"kept: {kept:.0%} of the faces, want {min_kept:.0%}"] * (kept < min_kept)
    if not metrics["audit"]["established"]:
        lines.append(f"the audit establishes nothing: {metrics['audit']['reason']}")
    return lines


def main(release: str, min_auc: float, min_kept: float) -> None:
    store = open_store(StoreConfig(url=release))
    names = ("similarity", "counts", "audit")
    metrics = {name: json.loads(store.get(layout.metrics_name(name))) for name in names}
    missing = failures(metrics, min_auc, min_kept)
    latest = json.loads((Path(release).parents[1] / "latest.json").read_text())
    if latest["version"] != Path(release).name:
        missing.append(f"latest.json names {latest['version']}")
    similarity, counts = metrics["similarity"]["judge"]["release"], metrics["counts"]
    print(f"AUC {similarity['auc']:.3f}, kept {counts['kept_fraction']:.0%}")
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
