"""Plots of the report, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from factory.evaluation.similarity import BINS
from factory.records import Manifest

COLOURS = {"genuine": "#2a7f62", "impostor": "#8b8f98", "nearest real": "#c1562f"}
CENTRES = (BINS[:-1] + BINS[1:]) / 2
POINTS = 200
"""Points of the line of throughput."""


class Plot:
    """Axes to draw on; `uri` is the finished picture."""

    def __init__(self, axes: Any) -> None:
        self.axes = axes
        self.uri = ""


@contextmanager
def plot(title: str, x: str) -> Iterator[Plot]:
    """A small plot in the report's style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.0), dpi=110)
    figure.subplots_adjust(left=0.09, right=0.98, top=0.91, bottom=0.15)
    drawn = Plot(axes)
    yield drawn
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(x, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    drawn.uri = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def cosines(title: str, measured: dict[str, Any]) -> str:
    """Genuine, impostor and nearest-real cosines of a release (filled) and its source (lines)."""
    with plot(title, "cosine") as drawn:
        for name, colour in COLOURS.items():
            made, real = _curves(measured, name)
            if made is not None:
                drawn.axes.fill_between(CENTRES, made, color=colour, alpha=0.35, lw=0, label=name)
            if real is not None:
                drawn.axes.plot(CENTRES, real, color=colour, lw=1.2, label=f"{name}, source")
        _no_y_axis(drawn)
    return drawn.uri


def rocs(measured_by: dict[str, Any]) -> str:
    """TAR over FAR of each recognizer, on the release (solid) and the source (dashed)."""
    with plot("who can tell them apart", "false accept rate") as drawn:
        for colour, (name, measured) in zip(COLOURS.values(), measured_by.items(), strict=False):
            for side, style in (("release", "-"), ("source", "--")):
                points = np.array(measured[side].get("roc", np.empty((0, 2))))
                label = f"{name}, {side}"
                drawn.axes.plot(*points.T, style, color=colour, lw=1.2, label=label)
        drawn.axes.set_xscale("log")
        drawn.axes.set_ylabel("true accept rate", fontsize=8)
    return drawn.uri


def separation(found: dict[str, Any]) -> str:
    """How near virtual identities come to real people and to each other, and the gate."""
    with plot("nearest neighbours of who exists", "cosine") as drawn:
        for name, key in (("nearest real", "nearest_real"), ("nearest other", "nearest_other")):
            colour = COLOURS["nearest real" if key == "nearest_real" else "genuine"]
            if "histogram" in found[key]:
                heights = found[key]["histogram"]
                drawn.axes.fill_between(
                    CENTRES, heights, color=colour, alpha=0.35, lw=0, label=name
                )
        drawn.axes.axvline(found["max_cosine"], color="#444", lw=1, ls="--", label="gate")
        _no_y_axis(drawn)
    return drawn.uri


def consistency(properties: dict[str, Any]) -> str:
    """Mean cosine within each class, of the release (filled) and its source (line)."""
    with plot("alike within an identity", "mean cosine of an identity's pairs") as drawn:
        seen_by = {name: properties[name] for name in ("recognizer", "judge") if name in properties}
        for colour, (name, seen) in zip(COLOURS.values(), seen_by.items(), strict=False):
            made, real = (seen[side].get("within_class") for side in ("release", "source"))
            if made:
                drawn.axes.fill_between(
                    CENTRES, made["histogram"], color=colour, alpha=0.35, lw=0, label=name
                )
            if real:
                label = f"{name}, source"
                drawn.axes.plot(CENTRES, real["histogram"], color=colour, lw=1.2, label=label)
        _no_y_axis(drawn)
    return drawn.uri


def throughput(manifest: Manifest) -> str:
    """Shots a second over the time a release took, each unit's spread over the time it was made."""
    timings = [shard.timings for shard in manifest.shards]
    begin, end = min(t.started_at for t in timings), max(t.finished_at for t in timings)
    edges = np.linspace(begin, end, POINTS + 1)
    rate = np.zeros(POINTS)
    for shard, t in zip(manifest.shards, timings, strict=True):
        length = max(t.finished_at - t.started_at, 1e-9)
        inside = np.minimum(edges[1:], t.finished_at) - np.maximum(edges[:-1], t.started_at)
        rate += shard.counts.shots / length * inside.clip(min=0) / max(edges[1] - edges[0], 1e-9)
    with plot("shots a second", "minutes from the first shot") as drawn:
        drawn.axes.plot((edges[:-1] - begin) / 60, rate, color=COLOURS["genuine"], lw=1.2)
        drawn.axes.set_ylim(bottom=0)
    return drawn.uri


def _no_y_axis(drawn: Plot) -> None:
    drawn.axes.set_yticks([])
    drawn.axes.spines["left"].set_visible(False)


def _curves(measured: dict[str, Any], name: str) -> tuple[list[float] | None, list[float] | None]:
    if name == "nearest real":
        made, real = measured["nearest_real"], measured["source_nearest_other_person"]
    else:
        made, real = measured["release"].get(name), measured["source"].get(name)
    return (made and made["histogram"]), (real and real["histogram"])
