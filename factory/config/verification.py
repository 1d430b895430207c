"""How jobs.verify_recognizer writes scores and curves, and how good an image is said to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class VerificationConfig:
    """What jobs.verify_recognizer writes besides the figures that it prints."""

    out: str | None = file_path(None, only_local=True)
    """Local folder of scores.parquet, scores.csv, genuine.txt and impostor.txt (pyeer), of
    verification.json and of verification.html with its curves as .svg. Only scores.parquet names
    images and people: guard it as you guard the photographs. None: figures are printed alone."""
    seed: int = knob(0, low=0)
    """Decides how people are resampled for intervals and bands."""
    discard_fmr: float = knob(0.01, low=1e-6, high=0.5)
    """FMR of the threshold at which the error-versus-discard curve counts its errors; the pairs
    must have ten impostors for each one that it lets through."""
    discard_fraction: float = knob(0.3, low=0.01, high=1.0)
    """Fraction of genuine pairs up to which the area under that curve is taken."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Whose word counts on how good an image of a face is: a network's, or a table's."""

    model: str | None = file_path()
    """An .onnx of face image quality assessment, from images [N, 3, S, S] to one number each, more
    for better ones: for filters.min_fiqa, and for the error-versus-discard curve of
    jobs.verify_recognizer. Needs the extra `eval`. None: none."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colors that it takes."""
    pixels: Literal["signed", "unit", "bytes"] = "signed"
    """Range of the pixels that it takes: signed -1 to 1 (CR-FIQA, eDifFIQA), unit 0 to 1 (MagFace),
    bytes 0 to 255."""
    table: str | None = file_path()
    """For jobs.verify_recognizer: a CSV with a column Filename, as OFIQ writes it, whose names end
    with the keys of the images (those of a .bin are 000000, 000001, ...). None: none."""
    column: str = "UnifiedQualityScore.scalar"
    """Column of that table, more for better images; -1 is an image that could not be assessed."""
