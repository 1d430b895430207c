"""Checks an editor against the config that names it, and opens it for a plan."""

from __future__ import annotations

from typing import Any

import torch

from factory import checkpoint
from factory.config import Config
from factory.editing.controlnet import refuse_other_base
from factory.editing.segmenters import open_segmenter, segmenter_sha256
from factory.editing.training_examples import detector_of, detector_sha256
from factory.errors import CheckpointError, ConfigError, IntegrityError
from factory.sources import open_source
from factory.synthesis.editors import Editor, Originals
from factory.synthesis.inpainters import load_inpainter
from factory.text_to_image.base_model import digest, image_px_of


def load_editor(
    config: Config, request: dict[str, Any], device: torch.device, weights: dict[str, str]
) -> Editor:
    """The editor that a plan's request asks for; adds its networks to `weights`.

    Raises IntegrityError for a source or a detector that is not the planned one.
    """
    asked = config.editing
    source = open_source(config.source)
    planned = {
        "source.path": (source.fingerprint, request["source"]["fingerprint"]),
        "source.detector": (
            detector_sha256(asked.points, config.source),
            request["editing"]["detector"],
        ),
    }
    for name, (found, wanted) in planned.items():
        if found != wanted:
            raise IntegrityError(f"{name}: is not what the release was planned with; use that one")
    originals = Originals(source, detector_of(asked.points, config.source))
    px, inpaint = config.source.image_px, load_inpainter(config, request, device, weights)
    if sha256 := segmenter_sha256(asked):
        weights["segmenter"] = sha256
    segmenter = open_segmenter(asked, device)
    return Editor(originals, inpaint, px, float(request["editing"]["soft_px"]), segmenter)


def check_editor(config: Config, stories: dict[str, dict[str, Any]]) -> dict[str, str]:
    """sha256 of the networks of an editor beside the recognizer, checked to fit; `stories` gets
    what their checkpoints say. Raises CheckpointError."""
    asked, weights = config.editing, {}
    if asked.editor == "uvit":
        story = checkpoint.read_metadata(str(asked.checkpoint), "editor", "editing.checkpoint")
        _check_twin(config, story, stories)
        stories["editor"], weights["editor"] = story, story["sha256"]
        if "autoencoder" in stories:
            weights["autoencoder"] = stories["autoencoder"]["sha256"]
    elif asked.editor == "controlnet":
        image_px_of(config.booth)
        story = checkpoint.read_metadata(str(asked.checkpoint), "controlnet", "editing.checkpoint")
        base = digest(config.booth)
        refuse_other_base(str(asked.checkpoint), story["lineage"], base)
        stories["controlnet"] = story
        weights |= {"editor": story["sha256"], "base": base}
    if sha256 := segmenter_sha256(asked):
        weights["segmenter"] = sha256
    return weights


def _check_twin(config: Config, story: dict[str, Any], stories: dict[str, dict[str, Any]]) -> None:
    lineage, shape = story["lineage"], story["config"]
    if shape["space"] == "latents":
        name = config.autoencoder.checkpoint
        stories["autoencoder"] = checkpoint.read_metadata(
            name, "autoencoder", "autoencoder.checkpoint"
        )
    for kind, told in stories.items():
        if lineage.get(kind) != told["sha256"]:
            raise CheckpointError(
                f"{kind}.checkpoint: has sha256 {told['sha256'][:12]}, the editor was trained "
                f"with {str(lineage.get(kind))[:12]}; use the {kind} it was trained with"
            )
    if shape["shape"]["seen_px"] != config.source.image_px:
        raise CheckpointError(
            f"editing.checkpoint: edits images of {shape['shape']['seen_px']} px; source.image_px "
            f"is {config.source.image_px}"
        )
    if config.sampler.num_steps > shape["num_timesteps"]:
        raise ConfigError(
            f"sampler.num_steps: got {config.sampler.num_steps}; want at most the editor's "
            f"{shape['num_timesteps']}"
        )
