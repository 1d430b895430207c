"""Files of a release that another version holds: a union lists them as ../VERSION/NAME.

Such paths are those of SHA256SUMS, from the release's folder, so `sha256sum -c` follows them too.
Nothing is ever written or deleted through a reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from factory.store.base import Entry, Store

REFERENCE = re.compile(r"\.\./(?!\.+/)([A-Za-z0-9._-]+)/([^/].*)")


def split(path: str) -> tuple[str, str]:
    """(version, name below its folder) of a path in SHA256SUMS; "" for the release's own files."""
    match = REFERENCE.fullmatch(path)
    return (match[1], match[2]) if match else ("", path)


def owner_of(store: Store, path: str) -> tuple[Store, str]:
    """The store that holds a path of the release in `store`, and the name there."""
    version, name = split(path)
    return (store.beside(version), name) if version else (store, name)


def following(store: Store, paths: Iterable[str]) -> Store:
    """A store in which files that other versions hold are found by their names.

    `paths` are those that the release lists; without references among them it is `store` itself.
    """
    versions = {name: version for version, name in map(split, paths) if version}
    if not versions:
        return store
    return cast(Store, FollowingStore(store, versions))  # because __getattr__ gives the rest


class FollowingStore:
    """A release's store that reads names which other versions hold from those."""

    def __init__(self, store: Store, versions: Mapping[str, str]) -> None:
        """`versions` holds the version of each name that lies in another one."""
        self.url, self._own, self._versions = store.url, store, dict(versions)
        self._others = {one: store.beside(one) for one in set(versions.values())}

    def __getattr__(self, name: str) -> Any:
        """Whatever writes, deletes or looks after the release's own files."""
        if name.startswith("_"):
            raise AttributeError(name)  # as copy and pickle ask before there are any
        return getattr(self._own, name)

    def get(self, name: str) -> bytes:
        return self._of(name).get(name)

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        return self._of(name).stream(name, start, stop)

    def exists(self, name: str) -> bool:
        return self._of(name).exists(name)

    def size(self, name: str) -> int | None:
        return self._of(name).size(name)

    def sha256(self, name: str) -> str:
        return self._of(name).sha256(name)

    def list(self, prefix: str) -> list[str]:
        referred = [name for name in self._versions if name.startswith(prefix)]
        return sorted({*self._own.list(prefix), *referred})

    def entries(self, prefix: str) -> Sequence[Entry]:
        found = {entry.name: entry for entry in self._own.entries(prefix)}
        for version, other in self._others.items():
            of_version = [e for e in other.entries(prefix) if self._versions.get(e.name) == version]
            found |= {entry.name: entry for entry in of_version}
        return [found[name] for name in sorted(found)]

    def below(self, prefix: str) -> Store:
        return self._own.below(prefix)

    def beside(self, name: str) -> Store:
        return self._own.beside(name)

    def _of(self, name: str) -> Store:
        version = self._versions.get(name)
        return self._others[version] if version else self._own
