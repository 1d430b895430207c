"""Train a recognizer with real and virtual prototypes (VIGFace stage 1; METHODS 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config, RecognizerConfig
from factory.errors import ConfigError
from factory.provenance.networks import provenance
from factory.recognition.batches import BatchLoader, CorruptCount, TrainingSet, open_training_set
from factory.recognition.class_shards import RankRows, draw_rows
from factory.recognition.embed import MIRROR_SUM, Recognizer
from factory.recognition.memory import memory_line
from factory.recognition.pairs import Pairs, open_pairs
from factory.recognition.prototype_stage import (
    Shaped,
    check_stage,
    keep_features,
    shape_prototypes,
)
from factory.recognition.prototypes import Prototypes, whole_rows
from factory.recognition.training_step import TrainedNetworks, start_networks
from factory.recognition.validation import brief, figures, measure
from factory.records import Log
from factory.sources import FaceSet
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.compilation import Compilation
from factory.training.distributed import micro_batch, pick_device, rank, wait_for_all, world_size
from factory.training.engine import join
from factory.training.enough import warnings_of
from factory.training.identity import to_text, without_paths
from factory.training.run_state import RunState
from factory.training.schedules import cosine_decay, step_decay, warmup
from factory.training.shared_out import check_shared


@dataclass(frozen=True)
class TrainingData:
    """The faces of a training, and the order in which they are learned."""

    training_set: TrainingSet
    heldout: FaceSet
    pairs: Pairs | None
    """On rank 0 alone, where source.pairs names some."""
    weights_N: np.ndarray | None
    """How often each image is drawn, relative to others; None: all equally often."""
    order: BatchOrder
    total: int
    """Steps of the whole training."""

    @classmethod
    def open(cls, config: Config) -> TrainingData:
        """The faces of config.source and batches.mix."""
        recipe = config.recognizer
        training_set, heldout = open_training_set(config)
        pairs = open_pairs(config.source) if rank() == 0 and config.source.pairs else None
        weights_N = training_set.weights(config.batches)
        seed = config.training.seed
        order = BatchOrder(seed, len(training_set), recipe.batch_size, weights_N)
        total = num_steps(order.per_epoch, order.batch_size, recipe.epochs, config.training)
        return cls(training_set, heldout, pairs, weights_N, order, total)

    @property
    def num_real(self) -> int:
        return len(self.training_set.names)


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe and write the checkpoint to training.out.

    Returns, on rank 0, the metrics it stores: geometry table, held-out figures, hours. Resumes from
    the folder, with any number of ranks.
    """
    recipe, compute = config.recognizer, config.compute
    check(config)
    join(compute)
    check_shared(config)
    data = TrainingData.open(config)
    order, total = data.order, data.total
    local = micro_batch(order.batch_size, compute, "recognizer.batch_size")
    run_state = _resume(config, data, log)
    networks, backbone = start_networks(config, local, data.num_real, run_state.folder)
    compilation = Compilation(backbone, compute.compile, networks.engine.device, run_state.log)

    # Steps
    loader = BatchLoader(data.training_set, order, config.batches.num_workers, compute.accumulate)
    batches = loader.batches(run_state.first_step, total)
    corrupt = CorruptCount(data.training_set, config.source.max_corrupt_fraction)
    steps = run_state.steps(total, order.batch_size, networks.save)
    for step in compilation.over(steps, total - run_state.first_step):
        networks.engine.module.train()
        losses = []
        for part in range(compute.accumulate):
            batch = next(batches)
            for line in corrupt.add(batch):
                run_state.log(line)
            margin = margin_at(recipe, step / total)
            losses.append(networks.backward(batch, margin, step, part))
        lr = learning_rate(recipe, step, order.per_epoch // order.batch_size, total)
        grad_norm = networks.update(lr)
        run_state.record(torch.stack(losses).mean(), lr, grad_norm)
        every = config.training.eval_every
        if every and (step + 1) % every == 0 and step + 1 < total:
            _verify(config, data, networks, run_state, step + 1)

    return finish(config, data, networks, run_state)


def _resume(config: Config, data: TrainingData, log: Log) -> RunState:
    """The steps of a training, which begin where training.out has come to."""
    recipe, num_real = config.recognizer, data.num_real
    own = RankRows.of(num_real, recipe.num_virtual, rank(), world_size())
    run_state = RunState(
        config.training,
        without_paths(recipe),
        to_text(data.training_set.facts(config, data.weights_N)),
        log,
        store=config.store,
        wanted=own.may_lie_in,
    )
    few = warnings_of("recognizer", num_real, len(data.training_set))
    for line in (*data.training_set.lines, data.training_set.describe(data.heldout), *few):
        run_state.log(line)
    run_state.log(memory_line(config, num_real))
    return run_state


def _verify(
    config: Config, data: TrainingData, networks: TrainedNetworks, run_state: RunState, step: int
) -> None:
    """Log the figures of the weights after `step` steps; all ranks call it."""
    tensors = networks.weights()
    if rank() == 0:
        made = checkpoint_of(config, tensors, data.training_set, step)
        people = FaceSet.nobody() if data.pairs else data.heldout
        verified = figures(made, people, data.pairs, networks.engine.device)
        run_state.add_history(step, **verified)
        run_state.log(f"step {step}/{data.total} {brief(verified)}")


def finish(
    config: Config, data: TrainingData, networks: TrainedNetworks, run_state: RunState
) -> dict[str, Any]:
    """Shape virtual prototypes, measure, write the checkpoint; its metrics on rank 0.

    All ranks call it.
    """
    training_set, device = data.training_set, networks.engine.device
    made = checkpoint_of(config, networks.weights(), training_set, data.total)
    shaped = shape_after(config, made, training_set, networks.prototypes, device)
    metrics: dict[str, Any] = {}
    if rank() == 0:
        add_rows(made, config, run_state.last_state(), shaped)
        start_KD = shaped.start_KD if shaped else first_virtual_rows(config)
        metrics = measure(made, data.heldout, data.pairs, device, start_KD)
        metrics["train"] = {
            "images": len(training_set),
            "identities": data.num_real,
            "hours": round(run_state.seconds / 3600, 3),
            "final_loss": run_state.final_loss,
        }
        metrics |= {"prototype_stage": shaped.figures} if shaped else {}
        checkpoint.save(run_state.out, replace(made, metrics=metrics))
        run_state.finish()
    wait_for_all()
    return metrics


def check(config: Config) -> None:
    """Raise ConfigError for what can be found wrong with a training before anything is read."""
    recipe, compute = config.recognizer, config.compute
    micro_batch(recipe.batch_size, compute, "recognizer.batch_size")
    check_stage(config)
    is_a_rank = not compute.num_ranks or world_size() > 1
    if recipe.batch_norm == "synced" and is_a_rank and pick_device(compute).type == "cpu":
        raise ConfigError(
            "recognizer.batch_norm: got 'synced' on CPUs, where torch has no such norm; want "
            "'local' or 'frozen'"
        )
    if config.training.eval_every and not (
        config.source.pairs or config.source.heldout or config.source.holds_out
    ):
        raise ConfigError(
            f"training.eval_every: got {config.training.eval_every} with nothing to verify on; "
            "set source.pairs, source.heldout, source.holdout_identities or source.holdout_fraction"
        )


def margin_at(recipe: RecognizerConfig, progress: float) -> float:
    """Margin at a progress from 0 to 1: 0, then a linear rise, then margin_m."""
    if progress < recipe.margin_free:
        return 0.0
    if recipe.margin_ramp == 0:
        return recipe.margin_m
    return recipe.margin_m * min(1.0, (progress - recipe.margin_free) / recipe.margin_ramp)


def learning_rate(recipe: RecognizerConfig, step: int, steps_per_epoch: int, total: int) -> float:
    """Learning rate of a step: linear warm-up times the schedule."""
    rise = warmup(step, steps_per_epoch * recipe.warmup_epochs)
    if recipe.schedule == "cosine":
        return recipe.lr * rise * cosine_decay(step / total)
    return recipe.lr * rise * step_decay(step / steps_per_epoch, recipe.milestones)


def shape_after(
    config: Config,
    made: checkpoint.Checkpoint,
    training_set: TrainingSet,
    prototypes: Prototypes,
    device: torch.device,
) -> Shaped | None:
    """Virtual prototypes by the stage after a training; None without recognizer.prototypes.steps.

    All ranks call it.
    """
    stage, num_real = config.recognizer.prototypes, len(training_set.names)
    if not stage.steps:
        return None
    recognizer = Recognizer(made, device)
    kept = keep_features(recognizer, training_set, training_set.labels, stage.max_images)
    real_RD = prototypes.real_RD
    return shape_prototypes(config.recognizer, real_RD, num_real, kept, config.training.seed)


def add_rows(
    made: checkpoint.Checkpoint, config: Config, state: Path, shaped: Shaped | None
) -> None:
    """Put all prototypes into a checkpoint: of a saved state, virtual ones of the stage."""
    recipe, num_real = config.recognizer, len(made.config["real_names"])
    for kind, count in (("real", num_real), ("virtual", recipe.num_virtual)):
        rows_KD = whole_rows(state, kind, count, recipe.embedding_dim, average=recipe.ema > 0)
        made.tensors[f"prototypes.{kind}"] = rows_KD
    if shaped:
        made.tensors["prototypes.virtual"] = shaped.virtual_KD


def first_virtual_rows(config: Config) -> torch.Tensor:
    """Virtual prototypes [K, D] as a training begins."""
    recipe = config.recognizer
    rows_KD = torch.empty(recipe.num_virtual, recipe.embedding_dim)
    draw_rows(config.training.seed, "virtual", range(recipe.num_virtual), rows_KD)
    return rows_KD


def checkpoint_of(
    config: Config, tensors: dict[str, torch.Tensor], training_set: TrainingSet, step: int
) -> checkpoint.Checkpoint:
    """A checkpoint, still without metrics and digest."""
    recipe = config.recognizer
    return checkpoint.Checkpoint(
        kind="recognizer",
        tensors=tensors,
        config={
            "backbone": recipe.backbone,
            "embedding_dim": recipe.embedding_dim,
            "image_px": config.source.image_px,
            "dropout": recipe.dropout,
            "quality_head": recipe.quality_weight > 0,
            "num_virtual": recipe.num_virtual,
            "mirror_sum": recipe.mirror_sum or MIRROR_SUM,
            "real_names": training_set.names,
            "domains": training_set.domains,
        },
        step=step,
        metrics={},
        lineage={},
        sha256="",
        provenance=provenance(config, "recognizer", training_set.source_records(config), {}),
    )
