"""Finds the images of a tar by reading it once from end to end, in a folder or a bucket.

For tars without a table of metadata. Nothing is unpacked, so no member can land outside its folder.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from factory.errors import SourceError
from factory.sources.entries import IMAGE_SUFFIXES, stem_of

CHUNK = 1 << 16
MAX_LABEL = 12
"""Digits of a class number, because names of classes are sorted as text."""


@dataclass(frozen=True)
class ScannedImage:
    """An image in a tar, its name without suffix, its class, the sha256 of its bytes."""

    stem: str
    identity: int
    offset: int
    size: int
    sha256: bytes


class _Chunks:
    """Blocks of a file as a file object that only goes forward, digested on the way."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""
        self.sha256 = hashlib.sha256()
        self.start, self.last = 0, b""

    def read(self, size: int) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0 and (block := next(self._blocks, b"")):
            parts.append(block)
            missing -= len(block)
        data = b"".join(parts)
        data, self._rest = data[:size], data[size:]
        self.start, self.last = self.start + len(self.last), data
        self.sha256.update(data)
        return data


def scan(blocks: Iterator[bytes], name: str) -> tuple[list[ScannedImage], str]:
    """The images of a plain tar in its order, and the sha256 of the whole file.

    `name` is for messages. Raises SourceError for damage, for an image without a class number, and
    for two images, or two class numbers, of one name.
    """
    chunks = _Chunks(blocks)
    images: dict[str, tuple[str, int, int, bytes]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(fileobj=chunks, mode="r|", bufsize=CHUNK) as tar:  # type: ignore[call-overload]
            for member in tar:
                suffix = "." + member.name.lower().rpartition(".")[2]
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    continue
                stem = stem_of(member.name)
                kept = labels if suffix == ".cls" else images
                if stem in kept and (suffix == ".cls" or suffix in IMAGE_SUFFIXES):
                    raise SourceError(
                        f"source.path: {member.name} in {name} comes a second time, or is a second "
                        "image of that name; remove or rename it"
                    )
                if suffix == ".cls":
                    labels[stem] = _label(content, member, name)
                elif suffix in IMAGE_SUFFIXES:
                    digest = _digest(content)
                    images[stem] = (member.name, member.offset_data, member.size, digest)
            end = tar.offset - chunks.start
    except tarfile.TarError as error:
        raise SourceError(f"source.path: {name} is not a readable plain tar ({error})") from None
    # because tarfile takes damage after a member for the end
    if chunks.last[end : end + tarfile.BLOCKSIZE] != bytes(tarfile.BLOCKSIZE):
        raise SourceError(f"source.path: {name} is cut off or damaged at byte {chunks.start + end}")
    while chunks.read(CHUNK):
        pass
    for stem, (member_name, *_) in images.items():
        if stem not in labels:
            raise SourceError(f"source.path: {member_name} in {name} has no .cls")
    found = [
        ScannedImage(stem, labels[stem], offset, size, digest)
        for stem, (_, offset, size, digest) in images.items()
    ]
    return found, chunks.sha256.hexdigest()


def _digest(content: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while block := content.read(1 << 20):
        digest.update(block)
    return digest.digest()


def _label(content: IO[bytes], member: tarfile.TarInfo, name: str) -> int:
    text = content.read(64).strip()
    if not text.isdigit() or len(text) > MAX_LABEL:
        raise SourceError(f"source.path: {member.name} in {name} is not a class number")
    return int(text)
