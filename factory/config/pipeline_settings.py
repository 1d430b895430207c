"""Settings that a pipeline is given once, brought to the stages that read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from factory.config.arguments import apply_arguments
from factory.config.loading import required_line
from factory.config.reading import REQUIRED, Scalar, Tree
from factory.config.schema import Config
from factory.config.types import Schema, fields_of, split_key
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.pipeline import PipelineConfig, StageConfig

_TRAINING = ("source", "rendering", "compute", "training")
_ON_FACES = (*_TRAINING, "fleet", "acceptance")
_NETWORKS = ("recognizer", "autoencoder", "generator", "base_model", "personalization", "editing")
_DRAWN = (
    *("release", "source", "rendering", *_NETWORKS),
    *("identities", "plan", "sampler", "filters", "quality", "pairs"),
)
_MEASURED = ("judge", "audit", "features")
READS = {
    "train_recognizer": (*_TRAINING, "batches", "recognizer"),
    "import_recognizer": (*_TRAINING, "recognizer", "checkpoint"),
    "train_autoencoder": (*_ON_FACES, "recognizer", "judge", "autoencoder"),
    "train_generator": (*_ON_FACES, "recognizer", "autoencoder", "generator"),
    "release": (
        *(*_DRAWN, *_MEASURED, "checkpoint", "acceptance"),
        *("shards", "fleet", "estimate", "compute"),
    ),
    "utility": (*_TRAINING, "batches", "recognizer", "utility"),
    "evaluate": (*_DRAWN, *_MEASURED, "fleet", "compute"),
}
"""Sections that a stage's job reads, besides `store`, which the pipeline gives."""
TRAININGS = ("train_recognizer", "import_recognizer", "train_autoencoder", "train_generator")
IMPORTED = ("recognizer.checkpoint", "source", "rendering", "compute", "training", "checkpoint")
"""What an import takes of the settings of the training that it stands for."""


