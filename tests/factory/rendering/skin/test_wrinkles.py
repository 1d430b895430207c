"""Folds: deeper with age, on both sides, where a face folds."""

from __future__ import annotations

import numpy as np

from factory.rendering.head.head import head_model
from factory.rendering.skin.skin_atlas import skin_atlas
from factory.rendering.skin.wrinkles import Fold, draw_folds, shade, wrinkledness
from tests.factory.rendering.skins import person

ATLAS = skin_atlas(head_model())
LM = ATLAS.landmarks_68x3


def depth(age: float, seed: int = 5, **skin: float) -> np.ndarray:
    return shade(ATLAS.points_T3, draw_folds(LM, person(seed=seed, age=age, **skin)))


def test_lines_deepen_with_age_and_by_the_trait() -> None:
    totals = [float(depth(age).sum()) for age in (20, 40, 60, 80)]
    assert totals == sorted(totals)
    assert totals[-1] > 3 * totals[0]
    assert depth(40, wrinkles=0.8).sum() > 1.3 * depth(40).sum()
    ages = [wrinkledness(person(age=age)) for age in range(15, 100, 5)]
    assert ages == sorted(ages)
    assert ages[0] == 0
    assert max(ages) <= 1


def test_depths_lie_between_0_and_1_on_the_front_alone() -> None:
    values = depth(80, wrinkles=1.0)
    assert values.min() >= 0
    assert values.max() <= 1
    assert values[ATLAS.points_T3[:, 2] < 5].max() == 0


def test_young_faces_have_nasolabial_folds_and_a_smooth_forehead() -> None:
    young = depth(19)
    beside_mouth = (np.abs(ATLAS.points_T3[:, :2] - [3.0, -2.4]) < 1.2).all(1)
    beside_mouth &= ATLAS.points_T3[:, 2] > 7
    brow = (ATLAS.points_T3[:, 1] > LM[17:27, 1].max() + 1) & (ATLAS.points_T3[:, 2] > 7)
    assert young[beside_mouth].max() > 0.15
    assert young[brow].max() < 0.05
    assert depth(75)[brow].max() > 0.3


def test_folds_of_the_sides_mirror_each_other() -> None:
    lines = [f.line_K2 for f in draw_folds(LM, person(age=60)) if abs(f.line_K2[:, 0].mean()) > 1.0]
    lefts = sorted(float(line[:, 0].mean()) for line in lines if line[0, 0] > 0)
    rights = sorted(-float(line[:, 0].mean()) for line in lines if line[0, 0] < 0)
    assert len(lefts) == len(rights) >= 8
    assert np.allclose(np.mean(lefts), np.mean(rights), atol=0.15)


def test_two_people_of_an_age_have_other_lines() -> None:
    assert not np.array_equal(depth(60, seed=1), depth(60, seed=2))
    assert np.array_equal(depth(60, seed=1), depth(60, seed=1))


def test_a_fold_is_a_bell_that_ends_at_its_ends() -> None:
    fold = Fold(np.array([[-2.0, 0], [2.0, 0]]), 0.2, 0.5)
    points = np.array([[0, 0, 9], [0, 0.2, 9], [-2, 0, 9], [0, 3, 9], [0, 0, 1]], float)
    assert np.allclose(shade(points, [fold]), [0.5, 0.5 / np.e, 0, 0, 0])
