"""Places for the ranks of a gang: refused in time at first, waited for after nodes were lost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from factory.config import Config
from factory.errors import FactoryError
from factory.records import Log

FIRST_TIMEOUT_S = 600.0
"""How long a gang that has never run waits for its places; an autoscaler needs minutes."""
PATIENCE_S = 60.0
"""How long places are waited for before fewer ranks are tried (compute.min_ranks)."""
NOTICE_S = 60.0
"""Seconds between log lines of a gang that waits."""
ANSWER_S = 60.0
"""How long a node may take to start a process before it counts as lost."""


class Places:
    """Finds a placement group for a gang, with all its ranks or as many as fit."""

    def __init__(self, config: Config, log: Log) -> None:
        self._log, compute = log, config.compute
        self._num_ranks = compute.num_ranks or 1
        self._counts = possible_ranks(self._num_ranks, compute.min_ranks)
        # now, because a cluster that has lost its last GPU would be taken for one without
        there = ray.cluster_resources().get("GPU", 0) > 0
        on_gpu = compute.device == "cuda" or (compute.device == "auto" and there)
        cpus = config.fleet.cpus_per_actor
        self._bundle = {"GPU": 1.0, "CPU": cpus} if on_gpu else {"CPU": cpus}

    def take(self, *, forever: bool) -> tuple[Any, dict[str, float]]:
        """(a placement group that is ready, what each of its bundles has).

        Waits as long as it takes and says now and then what is missing. Unless `forever`, raises
        FactoryError once FIRST_TIMEOUT_S has passed.
        """
        began = noticed = time.monotonic()
        while True:
            for count in self._counts:
                group = placement_group([self._bundle] * count, strategy="PACK")
                until = time.monotonic() + PATIENCE_S
                while len(self._counts) == 1 or time.monotonic() < until:
                    if group.wait(1.0):
                        if count < self._num_ranks:
                            self._log(f"going on with {count} of {self._num_ranks} ranks")
                        return group, self._bundle
                    if not forever and time.monotonic() - began >= FIRST_TIMEOUT_S:
                        remove_placement_group(group)
                        raise FactoryError(
                            f"compute.num_ranks: the cluster has no room for {self._missing()}; "
                            "want fewer ranks, or more nodes"
                        )
                    if time.monotonic() - noticed >= NOTICE_S:
                        noticed = time.monotonic()
                        self._log(
                            f"waiting for room for {self._missing()}, "
                            f"{noticed - began:.0f} s so far"
                        )
                remove_placement_group(group)

    def _missing(self) -> str:
        there = ray.cluster_resources()
        nodes = sum(node["Alive"] for node in ray.nodes())
        wanted = f"{self._num_ranks} ranks"
        if len(self._counts) > 1:
            wanted = f"{self._num_ranks} ranks (or {self._counts[-1]})"
        return (
            f"{wanted} of {self._bundle}; there are {there.get('GPU', 0):g} GPUs and "
            f"{there.get('CPU', 0):g} CPUs on {nodes} nodes"
        )


def possible_ranks(num_ranks: int, min_ranks: int | None) -> list[int]:
    """Numbers of ranks that a gang may have, the largest first: divisors of num_ranks.

    A batch that num_ranks divide evenly is divided evenly by each of them, and states are whole, so
    any of them can go on from any other's.
    """
    least = min_ranks or num_ranks
    return [count for count in range(num_ranks, least - 1, -1) if num_ranks % count == 0]


def a_node_is_lost(nodes: Iterable[str]) -> bool:
    """Whether one of the nodes is gone or does not answer.

    Each is asked to run a task, because the cluster learns of a node's end later than the actors on
    other nodes that exchanged tensors with it.
    """
    remote: Any = ray.remote
    answer = remote(num_cpus=0, max_retries=0)(_answer)
    answers = [
        answer.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote()
        for node in nodes
    ]
    try:
        ray.get(answers, timeout=ANSWER_S)
    except (RayError, GetTimeoutError):
        return True
    return False


def _answer() -> None:
    """Show that a node can start a process."""
