"""Plots of the report, as data URIs."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from factory.evaluation.metrics.separability import Separability
from factory.evaluation.metrics.similarity import RecognizerProperties, Similarity
from factory.evaluation.metrics.values import BINS, Distribution, NotMeasured
from factory.records import Manifest
from factory.shards.rates import shots_per_s

COLORS = {"genuine": "#2a7f62", "impostor": "#8b8f98", "nearest real": "#c1562f"}
CENTERS = (BINS[:-1] + BINS[1:]) / 2
POINTS = 200
"""Points of the line of throughput."""
INK, INK_AT_NIGHT = "#1c2024", "#e6e8eb"
"""Of axes and letters, as the page's own text has it by day and in dark mode."""
STYLE = f"""<style>svg {{ color: {INK}; font-family: system-ui, sans-serif }}
svg text {{ fill: currentColor }}
@media (prefers-color-scheme: dark) {{ svg {{ color: {INK_AT_NIGHT} }} }}</style>"""


class Plot:
    """Axes to draw on; `svg` is the finished picture, `uri` the same as a data URI."""

    def __init__(self, axes: Any) -> None:
        self.axes = axes
        self.svg = self.uri = ""


@contextmanager
def plot(title: str, x: str) -> Iterator[Plot]:
    """A small plot in the report's style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # letters stay letters, and names of parts are the same whenever it is drawn
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure, axes = plt.subplots(figsize=(5.4, 3.0))
        figure.subplots_adjust(left=0.11, right=0.98, top=0.9, bottom=0.17)
        drawn = Plot(axes)
        yield drawn
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xlabel(x, fontsize=10)
        axes.tick_params(labelsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
        plt.close(figure)
    drawn.svg = of_page_color(buffer.getvalue())
    drawn.uri = "data:image/svg+xml;base64," + base64.b64encode(drawn.svg.encode()).decode()


def of_page_color(svg: str) -> str:
    """A plot whose black parts have the color of text, so that dark mode can be read."""
    svg = svg.replace("#000000", "currentColor")
    return re.sub(r"(<svg\b[^>]*>)", lambda head: head[1] + STYLE, svg, count=1)


def cosines(title: str, measured: Similarity) -> str:
    """Genuine, impostor and nearest-real cosines of a release (filled) and its source (lines)."""
    with plot(title, "cosine") as drawn:
        for name, made, real in _curves(measured):
            color = COLORS[name]
            if made:
                _fill(drawn, made, color, name)
            if real:
                _outline(drawn, real, color, f"{name}, source")
        _no_y_axis(drawn)
    return drawn.uri


def rocs(by_recognizer: Mapping[str, Similarity]) -> str:
    """TAR over FAR of each recognizer, on the release (solid) and the source (dashed)."""
    with plot("ROC", "false accept rate") as drawn:
        for color, (name, measured) in zip(COLORS.values(), by_recognizer.items(), strict=False):
            sides = (("release", "-", measured.release), ("source", "--", measured.source))
            for side, style, pairs in sides:
                points = [] if isinstance(pairs, NotMeasured) else pairs.roc
                x_y = np.reshape(points, (-1, 2)).T
                drawn.axes.plot(*x_y, style, color=color, lw=1.2, label=f"{name}, {side}")
        drawn.axes.set_xscale("log")
        drawn.axes.set_ylabel("true accept rate", fontsize=10)
    return drawn.uri


def separation(measured: Separability) -> str:
    """How near virtual identities come to real people and to each other, and the gate."""
    with plot("nearest neighbors of virtual identities", "cosine") as drawn:
        for name, color, nearest in (
            ("nearest real", COLORS["nearest real"], measured.nearest_real),
            ("nearest other", COLORS["genuine"], measured.nearest_other),
        ):
            if not isinstance(nearest, NotMeasured):
                _fill(drawn, nearest, color, name)
        drawn.axes.axvline(
            measured.max_cosine, color="black", lw=1, ls="--", label="largest allowed"
        )
        _no_y_axis(drawn)
    return drawn.uri


def consistency(by_recognizer: Mapping[str, RecognizerProperties]) -> str:
    """Mean cosine within each class, of the release (filled) and its source (line)."""
    with plot("alike within an identity", "mean cosine of an identity's pairs") as drawn:
        for color, (name, measured) in zip(COLORS.values(), by_recognizer.items(), strict=False):
            if measured.release.within_class:
                _fill(drawn, measured.release.within_class, color, name)
            if measured.source.within_class:
                _outline(drawn, measured.source.within_class, color, f"{name}, source")
        _no_y_axis(drawn)
    return drawn.uri


def throughput(manifest: Manifest) -> str:
    """Shots a second over the time a release took, each unit's spread over the time it was made."""
    edges, rate = shots_per_s(manifest.shards, POINTS)
    with plot("shots a second", "minutes from the first shot") as drawn:
        drawn.axes.plot((edges[:-1] - edges[0]) / 60, rate, color=COLORS["genuine"], lw=1.2)
        drawn.axes.set_ylim(bottom=0)
    return drawn.uri


def _fill(drawn: Plot, values: Distribution, color: str, label: str) -> None:
    drawn.axes.fill_between(CENTERS, values.histogram, color=color, alpha=0.35, lw=0, label=label)


def _outline(drawn: Plot, values: Distribution, color: str, label: str) -> None:
    drawn.axes.plot(CENTERS, values.histogram, color=color, lw=1.2, label=label)


def _no_y_axis(drawn: Plot) -> None:
    drawn.axes.set_yticks([])
    drawn.axes.spines["left"].set_visible(False)


def _curves(
    measured: Similarity,
) -> list[tuple[str, Distribution | None, Distribution | None]]:
    """(name in COLORS, of the release, of the source), None where there are no such pairs."""
    made, real = (
        (None, None) if isinstance(pairs, NotMeasured) else (pairs.genuine, pairs.impostor)
        for pairs in (measured.release, measured.source)
    )
    return [
        ("genuine", made[0], real[0]),
        ("impostor", made[1], real[1]),
        ("nearest real", measured.nearest_real, measured.source_nearest_other_person),
    ]
