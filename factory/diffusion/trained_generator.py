"""A generator as a training ends with it, which draws people and can be measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.denoising_error import denoising_error
from factory.diffusion.guidance import Conditioning, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import sample
from factory.diffusion.similarity import TrainingSimilarities
from factory.diffusion.uvit import Shape, UViT
from factory.images import to_uint8
from factory.seeds import torch_generator

Decode = Callable[[torch.Tensor], torch.Tensor]
"""From the space that is denoised to images in [-1, 1]."""
NUM_STEPS, GUIDANCE = 12, 1.5


@dataclass(frozen=True)
class TrainedGenerator:
    """A network with all that drawing from embeddings needs."""

    network: UViT
    schedule: NoiseSchedule
    prediction: str
    decode: Decode
    device: torch.device
    learned: TrainingSimilarities | None = None
    """Which similarities it was trained with; None where they were asked for, or it takes none."""
    guidance: float = GUIDANCE
    num_distilled: int | None = None
    """Network calls an image of a distilled generator, which is drawn with as it has learned;
    None: it is none."""

    @classmethod
    def of(
        cls,
        shape: Shape,
        weights: dict[str, torch.Tensor],
        estimates: tuple[str, int],
        decode: Decode,
        device: torch.device,
        learned: TrainingSimilarities | None = None,
        *,
        guidance: float = GUIDANCE,
        num_distilled: int | None = None,
    ) -> TrainedGenerator:
        """A network of these weights; `estimates` are its prediction and num_timesteps."""
        network = UViT(shape).eval().requires_grad_(False)
        network.load_state_dict(weights)
        prediction, num_timesteps = estimates
        schedule = NoiseSchedule(num_timesteps)
        network.to(device)
        return cls(network, schedule, prediction, decode, device, learned, guidance, num_distilled)

    @property
    def similarities(self) -> tuple[float, float]:
        """The lowest and the highest similarity to draw at: what it was trained with, or 0 to 1."""
        return self.learned.range if self.learned else (0.0, 1.0)

    @property
    def num_calls(self) -> int:
        """Network calls an image, where one with guidance counts as two."""
        if self.num_distilled:
            return self.num_distilled
        return min(NUM_STEPS, self.schedule.num_timesteps) * (1 if self.guidance == 1 else 2)

    @torch.inference_mode()
    def draw(
        self, unit_BD: torch.Tensor, stream: str, similarity_B: torch.Tensor | None = None
    ) -> np.ndarray:
        """RGB uint8 [B, H, W, 3] of people, always from the same noise of a `stream`.

        A network with similarity tokens is asked for `similarity_B`, by default for 1, or for the
        median of those in its training.
        """
        return to_uint8(self.decode(self.draw_x0(unit_BD, stream, similarity_B)))

    @torch.inference_mode()
    def draw_x0(
        self, unit_BD: torch.Tensor, stream: str, similarity_B: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same before it is decoded, in the denoised space."""
        shape, identity_BD = self.network.shape, unit_BD.to(self.device)
        size = (len(identity_BD), shape.channels, shape.side, shape.side)
        noise = torch.randn(size, generator=torch_generator(0, stream)).to(self.device)
        given = self.conditioning(identity_BD, similarity_B)
        denoise = guided(self.network, self.schedule, self.prediction, given)
        if self.num_distilled:
            return sample("distilled", denoise, noise, self.schedule, self.num_distilled)
        num_steps = min(NUM_STEPS, self.schedule.num_timesteps)
        return sample("unipc", denoise, noise, self.schedule, num_steps, "logsnr")

    @torch.inference_mode()
    def error(self, x_BCHW: torch.Tensor, unit_BD: torch.Tensor, t: int) -> np.ndarray:
        """Squared error [B] of the network's own prediction at a timestep, averaged over values."""
        size, stream = x_BCHW.shape, torch_generator(0, "validation", t)
        noise = torch.randn(size, generator=stream).to(self.device)
        x, given = x_BCHW.to(self.device), self.conditioning(unit_BD.to(self.device))
        error_B = denoising_error(self.network, self.schedule, self.prediction, x, noise, t, given)
        return np.asarray(error_B.cpu().numpy())

    def conditioning(
        self, identity_BD: torch.Tensor, similarity_B: torch.Tensor | None = None
    ) -> Conditioning:
        """The conditions of people who are drawn in any pose; a student is guided by itself."""
        shape, batch = self.network.shape, len(identity_BD)
        guidance = 1.0 if self.num_distilled else self.guidance
        negative_similarity_B = hint_BSHW = None
        if shape.similarity_tokens:
            usual = torch.full((batch,), self.learned.median if self.learned else 1.0)
            similarity_B = (usual if similarity_B is None else similarity_B).to(self.device)
            negative_similarity_B = torch.zeros_like(similarity_B)
        if shape.hint_channels:  # without points: in any pose
            hint_size = (batch, shape.hint_channels, shape.hint_px, shape.hint_px)
            hint_BSHW = torch.zeros(hint_size, device=self.device)
        return Conditioning(
            identity_BD,
            negative_BD=torch.zeros_like(identity_BD),
            guidance_B=torch.full((batch,), guidance, device=self.device),
            similarity_B=similarity_B,
            negative_similarity_B=negative_similarity_B,
            hint_BSHW=hint_BSHW,
        )


def load_trained(
    config: Config, device: torch.device
) -> tuple[TrainedGenerator, Autoencoder | None]:
    """The generator of a config, with its autoencoder where it draws latents."""
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    autoencoder = None
    if loaded.config["space"] == "latents":
        autoencoder = Autoencoder.load(
            config.autoencoder.checkpoint, device, config.compute.precision
        )
    network = UViT.from_checkpoint(loaded.config, loaded.tensors)
    generator = TrainedGenerator.of(
        network.shape,
        network.state_dict(),
        (str(loaded.config["prediction"]), int(loaded.config["num_timesteps"])),
        autoencoder.decode if autoencoder else lambda x: x,
        device,
        TrainingSimilarities.from_checkpoint(loaded.config),
    )
    return generator, autoencoder
