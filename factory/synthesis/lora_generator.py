"""Draws people who have a LoRA by a text-to-image model (ID-Booth, METHODS 3)."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import numpy as np
import torch

from factory.config import PersonalizationConfig
from factory.records import DrawnBatch, Shot
from factory.shards import layout
from factory.sources.alignment import align, scaled
from factory.sources.detector import YuNet
from factory.store import Store
from factory.text_to_image.base_model import PromptEmbedding, TextToImage
from factory.text_to_image.lora import Lora

CACHED_PROMPTS = 256
"""Prompts whose encoding is kept."""


class LoraGenerator:
    """A base, the LoRAs of a roster, and the way from a drawn image to an aligned face.

    A batch is drawn for each person in it, always of the full shape, so plans whose
    images_per_identity is a multiple of micro_batch waste nothing.
    """

    def __init__(
        self,
        config: PersonalizationConfig,
        base: TextToImage,
        loras: Store,
        unit_of: dict[int, int],
        negative_prompt: str,
        detector: YuNet | None,
        face_px: int,
    ) -> None:
        """`unit_of` says which LoRA in the set `loras` is an identity's.

        Without a detector an image is an aligned face already.
        """
        self._base, self._loras, self._unit_of = base, loras, unit_of
        self._lora = Lora(base.unet, config, base.sha256)
        self._negative = base.encode_prompts([negative_prompt])
        self._detector, self._face_px = detector, face_px
        self._matrices = lru_cache(config.lora_cache)(self._read)
        self._encode_prompt = lru_cache(CACHED_PROMPTS)(
            lambda prompt: base.encode_prompts([prompt])
        )
        self._loaded: int | None = None
        self._faceless = 0

    @property
    def remarks(self) -> list[str]:
        """What a commit record should tell of the prompts."""
        counts = {
            "prompts were longer than the text encoder reads, and cut": self._base.num_cut,
            "images so far showed no face, and were taken whole": self._faceless,
        }
        return [f"{count} {text}" for text, count in counts.items() if count]

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        """Faces by slot; a person's shots are drawn together."""
        px = self._face_px
        images = np.zeros((batch_size, px, px, 3), np.uint8)
        ordered = sorted(shots, key=lambda shot: shot.identity)
        for identity, members in groupby(ordered, key=lambda shot: shot.identity):
            of_person = list(members)
            self._load_lora(identity)
            drawn = self.draw(of_person, batch_size)
            for shot in of_person:
                images[shot.slot] = self._face(drawn[shot.slot])
        return DrawnBatch(images)

    def draw(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        """The base's images of shots of the person whose LoRA is loaded, before any crop."""
        seeds, prompts = [0] * batch_size, [shots[0].prompt] * batch_size
        for shot in shots:
            seeds[shot.slot], prompts[shot.slot] = shot.seed, shot.prompt
        positive = PromptEmbedding.join([self._encode_prompt(prompt) for prompt in prompts])
        negative = self._negative.rows([0] * batch_size)
        like, noise = shots[0], self._base.noise(seeds)
        return self._base.draw(
            positive, negative, noise, like.sampler, like.num_steps, like.guidance
        )

    def _load_lora(self, identity: int) -> None:
        """Exchange the LoRA unless it is the one that is there."""
        if identity != self._loaded:
            self._lora.load(self._matrices(identity))
            self._loaded = identity

    def _read(self, identity: int) -> dict[str, torch.Tensor]:
        name = layout.lora_name(self._unit_of[identity])
        return self._lora.from_bytes(self._loras.get(name), f"{self._loras.url}/{name}")

    def _face(self, image_HWC: np.ndarray) -> np.ndarray:
        """The aligned face in an image; all of the image where none is found, for the filters."""
        if self._detector is not None:
            landmarks_52 = self._detector.landmarks(image_HWC)
            if landmarks_52 is not None:
                return align(image_HWC, landmarks_52, self._face_px)
            self._faceless += 1
        return scaled(image_HWC, self._face_px)