def own_and_given(schema: Schema, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments for the pipeline itself, and those for its stages.

    `recognizer=dlib` is the pipeline's, `recognizer.epochs=3` is for stages.
    """
    own: list[str] = []
    given: list[str] = []
    for argument in arguments:
        key = argument.partition("=")[0]
        first, *inner = split_key(key)
        theirs = bool(inner) and first != "store" and first in fields_of(Config)
        (given if theirs else own).append(argument)
    return own, given


def given_to_stages(pipeline: PipelineConfig, tree: Tree, given: list[str]) -> PipelineConfig:
    """The pipeline whose stages' `set` hold all that its file and its arguments give them.

    Raises ConfigError for a key that there is not, one that no stage reads, or one still to be
    given (`???`).
    """
    apply_arguments(Config, {}, [*pipeline.settings, *given])  # raises for keys that there are not
    _check_given(pipeline, given)
    _check_required(pipeline, tree, given)
    pipeline = with_recognizer(pipeline)
    stages = [_with_settings(stage, pipeline, given) for stage in pipeline.stages]
    return replace(pipeline, stages=stages, settings=(*pipeline.settings, *given))


def _check_given(pipeline: PipelineConfig, given: Sequence[str]) -> None:
    """Raise ConfigError for an argument that no stage reads, or that would undo the lineage."""
    jobs = {stage.job for stage in with_recognizer(pipeline).stages}
    for argument in given:
        key = argument.partition("=")[0]
        section = str(split_key(key)[0])
        if not any(section in READS[job] for job in jobs):
            raise ConfigError(f"{key}: no stage reads section {section}; leave it out")
        if key == "training.out":
            raise ConfigError(
                f"{key}: got one folder for all stages; want out=FOLDER, in which each has its own"
            )
        for stage in pipeline.stages:
            filled = next((text for text in stage.set if text.startswith(f"{key}={{")), None)
            if filled:
                raise ConfigError(
                    f"{key}: stage {stage.name!r} sets it, {filled}; want "
                    f"{_instead(pipeline, filled)}"
                )


def _instead(pipeline: PipelineConfig, filled: str) -> str:
    """What to do for a network that is there, where `filled` names the stage that makes it."""
    name = filled.partition("{")[2].partition("}")[0]
    job = next((stage.job for stage in pipeline.stages if stage.name == name), "")
    if job == "train_recognizer":
        return "recognizer=CHECKPOINT for a recognizer that is there"
    return f"a copy of this pipeline without stage {name!r} and without {filled}"


def _check_required(pipeline: PipelineConfig, tree: Tree, given: Sequence[str]) -> None:
    """Raise ConfigError for settings of the file that are left to the person and not given."""
    listed = tree.get("settings") if isinstance(tree, dict) else None
    comments = {part.text: part.comment for part in listed or [] if isinstance(part, Scalar)}
    given_keys = {argument.partition("=")[0] for argument in given}
    missing = [
        (text.partition("=")[0], comments.get(text, ""))
        for text in pipeline.settings
        if text.partition("=")[2] == REQUIRED and text.partition("=")[0] not in given_keys
    ]
    if missing:
        raise ConfigError(required_line(missing))


def _with_settings(stage: StageConfig, pipeline: PipelineConfig, given: list[str]) -> StageConfig:
    """The stage with the settings that its job reads: the file's, its own, the arguments'."""
    given_keys = {argument.partition("=")[0] for argument in given}

    def read(settings: Sequence[str]) -> list[str]:
        return [text for text in settings if str(split_key(text)[0]) in READS[stage.job]]

    file = [
        text
        for text in pipeline.settings
        if not (text.partition("=")[2] == REQUIRED and text.partition("=")[0] in given_keys)
    ]
    changes = [*read(file), *stage.set, *read(given)]
    if pipeline.out and stage.job in TRAININGS:
        changes.append(f"training.out={Path(pipeline.out) / stage.name}")
    return replace(stage, set=tuple(changes))


def with_recognizer(pipeline: PipelineConfig) -> PipelineConfig:
    """The pipeline with the recognizer that it names in the place of one that it trains.

    A checkpoint of ours takes the place of the stage; an .onnx or a pack is imported by it. One
    that was imported before takes its place too, with `set_if_imported` for the others. Raises
    ConfigError for dlib, which cannot condition a generator.
    """
    name = pipeline.recognizer
    trained = [stage for stage in pipeline.stages if stage.job == "train_recognizer"]
    if name == "train" or not trained:
        return pipeline
    if name == "dlib":
        raise ConfigError(
            "recognizer: got 'dlib', which judges what is made (judge.checkpoint) and cannot "
            "condition a generator; want train, a checkpoint folder, an .onnx file or an "
            "insightface pack"
        )
    is_ours = name.startswith(("starter:", "s3://")) or (Path(name) / "checkpoint.json").is_file()
    is_imported = not is_ours or was_imported(name)
    stages = []
    for stage in pipeline.stages:
        if stage not in trained:
            further = stage.set_if_imported if is_imported else ()
            stage = replace(stage, set=(*stage.set, *further))
        elif is_ours:
            continue
        else:
            kept = [text for text in stage.set if text.startswith(IMPORTED)]
            changes = (*kept, f"recognizer.checkpoint={name}")
            stage = replace(stage, job="import_recognizer", set=changes, share=0.0)
        stages.append(stage)
    if is_ours:
        marks = [f"{{{stage.name}}}" for stage in trained]
        stages = [replace(stage, set=_filled(stage.set, marks, name)) for stage in stages]
    return replace(pipeline, stages=stages)


def was_imported(name: str) -> bool:
    """Whether a checkpoint folder holds a recognizer of somebody else (jobs.import_recognizer).

    Of an address in a bucket it is not known: nothing is read there before the work begins.
    """
    try:
        body = json.loads((Path(name) / "checkpoint.json").read_text())
    except (OSError, ValueError):  # no folder; or what is wrong with it is said by who opens it
        return False
    config = body.get("config") if isinstance(body, dict) else None
    return isinstance(config, dict) and config.get("backbone") == "onnx"


def _filled(settings: Sequence[str], marks: Sequence[str], name: str) -> tuple[str, ...]:
    """Settings with a name in the place of marks."""
    filled = tuple(settings)
    for mark in marks:
        filled = tuple(text.replace(mark, name) for text in filled)
    return filled
