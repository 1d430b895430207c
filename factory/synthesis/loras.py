"""A LoRA for every person of the source: checked, planned, trained by a fleet, finished.

A unit is a person; the set is done when every unit is committed, as a release is (RELEASE).
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import BoothConfig, Config, SourceConfig, absolute, as_dict
from factory.distributed import pick_device
from factory.editing.booth import draw_prior
from factory.editing.crop import FaceCrop
from factory.editing.miniature import refuse_poor_base
from factory.editing.text_to_image import TextToImage, digest, image_px_of
from factory.errors import CheckpointError, ConfigError, PlanError, SourceError
from factory.identities.fingerprint import sources_hash, stack_fingerprint
from factory.identities.plan import Plan, canonical, first_difference
from factory.recognition.data import to_network
from factory.recognition.embed import Recognizer
from factory.records import Unit
from factory.shards import layout, manifest
from factory.sources import FaceSource, open_source
from factory.sources.alignment import YuNet
from factory.sources.base import iterate_faces
from factory.store import Store, open_store
from factory.synthesis.draining import draining_on_sigterm
from factory.synthesis.inline import RunUnits
from factory.synthesis.progress import Progress

Say = Callable[[str], None]
LEARNED = (
    "objective rank alpha modules steps lr weight_decay prior_weight identity_weight margin "
    "num_prior prior_steps prior_guidance crop zoom instance_prompt prior_prompt negative_prompt "
    "family gradient_checkpointing"
).split()
"""Knobs of the booth that decide what a LoRA learns; the others are of drawing."""
PRIORS = "num_prior prior_steps prior_guidance prior_prompt negative_prompt".split()


def finetune(
    config: Config, run_units: RunUnits, *, dry_run: bool = False, say: Say = print
) -> dict[str, Any]:
    """Train the LoRAs that are missing; raises FactoryError and leaves what is done intact.

    Returns the means of what was measured, over people.
    """
    plan = check(config)
    dataset = open_store(config.store).below(config.release.dataset)
    prefix = layout.loras(config.release.dataset, str(config.booth.loras))
    store = open_store(config.store).below(prefix)
    from factory.synthesis.lora_maker import LoraMaker

    standing = manifest.plan_of(store)
    difference = standing and first_difference(plan.request, standing.request)
    if difference:
        raise PlanError(
            f"booth.loras: {store.url} was begun otherwise ({difference}); choose another name, or "
            "the settings it was begun with"
        )
    if dry_run:
        say(f"checked; {len(plan.units)} LoRAs would be trained in {store.url}")
        return {}
    store.probe()
    put_prior(config, plan, dataset, say)
    if standing is None:
        store.put_once(layout.PLAN, plan.to_json())
    done = manifest.committed_units(store)
    missing = [unit.index for unit in plan.units if unit.index not in done]
    say(f"{len(missing)} of {len(plan.units)} LoRAs to train in {store.url}")
    if missing:
        allowed = config.release.max_failed_fraction
        with Progress(plan, missing, allowed) as progress, draining_on_sigterm(say) as draining:
            open_maker = functools.partial(LoraMaker.open, absolute(config), prefix)
            run_units(config.fleet, open_maker, missing, progress.shard_done, draining)
    left = len(plan.units) - len(manifest.committed_units(store))
    if left:
        raise PlanError(f"booth.loras: {left} LoRAs are missing; the same command goes on")
    manifest.check_failures(manifest.collect(store, plan), config.release.max_failed_fraction)
    means = _means(store, plan)
    manifest.put_metrics(store, {"loras": means})
    store.put_once(layout.SUCCESS, b"")
    return means


def check(config: Config) -> Plan:
    """The plan of the LoRAs a config asks for, after checking all that can be wrong.

    Raises FactoryError with one clear line, before an actor is started.
    """
    booth = config.booth
    if not booth.loras:
        raise ConfigError("booth.loras: nothing given; want a name for the set of LoRAs")
    if booth.crop != "whole" and not config.source.detector:
        raise ConfigError(
            f"source.detector: nothing given with booth.crop={booth.crop}; want YuNet's .onnx, or "
            "booth.crop=whole for aligned faces"
        )
    source = open_source(photographs(config))
    plan = plan_of(config, source)
    refuse_poor_base(booth)
    recognizer = Recognizer.load(config.recognizer.checkpoint, torch.device("cpu"))
    if not recognizer.has_gradients and booth.objective != "dreambooth":
        raise ConfigError(
            f"booth.objective: got {booth.objective!r} with an adopted recognizer, which has no "
            "gradients; want one of ours, or dreambooth"
        )
    _refuse_faceless(config, source, face_crop(config, recognizer.image_px))
    return plan


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

    def fitting(self, booth: BoothConfig) -> BoothConfig:
        """The config with the shape of this set's matrices."""
        learned = self.plan.request["booth"]
        modules = tuple(learned["modules"])
        return replace(booth, rank=learned["rank"], alpha=learned["alpha"], modules=modules)


