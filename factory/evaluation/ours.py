"""Whether images are from a release at hand: by sha256 or a perceptual hash.

The sha256 of a metadata row is proof. The perceptual hash finds what was encoded, resized, mirrored
or lit anew, or lost up to 3 % of a side at each edge; the nearest kept image counts. No face is
compared with another, so a person is not found by another image, unless it is nearly the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.errors import IntegrityError, StoreError
from factory.evaluation.duplicates import distances, packed
from factory.evaluation.embeddings import MAX_PIXELS
from factory.evaluation.image_queries import HASHES, Query
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.provenance.withdrawn import withdrawal_of
from factory.shards import layout
from factory.shards.reader import metadata_rows, open_sealed
from factory.shards.units import OnUnit, unheard
from factory.sources.base import CorruptImageError
from factory.sources.decoding import decode_image
from factory.store import Store
from factory.store.parquet import read_table

MAX_BITS = 24
"""Bits of 255 up to which two hashes are taken for one image. Those of two people of the starter
pack differ in 32 or more, in 7.3 million pairs (README of this room)."""
BLOCK = 1024
"""Hashes of queries that are compared with a shard at once."""
DECODERS = 4
"""Images of a shard decoded at once; Pillow and OpenCV release the interpreter."""


@dataclass(frozen=True)
class Match:
    """The image of a release that a query is, or is made of."""

    release: str
    """Dataset and version."""
    key: str
    identity: int
    bits: int
    """Bits of 255 in which the hashes differ; -1 where sha256 is the same."""

    def __str__(self) -> str:
        which = f"{self.key}, identity {self.identity} of {self.release}"
        if self.bits < 0:
            return f"is {which} (the same sha256)"
        return f"is made of {which} ({self.bits} of 255 bits of the perceptual hash differ)"


def search(queries: Sequence[Query], store: Store, on_unit: OnUnit = unheard) -> dict[str, Match]:
    """The matches of a sealed release by the names of queries; the others have none.

    First sha256 by the columns of metadata/, then images shard by shard while a query is left.
    `on_unit` hears (units looked through, units in all). Raises StoreError for a release that is
    not sealed or whose people are deleted, IntegrityError for a tar that its metadata does not
    describe, and for a file that is gone.
    """
    if not store.exists(layout.SUCCESS):
        raise StoreError(f"{store.url}: is not a sealed release; finish it first")
    mark = withdrawal_of(store)
    if mark and mark.deleted:
        raise StoreError(f"{store.url}: {mark.line}")
    try:
        return _search(queries, open_sealed(store), on_unit)
    except FileNotFoundError as error:
        raise IntegrityError(
            f"{store.url}: has lost a file ({error.filename or error}); run jobs.verify and "
            "restore it"
        ) from None


def _search(queries: Sequence[Query], store: Store, on_unit: OnUnit) -> dict[str, Match]:
    manifest = json.loads(store.get(layout.MANIFEST))
    release = f"{manifest['dataset']} {manifest['version']}"
    sealed = (line.partition("  ")[2] for line in store.get(layout.SUMS).decode().splitlines())
    units = sorted({unit for name in sealed if (unit := layout.unit_of(name)) is not None})
    found = _same_bytes(queries, store, units, release)
    left = [query for query in queries if query.name not in found and len(query.hashes_V32)]
    for done, unit in enumerate(units if left else [], start=1):
        rows, hashes_N32 = _unit_hashes(store, unit)
        for name, (row, bits) in _nearest(left, hashes_N32).items():
            if bits <= MAX_BITS and (name not in found or bits < found[name].bits):
                found[name] = Match(release, rows[row]["key"], rows[row]["identity"], bits)
        on_unit(done, len(units))
    return found


def _same_bytes(
    queries: Sequence[Query], store: Store, units: Sequence[int], release: str
) -> dict[str, Match]:
    """Matches by sha256, from three columns of each metadata file."""
    names: dict[str, list[str]] = {}
    for query in queries:
        names.setdefault(query.sha256, []).append(query.name)
    found = {}
    columns = ["sha256", "key", "identity"]
    for unit in units:
        table = read_table(store.get(layout.metadata_name(unit)), columns).to_pydict()
        for digest, key, identity in zip(*(table[name] for name in columns), strict=True):
            for name in names.get(digest, ()):
                found[name] = Match(release, str(key), int(identity), -1)
    return found


def _unit_hashes(store: Store, unit: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Metadata rows of a shard and packed hashes [N, 32] of its images."""
    rows, data = metadata_rows(store, unit), store.get(layout.tar_name(unit))
    space = PerceptualHash()

    def hashed(row: Mapping[str, Any]) -> np.ndarray:
        start = int(row["offset"])
        image = decode_image(data[start : start + int(row["size"])], row["key"], MAX_PIXELS)
        return np.asarray(packed(space.embed(image[None]))[0])

    try:
        with ThreadPoolExecutor(DECODERS) as pool:
            hashes = list(pool.map(hashed, rows))
    except CorruptImageError as error:
        raise IntegrityError(
            f"{store.url}/{layout.tar_name(unit)}: {error}; run jobs.verify and restore it"
        ) from None
    return rows, np.array(hashes, np.uint8).reshape(len(rows), 32)


def _nearest(queries: Sequence[Query], hashes_N32: np.ndarray) -> dict[str, tuple[int, int]]:
    """(row of the nearest hash, bits that differ) by the names of queries."""
    nearest: dict[str, tuple[int, int]] = {}
    if not len(hashes_N32):
        return nearest
    size = BLOCK // HASHES
    for start in range(0, len(queries), size):
        part = queries[start : start + size]
        bits_QN = distances(np.concatenate([query.hashes_V32 for query in part]), hashes_N32)
        bits_QN = bits_QN.reshape(len(part), HASHES, -1).min(1)
        for query, row, bits in zip(part, bits_QN.argmin(1), bits_QN.min(1), strict=True):
            nearest[query.name] = int(row), int(bits)
    return nearest
