"""The faces of a training: in memory where they are few, else in files that all ranks map.

A process then holds a few bytes a face, whatever the size of an image. What is computed of the
faces (latents, embeddings, points) is kept beside them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.config import Config, SourceConfig
from factory.config.addresses import in_bucket
from factory.sources import FaceSet, FaceSource, open_source, read_faces
from factory.sources.base import (
    check_all_readable,
    check_few_corrupt,
    description,
    first_heldout,
    iterate_faces,
    remarks_of,
    subset_fingerprint,
)
from factory.sources.texts import Taken
from factory.training.distributed import first_rank_gives, rank
from factory.training.face_files import (
    Keys,
    PixelIndex,
    PixelMaker,
    format_of,
    pixels_name,
)
from factory.training.local_space import check_space
from factory.training.row_files import KEY, Place, RowFiles, RowTask, named_by
from factory.training.rows import Rows, in_memory, rows_a_shard

FOLDER = "faces"
"""Below training.out, where no training.cache is given."""


class MappedFaces:
    """Faces of a source whose pixels are read on demand, from files that are mapped."""

    def __init__(
        self,
        place: Place,
        index: PixelIndex,
        pixels: Rows,
        labels_in: tuple[int, int] | None = None,
    ) -> None:
        """Those with labels from the first of `labels_in` up to its second; None: all.

        `pixels` are those of all faces of the index.
        """
        self.place, self._index, self._pixels = place, index, pixels
        self.corrupt, self.remarks, num_names = index.corrupt, index.remarks, len(index.names)
        first, stop = labels_in or (0, num_names)
        self.names, self.images_NHWC, self.labels = index.names[:stop], pixels, index.labels
        self.fingerprint = subset_fingerprint(index.fingerprint, first, stop, num_names)
        self._rows: np.ndarray | None = None
        if (first, stop) != (0, num_names):
            chosen = (index.labels >= first) & (index.labels < stop)
            self._rows = np.flatnonzero(chosen).astype(np.int32)
            self.images_NHWC, self.labels = pixels.subset(self._rows), index.labels[self._rows]

    @property
    def keys(self) -> Sequence[str]:
        keys = Keys(self._index)
        return keys if self._rows is None else Taken(keys, self._rows)

    def __len__(self) -> int:
        return len(self.labels)

    def pixels_sha256(self) -> str:
        """Digest of all pixels of the source, computed when they were made."""
        return self._index.pixels_sha256

    def split(self, num_holdout: int) -> tuple[MappedFaces, MappedFaces]:
        """(training, held-out) faces by identity; the last `num_holdout` names are held out."""
        first, num_names = first_heldout(num_holdout, len(self.names)), len(self.names)
        parts = ((0, first), (first, num_names))
        training, heldout = (
            MappedFaces(self.place, self._index, self._pixels, part) for part in parts
        )
        return training, heldout


Faces = FaceSet | MappedFaces
"""Names, labels and keys of faces, and their pixels, uint8 [B, H, W, 3], by images_NHWC[rows]."""


def open_faces(config: Config) -> tuple[Faces, Faces]:
    """(training, held-out) faces of a config; the second may be empty.

    Those of a source of at most training.faces_in_memory_bytes are in memory, unless training.cache
    is given. Others are mapped, and what is missing is made first, by all ranks that come here.
    Raises SourceError, and StoreError where the pixels do not fit on the disk.
    """
    source = config.source
    faces = _opened(config, source)
    if source.heldout is None:
        return faces.split(source.num_heldout(len(faces.names)))
    return faces, _opened(config, source.other)


def pixel_task(config: Config, source: SourceConfig) -> RowTask | None:
    """The files of a source's pixels; None for faces that are kept in memory."""
    opened = open_source(source)
    place = place_of(config, len(opened))
    if place is None:
        return None
    name, shard_rows = pixels_name(source, opened.fingerprint), rows_a_shard(source.image_px)
    files = RowFiles(place, name, len(opened), shard_rows)
    return RowTask(files, _maker(source, opened).make)


