"""What a submitted job makes, apart from how: the settings that its name is a digest of.

Two submissions of one thing must be one run, whatever they say about workers, prices or requests to
the store: a second driver would make the same files beside the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from factory.config import ClaimConfig, Config, PipelineConfig, as_dict, load

DECIDES: Mapping[str, tuple[str, ...]] = {
    "fleet": (),
    "estimate": (),
    "store": ("url", "endpoint_url"),
    "compute": ("device", "precision"),
    "training": ("out", "seed", "max_steps", "min_steps"),
}
"""Sections of which not all decides what is made, and the keys that do; of others all does."""


def digest(
    job: str,
    values: Mapping[str, Any],
    configs: Sequence[Any],
    sections: Sequence[str],
    find: Callable[[str], Path],
) -> str:
    """Twelve hex digits of all that decides what the job makes.

    `values` are its subjects and options, `sections` those of a Config that it reads (none: all);
    `find` turns the name of a config that another one names into its path.
    """
    made = [_what_it_makes(config, sections, find) for config in configs]
    text = json.dumps([job, dict(values), made], sort_keys=True, default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _what_it_makes(config: Any, sections: Sequence[str], find: Callable[[str], Path]) -> Any:
    """The deciding part of a config, with that of the configs that it names."""
    plain = {key: _deciding(key, section) for key, section in as_dict(config).items()}
    if isinstance(config, Config):
        what = sections or plain
        if "training" in what and "utility" not in what:  # then training.out says where
            what = [key for key in what if key != "store"]
        return {key: plain[key] for key in what}
    named: list[tuple[str | None, tuple[str, ...]]] = []
    if isinstance(config, PipelineConfig):
        named = [(stage.config, stage.set) for stage in config.stages]
        plain["stages"] = [[stage.name, stage.job, stage.release] for stage in config.stages]
    if isinstance(config, ClaimConfig):
        arms = config.arms.values()
        named = [(arm.config, arm.set) for arm in arms]
        named += [(arm.release, arm.release_set) for arm in arms if arm.release]
        plain["arms"] = [[name, arm.release is not None] for name, arm in config.arms.items()]
    loaded = [load(find(file) if file else None, list(changes)) for file, changes in named]
    return [plain, [_what_it_makes(one, (), find) for one in loaded]]


def _deciding(key: str, section: Any) -> Any:
    if key not in DECIDES or not isinstance(section, dict):
        return section
    kept = {name: section[name] for name in DECIDES[key]}
    if "url" in kept:
        kept["url"] = str(kept["url"]).rstrip("/")
    return kept
