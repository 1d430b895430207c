"""Puts the inquiry image itself into a class, beside the images that are drawn (CemiFace)."""

from __future__ import annotations

import numpy as np

from factory.config import Config
from factory.errors import IntegrityError
from factory.identities.inquiry import inquiry_source
from factory.images import to_network
from factory.records import DrawnBatch, Shot
from factory.shots.request import PlanRequest
from factory.sources import FaceSource
from factory.synthesis.generators import DiffusionGenerator


class InquiryCopies:
    """A generator that draws, save for shots that name an original: those are copies of it.

    What it draws has the bytes that it has without copies, because an image depends on its shot and
    slot alone.
    """

    def __init__(self, generator: DiffusionGenerator, inquiry: FaceSource) -> None:
        self._generator, self._inquiry = generator, inquiry
        self._row_of = {key: row for row, key in enumerate(inquiry.keys)}

    @property
    def remarks(self) -> list[str]:
        return self._generator.remarks

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        drawn, copied = _apart(shots)
        if not copied:
            return self._generator.generate(shots, batch_size)
        copies = self._copies(copied)
        images_BHWC = np.zeros((batch_size, *copies.shape[1:]), np.uint8)
        if drawn:
            images_BHWC = self._generator.generate(drawn, batch_size).images_BHWC.copy()
        images_BHWC[[shot.slot for shot in copied]] = copies
        return DrawnBatch(images_BHWC)

    def unrounded(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        """float32 [B, C, H, W] of what `generate` rounds, padding included."""
        drawn, copied = _apart(shots)
        if not copied:
            return self._generator.unrounded(shots, batch_size)
        copies = to_network(self._copies(copied)).numpy()
        values_BCHW = np.zeros((batch_size, *copies.shape[1:]), np.float32)
        if drawn:
            values_BCHW = self._generator.unrounded(drawn, batch_size).copy()
        values_BCHW[[shot.slot for shot in copied]] = copies
        return values_BCHW

    def _copies(self, shots: list[Shot]) -> np.ndarray:
        """RGB uint8 [B, px, px, 3]."""
        rows = (self._row_of[shot.original] for shot in shots)
        return np.stack([self._inquiry[row].image_HWC for row in rows])


def with_copies(
    generator: DiffusionGenerator, config: Config, request: PlanRequest
) -> DiffusionGenerator | InquiryCopies:
    """The generator of a plan, with inquiry images where it asks for copies.

    Raises IntegrityError for other inquiry images than the planned ones.
    """
    if not request.identities.inquiry_copies:
        return generator
    inquiry = inquiry_source(config)
    if inquiry.fingerprint != request.identities.inquiry:
        raise IntegrityError(
            f"identities.inquiry: {config.identities.inquiry} holds other faces than the release "
            "was planned with; use those"
        )
    return InquiryCopies(generator, inquiry)


def _apart(shots: list[Shot]) -> tuple[list[Shot], list[Shot]]:
    """(shots that are drawn, shots that are copies)."""
    return [one for one in shots if not one.original], [one for one in shots if one.original]
