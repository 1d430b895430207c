"""Masks of a rendered image, beside it in its tar: which pixels show what (rendering.masks)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from factory.config.rendering import LABELS
from factory.rendering.parts import Label

WHITE = 255


def mask_suffix(name: str) -> str:
    """Suffix of a mask's file after the key: .labels.png, .mask_skin.png and so on."""
    return f".{LABELS}.png" if name == LABELS else f".mask_{name}.png"


def mask_files(labels_HW: np.ndarray, names: Sequence[str]) -> dict[str, bytes]:
    """PNGs by their suffix: 255 where a pixel shows what is asked for, else 0; labels as they are.

    `labels_HW` are uint8 values of Label; `names` are those of config.rendering.MASKS.
    """
    return {mask_suffix(name): _png(_mask(labels_HW, name)) for name in names}


def _mask(labels_HW: np.ndarray, name: str) -> np.ndarray:
    if name == LABELS:
        return labels_HW.astype(np.uint8)
    return np.where(labels_HW == Label[name.upper()], WHITE, 0).astype(np.uint8)


def _png(gray_HW: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(gray_HW).save(buffer, "PNG")
    return buffer.getvalue()
