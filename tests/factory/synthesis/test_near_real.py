"""A face that is somebody real to the judge stays out of a unit, and so does a person by the mean.

The judge of these tests reads who is painted: its vector of a face is an axis that is the
identity's own, turned toward a real person (axis 0) by an angle that a table gives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.errors import IntegrityError
from factory.evaluation.consistency import class_figures
from factory.execution.retries import RetryState
from factory.quality.filters import NEAR_REAL_PERSON, TOO_FEW_IMAGES
from factory.quality.real_limits import is_leak
from factory.quality.scores import Scorer
from factory.records import Scores
from factory.shards import layout, manifest
from factory.shards.private_files import (
    put_spared_again,
    read_spared,
    spared_sha256,
    write_spared,
)
from factory.shards.reader import iterate_kept
from factory.shards.writer import Encoding
from factory.shots.plan import Plan
from factory.shots.request import SparedPeople
from factory.sources.decoding import decode_image
from factory.store import LocalStore
from factory.synthesis.commit_queue import CommitQueue
from factory.synthesis.maker import ShardMaker
from factory.synthesis.near_real import NearReal
from factory.synthesis.scoring import EmbeddedBatch
from tests.grown import DIM, Painter, Reader, begin, never, often, plan_of
from tests.planned import shots_of

REAL = np.eye(2, DIM, dtype=np.float32)
LIMITS = SparedPeople("e" * 64, 0.01, 0.75, 0.6, spared_sha256(REAL))
K = 4
EXACT = {"images_per_identity": K, "identities_per_unit": 3, "min_images": K}
REPLACED = EXACT | {"on_shortfall": "replace", "reserve_fraction": 1.0}


class Judge:
    """Cosine to the first real person by (identity, image, attempt); else by what is asked."""

    sha256, dim, image_px = LIMITS.judge_sha256, DIM, 16

    def __init__(self, cosine_of=lambda identity, image, attempt: 0.1):
        self._cosine_of, self.seen = cosine_of, []

    def embed(self, images_NHWC):
        unit = np.zeros((len(images_NHWC), DIM), np.float32)
        for row, (identity, image, attempt) in enumerate(images_NHWC[:, 0, 0].tolist()):
            cosine = self._cosine_of(identity, image, attempt)
            # each image its own axis, so that a mean is nearer to a real person than its faces
            unit[row, 0], unit[row, 2 + (K * identity + image) % (DIM - 2)] = (
                cosine,
                (1 - cosine**2) ** 0.5,
            )
        self.seen.append(images_NHWC.copy())
        return unit

    embed_with_mirror = embed


def make(store, plan, roster, cosine_of=None, fails=never, *, retry=None, units=None):
    """Make units with a judge by `cosine_of`, or without one, and seal them."""
    if not store.exists(layout.PLAN):
        begin(store, plan, roster)
    scorer = Scorer(roster.unit_ND, np.eye(1, DIM, DIM - 2, dtype=np.float32), {})
    queue = CommitQueue(store, roster.identities, Encoding("jpeg", 90), 1 << 20)
    guard = NearReal(Judge(cosine_of), Encoding("png", 90), LIMITS, REAL) if cosine_of else None
    maker = ShardMaker(plan, roster, Painter(), Reader(fails), scorer, queue, guard)
    try:
        for unit in units if units is not None else [unit.index for unit in plan.units]:
            maker.make(unit, retry)
        maker.flush()
        assert queue.budget.used == 0
    finally:
        maker.close()
    counts = manifest.collect(store, plan).counts
    assert counts.adds_up()
    return counts


def store_in(folder) -> LocalStore:
    return LocalStore(folder).below("releases/0.1.0")


def kept_of(store, plan) -> dict[int, list[tuple[int, int]]]:
    kept: dict[int, list[tuple[int, int]]] = {}
    for row, _ in iterate_kept(store, plan):
        kept.setdefault(row["identity"], []).append((row["image"], row["attempt"]))
    return kept


def rejects_of(store, plan) -> list[dict]:
    names = [store.path(layout.rejects_name(unit.index)) for unit in plan.units]
    return [row for name in names for row in pq.read_table(name).to_pylist()]


def test_a_planted_face_is_rejected_and_drawn_again(tmp_path):
    plan, roster = plan_of(3, **EXACT | {"min_images": 1})
    planted = {(1, 2, 0): 0.76, (2, 0, 0): 0.75}
    store = store_in(tmp_path)
    counts = make(store, plan, roster, lambda *shot: planted.get(shot, 0.1))
    assert counts.reasons == {NEAR_REAL_PERSON: 1}, "at the limit is no leak, above it is"
    assert [(r["identity"], r["image"], r["attempt"]) for r in rejects_of(store, plan)] == [
        (1, 2, 0)
    ]
    assert (2, 1) in kept_of(store, plan)[1]
    assert (counts.kept, counts.topups) == (3 * K, 1)


def test_a_person_near_by_the_mean_alone_loses_all_faces_and_a_reserve_is_drawn(tmp_path):
    plan, roster = plan_of(3, **REPLACED)
    store = store_in(tmp_path)
    counts = make(store, plan, roster, lambda identity, *_: 0.5 if identity == 1 else 0.1)
    assert 0.5 < LIMITS.face_cosine
    mean_cosine = 0.5 / (0.25 + 0.75 / K) ** 0.5  # of K faces at .5 that share nothing else
    assert mean_cosine > LIMITS.center_cosine > 0.5
    assert counts.reasons == {NEAR_REAL_PERSON: K}
    assert {row["identity"] for row in rejects_of(store, plan)} == {1}
    assert {one: len(images) for one, images in kept_of(store, plan).items()} == {0: K, 2: K, 3: K}
    assert (counts.identities, counts.short) == (3, 0)


def test_a_mean_is_that_of_the_faces_that_stay(tmp_path):
    """A face that another filter rejects does not make a mean farther."""
    plan, roster = plan_of(3, **EXACT | {"min_images": 1, "max_rounds": 1})
    table = {(1, image): 0.5 for image in range(3)} | {(1, 3): -0.99}
    unlike = lambda identity, image, attempt: (identity, image) == (1, 3)  # noqa: E731
    for name, fails, wanted in (("all", never, {0, 1, 2}), ("less", unlike, {0, 2})):
        store = store_in(tmp_path / name)
        make(store, plan, roster, lambda i, image, _: table.get((i, image), 0.1), fails)
        assert set(kept_of(store, plan)) == wanted


def test_a_face_that_is_rejected_for_being_near_does_not_make_a_mean_nearer(tmp_path):
    plan, roster = plan_of(3, **EXACT | {"min_images": 1, "max_rounds": 1})
    table = {(1, 0): 0.99} | {(1, image): 0.3 for image in (1, 2, 3)}
    mean_cosine = (0.99 + 0.9) / np.hypot(0.99 + 0.9, (0.14**2 + 3 * 0.954**2) ** 0.5)
    assert mean_cosine > LIMITS.center_cosine > 0.3 / np.hypot(0.3, 0.954 / 3**0.5)
    store = store_in(tmp_path)
    counts = make(store, plan, roster, lambda i, image, _: table.get((i, image), 0.1))
    assert counts.reasons == {NEAR_REAL_PERSON: 1}
    assert {image for image, _ in kept_of(store, plan)[1]} == {1, 2, 3}


def test_reserves_are_spared_alike_and_reasons_are_told_apart(tmp_path):
    plan, roster = plan_of(3, **REPLACED)
    store = store_in(tmp_path)
    near = lambda identity, *_: 0.5 if identity in (1, 3, 4) else 0.1  # noqa: E731
    fails = lambda identity, image, attempt: (identity, image) == (0, 0)  # noqa: E731
    counts = make(store, plan, roster, near, fails)
    assert counts.reasons[NEAR_REAL_PERSON] == 3 * K
    assert counts.reasons[TOO_FEW_IMAGES] == K - 1
    assert set(kept_of(store, plan)) == {2, 5}


def test_kept_faces_and_means_are_below_the_limits_and_rejected_ones_are_not(tmp_path):
    """By brute force with the audit's own centers, where filters reject others besides."""
    rng = np.random.default_rng(3)
    table = rng.uniform(0, 0.9, (DIM, K, 12))
    plan, roster = plan_of(11, **EXACT | {"min_images": 1})
    store = store_in(tmp_path)
    cosine_of = lambda i, image, attempt: float(table[i, image, attempt])  # noqa: E731
    make(store, plan, roster, cosine_of, often)
    kept, gone = kept_of(store, plan), Counter()
    for row in rejects_of(store, plan):
        if row["reason"] == NEAR_REAL_PERSON:
            gone[row["identity"]] += (
                cosine_of(row["identity"], row["image"], row["attempt"]) <= 0.75
            )

    def center_cosine(shots):
        images = np.zeros((len(shots), 1, 1, 3), int)
        images[:, 0, 0] = shots
        unit = Judge(cosine_of).embed(images)
        center = class_figures(unit, np.zeros(len(unit), int)).center_KD
        return (center.astype(float) @ REAL.T.astype(float)).max(1)

    for identity, shots in kept.items():
        assert all(cosine_of(identity, *shot) <= 0.75 for shot in shots)
        assert not is_leak(center_cosine([(identity, *shot) for shot in shots]), 0.6)
    by_mean = {identity for identity, count in gone.items() if count}
    assert by_mean
    assert kept
    assert not by_mean & set(kept)


