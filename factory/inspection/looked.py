"""One pass over a source: every image looked at once, and a column of numbers for each thing seen.

An image takes about 600 bytes and its vector; many vectors stay in a file that has no name.
Pictures are not kept: those that a page shows are read again.

Shapes: N readable images, V hashes of each, D embedding.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from factory.evaluation.embeddings import MAPPED_BYTES, Space
from factory.evaluation.image_queries import hashes_of
from factory.evaluation.rows_on_disk import RowsOnDisk
from factory.inspection.faces import Look, Looker
from factory.recognition.embed import Recognizer
from factory.sources.base import CorruptImageError, FaceSource

BATCH = 64
"""Faces that a judge embeds at once."""
MEASURES = (
    *("num_faces", "score", "eye_px", "residual_px"),
    *("yaw", "pitch", "roll", "brightness", "contrast", "sharpness", "quality"),
)
"""Numbers of an image, each a column; NaN where there is none."""
DIGEST_BYTES = 16
OnImage = Callable[[int, int], None]
"""Hears (images looked at, images in all)."""


@dataclass
class Looked:
    """What was seen in the images of a source; rows are readable images, in the source's order."""

    indices: np.ndarray
    """Of each image in the source, int64 [N]."""
    labels: np.ndarray
    """Of its person in the source's names, int64 [N]."""
    headers: list[tuple[str, str, int, int]]
    """Format, color mode, width, height."""
    num_bytes: np.ndarray
    is_gray: np.ndarray
    measures: dict[str, np.ndarray]
    """MEASURES, float64 [N] each."""
    digests_N16: np.ndarray
    """`digest_of` the encoded image."""
    hashes_NV32: np.ndarray
    judged: np.ndarray
    """Rows that the judge saw: those with a face, int64 [M]."""
    unit_MD: np.ndarray
    """The judge's vectors of them; [0, 0] without a judge."""
    corrupt: list[str] = field(default_factory=list)
    """Images that cannot be used, a line each."""

    def __len__(self) -> int:
        return len(self.indices)


def digest_of(data: bytes) -> bytes:
    """By what images of the same bytes are known: the beginning of their sha256."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def sampled_people(names: Iterable[str], num_people: int | None) -> np.ndarray:
    """Labels of the people to look at: all, or so many, by the sha256 of their names."""
    digests = [hashlib.sha256(str(name).encode(errors="replace")).digest() for name in names]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return np.sort(np.array(order[:num_people], np.int64))


def look_at(
    source: FaceSource,
    looker: Looker,
    people: np.ndarray,
    judge: Space | None,
    quality: Recognizer | None = None,
    on_image: OnImage = lambda done, total: None,
) -> Looked:
    """Look at all images of some people."""
    chosen = np.flatnonzero(np.isin(source.labels, people))
    rows, corrupt, vectors, judged = _Rows(), list[str](), list[RowsOnDisk](), list[np.ndarray]()
    seen = _seen(looker, chosen, corrupt, on_image)
    for batch in iter(lambda: list(itertools.islice(seen, BATCH)), []):
        start = len(rows.indices)
        faces = [(start + at, look.face_HWC) for at, (_, look, _) in enumerate(batch)]
        own = [(row, face) for row, face in faces if face is not None]
        scores = dict[int, float]()
        if own and judge is not None:
            unit_BD = judge.embed(np.stack([face for _, face in own])).astype(np.float32)
            vectors = vectors or [RowsOnDisk(None, unit_BD.shape[1], np.float32)]
            vectors[0].append(unit_BD)
            judged.append(np.array([row for row, _ in own], np.int64))
        if own and quality is not None:
            found = quality.cr_fiqa(np.stack([face for _, face in own]))
            scores = {row: float(one) for (row, _), one in zip(own, found, strict=True)}
        for at, (index, look, data) in enumerate(batch):
            rows.add(index, look, data, scores.get(start + at, float("nan")))
    labels = np.asarray(source.labels)[np.array(rows.indices, np.int64)].astype(np.int64)
    unit_MD = vectors[0].finish() if vectors else np.empty((0, 0), np.float32)
    if unit_MD.nbytes <= MAPPED_BYTES:
        unit_MD = np.array(unit_MD)
    where = np.concatenate([np.empty(0, np.int64), *judged])
    return rows.looked(labels, where, unit_MD, corrupt)


def _seen(
    looker: Looker, chosen: np.ndarray, corrupt: list[str], on_image: OnImage
) -> Iterator[tuple[int, Look, bytes]]:
    for done, index in enumerate(chosen, start=1):
        try:
            yield int(index), *looker.look(int(index))
        except CorruptImageError as error:
            corrupt.append(str(error))
        on_image(done, len(chosen))


class _Rows:
    """Columns while they grow."""

    def __init__(self) -> None:
        self.indices: list[int] = []
        self._headers: list[tuple[str, str, int, int]] = []
        self._bytes: list[int] = []
        self._gray: list[bool] = []
        self._measures: list[tuple[float, ...]] = []
        self._digests: list[bytes] = []
        self._hashes: list[np.ndarray] = []

    def add(self, index: int, look: Look, data: bytes, quality: float) -> None:
        self.indices.append(index)
        self._headers.append((look.form, look.mode, look.width, look.height))
        self._bytes.append(look.num_bytes)
        self._gray.append(look.is_gray)
        place = (float(look.num_faces), look.score, look.eye_px, look.residual_px)
        self._measures.append((*place, *look.angles, *look.tone, quality))
        self._digests.append(digest_of(data))
        self._hashes.append(hashes_of(look.picture_HWC))

    def looked(
        self, labels: np.ndarray, judged: np.ndarray, unit_MD: np.ndarray, corrupt: list[str]
    ) -> Looked:
        columns = np.array(self._measures, np.float64).reshape(-1, len(MEASURES)).T
        width = hashes_of(np.zeros((8, 8, 3), np.uint8)).shape
        digests = np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, DIGEST_BYTES)
        return Looked(
            np.array(self.indices, np.int64),
            labels,
            self._headers,
            np.array(self._bytes, np.int64),
            np.array(self._gray, bool),
            dict(zip(MEASURES, columns, strict=True)),
            digests,
            np.array(self._hashes, np.uint8).reshape(-1, *width),
            judged,
            unit_MD,
            corrupt,
        )
