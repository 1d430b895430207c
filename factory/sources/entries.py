"""Where encoded images lie: a file, or a byte range of a tar that is never unpacked.

No member can land outside its folder, and random access by `pread` works from many processes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from factory.sources.base import CorruptImageError
from factory.sources.decoding import SUFFIXES

IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
"""Those of files that may be images; what they are is told by their content."""
MASK = re.compile(r"\.(labels|mask_[a-z]+)\.png$")
"""What the names of a rendered image's masks end in, after the image's key (shards/masks.py)."""


class UnreadImageError(CorruptImageError):
    """The system did not give the bytes of one image; it may later."""


@dataclass(frozen=True)
class Entry:
    """Where one encoded image lies: a file, or a byte range of a tar."""

    path: Path
    offset: int
    size: int
    name: str
    """PERSON/FILE, as text that can be written anywhere."""
    key: str


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


def sample_of(name: str) -> str:
    """The same of a member of a shard; that of its image, of a mask."""
    found = MASK.search(name)
    return name[: found.start()] if found else stem_of(name)


def is_mask(name: str) -> bool:
    """Whether a member of a tar is a mask of a rendered image, and no image of a face."""
    return MASK.search(name) is not None
