"""Train the generator on recognizer embeddings (VIGFace stage 2; METHODS 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from factory import checkpoint
from factory.config import Config, GeneratorConfig
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.head_poses import FacePoses
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.loss_by_noise_level import LossByNoiseLevel
from factory.diffusion.noise_schedule import NoiseSchedule, draw_timesteps
from factory.diffusion.pose import CHANNELS
from factory.diffusion.sample_grid import PEOPLE, sample_grid
from factory.diffusion.similarity import draw_similarities, similarity_loss
from factory.diffusion.uvit import IDENTITY_LAYERS, Shape, UViT
from factory.errors import CheckpointError, ConfigError
from factory.recognition.embed import Recognizer
from factory.seeds import torch_generator
from factory.sources import training_faces
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.distributed import micro_batch, pick_device, rank, world_size
from factory.training.engine import Averaged, join, start_engine
from factory.training.run_state import Log, RunState
from factory.training.schedules import adamw, linear_decay

Decode = Callable[[torch.Tensor], torch.Tensor]
"""From the space that is denoised to images in [-1, 1]."""


class GeneratorLoss(nn.Module):
    """Denoising error, plus lambda times the identity loss of eq 8 and CemiFace's similarity loss,
    through frozen networks."""

    def __init__(
        self, config: GeneratorConfig, shape: Shape, decode: Decode, recognizer: Recognizer
    ) -> None:
        super().__init__()
        self.network = UViT(shape)
        self.process = NoiseSchedule(config.num_timesteps)
        self._config = config
        self._frozen = (decode, recognizer.unit_features)  # a tuple hides them from parameters()

    def forward(
        self,
        x_BCHW: torch.Tensor,
        noise: torch.Tensor,
        t_B: torch.Tensor,
        condition_BD: torch.Tensor,
        identity_BD: torch.Tensor,
        m_B: torch.Tensor,
        dropout_BW: torch.Tensor | None = None,
        seen_BSHW: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, denoising error of each sample [B], without gradient).

        `condition_BD` and `m_B` drive the network (zero rows are dropped conditions);
        `identity_BD` is what the losses compare with, in the first identity_batch samples."""
        config = self._config
        told = bool(config.similarity_tokens)
        x_t = self.process.add_noise(x_BCHW, noise, t_B)
        output = self.network(x_t, t_B, condition_BD, m_B if told else None, dropout_BW, seen_BSHW)
        target = self.process.target(x_BCHW, noise, t_B, config.prediction)
        error_B = (output - target).square().mean((1, 2, 3))
        weight_B = self.process.loss_weight(t_B, config.loss_weighting, config.prediction)
        loss = (weight_B.to(error_B.dtype) * error_B).mean()
        if config.identity_weight or (told and config.similarity_weight):
            first = slice(config.identity_batch)
            decode, unit_features = self._frozen
            x0 = self.process.x0(output[first], x_t[first], t_B[first], config.prediction)
            unit_ID, identity_ID = unit_features(decode(x0)), identity_BD[first]
            if config.identity_weight:
                error_I = (unit_ID - identity_ID).square().sum(1)  # eq 8
                loss = loss + config.identity_weight * error_I.mean()
            if told:
                g_I = t_B[first] / config.num_timesteps
                aim_I = similarity_loss(unit_ID, identity_ID, m_B[first], g_I)
                given_I = condition_BD[first].any(1)  # a dropped condition has nothing to obey
                loss = loss + config.similarity_weight * (aim_I * given_I).mean()
        return loss, error_B.detach()


