"""Figures of a search for one face among many."""

from __future__ import annotations

from dataclasses import dataclass

from factory.records import Interval


@dataclass(frozen=True)
class RankRate:
    """How often the mate is among the first `rank` candidates."""

    rank: int
    rate: float
    interval: Interval | None


@dataclass(frozen=True)
class OpenSetErrors:
    """FNIR where at most `fpir` of the non-mated searches have a candidate above the threshold."""

    fpir: float
    threshold: float | None
    """Cosine; a candidate is above it."""
    fnir: float | None
    interval: Interval | None
    note: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class Identification:
    """One-to-many errors of a recognizer on a gallery and probes (ISO/IEC 19795-1)."""

    protocol: str
    mirror_sum: str
    num_entries: int
    """Templates in the gallery."""
    num_enrolled: int
    """People in it."""
    num_unsearched: int
    """Of these, people whom nobody searches for (distractors)."""
    num_mated: int
    """Searches for people who are enrolled."""
    num_nonmated: int
    """Searches for people who are not."""
    num_searched: int
    """People searched for."""
    num_images: int
    failures_to_acquire: int
    """Images that could not be read, or show no face."""
    fta: float
    """Fraction of all images."""
    counts_failures: bool
    """Whether templates without any image stay, and match nobody."""
    max_rank: int | None
    rates: list[RankRate]
    cmc: list[float]
    """Identification rate at rank 1, 2, ..."""
    open_set: list[OpenSetErrors]
