import numpy as np
import pytest

from factory.rendering.views.color_temperature import (
    LEAST_CHANNEL,
    blackbody_xy,
    daylight,
    daylight_xy,
    lamp,
)

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(
    ("kelvin", "x", "y"),
    [  # CIE 015's illuminant A, and points of the Planckian locus (Wyszecki & Stiles 1982)
        (2856, 0.4476, 0.4074),
        (2000, 0.5267, 0.4133),
        (5000, 0.3451, 0.3516),
        (6500, 0.3135, 0.3237),
        (10000, 0.2807, 0.2884),
    ],
)
def test_black_bodies_have_published_chromaticities(kelvin: float, x: float, y: float) -> None:
    assert blackbody_xy(kelvin) == pytest.approx((x, y), abs=0.001)


@pytest.mark.parametrize(
    ("kelvin", "x", "y"),
    [(5003, 0.3457, 0.3585), (5503, 0.3324, 0.3474), (6504, 0.3127, 0.3290),
     (7504, 0.2990, 0.3149)],
)  # fmt: skip
def test_daylight_has_the_chromaticities_of_the_cie(kelvin: float, x: float, y: float) -> None:
    """D50, D55, D65 and D75 of CIE 015."""
    assert daylight_xy(kelvin) == pytest.approx((x, y), abs=0.0003)


def test_daylight_of_6504_kelvin_is_gray_in_srgb() -> None:
    assert daylight(6504) == pytest.approx((1, 1, 1), abs=0.002)


@pytest.mark.parametrize("kelvin", [2300, 2856, 4000, 5000, 6500])
def test_lamps_have_luminance_one(kelvin: float) -> None:
    assert LUMINANCE @ lamp(kelvin) == pytest.approx(1, abs=0.001)


def test_warmer_lamps_have_more_red_and_less_blue() -> None:
    colors = np.array([lamp(kelvin) for kelvin in range(2300, 9000, 300)])
    assert (np.diff(colors[:, 0]) < 0).all()
    assert (np.diff(colors[:, 2]) > 0).all()


def test_candle_light_keeps_a_little_blue() -> None:
    assert lamp(1700)[2] == LEAST_CHANNEL
