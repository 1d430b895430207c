"""Metrics that an older factory wrote, under the names and in the places that they have now."""

from __future__ import annotations

from typing import Any

RENAMED = {
    "Similarity": {"with_source": "made_vs_photographs"},
    "Properties": {"beside": "reference_sets", "repeats": "duplicates"},
    "Consistency": {"nearest_centre": "nearest_center"},
    "Throughput": {"sampling_share_of_busy_time": "sampling_fraction_of_busy_time"},
}
"""New keys by old ones, of each type."""


def in_current_layout(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a type called `kind` as it is written now."""
    names = RENAMED.get(kind, {})
    body = {names.get(key, key): value for key, value in body.items()}
    if kind == "Properties" and "recognizers" not in body:
        return _properties(body)
    if kind == "ReferenceSet" and "fidelity" not in body:
        return _nested(body, "fidelity", set(body) - {"num_images", "quality"})
    if kind == "BenchmarkAccuracy" and "tar_at_far" not in body:
        prefix = "tar_at_far_"
        rates = {key for key in body if key.startswith(prefix)}
        named = {key.removeprefix(prefix): value for key, value in body.items() if key in rates}
        return {"accuracy": body["accuracy"], "tar_at_far": named}
    return body


def _properties(body: dict[str, Any]) -> dict[str, Any]:
    nested = _nested(body, "recognizers", {"recognizer", "judge"} & set(body))
    return nested | {"quality": body.get("quality") or None}  # because {} said that there is none


def _nested(body: dict[str, Any], name: str, keys: set[str]) -> dict[str, Any]:
    """The same with some of its entries below `name`."""
    rest = {key: value for key, value in body.items() if key not in keys}
    return rest | {name: {key: value for key, value in body.items() if key in keys}}
