"""Units that are only read, by a runner of makers."""

from __future__ import annotations

import pickle
from functools import partial

import pytest

from factory.config import StoreConfig
from factory.errors import IntegrityError, StoreError
from factory.execution.inline import run_units
from factory.execution.unit_jobs import FLEET, done, units_on
from factory.release import build
from factory.shards import layout
from factory.shards.export import export
from factory.shards.units import one_by_one
from factory.shards.verify import UnitVerifier, verify
from factory.store import LocalStore


def words_of(unit: int) -> list[str]:
    return [f"{unit} a", f"{unit} b"] if unit % 2 else []


def opened():
    return words_of


def backwards(fleet, open_maker, units, on_done, draining, on_state) -> None:
    """Units from the last to the first, whose makers went through a pickle, as with Ray."""
    assert fleet == FLEET
    opener = pickle.loads(pickle.dumps(open_maker))
    run_units(fleet, opener, list(units)[::-1], on_done, draining, on_state)


@pytest.mark.parametrize("do_units", [one_by_one, units_on(run_units), units_on(backwards)])
def test_lines_come_in_the_order_of_units_and_all_are_heard_of(do_units):
    heard = []
    lines = do_units(opened, [3, 4, 7], lambda *where: heard.append(where))
    assert lines == ["3 a", "3 b", "7 a", "7 b"]
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert do_units(opened, [], heard.append) == []


def test_a_release_is_verified_and_exported_by_processes_elsewhere(release_config, tmp_path):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    elsewhere = {"do_units": units_on(backwards), "address": StoreConfig(url=str(store.root))}
    verify_there = partial(verify, store, **elsewhere)
    assert verify_there() == verify(store) == []
    for kind in ("imagefolder", "parquet", "rec"):
        assert export(store, kind, tmp_path / kind, **elsewhere) == 12
        plain = tmp_path / f"{kind}-plain"
        assert export(store, kind, plain) == 12
        assert contents(tmp_path / kind) == contents(plain)
    for name in (layout.tar_name(1), layout.commit_name(2), layout.ROSTER):
        path = store.root / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    wanted = [f"{name} does not have its sha256" for name in damaged()]
    assert sorted(verify_there()) == sorted(verify(store)) == sorted(wanted)


def test_actors_that_write_elsewhere_are_noticed(release_config, tmp_path):
    config = release_config()
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)

    def on_another_machine(open_units, units, on_unit):
        there = partial(open_units.func, *open_units.args[:-1], tmp_path / "there")
        return one_by_one(there, units, on_unit)

    address = StoreConfig(url=str(store.root))
    with pytest.raises(IntegrityError, match=r"holds 0 images, .* a folder that all machines see"):
        export(
            store, "imagefolder", tmp_path / "here", lambda *_: None, on_another_machine, address
        )
    assert len(contents(tmp_path / "there")) == 12


def damaged() -> list[str]:
    return [layout.tar_name(1), layout.commit_name(2), layout.ROSTER]


def contents(folder) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_release_that_is_not_seen_from_there_is_one_line(tmp_path):
    with pytest.raises(StoreError, match=r"SHA256SUMS with unit 17 is not seen from here; want"):
        UnitVerifier(LocalStore(tmp_path))(17)


def test_work_on_a_unit_counts_no_shots_and_no_time():
    shard = done(3, None, ["a"])
    assert (shard.unit, shard.remarks) == (3, ["a"])
    assert shard.counts.shots == shard.counts.kept == 0
    assert shard.timings.total_s == shard.timings.sampling_s == 0
