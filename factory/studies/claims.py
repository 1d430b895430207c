"""Does a published finding hold here, in small? Both sides measured with several seeds, one rule.

The rule: the 95 % interval of the difference (over seeds, and over the people of the test where
they are known; spread.py) lies above `min_difference` for the finding to hold, and below it for the
finding to be refuted; else it is not established, and what would have been seen four times of five
(`detectable`) says how much that means. Where the better arm is outside a bound of the claim at
every seed, the finding is refuted, whoever wins, and where it is at some, not established: random
directions are far apart, and no faces. The effect size is Cohen's d, the mean difference over the
pooled deviation of both arms; there is none where an arm is the same at every seed, and the remark
says so.
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
from factory.records import Interval, Log
from factory.studies.people_figures import people_figures
from factory.studies.spread import spread
from factory.studies.utility import TrainOne

Build = Callable[[Config], Path]
"""Makes the release of a config, or finds it made, and returns its folder."""
RULE = (
    "holds: the 95 % interval of the difference is not below min_difference; refuted: it is wholly "
    "below, or the better arm is outside a bound at every seed; not established: anything else"
)
HOLDS, REFUTED, OPEN = "holds", "refuted", "not established"


@dataclass(frozen=True)
class Resampled:
    """A figure in every resampling [R] of so many people."""

    values_R: np.ndarray
    num_people: int


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
    """holds, refuted or not established."""
    rule: str
    min_difference: float
    differences: list[float]
    mean_difference: float
    interval: Interval | None
    """Of the mean difference, at 95 %; None where no seed changes anything."""
    interval_over: str
    """seeds, or seeds and people."""
    detectable: float | None
    """The difference that would be told from 0 with a chance of 80 %."""
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
    people: dict[str, list[Resampled | None]] = {}
    for arm_name, arm in claim.arms.items():
        measured[arm_name], people[arm_name] = [], []
        for seed in claim.seeds:
            folder = f"{claim.out}/{name}/{arm_name}/seed-{seed}"
            metrics = metrics_of(claim, arm, folder, seed, train, build)
            found = {key: _figure(key, metrics, arm) for key in figures_of(claim)}
            people[arm_name].append(resampled_of(claim.figure, metrics))
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
    by_people = _difference_of_people(people[claim.better], people[claim.worse])
    decided = decide(*sides, claim.larger_is_better, claim.min_difference, by_people)
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
        decision=bounded(decided, claim, own),
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
    metrics = metrics_of(claim, arm, folder, seed, train, build)
    return {name: _figure(name, metrics, arm) for name in figures_of(claim)}


def metrics_of(
    claim: ClaimConfig, arm: ArmConfig, folder: str, seed: int, train: TrainOne, build: Build
) -> dict[str, Any]:
    """All metrics of an arm with a seed."""
    made = ""
    if arm.release:
        own = [f"release.seed={seed}", "release.dataset=claim", f"store.url={folder}/release"]
        made = str(build(load(arm.release, [*arm.release_set, *own])))
    changes = [change.replace("{release}", made) for change in arm.set]
    if claim.measures == "roster":
        config = load(arm.config, [*changes, f"release.seed={seed}"])
        return people_figures(config, folder, figures_of(claim))
    own = [f"training.seed={seed}", f"training.out={folder}/training"]
    return train(load(arm.config, [*changes, *own]))


def resampled_of(figure: str, metrics: dict[str, Any]) -> Resampled | None:
    """A figure's values in resamplings of the people that it was measured on; None where unknown.

    Those that a training leaves are of the same people in the same resamplings, whoever is
    verified (recognition/validation.py).
    """
    section, _, name = figure.partition(".")
    values = metrics.get("resampled", {}).get(section, {}).get(name)
    told = metrics.get(section)
    if not isinstance(told, dict):
        return None
    number = told.get(f"num_{told.get('resampled', 'people')}", 0)
    if not values or not number:
        return None
    return Resampled(np.array([np.nan if v is None else v for v in values]), int(number))


def _difference_of_people(
    better: list[Resampled | None], worse: list[Resampled | None]
) -> Resampled | None:
    """Better minus worse arm, mean over seeds, in every resampling; None where not all is known."""
    runs = [run for run in (*better, *worse) if run is not None]
    sizes = {(run.num_people, len(run.values_R)) for run in runs}
    if len(runs) < len(better) + len(worse) or len(sizes) != 1:
        return None
    sides = np.split(np.stack([run.values_R for run in runs]), [len(better)])
    values_R = sides[0].mean(0) - sides[1].mean(0)
    return None if np.isnan(values_R).mean() > 0.5 else Resampled(values_R, runs[0].num_people)


def _figure(name: str, metrics: dict[str, Any], arm: ArmConfig) -> float:
    found: Any = metrics
    try:
        return float(functools.reduce(operator.getitem, name.split("."), found))
    except (KeyError, TypeError, ValueError):
        section = metrics.get(name.split(".")[0])
        told = section if isinstance(section, dict) else {}
        notes = [told.get(key) for key in ("note", "tar_note")]
        why = "; ".join(note for note in notes if note)
        raise ConfigError(
            f"figure: got {name!r}, which {arm.config} does not give{why and f' ({why})'}; want a "
            f"name in {', '.join(metrics)}"
        ) from None


def decide(
    better: list[float],
    worse: list[float],
    larger_is_better: bool,
    min_difference: float,
    people: Resampled | None = None,
) -> Decision:
    """The verdict by the rule, on figures at equal seeds and their difference over people."""
    sign = 1 if larger_is_better else -1
    differences = sign * (np.array(better) - np.array(worse))
    deviations = np.std(better, ddof=1), np.std(worse, ddof=1)
    pooled = float(np.sqrt(np.square(deviations).mean()))
    varies, moves = min(deviations) > 0, max(deviations) > 0
    found = spread(differences.tolist(), *((people.values_R, people.num_people) if people else ()))
    verdict, bounds = OPEN, found.interval
    if bounds is not None and moves and bounds.low >= min_difference:
        verdict = HOLDS
    elif bounds is not None and moves and bounds.high < min_difference:
        verdict = REFUTED
    return Decision(
        verdict=verdict,
        rule=RULE,
        min_difference=min_difference,
        differences=differences.tolist(),
        mean_difference=found.mean,
        interval=bounds,
        interval_over=found.over,
        detectable=found.detectable,
        effect_size=found.mean / pooled if varies else None,
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
    verdict = REFUTED if always or decision.verdict == REFUTED else OPEN
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
        return f"{'not yet':15} {result.finding} ({result.why})"
    decision = result.decision
    size = decision.effect_size
    parts = [
        f"{decision.mean_difference:+.4f} of {result.figure} over {len(result.seeds)} seeds",
        *_uncertainty(decision),
        decision.remark if size is None else f"effect size {size:.1f}",
        *decision.broken,
        *(_price(result, name) for name in result.prices),
    ]
    sides = f"{result.better} against {result.worse}"
    return f"{decision.verdict:15} {result.finding} ({sides}: {'; '.join(parts)})"


def _uncertainty(decision: Decision) -> list[str]:
    """The interval that decides, and what difference would have been seen."""
    bounds, least = decision.interval, f"at least {decision.min_difference:g}"
    if bounds is None or decision.detectable is None:
        return ["no interval, because nothing varies"]
    span = f"{bounds.low:+.4f} to {bounds.high:+.4f}"
    return [
        f"95 % over {decision.interval_over}: {span}, wanted {least}",
        f"{decision.detectable:.4f} is seen in 80 %",
    ]


def _price(result: Examined, name: str) -> str:
    """What winning costs: means over seeds of a further figure on both sides."""
    arms = result.further.get(name, result.figures)
    better, worse = (float(np.mean(arms[side])) for side in (result.better, result.worse))
    return f"price: {name} {better:.3f} against {worse:.3f}"
