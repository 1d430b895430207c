"""From which cosine on somebody made counts as somebody real: the audit's rules (METHODS 6).

The audit counts by them in a sealed release; with filters.spare_real_people makers reject by them.
"""

from __future__ import annotations

import numpy as np

EQUAL = 1 - 1e-6
"""Cosine from which two vectors are of one picture."""


def leak_limit(stranger_M: np.ndarray, leak_fpir: float) -> float:
    """The cosine that a fraction `leak_fpir` of the cosines of real strangers exceed at most."""
    return float(np.quantile(stranger_M, 1 - leak_fpir, method="higher"))


def is_leak(cosine_M: np.ndarray, limit: float) -> np.ndarray:
    """Which of some cosines to the nearest real person are leaks, bool [M]."""
    return np.asarray((cosine_M > limit) | (cosine_M >= EQUAL))


def unit_means(unit_ND: np.ndarray, rows_N: np.ndarray) -> np.ndarray:
    """Unit mean [P, D] of the vectors of each row 0..P-1."""
    sums_PD = np.zeros((rows_N.max() + 1, unit_ND.shape[1]))
    np.add.at(sums_PD, rows_N, unit_ND)
    unit_PD = sums_PD / np.linalg.norm(sums_PD, axis=1, keepdims=True)
    return np.asarray(unit_PD, np.float32)