def test_without_a_judge_bytes_are_as_they_were_and_resumes_give_the_same(tmp_path):
    plan, roster = plan_of(9, **REPLACED)
    cosine_of = lambda i, image, attempt: 0.9 if (i + image + attempt) % 5 == 0 else 0.1 * (i % 7)  # noqa: E731
    sums = []
    alone = RetryState(deaths=1)
    for name, retry, parts in (
        ("whole", None, [None]),
        ("after a death", alone, [None]),
        ("parts", None, [[2, 0], [1, 0]]),
    ):
        store = store_in(tmp_path / name)
        for units in parts:
            if units:
                begin_once(store, plan, roster)
                make_some(store, plan, roster, cosine_of, units)
                store.delete(layout.commit_name(units[0]))
        make(store, plan, roster, cosine_of, often, retry=retry)
        sums.append(
            {
                name: store.sha256(name)
                for name in store.list("")
                if name.startswith(("data/", "metadata/", "rejects/"))
            }
        )
    assert sums[0] == sums[1] == sums[2]
    assert manifest.collect(store, plan).counts.reasons[NEAR_REAL_PERSON]


def begin_once(store, plan, roster):
    if not store.exists(layout.PLAN):
        begin(store, plan, roster)


def make_some(store, plan, roster, cosine_of, units):
    scorer = Scorer(roster.unit_ND, np.eye(1, DIM, DIM - 2, dtype=np.float32), {})
    queue = CommitQueue(store, roster.identities, Encoding("jpeg", 90), 1 << 20)
    guard = NearReal(Judge(cosine_of), Encoding("png", 90), LIMITS, REAL)
    maker = ShardMaker(plan, roster, Painter(), Reader(often), scorer, queue, guard)
    for unit in units:
        maker.make(unit)
    maker.flush()
    maker.close()


