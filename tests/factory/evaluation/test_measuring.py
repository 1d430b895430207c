"""Units measured one by one: what is recorded is not computed again, figures are the plain ones."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from factory.errors import Interrupted, Unavailable
from factory.evaluation import fidelity, similarity
from factory.evaluation.leakage import TOP, LeakageTally
from factory.evaluation.measure_unit import UnitMeasurer, record_name
from factory.evaluation.measuring import measure_units
from factory.evaluation.reduction import CLASS, Reduction
from factory.evaluation.tallies import Moments
from factory.evaluation.unit_record import UnitRecord
from factory.execution.inline import run_units
from factory.shards.vectors import read_vectors
from factory.shards.writer import read_commit
from factory.store import LocalStore
from tests.painted import (
    SPACES,
    Painting,
    config_of,
    paint,
    real_faces,
    runner,
    yardstick_of,
)

PAINTING = Painting(num_units=8, people=5, images=4)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """(release, config) of a painted release."""
    store = LocalStore(tmp_path_factory.mktemp("painted") / "set/releases/1")
    return paint(store, PAINTING), config_of(store)


def measured(painted, run, **changes):
    release, config = painted
    people = yardstick_of(PAINTING).galleries
    return measure_units(config, release, SPACES, people, run, lambda line: None, **changes)


def figures(painted, measurement, folder: Path) -> dict:
    """All figures of a measurement, by name."""
    _, config = painted
    judged, *_ = real_faces(PAINTING)
    tally = LeakageTally(config.audit, yardstick_of(PAINTING))
    folder.mkdir()
    made = Reduction(folder, 4, tally).add_all(measurement.records())
    sample = made.sample()
    return {
        "leakage": tally.finish(lambda unit, row: {"key": f"{unit} {row}"}).metrics,
        "consistency": {
            name: made.spaces[name].consistency(sample[name], sample[CLASS]) for name in SPACES
        },
        "fid": {
            name: fidelity.fidelity(
                sample[name], judged.unit_ND, made.spaces[name].moments, Moments.of(judged.unit_ND)
            )
            for name in SPACES
        },
        "similarity": similarity.similarity(
            made.spaces["judge"].pairs(), made.pair_labels(), judged.unit_ND, judged.labels
        ),
        "duplicates": made.duplicates(),
        "ranking": made.scores.ranking().tolist(),
        "scores": made.scores.within_identity(),
    }


def shuffled(fleet, open_maker, units, on_done, draining, on_state) -> None:
    """Units in any order, by two makers in turn."""
    order = list(units)
    random.Random(3).shuffle(order)
    for part in (order[::2], order[1::2]):
        run_units(fleet, open_maker, part, on_done, draining, on_state)


def test_killed_half_way_and_resumed_without_beginning_again(painted, tmp_path, monkeypatch):
    """And the order of units, and who measures them, change nothing."""
    begun: list[int] = []
    measure = UnitMeasurer.measure

    def counted(self, shard, heartbeat):
        if len(begun) == 3:
            raise KeyboardInterrupt
        begun.append(shard.unit)
        return measure(self, shard, heartbeat)

    whole = measured(painted, runner())
    reference = figures(painted, whole, tmp_path / "whole")
    whole.clear()
    assert whole.scratch.list("") == []
    monkeypatch.setattr(UnitMeasurer, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        measured(painted, runner(shuffled))
    first, begun = begun, []

    def listed(self, shard, heartbeat):
        begun.append(shard.unit)
        return measure(self, shard, heartbeat)

    monkeypatch.setattr(UnitMeasurer, "measure", listed)
    resumed = measured(painted, runner(shuffled))
    assert len(first) == 3
    assert sorted(first + begun) == list(range(PAINTING.num_units))
    assert figures(painted, resumed, tmp_path / "resumed") == reference
    begun.clear()
    measured(painted, runner())
    assert begun == []
    resumed.clear()


def test_a_measurement_of_something_else_begins_anew(painted):
    first = measured(painted, runner())
    other = measured(painted, runner(), audit_alone=True)
    assert other.scratch.url != first.scratch.url
    assert all(record.spaces == {} for record in other.records())
    assert len(list(other.records())) == PAINTING.num_units
    for one in (first, other):
        one.clear()


def test_sigterm_leaves_what_is_measured(painted):
    def drained(fleet, open_maker, units, on_done, draining, on_state):
        run_units(fleet, open_maker, units[:2], on_done)

    with pytest.raises(Interrupted, match="6 units are not measured"):
        measured(painted, runner(drained))
    left = measured(painted, runner())
    assert len(list(left.records())) == PAINTING.num_units
    left.clear()


def test_records_lie_outside_the_release_and_are_deleted(painted):
    release, _ = painted
    before = release.store.list("")
    measurement = measured(painted, runner())
    assert release.store.list("") == before
    root = Path(release.store.root)
    assert str(measurement.scratch.root).startswith(str(root.parent.parent / "evaluation"))
    assert len(list(measurement.scratch.root.rglob("*.npz"))) == 2  # real people's templates
    measurement.clear()
    assert not [path for path in (root.parent.parent / "evaluation").rglob("*") if path.is_file()]


def test_a_record_survives_its_file(painted):
    measurement = measured(painted, runner())
    name = measurement.scratch.list("0")[1]
    data = measurement.scratch.get(name)
    record = UnitRecord.from_bytes(data)
    assert record.unit == 1
    assert len(record.keys) == PAINTING.each
    assert record.to_bytes() == data
    measurement.clear()


def all_vectors(release) -> dict[str, np.ndarray]:
    """Every vector in memory, as a plain evaluation has them."""
    units = [
        read_vectors(release.store, read_commit(release.store, n))
        for n in range(PAINTING.num_units)
    ]
    together = {name: np.concatenate([unit[name] for unit in units]) for name in units[0]}
    return {
        name: some / np.linalg.norm(some, axis=1, keepdims=True) for name, some in together.items()
    }


def test_figures_are_those_of_all_faces_at_once(painted, tmp_path):
    """Brute force, with every vector in memory and all pairs compared."""
    release, config = painted
    measurement = measured(painted, runner(shuffled))
    got = figures(painted, measurement, tmp_path / "reduced")
    measurement.clear()
    vectors, (judged, plain, mirrored) = all_vectors(release), real_faces(PAINTING)
    labels = np.arange(PAINTING.num_units * PAINTING.each) // PAINTING.images
    for name, space in SPACES.items():
        made = vectors[space.sha256].astype(np.float64)
        check_consistency(got["consistency"][name], made, labels)
        wanted = fidelity.fidelity(made, judged.unit_ND)
        for key in ("num_made", "num_real", "fid", "cmmd", "precision", "recall"):
            assert getattr(got["fid"][name], key) == pytest.approx(getattr(wanted, key), abs=1e-6)
    judge = vectors[SPACES["judge"].sha256]
    wanted = similarity.similarity(judge, labels, judged.unit_ND, judged.labels)
    assert got["similarity"].release.auc == pytest.approx(wanted.release.auc)
    assert got["similarity"].release.eer == pytest.approx(wanted.release.eer)
    assert got["similarity"].nearest_real.mean == pytest.approx(wanted.nearest_real.mean)
    (hash_name,) = set(vectors) - {space.sha256 for space in SPACES.values()}
    cosine = vectors[hash_name] @ vectors[hash_name].T
    same = labels[:, None] == labels
    across = ((cosine >= 0.9) & ~same).any(1)
    within = ((cosine >= 0.9) & same & ~np.eye(len(labels), dtype=bool)).any(1)
    assert across.any()
    assert (within & ~across).any()
    assert got["duplicates"].across_identities == pytest.approx(across.mean())
    assert got["duplicates"].within_identity == pytest.approx((within & ~across).mean())
    check_leakage(got["leakage"], judge, judged.unit_ND, judged.labels, config.audit.leak_fpir)
    originals, owners = np.concatenate([plain.unit_ND, mirrored.unit_ND]), np.tile(plain.labels, 2)
    between = np.where(owners[:, None] == owners, -2, originals @ originals.T).max(1)
    limit = np.quantile(between, 1 - config.audit.leak_fpir, method="higher")
    nearest = (vectors[hash_name] @ originals.T).max(1)
    assert got["leakage"].near_copies.limit_cosine == pytest.approx(limit)
    assert got["leakage"].near_copies.num_leaks == (nearest > limit).sum() > 0


def check_consistency(got, made: np.ndarray, labels: np.ndarray) -> None:
    people = np.unique(labels)
    centers = np.stack([made[labels == k].mean(0) for k in people])
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    cosine = made @ centers.T
    own = cosine[np.arange(len(labels)), labels]
    cosine[np.arange(len(labels)), labels] = -2
    between = centers @ centers.T - 3 * np.eye(len(people))
    pairs = [(made[labels == k] @ made[labels == k].T) for k in people]
    n = PAINTING.images
    wanted = {
        "ccs": own,
        "nnccs": cosine.max(1),
        "nearest_center": between.max(1),
        "within_class": np.array([(p.sum() - n) / (n * (n - 1)) for p in pairs]),
    }
    for name, values in wanted.items():
        some = getattr(got, name)
        assert some.count == len(values)
        for key, value in (
            ("mean", values.mean()),
            ("std", values.std()),
            ("p01", np.quantile(values, 0.01)),
            ("p99", np.quantile(values, 0.99)),
        ):
            assert getattr(some, key) == pytest.approx(value, abs=1e-6), (name, key)
    assert got.ccs_minus_nnccs == pytest.approx((own - cosine.max(1)).mean(), abs=1e-6)


def check_leakage(got, made, real, people, fpir: float) -> None:
    """The rule of METHODS 6, over everybody at once."""
    centers = np.stack([real[people == k].mean(0) for k in np.unique(people)])
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    gallery, owners = np.concatenate([real, centers]), np.concatenate([people, np.unique(people)])
    between = real @ gallery.T
    between[people[:, None] == owners] = -2
    limit = np.quantile(between.max(1), 1 - fpir, method="higher")
    nearest = (made @ gallery.T).max(1)
    assert got.faces.limit_cosine == pytest.approx(limit, abs=1e-6)
    assert got.faces.num_leaks == (nearest > limit).sum() > 0
    units = np.arange(len(made)) // PAINTING.each
    order = np.lexsort((np.arange(len(made)), -nearest))[:TOP]
    listed = [pair.key for pair in got.nearest_pairs if pair.kind == "faces"]
    assert listed == [f"{units[i]} {i % PAINTING.each}" for i in order]
    assert got.faces.nearest.mean == pytest.approx(nearest.mean(), abs=1e-6)


def test_sampled_faces_do_not_depend_on_the_order_of_units(painted, tmp_path, monkeypatch):
    """Fewer than there are: the same ones, whoever comes first, and figures near those of all."""
    for module in ("measuring", "reduction"):
        monkeypatch.setattr(f"factory.evaluation.{module}.MAX_FEATURES", 40)
    some = measured(painted, runner())
    records = list(some.records())
    some.clear()
    kept = sum(len(record.faces.sample_S) for record in records)
    assert 40 < kept < PAINTING.num_units * PAINTING.each / 2
    samples = []
    for number, order in enumerate((records, records[::-1], records[3:] + records[:3])):
        (tmp_path / str(number)).mkdir()
        made = Reduction(tmp_path / str(number), 4)
        for record in order:
            made.add(record)
        samples.append(made.sample()["judge"])
    assert len(samples[0]) == 40
    assert all((other == samples[0]).all() for other in samples)


def test_records_that_another_process_has_cleared_are_one_line(painted):
    measurement = measured(painted, runner())
    measurement.scratch.delete(record_name(3))
    with pytest.raises(Unavailable, match="the record of unit 3 is gone; another process"):
        list(measurement.records())
    measurement.clear()
