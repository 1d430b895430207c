"""Picks the reader of a source; reads an image folder, the same inside a tar, the starter pack.

These are lists of entries (where the bytes lie, label, key), see entries.py; releases and other
WebDataset tars are read by release_source.py, RecordIO by recordio.py.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from factory.config import SourceConfig
from factory.config.addresses import in_bucket
from factory.errors import SourceError
from factory.sources.alignment import YuNet, align, read_landmarks, scaled
from factory.sources.base import (
    CorruptImageError,
    FaceSet,
    FaceSource,
    SourceFace,
    decode_image,
    read_faces,
    subset,
)
from factory.sources.entries import IMAGE_SUFFIXES, Entry, read_entry, stem_of, tar_members
from factory.sources.left_out import LeftOut
from factory.sources.recordio import RecordSource
from factory.sources.release_source import ReleaseSource

STARTER_PACK = Path(__file__).parent.parent / "starter" / "pack.tar"


class FaceDecoder:
    """Decodes the images of a source and aligns those of another size than its faces."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._landmarks = read_landmarks(config.landmarks) if config.landmarks else {}
        self._detector = YuNet(config.detector) if config.detector else None
        self._one_at_a_time = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_one_at_a_time"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_one_at_a_time": Lock()}

    def face(
        self, data: bytes | memoryview, key: str, names: Sequence[str], label: int
    ) -> SourceFace:
        """The face of an encoded image; `names` are those it may have in the table of points.

        Raises CorruptImageError, and SourceError for another size that nothing aligns.
        """
        image = decode_image(data, key, self._config.max_pixels)
        landmarks = None
        if self._landmarks:
            landmarks = next((self._landmarks[n] for n in names if n in self._landmarks), None)
        if image.shape[:2] != (self._config.image_px,) * 2:
            image = self._align(image, landmarks, key)
            landmarks = None
        return SourceFace(image, label, key, landmarks)

    def _align(self, image: np.ndarray, landmarks: np.ndarray | None, key: str) -> np.ndarray:
        px, (height, width) = self._config.image_px, image.shape[:2]
        if landmarks is None and self._config.resize and height == width:
            return scaled(image, px)
        if landmarks is None and self._detector is None:
            raise SourceError(
                f"source.image_px: {key} is {width}x{height}, not {px}x{px}, and has no landmarks; "
                "set source.landmarks or source.detector to align it, or source.resize=true for "
                "aligned faces of another size"
            )
        if landmarks is None and self._detector is not None:
            with self._one_at_a_time:  # because OpenCV's detector keeps the size of its input
                landmarks = self._detector.landmarks(image)
        if landmarks is None:
            raise CorruptImageError(f"{key}: no face found")
        if not np.isfinite(landmarks).all() or np.ptp(landmarks, axis=0).max() == 0:
            raise CorruptImageError(f"{key}: its landmarks are not five points")
        return align(image, landmarks, px, self._config.zoom)


class IndexedSource:
    """A FaceSource over a list of entries: image files, or the members of one tar."""

    remarks: tuple[str, ...] = ()
    corrupt: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def __init__(self, entries: list[Entry], identities: list[str], config: SourceConfig) -> None:
        location = config.path or "starter pack"
        if not entries:
            raise SourceError(
                f"source.path: no images in {location}; want .jpg, .png or .webp, one folder an "
                "identity"
            )
        doubled = [key for key, count in Counter(e.key for e in entries).items() if count > 1]
        if doubled:
            raise SourceError(
                f"source.path: {len(doubled)} keys stand for two images in {location}, first "
                f"{doubled[0]!r}; rename one of them"
            )
        self.names = sorted(set(identities))
        index = {name: i for i, name in enumerate(self.names)}
        self.labels = np.array([index[name] for name in identities], dtype=np.int64)
        self._entries = entries
        self._decoder = FaceDecoder(config)
        listing = "\n".join(
            f"{e.key} {e.size} {n}" for e, n in zip(entries, identities, strict=True)
        )
        self.fingerprint = hashlib.sha256(listing.encode()).hexdigest()

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> SourceFace:
        entry, label = self._entries[index], int(self.labels[index])
        return self._decoder.face(read_entry(entry), entry.key, [entry.name], label)

    def encoded(self, index: int) -> bytes:
        return read_entry(self._entries[index])


def open_source(config: SourceConfig) -> FaceSource:
    """The source that a config names, or its first source.num_identities.

    Raises SourceError when it is missing or holds no image.
    """
    source = _complete(config)
    if config.num_identities is None:
        return source
    return subset(source, 0, min(config.num_identities, len(source.names)))


def _complete(config: SourceConfig) -> FaceSource:
    if config.kind == "starter":
        return _from_tar(STARTER_PACK, config)
    if in_bucket(config.path or "") and config.kind == "webdataset":
        return ReleaseSource(config, FaceDecoder(config))
    path = Path(config.path or "")
    if not path.exists():
        raise SourceError(f"source.path: no such file or folder {str(path)!r}; check the path")
    if config.kind == "recordio":
        return RecordSource(config)
    if config.kind == "webdataset":
        return ReleaseSource(config, FaceDecoder(config))
    return _from_tar(path, config) if path.is_file() else _from_folder(path, config)


def training_faces(config: SourceConfig) -> tuple[FaceSet, FaceSet]:
    """(training, held-out) faces of a config, in memory; the second may be empty."""
    faces = read_faces(open_source(config), config.max_corrupt_fraction)
    if config.heldout is None:
        return faces.split(config.num_heldout(len(faces.names)))
    return faces, read_faces(open_source(config.other), config.max_corrupt_fraction)


def _from_folder(root: Path, config: SourceConfig) -> IndexedSource:
    entries, identities = [], []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        files = [file for file in files if file.is_file()]
        if not files:
            raise SourceError(
                f"source.path: identity folder {str(folder)!r} has no image; add some or remove it"
            )
        for file in files:
            name = f"{folder.name}/{file.name}"
            entries.append(Entry(file, 0, file.stat().st_size, name, stem_of(name)))
            identities.append(folder.name)
    return IndexedSource(entries, identities, config)


def _from_tar(path: Path, config: SourceConfig) -> IndexedSource:
    members = sorted(tar_members(path, IMAGE_SUFFIXES), key=lambda member: member.name)
    entries = [Entry(path, m.offset_data, m.size, m.name, stem_of(m.name)) for m in members]
    identities = [Path(m.name).parent.as_posix() for m in members]
    return IndexedSource(entries, identities, config)
