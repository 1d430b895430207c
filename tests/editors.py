"""Untrained editors, for tests of what they edit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from factory import checkpoint
from factory.config import BaseModelConfig
from factory.diffusion.uvit import UViT
from factory.editing.controlnet import MaskControlNet
from factory.editing.uvit_inpainting import CHANNELS, init_from, shape_of
from factory.text_to_image.base_model import TextToImage
from tests.conftest import PX, save


def save_inpainter(folder: Path, weights: Path) -> Path:
    """An inpainting network that begins with the tiny generator, its hint layer not zero."""
    start = checkpoint.load(str(weights / "generator"), "generator", "generator.checkpoint")
    shape = shape_of(start, PX)
    network = UViT(shape)
    init_from(network, start)
    torch.manual_seed(0)
    network.hint.weight.data.normal_(std=0.2)
    config = {key: start.config[key] for key in ("space", "prediction", "num_timesteps")}
    config |= {"shape": asdict(shape), "channels": list(CHANNELS)}
    lineage = start.lineage | {"generator": start.sha256}
    save(folder, "editor", network.state_dict(), config, lineage)
    return folder


def save_controlnet(folder: Path, base_folder: Path) -> Path:
    """An untrained Mask-ControlNet of a base."""
    base = TextToImage(BaseModelConfig(path=str(base_folder)), torch.device("cpu"), "fp32")
    torch.manual_seed(1)
    tensors = MaskControlNet.on(base).state_dict()
    save(folder, "controlnet", tensors, {"image_px": 32}, {"base": base.sha256})
    return folder
