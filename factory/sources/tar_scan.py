"""Finds the images of a tar by reading it once from end to end, in a folder or a bucket.

For tars without a table of metadata. Nothing is unpacked, so no member can land outside its folder.
An image belongs to the class number in the .cls of its name, or else to `label` or `cls` of the
.json of its name.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from factory.errors import SourceError
from factory.sources.entries import IMAGE_SUFFIXES, is_mask, sample_of
from factory.sources.left_out import (
    DANGLING_LINK,
    MISSING_IMAGE,
    NO_LABEL,
    OTHER_FILE,
    SPARSE,
    SYSTEM_FILE,
    UNKNOWN_FORMAT,
    LeftOut,
    Tally,
)
from factory.sources.listing import is_other_file, is_system_part

CHUNK = 1 << 16
MAX_LABEL = 12
"""Digits of a class number, because names of classes are sorted as text."""
MAX_JSON = 1 << 20
"""Bytes of a .json that is looked into for a class number."""


@dataclass(frozen=True)
class ScannedImage:
    """An image in a tar, its name without suffix, its class, the sha256 of its bytes."""

    stem: str
    identity: int
    offset: int
    size: int
    sha256: bytes


@dataclass(frozen=True)
class Scan:
    """What a tar holds."""

    images: list[ScannedImage]
    """In the order of the tar."""
    sha256: str
    """Of the whole file."""
    left_out: tuple[LeftOut, ...]


def is_system_file(name: str) -> bool:
    """Whether a system leaves a file of this name, such as macOS's ._x.jpg beside x.jpg."""
    return any(map(is_system_part, PurePosixPath(name).parts))


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


class _Samples:
    """What the members of a tar that were read so far say of its images."""

    def __init__(self, tar_name: str) -> None:
        self._tar_name = tar_name
        self.images: dict[str, tuple[int, int, bytes]] = {}
        self.labels: dict[str, int] = {}
        self.labels_of_json: dict[str, int] = {}
        self.tally = Tally()
        self._sparse: set[str] = set()
        self._others: dict[str, list[str]] = {}

    def add(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """Take a member; raises SourceError for a second one of its name, or a .cls without one."""
        name = member.name.removeprefix("./")
        stem, suffix = sample_of(name), "." + name.lower().rpartition(".")[2]
        if is_system_file(name):
            self.tally.add(SYSTEM_FILE, name)
        elif content is None:
            if member.issym() or member.islnk():
                self.tally.add(DANGLING_LINK, name)
        elif member.issparse():  # whose bytes do not lie in one piece
            self.tally.add(SPARSE, name)
            self._sparse.add(stem)
        elif suffix == ".cls":
            self._refuse_second(stem in self.labels, member)
            self.labels[stem] = self._label(content, member)
        elif suffix in IMAGE_SUFFIXES and not is_mask(name):
            self._refuse_second(stem in self.images, member)
            self.images[stem] = (member.offset_data, member.size, _digest(content))
        else:
            self._others.setdefault(stem, []).append(name)
            label = _label_of_json(content) if suffix == ".json" else None
            if label is not None:
                self.labels_of_json[stem] = label

    def found(self) -> list[ScannedImage]:
        """The images that have a class; what else there is goes into `tally`."""
        labels = self.labels_of_json | self.labels
        for stem in self.images:
            if stem not in labels:
                self.tally.add(NO_LABEL, stem)
        for stem in sorted(labels.keys() - self.images.keys()):
            if stem in self._sparse:
                continue
            known = not all(map(is_other_file, self._others.get(stem, [])))
            self.tally.add(UNKNOWN_FORMAT if known else MISSING_IMAGE, stem)
        for stem in sorted(self._others.keys() - self.images.keys() - labels.keys()):
            for name in self._others[stem]:
                self.tally.add(OTHER_FILE if is_other_file(name) else UNKNOWN_FORMAT, name)
        return [
            ScannedImage(stem, labels[stem], *place)
            for stem, place in self.images.items()
            if stem in labels
        ]

    def _refuse_second(self, is_second: bool, member: tarfile.TarInfo) -> None:
        if is_second:
            raise SourceError(
                f"source.path: {_place(member)} in {self._tar_name} comes a second time, or is a "
                "second image of that name; remove or rename it"
            )

    def _label(self, content: IO[bytes], member: tarfile.TarInfo) -> int:
        label = _number(content.read(64).decode("latin-1"))
        if label is None:
            raise SourceError(
                f"source.path: {_place(member)} in {self._tar_name} is not a class number; want "
                f"digits, at most {MAX_LABEL}: number the classes, or use kind folder, whose names "
                "are text"
            )
        return label


def scan(blocks: Iterator[bytes], name: str) -> Scan:
    """The images of a plain tar that have a class, and what else is in it.

    `name` is for messages. Raises SourceError for damage, for a .cls that holds no class number,
    and for two images, or two .cls, of one name.
    """
    chunks, samples = _Chunks(blocks), _Samples(name)
    try:
        with tarfile.open(fileobj=chunks, mode="r|", bufsize=CHUNK) as tar:  # type: ignore[call-overload]
            for member in tar:
                samples.add(member, tar.extractfile(member) if member.isreg() else None)
            end = tar.offset - chunks.start
    except tarfile.TarError as error:
        raise SourceError(f"source.path: {name} is not a readable plain tar ({error})") from None
    # because tarfile takes damage after a member for the end
    if chunks.last[end : end + tarfile.BLOCKSIZE] != bytes(tarfile.BLOCKSIZE):
        raise SourceError(f"source.path: {name} is cut off or damaged at byte {chunks.start + end}")
    rest, goes_on = chunks.last[end:], False
    while rest:
        goes_on |= any(rest)
        rest = chunks.read(CHUNK)
    if goes_on:
        raise SourceError(
            f"source.path: {name} goes on after its end, as tars that were joined do; join them "
            "with `tar --concatenate`, or keep them apart"
        )
    images = samples.found()
    return Scan(images, chunks.sha256.hexdigest(), samples.tally.all())


def _place(member: tarfile.TarInfo) -> str:
    """A member without its name, which may hold that of a person: errors go into logs."""
    suffix = PurePosixPath(member.name).suffix
    return f"the {suffix} at byte {member.offset_data}"


def _digest(content: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while block := content.read(1 << 20):
        digest.update(block)
    return digest.digest()


def _number(text: str) -> int | None:
    """The class number that a text is."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_LABEL else None


def _label_of_json(content: IO[bytes]) -> int | None:
    """The class number under `label` or `cls` of a .json; None where there is none."""
    try:
        body = json.loads(content.read(MAX_JSON))
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    numbers = (_number(str(body[name])) for name in ("label", "cls") if name in body)
    return next((number for number in numbers if number is not None), None)
