"""Which columns of a table hold images and people, and a source over its rows.

Tables are as the Hugging Face hub has them: an image is a struct {bytes, path} or bytes, and
the schema's `huggingface` metadata may say so and name the classes (datasets' features Image,
ClassLabel).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources.base import SourceFace
from factory.sources.columns import Columns
from factory.sources.entries import IMAGE_SUFFIXES
from factory.sources.left_out import LeftOut, check_little_left_out
from factory.sources.texts import Texts

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

LABEL_NAMES = ("label", "labels", "identity", "identity_id", "person", "person_id", "class", "cls")
"""Columns that say who is in an image, the likeliest first; `name` and `id` are often others."""
KEYS = ("key", "__key__")
"""Columns of texts that name an image: those of our export, and of WebDataset in `datasets`."""
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")
"""First bytes of JPEG, PNG, WebP and others; AVIF and HEIC have `ftyp` behind a length."""
FirstOf = Callable[[str], bytes | None]
"""The first image of a column, None where it has none."""


@dataclass(frozen=True)
class Choice:
    """The columns that a source is read by."""

    image: str
    label: str
    key: str | None
    classes: tuple[str, ...] | None
    """Names of the classes where labels are numbers of them."""
    in_struct: bool
    """Whether images are structs with a field `bytes`."""

    @property
    def encoded(self) -> str:
        """Dotted name of the column with the bytes."""
        return f"{self.image}.bytes" if self.in_struct else self.image


def choose(config: SourceConfig, schema: pa.Schema, first_of: FirstOf, where: str) -> Choice:
    """The columns of a table; raises SourceError where none fits, or several do.

    Those that source.parquet_image and source.parquet_label name; else by the features that the
    schema tells, then by content and name. `where` is what the table lies in.
    """
    features = _features(schema)
    images = [name for name in schema.names if _holds_bytes(schema.field(name).type)]
    said = [name for name in images if features.get(name, {}).get("_type") == "Image"]
    found = said or [name for name in images if looks_like_an_image(first_of(name))]
    image = _one("source.parquet_image", config.parquet_image, found, images, where)
    labels = [
        name
        for name in schema.names
        if _is_whole(schema.field(name).type) or _is_text(schema.field(name).type)
    ]
    said = [name for name in labels if features.get(name, {}).get("_type") == "ClassLabel"]
    named = [name for name in LABEL_NAMES if name in labels][:1]
    numbers = [name for name in labels if _is_whole(schema.field(name).type)]
    label = _one(
        "source.parquet_label", config.parquet_label, said or named or numbers, labels, where
    )
    classes = features.get(label, {}).get("names")
    texts = [name for name in schema.names if _is_text(schema.field(name).type) and name != label]
    return Choice(
        image,
        label,
        next((name for name in KEYS if name in texts), None),
        tuple(map(str, classes)) if isinstance(classes, list) else None,
        pa.types.is_struct(schema.field(image).type),
    )


def _one(
    key: str, wanted: str | None, found: Sequence[str], possible: Sequence[str], where: str
) -> str:
    """The column that a config names, else the only one that was found."""
    columns = ", ".join(possible) or "none"
    if wanted is not None:
        if wanted not in possible:
            raise SourceError(f"{key}: got {wanted!r}; want a column of {where}: {columns}")
        return wanted
    if len(found) != 1:
        what = (
            f"{len(found)} columns may be meant ({', '.join(found)})" if found else "none is seen"
        )
        raise SourceError(f"{key}: {what} in {where}; want one of its columns: {columns}")
    return found[0]


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What `datasets` wrote of each column; empty where it did not, or something else did."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: one for name, one in told.items() if isinstance(one, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _holds_bytes(f.type) for f in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def looks_like_an_image(data: bytes | None) -> bool:
    """Whether bytes begin as those of an image do."""
    return data is not None and (data.startswith(BEGINNINGS) or data[4:8] == b"ftyp")


def people(column: pa.Array | pa.ChunkedArray, classes: Sequence[str] | None) -> pa.Array:
    """Who is in each image, by name: null where the table does not say.

    A number is a class; without their names it is 12 digits, as those of releases are. Negative
    numbers, numbers beyond the classes and empty texts say nobody.
    """
    array = pc.cast(column, pa.string() if not _is_whole(column.type) else pa.int64())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_string(array.type):
        return pc.if_else(pc.equal(array, ""), None, array)
    numbers = pc.if_else(pc.less(array, 0), None, array)
    if classes is None:
        return pc.utf8_lpad(pc.cast(numbers, pa.string()), 12, "0")
    numbers = pc.if_else(pc.greater_equal(numbers, len(classes)), None, numbers)
    return pc.take(pa.array(classes, pa.string()), numbers)


def columns_of(
    arrays: dict[str, np.ndarray],
    keys: Sequence[str],
    names: Sequence[str],
    left_out: Sequence[LeftOut],
    salt: str,
    where: str,
) -> Columns:
    """The columns of a source: `arrays` and, for each image, its key and its person.

    `salt` goes into the fingerprint, a digest of keys and people. Raises SourceError without
    images, and where two have one key.
    """
    if not len(keys):
        raise SourceError(f"source.path: no images in {where}; want a table with a row an image")
    again = [key for key, count in Counter(keys).items() if count > 1]
    if again:
        raise SourceError(
            f"source.path: {len(again)} keys stand for two images in {where}; want each once"
        )
    digest = hashlib.sha256(salt.encode())
    for key, name in zip(keys, names, strict=True):
        digest.update(f"\n{key} {name}".encode())
    everybody, labels = np.unique(np.array([n.encode() for n in names]), return_inverse=True)
    facts = {
        "fingerprint": digest.hexdigest(),
        "left_out": [[part.reason, part.count, list(part.first)] for part in left_out],
    }
    arrays = arrays | {
        "label": labels.astype(np.int32),
        "name": everybody,
        "key": np.array([key.encode() for key in keys]),
    }
    return Columns(arrays, facts)


class TableSource:
    """A FaceSource over the columns that `columns_of` made; where the bytes lie is a subclass's."""

    _remarks: tuple[str, ...] = ()
    corrupt: tuple[str, ...] = ()

    def __init__(self, config: SourceConfig, decoder: FaceDecoder, columns: Columns) -> None:
        self.columns, self._decoder = columns, decoder
        self.labels: np.ndarray = columns["label"]
        self.names, self.keys = Texts(columns["name"]), Texts(columns["key"])
        self.fingerprint = str(columns.facts["fingerprint"])
        self.left_out = tuple(
            LeftOut(reason, count, tuple(first))
            for reason, count, first in columns.facts["left_out"]
        )
        check_little_left_out(self.left_out, len(self), config.max_left_out_fraction)

    @property
    def remarks(self) -> tuple[str, ...]:
        return (*self._remarks, *self._decoder.remarks)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> SourceFace:
        key = self.keys[index]
        names = [key, *(key + suffix for suffix in IMAGE_SUFFIXES)]
        return self._decoder.face(self.encoded(index), key, names, int(self.labels[index]))

    def encoded(self, index: int) -> bytes:
        raise NotImplementedError
