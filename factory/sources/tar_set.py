"""Which tars a source of kind webdataset is: a sealed release, or any tars, in a folder or bucket.

What is read of a sealed release is compared with its SHA256SUMS.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

from factory.config import SourceConfig
from factory.config.addresses import check_address, in_bucket
from factory.errors import IntegrityError, SourceError
from factory.provenance.withdrawn import refuse_withdrawn
from factory.sources.left_out import OTHER_FILE, OTHER_SHARD, SYSTEM_FILE, LeftOut, Tally
from factory.sources.tar_scan import is_system_file
from factory.store import Entry, LocalStore, Store, open_store
from factory.store.references import following, split

SUMS, SUCCESS, PLAN, ROSTER = "SHA256SUMS", "_SUCCESS", "plan.json", "roster.parquet"
MANIFEST, LINEAGE = "index/manifest.json", "lineage.json"
BENCHMARK = "benchmark"
"""The `kind` in the manifest of a release that is a test set."""
SHARD = re.compile(r"data/([^/]+)\.tar")
READERS = 16
"""Files, or images, that one process fetches at once."""
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rec")
"""Files beside shards that may hold faces too."""
OF_A_RELEASE = (PLAN, ROSTER, LINEAGE)
"""Files that lie beside the shards of a release whose seal is gone."""


@dataclass(frozen=True)
class TarSet:
    """Tars by name, with what names them for good."""

    store: Store
    names: tuple[str, ...]
    """Sorted."""
    sums: Mapping[str, str]
    """sha256 by name of what a sealed release consists of; empty for other tars."""
    digest: str
    """Of SHA256SUMS, else of the tars' names, sizes and times."""
    is_single: bool = False
    """Whether a tar was named by itself, so that no file beside it belongs to it."""
    left_out: tuple[LeftOut, ...] = ()
    """Files beside the tars; of a sealed release there are none."""

    @property
    def roster(self) -> str | None:
        """The name of the roster, where there is one."""
        if self.sums:
            return ROSTER if ROSTER in self.sums else None
        return ROSTER if not self.is_single and self.store.exists(ROSTER) else None

    def metadata_of(self, name: str) -> str | None:
        """The table of metadata of a shard, where the release has one."""
        match = SHARD.fullmatch(name)
        table = f"metadata/{match[1]}.parquet" if match else ""
        return table if table in self.sums else None

    def get(self, name: str) -> bytes:
        """A whole file, checked by SHA256SUMS; raises IntegrityError, SourceError without it."""
        try:
            data = self.store.get(name)
        except FileNotFoundError:
            raise SourceError(f"source.path: {self.store.url}/{name} is gone; restore it") from None
        self.check(name, hashlib.sha256(data).hexdigest())
        return data

    def check(self, name: str, sha256: str) -> None:
        """Raise IntegrityError where SHA256SUMS has another digest for a file."""
        if self.sums.get(name, sha256) != sha256:
            raise IntegrityError(
                f"{self.store.url}/{name}: does not have its sha256 in {SUMS}; restore the file"
            )

    def sizes(self) -> list[int]:
        """Bytes of each tar; raises SourceError for one that is gone."""
        if in_bucket(self.store.url) and len(self.names) > 1:
            folder = "data/" if self.names[0].startswith("data/") else ""
            listed = {entry.name: entry.size for entry in self.store.entries(folder)}
            found = [listed.get(name) for name in self.names]
        else:
            with ThreadPoolExecutor(READERS) as pool:
                found = list(pool.map(self.store.size, self.names))
        sizes = [size for size in found if size is not None]
        if len(sizes) < len(found):
            gone = self.names[found.index(None)]
            raise SourceError(f"source.path: {self.store.url}/{gone} is gone; restore it")
        return sizes


def _is_tar(path: str) -> bool:
    return path.endswith(".tar") if in_bucket(path) else Path(path).is_file()


def address_of(config: SourceConfig) -> Store:
    """The folder or bucket prefix that source.path names, or that its tar lies in.

    Raises ConfigError for an address that is none.
    """
    path = config.path or ""
    if not in_bucket(path):
        return LocalStore(Path(path).parent if _is_tar(path) else path)
    check_address("source.path", path, config.store.endpoint_url)
    url = path.rpartition("/")[0] if _is_tar(path) else path
    return open_store(replace(config.store, url=url))


def open_tars(config: SourceConfig) -> TarSet:
    """The tars of a source; raises SourceError where there are none, or a release is not sealed."""
    path, store = config.path or "", address_of(config)
    if _is_tar(path):
        return _single(store, path.rpartition("/")[2])
    return tars_in(
        store, allow_withdrawn=config.allow_withdrawn, allow_benchmark=config.allow_benchmark
    )


def tars_in(
    store: Store, *, allow_withdrawn: bool = False, allow_benchmark: bool = False
) -> TarSet:
    """The tars of a folder or bucket prefix, as `open_tars`.

    Raises SourceError for a release that is withdrawn, or a test set. Every shard of a sealed
    release must be there with its size, and no other one.
    """
    tars = _listed(store, allow_withdrawn)
    if tars.sums:
        manifest = json.loads(tars.get(MANIFEST)) if MANIFEST in tars.sums else {}
        if manifest.get("kind") == BENCHMARK and not allow_benchmark:
            raise SourceError(
                f"source.path: {store.url} is a test set (release.kind=benchmark), never to be "
                "trained on; want a training set, or source.allow_benchmark=true to read it anyway"
            )
        _check_shards(tars, manifest)
    return tars


