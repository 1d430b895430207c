"""The maker: slots, top-ups, quarantine; and what a sample's bytes may depend on."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from factory.errors import DeviceError, IntegrityError, PlanError
from factory.execution.inline import run_units
from factory.execution.retries import RetryState, ids
from factory.identities.roster import Roster
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.quality.scores import Scorer
from factory.records import DrawnBatch, Identity
from factory.release import build
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.shards.vectors import read_vectors
from factory.shards.writer import Encoding
from factory.shots.plan import Plan, cut_units, first_round_shots
from factory.store import LocalStore, open_store
from factory.synthesis.commit_queue import CommitQueue
from factory.synthesis.generators import SplitOnOutOfMemory, turned
from factory.synthesis.loading import load_release
from factory.synthesis.maker import ShardMaker
from factory.synthesis.reproduce import reproduce
from tests.planned import request_with, shots_of
from tests.vectors import unit_rows

LIMITS = {
    "min_own_cosine": 0.5,
    "min_identity_gap": None,
    "min_brightness": None,
    "max_brightness": None,
}
REQUEST = request_with(filters=LIMITS, plan={"max_rounds": 3}, shards={"jpeg_quality": 90})


class FakeGenerator:
    """Paints identity and attempt into the first pixel; raises for the images it is told to."""

    def __init__(self, poison=()):
        self.poison, self.batches, self.sizes = set(poison), [], []
        self.remarks = []

    def generate(self, shots, batch_size):
        self.sizes.append(batch_size)
        self.batches.append([(s.identity, s.image, s.attempt, s.slot) for s in shots])
        if any((s.identity, s.image, s.attempt) in self.poison for s in shots):
            raise ValueError("cannot draw this")
        images = np.zeros((batch_size, 8, 8, 3), np.uint8)
        for shot in shots:
            images[shot.slot] = 10 * shot.identity + shot.attempt
        return DrawnBatch(images)


class FakeEmbedder:
    """The identity painted in the image, unless (identity, attempt) is listed as a failure."""

    sha256, dim = "fake", 4

    def __init__(self, unlike=()):
        self.unlike = set(unlike)

    def embed(self, images):
        unit = np.zeros((len(images), 4), np.float32)
        for row, value in enumerate(images[:, 0, 0, 0]):
            identity, attempt = divmod(int(value), 10)
            unit[row, 3 if (identity, attempt) in self.unlike else identity] = 1
        return unit


@pytest.fixture
def make(tmp_path):
    def make(generator, embedder, retry=None, max_queued_bytes=1 << 20, topup_batch=None):
        identities = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, 2) for i in range(2)]
        roster = Roster(identities, np.eye(2, 4, dtype=np.float32))
        request = replace(REQUEST, plan=replace(REQUEST.plan, topup_batch=topup_batch))
        plan = Plan(request, {}, cut_units(identities, 2))
        store = LocalStore(tmp_path / "store")
        scorer = Scorer(roster.unit_ND, np.eye(1, 4, 2, dtype=np.float32), {})
        line = CommitQueue(store, identities, Encoding("jpeg", 90), max_queued_bytes)
        maker = ShardMaker(plan, roster, generator, embedder, scorer, line)
        try:
            (shard,) = [*maker.make(0, retry), *maker.flush()]
        finally:
            maker.close()
        return shard, store

    return make


def test_all_kept_in_one_round(make):
    generator = FakeGenerator()
    shard, store = make(generator, FakeEmbedder())
    assert (shard.counts.kept, shard.counts.topups) == (4, 0)
    assert [len(batch) for batch in generator.batches] == [3, 1]
    assert [row["key"] for row in metadata_rows(store, 0)][-1] == "000001_0001"


def test_rejected_shots_are_topped_up_in_batches_of_their_own(make):
    generator = FakeGenerator()
    shard, store = make(generator, FakeEmbedder(unlike=[(1, 0), (1, 1)]))
    counts = shard.counts
    assert (counts.kept, counts.rejected, counts.topups, counts.shortfall) == (4, 4, 4, 0)
    assert counts.reasons == {"low_own_cosine": 4}
    assert generator.batches[2:] == [[(1, 0, 1, 0), (1, 1, 1, 1)], [(1, 0, 2, 0), (1, 1, 2, 1)]]
    assert [row["attempt"] for row in metadata_rows(store, 0)] == [0, 0, 2, 2]


def test_vectors_stand_in_the_order_of_the_tar_and_are_those_of_the_kept_faces(make):
    shard, store = make(FakeGenerator(), FakeEmbedder(unlike=[(0, 0), (1, 0)]))
    (vectors_KD,) = read_vectors(store, shard).values()
    kept = [row["identity"] for row in metadata_rows(store, 0)]
    assert kept == [0, 0, 1, 1]
    assert (vectors_KD == np.eye(4)[kept]).all()  # a rejected face would point to the last axis


def test_topups_have_a_planned_batch_shape_of_their_own(make):
    generator = FakeGenerator()
    make(generator, FakeEmbedder(unlike=[(1, 0)]), topup_batch=1)
    assert generator.sizes == [3, 3, 1, 1]
    assert generator.batches[2:] == [[(1, 0, 1, 0)], [(1, 1, 1, 0)]]


def test_rounds_end_and_the_shortfall_is_counted(make):
    shard, _ = make(FakeGenerator(), FakeEmbedder(unlike=[(1, a) for a in range(9)]))
    assert (shard.counts.kept, shard.counts.shortfall, shard.counts.rejected) == (2, 2, 6)
    assert shard.counts.adds_up()


def test_a_shot_that_raises_is_quarantined_and_its_neighbors_are_not(make):
    generator = FakeGenerator(poison=[(0, 1, 0)])
    shard, store = make(generator, FakeEmbedder())
    assert (shard.counts.kept, shard.counts.quarantined, shard.counts.topups) == (4, 1, 1)
    assert [len(batch) for batch in generator.batches] == [3, 1, 1, 1, 1, 1]
    assert [row["attempt"] for row in metadata_rows(store, 0)] == [0, 1, 0, 0]
    assert b"cannot draw this" in store.get(layout.quarantine_name(0))


def test_a_shot_that_kills_is_quarantined_undrawn_and_topped_up(make):
    generator = FakeGenerator()
    retry = RetryState(attempt=5, quarantined_shots=frozenset({("000000_0001", 0)}))
    shard, store = make(generator, FakeEmbedder(), retry)
    assert generator.batches[0] == [(0, 0, 0, 0), (1, 0, 0, 2)]  # the slots of its neighbors stay
    assert (shard.counts.kept, shard.counts.quarantined, shard.attempt) == (4, 1, 5)
    assert [row["attempt"] for row in metadata_rows(store, 0)] == [0, 1, 0, 0]
    assert b"killed its actor" in store.get(layout.quarantine_name(0))


def test_bisected_and_whole_batches_give_the_same_bytes(make):
    group = (("000000_0000", 0), ("000000_0001", 0), ("000001_0000", 0))
    generator = FakeGenerator()
    whole, _ = make(FakeGenerator(), FakeEmbedder())
    halves, _ = make(generator, FakeEmbedder(), RetryState(attempt=2, bisected=frozenset({group})))
    assert [len(batch) for batch in generator.batches] == [1, 2, 1]
    assert halves.files == whole.files


class SmallMemory(FakeGenerator):
    """Runs out of GPU memory on more than two slots at once."""

    def generate(self, shots, batch_size):
        if batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().generate(shots, batch_size)


def test_out_of_gpu_memory_halves_the_batches_and_is_remarked_upon(make):
    generator = SmallMemory()
    shard, _ = make(generator, FakeEmbedder())
    assert shard.counts.kept == 4
    assert generator.batches == [[(0, 0, 0, 0), (0, 1, 0, 1)], [(1, 0, 0, 0)], [(1, 1, 0, 0)]]
    assert shard.remarks == ["batches drawn in 2 parts for want of memory"]


def test_out_of_memory_with_a_single_slot_is_an_error():
    class NoMemory(FakeGenerator):
        def generate(self, shots, batch_size):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        SplitOnOutOfMemory(NoMemory()).generate(shots_of(REQUEST, [(0, 0)]), 8)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB"),
    ],
)
def test_an_error_of_the_device_is_not_a_shots_fault(make, error):
    class Sick(FakeGenerator):
        def generate(self, shots, batch_size):
            raise error

    with pytest.raises(DeviceError, match=r"device: .* at 000000_0000"):
        make(Sick(), FakeEmbedder())


def test_a_unit_of_failures_only_is_not_committed(make, tmp_path):
    class Broken(FakeGenerator):
        def generate(self, shots, batch_size):
            raise KeyError("no such layer")

    with pytest.raises(PlanError, match="unit 0: all 12 shots failed, first with KeyError"):
        make(Broken(), FakeEmbedder())
    assert not (tmp_path / "store").exists()


@pytest.fixture
def real_maker(release_config):
    config = release_config()
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    store = open_store(config.store).below(prefix)
    plan = write_plan(config, preflight(config), store)
    roster = Roster.read(store.get(layout.ROSTER), store.get(layout.EMBEDDINGS))
    return ShardMaker.open(config, prefix), plan, roster


def test_bytes_depend_on_the_slot_and_not_on_the_neighbors(real_maker):
    maker, plan, roster = real_maker
    shots = first_round_shots(plan.request, plan.units[0], roster)[:3]
    together = maker.draw(shots)
    alone = maker.draw([shots[1]])
    strangers = shots_of(plan.request, [(4, 0), (4, 1), (5, 0)], 7)
    among = maker.draw([strangers[0], shots[1], strangers[2]])
    for _, image, scores in (alone[0], among[1]):
        assert np.array_equal(together[1][1], image)
        assert together[1][2] == scores


def test_files_of_a_unit_do_not_depend_on_neighbours(release_config, tmp_path):
    """Drawn whole, in halves, and slot by slot after an exception: the same three files."""
    shapes = ("plan.identities_per_unit=6", "plan.images_per_identity=4", "plan.micro_batch=11")
    config = release_config(*shapes)
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    store = open_store(config.store).below(prefix)
    plan = write_plan(config, preflight(config), store)
    release = load_release(config, store)
    shots = first_round_shots(plan.request, plan.units[0], release.roster)
    batches = [ids(shots[first : first + 11]) for first in range(0, len(shots), 11)]
    halves = [half for batch in batches for half in (batch[:5], batch[5:]) if half]
    retries = {
        "whole": RetryState(),
        "halves": RetryState(bisected=frozenset(batches)),
        "quarters": RetryState(bisected=frozenset(batches + halves)),
        "alone": RetryState(),
    }
    files = {}
    for name, retry in retries.items():
        maker = ShardMaker.at(release, LocalStore(tmp_path / name), 1 << 20)
        if name == "alone":
            maker._generator = Whimsical(maker._generator)
        (shard,) = [*maker.make(0, retry), *maker.flush()]
        maker.close()
        files[name] = shard.files
    assert all(made == files["whole"] for made in files.values())


class Whimsical:
    """A generator that refuses more than one shot at once."""

    seconds, remarks = 0.0, ()

    def __init__(self, generator):
        self._generator = generator

    def generate(self, shots, batch_size):
        if len(shots) > 1:
            raise ValueError("not together")
        return self._generator.generate(shots, batch_size)


def test_nan_is_an_error_of_its_shot(real_maker):
    maker, plan, roster = real_maker
    shots = first_round_shots(plan.request, plan.units[0], roster)[:2]
    generator = maker._generator.generator
    generator._roster_ND = np.array(generator._roster_ND)  # the roster itself may be mapped
    generator._roster_ND[shots[0].identity] = float("nan")
    with pytest.raises(FloatingPointError, match="000000_0000: sampling gave NaN"):
        maker.draw(shots)


@pytest.mark.usefixtures("real_maker")  # it has planned the release
def test_a_maker_that_is_not_as_planned_refuses(release_config, monkeypatch):
    config = release_config()
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    ShardMaker.open(config, prefix)
    monkeypatch.setattr("factory.shots.environment.sources_sha256", lambda: "other")
    with pytest.raises(IntegrityError, match=r"not as planned \(environment\.sources_sha256"):
        ShardMaker.open(config, prefix)
    store = open_store(config.store).below(prefix)
    store.put(layout.ROSTER, store.get(layout.ROSTER) + b" ")
    with pytest.raises(IntegrityError, match=r"roster\.parquet: is not the one"):
        ShardMaker.open(config, prefix)


def test_noise_comes_from_the_seed_alone(real_maker):
    maker, plan, roster = real_maker
    shots = first_round_shots(plan.request, plan.units[0], roster)[:2]
    torch.manual_seed(0)
    np.random.seed(0)
    first = maker.draw(shots)
    torch.manual_seed(99)
    np.random.seed(99)
    again = maker.draw(shots)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    other = [dataclasses.replace(shots[0], seed=shots[0].seed + 1), shots[1]]
    changed = maker.draw(other)
    assert not np.array_equal(changed[0][1], first[0][1])
    assert np.array_equal(changed[1][1], first[1][1])


def test_a_turned_condition_keeps_its_length_and_angle():
    unit = unit_rows(0, 1, 64)[0]
    stream = np.random.default_rng(0)
    assert turned(unit, 1.0, stream) is unit
    bent = turned(unit, 0.8, stream)
    assert float(bent @ unit) == pytest.approx(0.8, abs=1e-5)
    assert np.linalg.norm(bent) == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(bent, turned(unit, 0.8, stream))


@pytest.mark.parametrize(
    "setting",
    [
        "sampler.perturb_identity=true",
        "sampler.negative_condition=nearest_identity",
        "sampler.negative_condition=farthest_identity",
        "sampler.negative_condition=random_identity",
        "sampler.kind=dpmpp_2s",
        "sampler.timestep_spacing=logsnr",
    ],
)
def test_every_way_of_drawing_is_in_the_metadata_and_comes_again(release_config, setting):
    config = release_config(setting, "sampler.guidance=2", "sampler.num_steps=4")
    build(config, run_units, log=lambda line: None)
    store = open_store(config.store).below("tiny/releases/0.1.0")
    rows = metadata_rows(store, 0)
    name = setting.partition("=")[0].removeprefix("sampler.")
    column = {
        "perturb_identity": "perturbation_cos",
        "negative_condition": "negative_identity",
        "kind": "sampler",
    }.get(name, name)
    plain = {
        "perturbation_cos": 1.0,
        "negative_identity": -1,
        "sampler": "unipc",
        "timestep_spacing": "trailing",
    }
    assert all(row[column] != plain[column] for row in rows)
    again = reproduce(config, store, rows[1]["key"])
    assert again.encoded == again.published
