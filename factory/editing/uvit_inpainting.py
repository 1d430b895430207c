"""Mask-ControlNet without a text-to-image model: inpainting by the generator's own U-ViT.

Its hint is what stays of a photograph, and where which kind of thing is to be drawn (METHODS 4). It
begins with a trained generator; the hint enters through a layer that begins at zero, so before the
first step it draws as the generator does, and is conditioned on the identity as that is.

Shapes: B batch, px the side in pixels, S hint channels, x [B, C, h, w] the denoised space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory import checkpoint
from factory.config import Config
from factory.config.editing import KINDS
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.distillation import refuse_student
from factory.diffusion.latent_cache import TrainingCache, open_embeddings, open_latents
from factory.diffusion.noise_schedule import NoiseSchedule, draw_timesteps
from factory.diffusion.uvit import Shape, UViT, with_present_names
from factory.editing.segmenters import open_segmenter, segmenter_sha256
from factory.editing.training_examples import AS_IS, ExampleMaker, detector_sha256
from factory.errors import CheckpointError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.training.distributed import pick_device
from factory.training.faces import FaceRows
from factory.training.run import TrainingRun
from factory.training.schedules import adamw, linear_decay, warmup

CHANNELS = (*KINDS, AS_IS)
HINT_CHANNELS = 3 + len(CHANNELS)
WARMUP_STEPS, DECAY_FRACTION = 100, 0.33


def inpainting_hint(
    images_BHWC: np.ndarray, alpha_BHW: np.ndarray, kinds: list[str]
) -> torch.Tensor:
    """The hint [B, S, px, px] of images in which a region of a kind is to be redrawn.

    It is the image without the region, in [-1, 1], and the region in the channel of its kind.
    """
    alpha = torch.from_numpy(alpha_BHW)[:, None]
    hint = torch.zeros(len(kinds), HINT_CHANNELS, *alpha_BHW.shape[1:])
    hint[:, :3] = to_network(np.ascontiguousarray(images_BHWC)) * (1 - alpha)
    channels = torch.tensor([3 + CHANNELS.index(kind) for kind in kinds])
    hint[torch.arange(len(kinds)), channels] = alpha[:, 0]
    return hint


class InpaintingLoss(nn.Module):
    """Denoising error, larger in the region, because what lies outside is put back."""

    def __init__(self, shape: Shape, num_timesteps: int, prediction: str, weight: float) -> None:
        super().__init__()
        self.network = UViT(shape)
        self.schedule = NoiseSchedule(num_timesteps)
        self._prediction, self._weight = prediction, weight

    def forward(
        self,
        x_BCHW: torch.Tensor,
        noise: torch.Tensor,
        t_B: torch.Tensor,
        condition_BD: torch.Tensor,
        hint_BSHW: torch.Tensor,
        region_B1HW: torch.Tensor,
    ) -> torch.Tensor:
        x_t = self.schedule.add_noise(x_BCHW, noise, t_B)
        output = self.network(x_t, t_B, condition_BD, hint_BSHW=hint_BSHW)
        target = self.schedule.target(x_BCHW, noise, t_B, self._prediction)
        weight = 1 + self._weight * region_B1HW
        error: torch.Tensor = (output - target).square()
        return (error * weight).mean() / weight.mean()


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the EMA weights to training.out, return the metrics."""
    recipe = config.inpainting_training
    run = TrainingRun(config, recipe, log)

    # The generator it begins with, and the networks of its space
    device, precision = pick_device(config.compute), config.compute.precision
    start = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    refuse_student(start.config, "generator.checkpoint")
    shape = shape_of(start, config.source.image_px)
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    lineage = {"generator": start.sha256, "recognizer": recognizer.sha256}
    autoencoder = None
    if start.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        lineage["autoencoder"] = autoencoder.sha256
    _check_lineage(start, lineage, autoencoder.latents_of if autoencoder else [])
    detector = detector_sha256(recipe.points, config.source)
    run.resume(detector=detector, segmenter=segmenter_sha256(recipe), **lineage)
    cache = TrainingCache(run.faces, recognizer, autoencoder, "image")
    segmenter = open_segmenter(recipe, device)
    maker = ExampleMaker(run.faces, recipe, config.source, segmenter)
    run.read_ahead(*cache.arrays, *maker.arrays)

    # Network, engine
    run.seed()
    num_timesteps, prediction = int(start.config["num_timesteps"]), str(start.config["prediction"])
    model = InpaintingLoss(shape, num_timesteps, prediction, recipe.region_weight)
    init_from(model.network, start)
    run.start(model, adamw(recipe.lr, 0.0, recipe.betas), part="network", ema=recipe.ema)

    # Steps
    for step in run.steps():
        for part in step.parts:
            mirrored_B = step.rng.random(len(part)) < 0.5
            made = maker.batch(part, mirrored_B, step.rng, step.progress)
            x, unit_BD = cache.rows(mirrored_B.astype(np.int64), part)
            if made.painted_B.any():
                painted = np.ascontiguousarray(made.images_BHWC[made.painted_B])
                x[made.painted_B] = (
                    autoencoder.encode(painted) if autoencoder else to_network(painted)
                )
            noise = torch.randn(x.shape, generator=step.draw)
            t_B = draw_timesteps(len(x), num_timesteps, "uniform", step.draw)
            keep_B = torch.rand(len(x), generator=step.draw) >= recipe.identity_dropout
            hint = inpainting_hint(made.images_BHWC, made.alpha_BHW, made.kinds)
            region = F.adaptive_avg_pool2d(torch.from_numpy(made.alpha_BHW)[:, None], x.shape[-1])
            run.backward(run(x, noise, t_B, unit_BD * keep_B[:, None], hint, region))
        rise = warmup(step.index, WARMUP_STEPS)
        run.update(recipe.lr * rise * linear_decay(step.progress, DECAY_FRACTION))

    # Write
    stored = {key: start.config[key] for key in ("space", "prediction", "num_timesteps")}
    stored |= {"shape": asdict(shape), "channels": list(CHANNELS)}
    return run.save("editor", run.weights(), config=stored, lineage=lineage)


