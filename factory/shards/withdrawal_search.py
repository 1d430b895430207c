"""What a store holds of a person: versions with their images, and their LoRAs.

A person is known by name, or by the pseudonym that a name has under the owner's key. Whoever is in
a release that is the source of another one is followed there, whatever they are called in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from factory.errors import IntegrityError, PlanError
from factory.identities.people import WITHDRAWN, People
from factory.provenance.pseudonyms import KEY_VARIABLE, is_pseudonym, pseudonym
from factory.provenance.withdrawn import Withdrawn, withdrawal_of
from factory.records import Identity
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shards.reader import open_sealed
from factory.shots.plan import LoraPlan, Plan
from factory.store import LocalStore, Store
from factory.store.base import digest
from factory.store.parquet import read_table, table_to_parquet

PLANS = re.compile(r"([^/]+)/(releases|loras)/([^/]+)/plan\.json")
VIRTUAL_KINDS = {"virtual", "edited"}
"""Kinds of people who do not exist."""


@dataclass(frozen=True)
class Version:
    """A version of a dataset whose plan is written."""

    dataset: str
    version: str
    store: Store
    plan: Plan
    mark: Withdrawn | None

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.version}"

    @property
    def readable(self) -> Store:
        """The store in which files of its units are found."""
        return open_sealed(self.store)

    @property
    def is_sealed(self) -> bool:
        return self.store.exists(layout.SUCCESS)

    def people(self) -> People:
        """The rows of the roster, of which those who were deleted are blank.

        Nobody where there is none. Raises IntegrityError for one that is neither the planned one
        nor one that a deletion left.
        """
        if not self.store.exists(layout.ROSTER):
            return People.of([])
        data = self.store.get(layout.ROSTER)
        mark = withdrawal_of(self.store)  # as it is now
        left = mark.rosters if mark else ()
        if digest([data]) not in (self.plan.roster_sha256[layout.ROSTER], *left):
            raise IntegrityError(
                f"{self.store.url}/{layout.ROSTER}: is not the one the plan was made with; "
                "restore it"
            )
        return People.from_table(read_table(data))


@dataclass(frozen=True)
class Held:
    """A version with images of the person, who are these identities in it."""

    version: Version
    identities: tuple[Identity, ...]

    @property
    def indices(self) -> frozenset[int]:
        return frozenset(person.index for person in self.identities)

    @property
    def rows(self) -> list[int]:
        """Rows of the roster that are the person."""
        return [person.index - self.version.plan.first_identity for person in self.identities]

    def roster_without(self) -> bytes:
        """The roster in which the person's rows keep their index and hold nobody."""
        people, parts, begin = self.version.people(), list[People](), 0
        for row in sorted(self.rows):
            blank = Identity(people[row].index, WITHDRAWN, "", 0, 0.0, 0.0, 0)
            parts += [people[begin:row], People.of([blank])]
            begin = row + 1
        return table_to_parquet(People.joined([*parts, people[begin:]]).table())

    @property
    def units(self) -> list[int]:
        """Units with images of the person."""
        return [
            unit.index
            for unit in self.version.plan.units
            if any(0 <= i - unit.first_identity < unit.num_identities for i in self.indices)
        ]


@dataclass(frozen=True)
class HeldLora:
    """The LoRA of the person in a set."""

    dataset: str
    name: str
    store: Store
    plan: LoraPlan
    unit: int

    @property
    def files(self) -> list[str]:
        """Names of what lies in the store of it, the commit record left out."""
        names = (*layout.files_of(self.unit), layout.quarantine_name(self.unit))
        return [name for name in names if self.store.exists(name)]


@dataclass(frozen=True)
class Names:
    """What a person is called, by name and under the owner's key."""

    given: frozenset[str]
    key: bytes | None = field(default=None, repr=False)
    others: frozenset[str] = frozenset()
    """Names of others in the source, whose pseudonyms show what the key opens."""

    @classmethod
    def of(cls, names: Iterable[str], key: bytes | None, others: Iterable[str] = ()) -> Names:
        """The names themselves, and their pseudonyms where there is a key."""
        own = frozenset(names)
        given = own | {pseudonym(key, name) for name in own} if key else own
        return cls(given, key, frozenset(others))


