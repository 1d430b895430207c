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
    """`count` identities each from the top, the middle and the bottom of a ranking, of those that
    are sampled; fewer where there are not so many, and nobody twice."""
    here = ranking[np.isin(ranking, sampled)].tolist()
    count = min(count, len(here) // 3)
    middle = (len(here) - count) // 2
    return {
        "best": here[:count],
        "median": here[middle : middle + count],
        "worst": here[len(here) - count :],
    }


def first_identities(faces: SampledFaces, count: int) -> list[int]:
    """The first identities, as they come."""
    return list(dict.fromkeys(faces.labels.tolist()))[:count]


def identities(faces: SampledFaces, owners: Sequence[int], max_columns: int) -> str:
    """One identity a row."""
    rows = [
        list(faces.images_NHWC[np.flatnonzero(faces.labels == owner)[:max_columns]])
        for owner in owners
    ]
    return jpeg_uri(tiled(rows, max_columns))


def edits(shown: EditPictures) -> list[tuple[str, str]]:
    """(kind, sheet) of edits: originals above what was made of them, or the latter alone."""
    found = []
    for kind, pairs in shown.by_kind.items():
        originals = [original for original, _ in pairs if original is not None]
        rows = [originals] if originals else []
        found.append((kind, jpeg_uri(tiled([*rows, [made for _, made in pairs]], len(pairs)))))
    return found


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
