"""Which image of the source a shot edits, in which region, and how much of the face that hides.

Mask-ControlNet, METHODS 4.
"""

from __future__ import annotations

from collections.abc import Sequence
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
Stream = tuple[int, int, int]


@dataclass(frozen=True)
class Edit:
    """One edit: key of the original, kind of region (or classic), fraction to hide, prompt."""

    original: str
    kind: str
    fraction: float | None
    prompt: str


def edit_of(editing: EditingConfig, identity: Identity, stream: Stream, attempt: int) -> Edit:
    """The edit of a shot (seed, identity, image).

    Originals come in turn; kind and fraction are drawn anew for each attempt.
    """
    original = identity.originals[stream[2] % len(identity.originals)]
    if editing.method == CLASSIC:
        return Edit(original, CLASSIC, None, "")
    fraction = _drawn(editing.occluded_fractions, stream, "share", attempt)
    kind = _drawn(kinds_for(editing.kinds, fraction), stream, "kind", attempt)
    words = WORDS[kind] if editing.method == "controlnet" else None
    return Edit(
        original, kind, fraction, "" if words is None else prompt_for(editing.template, words)
    )


def kinds_for(kinds: Sequence[str], fraction: float) -> list[str]:
    """The kinds that can hide such a fraction of a face."""
    return [kind for kind in kinds if (kind in SPARING if fraction == 0 else kind != "background")]


def prompt_for(template: str, words: str) -> str:
    """A template with its blank filled."""
    return template.replace("{edit}", words)


def _drawn(options: Sequence[Any], stream: Stream, name: str, attempt: int) -> Any:
    return options[stream_seed(*stream, name, attempt) % len(options)]
