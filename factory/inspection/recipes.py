"""Which recipe of configs/ fits a dataset, by its people, its images and who they are."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from factory.config import SourceConfig
from factory.config.source_rules import WITHOUT_PATH
from factory.inspection.findings import Recipe

CONFIGS = Path(__file__).parent.parent.parent / "configs"
"""The recipes beside the package; an installed one has none and names them all the same."""
FEW_PEOPLE = 2000
"""People below which a generator from nothing draws nobody well: the starter's is renewed."""
MANY_PEOPLE, MANY_IMAGES = 50_000, 2_000_000
GPU_PEOPLE = 5000
"""People from which the published recipes for GPUs fit."""
MIN_IMAGES_A_PERSON = 2
LICENSE, RESIZE = "source.license=", "source.resize="


@dataclass(frozen=True)
class Facts:
    """What decides which recipe fits."""

    address: str
    kind: str
    people: int
    images: int
    aligned_px: int | None
    is_release: bool
    real_people: bool
    settings: tuple[str, ...] = ()
    """`assignments` of what the person gave of section source."""

    @property
    def images_a_person(self) -> float:
        return self.images / max(self.people, 1)


def assignments(config: SourceConfig, given: Collection[str]) -> tuple[str, ...]:
    """The settings of a source that a person gave, as source.key=value, without kind and path."""
    keys = {key for key in given if key.startswith("source.")} - {"source.kind", "source.path"}
    found: list[str] = []
    for key in sorted(keys):
        value: Any = config
        for part in key.split(".")[1:]:
            value = getattr(value, part)
        found += _flat(key, value)
    return tuple(dict.fromkeys(found))


def _flat(key: str, value: Any) -> list[str]:
    """key=value, of a section one for each field that is not as it is by default."""
    if not is_dataclass(value):
        is_text = isinstance(value, str)
        return [
            f"{key}={value if is_text else json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        ]
    section: Any = type(value)
    default = section()
    names = [field.name for field in fields(value)]
    changed = [name for name in names if getattr(value, name) != getattr(default, name)]
    return [line for name in changed for line in _flat(f"{key}.{name}", getattr(value, name))]


def fitting(facts: Facts) -> list[Recipe]:
    """The recipes that fit, the best first; each with the command to run next."""
    if facts.kind == "starter":
        return [
            _recipe(facts, "demo.yaml", "release", "its networks are in the package", source=False)
        ]
    if facts.is_release or not facts.real_people:
        return [
            _recipe(
                facts,
                "utility/mini.yaml",
                "utility",
                "people who do not exist: what is left to ask is what a recognizer learns of them",
                subject=True,
            )
        ]
    return _for_photographs(facts)


def _for_photographs(facts: Facts) -> list[Recipe]:
    per_person = f"{facts.people} people with {facts.images_a_person:.1f} images each"
    if facts.images_a_person < MIN_IMAGES_A_PERSON:
        why = f"{per_person}: nobody shows how one person varies, so the starter's networks go on"
        return [_recipe(facts, "photographs.yaml", "pipeline", why)]
    if facts.people < FEW_PEOPLE:
        why = f"{per_person} are few: the package's weights go on from where they are"
        return [_recipe(facts, "photographs.yaml", "pipeline", why)]
    if facts.people < GPU_PEOPLE:
        why = f"{per_person}: enough for a recognizer and a generator of these faces on CPUs"
        return [
            _recipe(facts, "generator/photographs.yaml", "train_generator", why),
            _recipe(facts, "photographs.yaml", "pipeline", "the same in less time"),
        ]
    large = facts.people >= MANY_PEOPLE or facts.images >= MANY_IMAGES
    recognizer = "recognizer/ms1mv2_r100.yaml" if large else "recognizer/casia_r50.yaml"
    return [
        _recipe(facts, recognizer, "train_recognizer", f"{per_person}: the published recipe, GPUs"),
        _recipe(facts, "generator/vigface.yaml", "train_generator", "after it; GPUs"),
    ]


def _recipe(
    facts: Facts, name: str, job: str, why: str, *, source: bool = True, subject: bool = False
) -> Recipe:
    words = ["python", "-m", "jobs", job, *([facts.address] if subject else [])]
    words.append(f"configs/{name}")
    if source and not subject:
        words.append(f"source.kind={facts.kind}")
        words += [] if facts.kind in WITHOUT_PATH else [f"source.path={facts.address}"]
        own = list(facts.settings)
        if facts.aligned_px not in (None, 112):
            own = [line for line in own if not line.startswith(RESIZE)] + [f"{RESIZE}true"]
        has_license = any(line.startswith(LICENSE) for line in own)
        words += [*([] if has_license else [f"{LICENSE}LICENSE"]), *own]
    return Recipe(f"configs/{name}", title_of(name), why, shlex.join(words))


def title_of(name: str) -> str:
    """What a recipe says of itself: its first comment; empty where the file is not at hand."""
    file = CONFIGS / name
    if not file.is_file():
        return ""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and "yaml-language-server" not in line:
            lines.append(line[2:].strip())
        elif lines:
            break
    return " ".join(lines).partition(". ")[0].rstrip(".:")
