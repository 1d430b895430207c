"""Measures a finished network again, and keeps the figures in its checkpoint.json."""

from __future__ import annotations

from typing import Any

import torch

from factory import checkpoint
from factory.config import Config
from factory.config.addresses import in_bucket
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.decoded_prototypes import decoded_own
from factory.diffusion.distillation import refuse_student
from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.generator_figures import MeasuredFaces, measure_generator
from factory.diffusion.reconstruction import GIVEN, TRAINING, measure, measured_faces
from factory.diffusion.trained_generator import load_trained
from factory.errors import CheckpointError
from factory.provenance.faces import require_license
from factory.recognition.embed import Recognizer
from factory.recognition.prototypes import geometry
from factory.store.json_text import json_text
from factory.store.local import write_atomically
from factory.training.distributed import pick_device
from factory.training.faces import Faces, open_faces


def figures_of(config: Config, kind: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Figures of a network that a config names, on faces of its source.

    Of a recognizer: the geometry of its prototypes, and what the generator draws from them.

    Raises CheckpointError, also where a generator was trained with other networks than the
    config's, and SourceError for a source without a license. A dry run measures nothing and returns
    an empty dictionary.
    """
    require_license(config.source)
    metadata = _writable(config, kind)
    if kind == "generator":
        refuse_student(metadata["config"], "generator.checkpoint")
        _check_lineage(config, metadata)
    if kind == "recognizer":
        name, key = config.generator.checkpoint, "generator.checkpoint"
        _check_lineage(config, checkpoint.read_metadata(name, "generator", key))
    if dry_run:
        return {}
    device, precision = pick_device(config.compute), config.compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    if kind == "recognizer":
        return {"geometry": _geometry(config, recognizer, metadata["metrics"])}
    if kind == "autoencoder":
        faces, which = _faces(config)
        network = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        return measure(network, recognizer, faces, which)
    condition = str(metadata["config"]["condition"])
    faces, which = _faces(config, condition)
    generator, autoencoder = load_trained(config, device)
    networks = FrozenNetworks(recognizer, autoencoder)
    return measure_generator(generator, MeasuredFaces(faces, which, networks, condition))


def _geometry(
    config: Config, recognizer: Recognizer, metrics: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """The table of a recognizer, with `decoded_own` of the config's generator."""
    rows = (torch.from_numpy(recognizer.unit_real), torch.from_numpy(recognizer.unit_virtual))
    table = metrics.get("geometry", {}) | geometry(*rows)
    if len(recognizer.unit_virtual):
        generator, _ = load_trained(config, recognizer.device)
        table["decoded_own"] = decoded_own(generator, recognizer, recognizer.unit_virtual)
    return dict(table)


def add_figures(config: Config, kind: str, measured: dict[str, Any]) -> str:
    """Write figures into the metrics of a checkpoint.json; its path."""
    body = _writable(config, kind)
    file = checkpoint.folder(getattr(config, kind).checkpoint) / checkpoint.METADATA
    reasons = {f"{name}_note" for name in measured}  # of figures that there were not before
    before = {name: figure for name, figure in body["metrics"].items() if name not in reasons}
    body["metrics"] = before | measured
    write_atomically(file, (json_text(body, indent=2) + "\n").encode())
    return str(file)


def _writable(config: Config, kind: str) -> dict[str, Any]:
    """checkpoint.json of a network; raises CheckpointError where it is not for the user to write.

    Whoever makes the package names those in it by their folders.
    """
    key, name = f"{kind}.checkpoint", str(getattr(config, kind).checkpoint)
    if in_bucket(name) or name.startswith("starter:"):
        raise CheckpointError(
            f"{key}: got {name}; want a folder of your own, because checkpoint.json is written"
        )
    return checkpoint.read_metadata(name, kind, key)


def _check_lineage(config: Config, generator: dict[str, Any]) -> None:
    """Raise CheckpointError unless a generator was trained with the config's other networks."""
    kinds = ["recognizer", *(["autoencoder"] if generator["config"]["space"] == "latents" else [])]
    there = {
        kind: checkpoint.read_metadata(getattr(config, kind).checkpoint, kind, f"{kind}.checkpoint")
        for kind in kinds
    }
    weights = {kind: str(metadata["sha256"]) for kind, metadata in there.items()}
    alike = {kind: checkpoint.stands_for(metadata) for kind, metadata in there.items()}
    checkpoint.refuse_other("generator", generator["lineage"], weights, alike)


def _faces(config: Config, condition: str | None = None) -> tuple[Faces, str]:
    """As a training chooses them, but whether it learned from the others is not known."""
    faces, which = measured_faces(*open_faces(config), condition)
    return faces, GIVEN if which == TRAINING else which
