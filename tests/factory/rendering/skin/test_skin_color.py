"""Skin's two pigments: what each does to a color, and colors of skins that were measured."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.skin.skin_color import (
    RANGE,
    STEPS,
    WAVELENGTHS,
    linear_rgb,
    reflectance,
    skin_color,
)

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def lightness(color: np.ndarray) -> np.ndarray:
    return np.asarray(116 * np.cbrt(np.maximum(color @ LUMINANCE, 0.0089)) - 16)


def encoded(linear: np.ndarray) -> np.ndarray:
    curve = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * curve)


def test_a_white_spectrum_is_white_and_a_black_one_black() -> None:
    assert np.allclose(linear_rgb(np.ones(len(WAVELENGTHS))), 1, atol=0.01)
    assert np.allclose(linear_rgb(np.zeros(len(WAVELENGTHS))), 0)


def test_spectra_lie_between_0_and_1_and_show_oxygenated_blood() -> None:
    light = reflectance(0.0, 0.5)
    assert (light > 0).all()
    assert (light < 1).all()
    at = dict(zip(WAVELENGTHS.astype(int).tolist(), light.tolist(), strict=True))
    # The bands of oxygenated blood: darker at 540 and 580 nm than between and beyond.
    assert at[540] < at[560]
    assert at[580] < at[560] < at[620]


def test_more_melanin_is_darker_at_every_haemoglobin() -> None:
    melanin = np.linspace(0, 1, 30)
    for haemoglobin in (0.0, 0.4, 1.0):
        color = skin_color(melanin, np.full(30, haemoglobin))
        assert (np.diff(color @ LUMINANCE) < 0).all()
        assert (np.diff(color, axis=0) < 1e-6).all()


def test_more_haemoglobin_is_redder_and_darker() -> None:
    haemoglobin = np.linspace(0, 1.2, 30)
    for melanin in (0.0, 0.4, 0.9):
        color = skin_color(np.full(30, melanin), haemoglobin)
        assert (np.diff(color[:, 0] / color[:, 1]) > 0).all()
        assert (np.diff(color @ LUMINANCE) < 0).all()


def test_skins_reach_from_very_light_to_very_dark() -> None:
    light, dark = lightness(skin_color(np.array([0.0, 1.0]), np.array([0.35, 0.35])))
    assert 65 < light < 75
    assert 18 < dark < 28


def test_equal_steps_of_melanin_are_about_equal_steps_of_lightness() -> None:
    steps = -np.diff(lightness(skin_color(np.linspace(0.2, 1, 9), np.full(9, 0.4))))
    assert steps.max() < 2.5 * steps.min()


@pytest.mark.parametrize(
    ("measured", "within"),
    [
        ((194, 150, 130), 4),  # ColorChecker 2, light skin
        ((115, 82, 68), 12),  # ColorChecker 1, dark skin
        ((130, 92, 67), 5),  # Monk Skin Tone 7
        ((96, 65, 52), 10),  # Monk Skin Tone 8
    ],
)
def test_measured_skins_are_among_the_colors(measured: tuple[int, ...], within: int) -> None:
    melanin, haemoglobin = np.meshgrid(np.linspace(0, 1.1, 56), np.linspace(0, 1.2, 49))
    apart = np.abs(encoded(skin_color(melanin, haemoglobin)) - measured).max(-1)
    assert apart.min() < within


def test_the_table_is_the_model_at_its_knots_and_close_between() -> None:
    knots = [top / (steps - 1) for top, steps in zip(RANGE, STEPS, strict=True)]
    exact = linear_rgb(reflectance(knots[0] * 20, knots[1] * 7))
    assert np.allclose(
        skin_color(np.array(knots[0] * 20), np.array(knots[1] * 7)), exact, atol=1e-5
    )
    between = linear_rgb(reflectance(0.333, 0.456))
    assert np.allclose(skin_color(np.array(0.333), np.array(0.456)), between, atol=0.002)


def test_amounts_beyond_the_table_have_the_color_of_its_edge() -> None:
    most = skin_color(np.array([RANGE[0], 9.0]), np.array([RANGE[1], 9.0]))
    assert np.array_equal(most[0], most[1])
    least = skin_color(np.array([0.0, -1.0]), np.array([0.0, -1.0]))
    assert np.array_equal(least[0], least[1])
