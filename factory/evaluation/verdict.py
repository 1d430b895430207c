"""What an audit establishes: only what its judge could have seen (METHODS 6).

An audit that finds nobody says something only where it would find somebody. It is told what it
needs to be believed: a judge, real images enough to tell the limit, and a judge that sees known
people at that limit (audit.min_power).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from factory.config import AuditConfig, Config
from factory.errors import LeakError, YieldError
from factory.evaluation.leakage import CHOSE, Audit, power_in_words, refuse_leaks, summary_lines
from factory.evaluation.metrics.release import AuditVerdict, KeptCounts, Metrics
from factory.evaluation.metrics.separability import JudgePower, Leakage
from factory.evaluation.metrics.values import NotMeasured
from factory.provenance.carriers import whole_of
from factory.provenance.effective import ONLY_LOOK
from factory.provenance.faces import holds_real_people
from factory.provenance.lineage import Lineage, NetworkRecord, has_real_source
from factory.provenance.networks import records_of
from factory.recognition.judge import describe_judge, judge_of, public_name
from factory.records import Counts
from factory.shots.request import SparedPeople
from factory.sources import FaceSource

NO_JUDGE = "n/a: no judge looked (judge.checkpoint is null)"


def verdict(
    config: Config,
    leakage: Leakage | NotMeasured,
    lineage: Lineage | None,
    spared: SparedPeople | None = None,
) -> AuditVerdict:
    """Whether it is established that nobody real shows, and if not, why; and who judged.

    `spared` says by what judge a plan had faces rejected.

    Whether people of the source exist is for the release's `lineage` to say, else for the config.
    """
    reason = not_established(config.audit, leakage)
    told = lineage is not None and lineage.sources
    judge, described = judge_of(config), describe_judge(config) or {}
    return AuditVerdict(
        real_people=has_real_source(told) if told else holds_real_people(config.source),
        established=not reason,
        reason=reason,
        min_power=config.audit.min_power,
        accepted=config.audit.accept_weak_judge,
        judge=public_name(judge) if judge else None,
        judge_sha256=described.get("sha256"),
        judge_shares=_shares(described, lineage) if lineage else "",
        judge_chose=spared is not None and spared.judge_sha256 == described.get("sha256"),
    )


def _shares(judge: dict[str, Any], lineage: Lineage) -> str:
    """What a judge, as `describe_judge` tells of it, shares with the networks of a release."""
    made = [one for one in lineage.networks if one.role not in ONLY_LOOK]
    if judge.get("sha256") in {one.sha256 for one in made}:
        return "it is one of the networks that the release was made with"
    records = records_of(judge) if "kind" in judge else []
    if _learned_from(records) & _learned_from(made):
        return "it learned from a source that networks of the release learned from too"
    return ""


def _learned_from(networks: Iterable[NetworkRecord]) -> set[str]:
    """Fingerprints of whole sources."""
    return {whole_of(faces.fingerprint)[0] for one in networks for faces in one.learned_from}


def not_established(config: AuditConfig, leakage: Leakage | NotMeasured) -> str:
    """Why an audit establishes nothing; empty where it does."""
    if isinstance(leakage, NotMeasured):
        return leakage.note.removeprefix("n/a: ")
    images, wanted = leakage.faces.num_strangers, math.ceil(1 / leakage.leak_fpir - 1e-9)
    if images < wanted:
        return (
            f"{images} images of real people cannot tell the cosine that "
            f"{leakage.leak_fpir:.2%} of them exceed; {wanted} can, or "
            f"audit.leak_fpir={_rounded_up(1 / images):g}"
        )
    power = leakage.power
    if not isinstance(power, JudgePower):
        return power.note.removeprefix("n/a: ") if power else "how often it sees is not measured"
    if power.low < config.min_power:
        return (
            f"the judge would see a known person in {power_in_words(power)}; "
            f"audit.min_power wants {config.min_power:.0%} at the lower end"
        )
    return ""


def audit_lines(
    config: Config,
    source: FaceSource,
    audit: Audit | None,
    lineage: Lineage | None,
    spared: SparedPeople | None = None,
) -> list[str]:
    """What jobs.audit tells the owner of the source: findings, doubtful labels, the verdict.

    Images of the source are named here, so these lines go to a terminal and nowhere else.
    """
    leakage = audit.metrics if audit else NotMeasured(NO_JUDGE)
    found = verdict(config, leakage, lineage, spared)
    lines = [f"judge: {found.judge}, sha256 {found.judge_sha256}"] if found.judge else []
    lines += summary_lines(audit.metrics) if audit else []
    lines += [CHOSE] if found.judge_chose else []
    for double in audit.doubles if audit else ():
        one, two = source.keys[double.first], source.keys[double.second]
        lines.append(f"one person by two labels: {one} and {two}, {double.cosine:.3f}")
    for i, j, cosine in audit.lookalikes[:3] if audit else ():
        lines.append(f"nearest of two people: {source.keys[i]} and {source.keys[j]}, {cosine:.3f}")
    if not found.established:
        lines.append(f"not established: {found.reason}")
    else:
        lines.append("established: the judge sees known people at this limit")
    if not found.real_people:
        lines.append("nobody real is in the source, so the audit informs and decides nothing")
    return lines


def within_limit(config: Config, leakage: Leakage) -> str:
    """What jobs.audit says last of leaks that are not too many, and no more than that."""
    text = "of what the judge sees, leaks are within audit.max_leak_fraction"
    if not_established(config.audit, leakage):
        text += "; whether it would see a known person is not established"
    return text


def refuse_to_publish(metrics: Metrics, counts: Counts) -> None:
    """Raise LeakError where too many real people show, or where it is not established.

    Of a source without real people nothing need be established: nobody real can leak from it.
    Raises YieldError where too few of the faces, whose `counts` these are, were kept.
    """
    _refuse_few_kept(metrics.counts, counts)
    refuse_leaks(metrics.leakage)
    audit = metrics.audit
    if audit.real_people and not audit.established and not audit.accepted:
        raise LeakError(
            f"audit: not established: {audit.reason}; the release is sealed and not published, use "
            "another judge.checkpoint or source, or audit.accept_weak_judge=true to publish it "
            "with these words"
        )


def _refuse_few_kept(kept: KeptCounts, counts: Counts) -> None:
    if not kept.too_few:
        return
    most = sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
    dropped = ", ".join(f"{reason} {number}" for reason, number in most) or "no filter"
    raise YieldError(
        f"filters.min_kept_fraction: {counts.kept} of {counts.shots} faces were kept "
        f"({kept.kept_fraction:.1%}), want at least {kept.min_kept_fraction:.0%}; dropped most by "
        f"{dropped}; the release is sealed and not published, train the generator longer, loosen "
        "that filter under another release.version, or publish it all the same with "
        "filters.min_kept_fraction=null"
    )


def _rounded_up(fraction: float) -> float:
    """To one digit, and no less."""
    digit = 10.0 ** math.floor(math.log10(fraction))
    return min(1.0, round(math.ceil(fraction / digit - 1e-9) * digit, 12))
