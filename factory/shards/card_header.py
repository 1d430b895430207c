"""The YAML header of a dataset card: what the hub and `datasets.load_dataset` read of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

TASK = "image-classification"


def split_card(card: str) -> tuple[dict[str, Any], str, str]:
    """(header as values, header as text, what follows); of a card without one, empty and all."""
    if not card.startswith("---\n"):
        return {}, "", card
    text, end, rest = card.removeprefix("---\n").partition("\n---\n")
    try:
        header = yaml.safe_load(text)
    except yaml.YAMLError:
        header = None
    return (header, text, rest) if end and isinstance(header, dict) else ({}, "", card)


def completed(card: str, wanted: Mapping[str, Any]) -> str:
    """A card whose header has all of `wanted`: what it says itself stays as it is."""
    header, text, rest = split_card(card)
    missing = {key: value for key, value in wanted.items() if key not in header}
    if not missing:
        return card
    added = yaml.safe_dump(missing, sort_keys=False, allow_unicode=True).rstrip("\n")
    return f"---\n{text}\n{added}\n---\n{rest}" if text else f"---\n{added}\n---\n{rest}"


def header_of(license: str, title: str, num_images: int, path: str) -> dict[str, Any]:
    """All that the hub wants of a dataset of one split whose files are `path`, a pattern."""
    return {
        "license": license,
        "pretty_name": title,
        "task_categories": [TASK],
        "size_categories": [size_category(num_images)],
        "tags": ["face-recognition", "synthetic"],
        "configs": configs(path),
    }


def configs(path: str) -> list[dict[str, Any]]:
    """The one configuration of a dataset: a split `train` of the files of a pattern."""
    return [{"config_name": "default", "data_files": [{"split": "train", "path": path}]}]


def size_category(count: int) -> str:
    """The hub's name for a size, for instance 100K<n<1M."""
    if count < 1000:
        return "n<1K"
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    digit = min(len(str(count)) - 4, len(names) - 2)
    return f"{names[digit]}<n<{names[digit + 1]}"
