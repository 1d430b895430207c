"""Is a text-to-image base fit for personalization? Faces after a round trip, and in samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory.config import BaseModelConfig, Config
from factory.errors import ConfigError
from factory.images import to_network, to_uint8
from factory.recognition.embed import Embedder
from factory.recognition.external import open_embedder
from factory.recognition.judge import judge_of
from factory.seeds import stream_seed
from factory.sources.alignment import scaled
from factory.store.atomic import dispensable, writing
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.captions import Captions
from factory.text_to_image.face_crop import FaceCrop, open_detector
from factory.training.distributed import pick_device
from factory.training.faces import Faces

LEAST_ROUND_TRIP, LEAST_FACES = 0.8, 0.9
"""What a base must reach: the judge's cosine of faces before and after its autoencoder, and the
fraction of samples in which the detector finds a face."""
BATCH, STEPS = 16, 30


class BaseQualityCheck:
    """Measures a base by a judge and a detector; raises FactoryError where one is missing."""

    def __init__(self, config: Config) -> None:
        self._compute, self._recipe = config.compute, config.base_training
        self._guidance = config.personalization.prior_guidance
        name = judge_of(config)
        if name is None:
            raise ConfigError(
                "judge.checkpoint: nothing given; want a recognizer that judges faces"
            )
        device, detector = pick_device(config.compute), config.source.detector
        self._judge = open_embedder(name, device, "judge.checkpoint")
        px = self._judge.image_px
        self._crop = FaceCrop("landmarks", open_detector(detector), px) if detector else None

    def measure(self, folder: Path, captions: Captions, faces: Faces) -> dict[str, Any]:
        """Metrics of the pipeline in `folder`; writes samples to sheet.png in its parent folder.

        The samples show captions of the training's people, then of anybody. There is no face_share
        without source.detector.
        """
        base_model, precision = BaseModelConfig(path=str(folder)), self._compute.precision
        base = TextToImage(base_model, pick_device(self._compute), precision)
        metrics: dict[str, Any] = {"round_trip_cosine": _round_trip(base, self._judge, faces)}
        samples = self._samples(base, captions)
        _save_grid(folder.parent / "sheet.png", samples)
        if self._crop:
            has_face = [self._crop(to_network(image[None])[0]) is not None for image in samples]
            metrics["face_share"] = float(np.mean(has_face))
        return metrics | {"num_samples": len(samples)}

    def _samples(self, base: TextToImage, captions: Captions) -> np.ndarray:
        count, texts = self._recipe.num_samples, captions.everything()
        prompts = [texts[i] for i in np.linspace(0, len(texts) - 1, count // 2).astype(int)]
        prompts += [self._recipe.caption] * (count - len(prompts))
        images = []
        for start in range(0, count, BATCH):
            part = prompts[start : start + BATCH]
            noise = base.noise([stream_seed("sample", start + i) for i in range(len(part))])
            embedded, negative = base.encode_prompts(part), base.encode_prompts([""] * len(part))
            images.append(base.draw(embedded, negative, noise, "ddim", STEPS, self._guidance))
        return np.concatenate(images)


def _round_trip(base: TextToImage, judge: Embedder, faces: Faces) -> float:
    images = faces.images_NHWC[:256]
    z = base.encode(images)[:, 0].to(base.device)
    with torch.no_grad():
        decoded = np.concatenate([to_uint8(base.decode(part)) for part in z.split(BATCH)])
    before, after = (
        judge.embed(np.stack([scaled(image, judge.image_px) for image in part]))
        for part in (images, decoded)
    )
    return float((before * after).sum(1).mean())


def _save_grid(path: Path, images_NHWC: np.ndarray) -> None:
    from PIL import Image

    columns = 8
    blank = np.zeros((-len(images_NHWC) % columns, *images_NHWC.shape[1:]), np.uint8)
    padded = np.concatenate([images_NHWC, blank])
    rows = [padded[i : i + columns] for i in range(0, len(padded), columns)]
    grid = np.concatenate([np.concatenate(list(row), 1) for row in rows])
    with dispensable("grid"), writing(path) as file:
        Image.fromarray(grid).save(file, "PNG")
