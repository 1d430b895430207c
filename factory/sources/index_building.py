"""Makes the columns of a face index: of the tables metadata/*.parquet of a release, else of tars.

The tables are read in parallel, each compared with SHA256SUMS. Tars without a table are read once
from end to end, so they have the same columns.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.errors import SourceError
from factory.sources.columns import Columns
from factory.sources.left_out import NO_LABEL, LeftOut, Tally
from factory.sources.listing import FORMATS
from factory.sources.tar_scan import scan
from factory.sources.tar_set import READERS, TarSet
from factory.store.parquet import read_table

BLOCK = 512
"""Members of a tar begin at multiples of it, so 32 bits hold a place in a tar of 2 TB."""
WANTED = ["key", "identity", "image", "offset", "size", "sha256"]
"""Columns of metadata that an index is made of."""
TOLD_APART = "shards number their images anew, so keys are SHARD/KEY"
"""Remark on tars in which a key stands for images of several shards."""


@dataclass(frozen=True)
class ShardRows:
    """The images of one tar: a number of each in every array."""

    keys: pa.Array
    identities: np.ndarray
    images: np.ndarray
    """Number of the image among those of its identity; 0 where its key does not say."""
    offsets: np.ndarray
    sizes: np.ndarray
    digests: np.ndarray
    """First 8 bytes of the sha256 of each, as uint64."""
    left_out: tuple[LeftOut, ...] = ()

    def digits(self) -> tuple[int, int] | None:
        """(digits of the identity, of the image) where each key is made of these two numbers."""
        if not len(self.keys):
            return None
        first, _, second = self.keys[0].as_py().rpartition("_")
        digits = len(first), len(second)
        made = numbered(self.identities, self.images, digits)
        return digits if pc.all(pc.equal(self.keys, made)).as_py() else None


def build(tars: TarSet) -> Columns:
    """The columns of all images; raises SourceError where there are none, or two have one key."""
    sizes = tars.sizes()

    def rows_of(number: int) -> ShardRows:
        table = tars.metadata_of(tars.names[number])
        rows = _of_table(tars, table) if table else _scanned(tars, tars.names[number])
        _check(rows, sizes[number], f"{tars.store.url}/{tars.names[number]}")
        return rows

    with ThreadPoolExecutor(READERS) as pool:
        shards = list(pool.map(rows_of, range(len(tars.names))))
    if not sum(len(rows.keys) for rows in shards):
        raise _nothing_in(tars, shards)
    own_keys = shards if tars.sums else _told_apart(tars, shards)
    columns = _joined(tars, own_keys)
    columns.facts["left_out"] = _left_out(tars, shards)
    columns.facts["remarks"] = [TOLD_APART] if own_keys is not shards else []
    return columns


def _nothing_in(tars: TarSet, shards: list[ShardRows]) -> SourceError:
    """What is wrong with tars that give no face."""
    where, beside = tars.store.url, "; ".join(part.line for part in tars.left_out)
    parts = [part for rows in shards for part in rows.left_out if part.reason == NO_LABEL]
    if parts:
        return SourceError(
            f"source.path: none of {sum(part.count for part in parts)} images in {where} has a "
            "class: no .cls, or .json with label or cls, of the name of one; want a number in each"
        )
    return SourceError(
        f"source.path: no images in {where}{f' ({beside})' if beside else ''}; want shards with "
        f"images ({FORMATS}) and .cls (kind webdataset)"
    )


def _left_out(tars: TarSet, shards: list[ShardRows]) -> list[tuple[str, int, tuple[str, ...]]]:
    """What the tars leave out, as plain values."""
    tally = Tally()
    for name, rows in zip(tars.names, shards, strict=True):
        tally.merge(rows.left_out, name)
    return [(part.reason, part.count, part.first) for part in tally.all()]


def _told_apart(tars: TarSet, shards: list[ShardRows]) -> list[ShardRows]:
    """The same shards where each key comes once, else with keys SHARD/KEY in all of them.

    Raises SourceError where an image is in two shards: of one key, class and contents.
    """
    keys = np.concatenate([_as_bytes(rows.keys) for rows in shards])
    order = np.argsort(keys, kind="stable")
    again = keys[order][1:] == keys[order][:-1]
    if not again.any():
        return shards
    same = again.copy()
    for name in ("digests", "identities"):
        values = np.concatenate([getattr(rows, name) for rows in shards])[order]
        same &= values[1:] == values[:-1]
    if same.any():
        ends = np.cumsum([len(rows.keys) for rows in shards])
        place = int(np.flatnonzero(same)[0])
        first, second = (
            tars.names[int(np.searchsorted(ends, order[at], "right"))] for at in (place, place + 1)
        )
        raise SourceError(
            f"source.path: {int(same.sum())} images of {tars.store.url} come twice with the same "
            f"key, class and contents, first in {first} and {second}; remove what is a copy"
        )
    stems = [name.removeprefix("data/").removesuffix(".tar") for name in tars.names]
    return [
        replace(rows, keys=pc.binary_join_element_wise(stem, rows.keys, "/"))
        for stem, rows in zip(stems, shards, strict=True)
    ]


def _joined(tars: TarSet, shards: list[ShardRows]) -> Columns:
    """The columns of all shards, whose rows are freed on the way."""
    counts = [len(rows.keys) for rows in shards]
    digits = {rows.digits() for rows in shards if len(rows.keys)}
    own = next(iter(digits)) if len(digits) == 1 else None
    identities = np.concatenate([rows.identities for rows in shards])
    numbers, labels = np.unique(identities, return_inverse=True)
    numbers, names, rank = _by_name(numbers, _names(tars))
    labels = rank[labels].astype(np.int32)
    arrays = {
        "label": labels,
        "block": _column(shards, "offsets", np.uint32, BLOCK),
        "size": _column(shards, "sizes", np.uint32),
        "digest": _column(shards, "digests", np.uint64),
        "number": numbers,
        "name": names,
        "shard_name": np.array([name.encode() for name in tars.names]),
        "shard_start": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    }
    if own:
        arrays["image"] = _column(shards, "images", np.uint32)
        _refuse_doubled(arrays["label"].astype(np.int64) << 32 | arrays["image"], shards)
    else:
        arrays["key"] = np.concatenate([_as_bytes(rows.keys) for rows in shards])
        _refuse_doubled(arrays["key"], shards)
    fingerprint = _fingerprint(shards, names, labels)
    return Columns(arrays, {"fingerprint": fingerprint, "digits": own})


def _column(shards: list[ShardRows], name: str, kind: type, divisor: int = 1) -> np.ndarray:
    return np.concatenate([(getattr(rows, name) // divisor).astype(kind) for rows in shards])


def _as_bytes(keys: pa.Array) -> np.ndarray:
    return np.array([key.encode() for key in keys.to_pylist()], dtype=np.bytes_)


def numbered(identities: np.ndarray, images: np.ndarray, digits: tuple[int, int]) -> pa.Array:
    """IDENTITY_IMAGE of each pair of numbers."""
    identity, image = (pa.array(part).cast(pa.string()) for part in (identities, images))
    padded = (pc.utf8_lpad(identity, digits[0], "0"), pc.utf8_lpad(image, digits[1], "0"))
    return pc.binary_join_element_wise(*padded, "_")


def _of_table(tars: TarSet, name: str) -> ShardRows:
    """The images of a shard by its table of metadata."""
    try:
        table = read_table(tars.get(name), WANTED).combine_chunks()
        missing = sorted(set(WANTED) - set(table.column_names))
        if missing:
            raise KeyError(missing[0])
        column = {wanted: table[wanted].combine_chunks() for wanted in WANTED}
        heads = pc.binary_slice(pc.cast(column["sha256"], pa.binary()), 0, 16).to_pylist()
        digests = np.frombuffer(bytes.fromhex(b"".join(heads).decode()), np.uint64)
        identities, images, offsets, sizes = (
            column[name].to_numpy(zero_copy_only=False).astype(np.int64) for name in WANTED[1:5]
        )
        rows = ShardRows(column["key"], identities, images, offsets, sizes, digests)
        if len(digests) != len(rows.keys) or rows.keys.null_count:
            raise ValueError("a value is missing")
        return rows
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"source.path: {tars.store.url}/{name} is no table of metadata "
            f"({type(error).__name__}: {error}); restore it"
        ) from None


def _scanned(tars: TarSet, name: str) -> ShardRows:
    """The images of a tar that has no table."""
    scanned = scan(tars.store.stream(name), f"{tars.store.url}/{name}")
    tars.check(name, scanned.sha256)
    found = scanned.images
    ends = [image.stem.rpartition("_")[2] for image in found]
    numbers = [int(end) if end.isdecimal() and len(end) < 9 else 0 for end in ends]
    return ShardRows(
        pa.array([image.stem for image in found], pa.string()),
        np.array([image.identity for image in found], np.int64),
        np.array(numbers, np.int64),
        np.array([image.offset for image in found], np.int64),
        np.array([image.size for image in found], np.int64),
        np.frombuffer(b"".join(image.sha256[:8] for image in found), np.uint64),
        scanned.left_out,
    )


def _check(rows: ShardRows, size: int, name: str) -> None:
    """Raise SourceError for images that do not lie in their tar."""
    ends = rows.offsets + rows.sizes
    outside = (rows.offsets < BLOCK) | (rows.offsets % BLOCK != 0) | (rows.sizes < 0)
    outside |= (ends > size) | (rows.offsets >= BLOCK << 32) | (rows.sizes >= 1 << 32)
    outside |= (rows.identities < 0) | (rows.images < 0) | (rows.images >= 1 << 32)
    if outside.any():
        key = rows.keys[int(np.flatnonzero(outside)[0])]
        raise SourceError(
            f"source.path: image {key} lies outside of {name}, which has {size} bytes; restore it "
            "and its metadata"
        )


def source_people(tars: TarSet) -> dict[str, str] | None:
    """What a release calls everybody whom it has from a source, by the names of their classes.

    People of its own (virtual ones) are left out. None for tars without a roster.
    """
    if tars.roster is None:
        return None
    called = _called(tars)
    names = _names(tars)
    return {names.get(index, _class_name(index)): name for index, name in called.items() if name}


def _called(tars: TarSet) -> dict[int, str]:
    """Names by class number of everybody in a release; empty names of people of its own."""
    assert tars.roster is not None
    try:
        rows = read_table(tars.get(tars.roster), ["index", "name"]).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"source.path: {tars.store.url}/{tars.roster} is not a release's roster "
            f"({type(error).__name__}); restore it"
        ) from None
    return {row["index"]: row["name"] or "" for row in rows}


def _names(tars: TarSet) -> dict[int, str]:
    """Names by class number of the identities that a release has from a source.

    Empty where one of them is called by the class number of another, or by the name of another.
    """
    if tars.roster is None:
        return {}
    called = _called(tars)
    names = {index: name for index, name in called.items() if name}
    numbers = {_class_name(index) for index, name in called.items() if not name}
    alone = len(set(names.values())) == len(names) and not numbers & set(names.values())
    return names if alone else {}


def _class_name(number: int) -> str:
    """The class number as text that sorts."""
    return f"{number:012d}"


def _by_name(
    numbers: np.ndarray, names: dict[int, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class numbers and names in the order of the names, and the place of each number in it."""
    texts = [names.get(number, _class_name(number)) for number in numbers.tolist()]
    order = np.array(sorted(range(len(texts)), key=texts.__getitem__), np.int64)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    sorted_names = np.array([texts[place].encode() for place in order], dtype=np.bytes_)
    return numbers[order].astype(np.int64), sorted_names, rank


def _refuse_doubled(keys: np.ndarray, shards: list[ShardRows]) -> None:
    """Raise SourceError where a key stands for two images."""
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if len(again):
        index = int(order[again[0]])
        ends = np.cumsum([len(rows.keys) for rows in shards])
        shard = int(np.searchsorted(ends, index, "right"))
        key = shards[shard].keys[index - int(ends[shard]) + len(shards[shard].keys)].as_py()
        raise SourceError(
            f"source.path: {len(again)} keys stand for two images, first {key!r}; rename one of "
            "them"
        )


def _fingerprint(shards: list[ShardRows], names: np.ndarray, labels: np.ndarray) -> str:
    """sha256 of a line `key size name` for each image."""
    digest, first = hashlib.sha256(), 0
    for rows in shards:
        stop = first + len(rows.keys)
        people = pa.array(names[labels[first:stop]], pa.binary()).cast(pa.string())
        sizes = pa.array(rows.sizes).cast(pa.string())
        lines = pc.binary_join_element_wise(rows.keys, sizes, people, " ").to_pylist()
        if lines:
            digest.update((("\n" if first else "") + "\n".join(lines)).encode())
        first = stop
    return digest.hexdigest()
