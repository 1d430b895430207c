"""What is known of a release where law asks: each question with a figure, or "not measured".

The questions are those of Article 10 of Regulation (EU) 2024/1689 (AI Act), which asks them of data
that high-risk systems are trained and tested on, and of Regulation (EU) 2016/679 (GDPR), in our own
words. The answers are facts of this release; whether they are enough is for whoever answers for its
use.
"""

from __future__ import annotations

from factory.evaluation.leakage import power_in_words
from factory.evaluation.metrics.release import Balance, Metrics, YawDeviation
from factory.evaluation.metrics.separability import JudgePower, Leakage
from factory.evaluation.metrics.similarity import PairMetrics
from factory.evaluation.metrics.values import NearestCosines, NotMeasured
from factory.records import Manifest
from factory.report import attack
from factory.report.learned import NOT_RECORDED, learned_in_all
from factory.report.privacy import doubt, has_real_source, named_judge, num_real
from factory.report.tables import number, within
from factory.shots.plan import Plan

NOT_MEASURED = "not measured"
Answer = tuple[str, str, str]
"""Article, question, answer."""


def evidence(
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
) -> list[Answer]:
    """All questions with their answers, those of the AI Act first."""
    return [*_ai_act(plan, manifest, metrics), *_gdpr(plan, metrics)]


def _ai_act(plan: Plan, manifest: Manifest, metrics: Metrics) -> list[Answer]:
    request, counts = plan.request, manifest.counts
    asked = [
        ("(2)(a)", "Which design choices were made?", _design(plan)),
        (
            "(2)(b)",
            "How were the data collected, and where do they come from?",
            f"{request.source.num_images} images of {request.source.num_identities} people in the "
            f"source; {learned_in_all(metrics.lineage)}",
        ),
        (
            "(2)(b)",
            "For what were the personal data in the source first collected?",
            NOT_RECORDED if has_real_source(metrics) else _no_personal_data(metrics),
        ),
        (
            "(2)(c)",
            "How were the data prepared (labeled, cleaned, enriched)?",
            f"labels by construction; of {counts.shots} drawn images {counts.kept} were kept, "
            f"{counts.rejected} rejected by filters, {counts.quarantined} failed",
        ),
        ("(2)(d)", "What are the data assumed to measure?", _assumed(metrics)),
        (
            "(2)(e)",
            "How many are there, and are they suitable?",
            f"{counts.kept} images of {counts.planned} planned; {_utility(metrics)}",
        ),
        ("(2)(f)", "Were they examined for biases?", _biases(metrics)),
        ("(2)(g)", "What was done against biases?", _measures(plan)),
        ("(2)(h)", "Which gaps and shortcomings are known?", _gaps(manifest, metrics)),
        ("(3)", "Are they representative of what they stand for?", _representative(metrics)),
        ("(3)", "Are they free of errors?", _errors(metrics)),
        (
            "(3)",
            "Are they complete?",
            f"{counts.kept} of {counts.planned} planned images; {counts.shortfall} missing",
        ),
        (
            "(4)",
            "Do they reflect the setting of use (geography, behavior)?",
            f"geography {NOT_MEASURED}; behavior: {_setting(metrics)}",
        ),
    ]
    return [(f"AI Act Art. 10{part}", question, answer) for part, question, answer in asked]


def _gdpr(plan: Plan, metrics: Metrics) -> list[Answer]:
    real, in_source = num_real(plan, metrics), has_real_source(metrics)
    return [
        (
            "GDPR Art. 4(1)",
            "Are personal data in it?",
            f"images of {real} real people" if real else f"0 real people; {_audit(metrics)}",
        ),
        (
            "GDPR Art. 6",
            "On which basis are personal data processed, and is consent recorded?",
            _basis(metrics),
        ),
        (
            "GDPR Art. 5(1)(c)",
            "Are personal data no more than needed?",
            f"{real} real people in the release, {_num_photographs(plan, in_source)} photographs "
            "in its source",
        ),
        (
            "GDPR Art. 9",
            "Are biometric data of real people in it?",
            f"images of {real} real people" if real else _nobody_real(plan, metrics),
        ),
        ("GDPR Art. 7(3), 17", "What became of people who withdrew?", _withdrawn(plan)),
        (
            "GDPR recital 26",
            "What supports that nobody can be identified?",
            f"nothing for its {real} real people; of others: {_audit(metrics)}"
            if real
            else _audit(metrics),
        ),
        (
            "GDPR recital 26",
            "Can the generator be made to give people away?",
            attack.verdict(metrics.attack) if metrics.attack else f"attack {NOT_MEASURED}",
        ),
        ("GDPR Art. 30", "From what do its networks descend?", learned_in_all(metrics.lineage)),
    ]


def _design(plan: Plan) -> str:
    request = plan.request
    return (
        f"method {request.release.method}; {len(plan.units)} units, "
        f"{sum(unit.num_identities for unit in plan.units)} identities, gate below cosine "
        f"{request.max_cosine:.3f}"
    )


def _assumed(metrics: Metrics) -> str:
    pairs = metrics.similarity["recognizer"].release
    if not isinstance(pairs, PairMetrics):
        return f"that images of one label show one identity: {NOT_MEASURED}"
    auc = f"AUC {pairs.auc:.4f}{within(pairs.interval('auc'), 4)}"
    return f"that images of one label show one identity: {auc} by the recognizer"


