"""What errors tell of nodes: pure counting, no Ray cluster."""

from __future__ import annotations

import pytest

from cluster import trouble
from cluster.trouble import DIED, NodeTroubles, is_final, kind_of
from factory.config import FleetConfig
from factory.errors import (
    MAY_GO_AGAIN,
    ConfigError,
    Conflict,
    DeviceError,
    IntegrityError,
    OtherMachine,
    PlanError,
    Unavailable,
)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(trouble.time, "monotonic", lambda: now[0])
    return now


def troubles(**settings) -> NodeTroubles:
    return NodeTroubles(FleetConfig(**settings))


@pytest.mark.parametrize(
    ("error", "kind", "opening", "making"),
    [
        (OtherMachine("x"), "other machine", False, False),
        (DeviceError("x"), "device", False, False),
        (Unavailable("x"), "store", False, False),
        (Conflict("x"), "store", False, False),
        (IntegrityError("x"), "other files", False, True),
        (MemoryError(), "memory", False, False),
        (OSError(12, "x"), "system", False, False),
        (ZeroDivisionError(), "unexpected", False, False),
        (PlanError("x"), "unexpected", True, True),
        (ConfigError("x"), "unexpected", True, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_an_error_tells_of_a_bad_node(error, kind, opening, making):
    assert kind_of(error) == kind
    assert is_final(error, opening=True) == opening
    assert is_final(error, opening=False) == making


def test_two_troubles_of_one_kind_make_a_bad_node():
    counted = troubles()
    assert not counted.note("a", "10.0.0.1", "device", DeviceError("first"))
    assert not counted.note("a", "10.0.0.1", "store", Unavailable("another kind"))
    assert not counted.note("b", "10.0.0.2", "device", DeviceError("another node"))
    assert counted.note("a", "10.0.0.1", "device", DeviceError("second"))
    assert not counted.note("a", "10.0.0.1", "device", DeviceError("said already"))
    assert str(counted.bad["a"]) == "node 10.0.0.1 (device): second"


def test_a_commit_answers_what_may_have_passed_and_no_bad_node_device():
    counted = troubles(max_unit_deaths=3)
    for kind, limit in (("store", 2), (DIED, 3), ("device", 2)):
        for _ in range(limit - 1):
            assert not counted.note("a", "10.0.0.1", kind, DeviceError("x"))
    counted.committed("a")
    assert not counted.note("a", "10.0.0.1", "store", Unavailable("x"))
    assert not counted.note("a", "10.0.0.1", DIED, RuntimeError("x"))
    assert counted.note("a", "10.0.0.1", "device", DeviceError("x"))


def made_bad(counted: NodeTroubles, *nodes: str, error: Exception | None = None) -> None:
    for node in nodes:
        for _ in range(2):
            met = error or DeviceError("ECC")
            counted.note(node, node, kind_of(met), met)


def test_a_release_stops_when_more_than_half_of_the_nodes_are_bad_alike(clock):
    counted = troubles()
    made_bad(counted, "a", "b")
    counted.stop_if_alike("abcd")
    made_bad(counted, "c", error=Unavailable("SlowDown"))
    counted.stop_if_alike("abcd")  # three of four, but not alike
    made_bad(counted, "d")
    with pytest.raises(DeviceError, match="3 of 5 nodes fail alike") as caught:
        counted.stop_if_alike("abcde")
    assert caught.value.exit_code == MAY_GO_AGAIN


def test_a_release_stops_when_all_nodes_are_bad_and_waits_where_good_ones_may_come_back(clock):
    counted = troubles(max_bad_nodes_fraction=1.0)
    made_bad(counted, "a", error=OtherMachine("canary"))
    counted.committed("b")
    counted.stop_if_alike("a")  # b was lost a moment ago
    clock[0] += trouble.GOOD_S + 1
    with pytest.raises(OtherMachine, match="1 of 1 nodes fail alike"):
        counted.stop_if_alike("a")
    counted.stop_if_alike("")  # none is alive: others are waited for
    counted.stop_if_alike("ab")


def test_bad_nodes_that_are_gone_do_not_count(clock):
    counted = troubles()
    made_bad(counted, "a", "b", "c")
    counted.stop_if_alike("cde")
