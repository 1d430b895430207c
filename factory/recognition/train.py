"""Train a recognizer with real and virtual prototypes (VIGFace stage 1; METHODS 1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from factory import checkpoint
from factory.config import Config, RecognizerConfig
from factory.distributed import first_rank_says, pick_device, start_engine
from factory.errors import ConfigError
from factory.optimization import (
    EMA,
    batch_indices,
    cosine_decay,
    num_steps,
    step_decay,
    torch_generator,
)
from factory.recognition.backbone import IResNet
from factory.recognition.data import augment, to_network
from factory.recognition.embed import Recognizer
from factory.recognition.prototypes import Prototypes, geometry, num_virtual_features
from factory.recognition.verification import summary
from factory.sources import FaceSet


class RecognizerLoss(nn.Module):
    """Backbone and prototypes as one module whose forward is the loss."""

    def __init__(self, config: RecognizerConfig, num_real: int, image_px: int) -> None:
        super().__init__()
        self.backbone = IResNet(config.backbone, config.embedding_dim, image_px, config.dropout)
        self.prototypes = Prototypes(num_real, config.num_virtual, config.embedding_dim)
        self._kind, self._scale = config.margin, config.scale

    def forward(
        self,
        x_BCHW: torch.Tensor,
        labels_B: torch.Tensor,
        virtual_V: torch.Tensor,
        noise_VD: torch.Tensor,
        margin: float,
    ) -> torch.Tensor:
        features_BD = self.backbone(x_BCHW)
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return self.prototypes.loss(
                features_BD,
                labels_B,
                virtual_V,
                noise_VD,
                kind=self._kind,
                margin=margin,
                scale=self._scale,
            )


def train(
    config: Config, faces: FaceSet, heldout: FaceSet, log: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train to the end of the recipe and write the checkpoint to training.out.

    Returns the metrics it stores: geometry table, held-out figures, hours. Resumes from the folder.
    """
    recipe, out, seed = config.recognizer, Path(config.training.out), config.training.seed

    # Network, optimizer, engine
    torch.manual_seed(seed)
    num_real = int(faces.labels.max()) + 1
    model = RecognizerLoss(recipe, num_real, config.source.image_px)
    model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.compute.compile:
        model.backbone.compile()  # not the loss: its margin is another number at every step
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=recipe.lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    engine = start_engine(model, optimizer, config.compute, grad_clip=5.0)
    ema = EMA(engine.module, recipe.ema) if recipe.ema else None

    # Where we are
    state = engine.load(out) or {"step": 0, "seconds": 0.0, "ema": None}
    if ema and state["ema"]:
        ema.load_state_dict(state["ema"])
    digest = checkpoint.same_recipe(state.get("recipe"), (recipe, seed), out)
    first_step, seconds_before = int(state["step"]), float(state["seconds"])
    batch_size = min(recipe.batch_size, len(faces))
    total = num_steps(len(faces), batch_size, recipe.epochs, config.training.max_steps)
    local = batch_size // engine.world_size
    num_virtual = num_virtual_features(local, num_real, recipe.num_virtual, recipe.virtual_per_step)
    started = saved = time.monotonic()

    def extra(step: int) -> dict[str, Any]:
        seconds = seconds_before + time.monotonic() - started
        shadow = ema.state_dict() if ema else None
        return {"step": step, "seconds": seconds, "ema": shadow, "recipe": digest}

    # Steps
    losses: list[float] = []
    for step in range(first_step, total):
        engine.module.train()
        chosen = batch_indices(seed, step, len(faces), batch_size, engine.rank, engine.world_size)
        draw = torch_generator(seed, "step", step, engine.rank)
        x_BCHW = to_network(faces.images_NHWC[chosen]).to(engine.device, non_blocking=True)
        x_BCHW = augment(x_BCHW, recipe.augment, draw)
        labels_B = torch.from_numpy(faces.labels[chosen]).to(engine.device)
        virtual_V = torch.randperm(recipe.num_virtual, generator=draw)[:num_virtual]
        noise_VD = torch.randn(num_virtual, recipe.embedding_dim, generator=draw)
        loss = engine(
            x_BCHW.contiguous(memory_format=torch.channels_last),
            labels_B,
            virtual_V.to(engine.device),
            noise_VD.to(engine.device),
            margin_at(recipe, step / total),
        )
        engine.step(loss, learning_rate(recipe, step, len(faces) // batch_size, total))
        if ema:
            ema.update(engine.module)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise ConfigError(
                f"recognizer.lr: loss is {losses[-1]} at step {step}; lower it, or the margin"
            )

        # Log and save
        if (step + 1) % config.training.log_every == 0 and engine.rank == 0:
            rate = (step + 1 - first_step) * batch_size / (time.monotonic() - started)
            log(f"step {step + 1}/{total} loss {np.mean(losses[-50:]):.3f} {rate:.0f} images/s")
        if first_rank_says(time.monotonic() - saved > config.training.save_every_s):
            engine.save(out, extra(step + 1))
            saved = time.monotonic()
    engine.save(out, extra(total))

    # Measure and write
    metrics: dict[str, Any] = {}
    if engine.rank == 0:
        final = ema.shadow if ema else engine.module.state_dict()
        story = checkpoint.Checkpoint(
            kind="recognizer",
            tensors={n: t.detach().cpu() for n, t in final.items() if "num_batches" not in n},
            config={
                "backbone": recipe.backbone,
                "embedding_dim": recipe.embedding_dim,
                "image_px": config.source.image_px,
                "dropout": recipe.dropout,
                "num_virtual": recipe.num_virtual,
                "real_names": faces.names[:num_real],
            },
            step=total,
            metrics={},
            lineage={},
            sha256="",
        )
        metrics = measure(story, heldout, pick_device(config.compute))
        metrics["train"] = {
            "images": len(faces),
            "identities": num_real,
            "hours": round(extra(total)["seconds"] / 3600, 3),
            "final_loss": float(np.mean(losses[-50:])) if losses else None,
        }
        checkpoint.save(out, replace(story, metrics=metrics))
    return metrics


def margin_at(recipe: RecognizerConfig, progress: float) -> float:
    """Margin after a share of the training: 0, then a linear rise, then margin_m."""
    if progress < recipe.margin_free:
        return 0.0
    if recipe.margin_ramp == 0:
        return recipe.margin_m
    return recipe.margin_m * min(1.0, (progress - recipe.margin_free) / recipe.margin_ramp)


def learning_rate(recipe: RecognizerConfig, step: int, steps_per_epoch: int, total: int) -> float:
    """Learning rate of a step: linear warm-up times the schedule."""
    epoch = step / steps_per_epoch
    warm = 1.0
    if recipe.warmup_epochs:
        warm = min(1.0, (step + 1) / (steps_per_epoch * recipe.warmup_epochs))
    if recipe.schedule == "cosine":
        return recipe.lr * warm * cosine_decay(step / total)
    return recipe.lr * warm * step_decay(epoch, recipe.milestones)


def measure(story: checkpoint.Checkpoint, heldout: FaceSet, device: torch.device) -> dict[str, Any]:
    """Geometry of the prototypes and, where somebody was held out, accuracy on them."""
    recognizer = Recognizer(story, device)
    metrics: dict[str, Any] = {
        "geometry": geometry(
            torch.from_numpy(recognizer.unit_real), torch.from_numpy(recognizer.unit_virtual)
        )
    }
    if len(heldout):
        metrics["heldout"] = summary(recognizer.embed(heldout.images_NHWC), heldout.labels)
    return metrics
