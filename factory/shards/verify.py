"""Checks a sealed release: every byte against its digest, every list against the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from factory.config import StoreConfig
from factory.errors import IntegrityError, StoreError
from factory.provenance.withdrawn import WITHDRAWN, withdrawal_of
from factory.records import FileRecord
from factory.shards import layout
from factory.shards.units import DoUnits, OnUnit, one_by_one, unheard
from factory.shots.plan import Plan
from factory.store import Store, open_store
from factory.store.references import owner_of, split

LISTS = (layout.SUMS, layout.EXTRA_SUMS)
READERS = 8
"""Files read at once: a bucket's latency is hidden, hashing releases the interpreter."""


def verify(
    store: Store,
    on_unit: OnUnit = unheard,
    do_units: DoUnits = one_by_one,
    address: StoreConfig | None = None,
) -> list[str]:
    """Re-read every byte; the list of what is wrong, empty when all is well.

    That a version is withdrawn stands first; of one whose people are deleted it is all that is
    said.

    The files of a unit are read where `do_units` does it; a process elsewhere opens the store by
    its `address`. `on_unit` hears (units read, units in all) after each.
    """
    mark = withdrawal_of(store)
    problems = [f"{WITHDRAWN}: the release {mark.line}"] if mark else []
    if mark and mark.deleted:
        return problems
    if not store.exists(layout.SUCCESS):
        problems.append(f"{layout.SUCCESS} is missing: the release is not sealed")
    sealed, extras = (_read_sums(store, name, problems) for name in LISTS)
    problems += [f"{name} is in both lists of digests" for name in sorted({*sealed} & {*extras})]
    gone = missing_versions(store, sealed, problems)
    promised = {n: d for n, d in {**extras, **sealed}.items() if split(n)[0] not in gone}
    by_unit = _by_unit(promised)
    of_units = {name for names in by_unit.values() for name in names}
    others = {name: digest for name, digest in promised.items() if name not in of_units}
    problems += check_files(store, others)
    opened = partial(open_verifier, address) if address else partial(UnitVerifier, store)
    problems += do_units(opened, sorted(by_unit), on_unit)
    for folder in ("data/", "metadata/", "rejects/", "index/", layout.PAIRS):
        strays = set(store.list(folder)) - set(sealed)
        problems += [f"{name} is not in {layout.SUMS}" for name in sorted(strays)]
    is_whole = len(problems) == bool(mark)
    return problems + (_contradictions(store, sealed) if is_whole else [])


class UnitVerifier:
    """Reads the files of units and compares them with both lists of digests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        lists = (_read_sums(store, name, []) for name in LISTS)
        extras, sealed = reversed(list(lists))
        gone = missing_versions(store, sealed, [])
        promised = {**extras, **sealed}
        self._promised = {n: d for n, d in promised.items() if split(n)[0] not in gone}
        self._by_unit = _by_unit(self._promised)

    def __call__(self, unit: int) -> list[str]:
        """What is wrong with a unit's files; raises StoreError where its list is not seen."""
        if unit not in self._by_unit:
            raise StoreError(
                f"{self._store.url}: {layout.SUMS} with unit {unit} is not seen from here; want a "
                "release that all machines see"
            )
        return check_files(self._store, {n: self._promised[n] for n in self._by_unit[unit]})


def open_verifier(address: StoreConfig) -> UnitVerifier:
    """A verifier of the release at an address."""
    return UnitVerifier(open_store(address))


def check_files(store: Store, digests: Mapping[str, str]) -> list[str]:
    """What is wrong with files, whose names and digests are given."""
    with ThreadPoolExecutor(READERS) as pool:
        checked = pool.map(lambda item: _wrong(store, *item), digests.items())
        return [problem for wrong in checked for problem in wrong]


def _by_unit(promised: Mapping[str, str]) -> dict[int, list[str]]:
    """Names of files by the unit that they belong to; without those that belong to none."""
    by_unit: dict[int, list[str]] = {}
    for name in promised:
        unit = layout.unit_of(name)
        if unit is not None:
            by_unit.setdefault(unit, []).append(name)
    return by_unit


def missing_versions(store: Store, sealed: Mapping[str, str], problems: list[str]) -> set[str]:
    """Other versions that hold files of the release and are gone; each adds one problem.

    So does one that was withdrawn, or is not the one that the plan was made of.
    """
    versions = sorted({split(name)[0] for name in sealed} - {""})
    of = _ancestors(store) if versions else {}
    gone = set()
    for version in versions:
        other = store.beside(version)
        count = sum(split(name)[0] == version for name in sealed)
        where = f"version {version}, which holds {count} of its files,"
        if not other.exists(layout.SUCCESS):
            problems.append(f"{where} is gone; restore {other.url}")
            gone.add(version)
        elif other.exists(WITHDRAWN):
            problems.append(f"{where} was withdrawn; use a version that came after it")
        elif version in of and other.sha256(layout.SUMS) != of[version]:
            problems.append(f"{where} is not the one that the plan names; restore it")
    return gone


def _ancestors(store: Store) -> dict[str, str]:
    """sha256 of SHA256SUMS of the versions that a release was made of."""
    try:
        derived = Plan.from_json(store.get(layout.PLAN)).derived
    except (FileNotFoundError, IntegrityError, ValueError, KeyError, TypeError):
        return {}  # because its digest tells that it is gone or altered
    return {one.version: one.sums_sha256 for one in derived.of} if derived else {}


def _wrong(store: Store, path: str, digest: str) -> list[str]:
    try:
        owner, name = owner_of(store, path)
        return [] if owner.sha256(name) == digest else [f"{path} does not have its sha256"]
    except StoreError:
        raise  # the store's fault, not the file's
    except (OSError, ValueError):
        return [f"{path} is missing or cannot be read"]


def _read_sums(store: Store, name: str, problems: list[str]) -> dict[str, str]:
    if not store.exists(name):
        problems.append(f"{name} is missing")
        return {}
    lines = store.get(name).decode(errors="replace").splitlines()
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _contradictions(store: Store, sealed: dict[str, str]) -> list[str]:
    """What whole files say against each other: a digest list that leaves something out."""
    for name in (layout.PLAN, layout.MANIFEST):
        if name not in sealed:
            return [f"{name} is not in {layout.SUMS}"]
    plan = Plan.from_json(store.get(layout.PLAN))  # raises when it contradicts its own hash
    manifest = json.loads(store.get(layout.MANIFEST))
    promised = dict(plan.roster_sha256)
    for shard in manifest["shards"]:
        promised |= {FileRecord(**file).path: file["sha256"] for file in shard["files"]}
    problems = [
        f"{name} is not in {layout.SUMS} with the digest that was committed"
        for name, digest in promised.items()
        if sealed.get(name) != digest
    ]
    if manifest["plan_hash"] != plan.hash or len(manifest["shards"]) != len(plan.units):
        problems.append(f"{layout.MANIFEST} is not that of {layout.PLAN}")
    return problems
