"""Regions of the scalp and what a style asks of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.hair.combing import LENGTH_RANGE, combed, length_factor, lengths, regions
from factory.rendering.hair.hair_styles import STYLES, HairStyle
from factory.rendering.hair.scalp import scalp_roots
from factory.rendering.head.head import head_model
from factory.rendering.traits import HairTraits
from factory.rendering.view import HairState

MODEL = head_model()
HEAD = MODEL.shaped((0.0,) * 100, ())
TODAY = HairState()
HAIR = HairTraits("short_side_part", (0.05, 0.03, 0.02), length=5.5, parting=-2.5)
ROOTS = scalp_roots(HEAD, MODEL, HAIR, 4, 4000)


def _style(name: str) -> HairStyle:
    style = STYLES[name]
    assert style is not None
    return style


def test_regions_add_up_to_one_and_lie_where_they_are_called() -> None:
    top, sides, back, fringe = regions(ROOTS)
    np.testing.assert_allclose(top + sides + back + fringe, 1, atol=1e-6)
    assert min(part.min() for part in (top, sides, back, fringe)) >= -1e-6
    x, y, z = ROOTS.mean_N3.T
    assert top[y > 12.8].mean() > 0.9
    assert back[(z < -6) & (y < 6)].mean() > 0.9
    assert sides[(np.abs(x) > 7) & (y < 7.5) & (z > -1)].mean() > 0.8
    assert fringe[z > 8].mean() > 0.5 > fringe[z < 4].max()


def test_lengths_are_those_of_the_regions() -> None:
    style = replace(_style("short_side_part"), top=6.0, sides=1.0, back=2.0, fringe=5.0)
    hair = replace(HAIR, length=6.0)
    found = lengths(ROOTS, hair, style, HairState(), np.random.default_rng(0))
    top, sides, back, _ = regions(ROOTS)
    inner = ROOTS.margin_N > 1.2
    for region, usual in ((top, 6.0), (sides, 1.0), (back, 2.0)):
        chosen = found[(region > 0.999) & inner]
        assert chosen.min() >= 0.8 * usual
        assert chosen.max() <= 1.1 * usual
    shorter = lengths(ROOTS, hair, style, HairState(length_factor=0.5), np.random.default_rng(0))
    np.testing.assert_allclose(shorter, found / 2)


def test_lengths_follow_the_person_within_the_style() -> None:
    style = _style("bob")
    factors = [
        length_factor(replace(HAIR, length=length), style, HairState())
        for length in (0.1, style.top, 1.1 * style.top, 500)
    ]
    assert factors == pytest.approx([LENGTH_RANGE[0], 1, 1.1, LENGTH_RANGE[1]])


def _comb(style: HairStyle, hair: HairTraits, state: HairState = TODAY) -> np.ndarray:
    clump = np.arange(len(ROOTS)) % 50
    return combed(ROOTS, hair, style, state, clump, np.random.default_rng(1)).comb_N3


def test_tops_are_combed_away_from_the_parting() -> None:
    style = replace(_style("short_side_part"), frizz=0.0)
    top = regions(ROOTS)[0] > 0.9
    comb = _comb(style, HAIR)
    away = np.sign(ROOTS.points_N3[:, 0] - HAIR.parting)
    assert (np.sign(comb[top, 0]) == away[top]).all()
    assert not (np.sign(_comb(style, replace(HAIR, parting=3.0))[top, 0]) == away[top]).all()


def test_tousled_hair_spreads_more() -> None:
    style = _style("crew")
    spread = [_comb(style, HAIR, HairState(tousled=t)).std() for t in (0.0, 0.5, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_a_fringe_falls_forward_from_long_hair() -> None:
    style = replace(_style("bob"), frizz=0.0)
    front = regions(ROOTS)[3] > 0.9
    without, with_it = (_comb(style, replace(HAIR, fringe=f))[front, 2].mean() for f in (0.0, 1.0))
    assert without < 0.1 < with_it
