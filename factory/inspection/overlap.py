"""What of a benchmark's pairs, or of another dataset, is in a source: by name, image and face."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.errors import SourceError
from factory.evaluation.image_queries import hashes_of
from factory.evaluation.real_people import NOBODY
from factory.identities.gallery import Gallery
from factory.inspection.faces import squeezed
from factory.inspection.findings import CopyPair, DoubleName, PairsOverlap, SetOverlap
from factory.inspection.label_noise import MIN_PEOPLE, NAMES_FPIR, stranger_limit
from factory.inspection.looked import DIGEST_BYTES, Looked, digest_of
from factory.inspection.near_copies import IDENTICAL, Copies, copies_between
from factory.inspection.people import LISTED, JudgedPeople
from factory.quality.real_limits import unit_means
from factory.recognition.pairs import read_encoded, read_lfw
from factory.sources.base import FaceSource
from factory.sources.decoding import decode_image

NOTHING_PROPOSED = np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class NamedPairs:
    """Pairs of LFW's pairs.txt, by keys NAME/NAME_0001."""

    file: str
    pairs: list[tuple[str, str]]

    def overlap(self, source: FaceSource, looked: Looked) -> PairsOverlap:
        """Which of its people and keys are in a source."""
        wanted = {key for pair in self.pairs for key in pair}
        people = {key.partition("/")[0] for key in wanted}
        names = same_names(source.names, people)
        stems = {str(key).rpartition("/")[2] for key in source.keys}
        images = sorted(key for key in wanted if key.rpartition("/")[2] in stems)
        return PairsOverlap(
            *(self.file, len(self.pairs), len(people), names[:LISTED], len(names), len(images)),
            images[:LISTED],
            "pairs.txt names people and images; give the benchmark itself by --against to compare "
            "pictures and faces",
        )


@dataclass(frozen=True)
class PicturedPairs:
    """Images of an insightface .bin: their perceptual hashes, and digests of their bytes."""

    file: str
    num_pairs: int
    hashes_MV32: np.ndarray
    digests_M16: np.ndarray

    def overlap(self, source: FaceSource, looked: Looked) -> PairsOverlap:
        """Which images of a source are one of its images."""
        found = copies_between(
            *(looked.hashes_NV32, looked.digests_N16),
            *(self.hashes_MV32, self.digests_M16, NOTHING_PROPOSED),
        )
        rows = np.unique(found.pairs_P2[:, 0])
        keys = [str(source.keys[int(looked.indices[row])]) for row in rows]
        there = len(np.unique(found.pairs_P2[:, 1]))
        note = f"{there} of its {len(self.digests_M16)} images are in the source"
        return PairsOverlap(
            *(self.file, self.num_pairs, None, [], 0, len(rows)), keys[:LISTED], note
        )


def open_pairs_file(path: str, max_pixels: int) -> NamedPairs | PicturedPairs:
    """LFW's pairs.txt, or an insightface .bin with images of any size, read before anything else.

    Raises SourceError for a file that is neither.
    """
    if not Path(path).is_file():
        raise SourceError(f"--pairs: no such file {path!r}; want pairs.txt or an insightface .bin")
    try:
        if not path.endswith(".bin"):
            return NamedPairs(path, read_lfw(path)[0])
        encoded, same = read_encoded(path)
        hashes = [
            hashes_of(squeezed(decode_image(data, f"{path}[{i}]", max_pixels)))
            for i, data in enumerate(encoded)
        ]
    except SourceError as error:
        raise SourceError(f"--pairs: {str(error).removeprefix('source.pairs: ')}") from None
    digests = b"".join(digest_of(data) for data in encoded)
    digests_M16 = np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES)
    return PicturedPairs(path, len(same), np.stack(hashes), digests_M16)


def set_overlap(
    address: str,
    mine: JudgedPeople,
    other: JudgedPeople,
    has_judge: bool,
) -> SetOverlap:
    """What of another dataset is in a source: the same names, images, people, and near faces."""
    proposed = _proposed(mine, other) if has_judge else NOTHING_PROPOSED
    copies = copies_between(
        mine.looked.hashes_NV32,
        mine.looked.digests_N16,
        other.looked.hashes_NV32,
        other.looked.digests_N16,
        proposed,
    )
    names = same_names(mine.source.names, other.source.names)
    people, people_limit, note = _same_people(mine, other) if has_judge else ([], None, "no judge")
    near, limit, expected = _near(mine, other) if has_judge else (None, None, None)
    return SetOverlap(
        address,
        len(other.source.names),
        len(other.source),
        names[:LISTED],
        len(names),
        len(np.unique(copies.pairs_P2[:, 0])),
        copy_pairs(copies, mine, other, LISTED),
        len(people) if people_limit is not None else None,
        people[:LISTED],
        people_limit,
        near,
        limit,
        expected,
        _nearest(mine, other) if has_judge else [],
        note,
    )


