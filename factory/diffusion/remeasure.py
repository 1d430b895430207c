"""Measures a finished network again, and keeps the figures in its checkpoint.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from factory import checkpoint
from factory.config import Config
from factory.config.addresses import in_bucket
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.generator_figures import measure_generator
from factory.diffusion.reconstruction import GIVEN, HELDOUT, measure
from factory.diffusion.trained_generator import TrainedGenerator
from factory.diffusion.uvit import UViT
from factory.errors import CheckpointError
from factory.provenance.faces import require_license
from factory.recognition.embed import Recognizer
from factory.store.local import write_atomically
from factory.training.distributed import pick_device
from factory.training.faces import Faces, open_faces


def figures_of(config: Config, kind: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Figures of the autoencoder or the generator that a config names, on faces of its source.

    Raises CheckpointError, and SourceError for a source without a license. A dry run measures
    nothing and returns an empty dictionary.
    """
    require_license(config.source)
    key, name = f"{kind}.checkpoint", getattr(config, kind).checkpoint
    if in_bucket(name):
        raise CheckpointError(
            f"{key}: got {name}; want a folder, because checkpoint.json is written"
        )
    checkpoint.read_metadata(name, kind, key)
    if dry_run:
        return {}
    device, precision = pick_device(config.compute), config.compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    faces, which = _faces(config)
    if kind == "autoencoder":
        return measure(Autoencoder.load(name, device, precision), recognizer, faces, which)
    loaded = checkpoint.load(name, kind, key)
    autoencoder = None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    network = UViT.from_checkpoint(loaded.config, loaded.tensors)
    generator = TrainedGenerator.of(
        network.shape,
        network.state_dict(),
        (str(loaded.config["prediction"]), int(loaded.config["num_timesteps"])),
        autoencoder.decode if autoencoder else lambda x: x,
        device,
    )
    condition = str(loaded.config["condition"])
    return measure_generator(
        generator, faces, recognizer, autoencoder, condition=condition, which=which
    )


def add_figures(config: Config, kind: str, measured: dict[str, Any]) -> str:
    """Write figures into the metrics of a checkpoint.json; its path."""
    file = Path(checkpoint.folder(getattr(config, kind).checkpoint)) / checkpoint.METADATA
    body = json.loads(file.read_text())
    body["metrics"] |= measured
    write_atomically(file, (json.dumps(body, indent=2) + "\n").encode())
    return str(file)


def _faces(config: Config) -> tuple[Faces, str]:
    training, heldout = open_faces(config)
    return (heldout, HELDOUT) if len(heldout) else (training, GIVEN)
