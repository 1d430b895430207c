"""What happens to units, as lines of JSON in a file (fleet.events).

Who has a unit, what was in hand when an actor died, what was committed.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factory.records import Shard
from factory.store.atomic import append_line, check_place, dispensable
from factory.store.json_text import json_text


class EventLog:
    """Appends lines to a file of the driver's machine; without a file it does nothing.

    Each line names the process, since several runs may share a file. Raises StoreError where the
    file cannot be written from the beginning; a line that a full disk refuses later is left out.
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        if self._path:
            check_place("fleet.events", self._path.parent)

    def write(self, event: str, **details: Any) -> None:
        """Append a line: time, event, and its details (unit, worker, node, shots, error)."""
        if self._path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json_text({"time": now, "pid": os.getpid(), "event": event, **details})
        with dispensable("fleet.events"):  # because no release should end for its log
            append_line(self._path, line)

    def committed(self, shard: Shard) -> None:
        counts, timings = shard.counts, shard.timings
        self.write(
            "committed",
            plan=shard.plan_hash[:12],
            unit=shard.unit,
            attempt=shard.attempt,
            shots=counts.shots,
            kept=counts.kept,
            reasons=counts.reasons,
            quarantined=counts.quarantined,
            seconds=round(timings.total_s, 3),
            upload_s=round(timings.upload_s, 3),
            retries=timings.retries,
        )
