"""Aligned pixels of a source in files, made once, and an index of what is known of its faces.

Files are named by what decides them: the images, how they are aligned, and the format. Images that
cannot be read are found while the pixels are made; their rows are black and no faces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config import SourceConfig
from factory.errors import Unavailable
from factory.sources import FaceSource, SourceFace
from factory.sources.alignment_facts import pixel_facts
from factory.sources.base import (
    check_all_readable,
    check_few_corrupt,
    placed,
    read_ahead,
    remarks_of,
)
from factory.sources.decoding import DECODING
from factory.sources.entries import UnreadImageError
from factory.sources.texts import LazyTexts
from factory.training.identity import to_text
from factory.training.row_files import Made, RowFiles, named_by, npy
from factory.training.rows import rows_a_shard

ARRAYS = ("readable", "labels", "keys", "key_ends")
"""Arrays of an index."""


def format_of(shard_rows: int) -> str:
    """The format of files of faces; those of another one are made anew, in another folder."""
    return f"{DECODING}, {shard_rows} rows"


def pixels_name(source: SourceConfig, fingerprint: str) -> str:
    """The folder of the pixels of a source with this fingerprint."""
    shards = format_of(rows_a_shard(source.image_px))
    return f"pixels-{named_by(shards, to_text(pixel_facts(source, fingerprint)))}"


class PixelMaker:
    """Decodes and aligns the faces of a source, shard by shard."""

    def __init__(self, source: FaceSource, image_px: int, max_corrupt_fraction: float) -> None:
        self._source, self._px, self._fraction = source, image_px, max_corrupt_fraction
        self._num_corrupt, self._first = 0, ""

    def make(self, number: int) -> Made:
        """The pixels of a shard [S, px, px, 3], uint8, and what its record says of them.

        Raises SourceError once more images cannot be used than source.max_corrupt_fraction allows,
        and Unavailable for one that the system does not give: what has passed by the next run must
        not stay in a record.
        """
        shard_rows = rows_a_shard(self._px)
        start = number * shard_rows
        stop = min(start + shard_rows, len(self._source))
        pixels = np.zeros((stop - start, self._px, self._px, 3), np.uint8)
        left_out: dict[str, str] = {}
        with closing(read_ahead(self._source, range(start, stop))) as faces:
            for index, face in enumerate(faces, start):
                if isinstance(face, SourceFace):
                    pixels[index - start] = face.image_HWC
                    continue
                if isinstance(face, UnreadImageError):
                    raise Unavailable(
                        f"source.path: {placed(self._source, index, str(face))}; the same command "
                        "goes on once it can be read; remove it if it never can"
                    )
                left_out[str(index)] = placed(self._source, index, str(face))
                self._num_corrupt += 1
                self._first = self._first or left_out[str(index)]
                self._refuse(self._num_corrupt, self._first)
        return pixels, {"left_out": left_out}

    def put_index(self, files: RowFiles) -> None:
        """Write the index of pixels that are all made.

        Raises SourceError when too many images, or all of an identity, cannot be read.
        """
        source, records = self._source, files.records()
        left_out = {int(i): line for record in records for i, line in record["left_out"].items()}
        corrupt = [left_out[index] for index in sorted(left_out)]
        if corrupt:
            self._refuse(len(corrupt), corrupt[0])
        readable = np.setdiff1d(np.arange(len(source), dtype=np.int32), list(left_out))
        labels = np.asarray(source.labels)[readable]
        check_all_readable(source, labels)
        keys = _joined(source.keys, readable)
        arrays = (readable.astype(np.int32), labels.astype(np.int32), *keys)
        pixels = [(record["sha256"], sorted(record["left_out"])) for record in records]
        stored = {
            "names": list(source.names),
            "corrupt": corrupt,
            "remarks": list(remarks_of(source)),
            "fingerprint": source.fingerprint,
            "pixels_sha256": hashlib.sha256(
                json.dumps(pixels, allow_nan=False).encode()
            ).hexdigest(),
        }
        _put(files, stored, dict(zip(ARRAYS, map(npy, arrays), strict=True)))

    def _refuse(self, num_corrupt: int, first: str) -> None:
        check_few_corrupt(num_corrupt, len(self._source), self._fraction, first)


@dataclass(frozen=True)
class PixelIndex:
    """What is known of a source's faces besides their pixels; its arrays are mapped."""

    names: list[str]
    corrupt: list[str]
    remarks: tuple[str, ...]
    fingerprint: str
    pixels_sha256: str
    """Digest of all pixels, of the digests that were computed when they were made."""
    readable: np.ndarray
    """Rows of the pixels that are faces."""
    labels: np.ndarray
    keys: np.ndarray
    """Keys of the faces in UTF-8, one after the other."""
    key_ends: np.ndarray
    """Where each key ends."""

    @property
    def first_left_out(self) -> int:
        """Index in the source of the first image that is no face; one past all where all are."""
        differs_N = self.readable != np.arange(len(self.readable))
        return int(differs_N.argmax()) if differs_N.any() else len(self.readable)

    @classmethod
    def open(cls, files: RowFiles) -> PixelIndex | None:
        """The index of pixels; None where they were never all made."""
        try:
            stored = json.loads(files.place.store.get(f"{files.name}/index.json"))
        except (FileNotFoundError, ValueError):
            return None
        arrays = [files.mapped(f"{stored['arrays']}/{array}.npy") for array in ARRAYS]
        texts = (stored["names"], stored["corrupt"], tuple(stored["remarks"]))
        return cls(*texts, stored["fingerprint"], stored["pixels_sha256"], *arrays)


class Keys(LazyTexts):
    """Keys of an index, read on demand."""

    def __init__(self, index: PixelIndex) -> None:
        self._keys, self._ends = index.keys, index.key_ends

    def __len__(self) -> int:
        return len(self._ends)

    def _text(self, position: int) -> str:
        start = int(self._ends[position - 1]) if position else 0
        return bytes(self._keys[start : int(self._ends[position])]).decode()


def _joined(keys: Sequence[str], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(keys of rows in UTF-8, one after the other; where each ends), one key at a time."""
    blob, ends = bytearray(), np.empty(len(rows), np.int64)
    for number, row in enumerate(rows):
        blob += keys[int(row)].encode()
        ends[number] = len(blob)
    return np.frombuffer(blob, np.uint8), ends


def _put(files: RowFiles, stored: dict[str, Any], arrays: dict[str, bytes]) -> None:
    """Write arrays, in a folder named by their bytes, then the index that names the folder."""
    store, digests = (
        files.place.store,
        [hashlib.sha256(data).hexdigest() for data in arrays.values()],
    )
    folder = f"{files.name}/index-{named_by(*digests)}"
    for array, data in arrays.items():
        store.put(f"{folder}/{array}.npy", data)
    store.put(
        f"{files.name}/index.json",
        json.dumps(stored | {"arrays": folder}, allow_nan=False).encode(),
    )
