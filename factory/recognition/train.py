"""Train a recognizer with real and virtual prototypes (VIGFace stage 1; METHODS 1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from factory import checkpoint
from factory.config import Config, RecognizerConfig
from factory.errors import ConfigError
from factory.images import to_network
from factory.provenance.networks import provenance
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.recognition.backbone import IResNet
from factory.recognition.batches import BatchLoader, CorruptCount, TrainingSet, open_training_set
from factory.recognition.class_shards import RankRows, draw_rows
from factory.recognition.embed import MIRROR_SUM, Recognizer
from factory.recognition.memory import memory_line
from factory.recognition.pairs import open_pairs
from factory.recognition.prototype_stage import (
    Shaped,
    check_stage,
    keep_features,
    shape_prototypes,
)
from factory.recognition.prototypes import Prototypes, num_virtual_features, whole_rows
from factory.recognition.quality import QualityHead, quality_loss
from factory.recognition.validation import brief, figures, measure
from factory.records import Log
from factory.seeds import stream_seed, torch_generator
from factory.sources import FaceSet
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.compilation import Compilation
from factory.training.distributed import micro_batch, pick_device, rank, wait_for_all, world_size
from factory.training.ema import EMA
from factory.training.engine import Engine, channels_last, join, start_engine
from factory.training.enough import warnings_of
from factory.training.identity import to_text, without_paths
from factory.training.run_state import RunState
from factory.training.schedules import cosine_decay, step_decay, warmup
from factory.training.shared_out import check_shared

GRAD_CLIP = 5.0
"""Largest gradient norm of the backbone, as in ArcFace's reference training."""


