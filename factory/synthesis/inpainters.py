"""What comes into the regions of edited faces: by our network, by a ControlNet, or paint.

Shapes: as in editors.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.guidance import Conditioning
from factory.editing.controlnet import MaskControlNet, condition, redraw, resized
from factory.editing.occluders import NUM_PAINTS, draw_over
from factory.editing.uvit_inpainting import inpainting_hint
from factory.images import on_host, to_uint8
from factory.recognition.embed import Embedder, Recognizer
from factory.records import Shot
from factory.shots.request import EditRequest
from factory.sources.alignment import scaled
from factory.synthesis.editors import Edits, Inpainter, draws_of
from factory.synthesis.generators import DiffusionGenerator
from factory.text_to_image.base_model import PromptEmbedding, TextToImage


class UVitInpainter:
    """The generator's own network, given what stays as a hint (editing/uvit_inpainting.py)."""

    def __init__(self, drawer: DiffusionGenerator, embedder: Embedder) -> None:
        self._drawer, self._embedder = drawer, embedder

    @property
    def remarks(self) -> list[str]:
        return self._drawer.remarks

    def __call__(self, edits: Edits) -> np.ndarray:
        noise, conditioning = self.inputs(edits)
        x0 = self.sample(noise, conditioning, edits.shots[0])
        return on_host(self._drawer.pixels(x0, edits.shots))

    def inputs(self, edits: Edits) -> tuple[torch.Tensor, Conditioning]:
        """(noise, conditioning): each face's own embedding, and what stays of it."""
        of_one_row = [replace(shot, identity=0) for shot in edits.shots]
        noise, conditioning = self._drawer.inputs(of_one_row, len(edits.kinds))
        unit_BD = torch.from_numpy(self._embedder.embed(edits.images_BHWC)).to(noise.device)
        hint = inpainting_hint(edits.images_BHWC, edits.regions.alpha_NHW, edits.kinds)
        return noise, replace(conditioning, identity_BD=unit_BD, hint_BSHW=hint.to(noise.device))

    def sample(self, noise: torch.Tensor, conditioning: Conditioning, like: Shot) -> torch.Tensor:
        """Sample by the bare loop, before decoding."""
        return self._drawer.sample(noise, conditioning, like)


class ControlNetInpainter:
    """A Mask-ControlNet on a text-to-image model, at the base's size."""

    def __init__(
        self, base: TextToImage, control: MaskControlNet, negative_prompt: str, precision: str
    ) -> None:
        self._base, self._control, self._precision = base, control, precision
        self._negative = base.encode_prompts([negative_prompt])
        self._encode_prompt = lru_cache(256)(lambda prompt: base.encode_prompts([prompt]))

    @property
    def remarks(self) -> list[str]:
        cut = self._base.num_cut
        return [f"{cut} prompts were longer than the text encoder reads, and cut"] if cut else []

    def __call__(self, edits: Edits) -> np.ndarray:
        count, px, side = len(edits.kinds), self._base.image_px, edits.images_BHWC.shape[1]
        seeds, prompts = [0] * count, [edits.shots[0].prompt] * count
        for shot in edits.shots:
            seeds[shot.slot], prompts[shot.slot] = shot.seed, shot.prompt
        images = np.stack([scaled(image, px) for image in edits.images_BHWC])
        condition_B6HW = condition(images, resized(edits.regions.alpha_NHW, px), "inference")
        like = edits.shots[0]
        positive = PromptEmbedding.join([self._encode_prompt(prompt) for prompt in prompts])
        drawn = redraw(
            self._base,
            self._control,
            condition_B6HW,
            positive,
            self._negative.rows([0] * count),
            self._base.noise(seeds),
            (like.sampler, like.num_steps, like.guidance),
            self._precision,
        )
        return np.stack([scaled(image, side) for image in to_uint8(drawn)])


class OccluderPainter:
    """Paints occluders without a network."""

    @property
    def remarks(self) -> list[str]:
        return []

    def __call__(self, edits: Edits) -> np.ndarray:
        draws = np.zeros((len(edits.kinds), NUM_PAINTS))
        for shot in edits.shots:
            draws[shot.slot] = draws_of(shot, "paint", NUM_PAINTS)
        return draw_over(edits.images_BHWC, edits.regions, edits.kinds, draws)


def load_inpainter(
    config: Config, planned: EditRequest, device: torch.device, weights: dict[str, str]
) -> Inpainter | None:
    """What fills the regions of edited faces; adds its networks to `weights`.

    None for classic augmentation, which has no regions.
    """
    editing, precision = config.editing, config.compute.precision
    if editing.method == "classic":
        return None
    if editing.method == "drawn":
        return OccluderPainter()
    if editing.method == "controlnet":
        base = TextToImage(config.base_model, device, precision)
        control, weights["editor"] = MaskControlNet.load(str(editing.checkpoint), base)
        weights["base"] = base.sha256
        return ControlNetInpainter(base, control, str(planned.negative_prompt), precision)
    loaded = checkpoint.load(str(editing.checkpoint), "editor", "editing.checkpoint")
    weights["editor"], autoencoder = loaded.sha256, None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        weights["autoencoder"] = autoencoder.sha256
    dim = int(loaded.config["shape"]["embedding_dim"])
    any_identity_1D = np.zeros((1, dim), np.float32)  # each face has its own embedding
    drawer = DiffusionGenerator(loaded, autoencoder, any_identity_1D, device, precision)
    return UVitInpainter(drawer, Recognizer.load(config.recognizer.checkpoint, device))
