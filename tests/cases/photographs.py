"""Photographs for the cases: rendered faces of the starter pack, pasted where a case wants them."""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from factory.sources.alignment import TEMPLATE_52
from factory.sources.readers import STARTER_PACK

SIDE, LEFT, TOP = 160, 24, 30
"""Side of the images of `off_center`, and where the face of 112 pixels begins."""


@cache
def starter_face(person: int, image: int = 0) -> Image.Image:
    """An aligned face of somebody who does not exist, 112 pixels, RGB."""
    with tarfile.open(STARTER_PACK) as tar:
        member = tar.extractfile(f"{person:05}/{image:02}.jpg")
        assert member is not None
        return Image.open(io.BytesIO(member.read())).convert("RGB")


def paste(size: tuple[int, int], *faces: tuple[Image.Image, int, tuple[int, int]]) -> Image.Image:
    """A plain image (width, height) with (face, its side in pixels, its corner) in it."""
    image = Image.new("RGB", size, (90, 140, 150))
    for face, px, place in faces:
        image.paste(face.resize((px, px), Image.Resampling.LANCZOS), place)
    return image


def off_center(folder: Path, people: int, images: int) -> Path:
    """Images of SIDE pixels with the face away from the middle, one folder a person."""
    for person in range(people):
        (folder / f"p{person}").mkdir(parents=True)
        for number in range(images):
            image = paste((SIDE, SIDE), (starter_face(person, number), 112, (LEFT, TOP)))
            image.save(folder / f"p{person}/{number}.jpg", quality=95)
    return folder


def write_points(file: Path, folder: Path, shift: float = 0.0) -> Path:
    """The table of the points in `off_center` images, all as many pixels off."""
    corner = np.array([LEFT, TOP]) + shift
    points = ",".join(f"{v:.2f}" for v in (TEMPLATE_52 + corner).ravel())
    header = ",".join(["file", *(f"{axis}{point}" for point in range(1, 6) for axis in "xy")])
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    file.write_text(f"{header}\n" + "".join(f"{name},{points}\n" for name in names))
    return file


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two vectors of unit length."""
    return float(one @ other)
