"""What jobs.verify_recognizer writes beside its figures: tables, curves, one HTML page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import Config, VerificationConfig
from factory.evaluation.metrics.json_form import to_json
from factory.recognition.discard_curve import DiscardCurve, discard_curve
from factory.recognition.error_rates import (
    IMPOSTORS_PER_ERROR,
    ErrorRates,
    error_rates,
    is_measurable,
)
from factory.recognition.image_quality import PairQuality
from factory.recognition.pair_scores import (
    CSV,
    PARQUET,
    PairScores,
    scores_of,
    to_csv,
    to_parquet,
    to_pyeer,
)
from factory.recognition.pairs import Pairs
from factory.records import Interval
from factory.report import error_curves
from factory.report.page import render
from factory.store.atomic import write_atomically
from factory.store.json_text import json_text

FIGURES, PAGE = "verification.json", "verification.html"
HEADS = ["wanted FMR", "threshold", "FMR", "95 %", "FNMR", "95 %"]


@dataclass(frozen=True)
class VerificationReport:
    """What was measured of a recognizer on pairs."""

    title: str
    figures: dict[str, Any]
    """What the job prints."""
    rates: ErrorRates
    discard: DiscardCurve | str | None = None
    """Error versus discard; why there is none; None where nobody asked for it."""


def files(report: VerificationReport, scores: PairScores) -> dict[str, bytes]:
    """All files by name; only PARQUET names images and people."""
    plots = {"det": error_curves.det(report.rates), "roc": error_curves.roc(report.rates)}
    if isinstance(report.discard, DiscardCurve):
        plots["discard"] = error_curves.discard(report.discard)
    page = render(
        "verification.html",
        title=report.title,
        sentences=sentences(report),
        heads=HEADS,
        thresholds=rows(report.rates),
        plots=[(name, drawn.uri) for name, drawn in plots.items()],
        figures=list(_scalars(report.figures).items()),
    )
    return {
        PARQUET: to_parquet(scores),
        CSV: to_csv(scores),
        **to_pyeer(scores),
        FIGURES: figures_json(report),
        PAGE: page,
        **{f"{name}.svg": drawn.svg.encode() for name, drawn in plots.items()},
    }


def figures_json(report: VerificationReport) -> bytes:
    """All figures, rates and curves as JSON, without a key or a name."""
    discard = report.discard
    body = {
        "figures": report.figures,
        "rates": to_json(report.rates),
        "discard": {"note": discard} if isinstance(discard, str) else to_json(discard),
    }
    return (json_text(body, indent=2) + "\n").encode()


def rows(rates: ErrorRates) -> list[list[str]]:
    """A row of HEADS for each threshold."""
    return [
        [
            f"{one.wanted_fmr:g}",
            f"{one.cosine:.4f}",
            f"{one.fmr:.3g}",
            _span(one.fmr_interval),
            f"{one.fnmr:.4f}",
            _span(one.fnmr_interval),
        ]
        for one in rates.thresholds
    ]


def sentences(report: VerificationReport) -> list[str]:
    """What was compared, what intervals are of, and what discarding bad images does."""
    return [_compared(report.rates), _uncertainty(report.rates), *_discarded(report.discard)]


def _compared(rates: ErrorRates) -> str:
    return (
        f"{rates.num_genuine} genuine and {rates.num_impostor} impostor pairs of "
        f"{rates.num_images} images; failure-to-acquire rate (FTA) {rates.fta:.4f}. A pair is a "
        "match above the threshold. A threshold is given for each FMR that stands for at least ten "
        "false matches."
    )


def _uncertainty(rates: ErrorRates) -> str:
    if not rates.curve.low:
        return "There are too few people for intervals."
    unit = (
        f"{rates.num_people} people"
        if rates.num_people
        else "pairs, because nobody knows who is in them and two of them may share a person"
    )
    return (
        f"Intervals and bands are at 95 % (bands at each point by itself), by resampling {unit}; "
        "where no error was seen, by the rule of three."
    )


def _discarded(curve: DiscardCurve | str | None) -> list[str]:
    if curve is None:
        return []
    if isinstance(curve, str):
        return [f"Error versus discard: {curve}."]
    relative = "" if curve.relative_pauc is None else f", relative {curve.relative_pauc:.3f}"
    return [
        f"Error versus discard by {curve.quality}, at the threshold of FMR {curve.wanted_fmr:g}: "
        f"FNMR {curve.fnmr[0]:.4f}, mean {curve.pauc:.4f} ({_span(curve.pauc_interval)}) while up "
        f"to {curve.largest_discarded:.0%} of genuine pairs are discarded{relative} (0: only "
        "errors are discarded while there are any; 1: quality knows nothing). "
        f"{curve.num_not_assessed} images could not be assessed and count as the worst."
    ]


def _span(bounds: Interval | None) -> str:
    return "n/a" if bounds is None else f"{bounds.low:.3g} to {bounds.high:.3g}"


def _scalars(figures: dict[str, Any]) -> dict[str, str]:
    """Figures that are one number or one word."""
    return {
        name: f"{value:.5g}" if isinstance(value, float) else str(value)
        for name, value in figures.items()
        if isinstance(value, int | float | str)
    }


def write(
    config: Config,
    figures: dict[str, Any],
    unit_2ND: np.ndarray,
    pairs: Pairs,
    quality: PairQuality,
) -> str:
    """Measure pairs by the vectors of their images, write all files, and say where the page is."""
    asked = config.verification
    assert asked.out, "needs verification.out"
    scores = scores_of(unit_2ND, pairs, quality.measure())
    report = VerificationReport(
        title=f"{Path(config.recognizer.checkpoint).name} on {config.source.name}",
        figures=figures,
        rates=error_rates(scores, asked.seed),
        discard=_discard(scores, quality.name, asked),
    )
    for name, data in files(report, scores).items():
        write_atomically(Path(asked.out) / name, data, "verification.out")
    return str(Path(asked.out) / PAGE)


def _discard(
    scores: PairScores, quality: str, asked: VerificationConfig
) -> DiscardCurve | str | None:
    """The error-versus-discard curve, or the reason why there is none."""
    if scores.quality_N2 is None:
        return None
    fmr, impostors = asked.discard_fmr, int((scores.is_scored_N & ~scores.same_N).sum())
    if not is_measurable(fmr, impostors):
        return (
            f"n/a: {impostors} impostor pairs for verification.discard_fmr={fmr:g}, which needs "
            f"{math.ceil(IMPOSTORS_PER_ERROR / fmr)}"
        )
    return discard_curve(scores, quality, fmr, asked.discard_fraction, asked.seed)
