"""Bisection by deaths: whatever shot kills is found, and only that one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from factory.execution.retries import RetryState, ids
from factory.records import Shot


def batch(size: int) -> list[Shot]:
    return [Shot(f"k{i}", 0, i, 0, 0, "ddim", 1, 1.0, 0, i) for i in range(size)]


def live(shots: list[Shot], poison: set[str]) -> tuple[RetryState, int]:
    """Make the batch until no actor dies: (what is known then, deaths)."""
    retry = RetryState()
    for deaths in range(200):
        deadly = [g for g in retry.groups(shots) if {shot.key for shot in g} & poison]
        if not deadly:
            return retry, deaths
        retry = retry.after_death(ids(deadly[0]))
    raise AssertionError("never ends")


@given(st.integers(1, 20), st.data())
def test_exactly_the_shots_that_kill_are_poisoned(size, data):
    poison = data.draw(st.sets(st.integers(0, size - 1)))
    retry, _ = live(batch(size), {f"k{i}" for i in poison})
    assert {key for key, _ in retry.quarantined_shots} == {f"k{i}" for i in poison}
    drawn = [shot.slot for group in retry.groups(batch(size)) for shot in group]
    assert drawn == [i for i in range(size) if i not in poison]


def test_one_shot_of_sixteen_costs_seven_deaths():
    assert live(batch(16), {"k5"})[1] == 7  # one free, four halvings, two alone


def test_a_single_death_changes_nothing_and_one_by_chance_is_no_proof():
    shots = batch(4)
    once = RetryState().after_death(ids(shots))
    assert once.groups(shots) == [shots]
    assert not once.alone
    alone = once.after_death(ids(shots[:1]))
    assert alone.alone
    assert not alone.quarantined_shots


def test_lost_nodes_and_deaths_without_a_shot_are_counted_apart():
    retry = RetryState().begun_again().begun_again()
    assert not retry.alone
    retry = retry.after_death(())
    assert (retry.attempt, retry.deaths, retry.blind_deaths) == (3, 1, 1)
    assert not retry.bisected
    assert not retry.alone
