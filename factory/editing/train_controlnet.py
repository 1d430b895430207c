"""Train a Mask-ControlNet on captioned faces, on a frozen base (METHODS 4).

The loss is the error of the base's U-Net (epsilon or v), larger in the region, because what lies
outside is put back.

Shapes: as in controlnet.py; N faces of the source.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory.config import Config
from factory.diffusion.latent_cache import of_both
from factory.editing.controlnet import MaskControlNet, condition
from factory.editing.segmenters import open_segmenter, segmenter_sha256
from factory.editing.training_examples import AS_IS, ExampleMaker, detector_sha256
from factory.errors import ConfigError
from factory.records import Log
from factory.shots.edits import WORDS
from factory.text_to_image.base_model import PromptEmbedding, TextToImage, image_px_of
from factory.text_to_image.base_provenance import base_records
from factory.text_to_image.captions import Captioner, Captions
from factory.training.distributed import pick_device
from factory.training.faces import FaceRows, Faces, open_faces
from factory.training.run import TrainingRun
from factory.training.schedules import adamw, linear_decay, warmup

WARMUP_STEPS, DECAY_FRACTION = 100, 0.33
MAX_CACHED_PROMPTS = 4096


class ControlLoss(nn.Module):
    """Denoising error of the base with a ControlNet's residuals."""

    def __init__(self, base: TextToImage, region_weight: float) -> None:
        super().__init__()
        self.trained = MaskControlNet.on(base)
        self._frozen, self._weight = (base,), region_weight  # a tuple hides it from parameters()

    def forward(
        self,
        z: torch.Tensor,
        noise: torch.Tensor,
        t_B: torch.Tensor,
        text_BLD: torch.Tensor,
        pooled_BP: torch.Tensor | None,
        condition_B6HW: torch.Tensor,
        region_B1HW: torch.Tensor,
    ) -> torch.Tensor:
        (base,) = self._frozen
        prompts = PromptEmbedding(text_BLD, pooled_BP)
        z_t = base.add_noise(z, noise, t_B)
        hint = self.trained.encoded(base, condition_B6HW)
        residuals = self.trained.residuals(base, z_t, t_B, prompts, hint)
        estimate = base.estimate(z_t, t_B, prompts, **residuals)
        weight = 1 + self._weight * region_B1HW
        error = (estimate - base.target(z, noise, t_B)).square()
        return (error * weight).mean() / weight.mean()


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the EMA weights to training.out, return the metrics."""
    recipe, compute = config.inpainting_training, config.compute
    wanted_px = image_px_of(config.base_model)
    if config.source.image_px != wanted_px:
        raise ConfigError(
            f"source.image_px: got {config.source.image_px}; want base_model.path's {wanted_px} "
            "(with source.resize=true)"
        )
    run = TrainingRun(config, recipe, log)

    # The base, captions, regions, latents of both mirrors
    base = TextToImage(config.base_model, pick_device(compute), compute.precision)
    captions = _captions(config, run.faces)
    run.resume(
        base_model=base.sha256,
        detector=detector_sha256(recipe.points, config.source),
        segmenter=segmenter_sha256(recipe),
        captions=captions.digest,
    )
    segmenter = open_segmenter(recipe, base.device)
    maker = ExampleMaker(run.faces, recipe, config.source, segmenter)
    moments_N2 = moments_of(run.faces, base).rows()
    run.read_ahead(moments_N2, *maker.arrays)
    encode_prompt = lru_cache(MAX_CACHED_PROMPTS)(lambda text: base.encode_prompts([text]))

    # ControlNet, engine
    run.seed()
    model = ControlLoss(base, recipe.region_weight)
    run.start(model, adamw(recipe.lr, 0.01, recipe.betas), part="trained", ema=recipe.ema)

    # Steps
    for step in run.steps():
        for part in step.parts:
            mirrored_B = step.rng.random(len(part)) < 0.5
            made = maker.batch(part, mirrored_B, step.rng, step.progress)
            moments = torch.from_numpy(moments_N2.pick(part, mirrored_B.astype(np.int64)))
            if made.painted_B.any():
                moments[made.painted_B] = base.encode(made.images_BHWC[made.painted_B])
            mean, std = moments.unbind(1)
            z = mean + std * torch.randn(mean.shape, generator=step.draw)
            noise = torch.randn(z.shape, generator=step.draw)
            t_B = torch.randint(0, base.num_timesteps, (len(z),), generator=step.draw)
            texts = [
                text + (WORDS[kind] if text and kind != AS_IS else "")
                for text, kind in zip(
                    captions.draw(part, mirrored_B, step.rng), made.kinds, strict=True
                )
            ]
            prompts = PromptEmbedding.join([encode_prompt(text) for text in texts])
            hint = condition(made.images_BHWC, made.alpha_BHW, recipe.condition)
            region = F.adaptive_avg_pool2d(torch.from_numpy(made.alpha_BHW)[:, None], z.shape[-1])
            loss = run(z, noise, t_B, prompts.text_BLD, prompts.pooled_BP, hint, region)
            run.backward(loss)
        rise = warmup(step.index, WARMUP_STEPS)
        run.update(recipe.lr * rise * linear_decay(step.progress, DECAY_FRACTION))

    # Write
    stored = {"image_px": base.image_px, "condition": recipe.condition}
    known = base_records(config.base_model, config.checkpoint)
    lineage = {"base": base.sha256}
    return run.save("controlnet", run.weights(), config=stored, lineage=lineage, known=known)


def moments_of(faces: Faces, base: TextToImage) -> FaceRows:
    """Mean and deviation of the latents of faces and their mirrors, rows [2, 2, C, h, w]."""
    make = of_both(faces, lambda images: base.encode(images).numpy())
    return FaceRows(faces, make, "moments", [base.fingerprint])


def open_moments(config: Config) -> FaceRows:
    """The moments of a config's faces, to be made by a fleet."""
    compute = config.compute
    base = TextToImage(config.base_model, pick_device(compute), compute.precision)
    return moments_of(open_faces(config)[0], base)


def _captions(config: Config, faces: Faces) -> Captions:
    """Captions from the source's tables, or by a captioner where one is given."""
    keys, names = list(faces.keys), [faces.names[label] for label in faces.labels]
    if not config.inpainting_training.captioner:
        return Captions(config.base_training, keys, names)
    captioner = Captioner(config.inpainting_training.captioner, pick_device(config.compute))
    plain = replace(config.base_training, tables=(), phrases=())
    return Captions(plain, keys, names, captioner.of(faces.images_NHWC))
