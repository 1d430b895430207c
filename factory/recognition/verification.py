"""Is a recognizer any good: figures from cosines of genuine and impostor pairs (METHODS 7)."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.errors import SourceError
from factory.sources import FaceSet


def pair_cosines(unit_ND: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(genuine, impostor) cosines of all pairs, by label. Memory: about 30*N^2 bytes."""
    row, column = np.triu_indices(len(unit_ND), k=1)
    cosines = (unit_ND @ unit_ND.T)[row, column]
    same = labels_N[row] == labels_N[column]
    return cosines[same], cosines[~same]


def auc(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Probability that a genuine cosine exceeds an impostor one, ties counted half."""
    ordered = np.sort(impostor)
    below = np.searchsorted(ordered, genuine, side="left")
    not_above = np.searchsorted(ordered, genuine, side="right")
    return float((below + not_above).mean() / (2 * len(impostor)))


def cosine_at_fmr(impostor: np.ndarray, fmr: float) -> float:
    """Smallest observed cosine t such that at most a share `fmr` of impostors lies above t."""
    ordered = np.sort(impostor)
    return float(ordered[len(ordered) - 1 - int(np.floor(fmr * len(ordered)))])


def tar_at_far(genuine: np.ndarray, impostor: np.ndarray, far: float) -> float:
    """Share of genuine pairs above the cosine that a share `far` of impostors exceeds."""
    return float((genuine > cosine_at_fmr(impostor, far)).mean())


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Error rate where false matches and false non-matches are equally frequent."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    fnmr = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    fmr = 1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / len(impostor)
    best = int(np.argmin(np.abs(fnmr - fmr)))
    return float((fnmr[best] + fmr[best]) / 2)


def fisher_ratio(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """FDR = (mu_G - mu_I)^2 / (var_G + var_I); at most 1e12 times the numerator."""
    spread = max(genuine.var() + impostor.var(), 1e-12)
    return float((genuine.mean() - impostor.mean()) ** 2 / spread)


def summary(unit_ND: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """The figures a held-out set gives: AUC, TAR at 1 % and .1 % FAR, EER, FDR, cosines at FMR."""
    genuine, impostor = pair_cosines(unit_ND, labels_N)
    return {
        "num_genuine": len(genuine),
        "num_impostor": len(impostor),
        "auc": auc(genuine, impostor),
        "tar_at_far_1e-2": tar_at_far(genuine, impostor, 1e-2),
        "tar_at_far_1e-3": tar_at_far(genuine, impostor, 1e-3),
        "eer": equal_error_rate(genuine, impostor),
        "fdr": fisher_ratio(genuine, impostor),
        "genuine_mean": float(genuine.mean()),
        "genuine_std": float(genuine.std()),
        "impostor_mean": float(impostor.mean()),
        "impostor_std": float(impostor.std()),
        "cosine_at_fmr_1e-2": cosine_at_fmr(impostor, 1e-2),
        "cosine_at_fmr_1e-3": cosine_at_fmr(impostor, 1e-3),
    }


def fold_accuracy(
    cosines: np.ndarray, same: np.ndarray, num_folds: int = 10
) -> tuple[float, float]:
    """Mean and std over folds, in order, of the accuracy at the threshold on the squared distance
    (0..4 by .01) that is best on the other folds (the insightface protocol)."""
    predicted = (2 - 2 * cosines)[:, None] < np.arange(0, 4, 0.01)
    correct = predicted == same[:, None]
    folds = np.array_split(np.arange(len(same)), num_folds)
    scores = []
    for fold in folds:
        others = np.setdiff1d(np.arange(len(same)), fold)
        best = int(correct[others].mean(0).argmax())
        scores.append(correct[fold, best].mean())
    return float(np.mean(scores)), float(np.std(scores))


def verify_pairs(embedder: Any, faces: FaceSet, path: str) -> dict[str, float]:
    """Figures of a pairs file over faces in memory, by a Recognizer (image and mirror summed).

    Raises SourceError for a key that is not among the faces.
    """
    pairs, same, num_folds = read_pairs(path)
    rows = {key: row for row, key in enumerate(faces.keys)}
    missing = [key for pair in pairs for key in pair if key not in rows]
    if missing:
        raise SourceError(
            f"source.pairs: {path} names {missing[0]!r}, which is not in the source "
            f"({len(missing)} such); use the pairs file of this source"
        )
    unit_ND = embedder.embed_with_mirror(faces.images_NHWC)
    first, second = (unit_ND[[rows[pair[side]] for pair in pairs]] for side in (0, 1))
    cosines = (first * second).sum(1)
    accuracy, spread = fold_accuracy(cosines, same, num_folds)
    genuine, impostor = cosines[same], cosines[~same]
    return {
        "num_pairs": len(pairs),
        "accuracy": accuracy,
        "accuracy_fold_std": spread,
        "auc": auc(genuine, impostor),
        "eer": equal_error_rate(genuine, impostor),
        "fdr": fisher_ratio(genuine, impostor),
    }


def read_pairs(path: str) -> tuple[list[tuple[str, str]], np.ndarray, int]:
    """LFW's pairs.txt -> (pairs of keys NAME/NAME_0001, same-person flags, number of folds)."""
    with open(path, encoding="utf-8") as handle:
        lines = [line.split() for line in handle if line.strip()]
    pairs: list[tuple[str, str]] = []
    same: list[bool] = []
    for number, fields in enumerate(lines[1:], start=2):
        if len(fields) == 3:
            name, first, second = fields
            pairs.append((_lfw_key(name, first), _lfw_key(name, second)))
        elif len(fields) == 4:
            name, first, other, second = fields
            pairs.append((_lfw_key(name, first), _lfw_key(other, second)))
        else:
            raise SourceError(f"{path} line {number}: want 3 or 4 fields, got {len(fields)}")
        same.append(len(fields) == 3)
    return pairs, np.array(same), int(lines[0][0])


def _lfw_key(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"
