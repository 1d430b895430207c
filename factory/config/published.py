"""Published accuracies as a table: what papers reached, each row with its source (METHODS 9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from factory.config.field import knob
from factory.config.loading import typed
from factory.errors import ConfigError

PUBLISHED = Path(__file__).parent.parent / "report" / "published.yaml"
"""The package's table."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """What a recognizer trained on one set reached, as a paper states it."""

    method: str = ""
    """The set, as its paper calls it."""
    kind: Literal["made", "rendered", "real"] = "made"
    """Whether its people exist, and if not, whether they were rendered."""
    images: int | None = None
    """Images learned from; None: not stated."""
    people: int | None = None
    """People learned from; None: not stated."""
    backbone: str | None = None
    """Network of the recognizer; None: not in the table that this was taken from."""
    loss: str | None = None
    """Margin of the recognizer, or its recipe; None: as above."""
    accuracies: dict[str, float] = field(default_factory=dict)
    """Accuracy on each set of pairs, in %, as far as the table that this was taken from has it."""
    average: float = knob(0.0, low=0.0, high=100.0)
    """Over LFW, CFP-FP, AgeDB-30, CALFW and CPLFW, in %."""
    is_bound: bool = False
    """Whether the average is only known to be above that."""
    source: str = ""
    """Who states it."""

    @property
    def size(self) -> str:
        """Images and people in short: "500K", "10K x 50", "10K people"; empty where not stated."""
        if not (self.images and self.people):
            return short(self.images) or (f"{short(self.people)} people" if self.people else "")
        return f"{short(self.people)} x {self.images / self.people:.0f}"

    @property
    def shown_average(self) -> str:
        """The average in % as a table prints it."""
        return f"> {self.average:.2f}" if self.is_bound else f"{self.average:.2f}"

    @property
    def recipe(self) -> str:
        """Network and margin, as far as they are stated."""
        return ", ".join(part for part in (self.backbone, self.loss) if part) or "not stated"


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """Published rows, as a YAML file holds them."""

    rows: list[PublishedRow] = field(default_factory=list)
    """One for each method and size."""


@cache
def published_rows(path: str | Path | None = None) -> tuple[PublishedRow, ...]:
    """Rows of a table (None: the package's), the best first; raises ConfigError in one line."""
    file = PUBLISHED if path is None else Path(path)
    rows = typed(PublishedTable, file, ()).rows
    for index, row in enumerate(rows):
        for key in ("method", "average", "source"):
            if not getattr(row, key):
                raise ConfigError(f"rows[{index}].{key} in {file}: got none; want it for each row")
    return tuple(sorted(rows, key=lambda row: -row.average))


def short(count: int | None) -> str:
    """A number in short, to three digits: 490000 is 490K, 10500 is 10.5K; None is empty."""
    if count is None:
        return ""
    for size, letter in ((1_000_000, "M"), (1_000, "K")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)
