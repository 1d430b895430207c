"""Who is in a release, as its audit supports it: one text for card, report and croissant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.evaluation.leakage import power_in_words
from factory.evaluation.metrics.release import Metrics
from factory.evaluation.metrics.separability import JudgePower, Leakage, LeakCounts
from factory.evaluation.metrics.values import NotMeasured
from factory.report.learned import unseen
from factory.shots.plan import Plan
from factory.shots.request import PlanRequest


@dataclass(frozen=True)
class Banner:
    """The first line of card and report, and what colors it."""

    kind: Literal["real", "open", "virtual"]
    """Real people are in it; not established whether they show; nobody real is in it."""
    text: str


def banner(plan: Plan, metrics: Metrics) -> Banner:
    """What a reader must know first."""
    request = plan.request
    if request.holds_real_people:
        text = f"This release holds images of real people: {num_real(plan)} of them."
        return Banner("real", text)
    if reason := doubt(request, metrics):
        return Banner("open", f"Whether somebody real shows in it is not established: {reason}.")
    return Banner("virtual", "Nobody in it exists.")


def num_real(plan: Plan) -> int:
    """Real people of a release, for whom images were planned."""
    request = plan.request
    if not request.holds_real_people:
        return 0
    everybody = sum(unit.num_identities for unit in plan.units)
    if request.release.method == "edit":
        return everybody
    return everybody - request.plan.num_admitted(request.identities.num_virtual)


def doubt(request: PlanRequest, metrics: Metrics) -> str:
    """Why it may not be said that nobody in a release exists; empty where it may."""
    audit, leaks = metrics.audit, metrics.leakage
    if audit.real_people and not audit.established:
        return audit.reason
    if audit.real_people and not isinstance(leaks, NotMeasured):
        for kind, counts in leaks.counts().items():
            if counts.fraction > leaks.max_leak_fraction:
                return (
                    f"{counts.num_leaks} of {counts.count} {kind.replace('_', '-')} are too near "
                    f"to somebody real, more than the {leaks.max_leak_fraction:.2%} allowed"
                )
    return unseen(metrics.lineage)


def privacy(request: PlanRequest, metrics: Metrics) -> str:
    """Who is in it, and what was done to find out."""
    if request.edits and not request.holds_real_people:
        return (
            "Its people are those of the release that it edits, which holds nobody real: see that "
            "release for how this was made sure."
        )
    if request.holds_real_people:
        others = "Others than the person of an image were looked for."
        if metrics.audit.real_people and not metrics.audit.established:
            others = (
                "Whether others than the person of an image show in it is not established: "
                f"{metrics.audit.reason}.{_accepted(metrics)}"
            )
        return (
            "This release holds images of real people (identities of kind real in roster.parquet), "
            "made under the maker's right to augment their photographs. "
            f"{others} {_audited(metrics)}"
        )
    gate = (
        "very identity passed a gate that keeps its cosine to every person the gate compares it "
        f"with, and to every other identity, below {metrics.separability.max_cosine:.3f}"
    )
    reason = doubt(request, metrics)
    if reason:
        claim = (
            f"E{gate}; whether its faces show somebody real is not established: {reason}."
            f"{_accepted(metrics)}"
        )
    elif metrics.audit.real_people:
        claim = f"Nobody in it exists, as far as the audit sees: e{gate}."
    else:
        claim = (
            f"Nobody in it exists: neither its source nor what its networks learned from holds a "
            f"person who does, so nobody real can leak. E{gate}."
        )
    return f"{claim} {_audited(metrics)}"


def _accepted(metrics: Metrics) -> str:
    audit = metrics.audit
    if audit.accepted and audit.real_people and not audit.established:
        return " It is published all the same (audit.accept_weak_judge)."
    return ""


def _audited(metrics: Metrics) -> str:
    """What the judge found, beside the same counts of real strangers, and what it can see."""
    leaks = metrics.leakage
    if isinstance(leaks, NotMeasured):
        return f"No independent recognizer has looked at its faces ({leaks.note})."
    text = (
        f"An independent recognizer looked at every face: {leaks.faces.num_leaks} of "
        f"{leaks.faces.count} are nearer to somebody real than all but "
        f"{leaks.leak_fpir:.2%} of real strangers are to each other{_beside(leaks.faces)}, "
        f"{leaks.near_copies.num_leaks} are near-copies of an image of the source"
        f"{_beside(leaks.near_copies)}. {_power(leaks)}"
    )
    if not metrics.audit.real_people:
        text += " Its source holds nobody real, so this informs and decides nothing."
    return text


def _beside(counts: LeakCounts) -> str:
    if counts.num_strangers_above is None:
        return ""
    above, count = counts.num_strangers_above, counts.num_strangers
    return f" (of real strangers' own images {above} of {count})"


def _power(leaks: Leakage) -> str:
    if isinstance(leaks.power, JudgePower):
        return f"It would see a known person in {power_in_words(leaks.power)}."
    return "How often it would see a known person is not measured."
