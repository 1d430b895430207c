"""How many people a gate can hold, and the limit that a number of people needs.

A proposal passes when nobody is within the limit's cosine c. Let p = P(cosine > c) of two
proposals (cosine_tail.py) and x = n p, the expected number of the n people before it who are within
c. Were people spread evenly and independently, a fraction e^-x of proposals would pass (Poisson).
Two things change that: accepted people are kept apart, so their caps overlap less and fewer pass;
and a space of people is dense in the middle and thin outside, so proposals from outside still pass
when the middle is full. One parameter s, the spread, holds both:

    free(x, s) = E[exp(-x e^(sqrt(s) z - s/2))], z normal, for s > 0 (log-normal densities)
    free(x, s) = (1 + s x)^(-1/s), 0 once -s x >= 1,       for s < 0 (caps that repel)

with e^-x between them. A person whose max_attempts = A proposals are all refused, which has
probability (1 - free)^A, ends the plan, so N people are admitted with probability exp(-S(N)),
S(N) = sum over n < N of (1 - free(n p, s))^A. The gate holds the N with S(N) = log 2, that of even
chances. With s = 0 that is about log(A / u) / p with u e^u = 1/p: 5,260 people at p = 1e-3 and
A = 1,000, where log(A) / p would say 6,900.

p is fitted to pairs of proposals. s is the maximum likelihood one for proposals that a gate of
larger p takes or refuses one by one, and a line in log p from there on to small p. Real people are
R p_real(c) / p(c) further ones from the start, with p_real fitted to pairs of proposals and real
people. The error joins those of these fits (jackknife, regression) and MODEL_ERROR.

Shapes: P proposals or pairs of them, R real people, N numbers of people, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.identities.cosine_tail import GROUPS, CosineTail, fit_tail

NUM_PROPOSALS = 16_384
"""Proposals that are compared with each other, about 5 s on one thread."""
TAIL = 1e-4
"""Fraction of all pairs that the tail is fitted to, of at least LEAST_PAIRS."""
LEAST_PAIRS = 500
LEVELS = (5e-3, 2e-3, 1e-3, 5e-4, 2e-4)
"""Rates p at which the spread is fitted."""
LEAST_NEIGHBORS = 2.0
"""Expected neighbors of a proposal among the others, below which a level tells nothing."""
SPREADS = (-0.6, 6.0)
"""Least and largest spread."""
LEVEL_ERROR = 0.05
"""Standard deviation of a spread about its line, added to that of its own fit."""
MODEL_ERROR = 0.2
"""Relative error of a number of people by this model, from gates that were filled (README)."""
MARGIN = 2.0
"""Standard errors between what is sure and what is likely."""
LARGEST_ERROR = 2.0
"""Of log p, so that a fit to too few pairs does not leave the scale."""
ROWS = 1024
"""Rows compared at once."""

_NORMAL = np.linspace(-8.0, 8.0, 161)
_DENSITY = np.exp(-(_NORMAL**2) / 2) / np.exp(-(_NORMAL**2) / 2).sum()
_COUNTS = np.concatenate([[0.0], np.geomspace(0.1, 1e13, 1200)])


@dataclass(frozen=True)
class Capacity:
    """A number of people and its relative standard error."""

    people: float
    error: float

    @property
    def surely(self) -> int:
        """MARGIN errors fewer people."""
        return int(self.people * np.exp(-MARGIN * self.error))

    @property
    def at_most(self) -> float:
        """MARGIN errors more people."""
        return float(self.people * np.exp(MARGIN * self.error))


@dataclass(frozen=True)
class CosineLaw:
    """P(cosine > c) of pairs at every c: counted up to the tail's threshold, fitted above it."""

    tail: CosineTail
    cosines: np.ndarray
    """Falling cosines at and below the threshold."""
    rates: np.ndarray
    """Fraction of pairs above each."""

    def rate(self, cosine: float) -> float:
        if cosine >= self.tail.fit.threshold:
            return self.tail.rate(cosine)
        return float(np.interp(-cosine, -self.cosines, self.rates, left=self.tail.fit.rate))

    def error(self, cosine: float) -> float:
        """Standard error of the logarithm of the rate."""
        return min(self.tail.error(max(cosine, self.tail.fit.threshold)), LARGEST_ERROR)


