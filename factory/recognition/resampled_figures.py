"""Figures of verification in every resampling, and the intervals that follow (METHODS 7).

Each is the figure of verification.py with counts of pairs in the place of pairs.

Shapes: R resamplings, B cosines in ascending order, F folds, T thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from factory.recognition.resampled_scores import AllPairs, ListedPairs, ScoreCounts
from factory.recognition.resampling import (
    LEAST_PEOPLE,
    RESAMPLINGS,
    Interval,
    detectable_difference,
    interval,
    people_counts,
    rate_bounds,
    rate_interval,
)

Figure = Callable[[ScoreCounts], np.ndarray]
THRESHOLDS = np.arange(0, 4, 0.01)
"""Squared distances that accuracy by folds chooses from."""


def aucs(counts: ScoreCounts) -> np.ndarray:
    """Chance that a genuine cosine exceeds an impostor one, ties counted half [R]."""
    below_RB = np.cumsum(counts.impostor_RB, 1) - counts.impostor_RB / 2
    wins_R = (counts.genuine_RB * below_RB).sum(1)
    return _over(wins_R, counts.genuine_RB.sum(1) * counts.impostor_RB.sum(1))


def tars_at_far(counts: ScoreCounts, far: float) -> np.ndarray:
    """Fraction of genuine pairs above the cosine that a fraction `far` of impostors exceeds [R]."""
    place_R, total_R = _places_at_fmr(counts, far), counts.genuine_RB.sum(1)
    above_R = total_R - np.cumsum(counts.genuine_RB, 1)[np.arange(len(place_R)), place_R]
    return np.asarray(np.clip(_over(above_R, total_R), 0, 1))


def cosines_at_fmr(counts: ScoreCounts, fmr: float) -> np.ndarray:
    """Smallest cosine that at most a fraction `fmr` of impostors exceeds [R]."""
    found = counts.cosine_B[_places_at_fmr(counts, fmr)]
    return np.where(counts.impostor_RB.sum(1) > 0, found, np.nan)


def fnmrs_at(counts: ScoreCounts, cosine: float) -> np.ndarray:
    """Fraction of genuine pairs not above a cosine [R]."""
    return 1 - _fractions(counts.genuine_RB, counts.cosine_B > cosine)


def fmrs_at(counts: ScoreCounts, cosine: float) -> np.ndarray:
    """Fraction of impostor pairs above a cosine [R]."""
    return _fractions(counts.impostor_RB, counts.cosine_B > cosine)


def eers(counts: ScoreCounts) -> np.ndarray:
    """Mean of FNMR and FMR at the threshold where they are closest [R]."""
    genuine_R, impostor_R = counts.genuine_RB.sum(1), counts.impostor_RB.sum(1)
    missed_RB = np.cumsum(counts.genuine_RB, 1) - counts.genuine_RB
    passed_RB = impostor_R[:, None] - (np.cumsum(counts.impostor_RB, 1) - counts.impostor_RB)
    fnmr_RB = _over(missed_RB, genuine_R[:, None])
    fmr_RB = _over(passed_RB, impostor_R[:, None])
    closest_R = np.abs(fnmr_RB - fmr_RB).argmin(1)
    rows = np.arange(len(closest_R))
    return np.asarray((fnmr_RB[rows, closest_R] + fmr_RB[rows, closest_R]) / 2)


def fisher_ratios(counts: ScoreCounts) -> np.ndarray:
    """FDR = (mu_G - mu_I)^2 / (var_G + var_I) [R]."""
    moments = []
    for pairs_RB in (counts.genuine_RB, counts.impostor_RB):
        total_R = pairs_RB.sum(1)
        mean_R = _over(pairs_RB @ counts.cosine_B, total_R)
        square_R = _over(pairs_RB @ counts.cosine_B**2, total_R)
        moments.append((mean_R, square_R - mean_R**2))
    (mean_g, var_g), (mean_i, var_i) = moments
    return np.asarray((mean_g - mean_i) ** 2 / np.maximum(var_g + var_i, 1e-12))


def fold_accuracies(
    pairs: ListedPairs, folds: list[np.ndarray], seed: int, count: int = RESAMPLINGS
) -> np.ndarray:
    """Accuracy by folds [R], the threshold of each chosen on the others in the same resampling.

    A fold of which a resampling has nobody is left out of the mean.
    """
    weight_RN = pairs.weights(people_counts(pairs.num_people, seed, count)).astype(np.float32)
    predicted_NT = (2 - 2 * pairs.cosines_N)[:, None] < THRESHOLDS
    correct_NT = (predicted_NT == pairs.same_N[:, None]).astype(np.float32)
    right_FRT = np.stack([weight_RN[:, fold] @ correct_NT[fold] for fold in folds])
    total_FR = np.stack([weight_RN[:, fold].sum(1) for fold in folds])
    best_FR = (right_FRT.sum(0) - right_FRT).argmax(2)
    found_FR = np.take_along_axis(right_FRT, best_FR[..., None], 2)[..., 0]
    seen_FR = total_FR > 0
    scores_FR = np.where(seen_FR, found_FR / np.maximum(total_FR, 1), 0)
    return _over(scores_FR.sum(0), seen_FR.sum(0))


FIGURES: dict[str, Figure] = {
    "auc": aucs,
    "eer": eers,
    "fdr": fisher_ratios,
    "fmr100": lambda counts: 1 - tars_at_far(counts, 1e-2),
    "fmr1000": lambda counts: 1 - tars_at_far(counts, 1e-3),
    **{f"tar_at_far_1e-{n}": partial(tars_at_far, far=10.0**-n) for n in range(1, 7)},
    "cosine_at_fmr_1e-2": partial(cosines_at_fmr, fmr=1e-2),
    "cosine_at_fmr_1e-3": partial(cosines_at_fmr, fmr=1e-3),
}
"""Figures that have an interval, by the names of verification.summary and verify_pairs."""
RATES = {"auc", "eer", "fmr100", "fmr1000", "accuracy", "fnmr", "fmr"}
RATES |= {f"tar_at_far_1e-{n}" for n in range(1, 7)}
"""Those that are rates of errors, or of their absence."""


def resampled(
    scores: AllPairs | ListedPairs, names: list[str], seed: int = 0, count: int = RESAMPLINGS
) -> dict[str, np.ndarray]:
    """Figures by name in every resampling [R]."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for counts in scores.resampled(seed, count):
        for name in names:
            parts[name].append(FIGURES[name](counts))
    return {name: np.concatenate(part) for name, part in parts.items()}


