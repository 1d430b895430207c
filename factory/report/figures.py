"""Pictures of the report: the contact sheet and the histograms, as data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from factory.evaluation.similarity import BINS, Faces

COLOURS = {"genuine": "#2a7f62", "impostor": "#8b8f98", "nearest real": "#c1562f"}


def contact_sheet(faces: Faces, max_rows: int, max_columns: int) -> np.ndarray:
    """RGB uint8 sheet, one identity a row; the first ones, as they come."""
    owners = list(dict.fromkeys(faces.labels.tolist()))[:max_rows]
    side, gap = faces.images_NHWC.shape[1], 2
    sheet = np.full(
        (len(owners) * (side + gap) - gap, max_columns * (side + gap) - gap, 3), 255, np.uint8
    )
    for row, owner in enumerate(owners):
        for column, index in enumerate(np.flatnonzero(faces.labels == owner)[:max_columns]):
            top, left = row * (side + gap), column * (side + gap)
            sheet[top : top + side, left : left + side] = faces.images_NHWC[index]
    return sheet


def jpeg_uri(image_HWC: np.ndarray, quality: int = 88) -> str:
    """An image as a data: URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def histogram_uri(title: str, measured: dict[str, Any]) -> str:
    """Genuine, impostor and nearest-real cosines of a release (filled) and its source (lines)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    centres = (BINS[:-1] + BINS[1:]) / 2
    figure, axes = plt.subplots(figsize=(6.4, 3.0), dpi=110)
    for name, colour in COLOURS.items():
        made, real = _curves(measured, name)
        if made is not None:
            axes.fill_between(centres, made, color=colour, alpha=0.35, lw=0, label=name)
        if real is not None:
            axes.plot(centres, real, color=colour, lw=1.2, label=f"{name}, source")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("cosine", fontsize=8)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    axes.margins(x=0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _curves(measured: dict[str, Any], name: str) -> tuple[list[float] | None, list[float] | None]:
    if name == "nearest real":
        made, real = measured["nearest_real"], measured["source_nearest_other_person"]
    else:
        made, real = measured["release"].get(name), measured["source"].get(name)
    return (made and made["histogram"]), (real and real["histogram"])
