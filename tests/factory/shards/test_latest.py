"""latest.json points at the newest version of those that are published, whoever ends last."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from factory.shards import layout
from factory.shards.latest import LATEST, by_numbers, point_latest
from factory.shots.plan import Plan
from factory.store import LocalStore, open_store
from tests.planned import REQUEST, request_with


def plan_of(version: str) -> Plan:
    release = replace(REQUEST.release, version=version)
    return Plan(request_with(release=vars(release)), {}, [])


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def dataset(request, tmp_path):
    if request.param == "local":
        return LocalStore(tmp_path)
    return open_store(request.getfixturevalue("s3_config")())


def planned(dataset, *versions) -> list[Plan]:
    """Plans in the order in which they are written; a folder's clock is set, a bucket's is not."""
    plans = [plan_of(version) for version in versions]
    for number, plan in enumerate(plans):
        name = f"releases/{plan.request.release.version}/{layout.PLAN}"
        dataset.put(name, plan.to_json())
        if isinstance(dataset, LocalStore):
            os.utime(dataset.path(name), (1000 + number, 1000 + number))
    return plans


def pointed_at(dataset) -> str:
    return json.loads(dataset.get(LATEST))["version"]


def test_latest_never_goes_back_to_an_older_version_that_ends_later(dataset):
    new, old = planned(dataset, "0.10.0", "0.9.3")  # planned later, and older by its numbers
    assert point_latest(dataset, new) is None
    assert point_latest(dataset, old) == "0.10.0"
    assert json.loads(dataset.get(LATEST)) == {
        "version": "0.10.0",
        "plan_hash": new.hash,
        "path": "releases/0.10.0",
    }
    assert point_latest(dataset, new) is None  # a driver that died at its end comes again


def test_latest_goes_by_plans_where_numbers_do_not_say(tmp_path):
    dataset = LocalStore(tmp_path)
    candidate, final = planned(dataset, "1.0-rc1", "1.0")
    assert point_latest(dataset, final) is None
    assert point_latest(dataset, candidate) == "1.0"
    assert pointed_at(dataset) == "1.0"
    (later,) = planned(dataset, "small")
    os.utime(dataset.path(f"releases/small/{layout.PLAN}"), (2000, 2000))
    assert point_latest(dataset, later) is None
    assert pointed_at(dataset) == "small"


@pytest.mark.parametrize("content", [b"{}", b"half a li", b"[1]"])
def test_latest_that_names_no_version_is_replaced(tmp_path, content):
    dataset = LocalStore(tmp_path)
    dataset.put(LATEST, content)
    (plan,) = planned(dataset, "0.1.0")
    assert point_latest(dataset, plan) is None
    assert pointed_at(dataset) == "0.1.0"


def test_latest_of_a_version_that_is_gone_is_replaced(tmp_path):
    dataset = LocalStore(tmp_path)
    new, old = planned(dataset, "0.2.0", "0.1.0")
    point_latest(dataset, new)
    dataset.delete(f"releases/0.2.0/{layout.PLAN}")
    assert point_latest(dataset, old) is None
    assert pointed_at(dataset) == "0.1.0"


def test_latest_is_right_when_a_newer_version_is_published_at_the_same_time(tmp_path, monkeypatch):
    """The newer one comes between reading the pointer and swapping it."""
    dataset = LocalStore(tmp_path)
    oldest, old, new = planned(dataset, "0.1.0", "0.2.0", "0.3.0")
    point_latest(dataset, oldest)
    swap, intruders = LocalStore.swap, [new]

    def swap_after_the_newer(self, name, expected, data):
        if intruders:
            point_latest(dataset, intruders.pop())
        return swap(self, name, expected, data)

    monkeypatch.setattr(LocalStore, "swap", swap_after_the_newer)
    assert point_latest(dataset, old) == "0.3.0"
    assert pointed_at(dataset) == "0.3.0"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.9", "0.10"),
        ("1.0", "1.0.1"),
        ("v2", "v10"),
        ("2024-05-01", "2024-12-01"),
        ("1_9", "1.10"),
    ],
)
def test_versions_of_latest_are_ordered_by_their_numbers(older, newer):
    assert by_numbers(older, newer) == -1
    assert by_numbers(newer, older) == 1
    assert by_numbers(newer, newer) == 0


@pytest.mark.parametrize(("a", "b"), [("1.0-rc1", "1.0"), ("small", "large"), ("v2-a", "v3-b")])
def test_other_versions_of_latest_are_not(a, b):
    assert by_numbers(a, b) is None
