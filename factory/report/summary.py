"""What a person wants to know when a release is done, line by line."""

from __future__ import annotations

from factory.evaluation.leakage import CHOSE, summary_lines
from factory.evaluation.metrics.release import Metrics
from factory.evaluation.metrics.values import NotMeasured
from factory.records import Counts
from factory.shards import layout


def summary(url: str, counts: Counts, metrics: Metrics) -> list[str]:
    """Lines on where a release is, what was kept, whether real people show, and its speed."""
    leaks = metrics.leakage
    audited = [leaks.note] if isinstance(leaks, NotMeasured) else summary_lines(leaks)
    if metrics.audit.judge_chose:
        audited.append(CHOSE)
    if metrics.audit.real_people and not metrics.audit.established:
        audited.append(f"not established: {metrics.audit.reason}")
    return [
        f"release      {url}",
        f"kept         {counts.kept} of {counts.shots} shots ({counts.kept_fraction:.1%}); "
        f"{counts.shortfall} of {counts.planned} planned faces are missing",
        *(f"identities   {line}" for line in counts.people_lines()),
        *(f"audit        {line}" for line in audited),
        f"speed        {metrics.throughput.faces_per_s} faces/s",
        f"report       {url}/{layout.REPORT}",
    ]
