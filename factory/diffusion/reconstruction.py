"""How well an autoencoder gives faces back: pixels, identity, and how sharp they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from factory.images import to_uint8
from factory.quality.texture import suffixed, texture
from factory.recognition.embed import Embedder, Recognizer
from factory.sources.alignment import scaled
from factory.training.faces import Faces

if TYPE_CHECKING:
    from factory.diffusion.autoencoder import Autoencoder

MOST = 512
"""Faces that are measured, evenly spaced ones of more."""
HELDOUT, TRAINING, GIVEN = "held-out faces", "training faces", "faces of the given source"
"""Which faces a network was measured on."""
LARGEST_DB = 100.0
"""PSNR of an image that comes back as it was, which would be infinite."""


def measured_faces(
    training: Faces, heldout: Faces, condition: str | None = None
) -> tuple[Faces, str]:
    """The faces to measure a trained network on, and what they are.

    A generator is shown by `condition` prototypes of people, which those held out have not, or
    centers, which those with one image have not.
    """
    usable = condition != "prototype"
    if condition == "center":
        usable = bool((np.bincount(heldout.labels) > 1).any())
    if len(heldout) and usable:
        return heldout, HELDOUT
    return training, TRAINING


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """Rows [min(count, most)] from the first of `count` to the last."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)


@torch.inference_mode()
def measure(
    autoencoder: Autoencoder,
    recognizer: Recognizer,
    faces: Faces,
    which: str,
    judge: Embedder | None = None,
) -> dict[str, Any]:
    """Reconstruction of up to MOST faces.

    PSNR in dB; cosine of the recognizer's embeddings before and after, and of an independent
    judge's where there is one; sharpness, checkerboard and ringing of what comes back and, as
    *_originals, of the faces (quality/texture.py).
    """
    images = faces.images_NHWC[evenly_spaced(len(faces), MOST)]
    z = autoencoder.encode(images).to(recognizer.device)
    again = np.concatenate([to_uint8(autoencoder.decode(part)) for part in z.split(64)])
    cosine = _cosines(recognizer, images, again)
    figures = {
        "num_images": len(images),
        "faces": which,
        "psnr_db": float(psnr_db(images, again).mean()),
        "identity_cosine_mean": float(cosine.mean()),
        "identity_cosine_p05": float(np.quantile(cosine, 0.05)),
    }
    if judge:
        figures["judge_cosine_mean"] = float(_cosines(judge, images, again).mean())
    of_originals = suffixed(texture(images), "originals")
    return figures | texture(again, like_NHWC=images) | of_originals


def _cosines(embedder: Embedder, images: np.ndarray, again: np.ndarray) -> np.ndarray:
    before, after = (np.stack([scaled(i, embedder.image_px) for i in s]) for s in (images, again))
    return np.asarray((embedder.embed(before) * embedder.embed(after)).sum(1))


MAY_FALL_BY = {"psnr_db": 0.1, "judge_cosine_mean": 0.0}
"""What a sharper decoder may lose, of pixels and of identity by who did not teach it.

Some error of pixels is the price of sharpness (Blau & Michaeli 2018, "The perception-distortion
tradeoff"), but no more than a tenth of a decibel.
"""


def compare(
    start: Autoencoder,
    final: Autoencoder,
    recognizer: Recognizer,
    faces: Faces,
    which: str,
    judge: Embedder | None,
) -> dict[str, Any]:
    """Figures of `final`, with those of `start` as `before`, and whether it kept what it must.

    `accepted`: none is lower by more than MAY_FALL_BY; None without a judge. `lost`: a line for
    each that is.
    """
    before, after = (
        measure(network, recognizer, faces, which, judge) for network in (start, final)
    )
    lost = [
        f"{name} {after[name]:.4f}, before {before[name]:.4f}"
        for name, allowed in MAY_FALL_BY.items()
        if name in after and not after[name] >= before[name] - allowed  # NaN is a loss too
    ]
    accepted = False if lost else True if judge else None
    return after | {"before": before, "accepted": accepted, "lost": lost}


def psnr_db(images_NHWC: np.ndarray, others_NHWC: np.ndarray) -> np.ndarray:
    """PSNR [N] of pairs of uint8 images, 10 log10(255^2 / mean squared error), to LARGEST_DB."""
    difference = images_NHWC.astype(np.float32) - others_NHWC.astype(np.float32)
    error_N = np.square(difference).mean((1, 2, 3))
    least = 255**2 / 10 ** (LARGEST_DB / 10)
    return np.asarray(10 * np.log10(255**2 / np.maximum(error_N, least)))