class Learner(nn.Module):
    """The module that the engine trains: the backbone, and a quality head where it has a weight."""

    def __init__(self, recipe: RecognizerConfig, image_px: int, *, checkpointing: bool) -> None:
        super().__init__()
        self.backbone = IResNet(
            recipe.backbone, recipe.embedding_dim, image_px, recipe.dropout, checkpointing
        )
        if recipe.batch_norm == "synced":
            self.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(self.backbone)
        self.quality = QualityHead(recipe.embedding_dim) if recipe.quality_weight else None
        self._frozen_norms = recipe.batch_norm == "frozen"

    def forward(self, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        features_BD = self.backbone(x_BCHW).float()
        return features_BD, self.quality(features_BD) if self.quality else None

    def train(self, mode: bool = True) -> Learner:
        super().train(mode)
        if self._frozen_norms:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe and write the checkpoint to training.out.

    Returns, on rank 0, the metrics it stores: geometry table, held-out figures, hours. Resumes from
    the folder, with any number of ranks.
    """
    recipe, seed, compute = config.recognizer, config.training.seed, config.compute
    check(config)
    join(compute)
    check_shared(config)

    # Faces
    training_set, heldout = open_training_set(config)
    pairs = open_pairs(config.source) if rank() == 0 and config.source.pairs else None
    weights_N = training_set.weights(config.batches)
    order = BatchOrder(seed, len(training_set), recipe.batch_size, weights_N)
    local = micro_batch(order.batch_size, compute, "recognizer.batch_size")
    total = num_steps(order.per_epoch, order.batch_size, recipe.epochs, config.training)
    num_real = len(training_set.names)
    data = to_text(training_set.facts(config, weights_N))
    own = RankRows.of(num_real, recipe.num_virtual, rank(), world_size())
    run_state = RunState(
        config.training,
        without_paths(recipe),
        data,
        log,
        store=config.store,
        wanted=own.may_lie_in,
    )
    few = warnings_of("recognizer", num_real, len(training_set))
    for line in (*training_set.lines, training_set.describe(heldout), *few):
        run_state.log(line)
    run_state.log(memory_line(config, num_real))

    # Network, prototypes, engine
    torch.manual_seed(seed)
    learner = Learner(
        recipe, config.source.image_px, checkpointing=compute.activation_checkpointing
    )
    channels_last(learner)

    def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
        )

    engine = start_engine(learner, sgd, compute, grad_clip=GRAD_CLIP, resume=run_state.folder)
    compilation = Compilation(learner.backbone, compute.compile, engine.device, run_state.log)
    prototypes = Prototypes(recipe, num_real, seed=seed, tf32=compute.tf32).to(engine.device)
    ema = None
    if recipe.ema:
        with engine.weights() as module:
            ema = EMA(module, recipe.ema)
    if run_state.folder:
        prototypes.load(run_state.folder)
        if ema:
            ema.load(run_state.folder)

    def save(folder: Path) -> None:
        engine.save(folder)
        prototypes.save(folder)
        if ema:
            ema.save(folder)

    # Steps
    loader = BatchLoader(training_set, order, config.batches.num_workers, compute.accumulate)
    batches = loader.batches(run_state.first_step, total)
    corrupt = CorruptCount(training_set, config.source.max_corrupt_fraction)
    num_virtual = num_virtual_features(
        local * world_size(), num_real, recipe.num_virtual, recipe.virtual_per_step
    )
    steps = run_state.steps(total, order.batch_size, save)
    for step in compilation.over(steps, total - run_state.first_step):
        engine.module.train()
        losses = []
        for part in range(compute.accumulate):
            batch = next(batches)
            for line in corrupt.add(batch):
                run_state.log(line)
            uniform_BU, virtual_V, noise_VD = draws(recipe, seed, (step, part), local, num_virtual)
            images_BHWC = batch.images_BHWC.to(engine.device, non_blocking=True)
            labels_B = batch.labels_B.to(engine.device, non_blocking=True)
            x_BCHW = augment(to_network(images_BHWC), recipe.augment, uniform_BU)
            torch.manual_seed(stream_seed(seed, "dropout", step, part, rank()))
            features_BD, quality_B = engine(x_BCHW.contiguous(memory_format=torch.channels_last))
            loss = prototypes.loss(
                features_BD,
                labels_B,
                virtual_V,
                noise_VD.to(engine.device, non_blocking=True),
                margin=margin_at(recipe, step / total),
                step=step * compute.accumulate + part,
            )
            losses.append(loss.detach())
            if quality_B is not None:
                targets = prototypes.confidence(features_BD, labels_B)
                loss = loss + recipe.quality_weight * quality_loss(quality_B, *targets)
            engine.backward(loss)
        lr = learning_rate(recipe, step, order.per_epoch // order.batch_size, total)
        grad_norm = engine.step(lr)
        prototypes.step(lr)
        if ema:
            with engine.weights() as module:
                ema.update(module)
            prototypes.average(ema.current_decay)
        run_state.record(torch.stack(losses).mean(), lr, grad_norm)
        every = config.training.eval_every
        if every and (step + 1) % every == 0 and step + 1 < total:
            tensors = weights_of(engine, ema)
            if rank() == 0:
                made = checkpoint_of(config, tensors, training_set, step + 1)
                people = FaceSet.nobody() if pairs else heldout
                verified = figures(made, people, pairs, engine.device)
                run_state.add_history(step + 1, **verified)
                run_state.log(f"step {step + 1}/{total} {brief(verified)}")

    # Shape virtual prototypes, measure and write
    made = checkpoint_of(config, weights_of(engine, ema), training_set, total)
    shaped = shape_after(config, made, training_set, prototypes, engine.device)
    metrics: dict[str, Any] = {}
    if rank() == 0:
        add_rows(made, config, run_state.last_state(), shaped)
        start_KD = shaped.start_KD if shaped else first_virtual_rows(recipe, seed)
        metrics = measure(made, heldout, pairs, engine.device, start_KD)
        metrics["train"] = {
            "images": len(training_set),
            "identities": num_real,
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


def draws(
    recipe: RecognizerConfig, seed: int, position: tuple[int, int], local: int, num_virtual: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random numbers of a micro-batch at `position` = (step, part), the same for any ranks.

    They are for augmenting this rank's images [B, NUM_DRAWS], virtual classes [V], and their noise
    [V, D].
    """
    draw = torch_generator(seed, "step", *position)
    uniform = torch.rand(local * world_size(), NUM_DRAWS, generator=draw)
    virtual_V = torch.randperm(recipe.num_virtual, generator=draw)[:num_virtual]
    noise_VD = torch.randn(num_virtual, recipe.embedding_dim, generator=draw)
    return uniform[rank() * local : (rank() + 1) * local], virtual_V, noise_VD


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


def first_virtual_rows(recipe: RecognizerConfig, seed: int) -> torch.Tensor:
    """Virtual prototypes [K, D] as a training begins."""
    rows_KD = torch.empty(recipe.num_virtual, recipe.embedding_dim)
    draw_rows(seed, "virtual", range(recipe.num_virtual), rows_KD)
    return rows_KD


def weights_of(engine: Engine, ema: EMA | None) -> dict[str, torch.Tensor]:
    """Weights of the learner on the CPU, averaged where there is an average; all ranks call it."""
    with engine.weights() as module:
        final = ema.whole() if ema else module.state_dict()
        return {
            name: tensor.detach().float().cpu().clone()
            for name, tensor in final.items()
            if "num_batches" not in name
        }


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
