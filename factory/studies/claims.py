"""Does a published finding hold here, in small? Both sides measured with several seeds, one rule.

The rule: at every seed the better arm must win, and on average by `min_difference`, for the finding
to hold; where it loses at every seed it is refuted; anything else is undecided. Where the better
arm is outside a bound of the claim at every seed, the finding is refuted, whoever wins, and where
it is at some, undecided: random directions are far apart, and no faces. The effect size is
Cohen's d, the mean difference over the pooled deviation of both arms; there is none where an arm is
the same at every seed, and the remark says so.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import ArmConfig, BoundConfig, ClaimConfig, Config, load
from factory.errors import ConfigError
from factory.evaluation.metrics.json_form import to_json
from factory.records import Log
from factory.studies.people_figures import people_figures
from factory.studies.utility import TrainOne

Build = Callable[[Config], Path]
"""Makes the release of a config, or finds it made, and returns its folder."""
RULE = (
    "holds: the better arm wins at every seed, on average by at least min_difference; refuted: it "
    "loses at every seed, or is outside a bound at every seed; undecided: anything else"
)


@dataclass(frozen=True)
class NotYet:
    """A finding that cannot be examined yet."""

    claim: str
    finding: str
    published: str
    why: str
    verdict: str = "not yet"


@dataclass(frozen=True)
class Decision:
    """The verdict on figures at equal seeds, with their differences (positive: as claimed)."""

    verdict: str
    """holds, refuted or undecided."""
    rule: str
    min_difference: float
    differences: list[float]
    mean_difference: float
    effect_size: float | None
    """None where an arm is the same at every seed."""
    remark: str
    broken: list[str]
    """Bounds that the better arm is outside of, with what it is at each seed."""


@dataclass(frozen=True)
class Examined:
    """Figures of all arms and seeds, and the decision."""

    claim: str
    finding: str
    published: str
    figure: str
    better: str
    worse: str
    seeds: list[int]
    figures: dict[str, list[float]]
    """By arm, seed by seed."""
    further: dict[str, dict[str, list[float]]]
    """Figures of bounds and prices by name, then by arm, seed by seed."""
    prices: list[str]
    """Which of these are told with the verdict."""
    decision: Decision

    @property
    def verdict(self) -> str:
        return self.decision.verdict


def examine(
    name: str, claim: ClaimConfig, train: TrainOne, build: Build, log: Log
) -> Examined | NotYet:
    """Measure all arms with all seeds and decide; nothing is run where parts are not built."""
    if claim.not_yet is not None:
        return NotYet(name, claim.finding, claim.published, claim.not_yet)
    measured: dict[str, list[dict[str, float]]] = {}
    for arm_name, arm in claim.arms.items():
        measured[arm_name] = []
        for seed in claim.seeds:
            folder = f"{claim.out}/{name}/{arm_name}/seed-{seed}"
            found = measure(claim, arm, folder, seed, train, build)
            told = ", ".join(f"{key} {value:.4f}" for key, value in found.items())
            log(f"{name}: {arm_name}, seed {seed}: {told}")
            measured[arm_name].append(found)
    by_figure = {
        key: {arm: [found[key] for found in runs] for arm, runs in measured.items()}
        for key in figures_of(claim)
    }
    figures = by_figure[claim.figure]
    own = {bound.figure: by_figure[bound.figure][claim.better] for bound in claim.bounds}
    sides = figures[claim.better], figures[claim.worse]
    return Examined(
        claim=name,
        finding=claim.finding,
        published=claim.published,
        figure=claim.figure,
        better=claim.better,
        worse=claim.worse,
        seeds=list(claim.seeds),
        figures=figures,
        further={key: arms for key, arms in by_figure.items() if key != claim.figure},
        prices=list(claim.prices),
        decision=bounded(decide(*sides, claim.larger_is_better, claim.min_difference), claim, own),
    )


def figures_of(claim: ClaimConfig) -> list[str]:
    """Dotted places of all figures of a claim, the compared one first."""
    bounds = [bound.figure for bound in claim.bounds]
    return list(dict.fromkeys([claim.figure, *bounds, *claim.prices]))


def result_json(result: Examined | NotYet) -> dict[str, Any]:
    """One flat object, ready for JSON."""
    body: dict[str, Any] = to_json(result)
    decision: dict[str, Any] = body.pop("decision", {})
    return body | decision


def measure(
    claim: ClaimConfig, arm: ArmConfig, folder: str, seed: int, train: TrainOne, build: Build
) -> dict[str, float]:
    """The figures of an arm with a seed; raises ConfigError where there is none of a name."""
    made = ""
    if arm.release:
        own = [f"release.seed={seed}", "release.dataset=claim", f"store.url={folder}/release"]
        made = str(build(load(arm.release, [*arm.release_set, *own])))
    changes = [change.replace("{release}", made) for change in arm.set]
    wanted = figures_of(claim)
    if claim.measures == "roster":
        config = load(arm.config, [*changes, f"release.seed={seed}"])
        metrics = people_figures(config, folder, wanted)
    else:
        own = [f"training.seed={seed}", f"training.out={folder}/training"]
        metrics = train(load(arm.config, [*changes, *own]))
    return {name: _figure(name, metrics, arm) for name in wanted}


def _figure(name: str, metrics: dict[str, Any], arm: ArmConfig) -> float:
    found: Any = metrics
    try:
        return float(functools.reduce(operator.getitem, name.split("."), found))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"figure: got {name!r}, which {arm.config} does not give; want a name in "
            f"{', '.join(metrics)}"
        ) from None


def decide(
    better: list[float], worse: list[float], larger_is_better: bool, min_difference: float
) -> Decision:
    """The verdict by the rule, on figures at equal seeds."""
    sign = 1 if larger_is_better else -1
    differences = sign * (np.array(better) - np.array(worse))
    mean = float(differences.mean())
    deviations = np.std(better, ddof=1), np.std(worse, ddof=1)
    pooled = float(np.sqrt(np.square(deviations).mean()))
    varies = min(deviations) > 0
    if (differences > 0).all() and mean >= min_difference:
        verdict = "holds"
    else:
        verdict = "refuted" if (differences < 0).all() else "undecided"
    return Decision(
        verdict=verdict,
        rule=RULE,
        min_difference=min_difference,
        differences=differences.tolist(),
        mean_difference=mean,
        effect_size=mean / pooled if varies else None,
        remark="" if varies else "an arm does not depend on the seed: it was measured once",
        broken=[],
    )


def bounded(decision: Decision, claim: ClaimConfig, own: dict[str, list[float]]) -> Decision:
    """The decision with the bounds of the claim, whose figures of the better arm are `own`."""
    outside_BS = np.array([_outside(bound, own[bound.figure]) for bound in claim.bounds])
    if not outside_BS.any():
        return decision
    broken = [
        f"{claim.better} has {bound.figure} {_values(own[bound.figure])}, want {_range(bound)}"
        for bound, outside_S in zip(claim.bounds, outside_BS, strict=True)
        if outside_S.any()
    ]
    always = bool(outside_BS.any(0).all())
    verdict = "refuted" if always or decision.verdict == "refuted" else "undecided"
    return replace(decision, verdict=verdict, broken=broken)


def _outside(bound: BoundConfig, values: list[float]) -> list[bool]:
    """Whether a figure is outside of its bound, seed by seed; what is no number is."""
    low = -np.inf if bound.low is None else bound.low
    high = np.inf if bound.high is None else bound.high
    return [not low <= value <= high for value in values]


def _range(bound: BoundConfig) -> str:
    least = "" if bound.low is None else f"at least {bound.low:g}"
    most = "" if bound.high is None else f"at most {bound.high:g}"
    return " and ".join(part for part in (least, most) if part)


def _values(values: list[float]) -> str:
    return " / ".join(f"{value:.4g}" for value in values)


def verdict_line(result: Examined | NotYet) -> str:
    """A verdict in one line."""
    if isinstance(result, NotYet):
        return f"not yet    {result.finding} ({result.why})"
    decision = result.decision
    size = decision.effect_size
    parts = [
        f"{decision.mean_difference:+.4f} of {result.figure} over {len(result.seeds)} seeds",
        decision.remark if size is None else f"effect size {size:.1f}",
        *decision.broken,
        *(_price(result, name) for name in result.prices),
    ]
    sides = f"{result.better} against {result.worse}"
    return f"{decision.verdict:10} {result.finding} ({sides}: {'; '.join(parts)})"


def _price(result: Examined, name: str) -> str:
    """What winning costs: means over seeds of a further figure on both sides."""
    arms = result.further.get(name, result.figures)
    better, worse = (float(np.mean(arms[side])) for side in (result.better, result.worse))
    return f"price: {name} {better:.3f} against {worse:.3f}"
