"""Rules of the lease loop that no race decides: which nodes and workers may have what."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cluster import fleet, maker_actor
from factory.execution.retries import RetryState


@pytest.fixture
def rules():
    """A fleet without a cluster: bad node a, going node b, open workers on c and d."""
    made = object.__new__(fleet.Fleet)
    made._troubles, made._going = SimpleNamespace(bad={"a": None}), {"b"}
    made._workers = [SimpleNamespace(node=node, ready=True, held={}) for node in "cd"]
    return made


def test_bad_nodes_and_going_nodes_get_no_actors(rules):
    assert rules._excluded() == {"a", "b"}


def test_a_unit_goes_to_a_node_where_it_has_not_failed_if_there_is_one(rules):
    on_c, on_d = rules._workers
    failed = RetryState(failed_on=frozenset("c"))
    assert not rules._may_take(on_c, failed)
    assert rules._may_take(on_d, failed)
    assert rules._may_take(on_c, RetryState(failed_on=frozenset("cd")))


def test_who_is_lost_with_its_node_is_no_bad_node(rules, monkeypatch):
    monkeypatch.setattr(fleet, "dead_nodes", lambda: {"d"})

    def gone(node: str) -> bool:
        loss = SimpleNamespace(error=ValueError(), worker=SimpleNamespace(node=node))
        return rules._has_gone(loss)

    assert [gone(node) for node in "bcd"] == [True, False, True]


@pytest.mark.parametrize(("deaths", "waits"), [(0, False), (1, True)])
def test_a_note_is_awaited_only_where_the_unit_has_killed(monkeypatch, deaths, waits):
    awaited = []
    monkeypatch.setattr(maker_actor.ray, "get", awaited.append)
    actor = maker_actor.MakerActor(lambda: None, 7)
    write = SimpleNamespace(remote=lambda worker, unit, shots: (worker, unit, shots))
    actor._notes = SimpleNamespace(write=write)
    maker = SimpleNamespace(make=lambda unit, retry, note: note((("key", 0),)))
    actor._maker = maker
    actor.make(3, RetryState(deaths=deaths))
    assert awaited == [(7, 3, (("key", 0),))] * waits
