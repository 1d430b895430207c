"""The starter networks as a maker runs them: the one place that knows how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.autoencoder import Autoencoder
from factory.images import to_uint8
from factory.quality.nearest import FixedPeople
from factory.quality.scores import Scorer
from factory.recognition.embed import Recognizer
from factory.records import DrawnBatch, Scores, Shot
from factory.shards.writer import Encoding
from factory.sources import open_source, read_faces
from factory.synthesis.generators import DiffusionGenerator
from tests.planned import request_with, shots_of

DEMO = Path(__file__).parents[3] / "configs" / "demo.yaml"
DIM = 256
STEPS = 12


@dataclass(frozen=True)
class StarterMaker:
    """Starter generator, autoencoder, recognizer and a scorer over random people."""

    generator: DiffusionGenerator
    autoencoder: Autoencoder
    recognizer: Recognizer
    scorer: Scorer

    def whole(self, shots: list[Shot], size: int) -> tuple[DrawnBatch, np.ndarray, list[Scores]]:
        """A batch as a maker makes it: drawn, embedded, scored."""
        batch = self.generator.generate(shots, size)
        unit_BD = self.recognizer.embed(batch.images_BHWC)
        return batch, unit_BD, self.scores(shots, batch, unit_BD)

    def scores(self, shots: list[Shot], batch: DrawnBatch, unit_BD: np.ndarray) -> list[Scores]:
        """Scores of a batch that was drawn and embedded."""
        return self.scorer.score(shots, batch, unit_BD)

    def images(self, shots: list[Shot], size: int) -> np.ndarray:
        """RGB uint8 [B, H, W, 3] of the slots of a batch."""
        return self.generator.generate(shots, size).images_BHWC

    def latents(self, shots: list[Shot], size: int) -> tuple[Any, ...]:
        """What the network is called with in the first step, and noise: (x_t, t, conditions)."""
        noise, conditioning = self.generator.inputs(shots, size)
        t_B = torch.full((size,), 500, device=noise.device)
        return noise, t_B, conditioning.identity_BD

    @property
    def network(self) -> torch.nn.Module:
        return self.generator._network

    def stages(self, shots: list[Shot], size: int) -> dict[str, Callable[[], object]]:
        """The stages of a batch, each alone, on inputs that the others made before."""
        noise, conditioning = self.generator.inputs(shots, size)
        x0 = self.generator.sample(noise, conditioning, shots[0])
        with torch.inference_mode():
            decoded = self.autoencoder.decode(x0)
        images = to_uint8(decoded)
        unit_BD, batch = self.recognizer.embed(images), DrawnBatch(images)
        encoding = Encoding("jpeg", 95)

        def decode() -> None:
            with torch.inference_mode():
                self.autoencoder.decode(x0)

        return {
            "noise_and_conditioning": lambda: self.generator.inputs(shots, size),
            "network": lambda: self.generator.sample(noise, conditioning, shots[0]),
            "decoder": decode,
            "copies": lambda: to_uint8(decoded),
            "embedder": lambda: self.recognizer.embed(images),
            "scores": lambda: self.scorer.score(shots, batch, unit_BD),
            "encode_one_thread": lambda: [encoding.encode(image) for image in images],
        }


def open_maker(
    device: torch.device, precision: str, roster: np.ndarray, real: np.ndarray | None = None
) -> StarterMaker:
    """A maker over the unit vectors of a roster and of real people (None: the recognizer's)."""
    loaded = checkpoint.load("starter:generator", "generator", "generator.checkpoint")
    autoencoder = Autoencoder.load("starter:autoencoder", device, precision)
    recognizer = Recognizer.load("starter:recognizer", device)
    generator = DiffusionGenerator(loaded, autoencoder, roster, device, precision)
    real = recognizer.unit_real if real is None else real
    scorer = Scorer(FixedPeople(roster, device), FixedPeople(real, device), {})
    return StarterMaker(generator, autoencoder, recognizer, scorer)


def random_people(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors [count, DIM], float32."""
    unit_ND = np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32)
    return unit_ND / np.linalg.norm(unit_ND, axis=1, keepdims=True)


def shots_for(size: int, small: bool = False) -> list[Shot]:
    """A batch of the demo's kind: UniPC, 12 steps (2 in a small rehearsal), guidance."""
    sampler = {"kind": "unipc", "num_steps": 2 if small else STEPS, "guidance": 1.5}
    request = request_with(sampler=sampler, plan={"micro_batch": size})
    return shots_of(request, [(i % 100, i // 100) for i in range(size)])


def real_faces(count: int) -> np.ndarray:
    """Faces of the starter pack, RGB uint8 [count, px, px, 3]."""
    source = load(DEMO, ["source.num_identities=8"]).source
    return read_faces(open_source(source), 0.0).images_NHWC[:count]