@dataclass(frozen=True)
class Found:
    """All that was looked through, and what of it holds the person."""

    versions: tuple[Version, ...]
    held: tuple[Held, ...]
    loras: tuple[HeldLora, ...]
    closed: tuple[str, ...] = ()
    """Versions and sets of LoRAs in which names count, and whose pseudonyms the key is not shown to
    tell: they may hold the person all the same."""

    @property
    def fingerprints(self) -> set[str]:
        """Of the sources that the person is in."""
        prints = {held.version.plan.request.source.fingerprint for held in self.held}
        return prints | {lora.plan.request.source.fingerprint for lora in self.loras}

    @property
    def releases(self) -> set[str]:
        """Versions that hold the person, as lineages call them."""
        return {" ".join(held.version.plan.request.dataset_and_version) for held in self.held}


def search(
    root: Store, dataset: str, names: Names, fingerprints: frozenset[str] = frozenset()
) -> Found:
    """What all datasets in a store hold of a person who is in `dataset`.

    Names count in that dataset, and in others where the source is one that the person is known to
    be in: that of a version which holds them, one of `fingerprints`, or such a version itself.
    Raises PlanError where the dataset has no version at all.
    """
    plans = sorted(_plans(root))
    if not any(owner == dataset for owner, *_ in plans):
        raise PlanError(
            f"{root.url.rstrip('/')}/{dataset}: has no version and no set of LoRAs; want the "
            "folder or address above releases/"
        )
    versions = tuple(_versions(root, plans))
    rows = {version.name: [*_real(version)] for version in versions}
    held, looked_for = _held(versions, rows, dataset, names, set(fingerprints))
    known = fingerprints | {one.version.plan.request.source.fingerprint for one in held}
    sets = list(_sets(root, plans, dataset, known))
    loras = [lora for one in sets for lora in _loras(*one, names)]
    called = {name: {row.name for row in rows[name]} for name in looked_for}
    called |= {f"{owner} loras/{name}": set(plan.request.source.people)
               for owner, name, _, plan in sets}  # fmt: skip
    everybody = {row.name for own in rows.values() for row in own}
    own = {row.name for one in held for row in one.identities}
    return Found(versions, held, tuple(loras), tuple(_closed(called, everybody, own, names)))


def refuse_nobody(found: Found, dataset: str, person: str, key: bytes | None) -> None:
    """Raise PlanError where nothing holds the person: virtual, or unknown in the dataset."""
    if found.held or found.loras:
        return
    own = [version for version in found.versions if version.dataset == dataset]
    people = [row for version in own for row in version.people()]
    virtual = {row.name for row in people if row.kind in VIRTUAL_KINDS}
    virtual |= {str(row.index) for row in people if row.kind in VIRTUAL_KINDS}
    if person in virtual or (person.isdecimal() and str(int(person)) in virtual):
        raise PlanError(
            f"{person}: is virtual, nobody who exists, and cannot withdraw; want the name of a "
            "person of the source"
        )
    hint = _SPELLING
    if found.closed:
        hint = f"; people are called by pseudonyms there, {closed_hint(key)}"
    raise PlanError(f"{person}: nobody of this name has images or a LoRA in {dataset}{hint}")


def closed_hint(key: bytes | None) -> str:
    """What to do where pseudonyms are not told by the key in the environment, or there is none."""
    if key is None:
        return f"so set {KEY_VARIABLE}"
    return f"which {KEY_VARIABLE} does not tell; set the key of that release"


_SPELLING = "; want the name as the source spells it (its folder)"


def _plans(root: Store) -> Iterator[tuple[str, str, str]]:
    """(dataset, releases or loras, version or name) of every plan in a store."""
    if isinstance(root, LocalStore):  # whose listing walks through every folder
        files = root.root.glob("*/*/*/plan.json")
        names = [file.relative_to(root.root).as_posix() for file in files]
    else:
        names = root.list("")
    for name in names:
        if match := PLANS.fullmatch(name):
            yield match[1], match[2], match[3]


