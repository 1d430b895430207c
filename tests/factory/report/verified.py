"""A small verification: rates, a curve of errors, one of errors versus discard."""

from __future__ import annotations

from factory.recognition.discard_curve import DiscardCurve
from factory.recognition.error_rates import ErrorCurve, ErrorRates, Threshold
from factory.records import Interval

RATES = ErrorRates(
    num_genuine=40,
    num_impostor=100,
    num_people=12,
    num_images=70,
    fta=1 / 70,
    thresholds=[Threshold(0.1, 0.25, 0.1, Interval(0.05, 0.2), 0.0, Interval(0.0, 0.25))],
    curve=ErrorCurve(
        [0.01, 0.1, 0.4, 1.0], [0.5, 0.2, 0.1, 0.0], [0.3, 0.1, 0.0, 0.0], [0.7, 0.4, 0.2, 0.25]
    ),
)
DISCARD = DiscardCurve(
    quality="ofiq.csv, UnifiedQualityScore.scalar",
    wanted_fmr=0.1,
    cosine=0.25,
    num_not_assessed=3,
    discarded=[0.0, 0.25, 0.5, 1.0],
    fnmr=[0.2, 0.1, 0.0, 0.0],
    low=[0.1, 0.0, 0.0, 0.0],
    high=[0.3, 0.2, 0.25, 0.25],
    largest_discarded=0.5,
    pauc=0.15,
    pauc_interval=Interval(0.05, 0.25),
    relative_pauc=0.7,
)
