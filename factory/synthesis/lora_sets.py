"""Sets of LoRAs, one for every person of a source: their plan, their people, a finished set.

A unit is a person; a set is done when every unit is committed, as a release is (RELEASE).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from factory import checkpoint
from factory.config import PersonalizationConfig, Config, SourceConfig, as_dict
from factory.errors import CheckpointError, ConfigError, PlanError
from factory.records import Unit
from factory.shards import layout, manifest
from factory.shots.environment import sources_hash, stack_fingerprint
from factory.shots.plan import Plan, canonical
from factory.sources import FaceSource
from factory.sources.alignment import YuNet
from factory.store import Store, open_store
from factory.text_to_image.base_model import digest, image_px_of
from factory.text_to_image.face_crop import FaceCrop
from factory.training.distributed import pick_device

LEARNED = (
    "objective rank alpha modules steps lr weight_decay prior_weight identity_weight margin "
    "num_prior prior_steps prior_guidance crop zoom instance_prompt prior_prompt negative_prompt "
    "family gradient_checkpointing"
).split()
"""Knobs of the booth that decide what a LoRA learns; the others are of drawing."""
PRIORS = "num_prior prior_steps prior_guidance prior_prompt negative_prompt".split()


def cropping(config: Config) -> dict[str, str | None]:
    """How faces are cut from what a base draws: kind, and digest of the detector."""
    detector = config.source.detector if config.booth.crop != "whole" else None
    if detector and not Path(detector).is_file():
        raise ConfigError(f"source.detector: no file {detector!r}; want YuNet's .onnx")
    digest_of = checkpoint.file_sha256(Path(detector)) if detector else None
    return {"crop": config.booth.crop, "detector": digest_of}


@dataclass(frozen=True)
class LoraSet:
    """A finished set: where it lies, its plan, and a digest of all its files."""

    store: Store
    plan: Plan
    sha256: str
    unit_of: dict[str, int]
    """Which unit is a person's; those who were quarantined have none."""

    def fitting(self, booth: PersonalizationConfig) -> PersonalizationConfig:
        """The config with the shape of this set's matrices."""
        learned = self.plan.request["booth"]
        modules = tuple(learned["modules"])
        return replace(booth, rank=learned["rank"], alpha=learned["alpha"], modules=modules)


def open_loras(config: Config) -> LoraSet:
    """The set that booth.loras names; raises PlanError when it is not finished, CheckpointError
    when it belongs to another base."""
    prefix = layout.loras_prefix(config.release.dataset, str(config.booth.loras))
    store = open_store(config.store).below(prefix)
    if not store.exists(layout.SUCCESS):
        raise PlanError(
            f"booth.loras: {store.url} is not a finished set of LoRAs; run jobs.personalize "
            "with this booth.loras and release.dataset"
        )
    plan = Plan.from_json(store.get(layout.PLAN))
    base, here = plan.request["weights"]["base"], digest(config.booth)
    if base != here:
        raise CheckpointError(
            f"booth.base: has sha256 {here[:12]}, the LoRAs were trained on {base[:12]}; use that "
            "base"
        )
    shards = manifest.collect(store, plan).shards
    files = [(file.name, file.sha256) for shard in shards for file in shard.files]
    people = plan.request["source"]["people"]
    units = {people[shard.unit]: shard.unit for shard in shards if shard.counts.kept}
    return LoraSet(store, plan, hashlib.sha256(canonical(files)).hexdigest(), units)


def lora_plan(config: Config, source: FaceSource) -> Plan:
    """All that decides a byte of a LoRA: weights, people, recipe, machine."""
    booth = config.booth
    recognizer = checkpoint.read_metadata(
        config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint"
    )
    request = {
        "release": {"dataset": config.release.dataset, "version": booth.loras},
        "seed": config.release.seed,
        "source": {"fingerprint": source.fingerprint, "people": list(source.names)},
        "weights": {
            "base": digest(booth),
            "recognizer": recognizer["sha256"],
            "detector": cropping(config)["detector"],
        },
        "booth": {name: as_dict(booth)[name] for name in LEARNED},
        "sampler": config.sampler.kind,
        "compute": {
            "device": pick_device(config.compute).type,
            "precision": config.compute.precision,
            "num_threads": config.plan.num_threads,
        },
        "factory": {"sources_sha256": sources_hash()},
        "stack": stack_fingerprint(),
    }
    units = [Unit(index, index, 1, 1) for index in range(len(source.names))]
    return Plan(dict(json.loads(canonical(request))), {}, units)


def photographs(config: Config) -> SourceConfig:
    """The source as a base learns it: at its size, with what booth.zoom shows around the face."""
    return replace(config.source, image_px=image_px_of(config.booth), zoom=config.booth.zoom)


def face_crop(config: Config, face_px: int) -> FaceCrop:
    """How faces are cut from a base's images."""
    detector = config.source.detector
    found = YuNet(detector) if detector and config.booth.crop != "whole" else None
    return FaceCrop(config.booth.crop, found, face_px)


def prior_name(plan: Plan) -> str:
    """Where the prior images of a plan lie below the dataset: all that shaped them, hashed."""
    asked = {key: plan.request["booth"][key] for key in PRIORS}
    shaped = [plan.request["weights"]["base"], asked, plan.request["compute"]]
    shaped += [plan.request["seed"], plan.request["sampler"], plan.request["stack"]]
    return layout.priors_name(hashlib.sha256(canonical(shaped)).hexdigest())
