"""A lineage as a file: trainings, release and measurements in order, each made once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from factory.config.field import file_path, knob
from factory.config.loading import from_tree
from factory.config.pipeline_settings import given_to_stages, own_and_given
from factory.config.reading import read_file
from factory.config.release import StoreConfig
from factory.config.store_rules import check_store
from factory.errors import ConfigError

TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage: a job and its config."""

    name: str = ""
    """What later stages call its artifact: {name} in their `set` stands for its folder."""
    job: Literal[
        "train_recognizer",
        "import_recognizer",
        "train_autoencoder",
        "train_generator",
        "release",
        "utility",
        "evaluate",
    ] = "release"
    """What is run."""
    config: str | None = file_path()
    """Its YAML file, relative to where the pipeline is run; None: the defaults of all settings."""
    set: tuple[str, ...] = ()
    """Changes as section.key=value."""
    set_if_imported: tuple[str, ...] = ()
    """Further changes where `recognizer` names a network of somebody else."""
    release: str = "{release}"
    """For utility and evaluate: the release that is measured."""
    share: float = knob(0.0, low=0.0, high=1.0)
    """Part of a time budget (--budget) that the stage gets, in proportion to the others'. A
    training without one has its recipe's own steps."""
    min_steps: int = knob(100, low=1)
    """Of a training: fewest steps that a budget gives it."""
    max_steps: int | None = knob(None, low=1)
    """Of a training: most steps that a budget gives it, however many fit; None: no limit. A
    generator that few photographs teach for too long draws the people in them."""


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """All stages, in the order they are run, and where their artifacts are kept."""

    name: str = "pipeline"
    """Folder of the records, in pipelines/ of the store."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """Store of all stages, whatever their own configs say."""
    out: str | None = file_path()
    """Folder in which each training has its own, by the name of its stage; None: where the stages'
    own training.out say."""
    recognizer: str = file_path(TRAIN, or_name="checkpoint")
    """What stands for the stage that trains a recognizer: a checkpoint folder or starter:NAME, or
    an .onnx or insightface pack, which is imported. train: that stage is run."""
    settings: tuple[str, ...] = ()
    """Settings as section.key=value, given once for all stages that read the section; a stage's
    own `set` goes before. Those of a command line go before both."""
    stages: list[StageConfig] = field(default_factory=list)
    """Stages; one may name those before it."""


def load_pipeline(path: str | Path, dotlist: Sequence[str] | None = None) -> PipelineConfig:
    """Read and check a pipeline; raises ConfigError in one line.

    Arguments are keys of the pipeline's own, or settings for all stages that read their section.
    """
    own, given = own_and_given(PipelineConfig, dotlist or [])
    tree = read_file(Path(path))
    pipeline: PipelineConfig = from_tree(PipelineConfig, tree, own)
    check_store(pipeline.store)
    if not pipeline.stages:
        raise ConfigError("stages: got none; want at least one")
    earlier: list[str] = []
    for index, stage in enumerate(pipeline.stages):
        _check_stage(stage, index, earlier)
        earlier.append(stage.name)
    return given_to_stages(pipeline, tree, given)


def _check_stage(stage: StageConfig, index: int, earlier: Sequence[str]) -> None:
    """Raise ConfigError for a name, a file or a name of another stage that cannot be."""
    plain = stage.name.replace("-", "").replace("_", "")
    if not plain.isascii() or not plain.isalnum() or stage.name in earlier:
        raise ConfigError(
            f"stages[{index}].name: got {stage.name!r}; want letters, digits, - and _, and "
            "another name than the stages before"
        )
    if stage.max_steps is not None and stage.max_steps < stage.min_steps:
        raise ConfigError(
            f"stages[{index}].max_steps: got {stage.max_steps}; want at least "
            f"stages[{index}].min_steps, {stage.min_steps}, or null for no limit"
        )
    if stage.config is not None and not Path(stage.config).is_file():
        raise ConfigError(f"stages[{index}].config: no such file {stage.config!r}")
    measured = [stage.release] if stage.job in ("utility", "evaluate") else []
    for text in (*stage.set, *measured):
        unknown = [name for name in names_in(text) if name not in earlier]
        if unknown:
            raise ConfigError(
                f"stages[{index}]: {text!r} names {unknown[0]!r}; want one of the stages "
                f"before, {', '.join(earlier) or '(there are none)'}"
            )


def names_in(text: str) -> list[str]:
    """Stages that a text names as {name}."""
    return re.findall(r"\{([\w-]+)\}", text)
