"""How many people a gate can hold, against closed forms and against gates that fill up."""

from __future__ import annotations

import re

import numpy as np
import pytest

from factory.errors import PlanError
from factory.identities import capacity
from factory.identities.capacity import (
    Crowding,
    RealPeople,
    free_fraction,
    least_cosine,
    measure_crowding,
)
from factory.identities.gate import Gate
from tests.factory.identities.test_cosine_tail import sphere_rate
from tests.vectors import unit_rows


class Cloud:
    """Directions of independent normal values of given spreads: a sphere where they are equal."""

    name = "cloud"

    def __init__(self, *spreads: float) -> None:
        self._spread_D = np.array(spreads)

    def draw(self, identities_M, attempts_M):
        keys = zip(identities_M.tolist(), attempts_M.tolist(), strict=True)
        rows = [np.random.Generator(np.random.Philox(key=[7, (i << 32) + a])) for i, a in keys]
        x_MD = np.stack([row.standard_normal(len(self._spread_D)) for row in rows]) * self._spread_D
        return (x_MD / np.linalg.norm(x_MD, axis=1, keepdims=True)).astype(np.float32)

    def sample(self, count: int, first: int = 10**6) -> np.ndarray:
        rows = np.arange(first, first + count)
        return self.draw(rows, np.zeros_like(rows))


def filled(proposal, real_RD: np.ndarray, limit: float, attempts: int, block: int = 32) -> int:
    """Index of the person at whom the gate gave up."""
    gate = Gate(real_RD, limit)

    def fill() -> None:
        for start in range(0, 10**6, block):
            gate.admit_block(proposal, np.arange(start, start + block), attempts, 10**6)

    with pytest.raises(PlanError) as stop:
        fill()
    found = re.search(r"identity (\d+)", str(stop.value))
    assert found
    return int(found[1])


SPHERE = Cloud(*[1.0] * 8)
UNEVEN = Cloud(*0.8 ** np.arange(24))
NOBODY = unit_rows(0, 1, 8)[:0]


@pytest.fixture(scope="module")
def sphere() -> Crowding:
    return measure_crowding(SPHERE.sample(6000))


@pytest.fixture(scope="module")
def uneven() -> Crowding:
    return measure_crowding(UNEVEN.sample(6000))


def test_the_free_fraction_begins_and_ends_as_the_theory_says():
    x_N = np.array([0.0, 1e-3, 3.0, 10.0])
    np.testing.assert_allclose(free_fraction(x_N, 0.0), np.exp(-x_N), rtol=1e-12)
    for spread in (1e-6, -1e-6):  # both families meet in Poisson
        np.testing.assert_allclose(free_fraction(x_N, spread), np.exp(-x_N), rtol=1e-4)
    for spread in (0.5, -0.2):  # 1 - x + E[density^2] x^2/2
        second = np.exp(spread) if spread > 0 else 1 + spread
        expected = 1 - 0.01 + second * 0.01**2 / 2
        assert free_fraction(np.array([0.01]), spread)[0] == pytest.approx(expected, abs=2e-6)
    assert free_fraction(np.array([5.0]), -0.2)[0] == 0.0  # full
    assert free_fraction(np.array([10.0]), 0.7)[0] > 50 * np.exp(-10)


@pytest.mark.parametrize("attempts", [20, 1000])
def test_poisson_people_are_counted_as_by_the_plain_sum(attempts):
    rate = 1e-3
    stuck_N = (1 - np.exp(-rate * np.arange(40_000))) ** attempts
    plain = int(np.searchsorted(np.cumsum(stuck_N), np.log(2)))
    assert capacity._held(rate, 0.0, 0.0, attempts) == pytest.approx(plain, rel=0.01)
    if attempts == 1000:
        assert plain == pytest.approx(5200, rel=0.03)  # and not log(1000)/rate, 6,900


def test_real_people_are_there_from_the_start():
    """300 of them where three hundredths of a person are within the limit of each proposal."""
    alone = capacity._held(1e-4, 0.0, 0.0, 100)
    beside = capacity._held(1e-4, 300 * 1e-4, 0.0, 100)
    assert alone - beside == pytest.approx(300, rel=0.05)


@pytest.mark.parametrize(("limit", "attempts"), [(0.75, 100), (0.6, 300), (0.8, 30)])
def test_a_sphere_fills_up_where_it_was_said_to(sphere, limit, attempts):
    held = sphere.holds(limit, attempts)
    found = filled(SPHERE, NOBODY, limit, attempts)
    assert abs(np.log(found / held.people)) < held.error
    assert held.error < 0.35


