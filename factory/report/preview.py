"""The page of a preview: a person a row, own cosine under each face, dropped ones marked."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Protocol

from factory.records import Identity, Scores, Shot
from factory.report.page import render


class Drawn(Protocol):
    """A face of a preview (factory/preview.py)."""

    @property
    def shot(self) -> Shot: ...
    @property
    def encoded(self) -> bytes | None: ...
    @property
    def scores(self) -> Scores | None: ...
    @property
    def reason(self) -> str: ...


def render_preview(
    title: str, people: Sequence[Identity], faces: Sequence[Drawn], lines: Sequence[str]
) -> bytes:
    """One self-contained HTML page; nobody is named, people have the numbers of their labels."""
    rows = [
        (person.index, [_cell(face) for face in faces if face.shot.identity == person.index])
        for person in people
    ]
    return render("preview.html", title=title, rows=rows, lines=lines)


def _number(cosine: float | None) -> str:
    return "" if cosine is None else f"{cosine:.2f}"


def _cell(face: Drawn) -> dict[str, str]:
    """Picture, words and reason of a face."""
    kind = "png" if face.encoded and face.encoded.startswith(b"\x89PNG") else "jpeg"
    encoded = base64.b64encode(face.encoded).decode() if face.encoded else ""
    return {
        "uri": f"data:image/{kind};base64,{encoded}" if encoded else "",
        "cosine": _number(face.scores.own_cosine) if face.scores else "",
        "reason": face.reason.replace("_", " "),
    }
