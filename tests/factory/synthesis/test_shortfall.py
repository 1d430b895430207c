"""The exactly-k contract: whoever has too few images is kept, dropped, replaced, or stops it."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow.parquet as pq
import pytest

from factory.errors import PlanError
from factory.quality.filters import TOO_FEW_IMAGES
from factory.records import Counts
from factory.report.tables import headline, images_of_each
from factory.shards import layout, manifest
from factory.shards.reader import iterate_kept, metadata_rows
from factory.shards.verify import verify
from factory.shots.plan import Plan
from factory.store import LocalStore
from tests.grown import begin, make_release, make_units, never, often, plan_of, publish

K, PEOPLE, EACH, ROUNDS = 4, 11, 3, 3
EXACT = {"images_per_identity": K, "identities_per_unit": EACH, "min_images": K}


def open_release(folder) -> LocalStore:
    return LocalStore(folder).below("releases/0.1.0")


def kept_by_identity(store, plan) -> Counter[int]:
    return Counter(row["identity"] for row, _ in iterate_kept(store, plan))


def images_kept(identity: int, group: int = 0) -> int:
    """How many of an identity's K images some round keeps, by asking each of its shots."""
    attempts = range(group * ROUNDS, (group + 1) * ROUNDS)
    return sum(any(not often(identity, image, a) for a in attempts) for image in range(K))


def expected(least: int, reserves: int) -> dict[int, int]:
    """Images of each identity of a release with so many reserves a unit, by brute force."""
    result, index = {}, 0
    for start in range(0, PEOPLE, EACH):
        size = min(EACH, PEOPLE - start)
        planned, spare = range(index, index + size), range(index + size, index + size + reserves)
        index += size + reserves
        full = {one: n for one in planned if (n := images_kept(one)) >= least}
        waiting, group = list(spare), 0
        while len(full) < size and waiting:
            group += 1
            turn, waiting = waiting[: size - len(full)], waiting[size - len(full) :]
            full |= {one: n for one in turn if (n := images_kept(one, group)) >= least}
        result |= full
    return result


def check_counts(store, plan) -> Counts:
    """Every unit adds up, and says of its identities what its tables say."""
    for unit in plan.units:
        (shard,) = [s for s in manifest.collect(store, plan).shards if s.unit == unit.index]
        rejects = pq.read_table(store.path(layout.rejects_name(unit.index))).to_pylist()
        kept = Counter(row["identity"] for row in metadata_rows(store, unit.index))
        assert shard.counts.adds_up()
        assert shard.counts.planned == unit.num_shots
        assert shard.counts.rejected == len(rejects)
        assert shard.counts.reasons == Counter(row["reason"] for row in rejects)
        assert shard.counts.identities == len(kept)
        assert shard.counts.short == sum(count < K for count in kept.values())
    return manifest.collect(store, plan).counts


def test_shortfall_keep_is_as_it_was_and_is_no_part_of_a_plan(tmp_path):
    plan = make_release(LocalStore(tmp_path), PEOPLE, often, images_per_identity=K)
    assert not {"min_images", "on_shortfall", "reserve_fraction"} & set(
        plan.request.to_dict()["plan"]
    )
    assert Plan.from_json(plan.to_json()).request == plan.request
    store = open_release(tmp_path)
    assert kept_by_identity(store, plan) == {
        one: n for one in range(PEOPLE) if (n := images_kept(one))
    }
    counts = check_counts(store, plan)
    assert 0 < counts.identities < PEOPLE
    assert counts.short > 0
    rows = dict(headline(plan, manifest.collect(store, plan)))
    assert rows["virtual identities planned"] == PEOPLE
    assert rows["identities with images"] == counts.identities
    assert rows["of these, with fewer images than planned"] == counts.short
    assert images_of_each(plan, manifest.collect(store, plan)) is None


