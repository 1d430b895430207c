"""Import an insightface model as a recognizer, so that it can condition a generator.

The checkpoint holds its ONNX, and the centers of the source's people as prototypes. It has no
gradients.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.errors import CheckpointError
from factory.provenance.faces import require_license, source_record
from factory.provenance.networks import of_somebody_else, provenance, require_weights_license
from factory.recognition.embed import MIRROR_SUM
from factory.recognition.external import OnnxEmbedder, describe_embedder, onnx_file
from factory.recognition.pairs import open_pairs
from factory.recognition.validation import measure
from factory.records import Log
from factory.sources import training_faces
from factory.training.distributed import pick_device

KEY = "recognizer.checkpoint"


def check_import(config: Config) -> None:
    """Raise FactoryError in one line for a network that is not there, or without a license."""
    describe_embedder(config.recognizer.checkpoint, KEY)
    require_license(config.source)
    require_weights_license(config.checkpoint, f"{KEY}={config.recognizer.checkpoint}")


def import_recognizer(config: Config, log: Log = print) -> dict[str, Any]:
    """Write a recognizer checkpoint to training.out and return its metrics.

    Its provenance tells the weights under checkpoint.license, of which it is not known what they
    learned from, and the faces that its class centers come from. recognizer.checkpoint names the
    .onnx or pack. Raises CheckpointError for anything else, and for one whose images are not of
    source.image_px.
    """
    file = onnx_file(config.recognizer.checkpoint, KEY)
    if file is None:
        raise CheckpointError(
            f"{KEY}: {config.recognizer.checkpoint!r} is a checkpoint already; want an .onnx file "
            "or an insightface pack"
        )
    device = pick_device(config.compute)
    embedder = OnnxEmbedder(file, device)
    if embedder.image_px != config.source.image_px:
        raise CheckpointError(
            f"{KEY}: {file} takes images of {embedder.image_px} px; source.image_px is "
            f"{config.source.image_px}"
        )
    faces, heldout = training_faces(config.source)
    log(faces.describe(heldout))
    center_ND = np.zeros((len(faces.names), embedder.dim))
    np.add.at(center_ND, faces.labels, embedder.embed(faces.images_NHWC))
    imported = checkpoint.Checkpoint(
        kind="recognizer",
        tensors={
            "onnx": torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8),
            "prototypes.real": torch.from_numpy(center_ND).float(),
            "prototypes.virtual": torch.empty(0, embedder.dim),
        },
        config={
            "backbone": "onnx",
            "input_mean_std": embedder.input_mean_std,
            "embedding_dim": embedder.dim,
            "image_px": embedder.image_px,
            "dropout": 0.0,
            "quality_head": False,
            "num_virtual": 0,
            "mirror_sum": config.recognizer.mirror_sum or MIRROR_SUM,
            "real_names": faces.names,
        },
        step=0,
        metrics={},
        lineage={"onnx": embedder.sha256},
        sha256="",
        provenance=provenance(
            config,
            "recognizer",
            [source_record(config.source, faces)],
            {"onnx": embedder.sha256},
            [of_somebody_else("onnx", embedder.sha256, config.checkpoint)],
        ),
    )
    pairs = open_pairs(config.source) if config.source.pairs else None
    metrics = measure(imported, heldout, pairs, device)
    checkpoint.save(Path(config.training.out), replace(imported, metrics=metrics))
    return metrics
