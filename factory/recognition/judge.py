"""Which recognizer judges: the one that a config names, or the one that knows such faces.

A judge must have seen faces like those that it looks for. The starter's has seen rendered heads
alone, so it judges sources without real people; photographs, and releases that descend from some,
are judged by dlib (CC0).
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from factory.config import Config
from factory.errors import CheckpointError
from factory.provenance.faces import descends_from_real, holds_real_people
from factory.recognition.external import DLIB, describe_embedder

AUTO, OF_RENDERED = "auto", "starter:judge"
KEY = "judge.checkpoint"


def judge_of(config: Config) -> str | None:
    """What judge.checkpoint stands for: a name that `open_embedder` takes; None for no judge."""
    if config.judge.checkpoint != AUTO:
        return config.judge.checkpoint
    real = holds_real_people(config.source) or descends_from_real(config.source)
    return DLIB if real else OF_RENDERED


def public_name(judge: str) -> str:
    """What a judge is called where others read it: a file or folder without where it lies."""
    return judge if judge in (DLIB, OF_RENDERED) else PurePath(judge).name


def describe_judge(config: Config) -> dict[str, Any] | None:
    """What `describe_embedder` tells of the judge; None for no judge.

    Raises CheckpointError where auto stands for dlib and that is not installed.
    """
    name = judge_of(config)
    if name is None:
        return None
    try:
        return describe_embedder(name, KEY)
    except CheckpointError as error:
        if config.judge.checkpoint != AUTO:
            raise
        raise CheckpointError(
            f"{KEY}: auto is {name} for this source ({error}), or give {KEY}=PATH of another "
            f"recognizer, or {KEY}=null for no judge, without which no release of photographs is "
            "published unless audit.accept_weak_judge=true"
        ) from None