def network_shape(config: Config, channels: int, side: int, embedding_dim: int) -> Shape:
    """The network a config describes, for a space of `channels` x side x side."""
    recipe = config.generator
    return Shape(
        channels=channels,
        side=side,
        patch=recipe.patch,
        patch_rank=recipe.patch_rank,
        width=recipe.width,
        depth=recipe.depth,
        num_heads=recipe.num_heads,
        embedding_dim=embedding_dim,
        similarity_tokens=recipe.similarity_tokens,
        seen_channels=CHANNELS if recipe.pose else 0,
        seen_px=config.source.image_px if recipe.pose else 0,
    )


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the EMA weights to training.out, return the metrics."""
    recipe, seed = config.generator, config.training.seed
    join(config.compute)
    faces, heldout = training_faces(config.source)

    # Frozen networks and what they say of every face
    device, precision = pick_device(config.compute), config.compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    _check_gradients(recipe, recognizer)
    autoencoder, decode = None, _identity
    if recipe.space == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        decode = autoencoder.decode
    parents = [recognizer.sha256, autoencoder.sha256 if autoencoder else ""]
    data = " ".join([faces.fingerprint, str(config.source.image_px), *parents])
    progress = RunState(config.training, recipe, data, log)
    progress.say(faces.describe(heldout))
    cache = TrainingCache(faces, recognizer, autoencoder, recipe.condition, config.training.cache)
    heads = FacePoses(faces, config) if recipe.pose else None

    lineage = {"recognizer": recognizer.sha256}
    if autoencoder:
        lineage["autoencoder"] = autoencoder.sha256

    # Network, engine
    torch.manual_seed(seed)
    shape = network_shape(config, cache.channels, cache.side, recognizer.dim)
    model = GeneratorLoss(recipe, shape, decode, recognizer)
    if recipe.init_from:
        lineage["start"] = init_from(model.network, recipe, lineage)
    if config.compute.compile:
        model.compile()
    compute, optimizer = config.compute, adamw(recipe.lr, recipe.weight_decay)
    engine = start_engine(
        model, optimizer, compute, grad_clip=recipe.grad_clip, resume=progress.folder
    )
    averaged = Averaged(engine, "network", recipe.ema, progress.folder)

    # Steps
    by_level = LossByNoiseLevel(recipe.num_timesteps)
    progress.also_log(by_level.take)
    order = BatchOrder(seed, len(faces), recipe.batch_size)
    micro_batch(order.batch_size, compute, "generator.batch_size")
    total = num_steps(len(faces), order.batch_size, recipe.epochs, config.training.max_steps)
    for step in progress.steps(total, order.batch_size, averaged.save):
        chosen = order.rank_batch(step, rank(), world_size())
        draw = torch_generator(seed, "step", step, rank())
        losses = []
        for part in np.split(chosen, compute.accumulate):
            mirrored = (torch.rand(len(part), generator=draw) < 0.5).long().numpy()
            x, unit_BD = cache.rows(mirrored, part)
            noise = torch.randn(x.shape, generator=draw)
            t_B = draw_timesteps(len(x), recipe.num_timesteps, recipe.time_sampling, draw)
            kept_B = torch.rand(len(x), generator=draw) >= recipe.condition_dropout
            m_B = draw_similarities(len(x), draw) * kept_B
            batch: list[torch.Tensor | None] = [x, noise, t_B, unit_BD * kept_B[:, None], unit_BD]
            lost = recipe.identity_dropout
            batch += [m_B, dropout((len(x), recipe.width), lost, draw) if lost else None]
            batch.append(heads.images(mirrored, part) if heads else None)
            loss, error_B = engine(*(_on(engine.device, tensor) for tensor in batch))
            engine.backward(loss)
            by_level.add(t_B, error_B)
            losses.append(loss.detach())
        warm = min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
        averaged.step(recipe.lr * warm * linear_decay(step / total, recipe.decay_fraction))
        progress.record(torch.stack(losses).mean())
        if (step + 1) % (config.training.eval_every or total + 1) == 0:
            weights = averaged.weights()
            if rank() == 0:
                drawn = cache.some_people(PEOPLE)
                sheet = sample_grid(shape, weights, recipe, decode, drawn, engine.device)
                save_png(progress.out / "sheets" / f"{step + 1:07d}.png", sheet)

    # Write
    weights, metrics = averaged.weights(), dict[str, Any]()
    if rank() == 0:
        metrics = {"final_loss": progress.final_loss, "hours": round(progress.seconds / 3600, 3)}
        story = checkpoint.Checkpoint(
            kind="generator",
            tensors=weights,
            config=_story_config(recipe, shape) | (heads.story() if heads else {}),
            step=total,
            metrics=metrics,
            lineage=lineage,
            sha256="",
        )
        checkpoint.save(progress.out, story)
    return metrics


def save_png(path: Path, image_HWC: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_HWC).save(path)


def init_from(network: UViT, recipe: GeneratorConfig, lineage: dict[str, str]) -> str:
    """Take over the weights of recipe.init_from, whose sha256 is returned; layers it lacks stay new,
    and with recipe.reset_identity_layers those that read embeddings.

    Raises CheckpointError when it was trained with other networks (`lineage`), to estimate
    something else, or has layers of another shape.
    """
    name = str(recipe.init_from)
    loaded = checkpoint.load(name, "generator", "generator.init_from")
    theirs = {kind: loaded.lineage.get(kind) for kind in lineage}
    if recipe.reset_identity_layers:
        theirs["recognizer"] = lineage["recognizer"]
    if theirs != lineage:
        raise CheckpointError(
            f"generator.init_from: {name} was trained with another recognizer or autoencoder; use "
            "those, or generator.init_from=null (another recognizer alone: generator.reset_identity_layers)"
        )
    for key in ("prediction", "num_timesteps"):
        if loaded.config[key] != getattr(recipe, key):
            raise CheckpointError(
                f"generator.{key}: got {getattr(recipe, key)} to begin with {name}, which was "
                f"trained with {loaded.config[key]}; want the same"
            )
    mine, taken = network.state_dict(), loaded.tensors
    if recipe.reset_identity_layers:
        taken = {
            key: tensor for key, tensor in taken.items() if key.split(".")[0] not in IDENTITY_LAYERS
        }
    for tensor_name, tensor in taken.items():
        if tensor_name not in mine or mine[tensor_name].shape != tensor.shape:
            raise CheckpointError(
                f"generator.init_from: {name} has {tensor_name} of shape {tuple(tensor.shape)}, this "
                "generator has not; want the same space, width, depth and patch"
            )
    network.load_state_dict(mine | taken)
    return loaded.sha256


def dropout(shape: tuple[int, int], share: float, draw: torch.Generator) -> torch.Tensor:
    """Factors that drop a share of the values and keep their mean: 0 or 1/(1 - share)."""
    return (torch.rand(shape, generator=draw) >= share) / (1 - share)


def _check_gradients(recipe: GeneratorConfig, recognizer: Recognizer) -> None:
    similar = recipe.similarity_weight if recipe.similarity_tokens else 0.0
    for name, weight in (("identity", recipe.identity_weight), ("similarity", similar)):
        if weight and not recognizer.has_gradients:
            raise ConfigError(
                f"generator.{name}_weight: got {weight} with an adopted recognizer, which has no "
                "gradients; want 0"
            )


def _story_config(recipe: GeneratorConfig, shape: Shape) -> dict[str, Any]:
    return {
        "shape": asdict(shape),
        "space": recipe.space,
        "prediction": recipe.prediction,
        "num_timesteps": recipe.num_timesteps,
        "condition": recipe.condition,
        "identity_weight": recipe.identity_weight,
    }


def _on(device: torch.device, tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.to(device, non_blocking=True)


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x
