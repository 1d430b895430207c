"""What happens to units, as lines of JSON in a file (fleet.events).

Who has a unit, what was in hand when an actor died, what was committed.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factory.records import Shard


class EventLog:
    """Appends lines to a file of the driver's machine; without a file it does nothing.

    Each line names the process, since several runs may share a file.
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **details: Any) -> None:
        """Append a line: time, event, and its details (unit, worker, node, shots, error)."""
        if self._path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._path.open("a") as file:
            file.write(
                json.dumps({"time": now, "pid": os.getpid(), "event": event, **details}) + "\n"
            )

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
