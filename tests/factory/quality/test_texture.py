"""Sharpness, checkerboard and ringing of images whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from factory.quality import texture as textures
from factory.quality.texture import (
    FLAT,
    NO_OUTLINES,
    NO_TILES,
    TILE,
    flat_tiles,
    laplacian,
    luma,
    nyquist_amplitude,
    suffixed,
    texture,
)

Y, X = np.mgrid[:32, :32]


def gray(levels: np.ndarray) -> np.ndarray:
    """One RGB uint8 image of gray levels, [1, H, W, 3]."""
    return np.repeat(np.round(levels)[None, ..., None], 3, -1).astype(np.uint8)


def test_a_pattern_of_period_two_has_its_amplitude():
    """h, v and d are the three coefficients of the discrete Fourier transform at Nyquist."""
    tile_y, tile_x = np.mgrid[:TILE, :TILE]
    signs = [(-1.0) ** tile_x, (-1.0) ** tile_y, (-1.0) ** (tile_x + tile_y)]
    for sign in signs:
        assert nyquist_amplitude(3 * sign[None] + 100) == pytest.approx(3)
    together = 1 * signs[0] + 2 * signs[1] - 2 * signs[2]
    assert nyquist_amplitude(together[None]) == pytest.approx(3)  # sqrt(1 + 4 + 4)
    spectrum = np.abs(np.fft.fft2(together)) / TILE**2
    half = TILE // 2
    at_nyquist = spectrum[0, half], spectrum[half, 0], spectrum[half, half]
    assert float(np.linalg.norm(at_nyquist)) == pytest.approx(3)


def test_ramps_and_curves_have_no_pattern_of_period_two():
    tile_y, tile_x = np.mgrid[:TILE, :TILE]
    smooth = 5.0 * tile_x - 3 * tile_y + 0.25 * tile_x**2 + 0.5 * tile_x * tile_y
    assert nyquist_amplitude(smooth[None]) == pytest.approx(0, abs=1e-12)


def test_flat_tiles_by_least_squares_on_their_2x2_means():
    rng = np.random.default_rng(0)
    image = 4.0 * X + 2.0 * Y + rng.normal(0, 1, X.shape) * np.linspace(0, 6, 32)
    got = flat_tiles(image[None])[0]
    design = np.stack([g.ravel() for g in (np.ones((4, 4)), *np.mgrid[:4, :4])], 1).astype(float)
    wanted = np.empty((4, 4), bool)
    for row in range(4):
        for column in range(4):
            tile = image[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
            means = np.array(
                [[tile[a : a + 2, b : b + 2].mean() for b in (0, 2, 4, 6)] for a in (0, 2, 4, 6)]
            )
            fit, *_ = np.linalg.lstsq(design, means.ravel(), rcond=None)
            wanted[row, column] = np.std(means.ravel() - design @ fit) <= FLAT
    assert np.array_equal(got, wanted)
    assert wanted.any()
    assert not wanted.all()


def test_a_checkerboard_makes_no_tile_less_flat_and_an_outline_does():
    board = 100 + 20.0 * (-1.0) ** (X + Y)
    assert flat_tiles(board[None]).all()
    outline = np.where(X < 12, 50.0, 200.0)
    assert flat_tiles(outline[None])[0].tolist() == [[True, False, True, True]] * 4


def test_figures_of_an_image_with_an_outline():
    """Tiles beside the outline ring by an amplitude of 2 along y, those far from it do not."""
    level = np.where(X < 12, 50.0, 200.0) + np.where(X < 24, 2 * (-1.0) ** Y, 0)
    figures = texture(gray(level))
    # Laplacian of a(-1)^y is -4a(-1)^y; rows 0, 2 and 3 are flat, of which 0 and 2 ring
    assert figures["ringing"] == pytest.approx(8)
    assert figures["checkerboard"] == pytest.approx(np.sqrt((4 + 4 + 0) / 3))


def test_a_neighbor_is_one_of_eight():
    """Around one tile that is not flat, those above, below and at its corners ring too."""
    busy = (X // 8 == 1) & (Y // 8 == 1)
    level = np.where(busy, 100.0 + 60 * ((X // 2 + Y // 2) % 2), 100.0)
    corner = (X // 8 == 2) & (Y // 8 == 2)  # alone has a pattern of amplitude 3
    figures = texture(gray(level + 3 * (-1.0) ** X * corner))
    assert figures["ringing"] == pytest.approx(np.sqrt(12**2 / 8))


def test_tiles_are_flat_where_the_originals_are():
    original = gray(np.where(X < 16, 100.0, 100.0 + 40 * ((X // 4 + Y // 4) % 2)))
    made = gray(100 + 3 * (-1.0) ** X * (X < 8) + 30 * ((X // 4 + Y // 4) % 2) * (X >= 8))
    assert flat_tiles(luma(original))[0].tolist() == [[True, True, False, False]] * 4
    like = texture(made, like_NHWC=original)
    tiles = luma(made).reshape(1, 4, 8, 4, 8).swapaxes(2, 3)
    second = tiles[0, :, 1]  # flat in the original, and beside its pattern
    assert like["ringing"] == pytest.approx(np.sqrt(np.square(laplacian(second)).mean()))
    amplitude = np.concatenate([np.full(4, 3.0), nyquist_amplitude(second)])
    assert like["checkerboard"] == pytest.approx(np.sqrt(np.square(amplitude).mean()))
    assert texture(made)["checkerboard"] == pytest.approx(3)  # its own flat tiles: the first column


def test_sharpness_is_the_median_of_the_variance_of_the_laplacian():
    rng = np.random.default_rng(1)
    images = np.concatenate([gray(128 + rng.normal(0, s, X.shape)) for s in (1, 5, 20)])
    level = luma(images)
    direct = []
    for image in level:
        values = [
            image[y - 1, x] + image[y + 1, x] + image[y, x - 1] + image[y, x + 1] - 4 * image[y, x]
            for y in range(1, 31)
            for x in range(1, 31)
        ]
        direct.append(np.var(values))
    assert texture(images)["sharpness"] == pytest.approx(np.median(direct))
    assert texture(images)["sharpness"] == pytest.approx(direct[1])


def test_figures_that_no_tile_gives_say_why():
    rng = np.random.default_rng(2)
    noise = texture(gray(rng.uniform(0, 255, X.shape)))
    assert (noise["checkerboard"], noise["checkerboard_note"]) == (None, NO_TILES)
    plain = texture(gray(np.full(X.shape, 90.0)))
    assert (plain["ringing"], plain["ringing_note"]) == (None, NO_OUTLINES)
    assert plain["checkerboard"] == 0
    assert suffixed(plain, "given") == {
        "sharpness_given": 0,
        "checkerboard_given": 0,
        "ringing_given": None,
        "ringing_given_note": NO_OUTLINES,
    }


def test_an_image_that_tiles_do_not_fill_is_cut():
    image = np.full((1, 13, 21), 7.0)
    image[:, 8:] = np.nan
    image[:, :, 16:] = np.nan
    assert flat_tiles(image).tolist() == [[[True, True]]]
    assert textures.TILE == 8
