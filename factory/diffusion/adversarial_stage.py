"""The second stage of an autoencoder: a decoder made sharp by a discriminator (METHODS 1).

The encoder is frozen, so latents stay as they are to the bit, and what works in them stays valid.
The decoder learns, from the means of latents, by

    L1 + perceptual_weight * perceptual + adversarial_weight * r * w * (-D(y))

with w the adaptive weight (discriminator.py) and r, from 0 to 1, its rise at the beginning.

Shapes: B batch, images [B, 3, px, px] in [-1, 1].
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.nn import functional as F

from factory.config import AutoencoderConfig, Config, as_dict
from factory.diffusion import autoencoder as first_stage
from factory.diffusion.autoencoder import Autoencoder, AutoencoderLoss, blocks_of
from factory.diffusion.discriminator import (
    BETAS,
    LR_RATIO,
    DiscriminatorTraining,
    PatchDiscriminator,
    adaptive_weight,
)
from factory.diffusion.reconstruction import compare, measured_faces
from factory.errors import CheckpointError
from factory.images import to_network
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.recognition.embed import Embedder, Recognizer
from factory.recognition.external import open_embedder
from factory.recognition.judge import AUTO, KEY, judge_of, public_name
from factory.records import Log, Train
from factory.training.distributed import mean_over_ranks, pick_device, rank
from factory.training.engine import channels_last
from factory.training.run import TrainingRun
from factory.training.schedules import MakeOptimizer, linear_decay, warmup

FIRST_STAGE = "first_stage"
"""Folder of the first stage below training.out."""
DECAY_FRACTION = 0.3
"""Last part of the stage in which the decoder's learning rate falls to 0: weights that follow a
moving target swing, and come to rest only so."""
ADVERSARIAL = [f.name for f in dataclasses.fields(AutoencoderConfig) if "advers" in f.name]
"""Fields of the second stage alone, besides discriminator_width."""


class AdversarialLoss(AutoencoderLoss):
    """The decoder's loss: its errors, and what a discriminator says of its images."""

    def __init__(
        self, config: AutoencoderConfig, recognizer: Recognizer, discriminator: PatchDiscriminator
    ) -> None:
        super().__init__(config, recognizer)
        self._discriminator = (discriminator,)  # a tuple hides it from parameters()

    def forward(  # type: ignore[override]
        self, x_BCHW: torch.Tensor, strength: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(loss, decoded images, (error, -D(y), weight) as they are logged).

        `strength` is adversarial_weight times its rise. Both losses go back to the image once; from
        there their gradients reach the last layer alone, which weighs them, and then their weighted
        sum goes through the decoder: the gradient of the loss at half the price.
        """
        y_BCHW = self._decoded(x_BCHW)
        image = y_BCHW.detach().requires_grad_()
        error, adversarial = self.error(image, x_BCHW), -self._discriminator[0](image).mean()
        by_error, by_adversarial = (torch.autograd.grad(a, image)[0] for a in (error, adversarial))
        last = self.network.decoder.conv_out.weight
        at_last = [
            mean_over_ranks(torch.autograd.grad(y_BCHW, last, g, retain_graph=True)[0])
            for g in (by_error, by_adversarial)
        ]
        weight = strength * adaptive_weight(*at_last)
        carrier = (y_BCHW * (by_error + weight * by_adversarial)).sum()
        value = (error + weight * adversarial).detach()
        figures = torch.stack([error, adversarial, weight]).detach()
        return value + (carrier - carrier.detach()), y_BCHW.detach(), figures

    def error(self, y_BCHW: torch.Tensor, x_BCHW: torch.Tensor) -> torch.Tensor:
        """L1, and the distance by the recognizer's features, of images y and x."""
        error = (y_BCHW - x_BCHW).abs().mean()
        if self._config.perceptual_weight:
            error = error + self._config.perceptual_weight * self.perceptual(y_BCHW, x_BCHW)
        return error

    def _decoded(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Images decoded from the means of latents, which carry no gradient."""
        with torch.no_grad():
            moments = self.network.encoder(blocks_of(x_BCHW, self._config.block)).float()
        mean = moments[:, : self._config.latent_channels]
        return F.pixel_shuffle(self.network.decoder(mean).float(), self._config.block)


def stages(config: Config) -> list[tuple[Train, Config]]:
    """The trainings that a config of an autoencoder asks for, in their order."""
    recipe, out = config.autoencoder, config.training.out
    if not recipe.adversarial_epochs:
        return [(first_stage.train, config)]
    trainings: list[tuple[Train, Config]] = []
    start = recipe.init_from
    if recipe.epochs:
        start = f"{out}/{FIRST_STAGE}"
        plain = AutoencoderConfig()
        reset = {name: getattr(plain, name) for name in (*ADVERSARIAL, "discriminator_width")}
        training = dataclasses.replace(config.training, out=start)
        first = dataclasses.replace(recipe, **reset)
        trainings.append(
            (first_stage.train, dataclasses.replace(config, autoencoder=first, training=training))
        )
    second = dataclasses.replace(
        recipe,
        init_from=start,
        freeze_encoder=True,
        epochs=recipe.adversarial_epochs,
        batch_size=recipe.adversarial_batch_size,
        lr=recipe.adversarial_lr,
        warmup_steps=recipe.adversarial_warmup_steps,
    )
    return [*trainings, (train, dataclasses.replace(config, autoencoder=second))]


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train the decoder of autoencoder.init_from, as `stages` says; return the metrics."""
    recipe = config.autoencoder
    compute = dataclasses.replace(config.compute, compile=False)  # gradients inside the forward
    config = dataclasses.replace(config, compute=compute)
    run = TrainingRun(config, recipe, log)

    # Networks, engine
    run.seed()
    device, precision = pick_device(compute), compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    first_stage.require_gradients(recognizer)
    start = first_stage.start_of(recipe)
    assert start, "the second stage has a first (stages)"
    lineage = {"recognizer": recognizer.sha256, "start": start.sha256}
    run.resume(augment=as_dict(config.recognizer.augment), stage="adversarial", **lineage)
    if run.is_finished("autoencoder"):
        return run.finished_metrics()
    judge, judged_by = open_judge(config, recognizer, run.state.log)
    discriminator = PatchDiscriminator(recipe.discriminator_width).to(device)
    model = AdversarialLoss(recipe, recognizer, discriminator)
    first_stage.init_from(model.network, recipe, start)
    channels_last(model)
    run.start(model, adversarial_adamw(recipe.lr), part="network")
    other = DiscriminatorTraining(discriminator, LR_RATIO * recipe.lr, precision, run.state.folder)
    run.also_save(other.save)
    run.read_ahead(run.faces.images_NHWC)
    recent = AdversarialFigures()
    run.state.also_log(recent.take)

    # Steps
    for step in run.steps():
        rise = warmup(step.index, recipe.warmup_steps)
        strength = torch.tensor(recipe.adversarial_weight * rise)
        for part in step.parts:
            uniform = torch.rand(len(part), NUM_DRAWS, generator=step.draw)
            x_BCHW = to_network(run.faces.images_NHWC[part]).to(run.device, non_blocking=True)
            x_BCHW = augment(x_BCHW, config.recognizer.augment, uniform)
            x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
            loss, y_BCHW, figures = run(x_BCHW, strength)
            run.backward(loss)
            recent.add(figures, other.backward(x_BCHW, y_BCHW, 1 / len(step.parts)))
        run.update(recipe.lr * rise * linear_decay(step.progress, DECAY_FRACTION))
        other.step()

    # Measure, write
    tensors = run.weights()
    if rank() != 0:
        return {}
    normal = (start.tensors["latent_mean"], start.tensors["latent_std"])
    stored = first_stage.stored_config(recipe, start)
    final = first_stage.unwritten(tensors, normal, stored)
    before, after = (Autoencoder(part, device, precision) for part in (start, final))
    measured = compare(before, after, recognizer, *measured_faces(run.faces, run.heldout), judge)
    measured["judge"] = judged_by
    for line in measured["lost"]:
        run.state.log(f"the adversarial stage is not accepted: {line}")
    return run.save("autoencoder", final.tensors, config=stored, lineage=lineage, measured=measured)


def open_judge(config: Config, recognizer: Recognizer, log: Log) -> tuple[Embedder | None, str]:
    """The recognizer that tells whether identity was kept, and its name or why there is none.

    Raises CheckpointError where one that the config names is not there.
    """
    name = judge_of(config)
    if name is None:
        return None, f"n/a: {KEY} is null"
    try:
        judge = open_embedder(name, recognizer.device, KEY)
    except CheckpointError as error:
        if config.judge.checkpoint != AUTO:
            raise
        log(f"no independent judge looks at the decoder: {error}")
        return None, f"n/a: {error}"
    if judge.sha256 == recognizer.sha256:
        return None, f"n/a: {KEY} has the weights of the recognizer that the decoder learns from"
    return judge, public_name(name)


def adversarial_adamw(lr: float) -> MakeOptimizer:
    """AdamW with the betas of adversarial trainings and no weight decay."""
    return lambda parameters: torch.optim.AdamW(parameters, lr, BETAS, weight_decay=0.0)


class AdversarialFigures:
    """Error, -D(y), its weight, and the discriminator's loss, averaged between two log lines."""

    def __init__(self) -> None:
        self._rows: list[torch.Tensor] = []

    def add(self, figures_3: torch.Tensor, discriminator_loss: torch.Tensor) -> None:
        """Keep the figures of a micro-batch on their device."""
        self._rows.append(torch.cat([figures_3, discriminator_loss.view(1)]))

    def take(self) -> dict[str, float]:
        """Means of this rank since the last time; empty where there was nothing."""
        if not self._rows:
            return {}
        means = torch.stack(self._rows).mean(0).tolist()
        self._rows.clear()
        names = ("error", "adversarial", "adversarial_weight", "discriminator_loss")
        return dict(zip(names, means, strict=True))