def rows_read(config: Config) -> list[Callable[[Config], FaceRows]]:
    """What `train` reads of the faces besides their pixels, each by what opens it."""
    name = config.generator.checkpoint
    space = checkpoint.read_metadata(name, "generator", "generator.checkpoint")["config"]["space"]
    return [open_latents, open_embeddings] if space == "latents" else [open_embeddings]


def shape_of(start: checkpoint.Checkpoint, image_px: int) -> Shape:
    """The network of a generator, with channels for the hint.

    Raises CheckpointError for a generator that takes similarities, which no photograph has, or has
    another hint already.
    """
    shape = Shape.from_config(start.config)
    if shape.hint_channels:
        raise CheckpointError(
            "generator.checkpoint: takes five points as its hint already; use a generator that was "
            "trained with generator.pose=false"
        )
    if shape.similarity_tokens:
        raise CheckpointError(
            "generator.checkpoint: takes similarities, which an edit has not; use a generator "
            "that was trained with generator.similarity_tokens=0"
        )
    return replace(shape, hint_channels=HINT_CHANNELS, hint_px=image_px)


def init_from(network: UViT, start: checkpoint.Checkpoint) -> None:
    """Take over a generator's weights; the layer of the hint, which it lacks, begins at zero."""
    network.load_state_dict(network.state_dict() | with_present_names(start.tensors))


def _check_lineage(
    start: checkpoint.Checkpoint, lineage: dict[str, str], latents_of: list[str]
) -> None:
    kinds = ("recognizer", "autoencoder")
    networks = {kind: sha256 for kind, sha256 in lineage.items() if kind in kinds}
    checkpoint.refuse_other("generator", start.lineage, networks, {"autoencoder": latents_of})
