"""Hair that is gathered."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import RenderingConfig
from factory.rendering.hair.tying import (
    BUN_RADIUS,
    NUM_TAIL,
    REACHED,
    TIE_HEIGHT,
    bun,
    gathered,
    tail,
    tie_of,
)
from factory.rendering.head.head import Head, head_model
from factory.rendering.head.head_surface import HeadSurface, head_surface
from factory.rendering.people.people import draw_person

MODEL = head_model()
HEAD = MODEL.shaped((0.0,) * 100, ())


def _surface(head: Head) -> HeadSurface:
    vertices, faces = MODEL.region("M_Face", "M_BackHead")
    return head_surface(head.vertices_V3[vertices], faces, np.array([0, 6.0, 0.5]))


def test_gathered_strands_end_in_the_tie() -> None:
    tie = np.array([5.0, 0, 0], np.float32)
    points = np.zeros((2, 9, 3), np.float32)
    points[0, :, 0] = np.arange(9)
    points[1, :, 1] = np.arange(9)
    ends, reached = gathered(points, tie, np.random.default_rng(0))
    assert reached.tolist() == [True, False]
    assert np.linalg.norm(ends[0, -1] - tie) < 1.5
    assert ends[0, :-1, 0].max() <= 5 - REACHED + 1


@pytest.mark.parametrize("tied", ["ponytail", "bun"])
@pytest.mark.parametrize("person", [0, 7, 29])
def test_ties_are_on_the_back_of_any_head(tied: str, person: int) -> None:
    """Deep in a long head no strand would reach it: person 29 had no bun."""
    head = MODEL.shaped(draw_person(RenderingConfig(), person).shape, ())
    surface = _surface(head)
    tie = tie_of(head, tied, surface)
    assert abs(tie[0] - head.middle_3[0]) < 0.5
    assert tie[2] < -5
    assert tie[1] > head.middle_3[1]
    assert surface.heights(tie[None])[0][0] == pytest.approx(TIE_HEIGHT, abs=0.2)


def test_a_tail_falls_behind_the_neck() -> None:
    surface = _surface(HEAD)
    tie = tie_of(HEAD, "ponytail", surface)
    strands = tail(tie, 20.0, surface, 9, np.random.default_rng(0))
    assert strands.shape == (NUM_TAIL, 9, 3)
    assert np.linalg.norm(strands[:, 0] - tie, axis=1).max() < 3
    assert np.median(strands[:, -1, 1]) < tie[1] - 10
    assert strands[..., 2].max() < 0


def test_a_bun_is_a_ball() -> None:
    tie = np.array([0, 8.0, -9.0])
    strands = bun(tie, 12, np.random.default_rng(0))
    away = np.linalg.norm(strands - (tie + np.array([0, 0.3, -1.2])), axis=-1)
    assert away.min() > 0.8 * BUN_RADIUS
    assert away.max() < 1.1 * BUN_RADIUS
    np.testing.assert_allclose(away.std(1), 0, atol=1e-5)  # each strand stays at its depth
