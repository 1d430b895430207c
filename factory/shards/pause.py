"""A release that is paused: a note in its store, which every driver heeds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from factory.errors import PlanError
from factory.shards import layout
from factory.store import Store


@dataclass(frozen=True)
class Pause:
    """Since when a release is paused, and why."""

    since: str
    reason: str

    def refusal(self, url: str) -> str:
        """What is said to whoever would go on."""
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{url}: is paused since {self.since}{why}; `python -m jobs resume {url}`, then run "
            "again to go on from here"
        )


def pause(store: Store, reason: str = "") -> Pause:
    """Let no unit of the release in `store` be begun any more; the pause that holds.

    Raises PlanError where no release was begun, or it is sealed.
    """
    if not store.exists(layout.PLAN):
        raise PlanError(f"{store.url}: no plan.json, so no release was begun here")
    if store.exists(layout.SUCCESS):
        raise PlanError(f"{store.url}: is finished; there is nothing to pause")
    made = Pause(datetime.now(UTC).isoformat(timespec="seconds"), reason)
    store.swap(layout.PAUSE, None, json.dumps(asdict(made), allow_nan=False).encode())
    return pause_of(store) or made


def resume(store: Store) -> bool:
    """Take a pause back; whether there was one."""
    paused = pause_of(store) is not None
    store.delete(layout.PAUSE)
    return paused


def pause_of(store: Store) -> Pause | None:
    """The pause of a release, or None."""
    try:
        return Pause(**json.loads(store.get(layout.PAUSE)))
    except FileNotFoundError:
        return None
