"""Metrics of a release as rows of its report's tables; n/a where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from factory.evaluation.leakage import LEAKS, power_in_words
from factory.evaluation.metrics.hardness import PairsAuc, SetHardness
from factory.evaluation.metrics.lineage import NetworkTraining
from factory.evaluation.metrics.release import (
    AuditVerdict,
    Balance,
    Diversity,
    EditMetrics,
    Pose,
    Throughput,
)
from factory.evaluation.metrics.separability import (
    FalseMatches,
    JudgePower,
    Leakage,
    MixedPeople,
    RealStrangers,
    Separability,
)
from factory.evaluation.metrics.similarity import (
    Consistency,
    Fidelity,
    OneEach,
    PairMetrics,
    Properties,
    Similarity,
)
from factory.evaluation.metrics.values import Interval, NearestCosines, NotMeasured
from factory.records import Counts, Manifest
from factory.shots.plan import Plan


class HasMean(Protocol):
    """Values of which mean and standard deviation are known."""

    @property
    def mean(self) -> float: ...

    @property
    def std(self) -> float: ...


def headline(plan: Plan, manifest: Manifest) -> list[tuple[str, Any]]:
    """Counts of what a release holds."""
    counts = manifest.counts
    size = sum(file.size for shard in manifest.shards for file in shard.files)
    return [
        *_people(plan, counts),
        ("kept faces", counts.kept),
        ("planned faces", counts.planned),
        ("shots, top-ups included", counts.shots),
        ("kept fraction of shots", f"{counts.kept_fraction:.1%}"),
        ("shards", len(manifest.shards)),
        ("size", f"{size / 1e6:.1f} MB"),
    ]


def _people(plan: Plan, counts: Counts) -> list[tuple[str, int]]:
    """How many people were planned, how many have images, and how many of these too few."""
    everybody = sum(unit.num_identities for unit in plan.units)
    rows = [("identities in the roster", everybody)]
    if plan.derived is None:
        virtual = plan.request.identities.num_virtual
        admitted = plan.request.plan.num_admitted(virtual)
        reserves = [("reserve identities", admitted - virtual)] if admitted > virtual else []
        rows = [("virtual identities planned", virtual), *reserves]
        rows.append(("identities of the source", everybody - admitted))
    if counts.identities is not None and counts.short is not None:
        rows.append(("identities with images", counts.identities))
        rows.append(("of these, with fewer images than planned", counts.short))
    return rows


def images_of_each(plan: Plan, manifest: Manifest) -> int | None:
    """How many images every identity with images has, where all have as many; None where not."""
    each, request = plan.request.plan.images_per_identity, plan.request
    if (
        request.release.method not in ("diffusion", "render")
        or request.plan.fill_to
        or manifest.counts.short != 0
    ):
        return None
    counts = [shard.counts for shard in manifest.shards]
    exact = all(one.identities is not None and one.kept == one.identities * each for one in counts)
    return each if exact else None


def similarity(by_recognizer: Mapping[str, Similarity]) -> list[list[str]]:
    """A row for each recognizer and set: AUC, EER, FMR100, FMR1000, FDR, genuine, impostor."""
    return [
        [name, side, *_pair_cells(pairs)]
        for name, measured in by_recognizer.items()
        for side, pairs in (("release", measured.release), ("source", measured.source))
    ]


def similarity_power(by_recognizer: Mapping[str, Similarity]) -> str:
    """What intervals are of, and what difference of AUC a release of so many people shows."""
    lines = [
        f"by the {name} {measured.release.power}"
        for name, measured in by_recognizer.items()
        if isinstance(measured.release, PairMetrics) and measured.release.power
    ]
    if not lines:
        return ""
    told = (
        "In parentheses: 95 % intervals, by resampling people with all their images. Of a release "
    )
    return f"{told}{'; '.join(lines)}."


def consistency(properties: Properties) -> list[list[str]]:
    """A row for each recognizer and set: C_k, CCS, NNCCS and their difference."""
    return [
        [name, side, *_class_cells(classes)]
        for name, measured in properties.recognizers.items()
        for side, classes in (("release", measured.release), ("source", measured.source))
    ]


def fidelity(properties: Properties, similarity: Mapping[str, Similarity]) -> list[list[str]]:
    """A row for each network: FID, CMMD, precision, recall; overlaps where it is a recognizer."""
    rows = []
    for name, measured in properties.recognizers.items():
        overlap = similarity[name].overlap
        cells = [number(overlap.genuine), number(overlap.impostor)]
        rows.append([name, *_fidelity_cells(measured.fidelity), *cells])
    for name, compared in properties.features.items():
        rows.append([name, *_fidelity_cells(compared), "n/a", "n/a"])
    for stem, reference in properties.reference_sets.items():
        for name, compared in reference.fidelity.items():
            rows.append([f"{name}, against {stem}", *_fidelity_cells(compared), "", ""])
    return rows


def quality(properties: Properties) -> list[list[str]]:
    """A row for each set: its CR-FIQA scores; none where no head was given."""
    rows = []
    if properties.quality:
        rows.append(["release", mean(properties.quality.release)])
        rows.append(["source", mean(properties.quality.source)])
    for stem, reference in properties.reference_sets.items():
        if reference.quality:
            rows.append([stem, mean(reference.quality)])
    return rows


def hardness(by_set: Mapping[str, SetHardness], heads: Sequence[str]) -> list[list[str]]:
    """A row for each set of pairs: its name, pairs, people, and AUC by each recognizer."""
    return [
        [name, str(one.num_pairs), str(one.num_people), *(_auc_cell(one.by[who]) for who in heads)]
        for name, one in by_set.items()
    ]


def _auc_cell(measured: PairsAuc) -> str:
    bounds = measured.interval
    if isinstance(bounds, NotMeasured):
        return f"{measured.auc:.3f}"
    return f"{measured.auc:.3f} ({bounds.low:.3f} to {bounds.high:.3f})"


def edits(by_kind: Mapping[str, EditMetrics]) -> list[list[str]]:
    """A row for each kind and fraction: how many, the fraction hidden, what is left of the face."""
    return [
        [
            name,
            str(measured.count),
            *(
                "" if value is None else number(value)
                for value in (measured.occluded, measured.original_cosine, measured.visible_cosine)
            ),
        ]
        for name, measured in by_kind.items()
    ]


def diversity(measured: Diversity) -> list[list[str]]:
    """A row for each score: its mean deviation within an identity, and over all images."""
    rows = []
    for name, score in measured.within_identity.items():
        if isinstance(score, NotMeasured):
            rows.append([name, score.note, "", ""])
        else:
            cells = [mean(score), number(score.of_all_images), str(score.num_identities)]
            rows.append([name, *cells])
    return rows


def pose_line(pose: Pose | NotMeasured) -> str:
    """Deviation of yaw in one sentence."""
    if isinstance(pose, NotMeasured):
        return f"Yaw: {pose.note}."
    if isinstance(pose.release, NotMeasured):
        return f"Yaw of the release: {pose.release.note}."
    if isinstance(pose.source, NotMeasured):
        return f"Yaw of the source: {pose.source.note}."
    return (
        "Yaw within an identity: standard deviation "
        f"{pose.release.yaw_std_within_identity_deg:.1f}° in the release, "
        f"{pose.source.yaw_std_within_identity_deg:.1f}° in the source "
        f"(faces found in {pose.release.num_detected} of {pose.release.num_images})."
    )


def separability(measured: Separability) -> list[tuple[str, str]]:
    """The gate, what it means, and how near anybody comes to it."""
    strangers, rate = measured.real_strangers, measured.real_strangers.false_match_rate
    meaning = "n/a" if rate is None else f"{rate:.2e} of {strangers.num_pairs} pairs"
    if strangers.interval and strangers.num_people:
        low, high = strangers.interval.low, strangers.interval.high
        meaning += f" (95 %: {low:.2e} to {high:.2e}, by {strangers.num_people} people)"
    rows = [
        ("largest cosine allowed between two people", f"{measured.max_cosine:.4f}"),
        ("pairs of its strangers above it, by the same recognizer", meaning),
        *_limit_interval(strangers),
        *_false_matches(measured.false_matches),
        ("identities drawn again", f"{measured.num_redrawn} of {measured.num_virtual}"),
    ]
    proposal, dims = measured.proposal, f"in {measured.proposal.num_dims} dimensions"
    if proposal.nearest_of_random:
        random = f"{proposal.nearest_of_random.mean:.3f} on average"
        rows.append((f"as many random directions {dims}: to the nearest other", random))
    if proposal.smallest_possible_cosine is not None:
        least = f"{proposal.smallest_possible_cosine:.3f}"
        rows.append((f"no packing of so many {dims} has a smaller largest cosine than", least))
    for title, nearest in (
        ("nearest real person", measured.nearest_real),
        ("nearest other identity", measured.nearest_other),
    ):
        rows.append((f"cosine of an identity to the {title}", _nearest_cell(nearest)))
    return rows + _mixed(measured.mixed)


def _mixed(measured: MixedPeople | None) -> list[tuple[str, str]]:
    """How near mixes of two people are to these."""
    if measured is None:
        return []
    count = measured.nearest_parent.count
    return [
        ("mixes of two others", f"{count}, of weight {measured.weight:g}"),
        ("cosine of two who are mixed", f"{measured.between_parents.mean:.3f} on average"),
        ("cosine of a mix to its nearer parent", _nearest_cell(measured.nearest_parent)),
        (
            "mixes to whom nobody is nearer than a parent",
            f"{measured.num_nearest_to_parent} of {count}",
        ),
    ]


def _limit_interval(strangers: RealStrangers) -> list[tuple[str, str]]:
    """How far the limit of that rate would lie elsewhere, had other people been measured."""
    bounds = strangers.limit_interval
    if bounds is None:
        return []
    return [
        (
            "cosine of that rate among as many other people (95 %, by resampling them)",
            f"{bounds.low:.3f} to {bounds.high:.3f}",
        )
    ]


def _false_matches(measured: FalseMatches | None) -> list[tuple[str, str]]:
    """What the gate's limit would cost among as many strangers whom nobody keeps apart."""
    if measured is None:
        return []
    error = "" if measured.rate_error is None else f" ± {measured.rate_error:.0%}"
    return [
        (
            "others that a person would be mistaken for at that limit, if nobody kept them apart",
            f"{about(measured.per_person)}{error} of {measured.num_others}",
        )
    ]


