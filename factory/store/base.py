"""What a release needs of its storage: create-only puts, compare-and-set, listing, streaming.

Names are relative, with / between parts. `put_once` is the only way shards and commit records are
written: it creates or it refuses, so two drivers can never leave a mixture (shards/PROTOCOL.md,
invariant 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = 1 << 20
"""Size of the pieces in which `stream` hands out an object."""


@dataclass(frozen=True)
class Entry:
    """A name in a store; `upload` names an unfinished multipart upload, else it is None."""

    name: str
    size: int
    modified_at: float
    upload: str | None = None


class Store(Protocol):
    """A folder or a bucket prefix.

    Every method may raise StoreError, and retries passing failures (503, resets, timeouts) itself;
    what then may still pass is Unavailable.
    """

    url: str

    @property
    def num_retries(self) -> int:
        """Requests of this process so far that had to be made again."""
        ...

    def get(self, name: str) -> bytes:
        """All bytes of `name`; raises FileNotFoundError."""
        ...

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes [start, stop) of `name` in blocks; raises FileNotFoundError."""
        ...

    def exists(self, name: str) -> bool: ...

    def size(self, name: str) -> int | None:
        """Bytes of `name` as the object itself says, which no listing does; None: it is absent."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Create or replace, whole or not at all."""
        ...

    def put_once(self, name: str, data: bytes, sha256: str | None = None) -> bool:
        """Create `name`; False when the same bytes are there already.

        Raises Conflict when other bytes are. `sha256` is the hex digest of `data`, for callers that
        have it.
        """
        ...

    def swap(self, name: str, expected: bytes | None, data: bytes) -> bool:
        """Replace `name` only if its content is `expected` (None: absent); False when it is not."""
        ...

    def delete(self, name: str) -> None:
        """Remove `name`; nothing happens when it is not there."""
        ...

    def delete_if(self, name: str, expected: bytes) -> bool:
        """Remove `name` only if its content is `expected`; False when it is not."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Sorted names that begin with `prefix`."""
        ...

    def entries(self, prefix: str) -> Sequence[Entry]:
        """Entries whose names begin with `prefix`, sorted, with sizes and times."""
        ...

    def sha256(self, name: str) -> str:
        """Hex digest of the stored bytes, read again in full; raises FileNotFoundError."""
        ...

    def below(self, prefix: str) -> Store:
        """The same store with all names under `prefix`."""
        ...

    def at(self, url: str) -> Store:
        """The same storage at another address in it, with the same settings."""
        ...

    def beside(self, name: str) -> Store:
        """The folder or prefix of that name beside this one; ValueError for no plain name."""
        ...

    def preflight(self, planned_bytes: int, min_free_bytes: int) -> None:
        """Check that the store can be reached and the planned bytes fit; writes nothing.

        Raises StoreError within seconds, because a wrong address should not take minutes; a server
        that answers, and is only busy, is asked as often as by any other method.
        """
        ...

    def probe(self, log: Callable[[str], None] = print) -> None:
        """Create the same name twice and raise StoreError unless the second is refused.

        What is made is deleted again; `log` hears where that is not allowed.
        """
        ...

    def leftovers(self) -> Sequence[Entry]:
        """Unfinished uploads and temporary files that dead writers left behind."""
        ...

    def discard(self, leftover: Entry) -> None:
        """Remove one of `leftovers`."""
        ...

    def prune(self) -> None:
        """Remove folders that are left without a file, that of the store and above it too.

        Only for places where nobody writes any more. A bucket has no folders.
        """
        ...


def digest(blocks: Iterable[bytes]) -> str:
    """sha256 over blocks, hex."""
    total = hashlib.sha256()
    for block in blocks:
        total.update(block)
    return total.hexdigest()


def check_neighbor(name: str) -> str:
    """The name itself; raises ValueError for one that is not of a folder beside another."""
    if not name.strip(".") or "/" in name:
        raise ValueError(f"store: name {name!r} is not that of a folder beside the store")
    return name


def check_name(name: str) -> str:
    """The name itself; raises ValueError for one that leaves the store."""
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"store: name {name!r} is not below the store")
    return name
