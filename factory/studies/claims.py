"""Does a published finding hold here, in small? Both sides measured with several seeds, one rule.

The rule: at every seed the better arm must win, and on average by `min_difference`, for the finding
to hold; where it loses at every seed it is refuted; anything else is undecided. The effect size is
Cohen's d, the mean difference over the pooled deviation of both arms; there is none where an arm is
the same at every seed, which is said.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import ArmConfig, ClaimConfig, Config, load
from factory.errors import ConfigError
from factory.evaluation.separability import separability
from factory.identities.roster import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.shots.plan import Plan
from factory.training.distributed import kept_threads

Train = Callable[[Config], dict[str, Any]]
Build = Callable[[Config], Path]
"""Makes the release of a config, or finds it made, and returns its folder."""
RULE = (
    "holds: the better arm wins at every seed, on average by at least min_difference; refuted: it "
    "loses at every seed; undecided: anything else"
)


def examine(
    name: str, claim: ClaimConfig, train: Train, build: Build, say: Callable[[str], None]
) -> dict[str, Any]:
    """Figures of all arms and seeds, and the verdict; "not yet" where parts are not built."""
    story = {"claim": name, "finding": claim.finding, "published": claim.published}
    if claim.not_yet is not None:
        return {**story, "verdict": "not yet", "why": claim.not_yet}
    figures: dict[str, list[float]] = {}
    for arm_name, arm in claim.arms.items():
        figures[arm_name] = []
        for seed in claim.seeds:
            folder = f"{claim.out}/{name}/{arm_name}/seed-{seed}"
            found = measure(claim, arm, folder, seed, train, build)
            say(f"{name}: {arm_name}, seed {seed}: {claim.figure} {found:.4f}")
            figures[arm_name].append(found)
    sides = figures[claim.better], figures[claim.worse]
    settled = decide(*sides, claim.larger_is_better, claim.min_difference)
    return {
        **story,
        "figure": claim.figure,
        "better": claim.better,
        "worse": claim.worse,
        "seeds": list(claim.seeds),
        "figures": figures,
        **settled,
    }


def measure(
    claim: ClaimConfig, arm: ArmConfig, folder: str, seed: int, train: Train, build: Build
) -> float:
    """The figure of an arm with a seed; raises ConfigError where there is none of that name."""
    made = ""
    if arm.release:
        place = [f"release.seed={seed}", "release.dataset=claim", f"store.url={folder}/release"]
        made = str(build(load(arm.release, [*arm.release_set, *place])))
    changes = [change.replace("{release}", made) for change in arm.set]
    if claim.measures == "roster":
        found = roster(load(arm.config, [*changes, f"release.seed={seed}"]))
    else:
        place = [f"training.seed={seed}", f"training.out={folder}/training"]
        found = train(load(arm.config, [*changes, *place]))
    try:
        return float(functools.reduce(operator.getitem, claim.figure.split("."), found))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"figure: got {claim.figure!r}, which {arm.config} does not give; want a place in "
            f"{', '.join(found)}"
        ) from None


def roster(config: Config) -> dict[str, Any]:
    """What separability says of the people that a config admits; nothing is drawn or written."""
    inputs = preflight(config)
    with kept_threads():
        admitted = build_roster(
            config, open_recognizer(config), inputs.source, inputs.request.max_cosine
        )
    return separability(Plan(inputs.request, {}, []), admitted, np.empty(0))


def decide(
    better: list[float], worse: list[float], larger_is_better: bool, min_difference: float
) -> dict[str, Any]:
    """The verdict on figures at equal seeds, with the differences (positive: as claimed)."""
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
    return {
        "verdict": verdict,
        "rule": RULE,
        "min_difference": min_difference,
        "differences": differences.tolist(),
        "mean_difference": mean,
        "effect_size": mean / pooled if varies else None,
        "remark": "" if varies else "an arm does not depend on the seed: it was measured once",
    }


def line(found: dict[str, Any]) -> str:
    """A verdict in one line."""
    if found["verdict"] == "not yet":
        return f"not yet    {found['finding']} ({found['why']})"
    size = found["effect_size"]
    return (
        f"{found['verdict']:10} {found['finding']} ({found['better']} against {found['worse']}: "
        f"{found['mean_difference']:+.4f} of {found['figure']} over {len(found['seeds'])} seeds, "
        + (found["remark"] if size is None else f"effect size {size:.1f}")
        + ")"
    )
