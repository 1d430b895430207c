"""release.method=edit: the editor of faces that exist (Mask-ControlNet)."""

from __future__ import annotations

import torch

from factory.config import Config
from factory.diffusion.uvit import Shape
from factory.editing.controlnet import refuse_other_base
from factory.editing.segmenters import open_segmenter, segmenter_sha256
from factory.editing.training_examples import detector_of, detector_sha256
from factory.errors import CheckpointError, ConfigError, IntegrityError
from factory.identities.roster import Roster
from factory.shards.plan_files import remaining_in
from factory.shots.plan import Plan
from factory.shots.request import MethodRequest, edit_request
from factory.shots.source_facts import refuse_other_source
from factory.sources import FaceSource, open_source
from factory.sources.tar_set import release_of
from factory.synthesis.editors import Editor, Originals
from factory.synthesis.generators import Generator
from factory.synthesis.inpainters import load_inpainter
from factory.synthesis.networks import Networks
from factory.text_to_image.base_model import digest, image_px_of


def check(config: Config, networks: Networks) -> None:
    """Find the networks of the editing method, and check that they fit; raises CheckpointError."""
    editing = config.editing
    if editing.method == "uvit":
        _check_uvit(config, networks)
    elif editing.method == "controlnet":
        image_px_of(config.base_model)
        metadata = networks.read("controlnet", str(editing.checkpoint), "editing.checkpoint")
        base = digest(config.base_model)
        refuse_other_base(str(editing.checkpoint), metadata["lineage"], base)
        networks.weights |= {"editor": networks.weights.pop("controlnet"), "base": base}
    if sha256 := segmenter_sha256(editing):
        networks.weights["segmenter"] = sha256


def request(config: Config, source: FaceSource, networks: Networks) -> MethodRequest:
    """The edits; raises ConfigError for real people in the source who may not be drawn."""
    origin = release_of(config.source)
    if (origin is None or origin["holds_real_identities"]) and not config.release.allow_real:
        raise ConfigError(
            "release.allow_real: got false with release.method=edit while the source is not a "
            "release of people who do not exist; images of real people need release.allow_real=true"
        )
    prompted = config.editing.method == "controlnet"
    negative = config.base_model.negative_prompt if prompted else None
    detector = detector_sha256(config.editing.points, config.source)
    return MethodRequest(edits=edit_request(config.editing, detector, negative))


def load(
    config: Config, plan: Plan, roster: Roster, device: torch.device, weights: dict[str, str]
) -> Generator:
    """The editor that a plan asks for; adds its networks to `weights`.

    Raises IntegrityError for a source or a detector that is not the planned one.
    """
    editing, planned = config.editing, plan.request.edits
    assert planned is not None, "a plan of this method has edits"
    source = open_source(config.source)
    detector = detector_sha256(editing.points, config.source)
    remaining = remaining_in(source, plan, roster.people)
    refuse_other_source(config.source, source, plan.request.source, remaining)
    if detector != planned.detector:
        raise IntegrityError(
            "source.detector: is not what the release was planned with; use that one"
        )
    detect = detector_of(editing.points, config.source)
    originals = Originals(source, detect, roster.source_keys())
    inpainter = load_inpainter(config, planned, device, weights)
    if sha256 := segmenter_sha256(editing):
        weights["segmenter"] = sha256
    segmenter = open_segmenter(editing, device)
    return Editor(originals, inpainter, config.source.image_px, planned.editing.soft_px, segmenter)


def _check_uvit(config: Config, networks: Networks) -> None:
    metadata = networks.read("editor", str(config.editing.checkpoint), "editing.checkpoint")
    trained = metadata["config"]
    if trained["space"] == "latents":
        networks.read("autoencoder", config.autoencoder.checkpoint, "autoencoder.checkpoint")
    networks.check_lineage("editor", metadata["lineage"], ("recognizer", "autoencoder"))
    shape = Shape.from_config(trained)
    if shape.hint_px != config.source.image_px:
        raise CheckpointError(
            f"editing.checkpoint: edits images of {shape.hint_px} px; source.image_px "
            f"is {config.source.image_px}"
        )
    if config.sampler.num_steps > trained["num_timesteps"]:
        raise ConfigError(
            f"sampler.num_steps: got {config.sampler.num_steps}; want at most the editor's "
            f"{trained['num_timesteps']}"
        )