def intervals(
    found: Mapping[str, float | None], values: Mapping[str, np.ndarray], num_units: int
) -> dict[str, Interval | None]:
    """The interval of each figure that is there, from its resampled values.

    Rates have theirs by their standard error (`rate_bounds`), or the rule of three over `num_units`
    where no error was seen; other figures by quantiles. None with too few people.
    """
    return {
        name: None if figure is None else _interval(name, figure, values.get(name), num_units)
        for name, figure in found.items()
    }


def power_line(name: str, values_R: np.ndarray, num_units: int, unit: str) -> str:
    """What difference of a figure two such sets show four times of five, in a sentence.

    Empty with fewer than LEAST_PEOPLE. On the same pairs the difference varies less.
    """
    if num_units < LEAST_PEOPLE or np.isnan(values_R).all():
        return ""
    seen = detectable_difference(math.sqrt(2) * float(np.nanstd(values_R)))
    return (
        f"a difference of {seen:.4f} in {name} is seen with {num_units} {unit} a side in 80 %; on "
        "the same pairs less is"
    )


def _interval(
    name: str, figure: float, values_R: np.ndarray | None, num_units: int
) -> Interval | None:
    if name in RATES and (figure <= 1e-12 or figure >= 1 - 1e-12):
        return rate_interval(round(figure) * num_units, num_units)
    if values_R is None or num_units < LEAST_PEOPLE or np.isnan(values_R).mean() > 0.5:
        return None
    if name in RATES:
        return rate_bounds(figure, float(np.nanstd(values_R)), num_units)
    bounds = interval(values_R)  # which bins of cosines may shift by a hair
    return Interval(min(bounds.low, figure), max(bounds.high, figure))


def _places_at_fmr(counts: ScoreCounts, fmr: float) -> np.ndarray:
    """The first bin that at most a fraction `fmr` of impostors exceeds [R]."""
    total_R = counts.impostor_RB.sum(1)
    above_RB = total_R[:, None] - np.cumsum(counts.impostor_RB, 1)
    return np.asarray((above_RB <= fmr * total_R[:, None] + 1e-6).argmax(1))


def _fractions(pairs_RB: np.ndarray, is_counted_B: np.ndarray) -> np.ndarray:
    """Fraction of pairs in some bins [R]; NaN where there is no pair."""
    fraction_R = _over(pairs_RB[:, is_counted_B].sum(1), pairs_RB.sum(1))
    return np.asarray(np.clip(fraction_R, 0, 1))


def _over(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """A quotient, NaN where there is nothing."""
    return np.asarray(np.where(totals > 0, values / np.where(totals > 0, totals, 1), np.nan))
