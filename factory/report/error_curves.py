"""DET, ROC and error-versus-discard curves with their bands, as SVG (ISO/IEC 19795-1).

A DET curve has the normal deviates of both rates as its axes (Martin et al. 1997, "The DET curve in
assessment of detection task performance"), so that normally distributed scores give a straight
line.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from factory.recognition.discard_curve import DiscardCurve
from factory.recognition.error_rates import ErrorRates
from factory.report import figures
from factory.report.figures import COLORS, Plot

TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99)
"""Rates at the axes of a DET curve."""
FMR, FNMR, TMR = "false match rate", "false non-match rate", "1 - false non-match rate"
SHADE, LARGEST_FMR = 0.25, 0.5
"""Of a band; and where the FMR's axis of a DET curve ends."""


def det(rates: ErrorRates) -> Plot:
    """FNMR over FMR on normal deviates; rates of no error lie at the edge of the frame."""
    curve, least = rates.curve, least_rates(rates)
    with figures.plot("DET", FMR) as drawn:
        shown = np.array(curve.fmr) <= LARGEST_FMR
        y, low, high = (
            normal_deviates(np.array(part)[shown[: len(part)]], least[1])
            for part in (curve.fnmr, curve.low, curve.high)
        )
        _draw(drawn, normal_deviates(np.array(curve.fmr)[shown], least[0]), y, low, high)
        drawn.axes.set_ylabel(FNMR, fontsize=10)
        drawn.axes.figure.subplots_adjust(left=0.15)
        ends = (LARGEST_FMR, 1 - least[1])
        for axis, floor, end in zip((drawn.axes.xaxis, drawn.axes.yaxis), least, ends, strict=True):
            ticks = [rate for rate in TICKS if floor <= rate <= end]
            axis.set_ticks(normal_deviates(np.array(ticks), floor).tolist())
            axis.set_ticklabels([percent(rate) for rate in ticks])
    return drawn


def roc(rates: ErrorRates) -> Plot:
    """True match rate over FMR, whose axis is logarithmic."""
    curve = rates.curve
    with figures.plot("ROC", FMR) as drawn:
        y, low, high = (1 - np.array(part) for part in (curve.fnmr, curve.low, curve.high))
        _draw(drawn, np.array(curve.fmr), y, low, high)
        drawn.axes.set_xscale("log")
        drawn.axes.set_ylabel(TMR, fontsize=10)
    return drawn


def discard(curve: DiscardCurve) -> Plot:
    """FNMR over the fraction of genuine pairs that is discarded, up to which its area is taken."""
    with figures.plot("error versus discard", "discarded fraction of genuine pairs") as drawn:
        shown = np.array(curve.discarded) <= curve.largest_discarded + 1e-9
        x, y, low, high = (
            np.array(part)[shown[: len(part)]]
            for part in (curve.discarded, curve.fnmr, curve.low, curve.high)
        )
        _draw(drawn, x, y, low, high, step="post")
        drawn.axes.set_ylabel(FNMR, fontsize=10)
        drawn.axes.set_ylim(bottom=0)
    return drawn


def normal_deviates(rates: np.ndarray, least: float) -> np.ndarray:
    """Normal deviates of rates, which are kept `least` away from 0 and from 1."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(rate) for rate in np.clip(rates, least, 1 - least)])


def least_rates(rates: ErrorRates) -> tuple[float, float]:
    """Half of the smallest FMR and of the smallest FNMR that so many pairs can show but 0."""
    return 0.5 / rates.num_impostor, 0.5 / rates.num_genuine


def percent(rate: float) -> str:
    """A rate in percent, as short as it can be."""
    return f"{100 * rate:g} %"


def _draw(
    drawn: Plot,
    x: np.ndarray,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    step: str | None = None,
) -> None:
    """A curve, and its band where there is one."""
    color = COLORS["genuine"]
    if len(low):
        drawn.axes.fill_between(
            x, low, high, color=color, alpha=SHADE, lw=0, step=step, label="95 %, over people"
        )
    drawn.axes.plot(x, y, color=color, lw=1.2, drawstyle=f"steps-{step}" if step else "default")
