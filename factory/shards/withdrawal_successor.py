"""The version that takes the place of one that people withdrew from: the same without them.

Everything in it follows from the version that it is made of and from who leaves, so the same call
goes on where a crash ended it. `_SUCCESS` is the last thing written in it; only then is the other
version marked, and latest.json moves last of all (PROTOCOL).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from factory.errors import PlanError
from factory.provenance.lineage import Lineage
from factory.provenance.withdrawn import Withdrawn, mark_withdrawn, withdrawal_of
from factory.records import Log, Manifest, Shard, Unit
from factory.shards import layout
from factory.shards.derived import begin, publish, renamed
from factory.shards.latest import point_latest
from factory.shards.manifest import committed_units, read_plan, sealed_manifest
from factory.shards.reader import content_of, metadata_rows
from factory.shards.withdrawal_search import Held
from factory.shards.withdrawal_units import copy_unit, rewrite_unit, zeroed_rows
from factory.shots.plan import Ancestor, Derived, Plan
from factory.store import Store

WRITERS = 4
"""Units in memory at once."""
WITHDRAWAL = "withdrawal"
"""Of the plan's `derived`."""


@dataclass(frozen=True)
class Successor:
    """A version to be written: its plan, and the small files that the plan promises."""

    held: Held
    plan: Plan
    contents: dict[str, bytes]

    @property
    def version(self) -> str:
        return self.plan.request.release.version


def succeed(held: Held, dataset: Store, today: str, log: Log, version: str | None = None) -> str:
    """Write the successor, mark the version withdrawn, move latest.json; returns the successor.

    An empty text where nobody would be left: then there is none. Without `version` it is the next
    patch number that is free. Raises PlanError where `version` is taken, or the version is not
    sealed; IntegrityError where a file of it has not its sha256.
    """
    old = held.version
    if not old.is_sealed:
        raise PlanError(
            f"{old.store.url}: is not sealed, so nothing can take its place; finish it and run "
            "this again, or remove it"
        )
    if old.mark is not None:
        return _finish(old.mark, dataset, log)
    manifest = sealed_manifest(old.store, old.plan)
    chosen = _choose(held, dataset, version)
    store = dataset.below(layout.release_path(chosen.version))
    log(f"{old.name}: writing {chosen.version} without them")
    if not _write(chosen, manifest, dataset, store, log):
        log(f"{old.name}: nobody else is in it, so it has no successor")
        mark_withdrawn(old.store, Withdrawn(None, today))
        return ""
    return _finish(mark_withdrawn(old.store, Withdrawn(chosen.version, today)), dataset, log)


def planned_successors(held: Held, versions: Iterable[str]) -> Iterator[Successor]:
    """The plan of a successor under each version, and its small files: the same at every call."""
    old, contents = held.version, _small_files(held)
    digests = {name: hashlib.sha256(contents[name]).hexdigest() for name in old.plan.roster_sha256}
    request, sums = old.plan.request, old.store.get(layout.SUMS)
    ancestor = Ancestor(request.release.version, old.plan.hash, hashlib.sha256(sums).hexdigest())
    units = [
        replace(unit, num_shots=unit.num_shots - sum(_leaving(unit, held).values()))
        for unit in old.plan.units
    ]
    if request.prompts:
        leave = {person.name for person in held.identities}
        genders = {n: g for n, g in request.prompts.genders.items() if n not in leave}
        request = replace(request, prompts=replace(request.prompts, genders=genders))
    for version in versions:
        named = renamed(request, version)
        plan = Plan(named, digests, units, derived=Derived(WITHDRAWAL, (ancestor,)))
        yield Successor(held, plan, contents)


def _small_files(held: Held) -> dict[str, bytes]:
    """What a plan promises besides units, without those who leave, and the lineage."""
    old, rows = held.version, held.rows
    contents = {name: old.store.get(name) for name in old.plan.roster_sha256}
    contents[layout.ROSTER] = held.roster_without()
    if layout.EMBEDDINGS in contents:
        count = len(old.people())
        contents[layout.EMBEDDINGS] = zeroed_rows(contents[layout.EMBEDDINGS], rows, count)
    for line in old.store.get(layout.SUMS).decode().splitlines():
        digest, _, name = line.partition("  ")
        if name == layout.LINEAGE:
            contents[name] = content_of(old.store, name, digest)
    return contents


def _leaving(unit: Unit, held: Held) -> dict[int, int]:
    """Shots that were planned of those of a unit who leave, by their index."""
    own = range(unit.first_identity, unit.first_identity + unit.num_identities)
    return {person.index: person.num_shots for person in held.identities if person.index in own}


