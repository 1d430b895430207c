"""Small sealed releases with the files that readers of releases look at, drawn instead of made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from factory.records import Face, Identity, Scores, Shot
from factory.shards import layout
from factory.shards.writer import Encoding, pack
from factory.store import Store
from factory.store.parquet import to_parquet
from tests.conftest import draw_face

Draw = Callable[[int, int, int], np.ndarray]
"""Person, image and side to an RGB uint8 image."""


def write_release(
    store: Store,
    people: list[int],
    images: int,
    *,
    px: int = 16,
    image_format: str = "jpeg",
    names: dict[int, str] | None = None,
    first: int = 0,
    draw: Draw = draw_face,
) -> None:
    """A sealed release whose unit u has `people[u]` people of `images` images each.

    Identities are numbered from `first` on; `names` are those of a source.
    """
    count = sum(people)
    identities = [
        Identity(i, "virtual", "pca", 0, 0.0, 0.0, images, name=(names or {}).get(i, ""))
        for i in range(first, first + count)
    ]
    roster = to_parquet([{"index": person.index, "name": person.name} for person in identities])
    contents = {layout.PLAN: b"{}", layout.ROSTER: roster}
    begin, encoding = first, Encoding(image_format, 90)
    for unit, size in enumerate(people):
        faces = [
            _face(i, image, encoding.encode(draw(i, image, px)))
            for i in range(begin, begin + size)
            for image in range(images)
        ]
        begin += size
        data, rows = pack(faces, identities)
        contents[layout.tar_name(unit)] = data
        contents[layout.metadata_name(unit)] = to_parquet(rows, layout.METADATA_SCHEMA)
    manifest = {"dataset": "drawn", "version": "0.1.0", "plan_hash": "0" * 64}
    body = json.dumps(manifest | {"holds_real_identities": False}).encode()
    contents[layout.MANIFEST] = body
    for name, data in contents.items():
        store.put(name, data)
    seal(store, contents)


def seal(store: Store, contents: dict[str, bytes]) -> None:
    """SHA256SUMS over the files of a release, and the mark of a finished one."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    lines = [f"{digest}  {name}" for name, digest in sorted(digests.items())]
    store.put(layout.SUMS, ("\n".join(lines) + "\n").encode())
    store.put(layout.SUCCESS, b"")


def seal_again(store: Store) -> None:
    """SHA256SUMS over what is there now."""
    kept = (layout.SUMS, layout.SUCCESS)
    seal(store, {name: store.get(name) for name in store.list("") if name not in kept})


def _face(identity: int, image: int, encoded: bytes) -> Face:
    shot = Shot(f"{identity:06d}_{image:04d}", identity, image, 0, 0, "unipc", 4, 1.0, 0, 0)
    plain = {"int": 0, "float": 0.0}
    values = {item.name: plain[str(item.type).split(" ")[0]] for item in fields(Scores)}
    return Face(shot=shot, encoded=encoded, scores=Scores(**values))
