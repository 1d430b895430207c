"""A published finding as a file: what is compared, by which figure, judged by which rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from factory.config.field import file_path, knob
from factory.config.loading import typed
from factory.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ArmConfig:
    """One side of a comparison: a training, or only a roster, and the release it may learn from."""

    config: str = file_path("configs/demo.yaml")
    """YAML file that the arm starts from, relative to where the job is run."""
    set: tuple[str, ...] = ()
    """Changes as section.key=value; {release} stands for the folder of the arm's release, {NAME}
    for an input of the claim."""
    release: str | None = file_path()
    """YAML file of a release that is made first, with the seed of the comparison; None: none."""
    release_set: tuple[str, ...] = ()
    """Changes to that; {NAME} stands for an input of the claim."""


@dataclass(frozen=True, kw_only=True)
class BoundConfig:
    """What a further figure of the better arm must be for its win to count."""

    figure: str = ""
    """Dotted place of the figure."""
    low: float | None = None
    """Least value; None: any."""
    high: float | None = None
    """Largest value; None: any."""


@dataclass(frozen=True, kw_only=True)
class ClaimConfig:
    """A published finding, the arms that are compared, and the rule that decides."""

    finding: str = ""
    """What is claimed, in one sentence."""
    published: str = ""
    """Who found it, with the figures they give."""
    not_yet: str | None = None
    """What is missing for judging it here; then nothing is run."""
    measures: Literal["training", "roster"] = "training"
    """training: a recognizer is trained and figures are looked up in its metrics; roster: who would
    exist is decided, and figures are looked up in what separability says of it, in
    real_span.energy (how much of the vectors lies where real people differ) and in drawn.own_cosine
    and drawn.kept_fraction (of faces drawn of the first people)."""
    figure: str = "heldout.tar_at_far_1e-3"
    """Dotted place of the figure that is compared."""
    larger_is_better: bool = True
    """Whether more of it is better."""
    bounds: list[BoundConfig] = field(default_factory=list)
    """What the better arm must be besides: where it is outside at every seed, the finding is
    refuted, where it is at some seeds, it does not hold."""
    prices: tuple[str, ...] = ()
    """Dotted places of further figures that are told of both sides with the verdict, because the
    better arm may win at their expense."""
    better: str = ""
    """Arm that the finding says is the better one."""
    worse: str = ""
    """Arm it is compared with."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Files that the arms read, by the names that they call them; given as inputs.NAME=..."""
    arms: dict[str, ArmConfig] = field(default_factory=dict)
    """All arms by name; those not compared are only reported."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each arm is measured with each seed; the differences are those at equal seeds."""
    min_difference: float = knob(0.0, low=0.0)
    """The finding holds where the 95 % interval of the difference is not below this, and is refuted
    where it is wholly below."""
    out: str = file_path("runs/claims", only_local=True)
    """Folder of releases, trainings and verdicts; the same command goes on in it."""


def load_claim(path: str | Path, dotlist: Sequence[str] | None = None) -> ClaimConfig:
    """Read and check a claim; raises ConfigError in one line."""
    claim = typed(ClaimConfig, path, dotlist or [])
    if claim.not_yet is None:
        for side in ("better", "worse"):
            if getattr(claim, side) not in claim.arms:
                raise ConfigError(
                    f"{side}: got {getattr(claim, side)!r}; want one of the arms "
                    f"{', '.join(claim.arms) or '(there are none)'}"
                )
        if len(claim.seeds) < 2:
            raise ConfigError(f"seeds: got {len(claim.seeds)}; want at least two")
    for index, bound in enumerate(claim.bounds):
        if not bound.figure or bound.low is bound.high is None:
            raise ConfigError(
                f"bounds[{index}]: got {bound.figure!r} from {bound.low} to {bound.high}; want a "
                "figure with low, high or both"
            )
    if not claim.finding:
        raise ConfigError("finding: nothing given; want the claim in one sentence")
    arms = {name: _with_inputs(claim, name, arm) for name, arm in claim.arms.items()}
    return replace(claim, arms=arms)


def _with_inputs(claim: ClaimConfig, name: str, arm: ArmConfig) -> ArmConfig:
    """An arm with its inputs in place of their names; {release} stays until there is one."""

    def filled(key: str, text: str, made: tuple[str, ...]) -> str:
        for word in re.findall(r"\{([\w-]+)\}", text):
            if word in claim.inputs:
                text = text.replace(f"{{{word}}}", claim.inputs[word])
            elif word == "release" and word not in made:
                raise ConfigError(
                    f"arms.{name}.{key}: names {{release}}, but the arm has no release"
                )
            elif word not in made:
                raise ConfigError(f"arms.{name}.{key}: names {{{word}}}; give inputs.{word}=...")
        return text

    made = () if arm.release is None else ("release",)
    return replace(
        arm,
        set=tuple(filled("set", text, made) for text in arm.set),
        release_set=tuple(filled("release_set", text, ()) for text in arm.release_set),
    )