def test_an_uneven_space_holds_far_more_than_poisson_people_and_that_is_foreseen(uneven):
    limit, attempts = 0.75, 100
    held, found = (
        uneven.holds(limit, attempts),
        filled(UNEVEN, unit_rows(0, 1, 24)[:0], limit, attempts),
    )
    poisson = capacity._held(uneven.between.rate(limit), 0.0, 0.0, attempts)
    assert found > 1.4 * poisson
    assert abs(np.log(found / held.people)) < capacity.MARGIN * held.error


def test_real_people_take_room_that_is_measured():
    real_RD = SPHERE.sample(120, first=5 * 10**6)
    alone = measure_crowding(SPHERE.sample(3000))
    beside = measure_crowding(SPHERE.sample(3000), [RealPeople(120, real_RD)])
    limit, attempts = 0.75, 100
    held = beside.holds(limit, attempts)
    assert held.people < alone.holds(limit, attempts).people - 60
    found = filled(SPHERE, real_RD, limit, attempts)
    assert abs(np.log(found / held.people)) < capacity.MARGIN * held.error


def test_a_real_person_whom_no_proposal_comes_near_takes_no_room(sphere):
    """Neither does the unknown error of a rate that is 0."""
    corner = np.zeros((1, 8), np.float32)
    corner[0, 0] = 1
    opposite = np.abs(SPHERE.sample(400)) * np.float32(-1)
    beside = measure_crowding(opposite, [RealPeople(10**6, corner)])
    held = beside.holds(0.95, 100)
    assert held.people > 10
    assert np.isfinite(held.error)


def test_earlier_releases_take_their_room(sphere):
    after = Crowding(sphere.between, (), sphere.spread, num_earlier=100)
    rest = sphere.holds(0.75, 100).people - after.holds(0.75, 100).people
    assert rest == pytest.approx(100, rel=0.03)


def test_the_allowed_cosine_grows_with_people_and_surely_holds_them(uneven):
    wanted = [10, 100, 1000, 10**4, 10**5, 10**6]
    allowed = [uneven.allowed_cosine(people, 1000) for people in wanted]
    assert allowed == sorted(set(allowed))
    for people, cosine in zip(wanted, allowed, strict=True):
        assert uneven.holds(cosine, 1000).surely >= people
        assert uneven.holds(cosine - 0.002, 1000).surely < people


def test_a_larger_limit_or_more_attempts_hold_more(uneven):
    cosines = np.linspace(0.3, 0.95, 40)
    people = [uneven.holds(cosine, 100).people for cosine in cosines]
    assert (np.diff(people) > 0).all()
    assert uneven.holds(0.8, 1000).people > uneven.holds(0.8, 100).people


def test_few_people_who_were_learned_from_make_the_number_less_sure(sphere):
    some = Crowding(sphere.between, (), sphere.spread, sampling_error=0.5)
    held = some.holds(0.75, 100)
    assert held.error == pytest.approx(np.hypot(sphere.holds(0.75, 100).error, 0.5), rel=0.1)
    assert held.surely < sphere.holds(0.75, 100).surely


def test_the_law_of_proposals_is_counted_below_the_threshold_and_fitted_above(sphere):
    law = sphere.between
    for cosine in (0.5, 0.75, 0.9, 0.985):  # 1.6e-2 to 1e-6 of pairs
        away = np.log(law.rate(cosine) / sphere_rate(cosine, 8))
        assert abs(away) < 3 * law.error(cosine)
    threshold = law.tail.fit.threshold
    assert 0.9 < threshold < 0.985
    assert law.rate(threshold - 1e-6) == pytest.approx(law.rate(threshold), rel=0.01)


def test_the_least_cosine_is_rounded_up():
    assert least_cosine(lambda cosine: cosine >= 0.71234) == pytest.approx(0.713)
    assert least_cosine(lambda cosine: False) == 1.0


def test_what_is_sure_is_two_standard_errors_off():
    some = capacity.Capacity(1000.0, 0.3)
    assert some.surely == int(1000 * np.exp(-0.6))
    assert some.at_most == pytest.approx(1000 * np.exp(0.6))


def test_the_spread_of_a_gate_is_the_most_likely_one_with_its_standard_error():
    """By a plain grid of likelihoods: the best, and the curvature of their logarithm there."""
    rng, rate, true = np.random.default_rng(2), 0.02, 1.0
    before = np.arange(600) // 2
    taken = rng.random(600) < free_fraction(before * rate, true)
    grid = np.arange(-0.5, 3.0, 0.002)
    free = np.stack([free_fraction(before * rate, spread) for spread in grid])
    likelihood = np.log(np.where(taken, free, 1 - free).clip(1e-12)).sum(1)
    best = int(likelihood.argmax())
    curvature = np.polyfit(grid[best - 10 : best + 11], likelihood[best - 10 : best + 11], 2)[0]
    spread, error = capacity._fit_spread((before, taken), rate)
    assert spread == pytest.approx(grid[best], abs=0.01)
    assert error == pytest.approx(1 / np.sqrt(-2 * curvature), rel=0.1)
