"""What the actors of a node have in hand, noted on that node by an actor that outlives them."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.runtime import actor_class
from factory.execution.retries import ShotId

InHand = tuple[int | None, tuple[ShotId, ...]]
"""(unit, shots) that a worker had in hand at its last note."""


class NodeNotes:
    """What each worker of one node has in hand, and when it last said so."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[InHand, float]] = {}

    def write(self, worker: int, unit: int | None, shots: tuple[ShotId, ...]) -> None:
        self._latest[worker] = (unit, shots), time.monotonic()

    def read(self, worker: int) -> InHand:
        """What the worker had in hand at its last note."""
        in_hand, _ = self._latest.get(worker, ((None, ()), 0.0))
        return in_hand

    def silence_s(self) -> dict[int, float]:
        """Seconds since the last note, by worker."""
        return {worker: time.monotonic() - at for worker, (_, at) in self._latest.items()}

    def forget(self, worker: int) -> None:
        self._latest.pop(worker, None)


class AllNotes:
    """The notes of all nodes, asked for without ever waiting for one of them.

    A node that cannot be reached answers late or never, and costs the driver nothing.
    """

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}
        self._asked: dict[str, tuple[Any, float]] = {}
        self._heard_at: dict[int, float] = {}

    def of(self, node: str) -> Any:
        """The notes of a node, begun where there are none yet."""
        if node not in self._actors:
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            notes = actor_class(NodeNotes, num_cpus=0, scheduling_strategy=there)
            self._actors[node] = notes.remote()
        return self._actors[node]

    def listen(self) -> None:
        """Take the answers that have come, and ask the nodes that have answered again."""
        now = time.monotonic()
        if self._asked:
            waiting = {ref: node for node, (ref, _) in self._asked.items()}
            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
            for ref in ready:
                _, asked_at = self._asked.pop(waiting[ref])
                for worker, silence_s in _answer(ref, {}).items():
                    self._heard_at[worker] = asked_at - silence_s
        for node, actor in self._actors.items():
            if node not in self._asked:
                self._asked[node] = actor.silence_s.remote(), now

    def heard_at(self, worker: int) -> float:
        """When a worker last gave a sign of life that was heard, on this process's clock."""
        return self._heard_at.get(worker, 0.0)

    def forget(self, worker: int, node: str) -> None:
        self._heard_at.pop(worker, None)
        if node in self._actors:
            self._actors[node].forget.remote(worker)

    def drop(self, node: str) -> None:
        """Forget a node that has gone."""
        self._actors.pop(node, None)
        self._asked.pop(node, None)

    def end(self) -> None:
        for actor in self._actors.values():
            ray.kill(actor)


def read_answer(ref: Any) -> InHand:
    """The answer to `read` if it has come; nothing in hand where the notes are gone."""
    nothing: InHand = (None, ())
    return nothing if ref is None else _answer(ref, nothing)


def _answer(ref: Any, otherwise: Any) -> Any:
    """What a call has returned; `otherwise` while it has not, or where it failed."""
    try:
        return ray.get(ref, timeout=0)
    except ray.exceptions.RayError:  # GetTimeoutError is one
        return otherwise
