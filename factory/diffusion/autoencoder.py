"""Pixels to small latents and back: diffusers' AutoencoderKL (Rombach et al. 2022) on 2x2 pixel
blocks, because convolutions at full resolution are what a CPU can least afford; or on pixels, as
text-to-image pipelines hold one.

Shapes: B batch, images [B, 3, px, px] in [-1, 1], latents [B, L, h, w] with h = px/factor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory import checkpoint
from factory.config import AutoencoderConfig, Config
from factory.errors import ConfigError
from factory.images import to_network, to_uint8
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.recognition.embed import Recognizer
from factory.seeds import torch_generator
from factory.sources import FaceSet, training_faces
from factory.sources.alignment import scaled
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.distributed import autocast, micro_batch, pick_device, rank, world_size
from factory.training.engine import channels_last, join, start_engine
from factory.training.run_state import Log, RunState
from factory.training.schedules import adamw, cosine_decay


def build(widths: tuple[int, ...], latent_channels: int, block: int) -> nn.Module:
    """The network: an AutoencoderKL of the 3*block^2 channels of RGB blocks."""
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


class Autoencoder:
    """A trained autoencoder with latents normalized to zero mean and unit spread per channel."""

    def __init__(self, loaded: checkpoint.Checkpoint, device: torch.device, precision: str) -> None:
        self.sha256 = loaded.sha256
        self.channels = int(loaded.config["latent_channels"])
        self.widths = tuple(loaded.config["widths"])
        self.block = int(loaded.config.get("block", 2))
        self.factor = self.block * 2 ** (len(self.widths) - 1)
        self._device, self._precision = device, precision
        self.network = build(self.widths, self.channels, self.block)
        tensors = dict(loaded.tensors)
        self.mean, self.std = tensors.pop("latent_mean"), tensors.pop("latent_std")
        self._mean = self.mean.view(1, -1, 1, 1).to(device)
        self._std = self.std.view(1, -1, 1, 1).to(device)
        self.network.load_state_dict(tensors)
        self.network.eval().requires_grad_(False)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, name: str, device: torch.device, precision: str) -> Autoencoder:
        """From a checkpoint folder or starter:NAME; raises CheckpointError."""
        loaded = checkpoint.load(name, "autoencoder", "autoencoder.checkpoint")
        return cls(loaded, device, precision)

    @property
    def story(self) -> str:
        """What decides a latent: the weights and the precision."""
        return f"{self.sha256} {self._precision} {self._device.type}"

    @torch.inference_mode()
    def encode(self, images_NHWC: np.ndarray, batch_size: int = 64) -> torch.Tensor:
        """Normalized latent means [N, L, h, w] of RGB uint8 images, on the CPU."""
        parts = []
        for start in range(0, len(images_NHWC), batch_size):
            x_BCHW = to_network(images_NHWC[start : start + batch_size]).to(self._device)
            with autocast(self._device, self._precision):
                moments = self.network.encoder(_blocks(x_BCHW, self.block))  # type: ignore[operator]
            mean = moments.float()[:, : self.channels]
            parts.append(((mean - self._mean) / self._std).cpu())
        return torch.cat(parts)

    def decode(self, z_BLHW: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] of normalized latents; differentiable."""
        with autocast(self._device, self._precision):
            blocks = self.network.decoder(z_BLHW * self._std + self._mean)  # type: ignore[operator]
        return F.pixel_shuffle(blocks.float(), self.block)


