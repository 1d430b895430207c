"""Who is in a release, as its audit supports it: one text for card, report and croissant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.evaluation.leakage import power_in_words
from factory.evaluation.metrics.release import AuditVerdict, Metrics
from factory.evaluation.metrics.separability import JudgePower, Leakage, LeakCounts
from factory.evaluation.metrics.values import NotMeasured
from factory.provenance.lineage import has_real_source as real_among
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
    if holds_real(request, metrics):
        text = f"This release holds images of real people: {num_real(plan, metrics)} of them."
        return Banner("real", text)
    if reason := doubt(request, metrics):
        return Banner("open", f"Whether somebody real shows in it is not established: {reason}.")
    if request.draws_source_people:
        text = f"images of {_num_drawn(plan, metrics)} people of its source, none of whom exists"
        return Banner("virtual", f"Nobody in it exists: it holds {text}.")
    return Banner("virtual", "Nobody in it exists.")


def holds_real(request: PlanRequest, metrics: Metrics) -> bool:
    """Whether people of its source who exist are in a release: the one answer of all documents."""
    sources = metrics.lineage.sources if metrics.lineage else ()
    return request.shows_real_people(sources) and metrics.counts.source_people != 0


def has_real_source(metrics: Metrics) -> bool:
    """Whether photographs of people who exist are in the source."""
    sources = metrics.lineage.sources if metrics.lineage else ()
    return real_among(sources) if sources else metrics.audit.real_people


def num_real(plan: Plan, metrics: Metrics) -> int:
    """Real people of whom a release has images; older metrics: for whom images were planned."""
    return _num_drawn(plan, metrics) if holds_real(plan.request, metrics) else 0


def _num_drawn(plan: Plan, metrics: Metrics) -> int:
    """People of its source, real or not."""
    if metrics.counts.source_people is not None:
        return metrics.counts.source_people
    request = plan.request
    everybody = sum(unit.num_identities for unit in plan.units)
    if request.release.method == "edit":
        return everybody
    return everybody - request.plan.num_admitted(request.identities.num_virtual)


def doubt(request: PlanRequest, metrics: Metrics) -> str:
    """Why it may not be said that nobody in a release exists; empty where it may."""
    audit, leaks, is_real = metrics.audit, metrics.leakage, has_real_source(metrics)
    if is_real and not audit.established:
        return audit.reason
    if is_real and not isinstance(leaks, NotMeasured):
        for kind, counts in leaks.counts().items():
            if counts.fraction > leaks.max_leak_fraction:
                return (
                    f"{counts.num_leaks} of {counts.count} {kind.replace('_', '-')} are too near "
                    f"to somebody real, more than the {leaks.max_leak_fraction:.2%} allowed"
                )
    return unseen(metrics.lineage, request.source.fingerprint)


def privacy(request: PlanRequest, metrics: Metrics) -> str:
    """Who is in it, and what was done to find out."""
    reason = doubt(request, metrics)
    if holds_real(request, metrics):
        return _of_real_people(reason, metrics)
    if request.edits:
        return _of_edits(request, reason, metrics)
    if request.rendering and not reason:
        return f"{_of_rendered_people(metrics)} {_audited(metrics)}"
    return f"{_of_virtual_people(request, reason, metrics)} {_audited(metrics)}"


def _of_real_people(reason: str, metrics: Metrics) -> str:
    others = "Others than the person of an image were looked for."
    if reason:
        others = (
            "Whether others than the person of an image show in it is not established: "
            f"{reason}.{_accepted(metrics)}"
        )
    return (
        "This release holds images of real people (identities of kind real in roster.parquet). "
        f"{others} {_audited(metrics)}"
    )


def _of_edits(request: PlanRequest, reason: str, metrics: Metrics) -> str:
    origin = request.source.release
    whose = "the release that it edits" if origin else "its source"
    if reason:
        return (
            f"Its people are those of {whose}; whether somebody real shows among them is not "
            f"established: {reason}.{_accepted(metrics)}"
        )
    if origin:
        return (
            f"Its people are those of {whose}, which holds nobody real: see that release for how "
            "this was made sure."
        )
    return f"Its people are those of {whose}, none of whom exists."


def _of_virtual_people(request: PlanRequest, reason: str, metrics: Metrics) -> str:
    gate = (
        "very identity passed a gate that keeps its cosine to every person the gate compares it "
        f"with, and to every other identity, below {metrics.separability.max_cosine:.3f}"
    )
    if request.draws_source_people:
        gate = gate.replace("very identity", "very identity of kind virtual")
    if reason:
        return (
            f"E{gate}; whether its faces show somebody real is not established: {reason}."
            f"{_accepted(metrics)}"
        )
    if has_real_source(metrics):
        return f"Nobody in it exists, as far as the audit sees: e{gate}."
    return (
        f"Nobody in it exists: neither its source nor what its networks learned from holds a "
        f"person who does, so nobody real can leak. E{gate}."
    )


def _of_rendered_people(metrics: Metrics) -> str:
    return (
        "Nobody in it exists: its people follow from numbers, and no photograph of anybody was "
        "used, nor a network that learned from one. The shapes of their heads are sums of the "
        "components of a head model that its authors learned from scans of people (ICT-FaceKit), "
        "with random weights. A gate keeps the cosine of their traits (shape of the head, age, "
        "skin, eyes, hair, beard, glasses) below "
        f"{metrics.separability.max_cosine:.3f} from each to every other: a space of parameters, "
        "and not one of a recognizer."
    )


def _accepted(metrics: Metrics) -> str:
    audit = metrics.audit
    if audit.accepted and has_real_source(metrics) and not audit.established:
        return " It is published all the same (audit.accept_weak_judge)."
    return ""


def _audited(metrics: Metrics) -> str:
    """What the judge found, beside the same counts of real strangers, and what it can see."""
    leaks = metrics.leakage
    if isinstance(leaks, NotMeasured):
        return f"No independent recognizer has looked at its faces ({leaks.note})."
    whom, strangers = "somebody real", "real strangers"
    if not has_real_source(metrics):
        whom, strangers = "somebody of the source", "its strangers"
    text = (
        f"{_looker(metrics.audit)}: {leaks.faces.num_leaks} of "
        f"{leaks.faces.count} are nearer to {whom} than all but "
        f"{leaks.leak_fpir:.2%} of {strangers} are to each other{_beside(leaks.faces)}, "
        f"{leaks.classes.num_leaks} of {leaks.classes.count} identities are by their mean face"
        f"{_beside(leaks.classes)}, "
        f"{leaks.near_copies.num_leaks} are near-copies of an image of the source"
        f"{_beside(leaks.near_copies)}. {_power(leaks)}"
    )
    if not has_real_source(metrics):
        text += " Its source holds nobody real, so this informs and decides nothing."
    return text


def _looker(audit: AuditVerdict) -> str:
    """Which judge looked, and whether it may be called independent."""
    named = f" ({named_judge(audit)})" if audit.judge else ""
    chose = "it also chose which faces stay, by these limits" if audit.judge_chose else ""
    if reasons := " and ".join(filter(None, (audit.judge_shares, chose))):
        return (
            f"Another recognizer{named}, not an independent one since {reasons}, looked "
            "at every face"
        )
    return f"An independent recognizer{named} looked at every face"


def named_judge(audit: AuditVerdict) -> str:
    """Name and digest of the judge."""
    return f"{audit.judge}, sha256 {(audit.judge_sha256 or 'not known')[:12]}"


def _beside(counts: LeakCounts) -> str:
    if counts.num_strangers_above is None:
        return ""
    above, count = counts.num_strangers_above, counts.num_strangers
    return f" (of strangers' own images {above} of {count})"


def _power(leaks: Leakage) -> str:
    if isinstance(leaks.power, JudgePower):
        return f"It would see a known person in {power_in_words(leaks.power)}."
    return "How often it would see a known person is not measured."
