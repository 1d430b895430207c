"""Plans and metadata written before config keys got their present names, read as if they had them.

Their hash stays the one that their commit records and SHA256SUMS were made with.
"""

from __future__ import annotations

from typing import Any

from factory.config.renamed import RENAMED_VALUES

SAMPLER = {
    "spacing": "timestep_spacing",
    "away": "negative_condition",
    "turn": "perturb_identity",
}
EDITING = {
    "editor": "method",
    "shares": "occluded_fractions",
    "ratio": "edits_per_image",
}
COLUMNS = {
    "spacing": "timestep_spacing",
    "away": "negative_identity",
    "turn_cos": "perturbation_cos",
}
"""Columns of metadata/ and rejects/."""


def with_present_names(request: dict[str, Any]) -> dict[str, Any]:
    """The request of an older plan.json, of a release or of LoRAs, in the present form."""
    known = dict(request)
    known["environment"] = {
        "sources_sha256": known.pop("factory")["sources_sha256"],
        "stack": known.pop("stack"),
    }
    return _loras(known) if "people" in known["source"] else _release(known)


def column_names(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metadata/ or rejects/ with the present names of its columns."""
    return {COLUMNS.get(name, name): value for name, value in row.items()}


def _release(known: dict[str, Any]) -> dict[str, Any]:
    sampler = {SAMPLER.get(name, name): value for name, value in known["sampler"].items()}
    sampler["guidance_interval"] = [sampler.pop("guidance_from"), sampler.pop("guidance_to")]
    values = RENAMED_VALUES["sampler.negative_condition"]
    sampler["negative_condition"] = values[sampler["negative_condition"]]
    known["sampler"] = sampler
    extended = known["identities"].get("extends") or {}
    known["identities"] = known["identities"] | {"extends": extended.get("version")}
    known["extends_plan_hash"] = extended.get("plan_hash")
    method, prompts, edits = "diffusion", known.pop("booth", None), known.pop("editing", None)
    if prompts:
        method, known["prompts"] = "lora", prompts
    if edits:
        method = "edit"
        apart = {name: edits.pop(name, None) for name in ("detector", "negative_prompt")}
        editing = {EDITING.get(name, name): value for name, value in edits.items()}
        known["edits"] = apart | {"editing": editing}
    known["release"] = known["release"] | {"method": method}
    return known


def _loras(known: dict[str, Any]) -> dict[str, Any]:
    release, recipe = known.pop("release"), dict(known.pop("booth"))
    base = {name: recipe.pop(name) for name in ("family", "negative_prompt")}
    return known | {
        "dataset": release["dataset"],
        "name": release["version"],
        "recipe": recipe,
        "base_model": base,
    }
