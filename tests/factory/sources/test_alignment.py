"""Similarity transforms are exact where one exists, and points are those of the template."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import SourceError
from factory.sources.alignment import (
    TEMPLATE_52,
    align,
    mirrored_points,
    points_of,
    scaled,
    similarity_transform,
)


@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50))
def test_a_similarity_is_recovered(scale, angle, dx, dy):
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE_52 @ (scale * rotation).T + [dx, dy]
    matrix = similarity_transform(moved, TEMPLATE_52)
    assert np.allclose(moved @ matrix[:, :2].T + matrix[:, 2], TEMPLATE_52, atol=1e-6)


def test_coinciding_points_are_refused():
    with pytest.raises(SourceError, match="coincide"):
        similarity_transform(np.ones((5, 2)), TEMPLATE_52)


def test_the_template_is_that_of_arcface():
    assert TEMPLATE_52.ravel().tolist() == [
        *(38.2946, 51.6963, 73.5318, 51.5014, 56.0252),
        *(71.7366, 41.5493, 92.3655, 70.7299, 92.2041),
    ]


@pytest.mark.parametrize("exchanged", [False, True])
def test_a_similarity_is_the_least_squares_one_without_a_reflection(exchanged):
    """As complex numbers w = a z + b, a = sum(conj(z) w) / sum |z|^2 of centered points."""
    points = TEMPLATE_52 * 1.7 + np.random.default_rng(0).normal(0, 6, (5, 2))
    if exchanged:
        points[:, 0] *= -1  # which a reflection would undo
    z, w = (p[:, 0] + 1j * p[:, 1] for p in (points, TEMPLATE_52))
    z0, w0 = z - z.mean(), w - w.mean()
    a = (z0.conj() * w0).sum() / (np.abs(z0) ** 2).sum()
    b = w.mean() - a * z.mean()
    wanted = [[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]
    np.testing.assert_allclose(similarity_transform(points, TEMPLATE_52), wanted, atol=1e-9)


def test_aligning_moves_the_points_to_the_template():
    image = np.zeros((200, 200, 3), np.uint8)
    points = TEMPLATE_52 * 0.8 + [60, 50]
    for x, y in points.round().astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    aligned = align(image, points, 112)
    assert aligned.shape == (112, 112, 3)
    for x, y in TEMPLATE_52.round().astype(int):
        assert aligned[y, x].min() > 200


def test_zoom_shows_more_around_the_same_middle():
    near = align(np.full((300, 300, 3), 200, np.uint8), TEMPLATE_52 + 90, 112)
    assert (near == 200).all()
    image = np.zeros((300, 300, 3), np.uint8)
    image[90:202, 90:202] = 255  # the crop of zoom 1, exactly
    wide = align(image, TEMPLATE_52 + 90, 112, zoom=0.5)
    assert (wide > 127).mean() == pytest.approx(0.25, abs=0.02)
    assert wide[50:62, 50:62].min() == 255


def test_points_of_aligned_faces_are_the_template_or_the_detectors():
    class EverySecond:
        """Finds the template, shifted by the image's first pixel, and no face where that is 0."""

        def landmarks(self, image):
            return TEMPLATE_52 + image[0, 0, 0] if image[0, 0, 0] else None

    images = np.zeros((2, 224, 224, 3), np.uint8)
    images[1] = 7
    np.testing.assert_allclose(points_of(images, None), np.stack([2 * TEMPLATE_52] * 2))
    first, second = points_of(images, EverySecond())
    assert np.isnan(first).all()
    np.testing.assert_allclose(second, TEMPLATE_52 + 7)


def test_points_of_mirror_images_name_the_sides_in_the_image():
    image = np.zeros((112, 112, 3), np.uint8)
    points = TEMPLATE_52.round().astype(int)
    for number, (x, y) in enumerate(points, start=1):
        image[y, x] = number
    mirrored = mirrored_points(points[None], 112)[0]
    numbers = [int(image[:, ::-1][y, x, 0]) for x, y in mirrored]
    assert numbers == [2, 1, 3, 5, 4]  # the left eye in the mirror is the right one of the face
    assert np.array_equal(mirrored_points(mirrored[None], 112)[0], points)


@pytest.mark.parametrize("px", [56, 224])
def test_scaling_keeps_the_mean(px):
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    other = scaled(image, px)
    assert other.shape == (px, px, 3)
    assert other.mean() == pytest.approx(image.mean(), abs=1)
