"""Who may replace or delete the files of a unit without a commit record: a lock at its name.

The name of the commit record is where `put_once` and `swap` decide, so a unit that is locked cannot
be committed by anybody else meanwhile, and one that is committed cannot be locked (PROTOCOL). From
the first lock on the name is never free again: a lock becomes the commit record, or is released and
stays as a mark that files may be gone. A maker that finds the mark looks at all its files again.

A lock holds while its holder renews it. Whoever waits takes it over when it has seen the same lock
for as long as the lock says, by its own clock: clocks of two machines are never compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from factory.errors import StoreError, Unavailable
from factory.shards import layout
from factory.store import Store

HOLDS_S = 60.0
"""Seconds for which a lock holds that is not renewed; a holder renews it four times as often."""
PATIENCE_S = 900.0
"""Seconds for which a maker waits for a lock that somebody goes on renewing."""
POLL_S = 0.5
MAX_BYTES = 250
"""A lock has at most so many bytes, a commit record has more: listings tell them apart."""
RELEASED = b'{"lock": "released"}\n'
"""A lock that nobody holds: files of the unit may be gone."""


class LockLost(StoreError):
    """Somebody else took a lock over, because its holder was silent for too long."""


class UnitLock:
    """A lock that this process holds on a unit; `take` gives one."""

    def __init__(self, store: Store, unit: int, purpose: str) -> None:
        self.unit = unit
        self._store, self._name, self._purpose = store, layout.commit_name(unit), purpose
        self._by = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._renewals = 0
        self._one_at_a_time = threading.Lock()

    def to_bytes(self) -> bytes:
        """The content of the lock: who holds it, for what, for how long, and how often renewed."""
        content = {"lock": self._purpose, "by": self._by, "holds_s": HOLDS_S}
        data = (json.dumps(content | {"renewals": self._renewals}, allow_nan=False) + "\n").encode()
        assert len(RELEASED) < len(data) <= MAX_BYTES
        return data

    @contextmanager
    def renewed(self) -> Iterator[UnitLock]:
        """The lock, renewed by a thread; released at the end unless it became a commit record."""
        stop = threading.Event()
        thread = threading.Thread(target=self._renew_until, args=(stop,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            with suppress(StoreError):  # then it runs out
                self._swap(RELEASED)

    def renew(self) -> bool:
        """Show that the holder is alive; False when the lock was lost."""
        return self._swap()

    def commit(self, record: bytes) -> bool:
        """Turn the lock into the commit record; False when it was lost."""
        return self._swap(record)

    def write(self, name: str, content: bytes) -> None:
        """Make a file of the unit hold `content`, whatever is there; raises LockLost.

        What was there is put back when it shows that the lock had been lost before.
        """
        while (before := content_of(self._store, name)) != content:
            self._refuse_when_lost()
            if self._store.swap(name, before, content):
                break
        if not self.is_held():
            if before not in (None, content):
                self._store.swap(name, content, before)
            self._refuse_when_lost()

    def delete(self, name: str) -> None:
        """Delete a file of the unit; raises LockLost.

        One with the same bytes that was committed meanwhile is put back, because the lock had been
        lost before.
        """
        before = content_of(self._store, name)
        if before is None:
            return
        self._refuse_when_lost()
        self._store.delete_if(name, before)
        if not self.is_held():
            record = content_of(self._store, self._name) or RELEASED
            if files_of(record).get(name) == hashlib.sha256(before).hexdigest():
                self._store.swap(name, None, before)
            self._refuse_when_lost()

    def is_held(self) -> bool:
        """Whether the lock in the store is this one; asks the store."""
        return self._own() is not None

    def _own(self) -> bytes | None:
        """This lock as it stands in the store, or None."""
        standing = content_of(self._store, self._name)
        held = standing is not None and _fields(standing).get("by") == self._by
        return standing if held else None

    def _swap(self, data: bytes | None = None) -> bool:
        """Replace the lock by `data`, or by itself renewed; False when it is not held."""
        with self._one_at_a_time:
            own = self._own()
            if own is None:
                return False
            self._renewals += 1
            return self._store.swap(self._name, own, data or self.to_bytes())

    def _renew_until(self, stop: threading.Event) -> None:
        while not stop.wait(HOLDS_S / 4):
            with suppress(StoreError):  # tried again in time, or it runs out
                self.renew()

    def _refuse_when_lost(self) -> None:
        if not self.is_held():
            raise LockLost(
                f"{self._store.url}/{self._name}: this lock was taken over, its holder had been "
                "silent; run again to go on"
            )


def take(store: Store, unit: int, purpose: str, patience_s: float = PATIENCE_S) -> UnitLock | None:
    """Lock a unit; None when it is committed.

    Waits while somebody else renews a lock there, at most `patience_s` seconds, and takes over one
    that is silent. Raises Unavailable after that.
    """
    lock, name = UnitLock(store, unit, purpose), layout.commit_name(unit)
    seen, since, begun = None, monotonic(), monotonic()
    while True:
        standing = content_of(store, name)
        if standing is not None and len(standing) > MAX_BYTES:
            return None
        if standing != seen:
            seen, since = standing, monotonic()
        holds_s = 0.0 if standing is None else float(_fields(standing).get("holds_s", 0.0))
        if monotonic() - since >= holds_s and store.swap(name, standing, lock.to_bytes()):
            return lock
        if monotonic() - begun > patience_s:
            raise Unavailable(
                f"{store.url}/{name}: locked by {_fields(standing or RELEASED).get('by')} "
                f"({_fields(standing or RELEASED).get('lock')}) for {patience_s:.0f} s; let it "
                "finish or stop it, then run again"
            )
        sleep(POLL_S)


def files_of(standing: bytes) -> dict[str, str]:
    """Digests of a commit record's files by name; none for a lock."""
    if len(standing) <= MAX_BYTES:
        return {}
    return {file["name"]: file["sha256"] for file in json.loads(standing)["files"]}


def is_record(size: int | None) -> bool:
    """Whether what has `size` bytes at the name of a commit record is one, and not a lock."""
    return size is not None and size > MAX_BYTES


def content_of(store: Store, name: str) -> bytes | None:
    """All bytes of `name`, or None where it is absent."""
    try:
        return store.get(name)
    except FileNotFoundError:
        return None


def _fields(standing: bytes) -> dict[str, Any]:
    """Fields of a lock; none of what is no lock."""
    if len(standing) > MAX_BYTES:
        return {}
    with suppress(ValueError):
        fields = json.loads(standing)
        return fields if isinstance(fields, dict) else {}
    return {}