def about(number: float) -> str:
    """A number to two digits, and whole where it is large."""
    return f"{number:.2g}" if number < 100 else f"{number:.0f}"


def leakage(measured: Leakage | NotMeasured) -> list[tuple[str, ...]]:
    """A row for each way in which a real face can show, beside the same count of strangers."""
    if isinstance(measured, NotMeasured):
        return []
    return [
        (
            LEAKS[kind],
            f"{leaks.num_leaks} of {leaks.count} ({leaks.fraction:.2%}{_percents(leaks.interval)})",
            f"{na(leaks.num_strangers_above)} of {leaks.num_strangers}",
            f"{leaks.limit_cosine:.3f}, "
            + (leaks.limit_note or f"by {leaks.num_strangers} of the source"),
            f"{leaks.nearest.p99:.3f}",
        )
        for kind, leaks in measured.counts().items()
    ]


def _percents(bounds: Interval | None) -> str:
    return f"; 95 %: {bounds.low:.2%} to {bounds.high:.2%}" if bounds else ""


def judge_line(audit: AuditVerdict) -> str:
    """Which judge looked, in one sentence; empty in metrics of older factories."""
    if not audit.judge:
        return ""
    shares = f"; {audit.judge_shares}" if audit.judge_shares else ""
    chose = (
        " It also chose which faces stay, by the limits of this audit (filters.spare_real_people), "
        "so it is not independent of that choice."
        if audit.judge_chose
        else ""
    )
    return f"The judge is {audit.judge} (sha256 {audit.judge_sha256}){shares}.{chose}"


