"""How long a release takes on a cluster: a small discrete-event model of the fleet (simpy).

Actors take units from one driver, draw them, and hand them to their node's uplink while they draw
the next; a preempted node loses what its actors had in hand and in the queue, and comes back after
a while. Nothing here knows Ray: a unit is a number of seconds and bytes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from factory.config import EstimateConfig

MAX_UNCOMMITTED = 2
"""Units that an actor may have drawn and not committed, besides the one it draws (fleet.py)."""
NEVER_S = 1e15
Events = Generator[Any, Any, None]


@dataclass(frozen=True)
class Work:
    """What is to be made: alike units."""

    num_units: int
    draw_s: float
    """Seconds an actor draws a unit, top-ups included."""
    num_bytes: float
    """Bytes of a unit's files."""


@dataclass(frozen=True)
class Forecast:
    """What the model saw."""

    hours: float
    idle_fraction: float
    """Of the actors' time on nodes that are there: opening, a slow uplink, nothing left to draw."""
    driver_fraction: float
    """Of the driver's time."""
    preemptions: int
    lost_fraction: float
    """Of all drawing: drawn for nothing because a node went."""
    node_hours: float
    """Of nodes that are there."""


def simulate(cluster: EstimateConfig, actors_per_node: int, work: Work, seed: int = 0) -> Forecast:
    """One run of the model on estimate.num_nodes; the seed decides when nodes are preempted."""
    return _Model(cluster, actors_per_node, work, seed).run()


@dataclass
class _Node:
    uplink: Any
    up_since: float
    actors: list[_Actor] = field(default_factory=list)


@dataclass
class _Actor:
    node: _Node
    queue: Any
    """Places for the unit that is drawn and those that are not committed."""
    processes: list[Any] = field(default_factory=list)
    held: int = 0
    """Units in hand and in the queue."""


class _Model:
    def __init__(self, cluster: EstimateConfig, each: int, work: Work, seed: int) -> None:
        import simpy

        self._simpy, self._env = simpy, simpy.Environment()
        self._cluster, self._each, self._work = cluster, each, work
        self._rng = np.random.default_rng(seed)
        self._driver = simpy.Resource(self._env)
        self._waiting = self._missing = work.num_units
        self._news, self._done = self._env.event(), self._env.event()
        self._nodes: list[_Node] = []
        self._drawing_s = self._up_s = self._dispatch_s = 0.0
        self._preemptions = 0

    def run(self) -> Forecast:
        for _ in range(self._cluster.num_nodes or 0):
            self._env.process(self._node())
        self._env.run(until=self._done)
        now = self._env.now
        self._up_s += sum(now - node.up_since for node in self._nodes)
        useful_s = self._work.num_units * self._work.draw_s
        return Forecast(
            hours=now / 3600,
            idle_fraction=1 - self._drawing_s / (self._up_s * self._each),
            driver_fraction=self._dispatch_s / now,
            preemptions=self._preemptions,
            lost_fraction=1 - useful_s / max(self._drawing_s, useful_s),
            node_hours=self._up_s / 3600,
        )

    def _node(self) -> Events:
        """A node that is there, is taken, and comes back."""
        while True:
            node = _Node(self._simpy.Resource(self._env), self._env.now)
            self._nodes.append(node)
            for _ in range(self._each):
                queue = self._simpy.Resource(self._env, 1 + MAX_UNCOMMITTED)
                actor = _Actor(node, queue)
                actor.processes.append(self._env.process(self._draw(actor)))
                node.actors.append(actor)
            yield self._env.timeout(self._until_preemption_s())
            self._preempt(node)
            yield self._env.timeout(self._cluster.node_start_s)

    def _draw(self, actor: _Actor) -> Events:
        try:
            yield self._env.timeout(self._cluster.open_s)
            while True:
                slot = actor.queue.request()
                yield slot
                while not self._waiting:
                    yield self._news
                self._waiting -= 1
                actor.held += 1
                with self._driver.request() as turn:
                    yield turn
                    yield self._env.timeout(self._cluster.driver_s)
                self._dispatch_s += self._cluster.driver_s
                yield from self._drawing()
                sent = self._env.process(self._upload(actor, slot))
                actor.processes = [p for p in actor.processes if p.is_alive] + [sent]
        except self._simpy.Interrupt:
            return

    def _drawing(self) -> Events:
        began = self._env.now
        try:
            yield self._env.timeout(self._work.draw_s)
        finally:
            self._drawing_s += self._env.now - began

    def _upload(self, actor: _Actor, slot: Any) -> Events:
        try:
            with actor.node.uplink.request() as turn:
                yield turn
                yield self._env.timeout(self._work.num_bytes / self._cluster.upload_bytes_per_s)
        except self._simpy.Interrupt:
            return
        actor.queue.release(slot)
        actor.held -= 1
        self._missing -= 1
        if not self._missing:
            self._done.succeed()

    def _preempt(self, node: _Node) -> None:
        """Everything that its actors held goes back to the queue."""
        self._preemptions += 1
        self._up_s += self._env.now - node.up_since
        self._nodes.remove(node)
        for actor in node.actors:
            self._waiting += actor.held
            for process in actor.processes:
                if process.is_alive:
                    process.interrupt()
        self._news.succeed()
        self._news = self._env.event()

    def _until_preemption_s(self) -> float:
        a_second = self._cluster.preemptions_per_day / 86_400
        return float(self._rng.exponential(1 / a_second)) if a_second else NEVER_S
