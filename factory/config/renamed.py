"""Config keys that were renamed, and what they are called now.

An old key in a config is refused with its new name; settings in the plans of releases that were
made before (shots/older_plans.py) are read under the new ones.
"""

from __future__ import annotations

RENAMED_SECTIONS = {
    "feed": "batches",
    "text_to_image": "base_training",
    "booth": "personalization",
    "editor": "inpainting_training",
    "cluster": "estimate",
    "prices": "estimate",
}
RENAMED_KEYS = {
    "training.verify_every": "training.eval_every",
    "generator.start": "generator.init_from",
    "generator.renew_identity": "generator.reset_identity_layers",
    "generator.decay_share": "generator.decay_fraction",
    "booth.base": "base_model.path",
    "booth.family": "base_model.family",
    "booth.negative_prompt": "base_model.negative_prompt",
    "editor.largest_share": "inpainting_training.max_occluded_fraction",
    "editing.editor": "editing.method",
    "editing.shares": "editing.occluded_fractions",
    "editing.ratio": "editing.edits_per_image",
    "editing.ratios": "comparison.edits_per_image",
    "editing.probes": "comparison.num_probes",
    "sampler.spacing": "sampler.timestep_spacing",
    "sampler.guidance_from": "sampler.guidance_interval",
    "sampler.guidance_to": "sampler.guidance_interval",
    "sampler.away": "sampler.negative_condition",
    "sampler.turn": "sampler.perturb_identity",
    "fleet.max_line_bytes": "fleet.max_queued_bytes",
    "audit.vectors": "audit.embeddings_dir",
    "features.beside": "features.reference_sets",
    "prices.kept_share": "estimate.kept_fraction",
}
RENAMED_VALUES = {
    "sampler.negative_condition": {
        "nobody": "none",
        "nearest": "nearest_identity",
        "itself": "same_identity",
    },
    "identities.proposal": {"coloured": "colored"},
}
NEEDS_METHOD = {"editing.editor": "release.method=edit", "booth.loras": "release.method=lora"}
"""Old keys that chose the method of a release by being there."""


def new_name(key: str) -> str | None:
    """The dotted key that an old one has become; None for one that was never renamed."""
    section, dot, rest = key.partition(".")
    if key in RENAMED_KEYS:
        return RENAMED_KEYS[key]
    if section in RENAMED_SECTIONS:
        return RENAMED_SECTIONS[section] + dot + rest
    return None
