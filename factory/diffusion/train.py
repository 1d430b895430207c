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
from factory.diffusion.distillation import refuse_student
from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.generator_figures import MeasuredFaces, measure_generator
from factory.diffusion.head_poses import open_points
from factory.diffusion.latent_cache import open_embeddings, open_latents
from factory.diffusion.loss_by_noise_level import LossByNoiseLevel
from factory.diffusion.measured_similarity import label_records, open_label_recognizers
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.pose import CHANNELS
from factory.diffusion.reconstruction import measured_faces
from factory.diffusion.sample_grid import PEOPLE, sample_grid
from factory.diffusion.similarity import similarity_loss
from factory.diffusion.trained_generator import Decode, TrainedGenerator
from factory.diffusion.training_inputs import TrainingInputs
from factory.diffusion.uvit import IDENTITY_LAYERS, Shape, UViT, with_present_names
from factory.errors import CheckpointError, ConfigError
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.store.atomic import dispensable, writing
from factory.training.distributed import rank
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
    networks = FrozenNetworks.load(config, recipe.space)
    _check_gradients(recipe, networks.recognizer)
    labelers = open_label_recognizers(config, networks.recognizer.device)
    labeled_by = {f"label_recognizer_{i}": one.sha256 for i, one in enumerate(labelers, start=1)}
    augment = _augment_of_copies(config)
    learned_from = networks.lineage | labeled_by
    run.resume(**learned_from, init_from=_init_sha256(recipe), **augment)
    inputs = TrainingInputs.open(config, run, networks, labelers, log)

    # Network, engine
    shape = network_shape(config, inputs.cache.channels, inputs.cache.side, networks.recognizer.dim)
    lineage = _start(run, recipe, shape, networks) | labeled_by
    by_level = LossByNoiseLevel(recipe.num_timesteps)
    run.state.also_log(by_level.take)

    def drawing(weights: dict[str, torch.Tensor]) -> TrainedGenerator:
        estimates = (recipe.prediction, recipe.num_timesteps)
        decode = networks.decode
        return TrainedGenerator.of(shape, weights, estimates, decode, run.device, inputs.learned)

    # Steps
    for step in run.steps():
        for part in step.parts:
            given = inputs.draw(part, step.draw)
            loss, error_B = run(*given)
            run.backward(loss)
            by_level.add(given.t_B, error_B)
        rise = warmup(step.index, recipe.warmup_steps)
        run.update(recipe.lr * rise * linear_decay(step.progress, recipe.decay_fraction))
        if (step.index + 1) % (config.training.eval_every or run.total + 1) == 0:
            weights = run.weights()
            if rank() == 0:
                grid = sample_grid(drawing(weights), inputs.cache.some_people(PEOPLE))
                save_png(run.out / "sheets" / f"{step.index + 1:07d}.png", grid)

    # Measure, write
    weights = run.weights()
    if rank() != 0:
        return {}
    shown = measured_faces(run.faces, run.heldout, recipe.condition)
    measured = measure_generator(
        drawing(weights), MeasuredFaces(*shown, networks, recipe.condition)
    )
    return run.save(
        "generator",
        weights,
        config=_checkpoint_config(recipe, shape) | inputs.facts,
        lineage=lineage,
        measured=measured,
        known=label_records(config),
    )


def _start(
    run: TrainingRun, recipe: GeneratorConfig, shape: Shape, networks: FrozenNetworks
) -> dict[str, str]:
    """Put a new network, or the one that recipe.init_from names, into the engine; its lineage."""
    run.seed()
    lineage = networks.lineage
    model = GeneratorLoss(recipe, shape, networks.decode, networks.recognizer)
    if recipe.init_from:
        autoencoder = networks.autoencoder
        started_as = autoencoder.finetuned_from if autoencoder else []
        lineage["start"] = init_from(model.network, recipe, lineage, started_as)
    optimizer = adamw(recipe.lr, recipe.weight_decay, recipe.betas)
    average = {"ema": recipe.ema, "ema_sigma_rel": recipe.ema_sigma_rel}
    run.start(model, optimizer, part="network", grad_clip=recipe.grad_clip, **average)
    return lineage


def _augment_of_copies(config: Config) -> dict[str, Any]:
    """What changes the augmented copies, where there are any."""
    copies = AugmentedCopies.of(config)
    return {"augment": as_dict(copies.augment)} if copies.count else {}


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
