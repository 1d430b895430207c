"""Sets of LoRAs, one for every person of a source: their plan, their people, a finished set.

A unit is a person; a set is done when every unit is committed, as a release is (PROTOCOL).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from factory import checkpoint
from factory.config import Config, PersonalizationConfig, SourceConfig, as_dict
from factory.errors import CheckpointError, PlanError
from factory.provenance.faces import source_record
from factory.provenance.lineage import Lineage, NetworkRecord, read_lineage
from factory.provenance.naming import Naming, naming_of
from factory.provenance.networks import ancestors
from factory.records import Unit
from factory.shards import layout, manifest
from factory.shots.environment import environment
from factory.shots.plan import LoraPlan, canonical
from factory.shots.request import ComputeFacts, LoraRequest, PeopleFacts
from factory.shots.source_facts import as_planned
from factory.sources import FaceSource
from factory.sources.alignment_facts import alignment_facts
from factory.sources.detector import YuNet, model_sha256
from factory.store import Store, open_store
from factory.text_to_image.base_model import digest, image_px_of
from factory.text_to_image.base_provenance import base_records
from factory.text_to_image.face_crop import FaceCrop

PRIORS = "num_prior prior_steps prior_guidance prior_prompt".split()
"""Fields of a recipe that decide the prior images."""


def detector_sha256(config: Config) -> str | None:
    """Digest of the detector by which faces are cut from what a base draws.

    None where all of an image is the face. Raises SourceError for a file that is not there.
    """
    detector = config.source.detector if config.personalization.crop != "whole" else None
    return model_sha256(detector) if detector else None


@dataclass(frozen=True)
class LoraSet:
    """A finished set: where it lies, its plan, and a digest of all its files."""

    store: Store
    plan: LoraPlan
    sha256: str
    unit_of: dict[str, int]
    """Which unit is a person's, by what the set calls people; those who were quarantined have
    none."""

    @property
    def naming(self) -> Naming:
        """How the set calls people of a source; raises ConfigError without the key of that."""
        return naming_of(self.plan.request.pseudonyms)

    def fitting(self, personalization: PersonalizationConfig) -> PersonalizationConfig:
        """The config with the shape of this set's matrices."""
        recipe = self.plan.request.recipe
        return replace(
            personalization, rank=recipe.rank, alpha=recipe.alpha, modules=recipe.modules
        )


def open_loras(config: Config) -> LoraSet:
    """The set that personalization.loras names.

    Raises PlanError when it is not finished, CheckpointError when it belongs to another base.
    """
    prefix = layout.loras_prefix(config.release.dataset, str(config.personalization.loras))
    store = open_store(config.store).below(prefix)
    if not store.exists(layout.SUCCESS):
        raise PlanError(
            f"personalization.loras: {store.url} is not a finished set of LoRAs; run "
            "jobs.personalize with this personalization.loras and release.dataset"
        )
    plan = LoraPlan.from_json(store.get(layout.PLAN))
    base, actual = plan.request.weights["base"], digest(config.base_model)
    if base != actual:
        raise CheckpointError(
            f"base_model.path: has sha256 {actual[:12]}, the LoRAs were trained on "
            f"{str(base)[:12]}; use that base"
        )
    shards = manifest.collect(store, plan).shards
    files = [(file.name, file.sha256) for shard in shards for file in shard.files]
    people = plan.request.source.people
    units = {people[shard.unit]: shard.unit for shard in shards if shard.counts.kept}
    return LoraSet(store, plan, hashlib.sha256(canonical(files)).hexdigest(), units)


