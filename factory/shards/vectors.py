"""Vectors of a unit's kept faces, as their maker knew them, in a file beside its metadata.

A safetensors file whose tensors [K, D] are in the order of the tar and named by the sha256 of the
network that gave them; makers write float16. A vector is a face template: there is none of a unit
that holds a real or edited person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.errors import IntegrityError
from factory.records import Face, Identity, Shard, UnitResult, person_of
from factory.shards import layout
from factory.store import Store
from factory.store.base import digest


def vectors_file(result: UnitResult, identities: Sequence[Identity]) -> bytes | None:
    """The file of a unit that is made; None where somebody in it is not virtual, or none is known.

    `identities` is the whole roster.
    """
    from safetensors.numpy import save

    if not result.vectors or not all(_is_virtual(face, identities) for face in _faces(result)):
        return None
    for sha256, vectors_KD in result.vectors.items():
        if len(vectors_KD) != len(result.kept):
            raise IntegrityError(
                f"unit {result.unit}: {len(vectors_KD)} vectors by {sha256[:12]} for "
                f"{len(result.kept)} kept faces"
            )
    return bytes(save({name: np.ascontiguousarray(v) for name, v in result.vectors.items()}))


def read_vectors(store: Store, shard: Shard) -> dict[str, np.ndarray]:
    """float32 vectors [K, D] of a unit's kept faces by sha256 of the network; empty without a file.

    Raises IntegrityError for a file that has not the digest of the commit record.
    """
    from safetensors.numpy import load

    name = layout.vectors_name(shard.unit)
    committed = next((file for file in shard.files if file.name == name), None)
    if committed is None:
        return {}
    try:
        data = store.get(name)
    except FileNotFoundError:  # deleted, because the release is published without it
        return {}
    if digest([data]) != committed.sha256:
        raise IntegrityError(f"{store.url}/{name}: does not have its sha256; delete or restore it")
    return {network: np.asarray(v, np.float32) for network, v in load(data).items()}


def _faces(result: UnitResult) -> list[Face]:
    return [*result.kept, *(face for face, _ in result.rejected)]


def _is_virtual(face: Face, identities: Sequence[Identity]) -> bool:
    return person_of(identities, face.shot.identity).kind == "virtual"
