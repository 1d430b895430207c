"""Rules of rendered people: what section rendering and release.method=render ask of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config.rendered_groups import check_groups
from factory.config.rendering import MASKS
from factory.config.source_rules import WITHOUT_PATH
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.schema import Config

BY_RECOGNIZER = (
    "min_own_cosine",
    "min_identity_gap",
    "max_real_cosine",
    "min_cr_fiqa",
    "min_ser_fiq",
    "min_fiqa",
)
"""Filters that ask a recognizer or another network."""


def check_rendering(config: Config) -> None:
    """Raise ConfigError where a config of any method asks for what rendering cannot give."""
    method, identities = config.release.method, config.identities
    if identities.proposal == "rendered" and method != "render":
        raise ConfigError(
            f"identities.proposal: got rendered with release.method={method}; want another one, or "
            "release.method=render"
        )
    if identities.quotas and method == "render":
        raise ConfigError(
            f"identities.quotas: got {identities.quotas} with release.method=render; want "
            "rendering.groups, fractions of groups that are drawn and not read off embeddings"
        )
    if config.filters.max_occluded is not None and method != "render":
        raise ConfigError(
            f"filters.max_occluded: got {config.filters.max_occluded:g} with release.method="
            f"{method}, where nobody knows it; want null, or release.method=render"
        )
    check_groups(config.rendering.groups)
    _check_masks(config.rendering.masks)


def check_rendered_release(config: Config) -> None:
    """Raise ConfigError for what a release of rendered people cannot be."""
    if config.identities.proposal != "rendered":
        raise ConfigError(
            f"identities.proposal: got {config.identities.proposal} with release.method=render; "
            "want rendered"
        )
    if config.source.kind not in WITHOUT_PATH:
        raise ConfigError(
            f"source.kind: got {config.source.kind} with release.method=render, whose people come "
            "from no source; want rendered or starter, by whom the release is measured, and "
            "photographs as features.reference_sets"
        )
    for name in BY_RECOGNIZER:
        limit = getattr(config.filters, name)
        if limit is not None:
            raise ConfigError(
                f"filters.{name}: got {limit:g} with release.method=render, which asks no "
                "recognizer; want null"
            )


def _check_masks(masks: tuple[str, ...]) -> None:
    unknown = [name for name in masks if name not in MASKS]
    if unknown:
        raise ConfigError(
            f"rendering.masks: got {unknown[0]!r}; want some of {', '.join(MASKS)}, or []"
        )
    if len(set(masks)) < len(masks):
        raise ConfigError(f"rendering.masks: got {list(masks)}, one of them twice; want each once")
