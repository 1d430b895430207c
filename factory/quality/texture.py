"""How sharp images are, and whether a decoder left ringing or a checkerboard in flat regions.

A decoder that is trained on pixel error blurs; one that is trained against a discriminator may
repeat outlines beside them, and one that writes blocks of pixels may leave a pattern of period two
where nothing is. A flat region shows both, because there is nothing else in it.

Shapes: N images, H x W pixels, T the side of a tile, h x w tiles of an image, M chosen tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.quality.pixels import LUMA, SCALE, sharpness_and_brightness

TILE = 8
"""Side T in pixels of the squares that are flat or not, a divisor of most images' sides."""
FLAT = 1.5
"""Levels of gray: largest standard deviation about a plane of a flat tile's 2x2 means."""
NO_TILES = "n/a: no tile of the images is flat"
NO_OUTLINES = "n/a: no flat tile lies beside one that is not"


def texture(images_NHWC: np.ndarray, like_NHWC: np.ndarray | None = None) -> dict[str, Any]:
    """Sharpness, checkerboard and ringing of RGB uint8 images, by name.

    `sharpness`: median over images of the variance of the 4-neighbor Laplacian of Rec. 601 luma
    on the scale of 0 to 255 (quality/pixels.py; filters.min_sharpness asks for it too).
    `checkerboard`: root mean square over flat tiles of the amplitude of patterns of period two, in
    gray levels (`nyquist_amplitude`).
    `ringing`: root mean square of the Laplacian in flat tiles beside one that is not flat, in gray
    levels: what outlines leave next to them.
    Tiles are flat in `like_NHWC`, the originals, where given, else in the images themselves. A
    figure that no tile gives is None, with its reason as `*_note`.
    """
    gray_NHW = luma(images_NHWC)
    flat_Nhw = flat_tiles(gray_NHW if like_NHWC is None else luma(like_NHWC))
    sharp, _ = sharpness_and_brightness(images_NHWC)
    tiles_NhwTT = _tiles(gray_NHW)
    pattern_M = nyquist_amplitude(tiles_NhwTT[flat_Nhw])
    beside_MTT = laplacian(tiles_NhwTT[flat_Nhw & _beside(~flat_Nhw)])
    return {
        "sharpness": float(np.median(sharp)),
        **_root_mean_square("checkerboard", pattern_M, NO_TILES),
        **_root_mean_square("ringing", beside_MTT, NO_OUTLINES),
    }


def suffixed(figures: dict[str, Any], suffix: str) -> dict[str, Any]:
    """Figures by other names: sharpness_given, and ringing_given_note of a reason why none."""
    parts = ((name.removesuffix("_note"), name.endswith("_note")) for name in figures)
    names = [f"{figure}_{suffix}{'_note' * is_note}" for figure, is_note in parts]
    return dict(zip(names, figures.values(), strict=True))


def luma(images_NHWC: np.ndarray) -> np.ndarray:
    """Rec. 601 luma of RGB uint8 images, float64 [N, H, W] on the scale of 0 to 255."""
    return np.asarray(images_NHWC @ np.array(LUMA, np.float64) / SCALE)


def flat_tiles(gray_NHW: np.ndarray) -> np.ndarray:
    """Which tiles are a plane but for FLAT levels, bool [N, h, w].

    Their 2x2 means decide, in which a pattern of period two is gone: so a checkerboard makes no
    tile less flat.
    """
    tiles_NhwTT, half = _tiles(gray_NHW), TILE // 2
    rest = tiles_NhwTT.reshape(*tiles_NhwTT.shape[:3], half, 2, half, 2).mean((4, 6))
    place = np.arange(half) - (half - 1) / 2
    for basis in (np.ones((half, half)), np.tile(place, (half, 1)), np.tile(place, (half, 1)).T):
        part = (rest * basis).sum((3, 4), keepdims=True) / np.square(basis).sum()
        rest = rest - part * basis  # least squares, because the three are orthogonal
    return np.asarray(np.sqrt(np.square(rest).mean((3, 4))) <= FLAT)


def nyquist_amplitude(tiles_MTT: np.ndarray) -> np.ndarray:
    """Amplitude [M] of the patterns of period two in tiles, sqrt(h^2 + v^2 + d^2).

    h is the mean of (-1)^x D_x g over a tile, v that of (-1)^y D_y g, d that of (-1)^(x+y) D_x D_y
    g, with the second difference D_x g = (2 g(x) - g(x-1) - g(x+1))/4, which leaves (-1)^x as it
    is and takes ramps away.
    """
    h_MTT = _alternating(tiles_MTT)
    v_MTT = _alternating(tiles_MTT.swapaxes(1, 2))
    d_MTT = _alternating(_alternating(tiles_MTT).swapaxes(1, 2))
    squares = [np.square(part.mean((1, 2))) for part in (h_MTT, v_MTT, d_MTT)]
    return np.asarray(np.sqrt(sum(squares)))


def laplacian(tiles_MTT: np.ndarray) -> np.ndarray:
    """4-neighbor Laplacian of the inner pixels of tiles, [M, T-2, T-2]."""
    inner = tiles_MTT[:, 1:-1, 1:-1]
    rows = tiles_MTT[:, :-2, 1:-1] + tiles_MTT[:, 2:, 1:-1]
    columns = tiles_MTT[:, 1:-1, :-2] + tiles_MTT[:, 1:-1, 2:]
    return np.asarray(rows + columns - 4 * inner)


def _alternating(tiles_MTT: np.ndarray) -> np.ndarray:
    """(-1)^x D_x g along the last axis, [M, T, T-2]."""
    ahead, behind = tiles_MTT[..., 2:], tiles_MTT[..., :-2]
    difference = (2 * tiles_MTT[..., 1:-1] - ahead - behind) / 4
    return np.asarray(difference * (-1.0) ** np.arange(difference.shape[-1]))


def _tiles(gray_NHW: np.ndarray) -> np.ndarray:
    """Tiles [N, h, w, T, T] from the upper left corner on; a rest at the right and below is cut."""
    count, height, width = gray_NHW.shape
    rows, columns = height // TILE, width // TILE
    cut = gray_NHW[:, : rows * TILE, : columns * TILE]
    return cut.reshape(count, rows, TILE, columns, TILE).swapaxes(2, 3)


def _beside(chosen_Nhw: np.ndarray) -> np.ndarray:
    """Tiles of which one of the eight neighbors is chosen, bool [N, h, w]."""
    wide = np.pad(chosen_Nhw, ((0, 0), (1, 1), (1, 1)))
    _, height, width = chosen_Nhw.shape
    shifts = ((y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1))
    near = [wide[:, y : y + height, x : x + width] for y, x in shifts]
    return np.asarray(np.any(near, axis=0))


def _root_mean_square(name: str, values: np.ndarray, why_none: str) -> dict[str, Any]:
    if not values.size:
        return {name: None, f"{name}_note": why_none}
    return {name: float(np.sqrt(np.square(values).mean()))}
