"""Curves of errors: their axes, and that they are drawn with and without bands."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from factory.report import error_curves
from factory.report.error_curves import least_rates, normal_deviates, percent
from tests.factory.report.verified import DISCARD, RATES


def test_axes_of_a_det_curve_are_normal_deviates():
    rates = np.array([0.5, 0.1586552539, 0.9772498681])
    np.testing.assert_allclose(normal_deviates(rates, 1e-6), [0, -1, 2], atol=1e-9)
    edge = NormalDist().inv_cdf(0.01)
    np.testing.assert_allclose(normal_deviates(np.array([0.0, 1.0]), 0.01), [edge, -edge])


def test_normal_scores_give_a_straight_line():
    """FNMR over FMR of N(0, 1) and N(2, 1): deviates that sum to -2 at every threshold."""
    t = np.linspace(-1, 3, 9)
    fmr = np.array([1 - NormalDist().cdf(x) for x in t])
    fnmr = np.array([NormalDist(2).cdf(x) for x in t])
    np.testing.assert_allclose(normal_deviates(fmr, 1e-9) + normal_deviates(fnmr, 1e-9), -2)


def test_rates_of_no_error_lie_at_half_of_the_least_that_shows():
    assert least_rates(replace(RATES, num_impostor=50, num_genuine=20)) == (0.01, 0.025)
    assert [percent(rate) for rate in (1e-6, 0.05, 0.4)] == ["0.0001 %", "5 %", "40 %"]


@pytest.mark.usefixtures("plots")
def test_curves_are_drawn_with_bands_and_the_same_again():
    no_band = replace(RATES, curve=replace(RATES.curve, low=[], high=[]))
    for draw, one, bare in (
        (error_curves.det, RATES, no_band),
        (error_curves.roc, RATES, no_band),
        (error_curves.discard, DISCARD, replace(DISCARD, low=[], high=[])),
    ):
        svg = draw(one).svg
        assert svg.startswith("<?xml")
        assert "95 %, over people" in svg
        assert "95 %, over people" not in draw(bare).svg
        assert "currentColor" in svg
        assert "#000000" not in svg
        assert draw(one).svg == svg


@pytest.mark.usefixtures("plots")
def test_axes_have_the_words_of_the_standard():
    assert "false match rate" in error_curves.det(RATES).svg
    assert "false non-match rate" in error_curves.det(RATES).svg
    assert "1 - false non-match rate" in error_curves.roc(RATES).svg
    assert "discarded fraction of genuine pairs" in error_curves.discard(DISCARD).svg
