"""What a config must satisfy that edits faces (editing.*), or learns to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from factory.config.editing import KINDS, SPARING, RegionsConfig
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.whole import Config


def check_kinds(config: Config) -> None:
    """Kinds, shares, and what points and segmenters need; raises ConfigError."""
    editing = config.editing
    for section in ("editing", "editor"):
        kinds = getattr(config, section).kinds
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            found = repr(unknown[0]) if unknown else "none"
            raise ConfigError(f"{section}.kinds: got {found}; want some of {', '.join(KINDS)}")
    wrong = [share for share in editing.shares if not 0 <= share <= 0.9]
    if wrong or not editing.shares:
        found = str(wrong[0]) if wrong else "none"
        raise ConfigError(
            f"editing.shares: got {found}; want shares of the face from 0 to .9, because an edit "
            "that hides all of a face leaves nobody"
        )
    for share in editing.shares:
        able = SPARING if share == 0 else tuple(k for k in KINDS if k != "background")
        if not set(able) & set(editing.kinds):
            raise ConfigError(
                f"editing.shares: got {share:g} with editing.kinds={list(editing.kinds)}, none of "
                f"which can; want one of {', '.join(able)}"
            )
    for section in ("editing", "editor"):
        _check_finding(section, getattr(config, section), config.source.detector)


def _check_finding(section: str, asked: RegionsConfig, detector: str | None) -> None:
    if asked.points == "detector" and not detector:
        raise ConfigError(
            f"source.detector: nothing given while {section}.points=detector; want YuNet's .onnx"
        )
    if asked.grounding and asked.segmenter != "sam":
        raise ConfigError(
            f"{section}.grounding: got {asked.grounding} with {section}.segmenter="
            f"{asked.segmenter}, which asks about no boxes; want null, or sam"
        )
    if asked.segmenter != "landmarks" and not asked.segmenter_path:
        raise ConfigError(
            f"{section}.segmenter_path: nothing given for {section}.segmenter={asked.segmenter}; "
            "want the network"
        )


def check_editing(config: Config) -> None:
    """Nobody is proposed, and samplers do what editors can; raises ConfigError."""
    sampler = config.sampler
    cannot: dict[str, tuple[Any, Any]] = {
        "identities.num_virtual": (config.identities.num_virtual, 0),
        "plan.fill_to": (config.plan.fill_to, 0),
        "booth.loras": (config.booth.loras, None),
        "sampler.away": (sampler.away, "nobody"),
        "sampler.turn": (sampler.turn, False),
        "sampler.similarity": (tuple(sampler.similarity), ()),
        "sampler.yaw": (tuple(sampler.yaw), ()),
        "sampler.pitch": (tuple(sampler.pitch), ()),
        "identities.gallery": (config.identities.gallery, None),
        "identities.attributes": (config.identities.attributes, None),
        "identities.extends": (config.identities.extends, None),
    }
    if config.editing.editor == "controlnet":
        cannot |= {
            "sampler.spacing": (sampler.spacing, "trailing"),
            "sampler.guidance_from": (sampler.guidance_from, 0.0),
            "sampler.guidance_to": (sampler.guidance_to, 1.0),
        }
    for name, (found, wanted) in cannot.items():
        if found != wanted:
            raise ConfigError(
                f"{name}: got {found!r} with editing.editor={config.editing.editor}, which edits "
                f"the source's faces; want {wanted!r}"
            )
    if config.editing.editor in ("uvit", "controlnet") and not config.editing.checkpoint:
        raise ConfigError(
            f"editing.checkpoint: nothing given for editing.editor={config.editing.editor}; want "
            "the folder that jobs.train_inpainting or jobs.train_controlnet wrote"
        )
    if config.plan.micro_batch is None:
        raise ConfigError("plan.micro_batch: got null with editing.editor; want a number")
    if config.editing.editor == "classic":
        least = config.filters.min_visible_cosine
        if least is not None:
            raise ConfigError(
                f"filters.min_visible_cosine: got {least} with editing.editor=classic, which has "
                "no regions; want null"
            )
