"""Faces that exist, edited: regions of a face, how they are redrawn, and how that is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.config.field import file_path, knob

KINDS = ("mask", "sunglasses", "glasses", "hat", "bangs", "scarf", "hand", "blocks", "background")
"""Regions that can be redrawn; background is all but the face."""
SPARING = ("hat", "bangs", "scarf", "background")
"""Those that leave something to redraw when the face is spared."""


@dataclass(frozen=True, kw_only=True)
class RegionsConfig:
    """Which regions of a face are redrawn, and how they are found."""

    kinds: tuple[str, ...] = KINDS
    """Regions to redraw, one for each image at random; repeated values come more often."""
    soft_px: float = knob(1.5, low=0.5, high=64.0)
    """Width of a region's edge, pixels."""
    points: Literal["template", "detector"] = "template"
    """Where the five points of an aligned face lie: where alignment puts them, or found again by
    source.detector; a face in which it finds none has no regions."""
    segmenter: Literal["landmarks", "onnx", "sam"] = "landmarks"
    """What tells the face from the rest: an oval about the five points, an ONNX network, or a
    Segment Anything model."""
    segmenter_path: str | None = file_path()
    """The .onnx, or the folder of a SAM as transformers saves it."""
    grounding: str | None = file_path()
    """Folder of a GroundingDINO as transformers saves it, which finds the boxes that SAM is asked
    about; None: the box about the five points."""
    grounding_text: str = "a face."
    """What it looks for."""


@dataclass(frozen=True, kw_only=True)
class InpaintingTrainingConfig(RegionsConfig):
    """How a network learns to redraw a region of a face (Mask-ControlNet).

    For jobs.train_inpainting and jobs.train_controlnet.
    """

    captioner: str | None = file_path()
    """Folder of a BLIP as transformers saves it, which says what is in the training images of a
    ControlNet; None: base_training.tables do."""
    condition: Literal["inference", "printed"] = "inference"
    """What the ControlNet learns from: (mask, image without the region), as it is used, or the
    paper's (image without the region, whole image), which teaches copying."""
    drawn: float = knob(0.5, low=0.0, high=1.0)
    """Fraction of training images that get a painted occluder, which is redrawn from what is left;
    the others are learned as they are, region by region."""
    max_occluded_fraction: float = knob(0.6, low=0.05, high=0.9)
    """Largest fraction of the face that a region hides in training; it is reached over the first
    half of the steps (curriculum)."""
    epochs: float = knob(10.0, low=0.0)
    """Passes over the source; each image or its mirror."""
    batch_size: int = knob(64, low=1)
    """Images a step over all processes."""
    lr: float = knob(4e-4, low=0.0)
    """Learning rate of AdamW, after 100 steps of warm-up; linear to 0 over the last third."""
    betas: tuple[float, float] = (0.9, 0.99)
    """As generator.betas; (.9, .999) in the public training of ControlNets."""
    identity_dropout: float = knob(0.2, low=0.0, high=1.0)
    """Fraction of training images that jobs.train_inpainting shows without their identity, for
    classifier-free guidance. (A ControlNet's captions have base_training.caption_dropout.)"""
    region_weight: float = knob(4.0, low=0.0)
    """Weight of the error in the region; elsewhere it is 1."""
    ema: float = knob(0.998, low=0.0, high=0.99999)
    """Decay of the weights' moving average that is written."""


@dataclass(frozen=True, kw_only=True)
class EditingConfig(RegionsConfig):
    """How the faces of the source are edited, for release.method=edit (Mask-ControlNet).

    Accessories, hair, clothes or background are redrawn or painted, or the whole image is changed
    as classic augmentation does.
    """

    method: Literal["uvit", "controlnet", "drawn", "classic"] = "drawn"
    """Method that edits the faces of the source. uvit: the generator's own network, shown what
    stays (jobs.train_inpainting); controlnet: an adapter and a ControlNet on base_model
    (jobs.train_controlnet); drawn: occluders painted without a network; classic: turned, mirrored,
    cropped, noisy."""
    checkpoint: str | None = file_path(None, or_name="checkpoint")
    """Folder of the editor, for uvit and controlnet."""
    occluded_fractions: tuple[float, ...] = (0.2,)
    """Fraction of the face that is hidden, one drawn for each image; at 0 the face is spared."""
    edits_per_image: int = knob(1, low=1, high=1000)
    """Edited images wanted of each image of the source."""
    template: str = "photo of a person{edit}"
    """Prompt for controlnet; {edit} is what the region shows, ", wearing sunglasses"."""


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """The releases that jobs.compare_edits compares."""

    edits_per_image: tuple[int, ...] = (1, 2, 4)
    """Values of editing.edits_per_image that are compared."""
    num_probes: int = knob(2, low=1)
    """Images of each person that are not learned from but tested on."""
