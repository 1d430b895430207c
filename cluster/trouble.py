"""Trouble by node and kind: which nodes get no more actors, and when the release stops.

What goes wrong on one node costs that node. Only what would go wrong on every node stops a release:
bad input, bytes that contradict what is committed, or too many nodes that fail alike.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection

from factory.config import FleetConfig
from factory.errors import (
    CheckpointError,
    ConfigError,
    DeviceError,
    FactoryError,
    IntegrityError,
    LeakError,
    OtherMachine,
    PlanError,
    SourceError,
    StoreError,
)
from factory.records import BadNode

MAX_TROUBLES = 2
"""Errors of one kind after which a node gets no more actors."""
GOOD_S = 600.0
"""How long a node that has committed counts as a good one, whatever became of it."""
DIED, SILENT, UNEXPECTED = "died", "silent", "unexpected"
KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (OtherMachine, "other machine"),
    (DeviceError, "device"),
    (StoreError, "store"),
    (IntegrityError, "other files"),
    (CheckpointError, "missing files"),
    (SourceError, "missing files"),
    (MemoryError, "memory"),
    (OSError, "system"),
)
"""What an error tells of a node, the first that fits."""
LASTING = ("other machine", "device", "other files", "missing files")
"""Kinds that do not pass, so that a commit from the same node is no answer to them."""


def kind_of(error: BaseException) -> str:
    """What an error tells of the node it was met on."""
    return next((kind for type_, kind in KINDS if isinstance(error, type_)), UNEXPECTED)


def is_final(error: BaseException, *, opening: bool) -> bool:
    """Whether an error would be met on every node, or tells that bytes are wrong.

    A maker that cannot open has committed nothing, so bytes that it finds wrong are its node's.
    """
    if isinstance(error, ConfigError | PlanError | LeakError):
        return True
    contradicts = isinstance(error, IntegrityError) and not isinstance(error, OtherMachine)
    return contradicts and not opening


class NodeTroubles:
    """What has gone wrong on each node so far."""

    def __init__(self, config: FleetConfig) -> None:
        self._limit_of_deaths = config.max_unit_deaths
        self._max_fraction = config.max_bad_nodes_fraction
        self._counts: Counter[tuple[str, str]] = Counter()
        self._committed_at: dict[str, float] = {}
        self._last: dict[str, tuple[str, BaseException]] = {}
        self.bad: dict[str, BadNode] = {}
        """Nodes that get no more actors, by Ray's id."""

    def note(self, node: str, address: str, kind: str, error: BaseException) -> bool:
        """Count a trouble; whether it makes the node a bad one."""
        self._counts[node, kind] += 1
        self._last[kind] = address, error
        limit = self._limit_of_deaths if kind in (DIED, SILENT) else MAX_TROUBLES
        if node in self.bad or self._counts[node, kind] < limit:
            return False
        self.bad[node] = BadNode(address, kind, last_line(error))
        return True

    def committed(self, node: str) -> None:
        """Note that a node has committed a unit, and forget of it what may have passed."""
        self._committed_at[node] = time.monotonic()
        for key in [key for key in self._counts if key[0] == node and key[1] not in LASTING]:
            del self._counts[key]

    def stop_if_alike(self, alive: Collection[str]) -> None:
        """Raise when too many nodes are bad in the same way, or all of them are bad.

        Counted are the living ones with room (`alive`) and good ones that were lost a moment ago,
        because others may come in their places. The error is of the type that was met last, so that
        its exit code says whether the same command may fare better.
        """
        since = time.monotonic() - GOOD_S
        good = {node for node, at in self._committed_at.items() if at > since} - {*self.bad}
        bad = [self.bad[node] for node in alive if node in self.bad]
        num_nodes = len({*alive, *good})
        for kind, count in Counter(node.kind for node in bad).most_common():
            if count > self._max_fraction * num_nodes or len(bad) == num_nodes:
                address, error = self._last[kind]
                raise as_met(
                    error,
                    f"fleet.max_bad_nodes_fraction: {count} of {num_nodes} nodes fail alike "
                    f"({kind}), want at most {self._max_fraction:g} of them; the last, node "
                    f"{address}: {error}",
                )


def last_line(error: BaseException) -> str:
    """The end of an error's message, which names what happened."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def as_met(error: BaseException, message: str) -> Exception:
    """An error of the same type where it is meant for the user, else one with its traceback."""
    if isinstance(error, FactoryError):
        return type(error)(message)
    return RuntimeError(message)
