"""Train a student of few network calls from a generator (METHODS 1; equations: distillation.py)."""

from __future__ import annotations

from typing import Any

import torch

from factory import checkpoint
from factory.config import Config, DistillationConfig
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.distillation import (
    DistillationLoss,
    Teacher,
    distilled_facts,
    draw_stages,
    step_grid,
)
from factory.diffusion.distilled_figures import measure_student
from factory.diffusion.head_poses import FacePoses
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.reconstruction import measured_faces
from factory.diffusion.similarity import draw_similarities
from factory.diffusion.trained_generator import Decode, TrainedGenerator
from factory.diffusion.uvit import Shape, UViT, with_present_names
from factory.errors import ConfigError
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.training.distributed import pick_device, rank
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
    device, precision = pick_device(config.compute), config.compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    lineage = {"recognizer": recognizer.sha256}
    autoencoder: Autoencoder | None = None
    decode: Decode = _identity
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        decode = autoencoder.decode
        lineage["autoencoder"] = autoencoder.sha256
    checkpoint.refuse_other("generator", loaded.lineage, lineage)
    run.resume(**lineage, teacher=loaded.sha256)
    kind = str(loaded.config["condition"])
    cache = TrainingCache(run.faces, recognizer, autoencoder, kind)
    run.read_ahead(*cache.arrays)
    poses = FacePoses(run.faces, config) if loaded.config.get("pose") else None

    # Teacher and student, which begins as it
    run.seed()
    schedule = NoiseSchedule(int(loaded.config["num_timesteps"]))
    prediction = str(loaded.config["prediction"])
    grid_NS = step_grid(schedule, recipe.num_steps, recipe.substeps)
    student = UViT.from_checkpoint(loaded.config, loaded.tensors)
    model = DistillationLoss(
        student,
        frozen_teacher(loaded, recipe, device, precision),
        schedule,
        prediction,
        grid_NS,
        solver=recipe.solver,
        drawn=recipe.inputs == "drawn",
    )
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
    drawing = _drawing(loaded, weights, decode, run.device, num_distilled=recipe.num_steps)
    calls = (distilled_facts(loaded.config) or {}).get("num_steps")
    own = {"guidance": recipe.guidance, "num_distilled": calls}
    beside = _drawing(loaded, with_present_names(loaded.tensors), decode, run.device, **own)
    faces, which = measured_faces(run.faces, run.heldout, kind)
    measured = measure_student(
        drawing, beside, faces, recognizer, autoencoder, condition=kind, which=which
    )
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
) -> Teacher:
    """The teacher on its device; a student as teacher has its guidance in it."""
    network = UViT.from_checkpoint(loaded.config, loaded.tensors)
    network.eval().requires_grad_(False).to(device)
    if precision == "bf16":
        network.cast_matrices(torch.bfloat16)
    return Teacher(network, 1.0 if distilled_facts(loaded.config) else recipe.guidance)


def _drawing(
    loaded: checkpoint.Checkpoint,
    weights: dict[str, torch.Tensor],
    decode: Decode,
    device: torch.device,
    **how: Any,
) -> TrainedGenerator:
    """A generator like the one loaded, with these weights, which draws as `how` says."""
    estimates = (str(loaded.config["prediction"]), int(loaded.config["num_timesteps"]))
    shape = Shape.from_config(loaded.config)
    return TrainedGenerator.of(shape, weights, estimates, decode, device, **how)


def stored_facts(recipe: DistillationConfig) -> dict[str, Any]:
    """What checkpoint.json tells of a distillation: all that sampling with the student must be."""
    return {
        "num_steps": recipe.num_steps,
        "guidance": recipe.guidance,
        "substeps": recipe.substeps,
        "solver": recipe.solver,
        "inputs": recipe.inputs,
    }


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x
