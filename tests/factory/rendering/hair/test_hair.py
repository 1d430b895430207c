"""Hair of the head: outside it, not before the eyes, the same for the same person."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.hair.hair import hair_parts, head_strands, wearer_of
from factory.rendering.hair.hair_styles import STYLES
from factory.rendering.hair.scalp import ears
from factory.rendering.hair.strands import MIN_SEGMENT
from factory.rendering.hair.tying import tie_of
from factory.rendering.head.head import Head, head_model
from factory.rendering.parts import Label, MeshPart, StrandsPart
from factory.rendering.people.people import draw_person
from factory.rendering.scene.frame import frame_of
from factory.rendering.traits import HairTraits, Person
from factory.rendering.view import HairState, View

MODEL = head_model()
TODAY = HairState()
WITH_HAIR = [name for name, style in STYLES.items() if style is not None]


@cache
def _person(style: str, number: int = 1) -> Person:
    person = draw_person(RenderingConfig(), number)
    row = STYLES[style]
    length = 1.0 if row is None else max(row.top, row.back)
    hair = HairTraits(style, (0.05, 0.03, 0.02), length=length, curl=0.2, parting=-2.0)
    return replace(person, shape=(0.0,) * 100, hair=hair)


@cache
def _head() -> Head:
    return MODEL.shaped(_person("bald").shape, ())


@cache
def _points(style: str, density: float = 0.4) -> np.ndarray:
    person = _person(style)
    person = replace(person, hair=replace(person.hair, density=density))
    wearer = wearer_of(MODEL, _head(), person, TODAY)
    assert wearer is not None
    return head_strands(wearer)[0]


@pytest.mark.parametrize("style", WITH_HAIR)
def test_strands_are_sound_and_outside_of_the_head(style: str) -> None:
    """Against the nearest vertices, hollows around the ears aside."""
    points = _points(style)
    assert len(points) > 1000
    assert np.isfinite(points).all()
    assert np.linalg.norm(np.diff(points, axis=1), axis=-1).min() >= MIN_SEGMENT
    vertices, _ = MODEL.region("M_Face", "M_BackHead")
    vertices = vertices[~ears(MODEL.mean_V3[vertices])]
    at, normals = _head().vertices_V3[vertices], _head().normals_V3[vertices]
    rng = np.random.default_rng(0)
    above = points[:, 2:].reshape(-1, 3)
    x, y, z = above.T
    beside_ears = (np.abs(x) > 6) & (np.abs(y - 1) < 5) & (np.abs(z) < 4.5)
    above = above[(y > -9) & ~beside_ears]  # the shoulders belong to clothes.py
    some = above[rng.integers(0, len(above), 500)]
    nearest = ((at**2).sum(1) - 2 * some @ at.T).argmin(1)
    depth = -((some - at[nearest]) * normals[nearest]).sum(1)
    assert (depth > 0.15).mean() < 0.02
    assert np.quantile(depth, 0.99) < 0.3


@pytest.mark.parametrize("style", WITH_HAIR)
def test_no_hair_hangs_before_the_eyes(style: str) -> None:
    person = _person(style)
    frame = frame_of(_head(), View(0, 0), 112)
    pixels = frame.pixels(_points(style).reshape(-1, 3))
    front = _points(style).reshape(-1, 3)[:, 2] > 2
    eyes = frame.pixels(_head().landmarks_68x3[36:48])
    low, high = eyes.min(0) - 1, eyes.max(0) + np.array([1, 40])
    before = ((pixels > low) & (pixels < high)).all(1) & front
    assert person.hair.fringe == 0
    assert before.sum() <= 2, "no more than the ends of strands that are cut there"


def test_a_fringe_covers_the_forehead_but_not_the_eyes() -> None:
    person = _person("bob")
    fringe = replace(person, hair=replace(person.hair, fringe=1.0, density=0.4))
    wearer = wearer_of(MODEL, _head(), fringe, TODAY)
    assert wearer is not None
    points = head_strands(wearer)[0].reshape(-1, 3)
    marks = _head().landmarks_68x3
    brows = marks[17:27, 1].max()
    front = (np.abs(points[:, 0]) < 4) & (points[:, 2] > 7)
    plain = _points("bob").reshape(-1, 3)
    bare = (np.abs(plain[:, 0]) < 4) & (plain[:, 2] > 7)
    assert points[front, 1].min() > brows
    assert (points[front, 1] < brows + 2).sum() > 100
    assert (plain[bare, 1] < brows + 2).sum() == 0


@pytest.mark.parametrize("style", ["ponytail", "bun"])
def test_tied_hair_gathers_at_one_point(style: str) -> None:
    wearer = wearer_of(MODEL, _head(), _person(style), TODAY)
    assert wearer is not None
    points, tie = _points(style), tie_of(_head(), style, wearer.surface)
    away = np.linalg.norm(points[:-1200, -1] - tie, axis=1)
    assert np.median(away) < 0.8
    assert (away < 1.5).mean() > 0.95


def test_long_hair_can_be_tied_for_a_day_and_short_hair_cannot() -> None:
    tied = HairState(tied=True)
    long, short = _person("long_straight"), _person("crew")
    wearer = wearer_of(MODEL, _head(), long, tied)
    assert wearer is not None
    assert wearer.style.tied == "ponytail"
    wearer = wearer_of(MODEL, _head(), short, tied)
    assert wearer is not None
    assert wearer.style.tied is None


def test_the_bald_have_no_hair() -> None:
    assert hair_parts(MODEL, _head(), _person("bald"), TODAY) == []


def test_parts_are_hair_and_fixed_and_in_the_hair_s_colors() -> None:
    parts = hair_parts(MODEL, _head(), _person("crew"), TODAY)
    assert all(part.label is Label.HAIR and part.fixed for part in parts)
    assert sum(isinstance(part, MeshPart) for part in parts) == 1
    strands = [part for part in parts if isinstance(part, StrandsPart)]
    assert len(strands) == 3
    red, _, blue = strands[1].material.color
    assert 2 < red / blue < 3  # 0.05 to 0.02
    cap = next(part for part in parts if isinstance(part, MeshPart))
    assert cap.faces_F3.max() == len(cap.vertices_V3) - 1
    shaved = hair_parts(MODEL, _head(), _person("shaved"), TODAY)
    assert not any(isinstance(part, MeshPart) for part in shaved)


def test_same_person_same_bytes_other_person_other_hair() -> None:
    person = _person("short_textured")
    first, again, tousled = (
        hair_parts(MODEL, _head(), person, state)
        for state in (TODAY, HairState(tousled=0.0), HairState(tousled=0.5))
    )
    for left, right in zip(first, again, strict=True):
        if isinstance(left, StrandsPart) and isinstance(right, StrandsPart):
            assert left.points_SK3.tobytes() == right.points_SK3.tobytes()
    strands = [part.points_SK3 for part in (first[0], tousled[0]) if isinstance(part, StrandsPart)]
    assert strands[0].tobytes() != strands[1].tobytes()
    other = hair_parts(MODEL, _head(), _person("short_textured", 2), TODAY)[0]
    assert isinstance(other, StrandsPart)
    assert other.points_SK3.tobytes() != strands[0].tobytes()


def test_denser_hair_has_more_strands() -> None:
    numbers = [len(_points("crew", density)) for density in (0.3, 0.6, 1.0)]
    assert numbers[0] < numbers[1] < numbers[2]
    assert numbers[2] / numbers[0] == pytest.approx(10 / 3, rel=0.1)


def test_hair_is_as_long_as_its_style() -> None:
    """Median length of the strands of the top, along their curves."""
    for style, least, most in (("shaved", 0.1, 0.4), ("crew", 1.0, 2.6), ("bob", 8, 22)):
        points = _points(style)[:, 1:]
        length = np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1)
        top = points[:, 0, 1] > 11.5
        assert least < np.median(length[top]) < most
