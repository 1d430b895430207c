"""What a sampler's settings ask of each other, and of the filters that look at what it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config.distillation import check_distilled_sampler
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.release import SamplerConfig
    from factory.config.schema import Config


def check_sampler(config: Config) -> None:
    """Raise ConfigError where section sampler, or filters with it, do not go together."""
    sampler = config.sampler
    _check_guidance(sampler)
    check_distilled_sampler(sampler, config.release.method)
    _check_against_itself(sampler)
    if sampler.perturb_identity == "learned" and not config.turns.checkpoint:
        raise ConfigError(
            "turns.checkpoint: nothing given with sampler.perturb_identity=learned; want the "
            "folder that jobs.train_turns wrote, or sampler.perturb_identity=random"
        )
    _check_similarities(config)


def _check_guidance(sampler: SamplerConfig) -> None:
    begin, end = sampler.guidance_interval
    if not 0 <= begin < end <= 1:
        raise ConfigError(
            f"sampler.guidance_interval: got [{begin:g}, {end:g}]; want two noise levels from 0 to "
            "1, the smaller one first"
        )
    if sampler.negative_condition != "none" and sampler.guidance == 1:
        raise ConfigError(
            f"sampler.negative_condition: got {sampler.negative_condition!r} with "
            "sampler.guidance=1, which guides nowhere; want a larger guidance, or 'none'"
        )
    if sampler.negative_ramp != (1.0, 1.0):
        _check_ramp(sampler.negative_ramp, sampler.negative_condition)


def _check_ramp(ramp: tuple[float, float], negative: str) -> None:
    """Raise ConfigError for factors that turn guidance round, or without what they weigh."""
    shown = [float(factor) for factor in ramp]
    if not all(0 <= factor <= 10 for factor in ramp) or not any(ramp):
        raise ConfigError(
            f"sampler.negative_ramp: got {shown}; want two factors from 0 to 10, not both 0"
        )
    if negative == "none":
        raise ConfigError(
            f"sampler.negative_ramp: got {shown} with sampler.negative_condition=none; want a "
            "negative condition, or [1.0, 1.0]"
        )


def _check_against_itself(sampler: SamplerConfig) -> None:
    """Raise ConfigError for negatives of the same identity that are no negatives."""
    against_itself = sampler.negative_condition == "same_identity"
    if against_itself and not sampler.similarity:
        raise ConfigError(
            "sampler.negative_condition: got 'same_identity' without sampler.similarity; want "
            "similarities, which it makes an image keep, or 'none'"
        )
    if against_itself and 1 in sampler.similarity:
        raise ConfigError(
            "sampler.similarity: got 1 with sampler.negative_condition=same_identity, which leads "
            "away from 1; want smaller ones, or sampler.negative_condition=none"
        )


def _check_similarities(config: Config) -> None:
    """Raise ConfigError for similarities that are none, or that a filter drops."""
    sampler, least = config.sampler, config.filters.min_own_cosine
    wrong = [m for m in sampler.similarity if not -1 <= m <= 1]
    if wrong:
        raise ConfigError(f"sampler.similarity: got {wrong[0]}; want cosines, from -1 to 1")
    if sampler.similarity and least is not None and min(sampler.similarity) < least:
        raise ConfigError(
            f"filters.min_own_cosine: got {least} while sampler.similarity asks for "
            f"{min(sampler.similarity)}; want a smaller one, or null"
        )
    if min(sampler.similarity, default=1.0) <= 0 and config.filters.min_identity_gap is not None:
        raise ConfigError(
            f"filters.min_identity_gap: got {config.filters.min_identity_gap} while "
            f"sampler.similarity asks for {min(sampler.similarity)}, where others may be nearer; "
            "want null"
        )
