"""The prototype stage on a recognizer that is trained already, into a checkpoint of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from factory import checkpoint
from factory.config import Config
from factory.errors import ConfigError
from factory.provenance.networks import provenance, records_of
from factory.recognition.batches import TrainingSet, open_training_set
from factory.recognition.class_shards import RankRows
from factory.recognition.embed import Recognizer
from factory.recognition.prototype_stage import (
    Shaped,
    check_stage,
    keep_features,
    shape_prototypes,
)
from factory.recognition.prototypes import geometry
from factory.records import Log
from factory.training.distributed import pick_device, rank, wait_for_all, world_size
from factory.training.engine import join

KEY = "recognizer.checkpoint"


def check_prototypes(config: Config) -> None:
    """Raise FactoryError for a stage that cannot begin."""
    name, stage = config.recognizer.checkpoint, config.recognizer.prototypes
    if not stage.steps:
        raise ConfigError(
            "recognizer.prototypes.steps: got 0, so nothing would be learned; want some, such as "
            "recognizer.prototypes.steps=600"
        )
    check_stage(config)
    metadata = checkpoint.read_metadata(name, "recognizer", KEY)
    if Path(config.training.out).resolve() == checkpoint.folder(name).resolve():
        raise ConfigError(
            f"training.out: got {config.training.out}, the folder of {KEY}; want another one"
        )
    dim = config.recognizer.embedding_dim
    if metadata["config"]["embedding_dim"] != dim:
        raise ConfigError(
            f"recognizer.embedding_dim: got {dim}, {KEY}={name} has "
            f"{metadata['config']['embedding_dim']}; want the recipe that it was trained by"
        )


def train_prototypes(config: Config, log: Log = print) -> dict[str, Any]:
    """Give a recognizer new virtual prototypes and write it to training.out; returns its metrics.

    Backbone, real prototypes and figures on held-out people are those of recognizer.checkpoint,
    whose sha256 is the `backbone` of the new lineage, so generators of either are generators of
    both. The source's people must be among those that it was trained on; others are left out.
    """
    check_prototypes(config)
    recipe = config.recognizer
    join(config.compute)
    parent = checkpoint.load(recipe.checkpoint, "recognizer", KEY)
    training_set, heldout = open_training_set(config)
    label_N = labels_of(training_set, parent.config["real_names"])
    if rank() == 0:
        log(training_set.describe(heldout))
        log(f"{int((label_N >= 0).sum())} images are of people whom the recognizer knows")
    recognizer = Recognizer(parent, pick_device(config.compute))
    kept = keep_features(recognizer, training_set, label_N, recipe.prototypes.max_images)
    real_ND = parent.tensors["prototypes.real"]
    own = RankRows.of(len(real_ND), recipe.num_virtual, rank(), world_size()).real
    real_RD = real_ND[own.start : own.stop]
    shaped = shape_prototypes(recipe, real_RD, len(real_ND), kept, config.training.seed)
    metrics = parent.metrics | {"prototype_stage": shaped.figures}
    metrics["geometry"] = geometry(real_ND, shaped.virtual_KD, shaped.start_KD)
    if rank() == 0:
        made = child(config, parent, training_set, shaped)
        checkpoint.save(Path(config.training.out), replace(made, metrics=metrics))
    wait_for_all()
    return metrics


def labels_of(training_set: TrainingSet, real_names: list[str]) -> np.ndarray:
    """Rows of a training set's images among real prototypes [N], -1 for people who are not there.

    Raises ConfigError where nobody is.
    """
    row = {name: index for index, name in enumerate(real_names)}
    row_P = np.array([row.get(name, -1) for name in training_set.names], np.int64)
    if (row_P < 0).all():
        raise ConfigError(
            f"source: nobody of {len(row_P)} people is among the {len(real_names)} whom {KEY} was "
            "trained on; want the source that it was trained on, or a part of it"
        )
    return np.asarray(row_P[training_set.labels])


def child(
    config: Config, parent: checkpoint.Checkpoint, training_set: TrainingSet, shaped: Shaped
) -> checkpoint.Checkpoint:
    """The recognizer with other virtual prototypes, and `backbone` in its lineage.

    That is the parent, or the parent's own where that went through the stage too: of its virtual
    prototypes nothing is left.
    """
    backbone = parent.lineage.get("backbone", parent.sha256)
    lineage = parent.lineage | {"backbone": backbone}
    learned = training_set.source_records(config)
    return replace(
        parent,
        tensors=parent.tensors | {"prototypes.virtual": shaped.virtual_KD},
        config=parent.config | {"num_virtual": len(shaped.virtual_KD)},
        lineage=lineage,
        sha256="",
        provenance=provenance(config, "recognizer", learned, lineage, records_of(vars(parent))),
    )
