"""The interface of a source of faces, and reading one into memory with corrupt images counted."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from factory.errors import SourceError
from factory.sources.left_out import LeftOut
from factory.sources.texts import Taken

HASHED_AT_ONCE = 4096
"""Images in memory that are made contiguous together, to be hashed."""

THREADS = 16
"""Images of a remote source that are fetched at once by one process."""


class CorruptImageError(SourceError):
    """One image cannot be used; the message begins with its key; `placed` for logs."""


class UnalignedError(SourceError):
    """An image has another size, and nothing aligns it; the message calls it `an image`."""

    def at(self, source: FaceSource, index: int) -> SourceError:
        """The same with the place of the image."""
        place = placed(source, index, "").removesuffix(": ")
        return SourceError(str(self).replace("an image", place, 1))


@dataclass(frozen=True)
class SourceFace:
    """One aligned face: RGB uint8 HWC, its identity, its key, its five points where known."""

    image_HWC: np.ndarray
    label: int
    key: str
    landmarks_52: np.ndarray | None = None


class FaceSource(Protocol):
    """Random access to labeled faces: `labels[i]` indexes `names`, keys are unique."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def keys(self) -> Sequence[str]: ...

    @property
    def fingerprint(self) -> str:
        """Digest of what the source holds."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What a person should know about the source, a line each."""
        ...

    @property
    def corrupt(self) -> Sequence[str]:
        """Images that were left out as unreadable, a line each; empty for one read on demand."""
        ...

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """What lies in the source and is never read, by reason; `remarks` do not repeat it."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SourceFace:
        """Decode and align one face; raises CorruptImageError."""
        ...

    def encoded(self, index: int) -> bytes | memoryview:
        """The bytes of one image, before anything is done to it; raises CorruptImageError."""
        ...


@dataclass(frozen=True)
class FaceSet:
    """A FaceSource in memory: images uint8 [N, H, W, 3] and labels int64 [N]."""

    images_NHWC: np.ndarray
    labels: np.ndarray
    keys: list[str]
    names: list[str]
    corrupt: list[str]
    remarks: tuple[str, ...] = ()
    fingerprint: str = ""
    """The source's, and which of its identities."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> SourceFace:
        return SourceFace(self.images_NHWC[index], int(self.labels[index]), self.keys[index])

    def encoded(self, index: int) -> bytes:
        """Its pixels: what they were decoded from is not kept."""
        return bytes(self.images_NHWC[index].tobytes())

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Nothing: `remarks` hold a line for each reason of what the source leaves out."""
        return ()

    def pixels_sha256(self) -> str:
        """Digest of all images and of what size they have."""
        digest = hashlib.sha256(str(self.images_NHWC.shape).encode())
        for start in range(0, len(self), HASHED_AT_ONCE):
            part = self.images_NHWC[start : start + HASHED_AT_ONCE]
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    @classmethod
    def nobody(cls) -> FaceSet:
        """No faces."""
        return cls(np.empty((0, 1, 1, 3), np.uint8), np.empty(0, np.int64), [], [], [])

    def first_people(self, num_images: int) -> FaceSet:
        """The first identities that have at most `num_images` images together."""
        if len(self) <= num_images:
            return self
        cut = np.sort(self.labels)[num_images]  # the first identity that does not fit whole
        return self._take(self.labels < cut, self.names, self.fingerprint)

    def describe(self, heldout: FaceSet) -> str:
        """What a training will use, and every image it leaves out, a line each."""
        return description(self.remarks, self.labels, len(heldout), self.corrupt)

    def split(self, num_holdout: int) -> tuple[FaceSet, FaceSet]:
        """(training, held-out) faces by identity; the last `num_holdout` names are held out."""
        first = first_heldout(num_holdout, len(self.names))
        first_part = subset_fingerprint(self.fingerprint, 0, first, len(self.names))
        second_part = subset_fingerprint(self.fingerprint, first, len(self.names), len(self.names))
        training = self._take(self.labels < first, self.names[:first], first_part)
        return training, self._take(self.labels >= first, self.names, second_part)

    def _take(self, mask: np.ndarray, names: list[str], fingerprint: str) -> FaceSet:
        indices = np.flatnonzero(mask)
        keys = [self.keys[i] for i in indices]
        images, labels = self.images_NHWC[indices], self.labels[indices]
        return FaceSet(images, labels, keys, names, self.corrupt, self.remarks, fingerprint)


def remarks_of(source: FaceSource) -> tuple[str, ...]:
    """The remarks of a source, with a line for each reason of what it leaves out."""
    return (*source.remarks, *(part.line for part in source.left_out))


def description(
    remarks: Sequence[str], labels: np.ndarray, num_heldout: int, corrupt: Sequence[str]
) -> str:
    """What a training will use, and every image it leaves out, a line each."""
    people = len(np.unique(labels))
    counts = f"{len(labels)} images of {people} people, {num_heldout} held out"
    return "\n".join([*remarks, counts, *(f"left out: {line}" for line in corrupt)])


class Subset:
    """The identities first..stop-1 of a source, as a source that reads on demand too."""

    def __init__(self, source: FaceSource, first: int, stop: int) -> None:
        self.whole = source
        self.corrupt = tuple(source.corrupt)
        self.left_out = tuple(source.left_out)
        self.is_remote = is_remote(source)
        index = np.flatnonzero((source.labels >= first) & (source.labels < stop))
        self._index = index.astype(np.uint32)
        self.names = source.names[first:stop]
        self.labels = source.labels[self._index] - first
        self.fingerprint = subset_fingerprint(source.fingerprint, first, stop, len(source.names))

    @property
    def remarks(self) -> Sequence[str]:
        return self.whole.remarks

    @property
    def keys(self) -> Sequence[str]:
        return Taken(self.whole.keys, self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> SourceFace:
        face = self.whole[self.index_in_whole(index)]
        return replace(face, label=int(self.labels[index]))

    def encoded(self, index: int) -> bytes | memoryview:
        return self.whole.encoded(self.index_in_whole(index))

    def index_in_whole(self, index: int) -> int:
        """Index of an image in the source that this is a part of."""
        return int(self._index[index])


def subset(source: FaceSource, first: int, stop: int) -> FaceSource:
    """The identities first..stop-1 of a source: the source itself where these are all."""
    everybody = (first, stop) == (0, len(source.names))
    return source if everybody else Subset(source, first, stop)


def is_remote(source: object) -> bool:
    """Whether an image is fetched over a network, so that several should be under way at once."""
    return bool(getattr(source, "is_remote", False))


def read_ahead(
    source: FaceSource, indices: Iterable[int], num_threads: int = THREADS
) -> Generator[SourceFace | CorruptImageError]:
    """Faces of a source in the given order, or why one is none; a remote source's overlap.

    At most twice `num_threads` faces are held.
    """

    def read(index: int) -> SourceFace | CorruptImageError:
        try:
            return source[index]
        except CorruptImageError as error:
            return error
        except UnalignedError as error:
            raise error.at(source, index) from None

    if not is_remote(source):
        yield from map(read, indices)
        return
    waiting: deque[Future[SourceFace | CorruptImageError]] = deque()
    pool = ThreadPoolExecutor(num_threads)
    try:
        for index in indices:
            waiting.append(pool.submit(read, int(index)))
            if len(waiting) == 2 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def first_heldout(num_holdout: int, num_names: int) -> int:
    """Index of the first held-out identity; raises SourceError when nobody else is left."""
    if num_holdout >= num_names:
        raise SourceError(
            f"source.holdout_identities: got {num_holdout} of {num_names} identities; want fewer, "
            "so that somebody is left to train on"
        )
    return num_names - num_holdout


def subset_fingerprint(fingerprint: str, first: int, stop: int, num_names: int) -> str:
    """Fingerprint of the identities first..stop-1 of a source."""
    return fingerprint if (first, stop) == (0, num_names) else f"{fingerprint}[{first}:{stop}]"


def iterate_faces(
    source: FaceSource, max_corrupt_fraction: float, corrupt: list[str]
) -> Iterator[SourceFace]:
    """Every readable face in order; `corrupt` gets a line for each that is not, by its place.

    Raises SourceError once they are more than `max_corrupt_fraction` of the source.
    """
    for index, face in enumerate(read_ahead(source, range(len(source)))):
        if isinstance(face, SourceFace):
            yield face
            continue
        corrupt.append(placed(source, index, str(face)))
        check_few_corrupt(len(corrupt), len(source), max_corrupt_fraction, corrupt[0])


def placed(source: FaceSource, index: int, line: str) -> str:
    """What is wrong with an image, by its place in the source instead of its key.

    A key often holds the name of a real person, which no error may tell: errors go into logs.
    """
    key = str(source.keys[index])
    while line.startswith(f"{key}: "):
        line = line.removeprefix(f"{key}: ")
    while isinstance(source, Subset):
        index = source.index_in_whole(index)
        source = source.whole
    label = int(source.labels[index])
    number = int((np.asarray(source.labels[:index]) == label).sum()) + 1
    return f"image {number} of person {label + 1} in the order of names: {line}"


def check_few_corrupt(
    num_corrupt: int, num_images: int, max_corrupt_fraction: float, first: str
) -> None:
    """Raise SourceError when more images cannot be used than source.max_corrupt_fraction allows.

    `first` says which is the first of them, without its key.
    """
    allowed = int(max_corrupt_fraction * num_images)
    if num_corrupt > allowed:
        raise SourceError(
            f"source.max_corrupt_fraction: more than {allowed} of {num_images} images cannot be "
            f"used, first {first}; repair the source or raise the limit"
        )


def check_all_readable(source: FaceSource, labels: np.ndarray) -> None:
    """Raise SourceError when some identity is not among the labels that could be read."""
    missing = np.setdiff1d(np.arange(len(source.names)), labels)
    if len(missing):
        raise SourceError(
            f"source: {len(missing)} identities have no readable image, first person "
            f"{int(missing[0]) + 1} in the order of names; remove them or repair their images"
        )


def read_faces(
    source: FaceSource, max_corrupt_fraction: float, *, everybody: bool = True
) -> FaceSet:
    """The whole source in memory, H*W*3 bytes an image.

    Raises SourceError as `iterate_faces`, and when every image of an identity was unreadable, or,
    unless `everybody` is wanted, every image of all.
    """
    corrupt: list[str] = []
    faces = list(iterate_faces(source, max_corrupt_fraction, corrupt))
    labels = np.array([face.label for face in faces], dtype=np.int64)
    if everybody or not faces:
        check_all_readable(source, labels)
    images = np.stack([face.image_HWC for face in faces])
    keys, names = [face.key for face in faces], list(source.names)
    remarks = remarks_of(source)
    return FaceSet(images, labels, keys, names, corrupt, remarks, source.fingerprint)