@dataclass(frozen=True)
class SpreadLine:
    """The spread as a line in log p: value and slope at `center`, and their standard errors."""

    center: float
    value: float
    slope: float
    value_error: float
    slope_error: float

    def at(self, rate: float) -> float:
        spread = self.value + self.slope * (np.log(rate) - self.center)
        return float(np.clip(spread, *SPREADS))

    def error(self, rate: float) -> float:
        away = np.log(rate) - self.center
        return float(np.hypot(self.value_error, self.slope_error * away))


@dataclass(frozen=True)
class RealPeople:
    """Real people who are in the gate from the start: their number, and some of their vectors."""

    count: int
    unit_RD: np.ndarray


@dataclass(frozen=True)
class Crowding:
    """What decides how many people fit: laws of cosines, the spread, and who is there already."""

    between: CosineLaw
    """Of two proposals."""
    real: tuple[tuple[int, CosineLaw], ...]
    """Numbers of real people, and the law of a proposal with one of them."""
    spread: SpreadLine
    num_earlier: int = 0
    """People of the releases that are extended."""
    sampling_error: float = 0.0
    """Standard error of log p from knowing only some of the people that proposals learn from."""

    def holds(self, max_cosine: float, max_attempts: int) -> Capacity:
        """People that fit in before one is refused `max_attempts` times in a row."""
        rate = self.between.rate(max_cosine)
        if rate <= 0:
            return Capacity(float(_COUNTS[-1]), MODEL_ERROR)
        spread = self.spread.at(rate)
        reals = np.array([count * law.rate(max_cosine) for count, law in self.real])
        real_errors = np.array([law.error(max_cosine) for _, law in self.real])
        near_error = float(np.sqrt(((reals * real_errors)[reals > 0] ** 2).sum()))

        def people(log_factor: float, more_spread: float, more_near: float) -> float:
            scaled = rate * float(np.exp(log_factor))
            near = max(float(reals.sum()) + more_near, 0.0)
            before = self.num_earlier * scaled + near
            return _held(scaled, before, spread + more_spread, max_attempts)

        rate_error = float(np.hypot(self.between.error(max_cosine), self.sampling_error))
        shifts = np.diag([rate_error, self.spread.error(rate), near_error])
        effects = [np.log1p(people(*shift)) - np.log1p(people(*-shift)) for shift in shifts]
        error = np.sqrt(MODEL_ERROR**2 + (np.array(effects) ** 2).sum() / 4)
        return Capacity(people(0.0, 0.0, 0.0), float(error))

    def allowed_cosine(self, num_people: int, max_attempts: int) -> float:
        """The least limit, up to .001, at which so many people surely fit; 1 where none does."""
        return least_cosine(lambda c: self.holds(c, max_attempts).surely >= num_people)


def least_cosine(fits: Callable[[float], bool]) -> float:
    """The least cosine, rounded up to .001, that fits; 1 where none does. A larger one fits too."""
    low, high = -1.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return float(np.ceil(high * 1000) / 1000)


def free_fraction(x_N: np.ndarray, spread: float) -> np.ndarray:
    """Fraction of proposals that pass where x people are expected within the limit: float64 [N]."""
    x_N = np.asarray(x_N, np.float64)
    if spread > 1e-9:
        density = np.exp(np.sqrt(spread) * _NORMAL - spread / 2)
        return np.asarray(np.exp(-x_N[:, None] * density) @ _DENSITY)
    if spread < -1e-9:
        return np.asarray(np.maximum(1 + spread * x_N, 0.0) ** (-1 / spread))
    return np.asarray(np.exp(-x_N))


