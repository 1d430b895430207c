"""Pixels to small latents and back: diffusers' AutoencoderKL (Rombach et al. 2022).

It works on 2x2 pixel blocks, because convolutions at full resolution are what a CPU can least
afford; or on pixels, as text-to-image pipelines hold one.

Shapes: B batch, images [B, 3, px, px] in [-1, 1], latents [B, L, h, w] with h = px/factor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory import checkpoint
from factory.config import AutoencoderConfig, Config, as_dict
from factory.diffusion.reconstruction import measure, measured_faces
from factory.errors import CheckpointError, ConfigError
from factory.images import to_network
from factory.provenance.networks import records_of, starts_of
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.training.distributed import autocast, pick_device, rank
from factory.training.engine import channels_last
from factory.training.faces import Faces
from factory.training.run import TrainingRun
from factory.training.schedules import adamw, cosine_decay, warmup

ENCODED_AT_ONCE = 64
"""Images that are encoded together."""
MAX_NORMALIZED = 1 << 15
"""Faces whose latents are normalized; of more, evenly spaced ones, which tell as much."""


def build(widths: tuple[int, ...], latent_channels: int, block: int) -> Any:
    """The network, an AutoencoderKL of the 3*block^2 channels of RGB blocks."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3 * block**2,
        out_channels=3 * block**2,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=tuple(widths),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=16,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def factor_of(config: dict[str, Any]) -> int:
    """Pixels along a side for one latent, by the config of a checkpoint."""
    return int(config.get("block", 2)) << (len(config["widths"]) - 1)


def latents_of(config: dict[str, Any]) -> list[str]:
    """sha256 of autoencoders with the same latents, to the bit, by the config of a checkpoint.

    They are those that it began with and whose encoder was frozen, nearest first.
    """
    return list(config.get("latents_of", ()))