class AutoencoderLoss(nn.Module):
    """L1 + KL + perceptual distance in the frozen recognizer (feature maps and embedding)."""

    def __init__(self, config: AutoencoderConfig, recognizer: Recognizer) -> None:
        super().__init__()
        self.network = build(config.widths, config.latent_channels, config.block)
        self._config = config
        self._frozen = [recognizer.backbone]  # a list hides it from parameters()
        self._seen_px = recognizer.image_px

    def forward(self, x_BCHW: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        blocks = _blocks(x_BCHW, self._config.block)
        moments = self.network.encoder(blocks).float()  # type: ignore[operator]
        mean, log_variance = moments.chunk(2, 1)
        log_variance = log_variance.clamp(-20, 10)
        z = mean + noise * (0.5 * log_variance).exp()
        decoded = self.network.decoder(z).float()  # type: ignore[operator]
        y_BCHW = F.pixel_shuffle(decoded, self._config.block)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = (y_BCHW - x_BCHW).abs().mean() + self._config.kl_weight * kl
        if self._config.perceptual_weight:
            loss = loss + self._config.perceptual_weight * self._perceptual(y_BCHW, x_BCHW)
        return loss

    def _perceptual(self, y_BCHW: torch.Tensor, x_BCHW: torch.Tensor) -> torch.Tensor:
        backbone, size = self._frozen[0], (self._seen_px, self._seen_px)
        if y_BCHW.shape[2:] != size:
            y_BCHW, x_BCHW = (F.interpolate(i, size, mode="bilinear") for i in (y_BCHW, x_BCHW))
        mine = backbone.feature_maps(y_BCHW)
        with torch.no_grad():
            wanted = backbone.feature_maps(x_BCHW)
        distances = [
            (F.normalize(a.float()) - F.normalize(b.float())).square().sum(1).mean()
            for a, b in zip(mine, wanted, strict=True)
        ]
        cosine = F.cosine_similarity(backbone.head(mine[-1]), backbone.head(wanted[-1]))
        return sum(distances, (1 - cosine).mean()) / (len(distances) + 1)


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the checkpoint to training.out, return its metrics."""
    recipe, seed = config.autoencoder, config.training.seed
    join(config.compute)
    faces, heldout = training_faces(config.source)

    # Network, engine
    torch.manual_seed(seed)
    device, compute = pick_device(config.compute), config.compute
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    data = f"{faces.fingerprint} {config.source.image_px} {recognizer.sha256}"
    progress = RunState(config.training, recipe, data, log)
    progress.say(faces.describe(heldout))
    if not recognizer.has_gradients:
        raise ConfigError(
            "recognizer.checkpoint: an adopted recognizer has no feature maps for the perceptual "
            "loss; want one of ours, for instance starter:recognizer"
        )
    model = AutoencoderLoss(recipe, recognizer)
    channels_last(model)
    if compute.compile:
        model.compile()

    optimizer = adamw(recipe.lr, weight_decay=0.0)
    engine = start_engine(model, optimizer, compute, grad_clip=1.0, resume=progress.folder)

    # Steps
    order = BatchOrder(seed, len(faces), recipe.batch_size)
    local = micro_batch(order.batch_size, compute, "autoencoder.batch_size")
    total = num_steps(len(faces), order.batch_size, recipe.epochs, config.training.max_steps)
    side = config.source.image_px // (recipe.block * 2 ** (len(recipe.widths) - 1))
    for step in progress.steps(total, order.batch_size, engine.save):
        chosen = order.rank_batch(step, rank(), world_size())
        draw = torch_generator(seed, "step", step, rank())
        losses = []
        for part in np.split(chosen, compute.accumulate):
            uniform = torch.rand(local, NUM_DRAWS, generator=draw)
            noise = torch.randn(local, recipe.latent_channels, side, side, generator=draw)
            x_BCHW = to_network(faces.images_NHWC[part]).to(engine.device, non_blocking=True)
            x_BCHW = augment(x_BCHW, config.recognizer.augment, uniform)
            x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
            loss = engine(x_BCHW, noise.to(engine.device))
            engine.backward(loss)
            losses.append(loss.detach())
        engine.step(recipe.lr * min(1.0, (step + 1) / 200) * cosine_decay(step / total))
        progress.record(torch.stack(losses).mean())

    # Measure and write
    metrics: dict[str, Any] = {}
    with engine.weights() as module:
        final = {n: t.detach().float().cpu().clone() for n, t in module.state_dict().items()}
    if rank() == 0:
        network = {n.removeprefix("network."): t for n, t in final.items()}
        unit = {
            "latent_mean": torch.zeros(recipe.latent_channels),
            "latent_std": torch.ones(recipe.latent_channels),
        }
        story = checkpoint.Checkpoint(
            kind="autoencoder",
            tensors=network | unit,
            config={
                "widths": list(recipe.widths),
                "latent_channels": recipe.latent_channels,
                "block": recipe.block,
            },
            step=total,
            metrics={},
            lineage={"recognizer": recognizer.sha256},
            sha256="",
        )
        raw = Autoencoder(story, device, config.compute.precision).encode(faces.images_NHWC)
        story.tensors["latent_mean"] = raw.mean((0, 2, 3))
        story.tensors["latent_std"] = raw.std((0, 2, 3))
        trained = Autoencoder(story, device, config.compute.precision)
        metrics = measure(trained, recognizer, heldout if len(heldout) else faces)
        metrics["hours"] = round(progress.seconds / 3600, 3)
        checkpoint.save(progress.out, replace(story, metrics=metrics))
    return metrics


@torch.inference_mode()
def measure(autoencoder: Autoencoder, recognizer: Recognizer, faces: FaceSet) -> dict[str, float]:
    """Reconstruction of up to 512 faces: PSNR in dB and cosine of embeddings before and after."""
    images = faces.images_NHWC[:512]
    z = autoencoder.encode(images).to(recognizer.device)
    again = np.concatenate([to_uint8(autoencoder.decode(part)) for part in z.split(64)])
    error = np.square(images.astype(np.float32) - again.astype(np.float32)).mean((1, 2, 3))
    before, after = (np.stack([scaled(i, recognizer.image_px) for i in s]) for s in (images, again))
    cosine = (recognizer.embed(before) * recognizer.embed(after)).sum(1)
    return {
        "num_images": len(images),
        "psnr_db": float((10 * np.log10(255**2 / error)).mean()),
        "identity_cosine_mean": float(cosine.mean()),
        "identity_cosine_p05": float(np.quantile(cosine, 0.05)),
    }


def _blocks(x_BCHW: torch.Tensor, block: int) -> torch.Tensor:
    return F.pixel_unshuffle(x_BCHW, block).contiguous(memory_format=torch.channels_last)
