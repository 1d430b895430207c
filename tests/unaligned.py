"""Faces off the middle of larger images, and tables of their points: what must be aligned."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from factory.config.field import STARTER
from factory.sources.alignment import TEMPLATE_52
from tests.conftest import PX, draw_face

PEOPLE, IMAGES = 4, 3
OFFSET = 9
"""Where the face begins in an image of SIDE pixels, across and down."""
SIDE = 48


def draw_unaligned(root: Path) -> Path:
    """PEOPLE x IMAGES images of SIDE pixels with a face of PX at OFFSET, a folder a person."""
    for person in range(PEOPLE):
        folder = root / f"person_{person}"
        folder.mkdir(parents=True)
        for image in range(IMAGES):
            canvas = np.full((SIDE, SIDE, 3), 200, np.uint8)
            canvas[OFFSET : OFFSET + PX, OFFSET : OFFSET + PX] = draw_face(person, image)
            Image.fromarray(canvas).save(folder / f"{image}.png")
    return root


def write_table(path: Path, shift: float = 0.0) -> Path:
    """Points of every image, `shift` pixels off. The file keeps its date where it was there.

    Tables of all shifts below 10 have equal sizes.
    """
    before = path.stat() if path.exists() else None
    points = TEMPLATE_52 * (PX / 112) + OFFSET + shift
    row = ",".join(f"{value:07.3f}" for value in points.ravel())
    names = [f"person_{p}/{i}.png" for p in range(PEOPLE) for i in range(IMAGES)]
    header = ",".join(f"x{point},y{point}" for point in range(1, 6))
    path.write_text(f"file,{header}\n" + "".join(f"{name},{row}\n" for name in names))
    if before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


class ShiftDetector:
    """In the place of YuNet: finds the face of every image as far off as its file says.

    The detector of the package is not off at all.
    """

    def __init__(self, path: str, *_: object, **__: object) -> None:
        self._shift = 0.0 if path == STARTER else float(Path(path).read_text())

    def landmarks(self, image_HWC: np.ndarray) -> np.ndarray:
        return np.asarray(TEMPLATE_52 * (PX / 112) + OFFSET + self._shift)

    def faces(self, image_HWC: np.ndarray) -> np.ndarray:
        points = self.landmarks(image_HWC).ravel()
        return np.concatenate([[OFFSET, OFFSET, PX, PX], points, [1.0]])[None]
