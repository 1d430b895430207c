"""What is edited of whom: for every shot an image of the source, a region and the share of the face
it hides (Mask-ControlNet, METHODS 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from factory.config import EditingConfig
from factory.config.editing import SPARING
from factory.records import Identity
from factory.seeds import stream_seed

WORDS = {
    "mask": ", wearing a medical mask",
    "sunglasses": ", wearing sunglasses",
    "glasses": ", wearing glasses",
    "hat": ", wearing a hat",
    "bangs": ", with bangs over the forehead",
    "scarf": ", wearing a scarf",
    "hand": ", with a hand before the face",
    "blocks": ", behind something",
    "background": "",
}
"""What a prompt says of a region."""
CLASSIC = "classic"


@dataclass(frozen=True)
class Edit:
    """One edit: key of the original, kind of region (or classic), share to hide, prompt."""

    original: str
    kind: str
    share: float | None
    prompt: str


def edit_knobs(editing: EditingConfig) -> dict[str, Any]:
    """What a plan keeps of the edits."""
    names = ("editor", "kinds", "shares", "ratio", "soft_px", "points", "segmenter")
    knobs = {name: getattr(editing, name) for name in (*names, "grounding_text", "template")}
    return knobs | {"kinds": list(editing.kinds), "shares": list(editing.shares)}


def edit_of(
    knobs: dict[str, Any], who: Identity, stream: tuple[int, int, int], attempt: int
) -> Edit:
    """The edit of a shot (seed, identity, image): originals in turn, kind and share drawn anew for
    each attempt."""
    original = who.originals[stream[2] % len(who.originals)]
    if knobs["editor"] == CLASSIC:
        return Edit(original, CLASSIC, None, "")
    share = _drawn(knobs["shares"], stream, "share", attempt)
    kind = _drawn(kinds_for(knobs["kinds"], share), stream, "kind", attempt)
    prompt = prompt_for(knobs["template"], WORDS[kind]) if knobs["editor"] == "controlnet" else ""
    return Edit(original, kind, share, prompt)


def kinds_for(kinds: list[str], share: float) -> list[str]:
    """Those that can hide so much of a face."""
    return [kind for kind in kinds if (kind in SPARING if share == 0 else kind != "background")]


def prompt_for(template: str, words: str) -> str:
    """A template with its blank filled."""
    return template.replace("{edit}", words)


def _drawn(options: list[Any], stream: tuple[int, int, int], what: str, attempt: int) -> Any:
    return options[stream_seed(*stream, what, attempt) % len(options)]
