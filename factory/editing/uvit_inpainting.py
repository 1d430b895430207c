"""The twin of Mask-ControlNet without a text-to-image model: the generator's own network, shown
what stays of a photograph and where which kind of thing is to be drawn (METHODS 4).

It begins with a trained generator. What it is shown enters through a layer that begins at zero, so
before the first step it draws as the generator does; that it is told whose face it is comes with
it.

Shapes: B batch, px the side in pixels, S seen channels, x [B, C, h, w] the denoised space.
"""

from __future__ import annotations

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
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.noise_schedule import NoiseSchedule, draw_timesteps
from factory.diffusion.uvit import Shape, UViT
from factory.editing.segmenters import open_segmenter, segmenter_sha256
from factory.editing.training_examples import AS_IS, ExampleMaker, detector_sha256
from factory.errors import CheckpointError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.seeds import torch_generator
from factory.sources import training_faces
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.distributed import micro_batch, pick_device, rank, world_size
from factory.training.engine import Averaged, join, start_engine
from factory.training.run_state import Log, RunState
from factory.training.schedules import adamw, linear_decay

CHANNELS = (*KINDS, AS_IS)
SEEN_CHANNELS = 3 + len(CHANNELS)
WARMUP, DECAY_SHARE = 100, 0.33
"""Steps of linear rise of the learning rate; share of the steps in which it falls to 0."""


def seen(images_BHWC: np.ndarray, alpha_BHW: np.ndarray, kinds: list[str]) -> torch.Tensor:
    """What the network is shown [B, S, px, px]: the image without the region, in [-1, 1], and the
    region in the channel of its kind."""
    alpha = torch.from_numpy(alpha_BHW)[:, None]
    shown = torch.zeros(len(kinds), SEEN_CHANNELS, *alpha_BHW.shape[1:])
    shown[:, :3] = to_network(np.ascontiguousarray(images_BHWC)) * (1 - alpha)
    places = torch.tensor([3 + CHANNELS.index(kind) for kind in kinds])
    shown[torch.arange(len(kinds)), places] = alpha[:, 0]
    return shown