def _listed(store: Store, allow_withdrawn: bool) -> TarSet:
    """The tars of a folder or bucket prefix, by the names that a release lists."""
    if not allow_withdrawn:
        refuse_withdrawn(store)
    is_sealed = store.exists(SUCCESS)
    if not is_sealed and store.exists(PLAN):
        raise SourceError(f"source.path: release {store.url!r} is not sealed; finish it first")
    if not is_sealed or not store.exists(SUMS):
        return _loose(store)
    content = store.get(SUMS)
    lines = content.decode().splitlines()
    paths = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    sums = {split(path)[1]: digest for path, digest in paths.items()}
    names = tuple(sorted(name for name in sums if SHARD.fullmatch(name)))
    return TarSet(following(store, paths), names, sums, hashlib.sha256(content).hexdigest())


def _check_shards(tars: TarSet, manifest: Mapping[str, Any]) -> None:
    """Raise SourceError for a shard that is gone or too many, IntegrityError for another size.

    A listing may be older than the objects, so those that it has wrong are asked for themselves.
    """
    listed = {entry.name: entry.size for entry in tars.store.entries("data/")}
    sizes, where = _promised_sizes(manifest), tars.store.url
    for name in tars.names:
        found, wanted = listed.get(name), sizes.get(name)
        if found is None or (wanted is not None and found != wanted):
            found = tars.store.size(name)
        if found is None:
            raise SourceError(
                f"source.path: {where}/{name} is gone; restore it, as {SUMS} lists it"
            )
        if wanted is not None and found != wanted:
            raise IntegrityError(
                f"source.path: {where}/{name} has {found} bytes, and the release has {wanted} of "
                "it; restore the file"
            )
    for name in sorted(set(listed) - set(tars.names)):
        if SHARD.fullmatch(name) and not is_system_file(name):
            raise SourceError(
                f"source.path: {where}/{name} is none of the release's shards by its {SUMS}; "
                "remove it, or restore the release"
            )


def _promised_sizes(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of each shard by the release's manifest; empty where there is none."""
    shards = manifest.get("shards", [])
    return {file["name"]: file["size"] for shard in shards for file in shard["files"]}


def _single(store: Store, name: str) -> TarSet:
    """One tar, whatever its name ends in."""
    tars = [entry for entry in _top(store, name) if entry.name == name]
    return TarSet(store, tuple(e.name for e in tars), {}, _digest(store, tars), is_single=True)


def _loose(store: Store) -> TarSet:
    """Tars without a seal: all in the folder data, or else in the folder itself."""
    entries = store.entries("data/")
    below = [] if entries else _below(store)
    entries = sorted(entries or _top(store, ""), key=lambda entry: entry.name)
    tars = [e for e in entries if e.name.endswith(".tar") and not is_system_file(e.name)]
    known = [e for e in _top(store, ROSTER) if e.name == ROSTER]
    tally = Tally()
    for name in below:
        tally.add(OTHER_SHARD, name)
    for entry in [entry for entry in entries if entry not in tars]:
        if is_system_file(entry.name):
            tally.add(SYSTEM_FILE, entry.name)
        elif entry.name not in OF_A_RELEASE:
            is_archive = entry.name.lower().endswith(ARCHIVES)
            tally.add(OTHER_SHARD if is_archive else OTHER_FILE, entry.name)
    names = tuple(entry.name for entry in tars)
    return TarSet(store, names, {}, _digest(store, [*tars, *known]), left_out=tally.all())


def _below(store: Store) -> list[str]:
    """Names of tars in folders right below."""
    if isinstance(store, LocalStore):
        names = [file.relative_to(store.root).as_posix() for file in store.root.glob("*/*.tar")]
    else:
        names = [entry.name for entry in store.entries("") if entry.name.count("/") == 1]
    return sorted(n for n in names if n.endswith(".tar") and not is_system_file(n))


def _digest(store: Store, entries: list[Entry]) -> str:
    """Files without a seal are known by their names, sizes and times."""
    lines = [f"{entry.name} {entry.size} {entry.modified_at!r}" for entry in entries]
    return hashlib.sha256("\n".join([store.url, *lines]).encode()).hexdigest()


def _top(store: Store, prefix: str) -> list[Entry]:
    """Files whose names begin with `prefix`, none in a folder below."""
    if isinstance(store, LocalStore):  # whose entries walk through every folder
        files = [file for file in store.root.glob(f"{escape(prefix)}*") if file.is_file()]
        return [Entry(f.name, f.stat().st_size, f.stat().st_mtime) for f in files]
    return [entry for entry in store.entries(prefix) if "/" not in entry.name]


def release_of(source: SourceConfig) -> dict[str, Any] | None:
    """Which release a source is; None for a source that is none.

    The keys are dataset, version, plan_hash, holds_real_identities and sums_sha256, the digest of
    its SHA256SUMS. Raises IntegrityError for a manifest that SHA256SUMS does not vouch for.
    """
    if source.kind != "webdataset" or _is_tar(source.path or ""):
        return None
    store = address_of(source)
    if not all(store.exists(name) for name in (SUCCESS, MANIFEST, SUMS)):
        return None
    manifest, sums = store.get(MANIFEST), store.get(SUMS)
    if f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}" not in sums.decode().splitlines():
        raise IntegrityError(
            f"source.path: {store.url}/{MANIFEST} is not what {SUMS} says; restore it"
        )
    body = json.loads(manifest)
    keys = ("dataset", "version", "plan_hash", "holds_real_identities")
    return {key: body[key] for key in keys} | {"sums_sha256": hashlib.sha256(sums).hexdigest()}


def lineage_of(source: SourceConfig) -> bytes | None:
    """lineage.json of the release that a source is; None where an older factory wrote none.

    Raises IntegrityError for one that SHA256SUMS does not vouch for.
    """
    store = address_of(source)
    if f"  {LINEAGE}" not in store.get(SUMS).decode():
        return None
    return _listed(store, source.allow_withdrawn).get(LINEAGE)
