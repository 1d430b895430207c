"""The samples of a sealed version in other shards: fewer and larger ones, or more and smaller.

Members of the tars, labels, keys and rows of the tables stay, but for their places. A union becomes
a release that needs no other. Units are written one by one and committed as a maker commits them,
so the same call goes on where it stopped, and the memory is that of two shards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from factory.errors import PlanError
from factory.records import Manifest, Unit, row_of
from factory.shards import layout
from factory.shards.compact_unit import UnitCopier
from factory.shards.derived import Member, begin, joined_lineage, open_member, publish, renamed
from factory.shards.derived_card import short_card
from factory.shards.manifest import committed_units
from factory.shards.reader import metadata_rows
from factory.shards.units import OnUnit, unheard
from factory.shots.plan import Derived, Plan, check_unit_numbers
from factory.store import Store

COMPACT = "compact"
BLOCK = 512
BESIDES = 4 * BLOCK
"""Bytes of a sample in a tar, besides its image and its header: label and .json with theirs."""


@dataclass(frozen=True)
class Cut:
    """Where shards end: after so many identities, or before they have more bytes."""

    identities_per_unit: int | None = None
    shard_bytes: float | None = None

    def __post_init__(self) -> None:
        given = [one for one in (self.identities_per_unit, self.shard_bytes) if one is not None]
        if len(given) != 1 or not 1 <= given[0] < math.inf:
            raise PlanError(
                f"compact: got --identities-per-unit {self.identities_per_unit} and --shard-bytes "
                f"{self.shard_bytes}; want one of them, at least 1"
            )

    def ends(self, bytes_N: np.ndarray) -> Iterator[int]:
        """One past the last identity of each shard, of identities with so many bytes each."""
        if self.identities_per_unit is not None:
            yield from range(self.identities_per_unit, len(bytes_N), self.identities_per_unit)
        elif self.shard_bytes is not None:
            total = 0
            for row, size in enumerate(bytes_N.tolist()):
                if total and total + size > self.shard_bytes:
                    yield row
                    total = 0
                total += size
        yield len(bytes_N)


def compact(
    dataset: Store, version: str, new_version: str, cut: Cut, on_unit: OnUnit = unheard
) -> Manifest:
    """Write the samples of `version` in other shards as `new_version`, sealed.

    Raises PlanError for a version that is not sealed or was withdrawn, and where another release
    was begun as `new_version`; IntegrityError for files that are not what was sealed.
    """
    member = open_member(dataset, version)
    plan = Plan(
        renamed(member.plan.request, new_version),
        member.plan.roster_sha256,
        _units(member, cut),
        derived=Derived(COMPACT, (member.ancestor,)),
        private=member.plan.private,
    )
    store = dataset.below(layout.release_path(new_version))
    roster = {name: member.store.get(name) for name in plan.roster_sha256}
    begin(store, plan, joined_lineage([member]) | roster)
    copier, done = UnitCopier(member, plan, store), committed_units(store)
    for number, unit in enumerate(plan.units, start=1):
        if unit.index not in done:
            copier.copy(unit)
        on_unit(number, len(plan.units))
    return publish(dataset, store, plan, card=partial(short_card, store, plan))


def _units(member: Member, cut: Cut) -> list[Unit]:
    """Units that cover the roster in its order, from the first number of the version's own.

    A reserve's images are counted as planned ones where a unit has more than were planned in it:
    whom it stands for may lie in another unit now.
    """
    kept_N, bytes_N = _sizes(member)
    planned_N, first = member.roster.column("num_shots"), member.plan.first_identity
    ends = [0, *cut.ends(bytes_N)]
    index = member.plan.units[0].index
    check_unit_numbers(index, len(ends) - 1, 1)
    return [
        Unit(
            index + number,
            first + start,
            end - start,
            int(max(planned_N[start:end].sum(), kept_N[start:end].sum())),
        )
        for number, (start, end) in enumerate(pairwise(ends))
    ]


def _sizes(member: Member) -> tuple[np.ndarray, np.ndarray]:
    """Kept images of each identity, and the bytes of its samples in a tar."""
    first, count = member.plan.first_identity, len(member.roster.identities)
    kept_N, bytes_N = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for unit in member.plan.units:
        for row in metadata_rows(member.store, unit.index):
            place = row_of(row["identity"], first, count)
            kept_N[place] += 1
            bytes_N[place] += BLOCK + -(-row["size"] // BLOCK) * BLOCK + BESIDES
    return kept_N, bytes_N
