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
    body = dict(request)
    body["environment"] = {
        "sources_sha256": body.pop("factory")["sources_sha256"],
        "stack": body.pop("stack"),
    }
    return _loras(body) if "people" in body["source"] else _release(body)


def with_present_values(request: dict[str, Any]) -> dict[str, Any]:
    """The request of a plan.json in the present form, written before a value got its name."""
    proposal = request.get("identities", {}).get("proposal")
    renamed = RENAMED_VALUES["identities.proposal"].get(proposal)
    if renamed is None:
        return request
    return request | {"identities": request["identities"] | {"proposal": renamed}}


def column_names(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metadata/ or rejects/ with the present names of its columns."""
    return {COLUMNS.get(name, name): value for name, value in row.items()}


def _release(body: dict[str, Any]) -> dict[str, Any]:
    sampler = {SAMPLER.get(name, name): value for name, value in body["sampler"].items()}
    sampler["guidance_interval"] = [sampler.pop("guidance_from"), sampler.pop("guidance_to")]
    values = RENAMED_VALUES["sampler.negative_condition"]
    sampler["negative_condition"] = values[sampler["negative_condition"]]
    body["sampler"] = sampler
    extended = body["identities"].get("extends") or {}
    body["identities"] = body["identities"] | {"extends": extended.get("version")}
    body["extends_plan_hash"] = extended.get("plan_hash")
    method, prompts, edits = "diffusion", body.pop("booth", None), body.pop("editing", None)
    if prompts:
        method, body["prompts"] = "lora", prompts
    if edits:
        method = "edit"
        apart = {name: edits.pop(name, None) for name in ("detector", "negative_prompt")}
        editing = {EDITING.get(name, name): value for name, value in edits.items()}
        body["edits"] = apart | {"editing": editing}
    body["release"] = body["release"] | {"method": method}
    return body


def _loras(body: dict[str, Any]) -> dict[str, Any]:
    release, recipe = body.pop("release"), dict(body.pop("booth"))
    base = {name: recipe.pop(name) for name in ("family", "negative_prompt")}
    return body | {
        "dataset": release["dataset"],
        "name": release["version"],
        "recipe": recipe,
        "base_model": base,
    }
