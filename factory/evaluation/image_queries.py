"""Images that may be from a release, and the perceptual hashes that they are searched by.

What was cut off at the edges moves all of an image, so a query is hashed several times: with its
border repeated outwards by each of MARGINS, and mirrored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.errors import ConfigError
from factory.evaluation.duplicates import packed
from factory.evaluation.embeddings import MAX_PIXELS
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.shards.marks import Mark, read_mark
from factory.sources.base import CorruptImageError
from factory.sources.decoding import decode_image
from factory.sources.entries import IMAGE_SUFFIXES
from factory.sources.listing import FORMATS

MARGINS = (0.0, 0.015, 0.03, 0.045, 0.06)
"""Fractions of a side that may have been cut off at each edge."""
HASHES = 2 * len(MARGINS)
"""Hashes of a query."""
MAX_FILE_BYTES = 1 << 28


@dataclass(frozen=True)
class Query:
    """An image that may be from a release."""

    name: str
    sha256: str
    mark: Mark | None
    hashes_V32: np.ndarray
    """Packed hashes [HASHES, 32]; [0, 32] where the file is no image."""


def read_queries(paths: Iterable[Path]) -> Iterator[Query]:
    """The images at paths; those of folders in order of their names.

    Raises ConfigError for a path where nothing is.
    """
    for path in paths:
        found = (f for f in path.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        files = sorted(f for f in found if f.is_file())
        if not path.is_dir() and not path.is_file():
            raise ConfigError(f"IMAGE: {path} is no file and no folder; want images")
        if path.is_dir() and not files:
            raise ConfigError(f"IMAGE: {path} holds no images; want {FORMATS}")
        yield from map(read_query, files if path.is_dir() else [path])


def read_query(file: Path) -> Query:
    """One image; a file that is none has no hashes."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"IMAGE: {file} has more than {MAX_FILE_BYTES} bytes; want an image")
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"IMAGE: {file} cannot be read ({error.strerror})") from None
    digest, mark = hashlib.sha256(data).hexdigest(), read_mark(data)
    try:
        return Query(str(file), digest, mark, hashes_of(decode_image(data, file.name, MAX_PIXELS)))
    except CorruptImageError:
        return Query(str(file), digest, mark, np.zeros((0, 32), np.uint8))


def printable(line: str) -> str:
    """A line without what would begin another one or steer a terminal: marks hold anything."""
    return "".join(one if one.isprintable() else " " for one in line)


def hashes_of(image_HWC: np.ndarray) -> np.ndarray:
    """Packed hashes [HASHES, 32] of an image that may have been cut and mirrored."""
    padded = [_padded(image_HWC, margin) for margin in MARGINS]
    spaces = (PerceptualHash(), PerceptualHash(mirrored=True))
    return packed(np.concatenate([s.embed(image[None]) for s in spaces for image in padded]))


def _padded(image_HWC: np.ndarray, margin: float) -> np.ndarray:
    """An image whose border is repeated, so that `margin` of a side is at each edge."""
    import cv2

    y, x = (round(side * margin / (1 - 2 * margin)) for side in image_HWC.shape[:2])
    image = np.ascontiguousarray(image_HWC)
    return np.asarray(cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_REPLICATE))
