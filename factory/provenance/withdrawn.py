"""The mark of a version that people have withdrawn from: whoever reads it is told to use another.

It lies in the release's prefix beside what is sealed, is created once, and names nobody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from factory.errors import IntegrityError, SourceError
from factory.store import Store

WITHDRAWN = "_withdrawn.json"
REASON = "people in it withdrew their consent"


@dataclass(frozen=True)
class Withdrawn:
    """When a version was withdrawn, why, and which version takes its place."""

    successor: str | None
    """None where nobody is left whom a successor could hold."""
    when: str
    """Day, YYYY-MM-DD."""
    reason: str = REASON
    deleted: str = ""
    """Day on which what held the people was deleted; empty: it is still there."""
    rosters: tuple[str, ...] = ()
    """sha256 of every roster that took the place of the planned one when people were deleted from
    it: the same without them."""

    @property
    def line(self) -> str:
        """What happened and what to use, in words that go on after a name."""
        gone = f", and what held them was deleted on {self.deleted}" if self.deleted else ""
        use = f"use its successor {self.successor}" if self.successor else "it has no successor"
        return f"was withdrawn on {self.when} ({self.reason}){gone}; {use}"

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def withdrawal_of(store: Store) -> Withdrawn | None:
    """The mark of the release in a store; None where nobody withdrew.

    Raises IntegrityError for a file that holds something else.
    """
    if not store.exists(WITHDRAWN):
        return None
    try:
        body = json.loads(store.get(WITHDRAWN))
        return Withdrawn(**(body | {"rosters": tuple(body.get("rosters", ()))}))
    except (ValueError, TypeError, AttributeError):
        raise IntegrityError(
            f"{store.url}/{WITHDRAWN}: is not the mark of a withdrawal; restore it"
        ) from None


def mark_withdrawn(store: Store, mark: Withdrawn) -> Withdrawn:
    """Create the mark; one that is there already stays and is returned."""
    store.swap(WITHDRAWN, None, mark.to_json())
    return withdrawal_of(store) or mark


def mark_deleted(store: Store, when: str, roster_sha256: str) -> None:
    """Note in the mark that what held people is deleted, and the roster without them.

    Raises IntegrityError where another process changes the mark meanwhile.
    """
    mark = withdrawal_of(store)
    assert mark is not None, "only what is withdrawn is deleted"
    rosters = tuple(dict.fromkeys((*mark.rosters, roster_sha256)))
    noted = replace(mark, deleted=when, rosters=rosters)
    if not store.swap(WITHDRAWN, store.get(WITHDRAWN), noted.to_json()):
        raise IntegrityError(f"{store.url}/{WITHDRAWN}: has changed meanwhile; run this again")


def refuse_withdrawn(store: Store, key: str = "source.path") -> None:
    """Raise SourceError for a release that is withdrawn; `key` is what named it."""
    mark = withdrawal_of(store)
    if mark:
        anyway = " (source.allow_withdrawn=true reads it all the same)" if "." in key else ""
        raise SourceError(f"{key}: {store.url} {mark.line}{anyway}")
