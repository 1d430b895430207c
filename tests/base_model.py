"""A tiny text-to-image pipeline, for tests of what personalizes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from factory.checkpoint import Checkpoint
from factory.config import BaseTrainingConfig
from factory.diffusion.autoencoder import Autoencoder, build
from factory.text_to_image.train_base import TextToImageLoss, learn_tokenizer, pipeline_of

TINY = BaseTrainingConfig(
    widths=(32, 32), text_width=32, text_layers=1, max_tokens=16, vocabulary=530
)


def tiny_autoencoder(widths: tuple[int, ...] = (16, 16)) -> Autoencoder:
    """Untrained, with latents of 4 channels that need normalizing."""
    torch.manual_seed(5)
    unit = {"latent_mean": torch.linspace(-1, 1, 4), "latent_std": torch.linspace(0.5, 2, 4)}
    tensors = dict(build(widths, 4, 1).state_dict()) | unit
    shape = {"widths": list(widths), "latent_channels": 4, "block": 1}
    loaded = Checkpoint("autoencoder", tensors, shape, 0, {}, {}, "")
    return Autoencoder(loaded, torch.device("cpu"), "fp32")


def save_base(
    folder: Path,
    px: int = 32,
    widths: tuple[int, ...] = (32, 32),
    vae: tuple[int, ...] = (16, 16),
) -> Path:
    """The folder of an untrained Stable Diffusion pipeline for images of `px` pixels."""
    tokenizer = learn_tokenizer(["photo of a person, left", "photo of a person, right"], TINY)
    torch.manual_seed(6)
    recipe = replace(TINY, widths=widths)
    side = px // 2 ** (len(vae) - 1)
    model = TextToImageLoss(recipe, tokenizer.vocab_size, (4, side, side))
    pipeline_of(model, tokenizer, tiny_autoencoder(vae)).save_pretrained(folder)
    return folder