@pytest.mark.parametrize("least", [1, 3, K])
def test_shortfall_drop_leaves_nobody_with_fewer(least, tmp_path):
    settings = EXACT | {"min_images": least, "on_shortfall": "drop"}
    plan = make_release(LocalStore(tmp_path), PEOPLE, often, **settings)
    store = open_release(tmp_path)
    assert kept_by_identity(store, plan) == expected(least, 0)
    counts = check_counts(store, plan)
    dropped = sum(n for one in range(PEOPLE) if (n := images_kept(one)) < least)
    assert counts.reasons.get(TOO_FEW_IMAGES, 0) == dropped
    assert verify(store) == []
    exact = images_of_each(plan, manifest.collect(store, plan))
    assert exact == (K if least == K else None)


@pytest.mark.parametrize("fraction", [0.3, 0.67, 3.0])
def test_shortfall_replace_draws_reserves_until_there_are_enough(fraction, tmp_path):
    settings = EXACT | {"on_shortfall": "replace", "reserve_fraction": fraction}
    plan = make_release(LocalStore(tmp_path), PEOPLE, often, **settings)
    store, reserves = open_release(tmp_path), {0.3: 1, 0.67: 3, 3.0: 9}[fraction]
    kept = kept_by_identity(store, plan)
    assert kept == expected(K, reserves)
    assert set(kept.values()) == {K}
    assert plan.num_shots == PEOPLE * K, "reserves are no planned shots"
    assert plan.next_identity == PEOPLE + reserves * len(plan.units), "each has its own label"
    if fraction == 3.0:
        assert len(kept) == PEOPLE
    counts = check_counts(store, plan)
    assert images_of_each(plan, manifest.collect(store, plan)) == K
    rows = dict(headline(plan, manifest.collect(store, plan)))
    assert rows["reserve identities"] == reserves * len(plan.units)
    assert rows["identities with images"] == len(kept) == counts.identities
    places = Counter((row["attempt"], row["batch"], row["slot"]) for row in metadata_rows(store, 0))
    assert max(places.values()) == 1, "a place in a unit is one shot's"


def test_shortfall_reserves_that_nobody_needs_are_not_drawn(tmp_path):
    settings = EXACT | {"on_shortfall": "replace", "reserve_fraction": 1.0}
    plan = make_release(LocalStore(tmp_path), PEOPLE, never, **settings)
    store = open_release(tmp_path)
    counts = check_counts(store, plan)
    assert (counts.kept, counts.topups, counts.rejected) == (PEOPLE * K, 0, 0)
    assert counts.identities == PEOPLE


def test_shortfall_replace_gives_the_same_bytes_in_any_order_and_after_a_crash(tmp_path):
    settings = EXACT | {"on_shortfall": "replace", "reserve_fraction": 0.67}
    plan, roster = plan_of(PEOPLE, **settings)
    order = [unit.index for unit in plan.units]
    random.Random(2).shuffle(order)
    sums = []
    for name, parts in {"a": [None], "b": [order], "c": [order[:2], order[1:]]}.items():
        dataset = LocalStore(tmp_path / name)
        store = dataset.below("releases/0.1.0")
        begin(store, plan, roster)
        for units in parts:
            make_units(store, plan, roster, often, units)
            if name == "c":  # whoever died had written a tar, and no commit record
                store.delete(layout.commit_name(order[1]))
        make_units(store, plan, roster, often)
        publish(dataset, store, plan)
        sums.append(store.get(layout.SUMS))
    assert sums[0] == sums[1] == sums[2]


def test_shortfall_fail_names_how_many_and_the_first(tmp_path):
    short = [one for one in range(PEOPLE) if images_kept(one) < K]
    with pytest.raises(PlanError) as caught:
        make_release(LocalStore(tmp_path), PEOPLE, often, **EXACT, on_shortfall="fail")
    assert str(caught.value).startswith(
        f"plan.on_shortfall: {len(short)} of {PEOPLE} identities have fewer than "
        f"plan.min_images={K} images, first {short[0]:06d}; "
    )
    assert not open_release(tmp_path).exists(layout.SUMS)


def test_shortfall_fail_seals_what_is_whole(tmp_path):
    plan = make_release(LocalStore(tmp_path), 5, never, **EXACT, on_shortfall="fail")
    assert images_of_each(plan, manifest.collect(open_release(tmp_path), plan)) == K
