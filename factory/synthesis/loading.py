"""Opens a plan and the networks it names, and says in what this machine differs from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.errors import IntegrityError
from factory.identities.roster import Roster
from factory.recognition.embed import Recognizer
from factory.records import Shot
from factory.shards.plan_files import difference_from, open_plan
from factory.shots.plan import Plan, batch_size, first_difference
from factory.store import Store
from factory.synthesis.generators import DiffusionGenerator, Generator
from factory.training.distributed import pick_device


@dataclass(frozen=True)
class LoadedRelease:
    """A plan and the networks that carry it out."""

    plan: Plan
    roster: Roster
    generator: Generator
    recognizer: Recognizer
    differences: str | None
    """First way in which this machine is not the one of the plan, or None: bytes will be equal."""

    def draw(self, shot: Shot) -> np.ndarray:
        """RGB uint8 [H, W, 3] of one shot, in its planned slot of a full batch."""
        size = batch_size(self.plan.request, shot.attempt)
        return self.generator.generate([shot], size)[shot.slot]


def load_release(config: Config, store: Store) -> LoadedRelease:
    """Load the plan in `store` (that of the release) and the weights `config` names.

    Raises IntegrityError when the weights are not the planned ones.
    """
    plan, roster = open_plan(store)
    torch.set_num_threads(int(plan.request["plan"]["num_threads"]))  # because it decides bytes
    device = pick_device(config.compute)
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    weights = {"recognizer": recognizer.sha256}
    opened = _diffusion
    if config.booth.loras or config.editing.editor:
        opened = _personalised if config.booth.loras else _editing
    generator = opened(config, plan, roster, device, weights)
    wrong = first_difference(weights, plan.request["weights"])
    if wrong:
        raise IntegrityError(f"weights.{wrong}; use the checkpoints the release was planned with")
    return LoadedRelease(plan, roster, generator, recognizer, difference_from(plan, device))


def _diffusion(
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
    return DiffusionGenerator(loaded, autoencoder, roster.unit_ND, device, precision)


def _personalised(
    config: Config, plan: Plan, roster: Roster, device: torch.device, weights: dict[str, str]
) -> Generator:
    """A text-to-image model and the LoRAs of the roster's people; adds both to `weights`."""
    from factory.synthesis.lora_generator import LoraGenerator
    from factory.synthesis.lora_sets import cropping, open_loras
    from factory.text_to_image.base_model import TextToImage
    from factory.text_to_image.face_crop import open_detector

    learned, here = open_loras(config), cropping(config)
    wrong = first_difference(here, {key: plan.request["booth"][key] for key in here})
    if wrong:
        raise IntegrityError(f"booth.{wrong}; use what the release was planned with")
    base = TextToImage(config.booth, device, config.compute.precision)
    weights |= {"base": base.sha256, "loras": learned.sha256}
    detector = config.source.detector if config.booth.crop != "whole" else None
    return LoraGenerator(
        learned.fitting(config.booth),
        base,
        learned.store,
        {who.index: learned.unit_of[who.name] for who in roster.identities},
        plan.request["booth"]["negative_prompt"],
        open_detector(detector) if detector else None,
        config.source.image_px,
    )


def _editing(
    config: Config, plan: Plan, roster: Roster, device: torch.device, weights: dict[str, str]
) -> Generator:
    """An editor of the source's faces; adds its networks to `weights`."""
    from factory.synthesis.editor_loading import load_editor

    return load_editor(config, plan.request, device, weights)
