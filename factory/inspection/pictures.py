"""The pictures of an inspection's page, read again from the source: sheets and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.inspection.faces import FACE_PX, Look, Looker
from factory.inspection.findings import CopyPair
from factory.inspection.inspect import Inspected
from factory.inspection.people import JudgedPeople
from factory.report import sheets
from factory.sources.base import CorruptImageError

COLUMNS = 10
SHOWN_PAIRS = 16
DOT_PX = 1
DOT = (64, 255, 96)
SEED = 22
NOTHING = np.full((FACE_PX, FACE_PX, 3), 160, np.uint8)
"""In the place of a picture that cannot be read any more, and between those of two people."""


@dataclass(frozen=True)
class Sheet:
    """Faces side by side, as a data URI, and what they are."""

    title: str
    uri: str
    keys: list[str]


class Pictures:
    """Reads images of a looked-at source again."""

    def __init__(self, people: JudgedPeople, looker: Looker) -> None:
        self._people, self._looker = people, looker
        keys = people.source.keys
        self._index = {str(keys[int(i)]): int(i) for i in people.looked.indices}

    def of_row(self, row: int, *, dots: bool = False) -> np.ndarray:
        """The aligned face of a row, with its five points where `dots`."""
        return self._picture(int(self._people.looked.indices[row]), dots)

    def of_key(self, key: str) -> np.ndarray:
        return self._picture(self._index[key], False)

    def _picture(self, index: int, dots: bool) -> np.ndarray:
        try:
            look, _ = self._looker.look(index)
        except CorruptImageError:
            return NOTHING
        return dotted(look) if dots else look.picture_HWC


def dotted(look: Look) -> np.ndarray:
    """The picture with its five points marked."""
    image = np.array(look.picture_HWC)
    if look.points_52 is not None and np.isfinite(look.points_52).all():
        for x, y in look.points_52.round().astype(int):
            part = slice(max(y - DOT_PX, 0), max(y + DOT_PX + 1, 0))
            image[part, max(x - DOT_PX, 0) : max(x + DOT_PX + 1, 0)] = DOT
    return image


def alignment_sheets(people: JudgedPeople, looker: Looker) -> list[Sheet]:
    """The first, the worst and random faces with their points, and images without a face."""
    looked, pictures = people.looked, Pictures(people, looker)
    residual = looked.measures["residual_px"]
    with_points = np.flatnonzero(np.isfinite(residual))
    worst = with_points[np.argsort(-residual[with_points], kind="stable")]
    random = np.random.default_rng(SEED).permutation(len(looked))
    rows = {
        "first": np.arange(len(looked)),
        "worst, by their residual": worst,
        "random": random,
        "no face found": np.flatnonzero(looked.measures["num_faces"] == 0),
        "several faces found": np.flatnonzero(looked.measures["num_faces"] > 1),
    }
    return [
        Sheet(
            title,
            sheets.jpeg_uri(
                sheets.tiled(
                    [[pictures.of_row(int(row), dots=True) for row in chosen]], len(chosen)
                )
            ),
            [people.key(int(row)) for row in chosen],
        )
        for title, order in rows.items()
        if len(chosen := order[:COLUMNS])
    ]


def pairs_shown(
    pairs: Sequence[CopyPair], mine: Pictures, other: Pictures
) -> list[tuple[str, str, str]]:
    """(picture of both side by side, what they are, their keys) of the first pairs."""
    return [
        (
            sheets.jpeg_uri(
                np.concatenate([mine.of_key(pair.first), other.of_key(pair.second)], axis=1)
            ),
            pair.kind,
            f"{pair.first} | {pair.second}",
        )
        for pair in pairs[:SHOWN_PAIRS]
    ]


def mislabeled_rows(inspected: Inspected) -> list[Sheet]:
    """Each of the first mislabeled images beside the other images of its person."""
    labels, people = inspected.found.labels, inspected.people
    if labels is None:
        return []
    pictures = Pictures(people, inspected.looker)
    rows_of: dict[str, list[int]] = {}
    for row, label in enumerate(people.looked.labels):
        rows_of.setdefault(people.name(int(label)), []).append(row)
    shown = []
    for one in labels.mislabeled[: SHOWN_PAIRS // 2]:
        others = [row for row in rows_of[one.person] if people.key(row) != one.key]
        images = [pictures.of_key(one.key)]
        images += [pictures.of_row(other) for other in others[: COLUMNS - 1]]
        title = f"{one.key}: cosine {one.cosine:.3f} to the others of {one.person}"
        shown.append(Sheet(title, sheets.jpeg_uri(sheets.tiled([images], len(images))), [one.key]))
    return shown


def double_rows(inspected: Inspected) -> list[Sheet]:
    """Each of the first pairs of names that are likely one person, a gray field between."""
    labels, people = inspected.found.labels, inspected.people
    if labels is None:
        return []
    pictures, half = Pictures(people, inspected.looker), COLUMNS // 2
    first_of: dict[str, list[int]] = {}
    for row, label in enumerate(people.looked.labels):
        rows = first_of.setdefault(people.name(int(label)), [])
        if len(rows) < half:
            rows.append(row)
    shown = []
    for one in labels.doubles[: SHOWN_PAIRS // 2]:
        names = (one.first, one.second)
        sides = [[pictures.of_row(row) for row in first_of[name]] for name in names]
        images = [*sides[0], NOTHING, *sides[1]]
        title = f"{one.first} | {one.second}: cosine {one.cosine:.3f} ({one.by})"
        sheet = sheets.jpeg_uri(sheets.tiled([images], len(images)))
        shown.append(Sheet(title, sheet, [one.first, one.second]))
    return shown
