"""The first people of a source as one tar with a folder a person: the images of the package."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from factory.errors import SourceError
from factory.sources.base import FaceSource
from factory.store.atomic import write_atomically

MAX_BYTES = 12_000_000
"""Largest tar, because it ships with the package."""
QUALITY = 90
"""Of the JPEGs: a release's own, of 95 and full color resolution, take twice the room."""


def pack_people(source: FaceSource, path: Path, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """Write NNNNN/JJ.jpg of as many whole people as fit; returns (people, images).

    People are the first ones in the source's order, numbered from 0, with all their images, which
    keep their XMP mark. The same source gives the same tar. Raises SourceError where not even one
    person fits.
    """
    members: list[tuple[str, bytes]] = []
    people, size = 0, 2 * tarfile.BLOCKSIZE  # the end of a tar
    for label in range(len(source.names)):
        rows = np.flatnonzero(source.labels == label)
        own = [
            (f"{label:05d}/{number:02d}.jpg", _jpeg(source, int(row)))
            for number, row in enumerate(rows)
        ]
        size += sum(_blocks(len(data)) for _, data in own)
        if _records(size) > max_bytes:
            break
        members += own
        people += 1
    if not people:
        raise SourceError(
            f"source.path: the images of its first person exceed {max_bytes} bytes; want faces "
            "that are aligned already"
        )
    write_atomically(path, _tar(members))
    return people, len(members)


def _jpeg(source: FaceSource, row: int) -> bytes:
    """An image as the pack holds it: the pixels of the source at QUALITY, with its mark."""
    mark = Image.open(io.BytesIO(source.encoded(row))).info.get("xmp", b"")
    buffer = io.BytesIO()
    image = Image.fromarray(source[row].image_HWC)
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True, xmp=mark)
    return buffer.getvalue()


def _blocks(length: int) -> int:
    """Bytes of a tar that a member of this length takes: its header and whole blocks."""
    return tarfile.BLOCKSIZE * (1 + -(-length // tarfile.BLOCKSIZE))


def _records(length: int) -> int:
    """Bytes of a tar, which is written in whole records."""
    return tarfile.RECORDSIZE * -(-length // tarfile.RECORDSIZE)


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    """A tar of members that have neither times nor owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