def _utility(metrics: Metrics) -> str:
    if metrics.utility is None:
        return f"what they teach is {NOT_MEASURED}"
    gaps = ", ".join(
        f"{name} {gap.points:+.2f} points" for name, gap in metrics.utility.gap_to_real.items()
    )
    return f"gap to real data: {gaps or NOT_MEASURED}"


def _biases(metrics: Metrics) -> str:
    if not isinstance(metrics.balance, Balance):
        return NOT_MEASURED
    groups = metrics.balance.groups.items()
    return ", ".join(f"{name} {group.fraction:.1%}" for name, group in groups) or NOT_MEASURED


def _measures(plan: Plan) -> str:
    rendering = plan.request.rendering
    quotas = rendering.rendering.groups if rendering else plan.request.identities.quotas
    if not quotas:
        return "no quotas were set"
    return "quotas: " + ", ".join(f"{name} {share:g}" for name, share in quotas.items())


def _gaps(manifest: Manifest, metrics: Metrics) -> str:
    duplicates = metrics.properties.duplicates
    return (
        f"{manifest.counts.shortfall} planned images missing; "
        f"{duplicates.within_identity:.1%} of images duplicate another of their identity"
    )


def _representative(metrics: Metrics) -> str:
    fidelity = metrics.properties.recognizers["recognizer"].fidelity
    if isinstance(fidelity, NotMeasured):
        return NOT_MEASURED
    return (
        f"against the source: FID {number(fidelity.fid)}, precision {number(fidelity.precision)}, "
        f"recall {number(fidelity.recall)} in the recognizer's features"
    )


def _errors(metrics: Metrics) -> str:
    pairs = metrics.similarity["recognizer"].release
    nearest = metrics.separability.nearest_other
    parts = [
        f"EER {pairs.eer:.3f}{within(pairs.interval('eer'), 3)}"
        if isinstance(pairs, PairMetrics)
        else f"EER {NOT_MEASURED}",
        f"nearest two identities at cosine {nearest.max:.4f}"
        if isinstance(nearest, NearestCosines)
        else f"nearest two identities {NOT_MEASURED}",
    ]
    return "; ".join(parts)


def _setting(metrics: Metrics) -> str:
    pose = metrics.diversity.pose
    if isinstance(pose, NotMeasured) or not isinstance(pose.release, YawDeviation):
        return f"yaw {NOT_MEASURED}"
    return f"yaw deviates by {pose.release.yaw_std_deg:.1f} degrees"


def _num_photographs(plan: Plan, real_people: bool) -> int:
    return plan.request.source.num_images if real_people else 0


def _basis(metrics: Metrics) -> str:
    """On which basis people of the source consented, by the ledger that the plan was made with."""
    if not has_real_source(metrics):
        return _no_personal_data(metrics)
    source = metrics.lineage.sources[0] if metrics.lineage and metrics.lineage.sources else None
    if source is None or not source.consent:
        return f"consent {NOT_RECORDED} (no source.consent)"
    bases = ", ".join(f"{count} by {basis}" for basis, count in sorted(source.consent.items()))
    return f"ledger of {sum(source.consent.values())} of {source.identities} people: {bases}"


def _no_personal_data(metrics: Metrics) -> str:
    """That nobody in the source exists, and what else the release is made of."""
    text = "no personal data in the source"
    for one in metrics.lineage.sources if metrics.lineage else ():
        if one.role == "inquiry" and one.real_people:
            text += f"; its identities stand for {one.identities} people who exist ({NOT_RECORDED})"
        elif one.role == "source" and one.descends_from_real:
            text += f", which descends from images of people who exist ({NOT_RECORDED})"
    return text


def _nobody_real(plan: Plan, metrics: Metrics) -> str:
    """That no image of a real person was made, with the doubt whether one shows all the same."""
    reason = doubt(plan.request, metrics)
    beside = f"; whether somebody real shows in it is not established: {reason}" if reason else ""
    return f"0 images of real people{beside}"


def _withdrawn(plan: Plan) -> str:
    if plan.derived is None or plan.derived.kind != "withdrawal":
        return "0 people withdrew from this version when it was made"
    return f"they are not in it: it is version {plan.derived.of[0].version} without them"


def _audit(metrics: Metrics) -> str:
    """What the audit found and could see, in figures."""
    leaks = metrics.leakage
    if not isinstance(leaks, Leakage):
        return f"audit {NOT_MEASURED}"
    power = leaks.power
    seen = power_in_words(power) if isinstance(power, JudgePower) else NOT_MEASURED
    chose = ", which also chose which faces stay" if metrics.audit.judge_chose else ""
    judge = f" by {named_judge(metrics.audit)}{chose}:" if metrics.audit.judge else ""
    state = "established" if metrics.audit.established else "not established"
    return (
        f"audit{judge} {state}: {leaks.faces.num_leaks} of {leaks.faces.count} faces, "
        f"{leaks.classes.num_leaks} of {leaks.classes.count} identities and "
        f"{leaks.near_copies.num_leaks} near-copies above the limit; a known person is seen in "
        f"{seen}"
    )
