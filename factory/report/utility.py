"""What a release teaches, next to what others have published (METHODS 9), as rows and lines."""

from __future__ import annotations

from factory.evaluation.metrics.utility import GapToReal, Utility
from factory.evaluation.metrics.values import Interval, MeanStd

NAMES = {"real": "source alone", "release": "this release alone", "both": "source and release"}

PUBLISHED = (
    ("CASIA-WebFace, real", "490K", "94.62 to 94.93"),
    ("SynFace", "500K", "74.75"),
    ("DigiFace (rendered)", "1.2M", "86.37"),
    ("IDiff-Face", "10K x 50", "88.20"),
    ("HyperFace", "500K", "89.50"),
    ("DCFace", "500K", "89.56"),
    ("DCFace", "1.2M", "91.21"),
    ("ID3", "500K", "89.80"),
    ("VIGFace v1", "60K x 20", "89.78"),
    ("VIGFace (ICCV)", "10K x 50", "92.56"),
    ("VIGFace (ICCV)", "60K x 20", "94.64"),
    ("VIGFace (ICCV)", "120K x 50", "94.91"),
    ("Arc2Face", "500K", "91.73"),
    ("Arc2Face", "1.2M", "93.14"),
    ("Vec2Face HSFace10K", "500K", "92.00"),
    ("Vec2Face HSFace300K", "15M", "93.52"),
    ("CemiFace", "500K", "92.30"),
    ("CemiFace", "1.2M", "93.22"),
    ("IDperturb", "10K x 50", "93.62"),
    ("VFace10K", "10K people", "93.89"),
    ("VFace300K", "300K people", "94.93"),
    ("VariFace, size of CASIA", "490K", "94.05"),
    ("VariFace, unconstrained", "", "95.67"),
)
"""(set, images or identities x images, accuracy in %), averaged over LFW, CFP-FP, AgeDB-30, CPLFW
and CALFW. Protocols differ between papers."""


def rows(measured: Utility) -> list[list[str]]:
    """A row for each set: name, images, identities, accuracy of each benchmark, average, gaps.

    Intervals at 95 % stand in brackets, where there are any.
    """
    table = []
    for name, learned in measured.sets.items():
        gap = measured.gap_to_real.get(name)
        table.append(
            [
                NAMES[name],
                str(learned.images),
                str(learned.identities),
                *(percent(one.accuracy, one.interval) for one in learned.benchmarks.values()),
                percent(learned.average, learned.interval) if learned.average else "n/a",
                points(gap) if gap else "",
                f"{gap.percent:+.2f} %" if gap else "",
            ]
        )
    return table


def benchmarks(measured: Utility) -> list[str]:
    """Names of the benchmarks that could be read."""
    return list(measured.sets["real"].benchmarks)


def num_seeds(measured: Utility) -> int:
    """How often each set was learned."""
    return len(measured.runs["real"])


def lines(measured: Utility) -> list[str]:
    """The table as plain lines, for the terminal."""
    names = ", ".join(benchmarks(measured)) or "no benchmark read"
    head = f"accuracy in % over {num_seeds(measured)} seeds ({names})"
    told = [line] if (line := power_line(measured)) else []
    return [head, *("  ".join(cell for cell in row if cell) for row in rows(measured)), *told]


def percent(fraction: MeanStd, interval: Interval | None = None) -> str:
    """Mean and deviation of a fraction, in percent, and the interval of the mean."""
    bounds = f" ({100 * interval.low:.2f} to {100 * interval.high:.2f})" if interval else ""
    return f"{100 * fraction.mean:.2f} ± {100 * fraction.std:.2f}{bounds}"


def points(gap: GapToReal) -> str:
    """A gap in points with its interval."""
    bounds = f" ({gap.interval.low:+.2f} to {gap.interval.high:+.2f})" if gap.interval else ""
    return f"{gap.points:+.2f}{bounds}"


def power_line(measured: Utility) -> str:
    """Which gap would have been seen; empty where nothing tells."""
    seen = [gap.detectable for gap in measured.gap_to_real.values() if gap.detectable is not None]
    if not seen:
        return ""
    return (
        "In parentheses: 95 % intervals over seeds and people (pairs, where a benchmark does not "
        f"name people). A gap of {max(seen):.2f} points is seen in 80 %."
    )
