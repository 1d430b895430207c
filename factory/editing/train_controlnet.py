"""Train a Mask-ControlNet on captioned faces: the base is frozen, the error that of its U-Net
(METHODS 4; epsilon or v, larger in the region, because what lies outside is put back).

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

from factory import checkpoint
from factory.config import Config
from factory.editing.controlnet import MaskControlNet, condition
from factory.editing.segmenters import open_segmenter, segmenter_sha256
from factory.editing.training_examples import AS_IS, ExampleMaker, detector_sha256
from factory.errors import ConfigError
from factory.seeds import torch_generator
from factory.shots.edits import WORDS
from factory.sources import training_faces
from factory.text_to_image.base_model import PromptEmbedding, TextToImage
from factory.text_to_image.captions import Captioner, Captions
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.distributed import micro_batch, pick_device, rank, world_size
from factory.training.engine import Averaged, join, start_engine
from factory.training.run_state import Log, RunState
from factory.training.schedules import adamw, linear_decay

WARMUP, DECAY_SHARE = 100, 0.33
WORDS_KEPT = 4096
"""Captions whose encoding is kept."""


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
        words = PromptEmbedding(text_BLD, pooled_BP)
        z_t = base.add_noise(z, noise, t_B)
        seen = self.trained.encoded(base, condition_B6HW)
        given = self.trained.residuals(base, z_t, t_B, words, seen)
        estimate = base.estimate(z_t, t_B, words, **given)
        weight = 1 + self._weight * region_B1HW
        error = (estimate - base.target(z, noise, t_B)).square()
        return (error * weight).mean() / weight.mean()


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the EMA weights to training.out, return the metrics."""
    recipe, seed = config.inpainting_training, config.training.seed
    join(config.compute)

    # The base, faces at its size, captions
    compute = config.compute
    base = TextToImage(config.base_model, pick_device(compute), compute.precision)
    if config.source.image_px != base.image_px:
        raise ConfigError(
            f"source.image_px: got {config.source.image_px}; want base_model.path's {base.image_px} "
            "(with source.resize=true)"
        )
    faces, heldout = training_faces(config.source)
    captions = _captions(config, faces)
    finding = f"{detector_sha256(recipe.points, config.source)} {segmenter_sha256(recipe)}"
    parts = [faces.fingerprint, str(config.source.image_px), base.sha256, finding, captions.digest]
    progress = RunState(config.training, recipe, " ".join(parts), log)
    progress.say(faces.describe(heldout))
    segmenter = open_segmenter(recipe, base.device)
    maker = ExampleMaker(faces, recipe, config.source, segmenter)
    images = faces.images_NHWC
    both = (images, np.ascontiguousarray(images[:, :, ::-1]))
    moments_2N = torch.stack([base.encode(part) for part in both])
    encode_words = lru_cache(WORDS_KEPT)(lambda text: base.encode_prompts([text]))

    # ControlNet, engine
    torch.manual_seed(seed)
    model = ControlLoss(base, recipe.region_weight)
    if compute.compile:
        model.compile()
    engine = start_engine(
        model, adamw(recipe.lr, weight_decay=0.01), compute, grad_clip=1.0, resume=progress.folder
    )
    averaged = Averaged(engine, "trained", recipe.ema, progress.folder)

    # Steps
    order = BatchOrder(seed, len(faces), recipe.batch_size)
    micro_batch(order.batch_size, compute, "inpainting_training.batch_size")
    total = num_steps(len(faces), order.batch_size, recipe.epochs, config.training.max_steps)
    for step in progress.steps(total, order.batch_size, averaged.save):
        chosen = order.rank_batch(step, rank(), world_size())
        draw = torch_generator(seed, "step", step, rank())
        rng = np.random.default_rng(draw.initial_seed())
        losses = []
        for part in np.split(chosen, compute.accumulate):
            mirrored_B = rng.random(len(part)) < 0.5
            made = maker.batch(part, mirrored_B, rng, step / total)
            moments = moments_2N[torch.from_numpy(mirrored_B).long(), torch.from_numpy(part)]
            if made.painted_B.any():
                moments[made.painted_B] = base.encode(made.images_BHWC[made.painted_B])
            mean, std = moments.unbind(1)
            z = mean + std * torch.randn(mean.shape, generator=draw)
            noise = torch.randn(z.shape, generator=draw)
            t_B = torch.randint(0, base.num_timesteps, (len(z),), generator=draw)
            told = captions.draw(part, mirrored_B, rng)
            texts = [
                text + (WORDS[kind] if text and kind != AS_IS else "")
                for text, kind in zip(told, made.kinds, strict=True)
            ]
            words = PromptEmbedding.join([encode_words(text) for text in texts])
            seen = condition(made.images_BHWC, made.alpha_BHW, recipe.condition)
            region = F.adaptive_avg_pool2d(torch.from_numpy(made.alpha_BHW)[:, None], z.shape[-1])
            batch = (z, noise, t_B, words.text_BLD, words.pooled_BP, seen, region)
            loss = engine(*(None if x is None else x.to(engine.device) for x in batch))
            engine.backward(loss)
            losses.append(loss.detach())
        warm = min(1.0, (step + 1) / WARMUP)
        averaged.step(recipe.lr * warm * linear_decay(step / total, DECAY_SHARE))
        progress.record(torch.stack(losses).mean())

    # Write
    weights, metrics = averaged.weights(), dict[str, Any]()
    if rank() == 0:
        metrics = {"final_loss": progress.final_loss, "hours": round(progress.seconds / 3600, 3)}
        story = checkpoint.Checkpoint(
            kind="controlnet",
            tensors=weights,
            config={"image_px": base.image_px, "condition": recipe.condition},
            step=total,
            metrics=metrics,
            lineage={"base": base.sha256},
            sha256="",
        )
        checkpoint.save(progress.out, story)
    return metrics


def _captions(config: Config, faces: Any) -> Captions:
    """From the source's tables, or by a captioner where one is given."""
    names = [faces.names[label] for label in faces.labels]
    if not config.inpainting_training.captioner:
        return Captions(config.base_training, faces.keys, names)
    captioner = Captioner(config.inpainting_training.captioner, pick_device(config.compute))
    plain = replace(config.base_training, tables=(), phrases=())
    return Captions(plain, faces.keys, names, captioner.of(faces.images_NHWC))
