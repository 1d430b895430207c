"""Each fraction of the config holds; habits and exclusions do not change it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.traits import GlassesTraits, Person
from factory.rendering.view import Wear
from factory.rendering.wear import clothes, coverings, hands, hats
from factory.rendering.wear.wear import GLASSES_WORN, HEADSCARF_SHARE, draw_wear, habitual_headscarf
from tests.factory.rendering.worn import somebody

MANY = RenderingConfig(
    sunglasses_fraction=0.3, hat_fraction=0.4, mask_fraction=0.25, scarf_fraction=0.35,
    hand_fraction=0.45,
)  # fmt: skip
NUM = 1000
FIELDS = ("sunglasses", "hat", "mask", "scarf", "hand")


def person(seed: int = 0, presentation: float = 0.2, **more: object) -> Person:
    return replace(somebody(0), seed=seed, presentation=presentation, **more)  # type: ignore[arg-type]


def images(config: RenderingConfig, presentation: float, num: int = NUM) -> list[Wear]:
    """Of as many people, an image each."""
    return [draw_wear(config, person(n, presentation), np.random.default_rng([n, 1]))
            for n in range(num)]  # fmt: skip


@pytest.fixture(scope="module")
def many() -> dict[float, list[Wear]]:
    return {presentation: images(MANY, presentation) for presentation in (0.1, 0.9)}


def holds(share: float, fraction: float, num: int = NUM) -> bool:
    return abs(share - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / num)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("presentation", [0.1, 0.9])
def test_fractions_hold(many, field: str, presentation: float):
    share = np.mean([getattr(wear, field) is not None for wear in many[presentation]])
    assert holds(float(share), getattr(MANY, f"{field}_fraction"))


@pytest.mark.parametrize("field", FIELDS)
def test_none_and_all(field: str):
    for fraction in (0.0, 1.0):
        config = RenderingConfig(**{f"{field}_fraction": fraction})
        worn = [getattr(wear, field) is not None for wear in images(config, 0.9, 60)]
        assert np.mean(worn) == fraction


def test_small_fractions_of_hats_hold_with_habits():
    config = RenderingConfig(hat_fraction=0.06)
    worn = [wear.hat is not None for wear in images(config, 0.1, 1500)]
    assert holds(float(np.mean(worn)), 0.06, 1500)


def test_one_fraction_does_not_move_another():
    few, more = (images(replace(MANY, mask_fraction=p), 0.9, 300) for p in (0.0, 1.0))
    assert [w.hat for w in few] == [w.hat for w in more]
    assert [w.clothes for w in few] == [w.clothes for w in more]
    assert [w.seed for w in few] == [w.seed for w in more]


def test_glasses_are_worn_mostly_and_never_below_sunglasses():
    trait = GlassesTraits("round", (0.1, 0.1, 0.1), 0.2)
    config = RenderingConfig(sunglasses_fraction=0.2)
    worn = [draw_wear(config, person(n, glasses=trait), np.random.default_rng(n))
            for n in range(700)]  # fmt: skip
    assert not any(wear.glasses and wear.sunglasses for wear in worn)
    free = [wear.glasses for wear in worn if wear.sunglasses is None]
    assert holds(float(np.mean(free)), GLASSES_WORN, len(free))
    without = [draw_wear(config, person(n), np.random.default_rng(n)) for n in range(50)]
    assert not any(wear.glasses for wear in without)


def test_what_excludes_one_another(many):
    for wear in [*many[0.1], *many[0.9]]:
        assert not (wear.mask and wear.scarf == "chin")
        assert not (wear.hand and wear.scarf == "chin")
        assert not (wear.mask and wear.hand == "mouth")
        assert wear.hand != "glasses" or wear.glasses or wear.sunglasses


def test_every_kind_is_drawn_and_known(many):
    wears = [*many[0.1], *many[0.9]]
    assert {wear.hat for wear in wears} == {None, *hats.KINDS}
    assert {wear.mask for wear in wears} == {None, *coverings.MASKS}
    assert {wear.scarf for wear in wears} == {None, "neck", "chin"}
    assert {wear.hand for wear in wears} == {None, *hands.KINDS}
    assert {wear.clothes for wear in wears} == set(clothes.KINDS)


def test_a_headscarf_is_a_habit():
    config = RenderingConfig()
    who = [person(n) for n in range(3000)]
    habit = [habitual_headscarf(config, p) for p in who]
    expected = min(HEADSCARF_SHARE, config.hat_fraction / 2)
    assert holds(float(np.mean(habit)), expected, 3000)
    wearer = who[habit.index(True)]
    drawn = Counter(draw_wear(config, wearer, np.random.default_rng(n)).hat for n in range(300))
    assert drawn["headscarf"] > 280
    assert set(drawn) <= {"headscarf", None}


def test_masculine_people_wear_neither_headscarves_nor_blouses(many):
    assert not any(wear.hat == "headscarf" or wear.clothes == "blouse" for wear in many[0.9])
    assert not any(habitual_headscarf(MANY, person(n, 0.9)) for n in range(500))


@pytest.mark.parametrize("style", ["bun", "afro"])
def test_no_cap_over_a_bun(style: str):
    base = person(presentation=0.3)
    high = replace(base, hair=replace(base.hair, style=style))
    config = RenderingConfig(hat_fraction=1.0)
    drawn = {draw_wear(config, high, np.random.default_rng(n)).hat for n in range(300)}
    assert not drawn & {"cap", "beanie", "brimmed"}


def test_colors_are_reflectances(many):
    colors = np.array([wear.clothes_color for wear in many[0.1]])
    assert colors.min() >= 0.005
    assert colors.max() <= 0.85
    assert np.median(colors.mean(1)) < 0.3
