"""Vectors beside metadata: their order, their digest, and nobody real among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.errors import IntegrityError
from factory.records import Counts, Identity, Timings, UnitResult
from factory.shards import layout, manifest, writer
from factory.shards.vectors import read_vectors, vectors_file
from factory.store import LocalStore
from tests.factory.shards.test_shards import PLAN, WHO, make_faces

VECTORS = np.arange(4 * 3, dtype=np.float16).reshape(4, 3)
KINDS = {"virtual", "real", "edited"}


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "release")


def result(unit: int = 0, vectors: dict | None = None) -> UnitResult:
    counts, timings = Counts(4, 0, 4, 0, 0), Timings(0.0, 1.0, 0.5, 0.7)
    kept, vectors = make_faces(), {"net": VECTORS} if vectors is None else vectors
    return UnitResult(unit, PLAN.hash, counts, timings, kept, vectors=vectors)


def test_vectors_are_committed_with_the_faces_and_read_back_in_their_order(store):
    shard = writer.commit(store, result(), WHO)
    assert shard.files[-1].name == layout.vectors_name(0) in layout.files_of(0)
    (vectors,) = read_vectors(store, shard).items()
    assert vectors[0] == "net"
    assert vectors[1].dtype == np.float32
    assert (vectors[1] == VECTORS).all()
    assert store.size(layout.vectors_name(0)) < 200  # two bytes a value, and a header


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("place", [0, 1])
def test_a_unit_with_somebody_who_is_not_virtual_has_no_vectors(kind, place):
    people = [replace(one, kind=kind) if i == place else one for i, one in enumerate(WHO)]
    assert (vectors_file(result(), people) is not None) == (kind == "virtual")


def test_somebody_real_whose_faces_were_all_rejected_counts_too():
    people: list[Identity] = [WHO[0], replace(WHO[1], kind="real")]
    kept, rejected = make_faces()[:2], [(face, "blurry") for face in make_faces()[2:]]
    made = replace(result(), kept=kept, rejected=rejected, vectors={"net": VECTORS[:2]})
    assert vectors_file(made, people) is None
    assert vectors_file(replace(made, rejected=[]), people) is not None


def test_vectors_that_are_not_one_a_face_are_never_written(store):
    with pytest.raises(IntegrityError, match="unit 0: 3 vectors by net for 4 kept faces"):
        writer.commit(store, result(vectors={"net": VECTORS[:3]}), WHO)
    assert not store.list("")


def test_a_file_with_another_digest_is_refused_and_a_deleted_one_is_no_file(store):
    shard = writer.commit(store, result(), WHO)
    data = store.get(layout.vectors_name(0))
    store.put(layout.vectors_name(0), data[:-1] + b"\xff")
    with pytest.raises(IntegrityError, match=r"vectors/000000\.safetensors: does not have its"):
        read_vectors(store, shard)
    store.delete(layout.vectors_name(0))
    assert read_vectors(store, shard) == {}


@pytest.mark.parametrize("keep", [False, True])
def test_a_release_keeps_its_vectors_or_is_published_without(store, keep):
    vectors = {"net": VECTORS}
    plan = replace(PLAN, units=PLAN.units[:1], roster_sha256={})
    counts = Counts(4, 0, 4, 0, 0)
    made = replace(result(vectors=vectors), plan_hash=plan.hash, counts=counts)
    writer.commit(store, made, WHO)
    store.put(layout.PLAN, plan.to_json())
    manifest.seal(store, plan, 0.0, keep_vectors=keep)
    assert (layout.VECTORS.encode() in store.get(layout.SUMS)) == keep
    assert (layout.VECTORS.encode() in store.get(layout.MANIFEST)) == keep
    assert store.exists(layout.vectors_name(0)), "beside the release until it is published"
    manifest.drop_what_makers_needed(store)
    assert store.exists(layout.vectors_name(0)) == keep
    assert (store.root / layout.VECTORS).exists() == keep, "no empty folder is left"
