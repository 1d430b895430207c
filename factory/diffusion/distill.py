"""Train a student of few network calls from a generator (METHODS 1; equations: distillation.py)."""

from __future__ import annotations

from typing import Any

import torch

from factory import checkpoint
from factory.config import Config, DistillationConfig
from factory.diffusion.distillation import (
    Denoiser,
    DistillationLoss,
    distilled_facts,
    draw_stages,
    step_grid,
)
from factory.diffusion.distilled_figures import measure_student
from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.generator_figures import MeasuredFaces
from factory.diffusion.head_poses import FacePoses
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.reconstruction import measured_faces
from factory.diffusion.similarity import draw_similarities
from factory.diffusion.trained_generator import Decode, TrainedGenerator
from factory.diffusion.uvit import Shape, UViT, with_present_names
from factory.errors import ConfigError
from factory.records import Log
from factory.training.distributed import rank
from factory.training.run import TrainingRun
from factory.training.schedules import adamw, linear_decay, warmup


def distill(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of config.distillation, write the EMA student, return the metrics.

    Raises CheckpointError for a teacher of another recognizer or autoencoder, ConfigError for one
    whose steps cannot be merged as asked.
    """
    recipe = config.distillation
    loaded = checkpoint.load(recipe.teacher, "generator", "distillation.teacher")
    check_teacher(recipe, loaded.config)
    run = TrainingRun(config, recipe, log)

    # Frozen networks, and their outputs for every face
    networks = FrozenNetworks.load(config, str(loaded.config["space"]))
    lineage = networks.lineage
    checkpoint.refuse_other("generator", loaded.lineage, lineage)
    run.resume(**lineage, teacher=loaded.sha256)
    kind = str(loaded.config["condition"])
    cache = TrainingCache(run.faces, networks.recognizer, networks.autoencoder, kind)
    run.read_ahead(*cache.arrays)
    poses = FacePoses(run.faces, config) if loaded.config.get("pose") else None

    # Teacher and student, which begins as it
    run.seed()
    student = UViT.from_checkpoint(loaded.config, loaded.tensors)
    device, precision = networks.recognizer.device, config.compute.precision
    teacher = frozen_teacher(loaded, recipe, device, precision)
    grid_NS = step_grid(teacher.schedule, recipe.num_steps, recipe.substeps)
    drawn = recipe.inputs == "drawn"
    model = DistillationLoss(student, teacher, grid_NS, solver=recipe.solver, drawn=drawn)
    optimizer = adamw(recipe.lr, recipe.weight_decay)
    run.start(model, optimizer, part="network", grad_clip=recipe.grad_clip, ema=recipe.ema)

    # Steps
    for step in run.steps():
        for part in step.parts:
            mirrored = (torch.rand(len(part), generator=step.draw) < 0.5).long().numpy()
            x, unit_BD = cache.rows(mirrored, part)
            noise = torch.randn(x.shape, generator=step.draw)
            stage_B = draw_stages(len(x), recipe.num_steps, step.draw)
            m_B = hint_BSHW = None
            if student.shape.similarity_tokens:
                m_B = draw_similarities(len(x), step.draw)
            if poses:
                hint_BSHW = poses.images(mirrored, part)
            run.backward(run(x, noise, stage_B, unit_BD, m_B, hint_BSHW))
        rise = warmup(step.index, recipe.warmup_steps)
        run.update(recipe.lr * rise * linear_decay(step.progress, recipe.decay_fraction))

    # Measure, write
    weights = run.weights()
    if rank() != 0:
        return {}
    given = MeasuredFaces(*measured_faces(run.faces, run.heldout, kind), networks, kind)
    measured = measure_student(*_both(loaded, weights, recipe, networks.decode, run.device), given)
    stored = loaded.config | {"distilled": stored_facts(recipe)}
    lineage["teacher"] = loaded.sha256
    return run.save("generator", weights, config=stored, lineage=lineage, measured=measured)


def check_teacher(recipe: DistillationConfig, teacher: dict[str, Any]) -> None:
    """Raise ConfigError unless steps of a teacher (its checkpoint's config) can be merged so."""
    steps, largest = recipe.num_steps * recipe.substeps, int(teacher["num_timesteps"])
    if steps > largest:
        raise ConfigError(
            f"distillation.substeps: got {recipe.substeps} with distillation.num_steps="
            f"{recipe.num_steps}; want a product of at most the teacher's {largest} timesteps"
        )
    if teacher["prediction"] == "epsilon":
        raise ConfigError(
            f"distillation.teacher: {recipe.teacher} estimates epsilon, which says nothing about "
            "the image where a student begins; want one with generator.prediction=v or x0"
        )
    facts = distilled_facts(teacher)
    if facts and facts["num_steps"] != steps:
        raise ConfigError(
            f"distillation.substeps: got {recipe.substeps} with distillation.num_steps="
            f"{recipe.num_steps} and a teacher of {facts['num_steps']} calls; want a product of "
            f"{facts['num_steps']}"
        )
    if facts and facts["guidance"] != recipe.guidance:
        raise ConfigError(
            f"distillation.guidance: got {recipe.guidance:g} with a teacher that has learned "
            f"{facts['guidance']:g}; want the same"
        )


def frozen_teacher(
    loaded: checkpoint.Checkpoint, recipe: DistillationConfig, device: torch.device, precision: str
) -> Denoiser:
    """The teacher on its device; a student as teacher has its guidance in it."""
    network = UViT.from_checkpoint(loaded.config, loaded.tensors)
    network.eval().requires_grad_(False).to(device)
    if precision == "bf16":
        network.cast_matrices(torch.bfloat16)
    prediction, num_timesteps = _estimates(loaded)
    guidance = 1.0 if distilled_facts(loaded.config) else recipe.guidance
    return Denoiser(network, NoiseSchedule(num_timesteps), prediction, guidance)


def _estimates(loaded: checkpoint.Checkpoint) -> tuple[str, int]:
    """What a generator estimates, and its number of timesteps."""
    return str(loaded.config["prediction"]), int(loaded.config["num_timesteps"])


def _both(
    loaded: checkpoint.Checkpoint,
    weights: dict[str, torch.Tensor],
    recipe: DistillationConfig,
    decode: Decode,
    device: torch.device,
) -> tuple[TrainedGenerator, TrainedGenerator]:
    """The student with these weights and its teacher, to draw from the same noise."""
    like = (_estimates(loaded), decode, device)
    shape = Shape.from_config(loaded.config)
    student = TrainedGenerator.of(shape, weights, *like, num_distilled=recipe.num_steps)
    calls = (distilled_facts(loaded.config) or {}).get("num_steps")
    taught = with_present_names(loaded.tensors)
    teacher = TrainedGenerator.of(
        shape, taught, *like, guidance=recipe.guidance, num_distilled=calls
    )
    return student, teacher


def stored_facts(recipe: DistillationConfig) -> dict[str, Any]:
    """What checkpoint.json tells of a distillation: all that sampling with the student must be."""
    return {
        "num_steps": recipe.num_steps,
        "guidance": recipe.guidance,
        "substeps": recipe.substeps,
        "solver": recipe.solver,
        "inputs": recipe.inputs,
    }
