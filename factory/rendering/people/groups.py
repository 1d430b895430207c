"""To which group a person belongs: quotas that every run of numbers meets.

Groups are a band of skin pigment and a presentation. The order is that of Tijdeman (1980), "The
chairman assignment problem": after n people, each group has its share of n to less than one person.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from factory.config.rendered_groups import GROUPS, PRESENTATIONS, TONES
from factory.config.rendering import RenderingConfig
from factory.seeds import stream_seed

__all__ = ["GROUPS", "MELANIN", "group_of", "presentation_of", "tone_of"]

MELANIN = dict(
    zip(
        TONES,
        ((0.02, 0.12), (0.12, 0.25), (0.25, 0.40), (0.40, 0.58), (0.58, 0.77), (0.77, 0.98)),
        strict=True,
    )
)
"""Bands of SkinTraits.melanin."""
LONGEST_BLOCK = 1000
"""Shares that are no multiples of 1 / n for any smaller n are rounded to thousandths."""


def group_of(config: RenderingConfig, index: int) -> str:
    """The group of person `index`: a name of GROUPS."""
    shares = tuple(sorted(config.groups.items())) or tuple((name, 1.0) for name in GROUPS)
    names, counts = tuple(name for name, _ in shares), block_counts(tuple(s for _, s in shares))
    block, place = divmod(index, sum(counts))
    return names[block_order(counts, stream_seed("groups", config.seed, block))[place]]


def tone_of(group: str) -> str:
    """The band of a group: a name of TONES."""
    return group.split("_")[0]


def presentation_of(group: str) -> str:
    """How a group's people look: a name of PRESENTATIONS."""
    return PRESENTATIONS[group.endswith(PRESENTATIONS[1])]


@lru_cache
def block_counts(shares: tuple[float, ...]) -> tuple[int, ...]:
    """How many of each group are in a block, the shortest in which all shares are whole."""
    wanted = np.array(shares) / sum(shares)
    for length in range(1, LONGEST_BLOCK + 1):
        counts = np.rint(wanted * length)
        if np.abs(wanted * length - counts).max() < 1e-6 * length:
            return tuple(int(count) for count in counts)
    counts = np.floor(wanted * LONGEST_BLOCK)
    lacking = int(LONGEST_BLOCK - counts.sum())
    counts[np.argsort(counts - wanted * LONGEST_BLOCK, kind="stable")[:lacking]] += 1
    return tuple(int(count) for count in counts)


@lru_cache(64)
def block_order(counts: tuple[int, ...], seed: int) -> tuple[int, ...]:
    """Groups of a block's people; those that are due at the same time come in random order."""
    rng = np.random.default_rng(seed)
    share = np.array(counts) / sum(counts)
    slack = 1 - 1 / max(2, 2 * len(counts) - 2)
    had = np.zeros(len(counts))
    order = []
    for number in range(1, sum(counts) + 1):
        due = np.where(share > 0, (had + slack) / np.maximum(share, 1e-12), np.inf)
        due[number * share - had < 1 - slack - 1e-9] = np.inf  # would be ahead of its share
        first = np.flatnonzero(due <= due.min() * (1 + 1e-12))
        order.append(int(rng.choice(first)))
        had[order[-1]] += 1
    return tuple(order)