def _choose(held: Held, dataset: Store, version: str | None) -> Successor:
    """The successor under the version asked for, or the next that is free or begun by this."""
    versions = [version] if version else next_versions(held.version.version)
    for successor in planned_successors(held, versions):
        store = dataset.below(layout.release_path(successor.version))
        there = read_plan(store)
        if there.hash == successor.plan.hash if there else _begun_alike(store, successor.contents):
            return successor
    raise PlanError(
        f"--version: {version} is there already and is not this successor; want a number that is "
        "free, or none"
    )


def _begun_alike(store: Store, contents: dict[str, bytes]) -> bool:
    """Whether all that lies in a version without a plan is what this would write first."""
    entries = store.entries("")
    return all(e.name in contents and store.get(e.name) == contents[e.name] for e in entries)


def next_versions(version: str) -> Iterator[str]:
    """Versions after one, the nearest first: 0.1.0 is followed by 0.1.1, 0.1 and rc by .1."""
    match = re.fullmatch(r"(.*\d+\.\d+\.)(\d+)", version)
    stem, number = (match[1], int(match[2])) if match else (f"{version}.", 0)
    while True:
        number += 1
        yield f"{stem}{number}"


def _write(
    successor: Successor, manifest: Manifest, dataset: Store, store: Store, log: Log
) -> bool:
    """Write, seal and finish a successor; False where no face is left for one."""
    held, plan = successor.held, successor.plan
    if not _others(held, manifest):
        return False
    begin(store, plan, successor.contents)
    done = committed_units(store)
    left = [shard for shard in manifest.shards if shard.unit not in done]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda shard: _write_unit(successor, shard, store), left))
    made = partial(card, held, plan)
    sealed = publish(dataset, store, plan, card=made, latest=False)  # that moves last of all
    log(f"{held.version.name}: {sealed.counts.kept} faces are in {plan.request.release.version}")
    return True


def _others(held: Held, manifest: Manifest) -> bool:
    """Whether anybody else has a kept face."""
    affected = set(held.units)
    return any(
        shard.counts.kept
        if shard.unit not in affected
        else any(
            row["identity"] not in held.indices
            for row in metadata_rows(held.version.readable, shard.unit)
        )
        for shard in manifest.shards
    )


def _write_unit(successor: Successor, shard: Shard, store: Store) -> None:
    held, old = successor.held, successor.held.version.readable
    leaving, plan_hash = _leaving(successor.plan.unit(shard.unit), held), successor.plan.hash
    if leaving:
        rewrite_unit(old, store, shard, plan_hash, leaving)
    else:
        copy_unit(old, store, shard, plan_hash)


def _finish(mark: Withdrawn, dataset: Store, log: Log) -> str:
    """Move latest.json to the successor of a marked version, unless it is withdrawn itself."""
    if mark.successor is None:
        return ""
    store = dataset.below(layout.release_path(mark.successor))
    plan = read_plan(store)
    if plan is not None and withdrawal_of(store) is None:
        log(f"latest.json points at {point_latest(dataset, plan) or mark.successor}")
    return mark.successor


def card(held: Held, plan: Plan, manifest: Manifest) -> bytes:
    """The card of a successor: what it is made of, and that nothing in it is measured yet.

    The head of the other version's card (YAML, for the hub) is kept; its figures are not.
    """
    old, counts = held.version, manifest.counts
    name = f"{manifest.dataset} {manifest.version}"
    text = old.store.get(layout.CARD).decode() if old.store.exists(layout.CARD) else ""
    head = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    body = f"""# {name}

This is {old.name} without people who withdrew their consent (plan `{plan.hash}`).

- Everybody else is as in {old.version}: the same class labels, keys and bytes of every image. Class
  labels of those who left stay unused.
- {counts.kept} images, {counts.shortfall} fewer than were planned of those who are in it.
- Figures of {old.version} were measured with the people who left, so they are not repeated, and
  nothing is measured of this version yet. `python -m jobs.evaluate RELEASE CONFIG`, with the config
  and the source of {old.version}, measures it and writes a full card, report and croissant.json.
- Networks that learned from people who left are as they were; `lineage.json` lists them all.
- LICENSE and NOTICE are written when it is measured.{_licensed(old.store)}
- Scores of other people's images (nearest cosines) may have been measured against those who left.
"""
    return ((head[0] if head else "") + body).encode()


def _licensed(old: Store) -> str:
    """The license that a version was stated under, as a sentence; none where that was not kept."""
    if not old.exists(layout.LINEAGE):
        return ""
    stated = Lineage.from_json(old.get(layout.LINEAGE)).license
    return f" Its stated license is {stated}, as that of the version it was made of."
