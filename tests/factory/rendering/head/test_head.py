"""Heads: linear in their coefficients, with normals outward and landmarks where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.head.head import Head, VertexNormals, cross, head_model, vertex_normals

NEUTRAL = (0.0,) * 100


@pytest.fixture(scope="module")
def model():
    return head_model()


@pytest.fixture(scope="module")
def mean(model) -> Head:
    return model.shaped(NEUTRAL, ())


def unit(component, amount=1.0):
    return tuple(amount if k == component else 0.0 for k in range(100))


def test_no_coefficients_are_the_mean_head(model, mean):
    assert np.array_equal(mean.vertices_V3, model.mean_V3)
    assert mean.vertices_V3.dtype == mean.normals_V3.dtype == np.float32
    size = np.ptp(model.mean_V3[model.region("M_Face", "M_BackHead")[0]], 0)
    assert (size > [18, 30, 18]).all()  # centimeters, neck included
    assert (size < [28, 36, 26]).all()


def test_shape_is_linear(model, mean):
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 100))
    both = model.shaped(tuple(first + 2 * second), ()).vertices_V3
    one, two = (model.shaped(tuple(c), ()).vertices_V3 for c in (first, second))
    base = mean.vertices_V3
    assert np.allclose(both - base, (one - base) + 2 * (two - base), atol=1e-4)
    moved = model.shaped(unit(7, -1.5), ()).vertices_V3
    assert np.allclose(moved, base - 1.5 * model.identity_KV3[7], atol=1e-5)


def test_expressions_add_to_any_shape(model, mean):
    jaw, smile = (model.expression_names.index(name) for name in ("jawOpen", "mouthSmile_L"))
    added = 0.5 * model.expressions_KV3[jaw] + 0.25 * model.expressions_KV3[smile]
    weights = (("jawOpen", 0.5), ("browDown_L", 0.0), ("mouthSmile_L", 0.25))
    assert np.allclose(
        model.shaped(NEUTRAL, weights).vertices_V3, mean.vertices_V3 + added, atol=1e-5
    )
    shape = unit(3, 2.0)
    apart = model.shaped(shape, weights).vertices_V3 - model.shaped(shape, ()).vertices_V3
    assert np.allclose(apart, added, atol=1e-5)
    with pytest.raises(KeyError):
        model.shaped(NEUTRAL, (("grin", 0.5),))


def test_heads_do_not_depend_on_those_before(model):
    shape = tuple(np.random.default_rng(2).standard_normal(100))
    first = model.shaped(shape, ())
    before = first.vertices_V3.copy()
    first.vertices_V3[:] = 0  # a head is its owner's
    assert np.array_equal(model.shaped(shape, ()).vertices_V3, before)
    model.shaped(unit(0), (("jawOpen", 1.0),))
    again = model.shaped(shape, (("jawOpen", 0.3),))
    fresh = model.shaped(shape, ())
    assert np.abs(fresh.vertices_V3).max() > 5
    assert np.abs(again.vertices_V3 - fresh.vertices_V3).max() > 0.3


def test_landmarks_lie_as_in_an_image(mean):
    """The subject's right is at -x, that is left in the image; y is up, the face looks to +z."""
    points = mean.landmarks_68x3
    assert (points[36:42, 0] < 0).all()
    assert (points[42:48, 0] > 0).all()
    right, left, nose, mouth_right, mouth_left = mean.five_53
    assert right[1] > nose[1] > mouth_right[1] > points[8, 1]
    assert left[0] - right[0] == pytest.approx(6.4, abs=0.6)  # between pupils, people's mean 6.3 cm
    assert mouth_left[0] > mouth_right[0]
    assert nose[2] == points[:, 2].max()
    assert mean.middle_3 == pytest.approx((right + left) / 2, abs=1e-5)


def test_landmarks_of_the_mean_are_symmetric(mean):
    eyes, mouth = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40], [64, 63, 62, 61, 60, 67, 66, 65]
    contours = np.r_[np.arange(16, -1, -1), np.arange(26, 16, -1), 27:31, np.arange(35, 30, -1)]
    other = np.r_[contours, eyes, np.arange(54, 47, -1), np.arange(59, 54, -1), mouth]
    assert sorted(other) == list(range(68))
    mirrored = mean.landmarks_68x3[other] * [-1, 1, 1]
    assert np.linalg.norm(mean.landmarks_68x3 - mirrored, axis=1).max() < 0.15


def test_normals_are_units_and_point_out_of_the_head(model, mean):
    skin, _ = model.region("M_Face", "M_BackHead")
    normals = mean.normals_V3[skin]
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    crown = mean.vertices_V3[skin, 1] > mean.landmarks_68x3[19:25, 1].max() + 1
    out = mean.vertices_V3[skin][crown] - [0, mean.middle_3[1], mean.middle_3[2] - 9]
    assert ((normals[crown] * out).sum(1) > 0).mean() > 0.99
    assert mean.normals_V3[model.landmarks_68[30], 2] > 0.7  # tip of the nose
    assert mean.normals_V3[model.landmarks_68[0], 0] < -0.5  # before the right ear


def test_normals_are_the_area_weighted_ones():
    """Against the sum over each vertex's triangles, with vertices of one, many and no triangles."""
    rng = np.random.default_rng(3)
    vertices = rng.standard_normal((30, 3))
    faces = np.array([[0, *rng.choice(np.arange(1, 29), 2, replace=False)] for _ in range(40)])
    expected = np.zeros((30, 3))
    for face in faces:
        a, b, c = vertices[face]
        for corner in face:
            expected[corner] += np.cross(b - a, c - a)
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    normals = vertex_normals(vertices, faces)
    assert np.allclose(normals, expected / np.maximum(length, 1e-12))
    assert not normals[29].any()
    assert np.allclose(cross(vertices, vertices[::-1]), np.cross(vertices, vertices[::-1]))


def test_normals_of_a_sphere_are_its_points():
    steps = np.linspace(0, np.pi, 41)
    around = np.linspace(0, 2 * np.pi, 61)[:-1]
    points = np.array([[np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)]
                       for t in steps[1:-1] for p in around])  # fmt: skip
    quads = [(r * 60 + c, (r + 1) * 60 + c, (r + 1) * 60 + (c + 1) % 60, r * 60 + (c + 1) % 60)
             for r in range(38) for c in range(60)]  # fmt: skip
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    normals = VertexNormals(faces, len(points)).of(points)
    inner = slice(60, -60)
    assert (normals[inner] * points[inner]).sum(1).min() > 0.995


def test_regions_are_parts_of_the_mesh(model, mean):
    vertices, faces = model.region("M_Face", "M_BackHead")
    whole = model.faces_F3[np.isin(model.materials_F, ["M_Face", "M_BackHead"])]
    assert np.array_equal(vertices[faces], whole)
    assert model.region("M_Face", "M_BackHead")[0] is vertices
    with pytest.raises(ValueError, match="read-only"):
        faces[0] = 0
    left, _ = model.region("M_ScleraLeft")
    right, _ = model.region("M_ScleraRight")
    assert mean.vertices_V3[left, 0].min() > 0 > mean.vertices_V3[right, 0].max()
