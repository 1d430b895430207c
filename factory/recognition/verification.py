"""Verification metrics: figures from cosines of genuine and impostor pairs (METHODS 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from factory.recognition.embed import Embedder, MirrorSum
from factory.recognition.pairs import Pairs
from factory.recognition.resampled_figures import (
    FIGURES,
    fold_accuracies,
    intervals,
    power_line,
    resampled,
)
from factory.recognition.resampled_scores import AllPairs, ListedPairs

UNACQUIRED = -1.0
"""Cosine that a pair counts with where an image could not be acquired: no match."""
ROWS_AT_ONCE = 512
"""Vectors whose pairs are computed at once."""
LEAST_FALSE = 10
"""False matches from which a rate of them is told; with fewer it is one or two pairs' luck."""


def pair_cosines(unit_ND: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(genuine, impostor) cosines of all pairs, by label. Memory: about 4*N^2 bytes."""
    genuine, impostor = [], []
    for start in range(0, len(unit_ND), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        cosine_BN = unit_ND[rows] @ unit_ND[start:].T
        later_BN = np.triu(np.ones(cosine_BN.shape, bool), k=1)
        same_BN = labels_N[rows][:, None] == labels_N[start:]
        genuine.append(cosine_BN[later_BN & same_BN])
        impostor.append(cosine_BN[later_BN & ~same_BN])
    return np.concatenate(genuine), np.concatenate(impostor)


def auc(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Probability that a genuine cosine exceeds an impostor one, ties counted half."""
    ordered = np.sort(impostor)
    below = np.searchsorted(ordered, genuine, side="left")
    not_above = np.searchsorted(ordered, genuine, side="right")
    return float((below + not_above).mean() / (2 * len(impostor)))


def cosine_at_fmr(impostor: np.ndarray, fmr: float) -> float:
    """Smallest observed cosine t such that at most a fraction `fmr` of impostors lies above t."""
    ordered = np.sort(impostor)
    return float(ordered[len(ordered) - 1 - int(np.floor(fmr * len(ordered)))])


def tar_at_far(genuine: np.ndarray, impostor: np.ndarray, far: float) -> float:
    """Fraction of genuine pairs above the cosine that a fraction `far` of impostors exceeds."""
    return float((genuine > cosine_at_fmr(impostor, far)).mean())


def too_few_for_far(num_impostor: int, far: float) -> str:
    """Why there is no TAR at a FAR; empty where at least LEAST_FALSE impostors would exceed it."""
    if num_impostor * far >= LEAST_FALSE - 1e-9:
        return ""
    return (
        f"n/a: {num_impostor} impostor pairs; a TAR at a FAR of {far:g} needs "
        f"{LEAST_FALSE / far:.0f}"
    )


def told_tar(genuine: np.ndarray, impostor: np.ndarray, far: float) -> float | None:
    """The TAR at a FAR; None where `too_few_for_far` says why."""
    return None if too_few_for_far(len(impostor), far) else tar_at_far(genuine, impostor, far)


def roc(genuine: np.ndarray, impostor: np.ndarray) -> list[tuple[float, float]]:
    """(FAR, TAR) at 1, 2 and 5 times every power of ten, from 1e-6 up to 1.

    Only where at least LEAST_FALSE impostors exceed the threshold, and at 1.
    """
    fars = [digit * 10.0**-power for power in range(6, 0, -1) for digit in (1, 2, 5)] + [1.0]
    measurable = [far for far in fars if far * len(impostor) >= LEAST_FALSE - 1e-9 or far == 1]
    return [(far, tar_at_far(genuine, impostor, min(far, 1 - 1e-9))) for far in measurable]


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Error rate where false matches and false non-matches are equally frequent."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    genuine, impostor = np.sort(genuine), np.sort(impostor)

    def rates(index: int) -> tuple[float, float]:
        fnmr = np.searchsorted(genuine, thresholds[index], side="left") / len(genuine)
        fmr = 1 - np.searchsorted(impostor, thresholds[index], side="left") / len(impostor)
        return float(fnmr), float(fmr)

    low, high = 0, len(thresholds) - 1  # FNMR rises and FMR falls: bisect where they cross
    while low < high:
        middle = (low + high) // 2
        fnmr, fmr = rates(middle)
        low, high = (middle + 1, high) if fnmr < fmr else (low, middle)
    before, after = rates(max(low - 1, 0)), rates(low)
    fnmr, fmr = before if abs(before[0] - before[1]) <= abs(after[0] - after[1]) else after
    return (fnmr + fmr) / 2


def fisher_ratio(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """FDR = (mu_G - mu_I)^2 / (var_G + var_I); at most 1e12 times the numerator."""
    spread = max(genuine.var() + impostor.var(), 1e-12)
    return float((genuine.mean() - impostor.mean()) ** 2 / spread)


@dataclass(frozen=True)
class Verified:
    """Figures as JSON holds them, and those of every resampling by name [R]."""

    figures: dict[str, Any]
    resampled: dict[str, np.ndarray] = field(default_factory=dict)


def summary(unit_ND: np.ndarray, labels_N: np.ndarray) -> dict[str, Any]:
    """The figures of `verified_people`."""
    return verified_people(unit_ND, labels_N).figures


def verified_people(
    unit_ND: np.ndarray, labels_N: np.ndarray, with_intervals: bool = True
) -> Verified:
    """Figures of a held-out set: AUC, TAR at 1 % and .1 % FAR, EER, FDR, cosines at FMR.

    Those that need pairs that there are not are None, and `note` or `tar_note` says why. Intervals
    (`auc_interval: [low, high]`) are of people, who are resampled.
    """
    genuine, impostor = pair_cosines(unit_ND, labels_N)
    figures: dict[str, Any] = {"num_genuine": len(genuine), "num_impostor": len(impostor)}
    if reason := _one_kind(genuine, impostor):
        figures["note"] = reason
    both, of_genuine, of_impostor = (genuine, impostor), (genuine,), (impostor,)
    measures: dict[str, tuple[Callable[..., float | None], tuple[np.ndarray, ...]]] = {
        "auc": (auc, both),
        "tar_at_far_1e-2": (partial(told_tar, far=1e-2), both),
        "tar_at_far_1e-3": (partial(told_tar, far=1e-3), both),
        "eer": (equal_error_rate, both),
        "fdr": (fisher_ratio, both),
        "genuine_mean": (_mean, of_genuine),
        "genuine_std": (_std, of_genuine),
        "impostor_mean": (_mean, of_impostor),
        "impostor_std": (_std, of_impostor),
        "cosine_at_fmr_1e-2": (partial(cosine_at_fmr, fmr=1e-2), of_impostor),
        "cosine_at_fmr_1e-3": (partial(cosine_at_fmr, fmr=1e-3), of_impostor),
    }
    for name, (figure, cosines) in measures.items():
        figures[name] = figure(*cosines) if all(map(len, cosines)) else None
    if len(impostor) and (reason := too_few_for_far(len(impostor), 1e-3)):
        figures["tar_note"] = reason
    if not with_intervals or not len(genuine) or not len(impostor):
        return Verified(figures)
    return _bounded(figures, AllPairs.of(unit_ND, labels_N), "people", "auc")


def _one_kind(genuine: np.ndarray, impostor: np.ndarray) -> str:
    """Why figures that compare both kinds of pairs are left out; empty where they are not."""
    if len(genuine) and len(impostor):
        return ""
    if len(impostor):
        return "n/a: no genuine pairs, because nobody has two images"
    return "n/a: no impostor pairs, because all images are of one person"


def _mean(cosines: np.ndarray) -> float:
    return float(cosines.mean())


def _std(cosines: np.ndarray) -> float:
    return float(cosines.std())


def folds_of(same: np.ndarray, num_folds: int) -> tuple[list[np.ndarray], bool]:
    """Rows of the pairs in each fold, and whether these are the pairs in their order.

    They are, where every such fold has genuine and impostor pairs, as in LFW's pairs.txt and in
    insightface's .bin. Else (all genuine pairs first, say) each kind is cut into folds apart, which
    gives the same folds wherever those in order have equally many of each kind.
    """
    in_order = np.array_split(np.arange(len(same)), num_folds)
    if all(0 < same[fold].sum() < len(fold) for fold in in_order):
        return in_order, True
    kinds = [np.array_split(np.flatnonzero(kind), num_folds) for kind in (same, ~same)]
    return [np.sort(np.concatenate(parts)) for parts in zip(*kinds, strict=True)], False


def right_by_folds(
    cosines: np.ndarray, same: np.ndarray, num_folds: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Whether each pair is told rightly at the threshold of its fold [N], and the folds.

    Folds are those of `folds_of`; the threshold is that on the squared distance (0..4 by .01) which
    is best on the other folds (the insightface protocol).
    """
    predicted = (2 - 2 * cosines)[:, None] < np.arange(0, 4, 0.01)
    correct = predicted == same[:, None]
    right, folds = np.empty(len(same), bool), folds_of(same, num_folds)[0]
    for fold in folds:
        others = np.setdiff1d(np.arange(len(same)), fold)
        right[fold] = correct[fold, int(correct[others].mean(0).argmax())]
    return right, folds


def fold_accuracy(
    cosines: np.ndarray, same: np.ndarray, num_folds: int = 10
) -> tuple[float, float]:
    """Mean and deviation over folds of the accuracy at a threshold from the other folds."""
    right, folds = right_by_folds(cosines, same, num_folds)
    scores = [right[fold].mean() for fold in folds]
    return float(np.mean(scores)), float(np.std(scores))


def verify_pairs(embedder: Embedder, pairs: Pairs) -> dict[str, Any]:
    """The figures of `verified_pairs`."""
    return verified_pairs(embedder, pairs).figures


def verified_pairs(
    embedder: Embedder, pairs: Pairs, seed: int = 0, with_intervals: bool = True
) -> Verified:
    """Figures of a recognizer on pairs, image and mirror image summed as its mirror_sum says.

    They are accuracy by folds (None, and why, where a fold would lack a kind of pairs), AUC, EER,
    FDR, FMR100 and FMR1000 (lowest FNMR at such an FMR), TAR at every power of ten of FAR that
    there are impostors enough to measure (`tar_note` where not even .1 %), the ROC, and intervals
    by resampling people, or pairs where who is in them is not known (`resampled`).
    """
    unit_ND = embed_pairs(embedder, pairs)
    return verified_vectors(unit_ND, pairs, embedder.mirror_sum, seed, with_intervals)


def embed_pairs(embedder: Embedder, pairs: Pairs) -> np.ndarray:
    """Unit vectors of the pairs' images [2N, D]; NaN for those that could not be acquired."""
    if pairs.acquired is None:
        return embedder.embed_with_mirror(pairs.images_NHWC)
    unit_ND = np.full((len(pairs.acquired), embedder.dim), np.nan, np.float32)
    unit_ND[pairs.acquired] = embedder.embed_with_mirror(pairs.images_NHWC[pairs.acquired])
    return unit_ND


def figures_of(unit_ND: np.ndarray, pairs: Pairs, mirror_sum: MirrorSum) -> dict[str, Any]:
    """The figures of `verify_pairs` from the unit vectors of the pairs' 2N images."""
    return verified_vectors(unit_ND, pairs, mirror_sum).figures


def verified_vectors(
    unit_ND: np.ndarray,
    pairs: Pairs,
    mirror_sum: MirrorSum,
    seed: int = 0,
    with_intervals: bool = True,
) -> Verified:
    """The figures of `verified_pairs` from the unit vectors of the pairs' 2N images.

    Pairs of an image that could not be acquired, whose vector is NaN, match at no threshold; FDR,
    which is made of means, is of the others.
    """
    cosines = (unit_ND[0::2] * unit_ND[1::2]).sum(1)
    fdr = _fdr(cosines, pairs.same)
    cosines = np.where(np.isfinite(cosines), cosines, UNACQUIRED)
    genuine, impostor = cosines[pairs.same], cosines[~pairs.same]
    figures: dict[str, Any] = {
        "num_pairs": len(cosines),
        "mirror_sum": mirror_sum,
        **_acquisition(pairs),
        **_accuracy(cosines, pairs),
        "auc": auc(genuine, impostor),
        "eer": equal_error_rate(genuine, impostor),
        "fdr": fdr,
        "fmr100": _missed(told_tar(genuine, impostor, 1e-2)),
        "fmr1000": _missed(told_tar(genuine, impostor, 1e-3)),
    }
    if reason := too_few_for_far(len(impostor), 1e-3):
        figures["tar_note"] = reason
    for exponent in range(1, 7):
        tar = told_tar(genuine, impostor, 10.0**-exponent)
        if tar is not None:
            figures[f"tar_at_far_1e-{exponent}"] = tar
    figures["roc"] = roc(genuine, impostor)
    if not with_intervals:
        return Verified(figures)
    known = pairs.numbers_N2
    people = np.repeat(np.arange(len(cosines))[:, None], 2, 1) if known is None else known
    listed = ListedPairs(cosines, pairs.same, people[:, 0], people[:, 1])
    unit = "pairs" if known is None else "people"  # unknown: a pair by itself
    if figures["accuracy"] is None:
        return _bounded(figures, listed, unit, "auc", seed)
    by_fold = fold_accuracies(listed, folds_of(pairs.same, pairs.num_folds)[0], seed)
    return _bounded(figures, listed, unit, "accuracy", seed, {"accuracy": by_fold})


def _bounded(
    figures: dict[str, Any],
    scores: AllPairs | ListedPairs,
    unit: str,
    told: str,
    seed: int = 0,
    further: dict[str, np.ndarray] | None = None,
) -> Verified:
    """The figures with their intervals and what difference of the one called `told` is seen."""
    there = [name for name in FIGURES if figures.get(name) is not None]
    values = (further or {}) | resampled(scores, there, seed)
    found = {name: figures[name] for name in values}
    bounds = intervals(found, values, scores.num_units)
    known = {name: None if b is None else [b.low, b.high] for name, b in bounds.items()}
    power = power_line(told, values[told], scores.num_people, unit)
    return Verified(
        figures
        | {f"{name}_interval": bound for name, bound in known.items()}
        | {"resampled": unit, f"num_{unit}": scores.num_people, "power": power},
        values,
    )


def _missed(tar: float | None) -> float | None:
    return None if tar is None else 1 - tar


def _fdr(cosines: np.ndarray, same: np.ndarray) -> float | None:
    """FDR of the pairs that have a cosine; None unless there are some of both kinds."""
    genuine, impostor = (cosines[kind & np.isfinite(cosines)] for kind in (same, ~same))
    return fisher_ratio(genuine, impostor) if len(genuine) and len(impostor) else None


def _acquisition(pairs: Pairs) -> dict[str, Any]:
    """Where failures count: the failure-to-acquire rate over images, and the pairs without one."""
    if pairs.acquired is None:
        return {}
    acquired = dict(zip(pairs.image_keys, pairs.acquired.tolist(), strict=True))
    return {
        "fta": 1 - sum(acquired.values()) / len(acquired),
        "num_pairs_not_acquired": int((~pairs.acquired.reshape(-1, 2).all(1)).sum()),
    }


def too_few_for_folds(pairs: Pairs) -> str:
    """Why there is no accuracy by folds; empty where there is one."""
    genuine = int(pairs.same.sum())
    fewest = min(genuine, len(pairs.same) - genuine)
    if fewest >= pairs.num_folds:
        return ""
    return (
        f"n/a: {genuine} genuine and {len(pairs.same) - genuine} impostor pairs for "
        f"{pairs.num_folds} folds, each of which needs one of each kind"
    )


def _accuracy(cosines: np.ndarray, pairs: Pairs) -> dict[str, Any]:
    """Accuracy by folds and how the folds are made, or the reason why there is none."""
    if reason := too_few_for_folds(pairs):
        return {"accuracy": None, "accuracy_fold_std": None, "accuracy_note": reason}
    accuracy, spread = fold_accuracy(cosines, pairs.same, pairs.num_folds)
    in_order = folds_of(pairs.same, pairs.num_folds)[1]
    folds = "pairs in order" if in_order else "genuine and impostor pairs each in order"
    return {"accuracy": accuracy, "accuracy_fold_std": spread, "folds": folds}
