"""What a training learns from, by contents: a resume that changes it would be neither of the two.

Paths count nowhere: a file that a recipe names stands by its digest among the facts.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from factory.config import SourceConfig
from factory.sources import FaceSource
from factory.sources.alignment_facts import pixel_facts
from factory.sources.texts import texts_sha256

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from factory.training.faces import MappedFaces

Section = TypeVar("Section", bound="DataclassInstance")


def faces_facts(config: SourceConfig, faces: FaceSource | MappedFaces) -> dict[str, Any]:
    """Which faces of a source are learned from, and how they are aligned."""
    keys = texts_sha256(faces.keys).hexdigest()
    return pixel_facts(config, faces.fingerprint) | {"keys": keys}


def without_paths(section: Section) -> Section:
    """The section of a config with None for every path in it."""
    paths = {item.name: None for item in dataclasses.fields(section) if item.metadata.get("path")}
    return dataclasses.replace(section, **paths)


def to_text(facts: dict[str, Any]) -> str:
    """The one spelling of the facts, for hashing and for `difference`."""
    return json.dumps(facts, sort_keys=True, allow_nan=False)


def difference(begun: str | None, wanted: str) -> str:
    """' (a.b: X there, Y asked for)' of the first fact that differs between two texts.

    Empty where none does, or where a training was begun by a factory that kept no such text.
    """
    try:
        there, asked = (dict(_leaves(json.loads(text or ""))) for text in (begun, wanted))
    except ValueError:
        return ""
    for key in sorted({*there, *asked}):
        if there.get(key) != asked.get(key):
            return f" ({key}: {there.get(key)!r} there, {asked.get(key)!r} asked for)"
    return ""


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield key, value
        return
    for name, part in value.items():
        yield from _leaves(part, f"{key}.{name}" if key else str(name))
