"""Releases that are not drawn but made of sealed ones: what all kinds of them share.

Roster and plan are written first, then commit records, then the seal: every name is created once,
so the same command goes on where it stopped, and another one under the same version is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.errors import Conflict, PlanError
from factory.identities.roster import Roster
from factory.provenance.effective import narrowest
from factory.provenance.faces import WITHOUT_PEOPLE
from factory.provenance.licenses import OTHER
from factory.provenance.lineage import Lineage, SourceRecord, read_lineage, untold_networks
from factory.provenance.merging import each_once, faces_once
from factory.provenance.withdrawn import WITHDRAWN
from factory.records import Manifest
from factory.shards import layout, manifest
from factory.shards.latest import point_latest
from factory.shards.plan_files import open_plan
from factory.shards.reader import open_sealed
from factory.shots.plan import Ancestor, Derived, Plan
from factory.shots.request import PlanRequest
from factory.store import Store

KINDS = {
    "union": "the union",
    "compact": "the images, in other shards,",
    "withdrawal": "those who did not withdraw",
}
"""What is made of versions, by the kind of the plan's `derived`."""


@dataclass(frozen=True)
class Member:
    """A sealed version that a release is made of."""

    version: str
    store: Store
    """In which files that it refers to are found by their names."""
    plan: Plan
    roster: Roster
    manifest: Manifest
    """Of the files that belong to it."""
    ancestor: Ancestor


def open_member(dataset: Store, version: str) -> Member:
    """A version of a dataset; raises PlanError for one that is not sealed, or was withdrawn."""
    own = dataset.below(layout.release_path(version))
    if not own.exists(layout.SUCCESS):
        raise PlanError(f"{own.url}: is not a sealed release; finish it first, or name another")
    if own.exists(WITHDRAWN):
        raise PlanError(
            f"{own.url}: was withdrawn ({WITHDRAWN}); use the version that came after it"
        )
    store = open_sealed(own)
    plan, roster = open_plan(store)
    sums_sha256 = hashlib.sha256(own.get(layout.SUMS)).hexdigest()
    ancestor = Ancestor(version, plan.hash, sums_sha256)
    return Member(version, store, plan, roster, manifest.sealed_manifest(store, plan), ancestor)


def renamed(request: PlanRequest, version: str) -> PlanRequest:
    """The request under another version."""
    return replace(request, release=replace(request.release, version=version))


def begin(store: Store, plan: Plan, files: Mapping[str, bytes]) -> None:
    """Write roster and whatever else a plan is made with, then the plan itself.

    Raises PlanError where another release was begun under the version.
    """
    try:
        for name, content in files.items():
            store.put_once(name, content)
        store.put_once(layout.PLAN, plan.to_json())
    except Conflict:
        raise PlanError(
            f"{store.url}: another release was begun there; choose another version, or the command "
            "it was begun with"
        ) from None


def publish(
    dataset: Store,
    store: Store,
    plan: Plan,
    *,
    card: Callable[[Manifest], bytes] | None = None,
    latest: bool = True,
) -> Manifest:
    """Seal a release whose units are all committed, let latest.json point at it, and mark it.

    Its vectors are part of it where commit records list some. `card` is written unless the release
    is published already, since it may have been measured; without `latest` it does not move.
    """
    sealed = manifest.seal(store, plan, 1.0, keep_vectors=True)  # its ancestors passed the limit
    if card and not store.exists(layout.SUCCESS):
        store.put(layout.CARD, card(sealed))
    manifest.seal_extras(store)
    if latest:
        point_latest(dataset, plan)
    store.put_once(layout.SUCCESS, b"")
    return sealed


def made_of(derived: Derived) -> str:
    """What a release is, of which versions, in words: "the union of 0.1.0 and 0.2.0"."""
    *others, last = [one.version for one in derived.of]
    versions = f"{', '.join(others)} and {last}" if others else last
    return f"{KINDS[derived.kind]} of {versions}"


def joined_lineage(members: Sequence[Member]) -> dict[str, bytes]:
    """lineage.json of several releases together, every record once; none where none has one.

    Of a member without one its plan tells the digests, and every license of it is unknown. The
    license of all is the narrowest of theirs (`provenance.effective.narrowest`).
    """
    known = [read_lineage(member.store) for member in members]
    if not any(known):
        return {}
    if len(members) == 1:
        return {layout.LINEAGE: members[0].store.get(layout.LINEAGE)}
    told = [one for one in known if one]
    untold = [_untold(m.plan.request) for m, one in zip(members, known, strict=True) if not one]
    fingerprints = {source.fingerprint for one in told for source in one.sources}
    sources = [source for one in told for source in one.sources]
    sources += [s for one in untold for s in one.sources if s.fingerprint not in fingerprints]
    networks = each_once(network for one in (*told, *untold) for network in one.networks)
    joined = Lineage(tuple(faces_once(sources)), tuple(networks))
    license = narrowest((one.license or OTHER for one in (*told, *untold)), joined)
    return {layout.LINEAGE: replace(joined, license=license).to_json()}


def _untold(request: PlanRequest) -> Lineage:
    """What the plan of a release without lineage tells: which faces and which networks."""
    faces = request.source
    is_real = (
        faces.release.holds_real_identities if faces.release else faces.kind not in WITHOUT_PEOPLE
    )
    source = SourceRecord(
        faces.kind, faces.fingerprint, faces.num_images, faces.num_identities, is_real
    )
    return Lineage((source,), tuple(untold_networks(request.weights)))
