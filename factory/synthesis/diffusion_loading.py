"""release.method=diffusion: the generator that draws people from embeddings (VIGFace, CemiFace)."""

from __future__ import annotations

from typing import Any

import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder, factor_of
from factory.diffusion.distillation import distilled_facts
from factory.diffusion.similarity import MARGIN, TrainingSimilarities
from factory.diffusion.turns import KIND, TangentFlow
from factory.errors import CheckpointError, ConfigError
from factory.identities.roster import Roster
from factory.shots.plan import Plan
from factory.shots.request import MethodRequest, PoseRequest
from factory.sources import FaceSource
from factory.sources.pose import learned_range
from factory.synthesis.generators import DiffusionGenerator, Generator
from factory.synthesis.inquiry_copies import with_copies
from factory.synthesis.networks import Networks

TURNS = "turns.checkpoint"


def check(config: Config, networks: Networks) -> None:
    """Find the generator and its autoencoder.

    Raises CheckpointError where they do not fit the recognizer, ConfigError for a sampler that
    cannot draw with them.
    """
    generator = networks.read("generator", config.generator.checkpoint, "generator.checkpoint")
    drawn_px = int(generator["config"]["shape"]["side"])
    if generator["config"]["space"] == "latents":
        name = config.autoencoder.checkpoint
        drawn_px *= factor_of(
            networks.read("autoencoder", name, "autoencoder.checkpoint")["config"]
        )
    if drawn_px != config.source.image_px:
        raise CheckpointError(
            f"generator.checkpoint: draws images of {drawn_px} px; source.image_px is "
            f"{config.source.image_px}, want the same"
        )
    networks.check_lineage("generator", generator["lineage"], ("recognizer", "autoencoder"))
    wanted = generator["config"]["shape"]["embedding_dim"]
    if networks.embedding_dim != wanted:
        raise CheckpointError(
            f"recognizer.checkpoint: embeds in {networks.embedding_dim} values; the generator "
            f"takes {wanted}"
        )
    check_sampler(config, generator["config"])
    _check_turns(config, networks)


def request(config: Config, source: FaceSource, networks: Networks) -> MethodRequest:
    """The poses that a generator has learned, if it is shown five points; a student's guidance."""
    generator = networks.metadata["generator"]["config"]
    pose, distilled = generator.get("pose"), distilled_facts(generator)
    return MethodRequest(
        pose=PoseRequest(pose["bins"]) if pose else None,
        guidance=float(distilled["guidance"]) if distilled else None,
    )


def load(
    config: Config, plan: Plan, roster: Roster, device: torch.device, weights: dict[str, str]
) -> Generator:
    """The generator in VIGFace's space; adds what it opens to `weights`."""
    precision = config.compute.precision
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    weights["generator"] = loaded.sha256
    autoencoder = None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        weights["autoencoder"] = autoencoder.sha256
    unit_ND, first = roster.unit_ND, roster.first_identity
    compiled = plan.request.compute.compile
    flow = _learned_turns(config, weights)
    generator = DiffusionGenerator(
        loaded, autoencoder, unit_ND, device, precision, first, compiled=compiled, flow=flow
    )
    return with_copies(generator, config, plan.request)


def _learned_turns(config: Config, weights: dict[str, str]) -> TangentFlow | None:
    """The flow of sampler.perturb_identity=learned; its digest is added to `weights`."""
    if config.sampler.perturb_identity != "learned":
        return None
    loaded = checkpoint.load(str(config.turns.checkpoint), KIND, TURNS)
    weights[KIND] = loaded.sha256
    return TangentFlow.of(loaded)


def _check_turns(config: Config, networks: Networks) -> None:
    """Raise CheckpointError for learned turns that another recognizer's embeddings gave."""
    if config.sampler.perturb_identity == "learned":
        turns = networks.read(KIND, str(config.turns.checkpoint), TURNS)
        networks.check_lineage("turns", turns["lineage"], ("recognizer",))


def check_sampler(config: Config, generator: dict[str, Any]) -> None:
    """Raise ConfigError for what a generator (the config in its checkpoint.json) cannot draw."""
    _check_distilled(config, distilled_facts(generator))
    steps, largest = config.sampler.num_steps, int(generator["num_timesteps"])
    if steps > largest:
        raise ConfigError(f"sampler.num_steps: got {steps}; want at most the generator's {largest}")
    if generator["prediction"] == "epsilon" and config.sampler.timestep_spacing == "trailing":
        raise ConfigError(
            "sampler.timestep_spacing: got 'trailing' for a generator that estimates epsilon, "
            "whose error its first step multiplies a thousandfold; want 'logsnr'"
        )
    _check_similarity(config, generator)
    _check_pose(config, generator.get("pose"))


def _check_distilled(config: Config, learned: dict[str, Any] | None) -> None:
    """Raise ConfigError unless a student is drawn with as it has learned, and nothing else is."""
    sampler = config.sampler
    if sampler.kind == "distilled" and not learned:
        raise ConfigError(
            "sampler.kind: got 'distilled' for a generator that is not; want 'unipc', or a "
            "generator.checkpoint that `python -m jobs.distill` wrote"
        )
    if not learned:
        return
    if sampler.kind != "distilled":
        raise ConfigError(
            f"sampler.kind: got {sampler.kind!r} for a generator that was distilled to "
            f"{learned['num_steps']} calls; want 'distilled', or its teacher's checkpoint"
        )
    if sampler.num_steps != learned["num_steps"]:
        raise ConfigError(
            f"sampler.num_steps: got {sampler.num_steps} for a generator that was distilled to "
            f"{learned['num_steps']} calls; want {learned['num_steps']}"
        )
    if sampler.guidance not in (None, learned["guidance"]):
        raise ConfigError(
            f"sampler.guidance: got {sampler.guidance:g} for a generator that has learned "
            f"{learned['guidance']:g}; want {learned['guidance']:g} or null"
        )


def _check_similarity(config: Config, generator: dict[str, Any]) -> None:
    tokens = int(generator["shape"].get("similarity_tokens", 0))
    learned = TrainingSimilarities.from_checkpoint(generator)
    if bool(config.sampler.similarity) != bool(tokens):
        wanted = f"values such as [{learned.median if learned else 0.0:.1f}]" if tokens else "none"
        raise ConfigError(
            f"sampler.similarity: got {list(config.sampler.similarity)} for a generator with "
            f"{tokens} similarity tokens; want {wanted}, or another generator.checkpoint"
        )
    outside = [m for m in config.sampler.similarity if learned and learned.is_outside(m)]
    if learned and outside:
        low, high = learned.range
        raise ConfigError(
            f"sampler.similarity: got {outside[0]:g} for a generator trained with measured ones of "
            f"{low:.3f} to {high:.3f}; want values at most {MARGIN} outside these, or a generator "
            "trained with generator.similarity_label=asked"
        )


def _check_pose(config: Config, learned: dict[str, Any] | None) -> None:
    """Raise ConfigError for a pose that the generator cannot draw."""
    for axis, name in enumerate(("yaw", "pitch")):
        wanted = getattr(config.sampler, name)
        if wanted and learned is None:
            raise ConfigError(
                f"sampler.{name}: got {list(wanted)} for a generator that is shown no points; want "
                "none, or a generator trained with generator.pose=true"
            )
        if wanted and learned is not None:
            low, high = learned_range(learned["bins"], axis)
            outside = [value for value in wanted if not low <= value <= high]
            if outside:
                raise ConfigError(
                    f"sampler.{name}: got {outside[0]:g} degrees; the generator learned from "
                    f"{low:g} to {high:g}"
                )
