"""Which pairs and lists a release has that is made to test recognizers, and never to train them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from factory.config.field import knob
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.schema import Config

DIFFERENCE = ("yaw", "pitch", "roll", "age")
"""Columns of metadata/ by which a pair has the difference of its images."""
LARGER = ("occluded",)
"""Those by which it has the larger value."""
SMALLER = ("similarity", "own_cosine", "brightness", "sharpness", "cr_fiqa", "ser_fiq")
"""Those by which it has the smaller value."""
EQUAL = (
    *("light", "background", "expression", "hair", "beard", "glasses"),
    *("sunglasses", "hat", "mask", "scarf", "hand"),
)
"""Those by which its images are the same or different."""


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Pairs of a release with release.kind=benchmark; all of them are fixed by release.seed."""

    bins: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Edges of bins by a column of metadata/, as {yaw: [0, 15, 30, 60]}: by the difference of a
    pair's images in yaw, pitch, roll (degrees) and age (years), by the larger value of occluded, by
    the smaller one of similarity, own_cosine, brightness, sharpness, cr_fiqa and ser_fiq. Without
    edges, as {light: []}, two bins: the same and different, of what is told in words."""
    num_pairs: int = knob(300, low=10)
    """Genuine pairs of each bin, and as many impostor pairs; fewer where there are fewer."""
    num_lookalikes: int = knob(300, low=0)
    """Impostor pairs of people who look alike, and as many genuine pairs of these people."""
    lookalike_cosine: tuple[float, float] = (0.4, 0.6)
    """Cosines of two people's vectors, as the gate compares them, between which they look alike."""
    unmated_fraction: float = knob(0.2, low=0.0, high=0.9)
    """Fraction of people who are probes and not in the gallery (FPIR)."""


def check_benchmark_release(config: Config) -> None:
    """Raise ConfigError for what a release that is no training set cannot be."""
    pairs, kind = config.pairs, config.release.kind
    if kind == "training":
        if pairs != PairsConfig():
            raise ConfigError(
                "release.kind: got training with settings of section pairs; want benchmark, whose "
                "pairs these are"
            )
        return
    if config.release.method not in ("diffusion", "render") or config.release.allow_real:
        raise ConfigError(
            f"release.kind: got benchmark with release.method={config.release.method} and "
            f"release.allow_real={str(config.release.allow_real).lower()}; want people who do not "
            "exist: diffusion or render, without real ones"
        )
    if not pairs.bins and not pairs.num_lookalikes:
        raise ConfigError("pairs.bins: got none with pairs.num_lookalikes=0; want pairs to write")
    low, high = pairs.lookalike_cosine
    if not -1 <= low < high <= 1:
        raise ConfigError(
            f"pairs.lookalike_cosine: got [{low:g}, {high:g}]; want two cosines that increase"
        )
    for column, edges in pairs.bins.items():
        _check_bins(column, edges)


def _check_bins(column: str, edges: tuple[float, ...]) -> None:
    key = f"pairs.bins.{column}"
    if column in EQUAL:
        if edges:
            raise ConfigError(f"{key}: got {list(edges)}; want [], because it is told in words")
        return
    known = (*DIFFERENCE, *LARGER, *SMALLER)
    if column not in known:
        raise ConfigError(f"{key}: no such column; want one of {', '.join((*known, *EQUAL))}")
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
        raise ConfigError(f"{key}: got {list(edges)}; want two edges or more that increase")
