"""A perceptual hash of faces: the signs of low frequencies, 255 bits as a unit vector.

The DCT hash (Zauner 2010, pHash) with 16x16 frequencies instead of 8x8, because aligned faces share
the lowest ones. Light and recompression hardly move it. With entries +-1/16 the cosine of two
hashes is 1 - 2*(bits that differ)/256, so what searches embeddings searches hashes too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SIDE, FREQUENCIES = 64, 16
MIN_DUPLICATE_COSINE = 0.9
"""Cosine of two hashes from which their images count as duplicates."""


@dataclass(frozen=True)
class PerceptualHash:
    """Hashes of images, or of their mirror images."""

    mirrored: bool = False

    @property
    def has_unit_length(self) -> bool:
        return True

    @property
    def sha256(self) -> str:
        """Names this hash as weights name an embedder."""
        return hashlib.sha256(f"dct {SIDE} {FREQUENCIES} {self.mirrored}".encode()).hexdigest()

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        """RGB uint8 [N, H, W, 3] -> float32 [N, 256] of +-1/16."""
        oriented = images_NHWC[:, :, ::-1] if self.mirrored else images_NHWC
        return np.stack([_hash(np.ascontiguousarray(image)) for image in oriented])


def _hash(image_HWC: np.ndarray) -> np.ndarray:
    import cv2

    gray = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small)[:FREQUENCIES, :FREQUENCIES].ravel()
    low[0] = np.median(low[1:])  # because the mean says light, not content
    return np.where(low > np.median(low[1:]), 1, -1).astype(np.float32) / FREQUENCIES
