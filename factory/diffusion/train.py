"""Train the generator on recognizer embeddings (VIGFace stage 2; METHODS 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from factory import checkpoint
from factory.config import Config, GeneratorConfig, as_dict
from factory.diffusion.augmented_copies import AugmentedCopies
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.distillation import refuse_student
from factory.diffusion.generator_figures import measure_generator
from factory.diffusion.head_poses import FacePoses, open_points
from factory.diffusion.latent_cache import TrainingCache, open_embeddings, open_latents
from factory.diffusion.loss_by_noise_level import LossByNoiseLevel
from factory.diffusion.measured_similarity import (
    MeasuredSimilarity,
    label_records,
    open_label_recognizers,
)
from factory.diffusion.noise_schedule import NoiseSchedule, draw_timesteps
from factory.diffusion.pose import CHANNELS
from factory.diffusion.reconstruction import measured_faces
from factory.diffusion.sample_grid import PEOPLE, sample_grid
from factory.diffusion.similarity import draw_similarities, similarity_loss
from factory.diffusion.trained_generator import Decode, TrainedGenerator
from factory.diffusion.uvit import IDENTITY_LAYERS, Shape, UViT, with_present_names
from factory.errors import CheckpointError, ConfigError
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.store.atomic import dispensable, writing
from factory.training.distributed import pick_device, rank
from factory.training.faces import FaceRows
from factory.training.run import TrainingRun
from factory.training.schedules import adamw, linear_decay, warmup


class GeneratorLoss(nn.Module):
    """Denoising error, plus losses on identity and similarity through frozen networks.

    They are lambda times the identity loss of VIGFace's eq 8, and CemiFace's similarity loss where
    similarities are asked for. Samples whose condition was dropped are nobody's, and bear neither.
    """

    def __init__(
        self, config: GeneratorConfig, shape: Shape, decode: Decode, recognizer: Recognizer
    ) -> None:
        super().__init__()
        self.network = UViT(shape)
        self.schedule = NoiseSchedule(config.num_timesteps)
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
        hint_BSHW: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, denoising error of each sample [B], without gradient).

        `condition_BD` and `m_B` drive the network (zero rows are dropped conditions);
        `identity_BD` is what the losses compare with, in the first identity_batch samples.
        """
        config = self._config
        similar = bool(config.similarity_tokens)
        obeys = similar and config.similarity_label == "asked" and bool(config.similarity_weight)
        x_t = self.schedule.add_noise(x_BCHW, noise, t_B)
        m_or_none = m_B if similar else None
        output = self.network(x_t, t_B, condition_BD, m_or_none, dropout_BW, hint_BSHW)
        target = self.schedule.target(x_BCHW, noise, t_B, config.prediction)
        error_B = (output - target).square().mean((1, 2, 3))
        weight_B = self.schedule.loss_weight(t_B, config.loss_weighting, config.prediction)
        loss = (weight_B.to(error_B.dtype) * error_B).mean()
        if config.identity_weight or obeys:
            first = slice(config.identity_batch)
            decode, unit_features = self._frozen
            x0 = self.schedule.x0(output[first], x_t[first], t_B[first], config.prediction)
            unit_ID, identity_ID = unit_features(decode(x0)), identity_BD[first]
            given_I = condition_BD[first].any(1)  # a dropped condition has nothing to obey
            if config.identity_weight:
                error_I = (unit_ID - identity_ID).square().sum(1)  # eq 8
                loss = loss + config.identity_weight * (error_I * given_I).mean()
            if obeys:
                g_I = t_B[first] / config.num_timesteps
                aim_I = similarity_loss(unit_ID, identity_ID, m_B[first], g_I)
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
        hint_channels=CHANNELS if recipe.pose else 0,
        hint_px=config.source.image_px if recipe.pose else 0,
    )


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the EMA weights to training.out, return the metrics."""
    recipe = config.generator
    run = TrainingRun(config, recipe, log)

    # Frozen networks, and their outputs for every face
    device, precision = pick_device(config.compute), config.compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    _check_gradients(recipe, recognizer)
    lineage = {"recognizer": recognizer.sha256}
    autoencoder: Autoencoder | None = None
    decode: Decode = _identity
    if recipe.space == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        decode = autoencoder.decode
        lineage["autoencoder"] = autoencoder.sha256
    labelers = open_label_recognizers(config, device)
    copies = AugmentedCopies.of(config)
    augment = {"augment": as_dict(copies.augment)} if copies.count else {}
    labeled_by = {f"label_recognizer_{i}": one.sha256 for i, one in enumerate(labelers, start=1)}
    run.resume(**lineage, **labeled_by, init_from=_init_sha256(recipe), **augment)
    cache = TrainingCache(run.faces, recognizer, autoencoder, recipe.condition, copies)
    run.read_ahead(*cache.arrays)
    measured = None
    if recipe.similarity_label == "measured":
        measured = MeasuredSimilarity(run.faces, [recognizer, *labelers])
        log(measured.seen.told)
    poses = FacePoses(run.faces, config) if recipe.pose else None

    # Network, engine
    run.seed()
    shape = network_shape(config, cache.channels, cache.side, recognizer.dim)
    model = GeneratorLoss(recipe, shape, decode, recognizer)
    if recipe.init_from:
        started_as = autoencoder.finetuned_from if autoencoder else []
        lineage["start"] = init_from(model.network, recipe, lineage, started_as)
    optimizer = adamw(recipe.lr, recipe.weight_decay, recipe.betas)
    average = {"ema": recipe.ema, "ema_sigma_rel": recipe.ema_sigma_rel}
    run.start(model, optimizer, part="network", grad_clip=recipe.grad_clip, **average)
    estimates = (recipe.prediction, recipe.num_timesteps)
    seen = measured.seen if measured else None
    by_level = LossByNoiseLevel(recipe.num_timesteps)
    run.state.also_log(by_level.take)

    # Steps
    for step in run.steps():
        for part in step.parts:
            mirrored = (torch.rand(len(part), generator=step.draw) < 0.5).long().numpy()
            x, unit_BD = cache.rows(copies.draw(mirrored, step.draw), part)
            noise = torch.randn(x.shape, generator=step.draw)
            t_B = draw_timesteps(len(x), recipe.num_timesteps, recipe.time_sampling, step.draw)
            keep_B = torch.rand(len(x), generator=step.draw) >= recipe.condition_dropout
            if measured:
                m_B = measured.rows(mirrored, part)
                keep_B &= ~m_B.isnan()  # nobody else to be alike to
            else:
                m_B = draw_similarities(len(x), step.draw)
            m_B = torch.where(keep_B, m_B, 0.0)
            dropout_BW = hint_BSHW = None
            if recipe.identity_dropout:
                size = (len(x), recipe.width)
                dropout_BW = dropout(size, recipe.identity_dropout, step.draw)
            if poses:
                hint_BSHW = poses.images(mirrored, part)
            condition_BD = unit_BD * keep_B[:, None]
            loss, error_B = run(x, noise, t_B, condition_BD, unit_BD, m_B, dropout_BW, hint_BSHW)
            run.backward(loss)
            by_level.add(t_B, error_B)
        rise = warmup(step.index, recipe.warmup_steps)
        run.update(recipe.lr * rise * linear_decay(step.progress, recipe.decay_fraction))
        if (step.index + 1) % (config.training.eval_every or run.total + 1) == 0:
            weights = run.weights()
            if rank() == 0:
                drawing = TrainedGenerator.of(shape, weights, estimates, decode, run.device, seen)
                grid = sample_grid(drawing, cache.some_people(PEOPLE))
                save_png(run.out / "sheets" / f"{step.index + 1:07d}.png", grid)

    # Measure, write
    weights = run.weights()
    if rank() != 0:
        return {}
    drawing = TrainedGenerator.of(shape, weights, estimates, decode, run.device, seen)
    kind = recipe.condition
    faces, which = measured_faces(run.faces, run.heldout, kind)
    figures = measure_generator(
        drawing, faces, recognizer, autoencoder, condition=kind, which=which
    )
    stored = _checkpoint_config(recipe, shape)
    stored |= {"pose": poses.to_json()} if poses else {}
    stored |= {"similarity": seen.to_json()} if seen else {}
    return run.save(
        "generator",
        weights,
        config=stored,
        lineage=lineage | labeled_by,
        measured=figures,
        known=label_records(config),
    )


def rows_read(config: Config) -> list[Callable[[Config], FaceRows]]:
    """What `train` reads of the faces besides their pixels, each by what opens it."""
    recipe = config.generator
    opens: list[Callable[[Config], FaceRows]] = []
    if recipe.space == "latents":
        opens.append(open_latents)
    if recipe.condition != "prototype" or recipe.similarity_label == "measured":
        opens.append(open_embeddings)
    return [*opens, open_points] if recipe.pose else opens


def save_png(path: Path, image_HWC: np.ndarray) -> None:
    from PIL import Image

    with dispensable("sheets"), writing(path) as file:
        Image.fromarray(image_HWC).save(file, "PNG")


def _init_sha256(recipe: GeneratorConfig) -> str | None:
    """The digest of the weights that a training begins with; None where it begins from nothing."""
    if not recipe.init_from:
        return None
    key = "generator.init_from"
    return str(checkpoint.read_metadata(recipe.init_from, "generator", key)["sha256"])


def init_from(
    network: UViT,
    recipe: GeneratorConfig,
    lineage: dict[str, str],
    finetuned_from: Sequence[str] = (),
) -> str:
    """Take over the weights of recipe.init_from, and return their sha256.

    Layers that it lacks stay new, with recipe.reset_identity_layers those that read embeddings too.
    It may have been trained with an autoencoder that the present one was finetuned from
    (`finetuned_from`, their sha256): what latents mean changes little. Raises CheckpointError when
    it was trained with other networks (`lineage`), to estimate something else, or has layers of
    another shape.
    """
    name = str(recipe.init_from)
    loaded = checkpoint.load(name, "generator", "generator.init_from")
    refuse_student(loaded.config, "generator.init_from")
    trained_with = {kind: loaded.lineage.get(kind) for kind in lineage}
    resets = recipe.reset_identity_layers
    if resets is None:
        resets = trained_with["recognizer"] != lineage["recognizer"]
    if resets:
        trained_with["recognizer"] = lineage["recognizer"]
    if trained_with.get("autoencoder") in finetuned_from:
        trained_with["autoencoder"] = lineage["autoencoder"]
    if trained_with != lineage:
        raise CheckpointError(
            f"generator.init_from: {name} was trained with another recognizer or autoencoder; use "
            "those, or generator.init_from=null (for another recognizer alone: "
            "generator.reset_identity_layers=true)"
        )
    estimates = {"prediction": recipe.prediction, "num_timesteps": recipe.num_timesteps}
    for key, value in estimates.items():
        if loaded.config[key] != value:
            raise CheckpointError(
                f"generator.{key}: got {value} to begin with {name}, which was "
                f"trained with {loaded.config[key]}; want the same"
            )
    tensors, taken = network.state_dict(), with_present_names(loaded.tensors)
    if resets:
        taken = {
            key: tensor for key, tensor in taken.items() if key.split(".")[0] not in IDENTITY_LAYERS
        }
    for tensor_name, tensor in taken.items():
        if tensor_name not in tensors or tensors[tensor_name].shape != tensor.shape:
            raise CheckpointError(
                f"generator.init_from: {name} has {tensor_name} of shape {tuple(tensor.shape)}, "
                "this generator has not; want the same space, width, depth and patch"
            )
    network.load_state_dict(tensors | taken)
    return loaded.sha256


def dropout(size: tuple[int, int], fraction: float, draw: torch.Generator) -> torch.Tensor:
    """Factors that drop a fraction of the values and keep their mean: 0 or 1/(1 - fraction)."""
    return (torch.rand(size, generator=draw) >= fraction) / (1 - fraction)


def _check_gradients(recipe: GeneratorConfig, recognizer: Recognizer) -> None:
    weights = {"identity": recipe.identity_weight}
    if recipe.similarity_tokens and recipe.similarity_label == "asked":
        weights["similarity"] = recipe.similarity_weight
    for name, weight in weights.items():
        if weight and not recognizer.has_gradients:
            raise ConfigError(
                f"generator.{name}_weight: got {weight} with an imported recognizer, which has no "
                "gradients; want 0"
            )


def _checkpoint_config(recipe: GeneratorConfig, shape: Shape) -> dict[str, Any]:
    return {
        "shape": asdict(shape),
        "space": recipe.space,
        "prediction": recipe.prediction,
        "num_timesteps": recipe.num_timesteps,
        "condition": recipe.condition,
        "identity_weight": recipe.identity_weight,
    }


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x
