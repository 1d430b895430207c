"""A lineage as a file: trainings, release and measurements in order, each made once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from factory.config.field import file_path
from factory.config.loading import typed
from factory.config.release import StoreConfig
from factory.config.store_rules import check_store
from factory.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage: a job and its config."""

    name: str = ""
    """What later stages call its artifact: {name} in their `set` stands for its folder."""
    job: Literal[
        "train_recognizer", "train_autoencoder", "train_generator", "release", "utility", "evaluate"
    ] = "release"
    """What is run."""
    config: str = file_path("configs/demo.yaml")
    """Its YAML file, relative to where the pipeline is run."""
    set: tuple[str, ...] = ()
    """Changes as section.key=value."""
    release: str = "{release}"
    """For utility and evaluate: the release that is measured."""


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """All stages, in the order they are run, and where their artifacts are kept."""

    name: str = "pipeline"
    """Folder of the records, in pipelines/ of the store."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """Store of all stages, whatever their own configs say."""
    stages: list[StageConfig] = field(default_factory=list)
    """Stages; one may name those before it."""


def load_pipeline(path: str | Path, dotlist: Sequence[str] | None = None) -> PipelineConfig:
    """Read and check a pipeline; raises ConfigError in one line."""
    pipeline = typed(PipelineConfig, path, dotlist or [])
    check_store(pipeline.store)
    if not pipeline.stages:
        raise ConfigError("stages: got none; want at least one")
    earlier: list[str] = []
    for index, stage in enumerate(pipeline.stages):
        plain = stage.name.replace("-", "").replace("_", "")
        if not plain.isascii() or not plain.isalnum() or stage.name in earlier:
            raise ConfigError(
                f"stages[{index}].name: got {stage.name!r}; want letters, digits, - and _, and "
                "another name than the stages before"
            )
        if not Path(stage.config).is_file():
            raise ConfigError(f"stages[{index}].config: no such file {stage.config!r}")
        measured = [stage.release] if stage.job in ("utility", "evaluate") else []
        for text in (*stage.set, *measured):
            unknown = [name for name in names_in(text) if name not in earlier]
            if unknown:
                raise ConfigError(
                    f"stages[{index}]: {text!r} names {unknown[0]!r}; want one of the stages "
                    f"before, {', '.join(earlier) or '(there are none)'}"
                )
        earlier.append(stage.name)
    return pipeline


def names_in(text: str) -> list[str]:
    """Stages that a text names as {name}."""
    return re.findall(r"\{([\w-]+)\}", text)