def _held(rate: float, before: float, spread: float, max_attempts: int) -> float:
    """The N with S(N) = log 2, where `before` real people are expected within the limit."""
    free_N = free_fraction(_COUNTS * rate + before, float(np.clip(spread, *SPREADS)))
    stuck_N = np.exp(max_attempts * np.log1p(-np.minimum(free_N, 1 - 1e-15)))
    sum_N = np.cumsum((stuck_N[1:] + stuck_N[:-1]) / 2 * np.diff(_COUNTS))
    return float(np.interp(np.log(2), sum_N, _COUNTS[1:]))


def measure_crowding(
    unit_PD: np.ndarray,
    real: Sequence[RealPeople] = (),
    num_earlier: int = 0,
    sampling_error: float = 0.0,
) -> Crowding:
    """Learn how a space fills up from independent proposals, at least 200."""
    unit_PD = np.ascontiguousarray(unit_PD, np.float32)
    count, num_pairs = len(unit_PD), len(unit_PD) * (len(unit_PD) - 1) // 2
    some = _some_cosines(unit_PD[: count // 2], unit_PD[count // 2 :])
    wanted = max(1.2 * LEVELS[0], 2 * LEAST_PAIRS / num_pairs)
    row_P, column_P, cosine_P = _pairs_above(unit_PD, _exceeded_by(some, wanted))
    order = np.argsort(-cosine_P, kind="stable")
    row_P, column_P, cosine_P = row_P[order], column_P[order], cosine_P[order]
    group_of = np.arange(count) * GROUPS // count
    law = _law(num_pairs, some, cosine_P, group_of[row_P], group_of[column_P])
    levels = []
    for level in LEVELS:
        stop = int(level * num_pairs)
        if level * count >= LEAST_NEIGHBORS and stop <= len(cosine_P):
            taken = _take_in_turn(count, row_P[:stop], column_P[:stop])
            levels.append((np.log(level), *_fit_spread(taken, level)))
    laws = tuple((part.count, _law_to(unit_PD, part.unit_RD)) for part in real if part.count)
    return Crowding(law, laws, _line(levels), num_earlier, sampling_error)


def _law_to(unit_PD: np.ndarray, unit_RD: np.ndarray) -> CosineLaw:
    """The law of the cosines of proposals with others."""
    some, num_pairs = _some_cosines(unit_PD, unit_RD), len(unit_PD) * len(unit_RD)
    lowest = _exceeded_by(some, max(2 * TAIL, 2 * LEAST_PAIRS / num_pairs))
    rows, cosines = [], []
    for start in range(0, len(unit_PD), ROWS):
        cosine_BR = unit_PD[start : start + ROWS] @ unit_RD.T
        row_P, column_P = np.nonzero(cosine_BR >= lowest)
        rows.append(row_P + start)
        cosines.append(cosine_BR[row_P, column_P])
    row_P, cosine_P = np.concatenate(rows), np.concatenate(cosines)
    order = np.argsort(-cosine_P, kind="stable")
    return _law(num_pairs, some, cosine_P[order], row_P[order] * GROUPS // len(unit_PD))


def _law(
    num_pairs: int,
    some: np.ndarray,
    cosine_P: np.ndarray,
    group_P: np.ndarray,
    other_group_P: np.ndarray | None = None,
) -> CosineLaw:
    """The law of pairs by the largest of their cosines, which fall, and `some` of all."""
    num_top = min(max(int(TAIL * num_pairs), LEAST_PAIRS), len(cosine_P))
    others = None if other_group_P is None else other_group_P[:num_top]
    tail = fit_tail(cosine_P[:num_top], num_pairs, group_P[:num_top], others)
    ranks = np.unique(np.geomspace(max(num_top, 1), max(len(cosine_P), 1), 500).astype(int))
    rates = np.geomspace(ranks[-1] / num_pairs, 1.0, 500)[1:]
    return CosineLaw(
        tail,
        np.concatenate([cosine_P[ranks - 1], [_exceeded_by(some, rate) for rate in rates]]),
        np.concatenate([ranks / num_pairs, rates]),
    )


def _some_cosines(a_PD: np.ndarray, b_RD: np.ndarray, side: int = 2048) -> np.ndarray:
    """The cosines of some pairs, rising."""
    return np.asarray(np.sort((a_PD[:side] @ b_RD[:side].T).ravel()))


def _exceeded_by(some: np.ndarray, fraction: float) -> float:
    """The cosine that about a fraction of pairs exceeds."""
    return float(some[int((1 - min(fraction, 1.0)) * (len(some) - 1))])


def _pairs_above(unit_PD: np.ndarray, cosine: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Earlier row, later row and cosine of all pairs at or above a cosine."""
    rows, columns, cosines = [], [], []
    for start in range(0, len(unit_PD), ROWS):
        cosine_BP = unit_PD[start : start + ROWS] @ unit_PD[start:].T
        row_P, column_P = np.nonzero(cosine_BP >= cosine)
        later = column_P > row_P
        row_P, column_P = row_P[later], column_P[later]
        rows.append(row_P + start)
        columns.append(column_P + start)
        cosines.append(cosine_BP[row_P, column_P])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(cosines)


def _take_in_turn(
    count: int, row_P: np.ndarray, column_P: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A gate over proposals in their order: how many it has before each, and whether it takes it.

    The pairs are those that are too near.
    """
    order = np.argsort(row_P, kind="stable")
    later_P = column_P[order]
    first_of = np.searchsorted(row_P[order], np.arange(count + 1))
    refused, before, taken = np.zeros(count, bool), np.empty(count, np.int64), 0
    for row in range(count):
        before[row] = taken
        if not refused[row]:
            refused[later_P[first_of[row] : first_of[row + 1]]] = True
            taken += 1
    return before, ~refused


def _fit_spread(outcome: tuple[np.ndarray, np.ndarray], rate: float) -> tuple[float, float]:
    """Maximum likelihood spread of who was taken at a rate, and its standard error."""
    before_P, taken_P = outcome
    x_P = before_P * rate
    grid = np.linspace(0.0, float(x_P.max()), 200)

    def log_likelihood(spread: float) -> float:
        free_P = np.clip(np.interp(x_P, grid, free_fraction(grid, spread)), 1e-12, 1 - 1e-12)
        return float(np.log(free_P[taken_P]).sum() + np.log1p(-free_P[~taken_P]).sum())

    step, spread = 0.05, 0.0
    best = log_likelihood(spread)
    while step > 1e-4:
        moves = [s for s in (spread - step, spread + step) if SPREADS[0] <= s <= SPREADS[1]]
        values = [log_likelihood(s) for s in moves]
        if max(values) > best:
            best, spread = max(zip(values, moves, strict=True))
        else:
            step /= 2
    around = [log_likelihood(spread + h) for h in (-0.02, 0.0, 0.02)]
    curvature = -(around[0] - 2 * around[1] + around[2]) / 0.02**2
    return spread, float(1 / np.sqrt(max(curvature, 1e-6)))


def _line(levels: Sequence[tuple[float, float, float]]) -> SpreadLine:
    """Weighted least squares of (log p, spread, standard error)."""
    if len(levels) < 2:
        return SpreadLine(float(np.log(LEVELS[0])), levels[0][1] if levels else 0.0, 0.0, 0.2, 0.1)
    x_L, y_L, error_L = np.array(levels).T
    weight_L = 1 / (error_L**2 + LEVEL_ERROR**2)
    center = float((weight_L * x_L).sum() / weight_L.sum())
    value = float((weight_L * y_L).sum() / weight_L.sum())
    spread_x = float((weight_L * (x_L - center) ** 2).sum())
    slope = float((weight_L * (x_L - center) * y_L).sum() / spread_x)
    residual_L = y_L - value - slope * (x_L - center)
    scale = max(1.0, float((weight_L * residual_L**2).sum()) / max(len(levels) - 2, 1))
    errors = np.sqrt(scale / np.array([weight_L.sum(), spread_x]))
    return SpreadLine(center, value, slope, float(errors[0]), float(errors[1]))
