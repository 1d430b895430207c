"""An inspection as one self-contained HTML page, in the look of a release's report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import factory.report
from factory.inspection import tables
from factory.inspection.findings import Inspection, Values
from factory.inspection.inspect import Inspected
from factory.inspection.near_copies import MAX_BITS
from factory.inspection.pictures import (
    Pictures,
    alignment_sheets,
    double_rows,
    mislabeled_rows,
    pairs_shown,
)
from factory.inspection.terms import TERMS, explained
from factory.report import figures
from factory.report.page import with_terms

TEMPLATE = Path(__file__).parent / "template.html"
REPORT_TEMPLATE = Path(factory.report.__file__).parent / "template.html"
UNITS = {
    "brightness": "luma, 0 to 255",
    "contrast": "deviation of luma",
    "sharpness": "variance of the Laplacian",
    "yaw": "degrees, to the right",
    "pitch": "degrees, upward",
    "roll": "degrees, clockwise",
    "score": "the detector's confidence",
    "quality": "CR-FIQA",
}


def render(inspected: Inspected) -> bytes:
    """The HTML of an inspection; pictures are read again from the source."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    found = inspected.found
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["explained"] = explained
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        found=found,
        style=Markup(_part_of_report("style")),
        script=Markup(_part_of_report("script")),
        banner=tables.banner(found),
        max_bits=MAX_BITS,
        **tables.all_tables(found),
        **_plots(found),
        **_pictures(inspected),
    )
    return with_terms(page.lstrip().encode(), TERMS)


def _part_of_report(tag: str) -> str:
    """The style, or the script, of a release's report: one look for both."""
    found = re.search(rf"<{tag}>.*?</{tag}>", REPORT_TEMPLATE.read_text(encoding="utf-8"), re.S)
    assert found, f"the report has a <{tag}>"
    return found.group()


def _plots(found: Inspection) -> dict[str, Any]:
    contents = found.contents
    return {
        "content_plots": _histograms({"images a person": (contents.images_per_person, "images")}),
        "look_plots": _histograms(
            {name: (found.looks.get(name), unit) for name, unit in UNITS.items()}
            | {"alignment residual": (found.faces.residual_px, "pixels at 112")}
            | {"eye distance": (found.faces.eye_px, "pixels of the image")}
        ),
    }


def _histograms(by_name: dict[str, tuple[Values | None, str]]) -> list[str]:
    return [histogram(name, unit, one) for name, (one, unit) in by_name.items() if one]


def histogram(name: str, unit: str, numbers: Values) -> str:
    """A small histogram in the report's style, as a data URI; the same bytes every time."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": name}), figures.plot(name, unit) as drawn:
        drawn.axes.stairs(
            numbers.histogram, numbers.edges, fill=True, color=figures.COLORS["genuine"], alpha=0.5
        )
        drawn.axes.axvline(numbers.median, color="#888", lw=1, ls="--", label="median")
        drawn.axes.set_ylim(bottom=0)
    return drawn.uri


def _pictures(inspected: Inspected) -> dict[str, Any]:
    found, own = inspected.found, Pictures(inspected.people, inspected.looker)
    shown: dict[str, Any] = {
        "alignment": alignment_sheets(inspected.people, inspected.looker),
        "across": pairs_shown(found.copies.across_pairs, own, own),
        "within": pairs_shown(found.copies.within_pairs, own, own),
        "double_rows": double_rows(inspected),
        "mislabeled_rows": mislabeled_rows(inspected),
        "same_images": [],
        "nearest": [],
    }
    if found.against and inspected.other:
        other = Pictures(*inspected.other)
        shown["same_images"] = pairs_shown(found.against.same_images, own, other)
        shown["nearest"] = pairs_shown(found.against.nearest, own, other)
    return shown