class InpaintingLoss(nn.Module):
    """Denoising error, larger in the region, because what lies outside is put back."""

    def __init__(self, shape: Shape, num_timesteps: int, prediction: str, weight: float) -> None:
        super().__init__()
        self.network = UViT(shape)
        self.process = NoiseSchedule(num_timesteps)
        self._prediction, self._weight = prediction, weight

    def forward(
        self,
        x_BCHW: torch.Tensor,
        noise: torch.Tensor,
        t_B: torch.Tensor,
        condition_BD: torch.Tensor,
        seen_BSHW: torch.Tensor,
        region_B1HW: torch.Tensor,
    ) -> torch.Tensor:
        x_t = self.process.add_noise(x_BCHW, noise, t_B)
        output = self.network(x_t, t_B, condition_BD, seen_BSHW=seen_BSHW)
        target = self.process.target(x_BCHW, noise, t_B, self._prediction)
        weight = 1 + self._weight * region_B1HW
        return ((output - target).square() * weight).mean() / weight.mean()


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the EMA weights to training.out, return the metrics."""
    recipe, seed = config.inpainting_training, config.training.seed
    join(config.compute)
    faces, heldout = training_faces(config.source)

    # The generator it begins with, and the networks of its space
    device, precision = pick_device(config.compute), config.compute.precision
    start = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    shape = shape_of(start, config.source.image_px)
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    lineage = {"generator": start.sha256, "recognizer": recognizer.sha256}
    autoencoder = None
    if start.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        lineage["autoencoder"] = autoencoder.sha256
    _check_lineage(start, lineage)
    finding = f"{detector_sha256(recipe.points, config.source)} {segmenter_sha256(recipe)}"
    parts = [faces.fingerprint, str(config.source.image_px), finding, *lineage.values()]
    data = " ".join(parts)
    progress = RunState(config.training, recipe, data, log)
    progress.say(faces.describe(heldout))
    cache = TrainingCache(faces, recognizer, autoencoder, "image", config.training.cache)
    segmenter = open_segmenter(recipe, device)
    maker = ExampleMaker(faces, recipe, config.source, segmenter)

    # Network, engine
    torch.manual_seed(seed)
    num_timesteps, prediction = int(start.config["num_timesteps"]), str(start.config["prediction"])
    model = InpaintingLoss(shape, num_timesteps, prediction, recipe.region_weight)
    init_from(model.network, start)
    if config.compute.compile:
        model.compile()
    compute, optimizer = config.compute, adamw(recipe.lr, weight_decay=0.0)
    engine = start_engine(model, optimizer, compute, grad_clip=1.0, resume=progress.folder)
    averaged = Averaged(engine, "network", recipe.ema, progress.folder)

    # Steps
    order = BatchOrder(seed, len(faces), recipe.batch_size)
    micro_batch(order.batch_size, compute, "inpainting_training.batch_size")
    total = num_steps(len(faces), order.batch_size, recipe.epochs, config.training.max_steps)
    for step in progress.steps(total, order.batch_size, averaged.save):
        chosen = order.rank_batch(step, rank(), world_size())
        draw = torch_generator(seed, "step", step, rank())
        rng = np.random.default_rng(draw.initial_seed())
        losses = []
        for part in np.split(chosen, compute.accumulate):
            mirrored_B = rng.random(len(part)) < 0.5
            made = maker.batch(part, mirrored_B, rng, step / total)
            x, unit_BD = cache.rows(mirrored_B.astype(np.int64), part)
            if made.painted_B.any():
                painted = np.ascontiguousarray(made.images_BHWC[made.painted_B])
                x[made.painted_B] = (
                    autoencoder.encode(painted) if autoencoder else to_network(painted)
                )
            noise = torch.randn(x.shape, generator=draw)
            t_B = draw_timesteps(len(x), num_timesteps, "uniform", draw)
            kept_B = torch.rand(len(x), generator=draw) >= recipe.identity_dropout
            shown = seen(made.images_BHWC, made.alpha_BHW, made.kinds)
            region = F.adaptive_avg_pool2d(torch.from_numpy(made.alpha_BHW)[:, None], x.shape[-1])
            batch = [x, noise, t_B, unit_BD * kept_B[:, None], shown, region]
            loss = engine(*(tensor.to(engine.device, non_blocking=True) for tensor in batch))
            engine.backward(loss)
            losses.append(loss.detach())
        warm = min(1.0, (step + 1) / WARMUP)
        averaged.step(recipe.lr * warm * linear_decay(step / total, DECAY_SHARE))
        progress.record(torch.stack(losses).mean())

    # Write
    weights, metrics = averaged.weights(), dict[str, Any]()
    if rank() == 0:
        metrics = {"final_loss": progress.final_loss, "hours": round(progress.seconds / 3600, 3)}
        config_of = {k: start.config[k] for k in ("space", "prediction", "num_timesteps")}
        story = checkpoint.Checkpoint(
            kind="editor",
            tensors=weights,
            config=config_of | {"shape": asdict(shape), "channels": list(CHANNELS)},
            step=total,
            metrics=metrics,
            lineage=lineage,
            sha256="",
        )
        checkpoint.save(progress.out, story)
    return metrics


def shape_of(start: checkpoint.Checkpoint, image_px: int) -> Shape:
    """The network of a generator that is shown an image; raises CheckpointError for a generator
    that takes similarities, which no photograph has, or is shown something else already."""
    shape = Shape(**start.config["shape"])
    if shape.seen_channels:
        raise CheckpointError(
            "generator.checkpoint: is shown five points already; use a generator that was trained "
            "with generator.pose=false"
        )
    if shape.similarity_tokens:
        raise CheckpointError(
            "generator.checkpoint: takes similarities, and an edit asks for none; use a generator "
            "that was trained with generator.similarity_tokens=0"
        )
    return replace(shape, seen_channels=SEEN_CHANNELS, seen_px=image_px)


def init_from(network: UViT, start: checkpoint.Checkpoint) -> None:
    """Take over a generator's weights; what sees begins at zero."""
    network.load_state_dict(network.state_dict() | start.tensors)


def _check_lineage(start: checkpoint.Checkpoint, lineage: dict[str, str]) -> None:
    for kind, wanted in start.lineage.items():
        if kind in ("recognizer", "autoencoder") and lineage.get(kind) != wanted:
            raise CheckpointError(
                f"{kind}.checkpoint: has sha256 {str(lineage.get(kind))[:12]}, the generator was "
                f"trained with {wanted[:12]}; use the {kind} it was trained with"
            )
