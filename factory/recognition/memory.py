"""What a rank that trains a recognizer needs of its device's memory, before anything is there.

Backbone: weights, gradients and momentum, cut by DeepSpeed's ZeRO (Rajbhandari et al. 2020, section
5). Activations: what autograd keeps of a forward pass, counted layer by layer. Classifier: rows and
momentum; in the backward pass the sampled rows with their gradients, and N x S cosines, their
exponentials and gradients; then what its update takes.

Shapes: B images and N features of a step, R rows of a rank, S of them sampled, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from factory.config import ComputeConfig, Config, RecognizerConfig
from factory.errors import ConfigError
from factory.recognition.backbone import SHAPES, IResNet
from factory.recognition.class_shards import RankRows
from factory.recognition.prototypes import num_virtual_features
from factory.training.distributed import device_here, rank, world_size

FLOAT = 4
"""Bytes of a float32."""
FULL = 0.9
"""Fraction of a device's memory above which a training is warned: libraries take some of it too."""


@dataclass(frozen=True)
class RankMemory:
    """Bytes of a rank's device in a step, by what they are for."""

    backbone: int
    """Weights, momentum, and copies of both that ZeRO and a moving average keep."""
    rows: int
    """Weights of the classes of the rank, their momentum and moving average."""
    activations: int
    """What the backward pass needs of the forward pass, and the images themselves."""
    backward: int
    """Sampled rows with their gradients, and the larger of the backbone's gradients and what the
    softmax needs, which come in turns."""
    update: int
    """What the update of the rows needs, when activations and the backbone's gradients are gone."""

    @property
    def peak(self) -> int:
        """Bytes at most, without what CUDA and cuDNN take for themselves."""
        return self.backbone + self.rows + max(self.activations + self.backward, self.update)

    def describe(self) -> str:
        """The line for a log."""
        parts = ", ".join(f"{f.name} {getattr(self, f.name) / 1e9:.2f}" for f in fields(self))
        return f"needs about {self.peak / 1e9:.2f} GB a rank ({parts})"


def rank_memory(
    recipe: RecognizerConfig,
    compute: ComputeConfig,
    *,
    image_px: int,
    num_real: int,
    world: int,
    rank: int = 0,
) -> RankMemory:
    """Memory of a rank in a step of the recipe, over `num_real` people on `world` ranks."""
    num_images = recipe.batch_size // (world * compute.accumulate)
    num_features = num_images * world
    num_features += num_virtual_features(
        num_features, num_real, recipe.num_virtual, recipe.virtual_per_step
    )
    num_rows = len(RankRows.of(num_real, recipe.num_virtual, rank, world))
    weights = FLOAT * num_parameters(recipe, image_px)
    stage = compute.zero_stage if world > 1 else 0
    momentum = weights // (world if stage else 1)
    copies = momentum if stage else 0  # because ZeRO keeps its part of the weights apart
    average = weights // world if recipe.ema else 0
    whole = weights // (world if stage == 3 else 1)
    itemsize = 2 if compute.precision == "bf16" else FLOAT
    kept = activation_values(recipe, image_px, recomputed=compute.activation_checkpointing)
    images = (1 + FLOAT) * 3 * image_px**2  # as bytes, and augmented
    cast = weights // 2 if compute.precision == "bf16" else 0  # autocast keeps them till backward
    gradients = weights if stage < 2 else weights // world
    bucket = weights if stage else 0  # in which ZeRO sends gradients
    classifier = classifier_bytes(
        num_rows,
        recipe.embedding_dim,
        num_features,
        recipe.sample_rate,
        averaged=recipe.ema > 0,
        parts=compute.accumulate,
    )
    return RankMemory(
        backbone=whole + momentum + copies + average,
        rows=classifier.rows,
        activations=num_images * (kept * itemsize + images) + cast,
        backward=classifier.sampled + max(gradients + bucket, classifier.softmax),
        update=classifier.update,
    )