def place_of(config: Config, num_images: int) -> Place | None:
    """Where the files of a source of so many images are; None: it is kept in memory."""
    training = config.training
    if training.cache is not None:
        return Place.at(training.cache, config.store)
    if num_images * 3 * config.source.image_px**2 <= training.faces_in_memory_bytes:
        return None
    out = training.out
    below = f"{out.rstrip('/')}/{FOLDER}" if in_bucket(out) else str(Path(out) / FOLDER)
    return Place.at(below, config.store)


@dataclass(frozen=True)
class FaceRows:
    """Rows that are computed of faces: where the faces are in files, in files beside them."""

    faces: Faces
    make: Callable[[slice], np.ndarray]
    """The rows of the faces in a slice."""
    name: str
    """What they are."""
    made_by: Sequence[str]
    """Whatever decides them besides the faces."""

    def rows(self) -> Rows:
        """All rows; what is missing is made first, by all ranks that come here."""
        task = self.task()
        if task is None:
            size = rows_a_shard(self.faces.images_NHWC.shape[1])
            starts = range(0, len(self.faces), size)
            return in_memory([self.make(slice(start, start + size)) for start in starts])
        task.make_missing()
        return task.files.rows()

    def task(self) -> RowTask | None:
        """The files, and how each is made; None for faces in memory."""
        faces = self.faces
        if isinstance(faces, FaceSet):
            return None
        size = faces.images_NHWC.shard_rows
        facts = [format_of(size), faces.fingerprint, faces.pixels_sha256(), *self.made_by]
        files = RowFiles(faces.place, f"{self.name}-{named_by(*facts)}", len(faces), size)
        return RowTask(files, lambda number: (self.make(files.rows_of(number)), {}))


def describe(faces: Faces, heldout: Faces) -> str:
    """What a training will use, and every image it leaves out, a line each."""
    return description(faces.remarks, faces.labels, len(heldout), faces.corrupt)


def describe_faces(config: Config) -> str:
    """What a training would use, found by reading every face once and keeping none."""
    source, corrupt = config.source, list[str]()
    opened = open_source(source)
    labels = _labels_of(opened, source.max_corrupt_fraction, corrupt)
    if source.heldout is None:
        num_names = len(opened.names)
        is_heldout = labels >= first_heldout(source.num_heldout(num_names), num_names)
        labels, num_heldout = labels[~is_heldout], int(is_heldout.sum())
    else:
        other = source.other
        num_heldout = len(_labels_of(open_source(other), other.max_corrupt_fraction, []))
    return description(remarks_of(opened), labels, num_heldout, corrupt)


def _opened(config: Config, source: SourceConfig) -> Faces:
    """All faces of a source, which rank 0 opens, and the others where they have to make some."""
    opened = open_source(source) if rank() == 0 else None
    name, num_images = first_rank_gives(
        opened and (pixels_name(source, opened.fingerprint), len(opened))
    )
    place = place_of(config, num_images)
    if place is None:
        return read_faces(opened or open_source(source), source.max_corrupt_fraction)
    files = RowFiles(place, name, num_images, rows_a_shard(source.image_px))
    index, missing = PixelIndex.open(files), files.missing()
    if index is None or missing:
        check_space(place.local, len(missing) * files.shard_rows * 3 * source.image_px**2, KEY)
        maker = _maker(source, opened or open_source(source))
        RowTask(files, maker.make).make_missing()
        maker.put_index(files)
        index = PixelIndex.open(files)
        assert index is not None, "it was written just now"
    which = f"image {index.first_left_out + 1} of the source"
    allowed = source.max_corrupt_fraction
    check_few_corrupt(len(index.corrupt), num_images, allowed, which)  # whoever made it
    pixels = files.rows()
    if len(index.readable) < num_images:
        pixels = pixels.subset(index.readable)
    return MappedFaces(place, index, pixels)


def _maker(source: SourceConfig, opened: FaceSource) -> PixelMaker:
    return PixelMaker(opened, source.image_px, source.max_corrupt_fraction)


def _labels_of(source: FaceSource, max_corrupt_fraction: float, corrupt: list[str]) -> np.ndarray:
    """Labels of the readable faces; raises SourceError as read_faces does."""
    faces = iterate_faces(source, max_corrupt_fraction, corrupt)
    labels = np.fromiter((face.label for face in faces), np.int64)
    check_all_readable(source, labels)
    return labels
