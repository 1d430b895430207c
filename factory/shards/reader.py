"""Kept faces of a release back from its store, by the offsets in the metadata."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from factory.errors import IntegrityError
from factory.shards import layout
from factory.shards.manifest import collect
from factory.shots.older_plans import column_names
from factory.shots.plan import Plan
from factory.store import LocalStore, Store
from factory.store.atomic import write_atomically, writing
from factory.store.base import digest
from factory.store.parquet import read_table
from factory.store.references import following

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""Keys of images, of older releases too."""


def open_sealed(store: Store) -> Store:
    """A release in whose store the files of units are found, wherever they lie.

    A union lists files that other versions hold; any other release is `store` itself.
    """
    if not store.exists(layout.SUMS):
        return store
    lines = store.get(layout.SUMS).decode(errors="replace").splitlines()
    return following(store, (line.partition("  ")[2] for line in lines))


def content_of(store: Store, name: str, sha256: str) -> bytes:
    """A file; raises IntegrityError for other bytes than were committed or sealed."""
    data = store.get(name)
    if digest([data]) != sha256:
        raise IntegrityError(f"{store.url}/{name}: does not have its sha256; restore it")
    return data


def metadata_rows(store: Store, unit: int) -> list[dict[str, Any]]:
    """Rows of a shard's kept faces, in the order of the tar.

    Keys and identities become names of files, so IntegrityError is raised for such as no release
    has.
    """
    name = layout.metadata_name(unit)
    table = read_table(store.get(name))
    names = list(column_names(dict.fromkeys(table.column_names)))
    rows: list[dict[str, Any]] = table.rename_columns(names).to_pylist()
    for row in rows:
        check_key(f"{store.url}/{name}", row["key"], row["identity"])
    return rows


def check_key(where: str, key: object, identity: object) -> None:
    """Raise IntegrityError unless an image's key and class number may be names of files."""
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise IntegrityError(
            f"{where}: an image has the key {key!r}; want letters, digits, - _ . as a release has "
            "them; restore the table"
        )
    if not isinstance(identity, int) or identity < 0:
        raise IntegrityError(
            f"{where}: {key} is of identity {identity!r}; want a number; restore the table"
        )


def read_face(store: Store, unit: int, row: dict[str, Any]) -> bytes:
    """JPEG bytes of one kept face of a unit, by its metadata row."""
    start = int(row["offset"])
    return b"".join(store.stream(layout.tar_name(unit), start, start + int(row["size"])))


def local_copy(store: Store, plan: Plan, folder: str) -> Path:
    """Shards and roster of a sealed release as a folder of this machine.

    The folder of a local release itself; else one below `folder`, into which shards are fetched
    that are not there whole. Raises IntegrityError where one that is fetched does not have its
    digest; what lies there already is for `verify` to check.
    """
    store = open_sealed(store)
    if isinstance(store, LocalStore):
        return store.root
    root = Path(folder) / plan.hash[:16]
    roster = store.get(layout.ROSTER)
    if digest([roster]) != plan.roster_sha256[layout.ROSTER]:
        raise IntegrityError(f"{store.url}/{layout.ROSTER}: does not have its sha256")
    write_atomically(root / layout.ROSTER, roster)
    for shard in collect(store, plan).shards:
        tar = next(file for file in shard.files if file.name == layout.tar_name(shard.unit))
        path = root / tar.name
        if path.exists() and path.stat().st_size == tar.size:
            continue
        with writing(path) as file:
            total = hashlib.sha256()
            for block in store.stream(tar.name):
                total.update(block)
                file.write(block)
            if total.hexdigest() != tar.sha256:
                raise IntegrityError(
                    f"{store.url}/{tar.name}: does not have its sha256; restore it"
                )
    return root


def iterate_kept(store: Store, plan: Plan) -> Iterator[tuple[dict[str, Any], bytes]]:
    """(metadata row, JPEG bytes) of every kept face, shard by shard."""
    for unit in plan.units:
        data = store.get(layout.tar_name(unit.index))
        for row in metadata_rows(store, unit.index):
            yield row, data[row["offset"] : row["offset"] + row["size"]]