@dataclass(frozen=True)
class ClassifierBytes:
    """Bytes of a classifier: all of it is `rows`, and `sampled + softmax` or `update` in turns."""

    rows: int
    sampled: int
    softmax: int
    update: int

    @property
    def peak(self) -> int:
        return self.rows + max(self.sampled + self.softmax, self.update)


def classifier_bytes(
    num_rows: int,
    dim: int,
    num_features: int,
    sample_rate: float,
    *,
    averaged: bool = False,
    parts: int = 1,
) -> ClassifierBytes:
    """Memory of a classifier with so many rows, in a step of `parts` micro-batches of N features.

    At sample_rate 1 rows are not copied, and have one gradient for all parts. Otherwise each part
    keeps its S rows and their gradient; the update takes their momentum, or, of several parts, all
    gradients in one and what is merged of them.
    """
    size = round(sample_rate * num_rows)
    copies = 1 if sample_rate == 1 else 2 * parts
    update = size if sample_rate == 1 else 3 * parts * size
    if sample_rate < 1 and parts > 1:
        update += 2 * min(parts * size, num_rows)
    return ClassifierBytes(
        rows=FLOAT * (2 + averaged) * num_rows * dim,
        sampled=FLOAT * copies * size * dim,
        softmax=FLOAT * 4 * num_features * size,
        update=FLOAT * update * dim,
    )


def num_parameters(recipe: RecognizerConfig, image_px: int) -> int:
    """Trained values of the backbone."""
    with torch.device("meta"):
        network = IResNet(recipe.backbone, recipe.embedding_dim, image_px, recipe.dropout)
    return sum(p.numel() for p in network.parameters())


def activation_values(recipe: RecognizerConfig, image_px: int, *, recomputed: bool) -> int:
    """Values that autograd keeps of one image in the backbone.

    A block keeps its input and what follows its five first layers, at its input's size but for the
    last convolution; `recomputed` blocks (compute.activation_checkpointing) keep their input, and
    one of them at a time the rest.
    """
    shape = SHAPES[recipe.backbone]
    width, side = shape.widths[0], -(-image_px // shape.stem_stride)
    kept, largest = 3 * image_px**2 + 2 * width * side**2, 0
    for outputs, num_blocks in zip(shape.widths, shape.blocks, strict=True):
        for block in range(num_blocks):
            below = side if block else -(-side // 2)
            inside = (width + 3 * outputs) * side**2 + outputs * below**2
            if block == 0:
                inside += outputs * below**2  # the shortcut's convolution
            if shape.squeeze:  # the map that is weighted, its mean, the bottleneck, the weights
                inside += outputs * below**2 + 2 * outputs + outputs // shape.squeeze
            kept += width * side**2 + (0 if recomputed else inside)
            largest = max(largest, inside)
            width, side = outputs, below
    return kept + 2 * width * side**2 + (largest if recomputed else 0)


def memory_line(config: Config, num_real: int) -> str:
    """What a rank of a training over `num_real` people needs, as a line for its log.

    On a GPU it warns where that is nearly all, and raises ConfigError where the GPU has less.
    """
    compute = config.compute
    need = rank_memory(
        config.recognizer,
        compute,
        image_px=config.source.image_px,
        num_real=num_real,
        world=max(world_size(), compute.num_ranks or 1),
        rank=rank(),
    )
    device = device_here(compute)
    if device.type != "cuda":
        return need.describe()
    return fitted(need, torch.cuda.get_device_properties(device).total_memory)


def fitted(need: RankMemory, device_bytes: int) -> str:
    """The line for a device with so much memory; raises ConfigError where it is too little."""
    remedy = (
        "want more ranks, a lower recognizer.sample_rate or recognizer.batch_size, more "
        "compute.accumulate, or compute.activation_checkpointing=true"
    )
    if need.peak > device_bytes:
        raise ConfigError(
            f"recognizer.batch_size: the training {need.describe()}, the device has "
            f"{device_bytes / 1e9:.2f} GB; {remedy}"
        )
    if need.peak > FULL * device_bytes:
        return (
            f"{need.describe()}, nearly all of {device_bytes / 1e9:.2f} GB; if it fails, {remedy}"
        )
    return need.describe()
