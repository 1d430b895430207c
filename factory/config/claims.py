"""A published finding as a file: what is compared, by which figure, judged by which rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from factory.config.field import knob
from factory.config.loading import typed
from factory.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ArmConfig:
    """One side of a comparison: a training, or only a roster, and the release it may learn from."""

    config: str = "configs/demo.yaml"
    """YAML file that the arm starts from, relative to where the job is run."""
    set: tuple[str, ...] = ()
    """Changes as section.key=value; {release} stands for the folder of the arm's release."""
    release: str | None = None
    """YAML file of a release that is made first, with the seed of the comparison; None: none."""
    release_set: tuple[str, ...] = ()
    """Changes to that."""


@dataclass(frozen=True, kw_only=True)
class ClaimConfig:
    """A finding, its arms, and the rule."""

    finding: str = ""
    """What is claimed, in one sentence."""
    published: str = ""
    """Who found it, with the figures they give."""
    not_yet: str | None = None
    """What is missing for judging it here; then nothing is run."""
    measures: Literal["training", "roster"] = "training"
    """training: a recognizer is trained and `figure` looked up in its metrics; roster: who shall
    exist is decided, and `figure` looked up in what separability says of it."""
    figure: str = "heldout.tar_at_far_1e-3"
    """Dotted place of the figure that is compared."""
    larger_is_better: bool = True
    """Whether more of it is better."""
    better: str = ""
    """Arm that the finding says is the better one."""
    worse: str = ""
    """Arm it is compared with."""
    arms: dict[str, ArmConfig] = field(default_factory=dict)
    """All arms by name; those not compared are only reported."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each arm is measured with each seed; the differences are those at equal seeds."""
    min_difference: float = knob(0.0, low=0.0)
    """Mean difference from which the finding counts as seen."""
    out: str = "runs/claims"
    """Folder of releases, trainings and verdicts; the same command goes on in it."""


def load_claim(path: str | Path, dotlist: list[str] | None = None) -> ClaimConfig:
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
    for name, arm in claim.arms.items():
        if arm.release is None and any("{release}" in change for change in arm.set):
            raise ConfigError(f"arms.{name}.set: names {{release}}, but the arm has no release")
    if not claim.finding:
        raise ConfigError("finding: nothing given; want the claim in one sentence")
    return claim
