"""release.method=lora: a finished set of LoRAs and its base model (ID-Booth)."""

from __future__ import annotations

import torch

from factory.config import Config
from factory.errors import IntegrityError, PlanError
from factory.identities.roster import Roster
from factory.provenance.naming import release_naming
from factory.shots.plan import Plan
from factory.shots.prompts import prompt_request
from factory.shots.request import MethodRequest
from factory.sources import FaceSource, open_source
from factory.synthesis.generators import Generator
from factory.synthesis.lora_generator import LoraGenerator
from factory.synthesis.lora_sets import LoraSet, detector_sha256, open_loras
from factory.synthesis.networks import Networks
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.face_crop import open_detector


def check(config: Config, networks: Networks) -> None:
    """Find the LoRAs and their base; raises PlanError or CheckpointError."""
    loras = open_loras(config)
    networks.weights |= {"base": str(loras.plan.request.weights["base"]), "loras": loras.sha256}


def request(config: Config, source: FaceSource, networks: Networks) -> MethodRequest:
    """The prompts; raises PlanError unless everybody in the source has a LoRA."""
    lora_units(config, source)
    names, negative = list(source.names), config.base_model.negative_prompt
    detector, naming = detector_sha256(config), release_naming(config)
    prompts = prompt_request(config.personalization, names, negative, detector, naming)
    return MethodRequest(prompts=prompts)


def lora_units(config: Config, source: FaceSource) -> dict[str, int]:
    """Which LoRA is whose, by names in the source; raises PlanError for people without one.

    ConfigError where the set calls them by pseudonyms, and the environment has not their key.
    """
    loras, names = open_loras(config), [str(name) for name in source.names]
    called = {name: loras.naming.of(name) for name in names}
    without = [name for name in names if called[name] not in loras.unit_of]
    if without:
        raise PlanError(
            f"personalization.loras: {config.personalization.loras} has no LoRA of "
            f"{release_naming(config).of(without[0])!r} ({len(without)} of {len(names)} people of "
            "the source); train it on this source, or use its FACE_FACTORY_PSEUDONYM_KEY"
        )
    return {name: loras.unit_of[called[name]] for name in names}


def load(
    config: Config, plan: Plan, roster: Roster, device: torch.device, weights: dict[str, str]
) -> Generator:
    """A text-to-image model and the LoRAs of the roster's people; adds both to `weights`."""
    loras, planned = open_loras(config), plan.request.prompts
    assert planned is not None, "a plan of this method has prompts"
    actual = (config.personalization.crop, detector_sha256(config))
    if actual != (planned.crop, planned.detector):
        raise IntegrityError(
            f"personalization.crop, source.detector: got {actual[0]} with detector {actual[1]}, "
            f"the release was planned with {planned.crop} and {planned.detector}; use those"
        )
    base = TextToImage(config.base_model, device, config.compute.precision)
    weights |= {"base": base.sha256, "loras": loras.sha256}
    detector = config.source.detector if planned.crop != "whole" else None
    return LoraGenerator(
        loras.fitting(config.personalization),
        base,
        loras.store,
        _unit_of(config, loras, roster),
        planned.negative_prompt,
        open_detector(detector) if detector else None,
        config.source.image_px,
    )


def _unit_of(config: Config, loras: LoraSet, roster: Roster) -> dict[int, int]:
    """Which LoRA draws whom, by identity.

    Makers read it of what is private of the roster; where that was made anew, the source tells.
    """
    if roster.private and roster.private.loras:
        return roster.units_of_loras
    if roster.private is None:
        return {person.index: loras.unit_of[person.name] for person in roster.identities}
    source = open_source(config.source)
    unit_of, labels = lora_units(config, source), roster.label_of(source.names)
    return {index: unit_of[str(source.names[label])] for index, label in labels.items()}
