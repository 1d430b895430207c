"""Opens a plan and the networks it names, and says in what this machine differs from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.distributed import pick_device
from factory.errors import IntegrityError, PlanError
from factory.identities.fingerprint import sources_hash, stack_fingerprint
from factory.identities.plan import Plan, batch_size, first_difference
from factory.identities.roster import Roster
from factory.recognition.embed import Recognizer
from factory.records import Shot
from factory.shards import layout
from factory.sources import FaceSource
from factory.store import Store
from factory.synthesis.generators import DiffusionGenerator, Generator


@dataclass(frozen=True)
class Workshop:
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


def open_workshop(config: Config, store: Store) -> Workshop:
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
    return Workshop(plan, roster, generator, recognizer, difference_from(plan, device))


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
    from factory.editing.crop import open_detector
    from factory.editing.text_to_image import TextToImage
    from factory.synthesis.loras import cropping, open_loras
    from factory.synthesis.personalised import BoothGenerator

    learned, here = open_loras(config), cropping(config)
    wrong = first_difference(here, {key: plan.request["booth"][key] for key in here})
    if wrong:
        raise IntegrityError(f"booth.{wrong}; use what the release was planned with")
    base = TextToImage(config.booth, device, config.compute.precision)
    weights |= {"base": base.sha256, "loras": learned.sha256}
    detector = config.source.detector if config.booth.crop != "whole" else None
    return BoothGenerator(
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
    from factory.synthesis.editor_opening import open_editor

    return open_editor(config, plan.request, device, weights)


def open_plan(store: Store) -> tuple[Plan, Roster]:
    """Plan and roster of a release; raises IntegrityError for a roster that was not planned."""
    plan = Plan.from_json(store.get(layout.PLAN))
    contents = {name: store.get(name) for name in (layout.ROSTER, layout.EMBEDDINGS)}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != plan.roster_sha256[name]:
            raise IntegrityError(f"{name}: is not the one the plan was made with; restore it")
    return plan, Roster.read(contents[layout.ROSTER], contents[layout.EMBEDDINGS])


def refuse_other_inputs(config: Config, plan: Plan, source: FaceSource) -> None:
    """Raise IntegrityError unless source and recognizer are those that the plan was made with."""
    if source.fingerprint != plan.request["source"]["fingerprint"]:
        raise IntegrityError(
            "source.path: holds other faces than the release was planned with; use that source"
        )
    story = checkpoint.read_story(
        config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint"
    )
    planned = plan.request["weights"]["recognizer"]
    if story["sha256"] != planned:
        raise IntegrityError(
            f"recognizer.checkpoint: has sha256 {story['sha256'][:12]}, the release was planned "
            f"with {planned[:12]}; use that one"
        )


def earlier_plans(dataset: Store, version: str | None) -> list[Plan]:
    """Plans of a version and of those it extends, the newest first; none for no version.

    Raises PlanError when one is missing, not sealed, in another recognizer's space, or not the one
    that was extended.
    """
    plans: list[Plan] = []
    promised = None
    while version is not None:
        store = dataset.below(f"releases/{version}")
        if not store.exists(layout.SUCCESS):
            raise PlanError(
                f"identities.extends: {store.url} is not a sealed release; finish it first, or "
                "extend another"
            )
        plan = Plan.from_json(store.get(layout.PLAN))
        weights = plan.request["weights"]["recognizer"]
        if plans and weights != plans[0].request["weights"]["recognizer"]:
            raise PlanError(f"identities.extends: {store.url} has another recognizer's space")
        if promised not in (None, plan.hash):
            raise PlanError(
                f"identities.extends: {store.url} is not the release that was extended; restore it"
            )
        plans.append(plan)
        extended = plan.request["identities"].get("extends") or {}
        version, promised = extended.get("version"), extended.get("plan_hash")
    return plans


def earlier_vectors(dataset: Store, version: str | None) -> np.ndarray | None:
    """Unit vectors [E, D] of everybody in a version and in those it extends, the oldest first; None
    for no version. Raises PlanError as `earlier_plans` does."""
    found = []
    for plan in earlier_plans(dataset, version):
        store = dataset.below(f"releases/{plan.request['release']['version']}")
        found.insert(0, open_plan(store)[1].unit_ND)
    return np.concatenate(found) if found else None


def difference_from(plan: Plan, device: torch.device) -> str | None:
    """First way in which this machine is not the one of the plan, or None."""
    here = {
        "stack": stack_fingerprint(),
        "factory": {"sources_sha256": sources_hash()},
        "device": device.type,
    }
    planned = {
        "stack": plan.request["stack"],
        "factory": plan.request["factory"],
        "device": plan.request["compute"]["device"],
    }
    return first_difference(here, planned)