def power_line(measured: Leakage) -> str:
    """How often the judge would see a known person, in one sentence."""
    if not isinstance(measured.power, JudgePower):
        note = measured.power.note if measured.power else "n/a"
        return f"How often the judge would see a known person: {note}."
    return f"The judge would see a known person in {power_in_words(measured.power)}."


def pairwise_line(measured: Leakage) -> str:
    """Fractions above thresholds of pairs, for comparison."""
    if isinstance(measured.pairwise, NotMeasured):
        return measured.pairwise.note
    return "; ".join(
        f"{above.fraction:.2%} above cosine {above.cosine:.3f}, as {fmr} of stranger pairs are"
        for fmr, above in measured.pairwise.at_fmr.items()
    )


def balance(measured: Balance | NotMeasured) -> list[list[str]]:
    """A row for each group."""
    if isinstance(measured, NotMeasured):
        return []
    return [
        [
            name,
            str(group.count),
            f"{group.fraction:.1%}",
            "" if group.quota is None else f"{group.quota:.1%}",
            f"{group.mean_attempts:.1f}",
            "" if group.mean_cosine_within is None else f"{group.mean_cosine_within:.3f}",
            f"{group.nearest_other_mean:.3f}",
            f"{group.nearest_real_mean:.3f}",
        ]
        for name, group in measured.groups.items()
    ]


