"""Hair under a hat is pressed, other hair is as it was."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.hair.hat_hair import PRESSED_CM, WRAPPED_CM, under_hat
from factory.rendering.parts import Label, Material, StrandsPart
from factory.rendering.view import Wear
from factory.rendering.wear.hats import (
    WRAPPED,
    cranium_hull,
    crown_center,
    hat_part,
    wrap_center,
    wrap_hull,
)
from tests.factory.rendering.worn import MODEL, facing, head_of, heights_above

HEAD = head_of(0)
UP = np.array([0.0, 1.0, 0.0])


def strands(direction: np.ndarray, num: int = 40, label: Label = Label.HAIR) -> StrandsPart:
    """Strands from the skull's middle outward, from 6 to 16 cm."""
    ways = direction + 0.15 * np.random.default_rng(0).standard_normal((num, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    points = crown_center(HEAD) + ways[:, None] * np.linspace(6, 16, 8)[:, None]
    return StrandsPart("hair", label, points.astype(np.float32), 0.04, Material("hair"), fixed=True)


def pressed(part: StrandsPart, hat: str | None) -> StrandsPart:
    result = under_hat([part], MODEL, HEAD, Wear(hat=hat))[0]
    assert isinstance(result, StrandsPart)
    return result


@pytest.mark.parametrize("hat", ["beanie", "cap", "brimmed", "hood"])
def test_hair_on_the_crown_is_pressed(hat: str):
    hull = wrap_hull(MODEL, HEAD) if hat in WRAPPED else cranium_hull(MODEL, HEAD)
    above = WRAPPED_CM if hat in WRAPPED else PRESSED_CM
    before, after = strands(UP), pressed(strands(UP), hat)
    assert hull.depth(before.points_SK3.reshape(-1, 3)).min() < -2
    outside = -hull.depth(after.points_SK3.reshape(-1, 3))
    assert outside.max() < above + 0.1
    assert not after.fixed


@pytest.mark.parametrize("hat", ["headscarf", "hood", "beanie"])
@pytest.mark.parametrize("seed", range(3))
def test_pressed_hair_is_below_the_hat(hat: str, seed: int):
    part = hat_part(MODEL, HEAD, Wear(hat=hat, seed=seed))
    way = np.array([0.0, 1.0, -0.7])
    after = under_hat([strands(way, 6)], MODEL, HEAD, Wear(hat=hat, seed=seed))[0]
    assert isinstance(after, StrandsPart)
    middle = wrap_center(HEAD) if hat in WRAPPED else crown_center(HEAD)
    for point in after.points_SK3[:, -1]:
        turn = facing(point - middle)
        hat_at = heights_above(point[None] @ turn.T, part.vertices_V3 @ turn.T, part.faces_F3)
        assert hat_at[0] > (point @ turn.T)[2] + 0.05


def test_hair_within_stays_where_it_is():
    before, after = strands(UP), pressed(strands(UP), "beanie")
    assert after.points_SK3[:, 0] == pytest.approx(before.points_SK3[:, 0], abs=1e-4)


@pytest.mark.parametrize("hat", ["beanie", "cap", "headband"])
def test_hair_below_the_rim_is_free(hat: str):
    part = strands(np.array([0.0, -1.0, -0.3]))
    assert pressed(part, hat).points_SK3 == pytest.approx(part.points_SK3, abs=1e-4)


def test_a_headband_leaves_the_crown():
    part = strands(UP, 10)
    assert pressed(part, "headband").points_SK3 == pytest.approx(part.points_SK3, abs=1e-4)


def test_a_headscarf_hides_the_fringe_and_a_hood_does_not():
    front = strands(np.array([0.0, -0.1, 1.0]))
    assert len(pressed(front, "headscarf").points_SK3) == 0
    assert len(pressed(front, "hood").points_SK3) == 40
    assert len(pressed(strands(-UP * 0 + [0, 0.3, -1.0]), "headscarf").points_SK3) == 40


def test_nothing_changes_without_a_hat_or_hair():
    part, beard = strands(UP), strands(UP, label=Label.BEARD)
    assert under_hat([part], MODEL, HEAD, Wear())[0] is part
    assert under_hat([beard], MODEL, HEAD, Wear(hat="beanie"))[0] is beard
