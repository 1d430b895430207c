"""Does a published finding hold here, in small? Both sides measured with several seeds, one rule.

The rule: at every seed the better arm must win, and on average by `min_difference`, for the finding
to hold; where it loses at every seed it is refuted; anything else is undecided. The effect size is
Cohen's d, the mean difference over the pooled deviation of both arms; there is none where an arm is
the same at every seed, and the remark says so.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import ArmConfig, ClaimConfig, Config, load
from factory.errors import ConfigError
from factory.evaluation.metrics.json_form import to_json
from factory.evaluation.metrics.separability import Separability
from factory.evaluation.separability import separability
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.records import Log
from factory.shots.plan import Plan
from factory.studies.utility import TrainOne
from factory.training.distributed import kept_threads

Build = Callable[[Config], Path]
"""Makes the release of a config, or finds it made, and returns its folder."""
RULE = (
    "holds: the better arm wins at every seed, on average by at least min_difference; refuted: it "
    "loses at every seed; undecided: anything else"
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
    figures: dict[str, list[float]] = {}
    for arm_name, arm in claim.arms.items():
        figures[arm_name] = []
        for seed in claim.seeds:
            folder = f"{claim.out}/{name}/{arm_name}/seed-{seed}"
            figure = measure(claim, arm, folder, seed, train, build)
            log(f"{name}: {arm_name}, seed {seed}: {claim.figure} {figure:.4f}")
            figures[arm_name].append(figure)
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
        decision=decide(*sides, claim.larger_is_better, claim.min_difference),
    )


def result_json(result: Examined | NotYet) -> dict[str, Any]:
    """One flat object, ready for JSON."""
    body: dict[str, Any] = to_json(result)
    decision: dict[str, Any] = body.pop("decision", {})
    return body | decision


def measure(
    claim: ClaimConfig, arm: ArmConfig, folder: str, seed: int, train: TrainOne, build: Build
) -> float:
    """The figure of an arm with a seed; raises ConfigError where there is none of that name."""
    made = ""
    if arm.release:
        own = [f"release.seed={seed}", "release.dataset=claim", f"store.url={folder}/release"]
        made = str(build(load(arm.release, [*arm.release_set, *own])))
    changes = [change.replace("{release}", made) for change in arm.set]
    if claim.measures == "roster":
        metrics = to_json(roster(load(arm.config, [*changes, f"release.seed={seed}"])))
    else:
        own = [f"training.seed={seed}", f"training.out={folder}/training"]
        metrics = train(load(arm.config, [*changes, *own]))
    try:
        return float(functools.reduce(operator.getitem, claim.figure.split("."), metrics))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"figure: got {claim.figure!r}, which {arm.config} does not give; want a name in "
            f"{', '.join(metrics)}"
        ) from None


def roster(config: Config) -> Separability:
    """How separable the people are that a config admits; nothing is drawn or written."""
    inputs = preflight(config)
    with kept_threads():
        admitted = build_roster(
            config, open_recognizer(config), inputs.source, inputs.request.max_cosine
        )
    return separability(Plan(inputs.request, {}, []), admitted, np.empty(0))


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
    )


def verdict_line(result: Examined | NotYet) -> str:
    """A verdict in one line."""
    if isinstance(result, NotYet):
        return f"not yet    {result.finding} ({result.why})"
    decision = result.decision
    size = decision.effect_size
    return (
        f"{decision.verdict:10} {result.finding} ({result.better} against {result.worse}: "
        f"{decision.mean_difference:+.4f} of {result.figure} over {len(result.seeds)} seeds, "
        + (decision.remark if size is None else f"effect size {size:.1f}")
        + ")"
    )
