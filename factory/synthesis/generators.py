"""What turns shots into images. The diffusion generator draws a person from an embedding."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from factory import checkpoint
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.process import Process
from factory.diffusion.sampler import SAMPLERS, guided
from factory.diffusion.uvit import Shape, UViT
from factory.distributed import autocast
from factory.errors import CheckpointError
from factory.recognition.data import to_uint8
from factory.records import Shot


class Generator(Protocol):
    """Draws batches of one fixed shape; an image depends on its shot and slot alone."""

    def generate(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        """RGB uint8 [batch_size, H, W, 3]; rows past the shots are padding."""
        ...


class DiffusionGenerator:
    """U-ViT, sampler and decoder of a checkpoint, conditioned on rows of the roster."""

    def __init__(
        self,
        loaded: checkpoint.Checkpoint,
        autoencoder: Autoencoder | None,
        unit_roster_ND: np.ndarray,
        device: torch.device,
        precision: str,
    ) -> None:
        self._shape = Shape(**loaded.config["shape"])
        if unit_roster_ND.shape[1] != self._shape.embedding_dim:
            raise CheckpointError(
                f"generator.checkpoint: takes embeddings of {self._shape.embedding_dim} values, "
                f"the roster has {unit_roster_ND.shape[1]}; use the recognizer it was trained with"
            )
        self._process = Process(int(loaded.config["num_timesteps"]))
        self._prediction = str(loaded.config["prediction"])
        self._autoencoder = autoencoder
        self._roster_ND = torch.from_numpy(unit_roster_ND)
        self._device, self._precision = device, precision
        self._network = UViT(self._shape)
        self._network.load_state_dict(loaded.tensors)
        self._network.eval().requires_grad_(False).to(device)
        if precision == "bf16":
            for module in self._network.modules():
                if isinstance(module, torch.nn.Linear):
                    module.to(torch.bfloat16)  # once, where autocast would do it at every call

    @torch.inference_mode()
    def generate(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        noise, condition_BD = self.inputs(shots, batch_size)
        x0 = self.sample(noise, condition_BD, shots[0])
        for shot in shots:
            if not bool(x0[shot.slot].isfinite().all()):
                raise FloatingPointError(f"{shot.key}: sampling gave NaN or infinity")
        return to_uint8(self._autoencoder.decode(x0) if self._autoencoder else x0)

    def inputs(self, shots: list[Shot], batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(noise [B, C, h, w] by Philox from each shot's seed, condition [B, D])."""
        size = (self._shape.channels, self._shape.side, self._shape.side)
        noise = torch.zeros(batch_size, *size)
        condition_BD = torch.zeros(batch_size, self._shape.embedding_dim)
        for shot in shots:
            stream = np.random.Generator(np.random.Philox(shot.seed))
            noise[shot.slot] = torch.from_numpy(stream.standard_normal(size, dtype=np.float32))
            condition_BD[shot.slot] = self._roster_ND[shot.identity]
        return noise.to(self._device), condition_BD.to(self._device)

    @torch.inference_mode()
    def sample(self, noise: torch.Tensor, condition_BD: torch.Tensor, like: Shot) -> torch.Tensor:
        """The bare sampling loop: x0 of a batch in the denoised space, sampled as `like` says."""
        guidance_B = torch.full((len(noise),), like.guidance, device=self._device)
        denoise = guided(self._network, self._process, self._prediction, condition_BD, guidance_B)
        with autocast(self._device, self._precision):
            return SAMPLERS[like.sampler](denoise, noise, self._process, like.num_steps)
