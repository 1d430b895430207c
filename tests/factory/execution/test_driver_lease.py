"""One driver a release: a lease taken, kept up, taken over from the dead; pause and cost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from factory.errors import FactoryError, PlanError, StoreError
from factory.execution import driver_lease
from factory.execution.driver_lease import DriverLease, driving
from factory.execution.fleet_state import FleetState
from factory.execution.inline import run_units
from factory.records import BadNode
from factory.release import build
from factory.shards import layout, pause
from factory.shards.driver_record import read_driver
from factory.shards.manifest import committed_units
from factory.shards.status import StatusReader
from factory.store import LocalStore, Store, open_store


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request, tmp_path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "release")
    return open_store(request.getfixturevalue("s3_config")())


def taken(store: Store, **settings) -> DriverLease:
    lease = DriverLease(store, log=lambda line: None, **settings)
    lease.take()
    return lease


def as_of_another_machine(store: Store, **changes) -> None:
    """Make the record look as if a process elsewhere had written it."""
    record = read_driver(store)
    assert record is not None
    other = replace(record, driver="other", process="boot/ns 1 2", where="far, process 1")
    store.put(layout.DRIVER, replace(other, **changes).to_json())


def test_a_lease_is_one_drivers_and_gone_when_the_release_is_made(store, release_config):
    with driving(release_config(), store, lambda line: None):
        record = read_driver(store)
        assert record is not None
        assert not record.ended
        with pytest.raises(FactoryError, match="is made by another driver"):
            taken(store)
    assert not store.exists(layout.DRIVER)


def test_sixteen_drivers_race_for_a_lease_and_one_wins(store):
    barrier, won = threading.Barrier(16), []

    def take() -> None:
        barrier.wait()
        try:
            won.append(taken(store))
        except FactoryError:
            return

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].end(finished=True)


DIES = """
import os, sys
from factory.execution.driver_lease import DriverLease
from factory.store import LocalStore
DriverLease(LocalStore(sys.argv[1])).take()
os._exit(9)
"""


def test_the_lease_of_a_process_that_died_here_is_taken_over_at_once(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)
    record = read_driver(store)
    assert record is not None
    assert not record.ended

    def sleep(seconds: float) -> None:
        raise AssertionError("waited for a process that is known to be dead")

    monkeypatch.setattr(driver_lease.time, "sleep", sleep)
    taken(store).end(finished=True)


def test_a_lease_that_ended_here_out_of_reach_of_its_store_is_taken_over(store, monkeypatch):
    lease = taken(store)
    monkeypatch.setattr(lease, "_write", refuse)
    lease.end(finished=True)
    record = read_driver(store)
    assert record is not None
    assert not record.ended
    taken(store).end(finished=True)


def refuse(record) -> bool:
    raise StoreError("out of reach")


def test_no_lease_is_taken_of_a_paused_release(store):
    store.put(layout.PLAN, b"{}")
    pause.pause(store, "a test")
    with pytest.raises(FactoryError, match=r"is paused since .* \(a test\)"):
        taken(store)
    assert read_driver(store) is None


def test_a_lease_held_elsewhere_is_taken_over_after_silence_and_not_before(store, monkeypatch):
    taken(store).end(finished=False)
    as_of_another_machine(store, ended=False)
    clock, looks = [0.0], []

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        looks.append(clock[0])

    monkeypatch.setattr(driver_lease.time, "sleep", sleep)
    monkeypatch.setattr(driver_lease.time, "monotonic", lambda: clock[0])
    lease = taken(store)
    assert looks[-1] == driver_lease.EXPIRES_S
    lease.end(finished=False)
    as_of_another_machine(store, ended=False)

    def beats(seconds: float) -> None:
        sleep(seconds)
        if len(looks) == 100:
            as_of_another_machine(store, beat=7)

    monkeypatch.setattr(driver_lease.time, "sleep", beats)
    with pytest.raises(FactoryError, match=r"another driver \(far, process 1"):
        taken(store)


def test_a_driver_that_lost_its_lease_begins_nothing_more(store, monkeypatch):
    monkeypatch.setattr(driver_lease, "BEAT_S", 0.01)
    lease = taken(store)
    assert not lease.must_stop()
    as_of_another_machine(store)
    until(lease.must_stop)
    with pytest.raises(FactoryError, match="another driver has taken over"):
        lease.refuse_if_stopped()
    lease.end(finished=False)
    record = read_driver(store)
    assert record is not None
    assert record.driver == "other"
    assert not record.ended


def until(condition) -> None:
    waiting = threading.Event()
    for _ in range(6000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("did not come to pass in a minute")


def test_a_lease_is_kept_up_and_says_what_is_known(store, monkeypatch):
    monkeypatch.setattr(driver_lease, "BEAT_S", 0.01)
    lease = taken(store)
    lease.heard(FleetState(90.0, (BadNode("10.0.0.7", "device", "ECC"),)))

    def said() -> bool:
        record = read_driver(store)
        return record is not None and bool(record.bad_nodes) and record.beat > 2

    until(said)
    assert read_driver(store).bad_nodes == (BadNode("10.0.0.7", "device", "ECC"),)
    assert read_driver(store).actor_s == 90.0
    lease.end(finished=False)
    assert read_driver(store).ended


def test_a_lease_stops_at_its_cost_and_counts_earlier_drivers(store):
    first = taken(store, max_cost=10.0, actor_hour=2.0)
    first.heard(FleetState(actor_s=4 * 3600.0))
    assert not first.must_stop()
    first.end(finished=False)
    second = taken(store, max_cost=10.0, actor_hour=2.0)
    second.heard(FleetState(actor_s=0.9 * 3600))
    assert not second.must_stop()
    second.heard(FleetState(actor_s=1.0 * 3600))
    with pytest.raises(FactoryError, match=r"fleet\.max_cost: .* has cost 10\.00, want at most 10"):
        second.refuse_if_stopped()
    second.end(finished=False)


def stopping(by):
    """The inline runner, stopped by something that happens after its first unit."""

    def runner(fleet, open_maker, units, on_done, draining, on_state):
        run_units(fleet, open_maker, units[:1], on_done)
        by(draining, on_state)
        run_units(fleet, open_maker, units[1:], on_done, draining)

    return runner


def test_a_paused_release_stops_and_goes_on_after_resume(release_config, tmp_path, monkeypatch):
    monkeypatch.setattr(driver_lease, "BEAT_S", 0.01)
    config = release_config("shards.image_format=png")
    store = layout.release_store(config)
    quiet = release_config(f"store.url={tmp_path / 'quiet'}", "shards.image_format=png")
    build(quiet, run_units, log=lambda line: None)

    def pause_it(draining, on_state) -> None:
        pause.pause(store, "a test")
        until(draining)

    with pytest.raises(FactoryError, match=r"is paused since .* \(a test\); .*jobs resume"):
        build(config, stopping(pause_it), log=lambda line: None)
    assert committed_units(store) == {0}
    assert StatusReader(store).read().pause.reason == "a test"
    with pytest.raises(FactoryError, match="is paused since"):
        build(config, run_units, log=lambda line: None)
    assert pause.resume(store)
    assert not pause.resume(store)
    build(config, run_units, log=lambda line: None)
    assert store.get(layout.SUMS) == layout.release_store(quiet).get(layout.SUMS)
    with pytest.raises(PlanError, match="is finished"):
        pause.pause(store)


def test_a_release_ends_at_its_cost_and_goes_on_when_it_is_raised(release_config):
    prices = ("estimate.actor_hour=1", "fleet.max_cost=5")
    config = release_config(*prices)

    def spend(draining, on_state) -> None:
        on_state(FleetState(actor_s=5 * 3600.0))
        assert draining()

    with pytest.raises(FactoryError, match=r"fleet\.max_cost"):
        build(config, stopping(spend), log=lambda line: None)
    store = layout.release_store(config)
    assert committed_units(store) == {0}
    record = json.loads(store.get(layout.DRIVER))
    assert record["ended"]
    assert record["actor_s"] == 5 * 3600
    with pytest.raises(FactoryError, match=r"fleet\.max_cost"):
        build(config, run_units, log=lambda line: None)
    build(release_config(prices[0], "fleet.max_cost=6"), run_units, log=lambda line: None)
    assert store.exists(layout.SUCCESS)
    assert not store.exists(layout.DRIVER)


def test_a_cost_cap_wants_a_price(release_config):
    with pytest.raises(FactoryError, match=r"fleet\.max_cost: got 5 without a price"):
        release_config("fleet.max_cost=5")
