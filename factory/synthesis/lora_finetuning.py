"""How a set of LoRAs is made: check, draw what all share, train by a fleet, finish."""

from __future__ import annotations

import functools
import io
import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import torch

from factory.config import Config, absolute
from factory.errors import ConfigError, PlanError, SourceError
from factory.execution.driver import make_missing
from factory.execution.driver_lease import driving
from factory.execution.inline import RunUnits
from factory.execution.on_device import OnDevice, in_this_process
from factory.images import to_network
from factory.provenance.consent import check_consent
from factory.provenance.naming import Naming, people_naming
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.shards import layout, manifest
from factory.shards.lineage import put_lineage
from factory.shots.environment import environment
from factory.shots.plan import LoraPlan, asked_otherwise
from factory.sources import FaceSource, open_source
from factory.sources.base import iterate_faces
from factory.store import Store, open_store
from factory.synthesis.lora_canary import train_canary
from factory.synthesis.lora_maker import LoraMaker, open_trainer
from factory.synthesis.lora_sets import (
    face_crop,
    lora_lineage,
    lora_plan,
    photographs,
    prior_name,
    read_lora_plan,
)
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.face_crop import FaceCrop
from factory.text_to_image.personalize import draw_prior
from factory.text_to_image.train_base import refuse_poor_base
from factory.training.distributed import kept_threads, pick_device


def finetune(
    config: Config,
    run_units: RunUnits,
    *,
    on_device: OnDevice = in_this_process,
    dry_run: bool = False,
    log: Log = print,
) -> dict[str, Any]:
    """Train the LoRAs that are missing; raises FactoryError and leaves what is done intact.

    Returns the means of what was measured, over people.
    """
    prefix = layout.loras_prefix(config.release.dataset, str(config.personalization.loras))
    store = open_store(config.store).below(prefix)
    existing = read_lora_plan(store)
    plan = check(config, existing)
    difference = existing and asked_otherwise(plan.request, existing.request)
    if difference:
        raise PlanError(
            f"personalization.loras: {store.url} was begun otherwise ({difference}); "
            "choose another name, or the settings it was begun with"
        )
    if dry_run:
        log(f"checked; {len(plan.units)} LoRAs would be trained in {store.url}")
        return {}
    store.probe(log)
    with driving(config, store, log) as lease:
        if existing is None:
            log(f"planning, with {config.personalization.num_prior} prior images")
            existing = on_device(complete, absolute(config), plan)
            lineage = lora_lineage(config, open_source(photographs(config)))
            put_lineage(store, lineage, "personalization.loras")
            store.put_once(layout.PLAN, existing.to_json())
        plan = existing
        open_maker = functools.partial(LoraMaker.open, absolute(config), prefix)
        make_missing(config, plan, store, open_maker, run_units, log, lease)
        left = len(plan.units) - len(manifest.committed_units(store))
        if left:
            raise PlanError(
                f"personalization.loras: {left} LoRAs are missing; the same command goes on"
            )
        collected = manifest.collect(store, plan)
        manifest.check_files(store, collected)
        manifest.check_failures(collected, config.release.max_failed_fraction)
        means = _means(store, plan)
        manifest.put_metrics(store, {"loras": means})
        store.put_once(layout.SUCCESS, b"")
    return means


def check(config: Config, planned: LoraPlan | None = None) -> LoraPlan:
    """The plan of the LoRAs a config asks for, after checking all that can be wrong.

    `planned` is the plan that a set was begun with. Raises FactoryError with one clear line, before
    an actor is started.
    """
    personalization = config.personalization
    if not personalization.loras:
        raise ConfigError("personalization.loras: nothing given; want a name for the set of LoRAs")
    if personalization.crop != "whole" and not config.source.detector:
        raise ConfigError(
            f"source.detector: got null with personalization.crop={personalization.crop}; want "
            "starter or a YuNet .onnx, or personalization.crop=whole for aligned faces"
        )
    naming, source = people_naming(config), open_source(photographs(config))
    check_consent(config.source, source.names, date.today())
    plan = lora_plan(config, source, planned, naming)
    refuse_poor_base(config.base_model)
    recognizer = Recognizer.load(config.recognizer.checkpoint, torch.device("cpu"))
    if not recognizer.has_gradients and personalization.objective != "dreambooth":
        raise ConfigError(
            f"personalization.objective: got {personalization.objective!r} with an imported "
            "recognizer, which has no gradients; want one of ours, or dreambooth"
        )
    _refuse_faceless(config, source, face_crop(config, recognizer.image_px), naming)
    return plan


def complete(config: Config, plan: LoraPlan) -> LoraPlan:
    """A plan with the part of the machine this is called on; its prior images lie in the dataset.

    Raises ConfigError where the device that `config` asks for is not there.
    """
    device = pick_device(config.compute)
    compute = replace(plan.request.compute, device=device.type)
    plan = replace(plan, request=replace(plan.request, compute=compute, environment=environment()))
    with kept_threads():
        put_prior(config, plan, open_store(config.store).below(config.release.dataset))
        trainer, priors, _ = open_trainer(config, plan)
        plan = replace(plan, canary=train_canary(trainer, priors, device.type))
    if device.type == "cuda":
        del trainer
        torch.cuda.empty_cache()  # because an actor will want this GPU
    return plan


def put_prior(config: Config, plan: LoraPlan, dataset: Store) -> None:
    """Draw the prior images unless this base has them already."""
    name = prior_name(plan)
    if dataset.exists(name):
        return
    torch.set_num_threads(config.plan.num_threads)
    base = TextToImage(config.base_model, pick_device(config.compute), config.compute.precision)
    buffer = io.BytesIO()
    images = draw_prior(base, config.personalization, config.sampler.kind, config.release.seed)
    np.save(buffer, images, allow_pickle=False)
    dataset.put_once(name, buffer.getvalue())


def _refuse_faceless(config: Config, source: FaceSource, crop: FaceCrop, naming: Naming) -> None:
    """Read every photograph once; raise SourceError for a person none of whose show a face."""
    labels_with_face: set[int] = set()
    for face in iterate_faces(source, config.source.max_corrupt_fraction, []):
        if face.label in labels_with_face:
            continue
        x_CHW = to_network(np.array(face.image_HWC)[None])[0]
        if crop(x_CHW) is not None:
            labels_with_face.add(face.label)
    missing = [
        naming.of(name) for label, name in enumerate(source.names) if label not in labels_with_face
    ]
    if missing:
        raise SourceError(
            f"source.path: no face is found in the images of {missing[0]!r} ({len(missing)} of "
            f"{len(source.names)} people); remove them, or give better ones"
        )


def _means(store: Store, plan: LoraPlan) -> dict[str, Any]:
    """Means over people of what was measured of their LoRAs."""
    measured = [
        json.loads(store.get(layout.lora_metadata_name(unit.index)))["metrics"]
        for unit in plan.units
        if store.exists(layout.lora_metadata_name(unit.index))
    ]
    means: dict[str, Any] = {"num_people": len(measured)}
    for key in ("num_images", "no_face", "error", "prior_error", "identity"):
        values = [metrics[key] for metrics in measured if metrics.get(key) is not None]
        means[key] = float(np.mean(values)) if values else None
    return means
