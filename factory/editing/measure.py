"""Is a text-to-image base fit to be personalised? Round trip of faces, and faces in its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory.config import Config
from factory.distributed import pick_device
from factory.editing.captions import Captions
from factory.editing.crop import FaceCrop
from factory.editing.text_to_image import TextToImage
from factory.optimization import stream_seed
from factory.recognition.data import to_network, to_uint8
from factory.recognition.embed import Recognizer
from factory.sources import FaceSet
from factory.sources.alignment import YuNet, scaled

LEAST_ROUND_TRIP, LEAST_FACES = 0.8, 0.9
"""What a base must reach: cosine of faces before and after its autoencoder, by the judge; share of
samples in which the detector finds a face."""
BATCH = 16


def measure_base(
    config: Config, folder: Path, captions: Captions, faces: FaceSet
) -> dict[str, Any]:
    """Both figures, and sheet.png beside the pipeline: samples of full captions."""
    device, booth = pick_device(config.compute), config.booth
    base = TextToImage(
        booth.__class__(base=str(folder), family="sd"), device, config.compute.precision
    )
    judge = Recognizer.load(config.judge.checkpoint or "", device, "judge.checkpoint")
    metrics: dict[str, Any] = {"round_trip_cosine": _round_trip(base, judge, faces)}

    # Samples of captions of people who are known, and of nobody
    recipe = config.text_to_image
    texts = captions.everything()
    places = np.linspace(0, len(texts) - 1, recipe.num_samples // 2).astype(int)
    prompts = [texts[place] for place in places]
    prompts += [recipe.caption] * (recipe.num_samples - len(prompts))
    images = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        noise = base.noise([stream_seed("sample", start + i) for i in range(len(part))])
        words, away = base.words(part), base.words([""] * len(part))
        images.append(base.draw(words, away, noise, "ddim", 30, booth.prior_guidance))
    drawn = np.concatenate(images)
    _save_sheet(folder.parent / "sheet.png", drawn)
    if config.source.detector:
        crop = FaceCrop("landmarks", YuNet(config.source.detector), judge.image_px)
        found = [crop(to_network(image[None])[0]) is not None for image in drawn]
        metrics["face_share"] = float(np.mean(found))
    return metrics | {"num_samples": len(drawn)}


def _round_trip(base: TextToImage, judge: Recognizer, faces: FaceSet) -> float:
    images = faces.images_NHWC[:256]
    z = base.encode(images)[:, 0].to(base.device)
    with torch.no_grad():
        again = np.concatenate([to_uint8(base.decode(part)) for part in z.split(BATCH)])
    seen = [np.stack([scaled(i, judge.image_px) for i in part]) for part in (images, again)]
    return float((judge.embed(seen[0]) * judge.embed(seen[1])).sum(1).mean())


def _save_sheet(path: Path, images_NHWC: np.ndarray) -> None:
    from PIL import Image

    columns = 8
    blank = np.zeros((-len(images_NHWC) % columns, *images_NHWC.shape[1:]), np.uint8)
    padded = np.concatenate([images_NHWC, blank])
    rows = [padded[i : i + columns] for i in range(0, len(padded), columns)]
    sheet = np.concatenate([np.concatenate(list(row), 1) for row in rows])
    Image.fromarray(sheet).save(path)
