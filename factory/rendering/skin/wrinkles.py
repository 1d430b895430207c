"""Lines and folds of a face, drawn on the mean head and deeper with age.

Nasolabial folds are in every face; lines of the forehead, crow's feet and lines under the eyes
come from about thirty on (Lemperle et al. 2001, "A classification of facial wrinkles").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.rendering.skin.face_zones import curve, distance_to, smooth
from factory.rendering.traits import Person

SEED = 31


@dataclass(frozen=True)
class Fold:
    """A line on the mean head seen from the front."""

    line_K2: np.ndarray
    width: float
    """Centimeters to where the bell has fallen to 1/e."""
    depth: float
    """0 none, 1 the deepest."""


def wrinkledness(person: Person) -> float:
    """How deep a person's lines are, 0 to 1: by age, and by the skin itself."""
    aged = float(smooth(18, 80, np.array(person.age)))
    return min(1.0, 0.65 * aged + 0.5 * person.skin.wrinkles)


def draw_folds(landmarks_68x3: np.ndarray, person: Person) -> list[Fold]:
    """All lines of a person's face."""
    rng = np.random.default_rng([person.seed, SEED])
    amount, lm = wrinkledness(person), landmarks_68x3[:, :2]
    folds = _forehead(rng, lm, amount) + _between_brows(rng, lm, amount)
    for side in (-1, 1):
        for fold in _side(rng, lm, amount):
            folds.append(Fold(fold.line_K2 * [side, 1], fold.width, fold.depth))
    return folds


def shade(points_N3: np.ndarray, folds: list[Fold]) -> np.ndarray:
    """How deep [N] in [0, 1] points of the mean head lie in folds; only the front has any."""
    total = np.zeros(len(points_N3))
    front = np.flatnonzero(points_N3[:, 2] > 5)
    at = points_N3[front, :2]
    x, y = np.ascontiguousarray(at.T)
    for fold in folds:
        low, high = fold.line_K2.min(0) - 3 * fold.width, fold.line_K2.max(0) + 3 * fold.width
        close = np.flatnonzero((x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]))
        away = distance_to(at[close], fold.line_K2)
        ends = np.minimum(*(np.linalg.norm(at[close] - e, axis=1) for e in fold.line_K2[[0, -1]]))
        bell = fold.depth * np.exp(-((away / fold.width) ** 2)) * smooth(0, 0.6, ends)
        total[front[close]] = np.maximum(total[front[close]], bell)
    return total


def _forehead(rng: np.random.Generator, lm: np.ndarray, amount: float) -> list[Fold]:
    folds, bow = [], rng.uniform(-0.2, 0.5)
    for height in np.linspace(1.1, 3.6, 4) + rng.uniform(-0.25, 0.25, 4):
        half, shift = rng.uniform(2.0, 3.8), rng.uniform(-0.5, 0.5)
        x = np.linspace(-half, half, 7)
        y = lm[17:27, 1].mean() + height + bow * (1 - (x / 4) ** 2) + rng.normal(0, 0.07, 7)
        depth = 0.8 * amount * rng.uniform(0.4, 1)
        folds.append(Fold(curve(np.stack([x + shift, y], -1), 5), rng.uniform(0.07, 0.12), depth))
    return folds


def _between_brows(rng: np.random.Generator, lm: np.ndarray, amount: float) -> list[Fold]:
    folds = []
    for side in (-1, 1):
        x = side * rng.uniform(0.35, 0.55)
        low, high = lm[27, 1] + 1.2, lm[27, 1] + 2.2 + rng.uniform(0, 0.7)
        line = np.array([[x * 1.15, low], [x, (low + high) / 2], [x * 1.05, high]])
        folds.append(Fold(curve(line, 5), 0.09, 0.75 * amount * rng.uniform(0.2, 1)))
    return folds


def _side(rng: np.random.Generator, lm: np.ndarray, amount: float) -> list[Fold]:
    """The folds of one side, at x > 0."""
    ala, corner, outer = lm[35] + np.array([0.35, 0.25]), lm[54], lm[45]
    middle = (ala + corner) / 2 + np.array([0.75, 0.35])
    nasolabial = np.array(
        [ala, middle, corner + np.array([0.75, 0.1]), corner + np.array([0.8, -0.9 * amount - 0.1])]
    )
    folds = [
        Fold(curve(nasolabial, 6), 0.17, min(1.0, 0.22 + 0.75 * amount)),
        Fold(
            _line(corner + np.array([0.1, -0.1]), corner + np.array([0.45, -1.5]), 0.15),
            0.13,
            0.6 * amount,
        ),
    ]
    for angle in np.radians([28, 6, -16, -38]) + rng.normal(0, 0.06, 4):
        start = outer + 0.45 * np.array([np.cos(angle), np.sin(angle)])
        end = start + rng.uniform(0.7, 1.4) * np.array([np.cos(angle), np.sin(angle)])
        folds.append(Fold(_line(start, end, -0.06), 0.075, 0.9 * amount * rng.uniform(0.5, 1)))
    below = lm[[42, 47, 46, 45]]
    trough = below + np.array([[-0.1, -0.35], [0.0, -0.75], [0.1, -0.8], [0.2, -0.5]])
    folds.append(Fold(curve(trough, 6), 0.17, 0.18 + 0.75 * amount))
    folds.append(Fold(curve(below - [0, 0.3], 6), 0.06, 0.15 + 0.4 * amount * rng.uniform(0.5, 1)))
    for x in rng.uniform(0.3, 1.9, round(4 * amount)):
        top = np.array([x, lm[52, 1] + 0.15])
        folds.append(Fold(_line(top, top + np.array([0.08, 0.6]), 0.02), 0.05, 0.4 * amount))
    return folds


def _line(start: np.ndarray, end: np.ndarray, bow: float) -> np.ndarray:
    """A line that bends to its left by `bow` in its middle."""
    across = np.array([-(end - start)[1], (end - start)[0]])
    return curve(np.stack([start, (start + end) / 2 + bow * across, end]), 5)