def test_the_judge_sees_what_is_stored_and_a_whole_batch():
    judge, encoding = Judge(), Encoding("jpeg", 60)
    guard = NearReal(judge, encoding, LIMITS, REAL)
    shots = shots_of(plan_of(3)[0].request, [(0, 0), (1, 0), (2, 0)])
    drawn = Painter().generate(shots, 5)
    before = drawn.images_BHWC.copy()
    found = guard.embed(EmbeddedBatch(shots, drawn, np.zeros((5, DIM))), [shots[0], shots[2]])
    assert list(found) == [shots[0], shots[2]]
    (seen,) = judge.seen
    assert seen.shape == before.shape
    for slot in (0, 2):
        stored = decode_image(encoding.encode(before[slot]), "any", 1 << 20)
        assert (seen[slot] == stored).all()
        assert (seen[slot] != before[slot]).any()
    assert (drawn.images_BHWC == before).all(), "what is stored later is not changed"
    assert guard.embed(EmbeddedBatch(shots, drawn, np.zeros((5, DIM))), []) == {}
    assert len(judge.seen) == 1


def test_vectors_are_private_checked_and_made_anew_to_the_bit(tmp_path):
    plan, roster = plan_of(3)
    plan = Plan(replace(plan.request, spared=LIMITS), plan.roster_sha256, plan.units)
    store = store_in(tmp_path)
    begin(store, plan, roster)
    assert Plan.from_json(store.get(layout.PLAN)) == plan
    with pytest.raises(IntegrityError, match=r"spared\.npy: is gone or not the one the plan"):
        read_spared(store, plan)
    write_spared(store, REAL)
    assert (read_spared(store, plan) == REAL).all()
    assert [name for name in store.list("") if "spared" in name] == []
    private = layout.private_store(store)
    for data in (b"nobody wrote this", b""):
        private.put(layout.SPARED_PEOPLE, data)
        with pytest.raises(IntegrityError, match="is gone or not the one"):
            read_spared(store, plan)
    private.delete(layout.SPARED_PEOPLE)
    write_spared(store, np.eye(3, DIM, dtype=np.float32))
    with pytest.raises(IntegrityError, match="is gone or not the one"):
        read_spared(store, plan)
    private.delete(layout.SPARED_PEOPLE)
    with pytest.raises(IntegrityError, match="embeds the people of the source otherwise"):
        put_spared_again(store, plan, REAL + np.float32(1e-7))
    put_spared_again(store, plan, REAL)
    assert (read_spared(store, plan) == REAL).all()


def test_scores_have_no_field_of_the_judge():
    """Because tables of all releases would change, and a cosine to somebody real be published."""
    assert not [name for name in Scores.__dataclass_fields__ if "judge" in name]