def _versions(root: Store, plans: list[tuple[str, str, str]]) -> Iterator[Version]:
    for dataset, kind, version in plans:
        store = root.below(f"{dataset}/{kind}/{version}")
        if kind == "releases" and (plan := read_plan(store)):
            yield Version(dataset, version, store, plan, withdrawal_of(store))


def _held(
    versions: tuple[Version, ...],
    rows: dict[str, list[Identity]],
    dataset: str,
    names: Names,
    known: set[str],
) -> tuple[tuple[Held, ...], set[str]]:
    """Versions with the person, those that others were made of before these.

    And the names of all versions in which the person was looked for, by some name. `rows` are the
    real people of each version.
    """
    found: dict[str, Held] = {}
    called: dict[str, set[str]] = {}
    """What the person is called by those who read a version, by the hash of its plan."""
    looked_for: set[str] = set()
    while True:
        before = len(found)
        for version in versions:
            request = version.plan.request
            wanted: set[str] = set()
            if version.dataset == dataset or request.source.fingerprint in known:
                wanted |= names.given
            wanted |= called.get(
                request.source.release.plan_hash if request.source.release else "", set()
            )
            for ancestor in version.plan.derived.of if version.plan.derived else ():
                wanted |= called.get(ancestor.plan_hash, set())
            looked_for |= {version.name} if wanted else set()
            own = tuple(row for row in rows[version.name] if row.name in wanted)
            if own and version.name not in found:
                found[version.name] = Held(version, own)
                known.add(request.source.fingerprint)
                called.setdefault(version.plan.hash, set()).update(_called(own, names.key))
        if len(found) == before:
            return tuple(found.values()), looked_for


def _closed(
    called: dict[str, set[str]], everybody: set[str], found: set[str], names: Names
) -> Iterator[str]:
    """What of `called`, people by what they are in, has pseudonyms the key is not shown to tell.

    It is shown by one of a known name: the person's (`found` is what they are called where they
    were), another one's of the source, or one that some version publishes. All pseudonyms of a
    release are under one key.
    """
    left = {one: own for one, own in called.items() if any(map(is_pseudonym, own))}
    if not left:
        return
    told = set(filter(is_pseudonym, {*names.given, *found}))
    if names.key is not None:
        told |= {pseudonym(names.key, name) for name in {*names.others, *everybody}}
    while opened := [one for one, own in left.items() if own & told]:
        for one in opened:
            told |= set(filter(is_pseudonym, left.pop(one)))
    yield from left


def _real(version: Version) -> Iterator[Identity]:
    """Rows of people who exist, found by columns because a roster may have a million."""
    people = version.people()
    named = pc.not_equal(people.texts("name"), "")
    for row in np.flatnonzero(named.to_numpy(zero_copy_only=False)):
        person = people[int(row)]
        if person.kind not in VIRTUAL_KINDS:
            yield person


def _called(identities: tuple[Identity, ...], key: bytes | None) -> set[str]:
    """Names that a source made of a version has for these: their own, else their class number."""
    own = {person.name for person in identities}
    own |= {f"{person.index:012d}" for person in identities}
    return set(Names.of(own, key).given)


def _sets(
    root: Store, plans: list[tuple[str, str, str]], dataset: str, known: Collection[str]
) -> Iterator[tuple[str, str, Store, LoraPlan]]:
    """(dataset, name, store, plan) of the sets of LoRAs in which names count."""
    for owner, kind, name in plans:
        if kind == "loras":
            store = root.below(f"{owner}/{kind}/{name}")
            plan = LoraPlan.from_json(store.get(layout.PLAN))
            if owner == dataset or plan.request.source.fingerprint in known:
                yield owner, name, store, plan


def _loras(
    dataset: str, name: str, store: Store, plan: LoraPlan, names: Names
) -> Iterator[HeldLora]:
    for unit, person in enumerate(plan.request.source.people):
        if person in names.given:
            yield HeldLora(dataset, name, store, plan, unit)