def throughput(measured: Throughput) -> list[tuple[str, float]]:
    """How fast the release was made."""
    return [
        ("seconds from the first shot to the last commit", measured.wall_s),
        ("seconds that processes were busy", measured.busy_s),
        ("seconds of sampling", measured.sampling_s),
        ("faces a second", measured.faces_per_s),
        ("sampling, as a fraction of busy time", measured.sampling_fraction_of_busy_time),
        ("processes at work on average", measured.mean_makers_at_work),
    ]


def lineage(plan: Plan) -> list[tuple[str, str]]:
    """Where a release comes from: plan, weights, source, the release it extends, code, software."""
    request = plan.request
    rows = [("plan", plan.hash)]
    rows += [(f"weights: {kind}", sha256) for kind, sha256 in request.weights.items()]
    rows.append(("source", request.source.fingerprint))
    if request.extends_plan_hash:
        rows.append((f"extends {request.identities.extends}", request.extends_plan_hash))
    if plan.first_identity:
        text = f"identity {plan.first_identity} and shard {plan.units[0].index}"
        rows.append(("numbers go on from", text))
    rows.append(("factory, sha256 of its code", request.environment.sources_sha256))
    rows += [(name, version) for name, version in request.environment.stack.items()]
    return rows


def networks(some: Sequence[NetworkTraining]) -> list[list[str]]:
    """A row for each network: role, sha256, images, people, whose faces, license."""
    return [
        [
            one.role,
            one.sha256,
            str(one.images) if one.learned_from else "n/a",
            str(one.identities) if one.learned_from else "n/a",
            _whose(one),
            one.license or ", ".join(dict.fromkeys(f.license for f in one.learned_from)) or "n/a",
        ]
        for one in some
    ]


def _whose(network: NetworkTraining) -> str:
    if not network.learned_from:
        return "no faces" if network.is_told else "not known"
    return "people who exist" if network.real_people else "nobody real"


def mean(values: HasMean | None) -> str:
    """Mean and standard deviation as text."""
    return f"{values.mean:.3f} ± {values.std:.3f}" if values else "n/a"


def number(value: float | None) -> str:
    """A number with three decimals."""
    return "n/a" if value is None else f"{value:.3f}"


def na(count: int | None) -> str:
    """A count as text."""
    return "n/a" if count is None else str(count)


def _pair_cells(pairs: PairMetrics | NotMeasured) -> list[str]:
    if isinstance(pairs, NotMeasured):
        return [pairs.note, "", "", "", "", "", ""]
    rates = (
        number(getattr(pairs, name)) + within(pairs.interval(name), 3)
        for name in ("eer", "fmr100", "fmr1000")
    )
    auc = f"{pairs.auc:.4f}{within(pairs.interval('auc'), 4)}"
    fdr = f"{pairs.fdr:.2f}{within(pairs.interval('fdr'), 2)}"
    return [auc, *rates, fdr, mean(pairs.genuine), mean(pairs.impostor)]


def within(bounds: Interval | None, digits: int) -> str:
    """An interval in parentheses; empty where there is none."""
    return f" ({bounds.low:.{digits}f} to {bounds.high:.{digits}f})" if bounds else ""


def _class_cells(classes: Consistency) -> list[str]:
    cells = [mean(values) for values in (classes.within_class, classes.ccs, classes.nnccs)]
    return [*cells, number(classes.ccs_minus_nnccs)]


def _fidelity_cells(compared: Fidelity | NotMeasured) -> list[str]:
    if isinstance(compared, NotMeasured):
        return ["n/a", "n/a", "n/a", "n/a"]
    fid = compared.fid_note if compared.fid is None else number(compared.fid)
    cells = [number(value) for value in (compared.cmmd, compared.precision, compared.recall)]
    each = compared.one_each
    if isinstance(each, OneEach):
        apart = (
            (each.cmmd, each.floor_cmmd),
            (each.precision, each.floor_precision),
            (each.recall, each.floor_recall),
        )
        told = [f"{number(made)}, real {number(floor)}" for made, floor in apart]
        cells = [f"{cell} ({pair})" for cell, pair in zip(cells, told, strict=True)]
    return [fid, *cells]


def _nearest_cell(nearest: NearestCosines | NotMeasured) -> str:
    if isinstance(nearest, NotMeasured):
        return nearest.note
    return f"{mean(nearest)}, at most {nearest.max:.4f}"
