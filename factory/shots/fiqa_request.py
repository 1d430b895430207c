"""What a plan holds of the network that filters.min_fiqa asks: its digest and its images."""

from __future__ import annotations

from dataclasses import dataclass

from factory.config import QualityConfig


@dataclass(frozen=True)
class FiqaRequest:
    """A network that tells quality, and what images it takes."""

    sha256: str
    channels: str
    """quality.channels."""
    pixels: str
    """quality.pixels."""

    @classmethod
    def of(cls, config: QualityConfig) -> FiqaRequest:
        """Of section quality; raises CheckpointError where its network is not there."""
        from factory.recognition.fiqa import model_sha256

        return cls(model_sha256(config), config.channels, config.pixels)