def open_loras(config: Config) -> LoraSet:
    """The set that booth.loras names; raises PlanError when it is not finished, CheckpointError
    when it belongs to another base."""
    prefix = layout.loras(config.release.dataset, str(config.booth.loras))
    store = open_store(config.store).below(prefix)
    if not store.exists(layout.SUCCESS):
        raise PlanError(
            f"booth.loras: {store.url} is not a finished set of LoRAs; run jobs.finetune_booth "
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


def plan_of(config: Config, source: FaceSource) -> Plan:
    """All that decides a byte of a LoRA: weights, people, recipe, machine."""
    booth = config.booth
    recognizer = checkpoint.read_story(
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


def put_prior(config: Config, plan: Plan, dataset: Store, say: Say) -> None:
    """Draw the prior images unless this base has them already."""
    name = prior_name(plan)
    if dataset.exists(name):
        return
    say(f"drawing {config.booth.num_prior} prior images")
    torch.set_num_threads(config.plan.num_threads)
    base = TextToImage(config.booth, pick_device(config.compute), config.compute.precision)
    buffer = io.BytesIO()
    images = draw_prior(base, config.booth, config.sampler.kind, config.release.seed)
    np.save(buffer, images, allow_pickle=False)
    dataset.put_once(name, buffer.getvalue())
    if base.device.type == "cuda":
        torch.cuda.empty_cache()  # because an actor will want this GPU


def prior_name(plan: Plan) -> str:
    """Where the prior images of a plan lie below the dataset: all that shaped them, hashed."""
    asked = {key: plan.request["booth"][key] for key in PRIORS}
    shaped = [plan.request["weights"]["base"], asked, plan.request["compute"]]
    shaped += [plan.request["seed"], plan.request["sampler"], plan.request["stack"]]
    return layout.priors(hashlib.sha256(canonical(shaped)).hexdigest())


def _refuse_faceless(config: Config, source: FaceSource, crop: FaceCrop) -> None:
    """Read every photograph once; raise SourceError for a person none of whose show a face."""
    seen: set[int] = set()
    for face in iterate_faces(source, config.source.max_corrupt_fraction, []):
        if (
            face.label not in seen
            and crop(to_network(np.array(face.image_HWC)[None])[0]) is not None
        ):
            seen.add(face.label)
    missing = [str(name) for label, name in enumerate(source.names) if label not in seen]
    if missing:
        raise SourceError(
            f"source.path: no face is found in the images of {missing[0]!r} ({len(missing)} of "
            f"{len(source.names)} people); remove them, or give better ones"
        )


def _means(store: Store, plan: Plan) -> dict[str, Any]:
    """Means over people of what their stories say."""
    stories = [
        json.loads(store.get(layout.lora_story(unit.index)))["metrics"]
        for unit in plan.units
        if store.exists(layout.lora_story(unit.index))
    ]
    found: dict[str, Any] = {"num_people": len(stories)}
    for key in ("num_images", "no_face", "error", "prior_error", "identity"):
        values = [story[key] for story in stories if story.get(key) is not None]
        found[key] = float(np.mean(values)) if values else None
    return found
