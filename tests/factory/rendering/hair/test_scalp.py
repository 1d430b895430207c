"""Roots: uniform by area, inside the hairline, off the ears, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.hair.scalp import (
    CROWN_3,
    ears,
    hair_shadow,
    hairline_heights,
    margins,
    sample_triangles,
    scalp_roots,
    smooth,
)
from factory.rendering.head.head import head_model
from factory.rendering.traits import HairTraits

HAIR = HairTraits("crew", (0.05, 0.03, 0.02))
MODEL = head_model()
HEAD = MODEL.shaped((0.0,) * 100, ())


def test_triangles_are_sampled_by_their_areas_and_uniformly_inside() -> None:
    corners = np.array(
        [[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [3, 0, 1], [0, 1, 1]]], float
    )
    which, weights = sample_triangles(corners, 40_000, np.random.default_rng(0))
    assert which.mean() == pytest.approx(0.75, abs=0.01)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights.min() >= 0
    # By symmetry each corner's half-size triangle holds a quarter, and so does the middle one.
    np.testing.assert_allclose((weights > 0.5).mean(0), 0.25, atol=0.01)


def test_roots_are_uniform_by_area_away_from_the_hairline() -> None:
    """Chi-square over octants of the crown against areas; 99.9 % of true samples pass."""
    roots = scalp_roots(HEAD, MODEL, HAIR, 5, 20_000)
    inner = roots.some(roots.margin_N > 1.2)
    vertices, faces = MODEL.region("M_Face", "M_BackHead")
    mean = MODEL.mean_V3[vertices]
    fine, weights = sample_triangles(mean[faces], 400_000, np.random.default_rng(1))
    place = np.einsum("nc,ncx->nx", weights, mean[faces[fine]])
    margin = np.einsum("nc,nc->n", weights, margins(mean, HAIR, 5)[faces[fine]])

    def counts(points: np.ndarray) -> np.ndarray:
        return np.histogram2d(points[:, 0], points[:, 2], bins=[[-9, -3, 3, 9], [-10, -3, 3, 10]])[
            0
        ].ravel()

    expected = counts(place[margin > 1.2])
    found = counts(inner.mean_N3)
    expected *= found.sum() / expected.sum()
    assert len(found) == 9
    assert expected.min() > 50
    assert ((found - expected) ** 2 / expected).sum() < 26.1 * 1.2  # 8 degrees; both are samples


def test_roots_lie_inside_the_hairline_and_off_the_ears() -> None:
    roots = scalp_roots(HEAD, MODEL, HAIR, 6, 5000)
    assert len(roots) > 3000
    assert roots.margin_N.min() > 0
    assert not ears(roots.mean_N3).any()
    np.testing.assert_allclose(np.linalg.norm(roots.normals_N3, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(roots.points_N3, roots.mean_N3, atol=1e-3)  # the mean head


def test_fewer_roots_are_the_first_of_more() -> None:
    few, many = (scalp_roots(HEAD, MODEL, HAIR, 7, num) for num in (500, 500))
    np.testing.assert_array_equal(few.points_N3, many.points_N3)
    assert len(scalp_roots(HEAD, MODEL, HAIR, 7, 2000)) > len(few)
    other = scalp_roots(HEAD, MODEL, HAIR, 8, 500)
    assert not np.array_equal(other.points_N3[:100], few.points_N3[:100])


def test_roots_are_sparser_along_the_hairline() -> None:
    roots = scalp_roots(HEAD, MODEL, HAIR, 9, 20_000, soft_cm=1.0)
    near, next_to_it = (
        ((roots.margin_N > low) & (roots.margin_N <= low + 0.5)).sum() for low in (0.0, 1.0)
    )
    assert near < 0.5 * next_to_it


def test_hairlines_rise_with_height_and_recession() -> None:
    front = np.array([0.0, 10, -10])
    low, high = (hairline_heights(front, replace(HAIR, hairline=h), 3) for h in (0.0, 1.0))
    np.testing.assert_allclose(high - low, 1.8)
    temples = np.array([-34.0, 34.0])
    receding = replace(HAIR, recession=0.4)
    rise = hairline_heights(temples, receding, 3) - hairline_heights(temples, HAIR, 3)
    middle = hairline_heights(front[:1], receding, 3) - hairline_heights(front[:1], HAIR, 3)
    assert (rise > 1).all()
    assert middle[0] < 0.1
    nape = np.array([180.0])
    assert hairline_heights(nape, receding, 3) == pytest.approx(hairline_heights(nape, HAIR, 3))
    wrapped = hairline_heights(np.array([190.0, -170.0]), HAIR, 3)
    assert wrapped[0] == pytest.approx(wrapped[1])


def test_strong_recession_bares_the_crown() -> None:
    crown = CROWN_3[None]
    assert margins(crown, HAIR, 1)[0] > 1
    assert margins(crown, replace(HAIR, recession=0.9), 1)[0] < 0


def test_margins_are_distances_from_the_line_where_it_is_steep() -> None:
    """Four millimeters beside the temple's steep line the margin is about that, not the height."""
    line = hairline_heights(np.array([60.0]), HAIR, 1)[0]
    turn = np.radians(60 + 3)
    beside = np.array([[7.5 * np.sin(turn), line, 7.5 * np.cos(turn)]])
    above = line - hairline_heights(np.array([63.0]), HAIR, 1)[0]
    assert above > 1
    assert 0.2 < margins(beside, HAIR, 1)[0] < 0.7


def test_smooth_goes_from_zero_to_one() -> None:
    np.testing.assert_allclose(smooth(np.array([-1, 0, 1, 2, 3.0]), 0, 2), [0, 0, 0.5, 1, 1])


def test_roots_darken_the_skin_where_strands_grow_and_not_before_them() -> None:
    """One hairline for both: a second one left a dark band on foreheads."""
    vertices = MODEL.mean_V3[MODEL.region("M_Face", "M_BackHead")[0]]
    for seed, recession in ((5, 0.0), (6, 0.6), (7, 1.0)):
        hair = replace(HAIR, recession=recession)
        shadow, margin = hair_shadow(vertices, hair, seed), margins(vertices, hair, seed)
        assert (shadow[margin < -0.3] == 0).all()
        assert (shadow[margin > 0.8] == 1).all()
        assert np.corrcoef(shadow, margin > 0.25)[0, 1] > 0.95
