"""Edits faces that exist, as a Generator: a region redrawn or painted, all else put back to the bit
(Mask-ControlNet, METHODS 4).

Shapes: B the slots of a batch, px the side of a face; images RGB uint8 [B, px, px, 3].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.guidance import Told
from factory.editing.controlnet import MaskControlNet, condition, redraw, refuse_other_base, resized
from factory.editing.drawing import NUM_PAINTS, blend, classic, draw_over
from factory.editing.examples import detector_of, detector_sha256
from factory.editing.regions import NUM_DRAWS, Regions, regions
from factory.editing.segmenters import Segmenter, open_segmenter, segmenter_sha256
from factory.editing.text_to_image import TextToImage, Words, digest, image_px_of
from factory.editing.twin import seen
from factory.errors import CheckpointError, ConfigError, IntegrityError
from factory.optimization import stream_seed
from factory.quality.scores import Measure
from factory.recognition.data import to_uint8
from factory.recognition.embed import Embedder, Recognizer
from factory.records import Shot
from factory.sources import FaceSource, open_source
from factory.sources.alignment import YuNet, points_of, scaled
from factory.synthesis.generators import DiffusionGenerator

LARGEST_MISS = 0.03
"""A region that misses the share it shall hide by more is none."""
LOOKED_AT = 512
"""Originals that are kept decoded, with their points."""
GREY = 127


@dataclass(frozen=True)
class Edits:
    """A batch of edits, by slot: slots without a shot hold black images and no region."""

    shots: list[Shot]
    images_BHWC: np.ndarray
    found: Regions
    kinds: list[str]

    @property
    def rows(self) -> list[int]:
        return [shot.slot for shot in self.shots]


Paint = Callable[[Edits], np.ndarray]
"""What comes into the regions [B, px, px, 3], uint8."""


class Originals:
    """The source's faces by key, and where their five points lie."""

    def __init__(self, source: FaceSource, detector: YuNet | None) -> None:
        self._place = {key: place for place, key in enumerate(source.keys)}
        self._source, self._detector = source, detector
        self.look = lru_cache(LOOKED_AT)(self._look)

    def _look(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(RGB uint8 [px, px, 3], points [5, 2], NaN where none are found)."""
        image = self._source[self._place[key]].image_HWC
        return image, points_of(image[None], self._detector)[0]


class Editor:
    """Redraws, paints, or changes as a whole; an image that cannot be edited stays as it was, for
    the filters to reject."""

    def __init__(
        self,
        originals: Originals,
        paint: Paint | None,
        image_px: int,
        soft_px: float,
        segmenter: Segmenter | None = None,
    ) -> None:
        """Without `paint` images are changed as a whole (classic augmentation)."""
        self._originals, self._paint = originals, paint
        self._px, self._soft_px, self._segmenter = image_px, soft_px, segmenter
        self._last: tuple[list[Shot], Edits] | None = None
        self._batch_size = 0

    def generate(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        self._batch_size = max(self._batch_size, batch_size)
        edits = self.edits(shots, batch_size)
        self._last = (shots, edits)
        if self._paint is None:
            images = edits.images_BHWC.copy()
            draws = np.stack([draws_of(shot, "classic", NUM_PAINTS) for shot in shots])
            images[edits.rows] = classic(images[edits.rows], draws)
            return images
        return blend(edits.images_BHWC, self._paint(edits), edits.found.alpha_NHW)

    def edits(self, shots: list[Shot], batch_size: int) -> Edits:
        """Originals and regions of a batch."""
        images = np.zeros((batch_size, self._px, self._px, 3), np.uint8)
        points, draws = np.full((batch_size, 5, 2), np.nan), np.zeros((batch_size, NUM_DRAWS))
        kinds, shares = ["blocks"] * batch_size, [0.0] * batch_size
        for shot in shots:
            images[shot.slot], points[shot.slot] = self._originals.look(shot.original)
            draws[shot.slot] = draws_of(shot, "region", NUM_DRAWS)
            if self._paint is not None:
                kinds[shot.slot], shares[shot.slot] = shot.edit, float(shot.occlusion or 0)
        faces = self._segmenter.faces(images, points) if self._segmenter else None
        found = regions(
            points, kinds, shares, draws, self._px, soft_px=self._soft_px, face_NHW=faces
        )
        return Edits(shots, images, _only_near(found, shares), kinds)

    def measures(self, embedder: Embedder) -> dict[str, Measure]:
        """How much of the original is left: cosine to it, to what stays visible of it, and the
        share of the face that is hidden."""

        def to_original(shots: list[Shot], _: np.ndarray, unit_BD: np.ndarray) -> np.ndarray:
            edits = self._edits_again(shots)
            original_BD = embedder.embed(edits.images_BHWC)
            return np.asarray((unit_BD * original_BD[edits.rows]).sum(1))

        def to_visible(shots: list[Shot], _: np.ndarray, unit_BD: np.ndarray) -> np.ndarray:
            edits = self._edits_again(shots)
            grey = np.full_like(edits.images_BHWC, GREY)
            visible_BD = embedder.embed(blend(edits.images_BHWC, grey, edits.found.alpha_NHW))
            return np.asarray((unit_BD * visible_BD[edits.rows]).sum(1))

        def hidden(shots: list[Shot], _: np.ndarray, __: np.ndarray) -> np.ndarray:
            edits = self._edits_again(shots)
            shares = np.where(edits.found.usable_N, edits.found.shares_N, np.nan)
            return np.asarray(shares[edits.rows])

        known = {"original_cosine": to_original}
        if self._paint is not None:
            known |= {"visible_cosine": to_visible, "occluded": hidden}
        return known

    def _edits_again(self, shots: list[Shot]) -> Edits:
        """Those of the batch that was generated last, or of one that was cut up since."""
        if self._last and self._last[0] is shots:
            return self._last[1]
        return self.edits(shots, self._batch_size)


class TwinPaint:
    """The generator's own network, shown what stays (editing/twin.py)."""

    def __init__(self, drawer: DiffusionGenerator, embedder: Embedder) -> None:
        self._drawer, self._embedder = drawer, embedder

    def __call__(self, edits: Edits) -> np.ndarray:
        noise, told = self.inputs(edits)
        return self._drawer.decoded(self.sample(noise, told, edits.shots[0]), edits.shots)

    def inputs(self, edits: Edits) -> tuple[torch.Tensor, Told]:
        """(noise, what the network is told): each face's own embedding, and what stays of it."""
        here = [replace(shot, identity=0) for shot in edits.shots]
        noise, told = self._drawer.inputs(here, len(edits.kinds))
        unit_BD = torch.from_numpy(self._embedder.embed(edits.images_BHWC)).to(noise.device)
        shown = seen(edits.images_BHWC, edits.found.alpha_NHW, edits.kinds).to(noise.device)
        return noise, replace(told, identity_BD=unit_BD, seen_BSHW=shown)

    def sample(self, noise: torch.Tensor, told: Told, like: Shot) -> torch.Tensor:
        """The bare sampling loop."""
        return self._drawer.sample(noise, told, like)


class ControlNetPaint:
    """A Mask-ControlNet on a text-to-image model, at the base's size."""

    def __init__(
        self, base: TextToImage, control: MaskControlNet, negative_prompt: str, precision: str
    ) -> None:
        self._base, self._control, self._precision = base, control, precision
        self._away = base.words([negative_prompt])
        self._words = lru_cache(256)(lambda prompt: base.words([prompt]))

    @property
    def remarks(self) -> list[str]:
        cut = self._base.too_long
        return [f"{cut} prompts were longer than the text encoder reads, and cut"] if cut else []

    def __call__(self, edits: Edits) -> np.ndarray:
        count, px, side = len(edits.kinds), self._base.image_px, edits.images_BHWC.shape[1]
        seeds, prompts = [0] * count, [edits.shots[0].prompt] * count
        for shot in edits.shots:
            seeds[shot.slot], prompts[shot.slot] = shot.seed, shot.prompt
        images = np.stack([scaled(image, px) for image in edits.images_BHWC])
        seen6 = condition(images, resized(edits.found.alpha_NHW, px), "inference")
        like, words = edits.shots[0], Words.join([self._words(prompt) for prompt in prompts])
        drawn = redraw(
            self._base,
            self._control,
            seen6,
            words,
            self._away.rows([0] * count),
            self._base.noise(seeds),
            (like.sampler, like.num_steps, like.guidance),
            self._precision,
        )
        return np.stack([scaled(image, side) for image in to_uint8(drawn)])


def drawn_paint(edits: Edits) -> np.ndarray:
    """Painted occluders, no network."""
    draws = np.zeros((len(edits.kinds), NUM_PAINTS))
    for shot in edits.shots:
        draws[shot.slot] = draws_of(shot, "paint", NUM_PAINTS)
    return draw_over(edits.images_BHWC, edits.found, edits.kinds, draws)


def draws_of(shot: Shot, what: str, count: int) -> np.ndarray:
    """Numbers in [0, 1) of a shot, the same on every machine."""
    return np.random.Generator(np.random.Philox(stream_seed(shot.seed, what))).random(count)


def open_editor(
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
    px, paint = config.source.image_px, _paint(config, request, device, weights)
    if sha256 := segmenter_sha256(asked):
        weights["segmenter"] = sha256
    segmenter = open_segmenter(asked, device)
    return Editor(originals, paint, px, float(request["editing"]["soft_px"]), segmenter)


def check_editor(config: Config, stories: dict[str, dict[str, Any]]) -> dict[str, str]:
    """sha256 of the networks of an editor beside the recognizer, checked to fit; `stories` gets
    what their checkpoints say. Raises CheckpointError."""
    asked, weights = config.editing, {}
    if asked.editor == "uvit":
        story = checkpoint.read_story(str(asked.checkpoint), "editor", "editing.checkpoint")
        _check_twin(config, story, stories)
        stories["editor"], weights["editor"] = story, story["sha256"]
        if "autoencoder" in stories:
            weights["autoencoder"] = stories["autoencoder"]["sha256"]
    elif asked.editor == "controlnet":
        image_px_of(config.booth)
        story = checkpoint.read_story(str(asked.checkpoint), "controlnet", "editing.checkpoint")
        base = digest(config.booth)
        refuse_other_base(str(asked.checkpoint), story["lineage"], base)
        stories["controlnet"] = story
        weights |= {"editor": story["sha256"], "base": base}
    if sha256 := segmenter_sha256(asked):
        weights["segmenter"] = sha256
    return weights


def _paint(
    config: Config, request: dict[str, Any], device: torch.device, weights: dict[str, str]
) -> Paint | None:
    """What fills the regions; None for classic augmentation."""
    asked, precision = config.editing, config.compute.precision
    if asked.editor == "classic":
        return None
    if asked.editor == "drawn":
        return drawn_paint
    if asked.editor == "controlnet":
        base = TextToImage(config.booth, device, precision)
        control, weights["editor"] = MaskControlNet.load(str(asked.checkpoint), base)
        weights["base"] = base.sha256
        return ControlNetPaint(base, control, request["editing"]["negative_prompt"], precision)
    loaded = checkpoint.load(str(asked.checkpoint), "editor", "editing.checkpoint")
    weights["editor"], autoencoder = loaded.sha256, None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        weights["autoencoder"] = autoencoder.sha256
    dim = int(loaded.config["shape"]["embedding_dim"])
    somebody_1D = np.zeros((1, dim), np.float32)  # each face is told by its own embedding
    drawer = DiffusionGenerator(loaded, autoencoder, somebody_1D, device, precision)
    return TwinPaint(drawer, Recognizer.load(config.recognizer.checkpoint, device))


def _check_twin(config: Config, story: dict[str, Any], stories: dict[str, dict[str, Any]]) -> None:
    lineage, shape = story["lineage"], story["config"]
    if shape["space"] == "latents":
        name = config.autoencoder.checkpoint
        stories["autoencoder"] = checkpoint.read_story(
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


def _only_near(found: Regions, shares: list[float]) -> Regions:
    """Regions that hide what they shall; others are none."""
    missed = np.abs(found.shares_N - np.array(shares)) > LARGEST_MISS
    usable_N = found.usable_N & ~missed
    alpha = found.alpha_NHW * usable_N[:, None, None]
    return replace(found, alpha_NHW=alpha, usable_N=usable_N)
