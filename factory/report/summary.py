"""What a person wants to know when a release is done, line by line."""

from __future__ import annotations

from typing import Any

from factory.records import Counts
from factory.shards import layout


def summary(url: str, counts: Counts, metrics: dict[str, Any]) -> list[str]:
    """Where it is, how much was kept, who shows in it, how fast it went."""
    leaks = metrics["leakage"]
    audited = [leaks["note"]] if "note" in leaks else leaks["summary"]
    return [
        f"release      {url}",
        f"kept         {counts.kept} of {counts.shots} shots ({counts.kept_fraction:.1%}); "
        f"{counts.shortfall} of {counts.planned} planned faces are missing",
        *(f"audit        {line}" for line in audited),
        f"speed        {metrics['throughput']['faces_per_s']} faces/s",
        f"report       {url}/{layout.REPORT}",
    ]
