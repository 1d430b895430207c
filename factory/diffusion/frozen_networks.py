"""The frozen networks around a generator: who is drawn, and the space that is denoised."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.trained_generator import Decode
from factory.recognition.embed import Recognizer
from factory.training.distributed import pick_device


@dataclass(frozen=True)
class FrozenNetworks:
    """A recognizer, and in a space of latents an autoencoder."""

    recognizer: Recognizer
    autoencoder: Autoencoder | None = None

    @classmethod
    def load(cls, config: Config, space: str) -> FrozenNetworks:
        """Those of a config on its device; `space` is generator.space."""
        device, precision = pick_device(config.compute), config.compute.precision
        recognizer = Recognizer.load(config.recognizer.checkpoint, device)
        if space != "latents":
            return cls(recognizer)
        return cls(recognizer, Autoencoder.load(config.autoencoder.checkpoint, device, precision))

    @property
    def decode(self) -> Decode:
        """From the space that is denoised to images in [-1, 1]."""
        return self.autoencoder.decode if self.autoencoder else _identity

    @property
    def lineage(self) -> dict[str, str]:
        """The sha256 of each network."""
        lineage = {"recognizer": self.recognizer.sha256}
        return lineage | ({"autoencoder": self.autoencoder.sha256} if self.autoencoder else {})


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x
