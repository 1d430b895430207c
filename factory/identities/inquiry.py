"""Identities that are embeddings of given images, which they may keep (CemiFace; METHODS 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from factory.config import Config, SourceConfig
from factory.errors import ConfigError, SourceError
from factory.identities.proposals import Pool
from factory.provenance.faces import holds_real_people
from factory.sources import FaceSource, open_source


@dataclass(frozen=True)
class InquiryPool(Pool):
    """Embeddings of faces, with the keys of these."""

    keys: tuple[str, ...] = ()

    def keys_of(self, attempts_N: list[int]) -> list[tuple[str, ...]]:
        """The key of the image that each accepted identity is the embedding of.

        `attempts_N` are the candidates refused before each, since the one that was accepted last.
        """
        rows_N = np.arange(len(attempts_N)) + np.cumsum(attempts_N)
        return [(self.keys[row],) for row in rows_N.tolist()]


def inquiry_config(config: Config) -> SourceConfig:
    """The source of identities.inquiry, with nothing that is told of the main one alone."""
    return replace(
        config.source,
        path=config.identities.inquiry,
        license=config.identities.inquiry_license,
        attribution=None,
        real_people=config.identities.inquiry_real_people,
        consent=None,
    )


def inquiry_source(config: Config) -> FaceSource:
    """The faces that identities.proposal=inquiry takes.

    Raises SourceError when it has too few, ConfigError where images of people who may exist are to
    be copied.
    """
    source = open_source(replace(config.source, path=config.identities.inquiry))
    wanted = config.plan.num_admitted(config.identities.num_virtual)
    if len(source) < wanted:
        raise SourceError(
            f"identities.inquiry: {config.identities.inquiry} has {len(source)} images for "
            f"{wanted} identities; want more images, or fewer identities"
        )
    copies = config.identities.inquiry_copies
    if copies and holds_real_people(inquiry_config(config)):
        raise ConfigError(
            f"identities.inquiry_copies: got {copies} for images of people who may exist "
            f"({config.identities.inquiry}); want 0, or made faces, of which "
            "identities.inquiry_real_people=false says so"
        )
    return source
