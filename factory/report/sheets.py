"""Faces side by side, as data URIs: identities a row, rejects by reason, pairs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from factory.evaluation.edit_metrics import EditPictures
from factory.evaluation.similarity import SampledFaces

GAP_PX = 2


def chosen(ranking: np.ndarray, sampled: np.ndarray, count: int) -> dict[str, list[int]]:
    """`count` sampled identities each from the top, the middle and the bottom of a ranking.

    Fewer where there are not so many, and nobody twice.
    """
    ranked = ranking[np.isin(ranking, sampled)].tolist()
    count = min(count, len(ranked) // 3)
    middle = (len(ranked) - count) // 2
    return {
        "best": ranked[:count],
        "median": ranked[middle : middle + count],
        "worst": ranked[len(ranked) - count :],
    }


def first_identities(faces: SampledFaces, count: int) -> list[int]:
    """The first identities, in the order of their faces."""
    return list(dict.fromkeys(faces.labels.tolist()))[:count]


def identities(faces: SampledFaces, owners: Sequence[int], max_columns: int) -> str:
    """A sheet with one identity in each row."""
    rows = [
        list(faces.images_NHWC[np.flatnonzero(faces.labels == owner)[:max_columns]])
        for owner in owners
    ]
    return jpeg_uri(tiled(rows, max_columns))


def edits(shown: EditPictures) -> list[tuple[str, str]]:
    """(kind, sheet) of edits: originals above the edits of them, or the latter alone."""
    by_kind = []
    for kind, pairs in shown.by_kind.items():
        originals = [original for original, _ in pairs if original is not None]
        rows = [originals] if originals else []
        by_kind.append(
            (kind, jpeg_uri(tiled([*rows, [edited for _, edited in pairs]], len(pairs))))
        )
    return by_kind


def tiled(rows: Sequence[Sequence[np.ndarray]], max_columns: int) -> np.ndarray:
    """RGB uint8 sheet of square images of one size, white where a row is short."""
    side = len(rows[0][0]) + GAP_PX
    sheet = np.full((len(rows) * side - GAP_PX, max_columns * side - GAP_PX, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row[:max_columns]):
            sheet[y * side : y * side + len(image), x * side : x * side + len(image)] = image
    return sheet


def jpeg_uri(image_HWC: np.ndarray, quality: int = 88) -> str:
    """An image as a data: URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