def same_names(mine: Iterable[str], other: Iterable[str]) -> list[str]:
    """Names that both have, whatever their case, accents' spelling and separators."""
    known = {plain_name(name) for name in other}
    return sorted(name for name in map(str, mine) if plain_name(name) in known)


def plain_name(name: str) -> str:
    """A name in NFKC and lower case, with one space for anything between its parts."""
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    return " ".join(re.split(r"[\W_]+", text.rpartition("/")[2])).strip()


def copy_pairs(
    copies: Copies, mine: JudgedPeople, other: JudgedPeople, count: int
) -> list[CopyPair]:
    """The nearest pairs by the keys of both."""
    return [
        CopyPair(mine.key(first), other.key(second), kind_of(bits, mirrored), max(int(bits), 0))
        for (first, second), bits, mirrored in zip(
            copies.pairs_P2[:count],
            copies.bits_P[:count],
            copies.mirrored_P[:count],
            strict=True,
        )
    ]


def kind_of(bits: int, mirrored: bool) -> str:
    """How two images are one picture."""
    if bits == IDENTICAL:
        return "same bytes"
    return "mirrored" if mirrored else "nearly the same"


def _proposed(mine: JudgedPeople, other: JudgedPeople) -> np.ndarray:
    """Each image with the other set's image that the judge finds nearest, [P, 2]."""
    nobody = np.full(len(mine.faces.labels), NOBODY)
    _, row_M = other.nearest(np.asarray(mine.faces.unit_ND), nobody)
    return np.stack([mine.faces.indices, row_M], 1).astype(np.int64)


def _near(mine: JudgedPeople, other: JudgedPeople) -> tuple[int | None, float | None, float | None]:
    if len(np.unique(other.faces.labels)) < 2:
        return None, None, None
    limit, fraction = other.near_limit
    nobody = np.full(len(mine.faces.labels), NOBODY)
    cosine_M = other.people.nearest(np.asarray(mine.faces.unit_ND), nobody)
    return int((cosine_M > limit).sum()), limit, fraction


def _nearest(mine: JudgedPeople, other: JudgedPeople) -> list[CopyPair]:
    """The pairs of images that the judge finds nearest; `bits` are thousandths of the cosine."""
    nobody = np.full(len(mine.faces.labels), NOBODY)
    cosine_M, row_M = other.nearest(np.asarray(mine.faces.unit_ND), nobody)
    best = np.argsort(-cosine_M, kind="stable")[:24]
    return [
        CopyPair(
            mine.key(int(mine.faces.indices[at])),
            other.key(int(row_M[at])),
            f"cosine {cosine_M[at]:.3f}",
            0,
        )
        for at in best
    ]


def _same_people(
    mine: JudgedPeople, other: JudgedPeople
) -> tuple[list[DoubleName], float | None, str]:
    """People of the source whose images' mean is nearer to somebody of the other set's."""
    mine_P, mine_PD = _centers(mine)
    other_P, other_PD = _centers(other)
    larger = max((mine_PD, other_PD), key=len)
    if not len(mine_P) or not len(other_P) or len(larger) < MIN_PEOPLE:
        return [], None, f"n/a: neither set has {MIN_PEOPLE} people to tell strangers' cosines from"
    rate = NAMES_FPIR * (len(larger) - 1) / max(len(other_P), 1)
    limit = stranger_limit(larger, min(rate, 1.0))
    gallery = Gallery(other_PD.shape[1])
    gallery.add(other_PD)
    cosine_P, at_P = gallery.nearest_with_index(mine_PD)
    order = np.argsort(-cosine_P, kind="stable")
    found = [
        DoubleName(
            mine.name(mine_P[at]),
            other.name(other_P[at_P[at]]),
            float(cosine_P[at]),
            "means of their images",
        )
        for at in order[: int((cosine_P > limit).sum())]
    ]
    return found, limit, ""


def _centers(judged: JudgedPeople) -> tuple[np.ndarray, np.ndarray]:
    """Labels [P] and unit means [P, D]."""
    people, at_N = np.unique(judged.faces.labels, return_inverse=True)
    unit_ND = np.asarray(judged.faces.unit_ND)
    return people, unit_means(unit_ND, at_N) if len(people) else np.empty((0, 1), np.float32)