def lora_plan(
    config: Config,
    source: FaceSource,
    planned: LoraPlan | None = None,
    naming: Naming | None = None,
) -> LoraPlan:
    """All that is asked for that decides a byte of a LoRA: weights, people, recipe.

    It is put in the form of the plan it will be compared with, where there is one; without a naming
    people are called as in that plan, since a maker has no key. Its device is compute.device, its
    environment this process's; `lora_finetuning.complete` puts those of a maker in their place.
    Raises PlanError for a naming under another key than the plan's.
    """
    recognizer = checkpoint.read_metadata(
        config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint"
    )
    weights = {
        "base": digest(config.base_model),
        "recognizer": recognizer["sha256"],
        "detector": detector_sha256(config),
    }
    device, precision = config.compute.device, config.compute.precision
    request = LoraRequest(
        dataset=config.release.dataset,
        name=str(config.personalization.loras),
        seed=config.release.seed,
        source=_people(config, source, planned, naming),
        weights=weights,
        recipe=config.personalization,
        base_model=replace(config.base_model, path=None),
        sampler=config.sampler.kind,
        compute=ComputeFacts(device, precision, config.plan.num_threads),
        environment=environment(),
        pseudonyms=_mode(planned, naming),
    )
    units = [Unit(index, index, 1, 1) for index in range(len(source.names))]
    return LoraPlan(request, {}, units)


def _mode(planned: LoraPlan | None, naming: Naming | None) -> str:
    if naming is None and planned is not None:
        return planned.request.pseudonyms
    return (naming or Naming()).mode


def _people(
    config: Config, source: FaceSource, planned: LoraPlan | None, naming: Naming | None
) -> PeopleFacts:
    """Who they are and how their photographs are aligned; raises PlanError for another key."""
    names = tuple(str(name) for name in source.names)
    if naming is not None:
        names = tuple(naming.of(name) for name in names)
    elif planned is not None and planned.request.pseudonyms == "keyed":
        names = planned.request.source.people  # the fingerprint tells whether they are
    facts = PeopleFacts(source.fingerprint, names, alignment_facts(photographs(config)))
    if planned is None:
        return facts
    there = planned.request.source
    both_keyed = planned.request.pseudonyms == "keyed" == _mode(planned, naming)
    if both_keyed and facts.fingerprint == there.fingerprint and names != there.people:
        raise PlanError(f"release.pseudonyms: {(naming or Naming()).remedy}")
    return as_planned(facts, there)


def read_lora_plan(store: Store) -> LoraPlan | None:
    """The plan of a set, or None where there is none yet."""
    return LoraPlan.from_json(store.get(layout.PLAN)) if store.exists(layout.PLAN) else None


def photographs(config: Config) -> SourceConfig:
    """The source as a base learns it: at its size, zoomed out as personalization.zoom says."""
    return replace(
        config.source, image_px=image_px_of(config.base_model), zoom=config.personalization.zoom
    )


def face_crop(config: Config, face_px: int) -> FaceCrop:
    """How faces are cut from a base's images."""
    detector = config.source.detector
    yunet = YuNet(detector) if detector and config.personalization.crop != "whole" else None
    return FaceCrop(config.personalization.crop, yunet, face_px)


def prior_name(plan: LoraPlan) -> str:
    """Where the prior images of a plan lie below the dataset: all that shaped them, hashed."""
    request = plan.request
    recipe = {name: getattr(request.recipe, name) for name in PRIORS}
    recipe["negative_prompt"] = request.base_model.negative_prompt
    shaped: list[Any] = [request.weights["base"], recipe, as_dict(request.compute)]
    shaped += [request.seed, request.sampler, request.environment.stack]
    return layout.priors_name(hashlib.sha256(canonical(shaped)).hexdigest())


def lora_lineage(config: Config, source: FaceSource) -> Lineage:
    """What a set of LoRAs descends from: photographs, recognizer, base; it is the first network.

    Its own sha256 is empty, because it is not made yet.
    """
    photos = source_record(config.source, source)
    recognizer = checkpoint.read_metadata(
        config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint"
    )
    trained_with = {"base": digest(config.base_model), "recognizer": recognizer["sha256"]}
    known = base_records(config.base_model, config.checkpoint)
    own = NetworkRecord("lora", "", (photos,), trained_with)
    return Lineage((photos,), (own, *ancestors(config, trained_with, known)))


def lora_records(config: Config) -> list[NetworkRecord]:
    """The records of the set that personalization.loras names, itself first, and its ancestors."""
    loras = open_loras(config)
    told = read_lineage(loras.store)
    if told is None:  # of an older factory
        return [NetworkRecord("lora", loras.sha256, is_told=False)]
    own, *further = told.networks
    return [replace(own, sha256=loras.sha256), *further]
