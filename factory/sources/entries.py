"""Where encoded images lie: a file, or a byte range of a tar that is never unpacked.

No member can land outside its folder, and random access by `pread` works from many processes.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.errors import SourceError
from factory.sources.base import CorruptImageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class UnreadImageError(CorruptImageError):
    """The system did not give the bytes of one image; it may later."""


@dataclass(frozen=True)
class Entry:
    """Where one encoded image lies: a file, or a byte range of a tar."""

    path: Path
    offset: int
    size: int
    name: str
    key: str


def tar_members(path: Path, suffixes: tuple[str, ...]) -> Iterator[tarfile.TarInfo]:
    """Files of a tar whose names end in one of the suffixes; raises SourceError for damage."""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isreg() and member.name.lower().endswith(suffixes):
                    yield member
            end = tar.offset
        with path.open("rb") as handle:  # because tarfile takes damage after a member for the end
            handle.seek(end)
            if handle.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise SourceError(f"source.path: {path} is cut off or damaged at byte {end}")
    except tarfile.TarError as error:
        raise SourceError(f"source.path: {path} is not a readable plain tar ({error})") from None


def read_entry(entry: Entry) -> bytes:
    """The encoded bytes of an entry; raises UnreadImageError."""
    try:
        handle = os.open(entry.path, os.O_RDONLY)
        try:
            return os.pread(handle, entry.size, entry.offset)
        finally:
            os.close(handle)
    except OSError as error:
        raise UnreadImageError(f"{entry.key}: cannot be read ({error.strerror})") from None


def stem_of(name: str) -> str:
    """A member's name without its suffix."""
    return name.rsplit(".", 1)[0]