class Autoencoder:
    """A trained autoencoder with latents normalized to zero mean and unit spread per channel."""

    def __init__(self, loaded: checkpoint.Checkpoint, device: torch.device, precision: str) -> None:
        self.sha256 = loaded.sha256
        self.finetuned_from = starts_of(records_of(vars(loaded)))
        """sha256 of the autoencoders that training began with, nearest first."""
        self.latents_of = latents_of(loaded.config)
        self.channels = int(loaded.config["latent_channels"])
        self.widths = tuple(loaded.config["widths"])
        self.block = int(loaded.config.get("block", 2))
        self.factor = factor_of(loaded.config)
        self._device, self._precision = device, precision
        self.network = build(self.widths, self.channels, self.block)
        tensors = dict(loaded.tensors)
        self.mean, self.std = tensors.pop("latent_mean"), tensors.pop("latent_std")
        self._mean = self.mean.view(1, -1, 1, 1).to(device)
        self._std = self.std.view(1, -1, 1, 1).to(device)
        self.network.load_state_dict(tensors)
        self.network.eval().requires_grad_(False)
        self.network.to(device, memory_format=torch.channels_last)

    @classmethod
    def load(cls, name: str, device: torch.device, precision: str) -> Autoencoder:
        """The autoencoder in a checkpoint folder or starter:NAME; raises CheckpointError."""
        loaded = checkpoint.load(name, "autoencoder", "autoencoder.checkpoint")
        return cls(loaded, device, precision)

    @property
    def fingerprint(self) -> str:
        """What decides a latent: weights, precision and kind of device."""
        return f"{self.sha256} {self._precision} {self._device.type}"

    @torch.inference_mode()
    def encode(self, images_NHWC: np.ndarray, batch_size: int = ENCODED_AT_ONCE) -> torch.Tensor:
        """Normalized latent means [N, L, h, w] of RGB uint8 images, on the CPU."""
        parts = []
        for start in range(0, len(images_NHWC), batch_size):
            x_BCHW = to_network(images_NHWC[start : start + batch_size]).to(self._device)
            with autocast(self._device, self._precision):
                moments = self.network.encoder(blocks_of(x_BCHW, self.block))
            mean = moments.float()[:, : self.channels]
            parts.append(((mean - self._mean) / self._std).cpu())
        return torch.cat(parts)

    def decode(self, z_BLHW: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] of normalized latents; differentiable."""
        with autocast(self._device, self._precision):
            blocks = self.network.decoder(z_BLHW * self._std + self._mean)
        return F.pixel_shuffle(blocks.float(), self.block)


class AutoencoderLoss(nn.Module):
    """L1 + KL + perceptual distance in the frozen recognizer (feature maps and embedding)."""

    def __init__(self, config: AutoencoderConfig, recognizer: Recognizer) -> None:
        super().__init__()
        self.network = build(config.widths, config.latent_channels, config.block)
        self._config = config
        self._frozen = [recognizer.backbone]  # a list hides it from parameters()
        self._recognizer_px = recognizer.image_px

    def forward(self, x_BCHW: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        blocks = blocks_of(x_BCHW, self._config.block)
        moments = self.network.encoder(blocks).float()
        mean, log_variance = moments.chunk(2, 1)
        log_variance = log_variance.clamp(-20, 10)
        z = mean + noise * (0.5 * log_variance).exp()
        decoded = self.network.decoder(z).float()
        y_BCHW = F.pixel_shuffle(decoded, self._config.block)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss: torch.Tensor = (y_BCHW - x_BCHW).abs().mean() + self._config.kl_weight * kl
        if self._config.perceptual_weight:
            loss = loss + self._config.perceptual_weight * self.perceptual(y_BCHW, x_BCHW)
        return loss

    def perceptual(self, y_BCHW: torch.Tensor, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Mean distance of the recognizer's feature maps and embeddings of images y and x."""
        backbone: Any = self._frozen[0]
        size = (self._recognizer_px, self._recognizer_px)
        if y_BCHW.shape[2:] != size:
            y_BCHW, x_BCHW = (F.interpolate(i, size, mode="bilinear") for i in (y_BCHW, x_BCHW))
        maps = backbone.feature_maps(y_BCHW)
        with torch.no_grad():
            target_maps = backbone.feature_maps(x_BCHW)
        distances = [
            (F.normalize(a.float()) - F.normalize(b.float())).square().sum(1).mean()
            for a, b in zip(maps, target_maps, strict=True)
        ]
        cosine = F.cosine_similarity(backbone.head(maps[-1]), backbone.head(target_maps[-1]))
        total: torch.Tensor = sum(distances, (1 - cosine).mean())
        return total / (len(distances) + 1)


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the checkpoint to training.out, return its metrics."""
    recipe = config.autoencoder
    run = TrainingRun(config, recipe, log)

    # Network, engine
    run.seed()
    device, precision = pick_device(config.compute), config.compute.precision
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    lineage = {"recognizer": recognizer.sha256}
    start = start_of(recipe)
    if start:
        lineage["start"] = start.sha256
    run.resume(augment=as_dict(config.recognizer.augment), **lineage)
    if run.is_finished("autoencoder"):
        return run.finished_metrics()
    require_gradients(recognizer)
    model = AutoencoderLoss(recipe, recognizer)
    if start:
        init_from(model.network, recipe, start)
    channels_last(model)
    run.start(model, adamw(recipe.lr, weight_decay=0.0), part="network")
    run.read_ahead(run.faces.images_NHWC)

    # Steps
    side = config.source.image_px // (recipe.block * 2 ** (len(recipe.widths) - 1))
    latent = (recipe.latent_channels, side, side)
    for step in run.steps():
        for part in step.parts:
            uniform = torch.rand(len(part), NUM_DRAWS, generator=step.draw)
            noise = torch.randn(len(part), *latent, generator=step.draw)
            images_BHWC = run.faces.images_NHWC[part]
            x_BCHW = to_network(images_BHWC).to(run.device, non_blocking=True)
            x_BCHW = augment(x_BCHW, config.recognizer.augment, uniform)
            x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
            run.backward(run(x_BCHW, noise))
        rise = warmup(step.index, recipe.warmup_steps)
        run.update(recipe.lr * rise * cosine_decay(step.progress))

    # Normalize latents, measure, write
    tensors = run.weights()
    if rank() != 0:
        return {}
    stored = stored_config(recipe, start)
    if start and recipe.freeze_encoder:
        normal = (start.tensors["latent_mean"], start.tensors["latent_std"])
    else:
        unscaled = (torch.zeros(recipe.latent_channels), torch.ones(recipe.latent_channels))
        raw = Autoencoder(unwritten(tensors, unscaled, stored), device, precision)
        z = encode_some(raw, run.faces, MAX_NORMALIZED)
        normal = (z.mean((0, 2, 3)), z.std((0, 2, 3)))
    final = unwritten(tensors, normal, stored)
    trained = Autoencoder(final, device, precision)
    measured = measure(trained, recognizer, *measured_faces(run.faces, run.heldout))
    return run.save("autoencoder", final.tensors, config=stored, lineage=lineage, measured=measured)


def require_gradients(recognizer: Recognizer) -> None:
    """Raise ConfigError for a recognizer without feature maps."""
    if not recognizer.has_gradients:
        raise ConfigError(
            "recognizer.checkpoint: an imported recognizer has no feature maps for the perceptual "
            "loss; want one of ours, for instance starter:recognizer"
        )


def start_of(recipe: AutoencoderConfig) -> checkpoint.Checkpoint | None:
    """The autoencoder that training begins with; None where it begins from nothing."""
    if not recipe.init_from:
        return None
    return checkpoint.load(recipe.init_from, "autoencoder", "autoencoder.init_from")


def init_from(network: Any, recipe: AutoencoderConfig, start: checkpoint.Checkpoint) -> None:
    """Take over an autoencoder's weights, and freeze its encoder where the recipe says so.

    Raises CheckpointError where it has another shape than the recipe's.
    """
    there = {
        "widths": list(start.config["widths"]),
        "latent_channels": int(start.config["latent_channels"]),
        "block": int(start.config.get("block", 2)),
    }
    for key, value in there.items():
        wanted = getattr(recipe, key)
        if value != (list(wanted) if key == "widths" else wanted):
            raise CheckpointError(
                f"autoencoder.{key}: got {wanted} to begin with {recipe.init_from}, which has "
                f"{value}; want the same"
            )
    scaling = ("latent_mean", "latent_std")
    network.load_state_dict({k: v for k, v in start.tensors.items() if k not in scaling})
    if recipe.freeze_encoder:
        network.encoder.requires_grad_(False)


def stored_config(recipe: AutoencoderConfig, start: checkpoint.Checkpoint | None) -> dict[str, Any]:
    """The config of a checkpoint: its shape, and whose latents it has."""
    stored: dict[str, Any] = {
        "widths": list(recipe.widths),
        "latent_channels": recipe.latent_channels,
        "block": recipe.block,
    }
    if start and recipe.freeze_encoder:
        stored["latents_of"] = [start.sha256, *latents_of(start.config)]
    return stored


def unwritten(
    network: dict[str, torch.Tensor],
    normal: tuple[torch.Tensor, torch.Tensor],
    config: dict[str, Any],
) -> checkpoint.Checkpoint:
    """A checkpoint that is not written: weights, and (mean, spread) of its latents by channel."""
    tensors = network | dict(zip(("latent_mean", "latent_std"), normal, strict=True))
    return checkpoint.Checkpoint("autoencoder", tensors, config, 0, {}, {}, "")


def encode_some(autoencoder: Autoencoder, faces: Faces, most: int) -> torch.Tensor:
    """Latents of all faces, or of `most` evenly spaced ones where there are more."""
    num_faces = len(faces)
    rows = np.linspace(0, num_faces - 1, min(num_faces, most)).astype(int)
    starts = range(0, len(rows), ENCODED_AT_ONCE)
    images = (faces.images_NHWC[rows[start : start + ENCODED_AT_ONCE]] for start in starts)
    return torch.cat([autoencoder.encode(part) for part in images])


def blocks_of(x_BCHW: torch.Tensor, block: int) -> torch.Tensor:
    """Blocks of pixels as channels, [B, 3*block^2, H/block, W/block]."""
    return F.pixel_unshuffle(x_BCHW, block).contiguous(memory_format=torch.channels_last)
