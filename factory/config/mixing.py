"""People who are mixes of two others of a release: their settings, and what these ask of others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from factory.config.field import knob
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.schema import Config

PROPOSALS = ("prototypes", "colored", "pca", "packing")
"""Values of identities.proposal whose people are vectors alone: the others have an image or number
of their own, which a mix has not."""
ONE_PERSON = (("negative_condition", "none"), ("similarity", ()))
"""Settings of the sampler that are of one identity, and their values in a release with mixes."""


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """People who are mixes of two others of the release (ScoreMix, AugGen)."""

    fraction: float = knob(0.0, low=0.0, high=1.0)
    """Fraction of the virtual people, reserves included, who are mixes: the last ones of the
    release, each a class of its own. 0: nobody is mixed."""
    weight: float = knob(0.5, low=0.0, high=1.0)
    """w in the mixed prediction w*c_a + (1-w)*c_b, of the first parent; ends are no mix."""
    pairs: Literal["far", "random"] = "far"
    """Who is mixed with whom. far: a parent drawn at random and the one farthest from it of 64
    drawn at random (of a quarter of all people, where that is fewer), since far pairs teach more
    (ScoreMix); random: any two."""

    def count(self, num_people: int) -> int:
        """How many of so many virtual people are mixes."""
        return round(self.fraction * num_people)


def least_parent_cosine(weight: float) -> float:
    """The smallest cosine that a mix of weight w can have to the nearer of its parents.

    With v = min(w, 1-w) and u = max(w, 1-w) the mix is at most asin(v/u) from the heavier parent,
    whatever the other is: sqrt(1 - (v/u)^2).
    """
    ratio = min(weight, 1 - weight) / max(weight, 1 - weight)
    return math.sqrt(1 - ratio * ratio)


def check_mix(config: Config) -> None:
    """Raise ConfigError for mixes that there is nobody for, or that nothing can draw."""
    mix, identities = config.identities.mix, config.identities
    if not mix.fraction:
        return
    told = f"identities.mix.fraction: got {mix.fraction:g}"
    if config.release.method != "diffusion":
        raise ConfigError(
            f"{told} with release.method={config.release.method}, which mixes no predictions; "
            "want 0, or release.method=diffusion"
        )
    if identities.proposal not in PROPOSALS:
        raise ConfigError(
            f"{told} with identities.proposal={identities.proposal}, whose people are not vectors "
            f"alone; want 0, or one of {', '.join(PROPOSALS)}"
        )
    if identities.quotas:
        raise ConfigError(
            f"{told} with identities.quotas, which say nothing of mixes; want 0, or no quotas"
        )
    _check_numbers(config, told)
    _check_weight(config)
    _check_mixed_sampler(config, told)


def _check_numbers(config: Config, told: str) -> None:
    """Raise ConfigError for no mix, or for fewer pairs of parents than mixes."""
    people = config.plan.num_admitted(config.identities.num_virtual)
    mixes = config.identities.mix.count(people)
    parents = people - mixes
    if not mixes:
        raise ConfigError(f"{told} of {people} people, which is nobody; want more, or 0")
    if parents < 2 or mixes > parents * (parents - 1) // 2:
        raise ConfigError(
            f"{told} of {people} people, which leaves {parents} to be parents of {mixes}; want "
            "less, or a larger identities.num_virtual"
        )


def _check_weight(config: Config) -> None:
    """Raise ConfigError for a weight with which each mix is too near to its first parent."""
    weight, limit = config.identities.mix.weight, config.identities.max_cosine
    if weight in (0, 1):
        raise ConfigError(
            f"identities.mix.weight: got {weight:g}, with which a mix is one of its parents; want "
            "a number between 0 and 1, as 0.5"
        )
    least = least_parent_cosine(weight)
    if limit is not None and limit <= least:
        raise ConfigError(
            f"identities.mix.weight: got {weight:g} with identities.max_cosine={limit:g}, while "
            f"such a mix has a cosine of {least:.3f} or more to a parent; want a weight nearer to "
            "0.5, or a larger max_cosine"
        )


def _check_mixed_sampler(config: Config, told: str) -> None:
    """Raise ConfigError for what a sampler can only do with one identity."""
    sampler = config.sampler
    if sampler.kind == "distilled":
        raise ConfigError(
            f"{told} with sampler.kind=distilled, a student of predictions for one person; want 0, "
            "or the teacher and its sampler"
        )
    for name, wanted in ONE_PERSON:
        got = getattr(sampler, name)
        if got != wanted:
            raise ConfigError(
                f"{told} with sampler.{name}={got!r}, which is of one identity; want 0, or "
                f"sampler.{name}={wanted!r}"
            )
