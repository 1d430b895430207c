"""A gang: the ranks of one training as Ray actors in one placement group, a GPU each.

Ranks stand or fall together. When one dies the others fail at their next exchange, so all are
replaced and the training resumes from its last whole state; after `compute.max_restarts` restarts
in a row that brought no new state it is given up. training.out must be a folder that all nodes see.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.runtime import actor_class, connect
from factory.config import Config
from factory.errors import FactoryError
from factory.records import Log, Train
from factory.training.run_state import latest_state

PLACEMENT_TIMEOUT_S = 600.0
WAIT_S = 1.0


class LogRelay:
    """Lines of the ranks on their way to the driver."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


class Rank:
    """One process of a gang. Ray shows it one GPU at most, so its local rank is 0."""

    def address(self) -> tuple[str, int]:
        """(IP of this node, a port that is free now), where rank 0 will listen."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def run(
        self, train: Train, config: Config, log_relay: Any, environment: dict[str, str]
    ) -> dict[str, Any]:
        os.environ.update(environment)
        return train(config, lambda line: ray.get(log_relay.write.remote(line)))


def run_gang(train: Train, config: Config, log: Log = print) -> dict[str, Any]:
    """Run `train` on compute.num_ranks ranks to its end and return the metrics of rank 0."""
    connect(config.fleet)
    restarts, state = 0, latest_state_name(config)
    while True:
        gang = Gang(config)
        try:
            return gang.run(train, log)
        except RayTaskError as error:
            if isinstance(error.cause, FactoryError):
                raise error.cause from error  # itself, because its type is the exit code
            cause: Exception = error  # often only the news that another rank has gone
        except RayError as error:
            cause = error
        finally:
            gang.disband()
        now = latest_state_name(config)
        restarts = restarts + 1 if now == state else 0
        state = now
        reason = str(cause).strip().splitlines()[-1].strip()
        if restarts > config.compute.max_restarts:
            raise FactoryError(
                f"compute.max_restarts: the gang failed {restarts} times without a new state in "
                f"{config.training.out} (last: {reason})"
            ) from cause
        log(f"a rank was lost ({reason}); going on from {now or 'the beginning'}")


class Gang:
    """The actors of one attempt."""

    def __init__(self, config: Config) -> None:
        self._config = config
        count = config.compute.num_ranks or 1
        on_gpu = config.compute.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
        cpus = config.fleet.cpus_per_actor
        bundle = {"GPU": 1.0, "CPU": cpus} if on_gpu else {"CPU": cpus}
        self._group = placement_group([bundle] * count, strategy="PACK")
        if not self._group.wait(PLACEMENT_TIMEOUT_S):
            remove_placement_group(self._group)
            raise FactoryError(
                f"compute.num_ranks: the cluster has no room for {count} ranks of {bundle}; want "
                "fewer ranks, or more nodes"
            )
        rank_class = actor_class(Rank, max_restarts=0, max_task_retries=0)
        self.ranks = [
            rank_class.options(
                num_cpus=cpus,
                num_gpus=float(on_gpu),
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, number),
            ).remote()
            for number in range(count)
        ]
        self._log_relay = actor_class(LogRelay, num_cpus=0).remote()

    def run(self, train: Train, log: Log) -> dict[str, Any]:
        """Start all ranks and wait for them; raises the first error."""
        address, port = ray.get(self.ranks[0].address.remote())
        shared = {"WORLD_SIZE": str(len(self.ranks)), "LOCAL_RANK": "0"}
        shared |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
        running = [
            actor.run.remote(train, self._config, self._log_relay, shared | {"RANK": str(number)})
            for number, actor in enumerate(self.ranks)
        ]
        waiting = list(running)
        while waiting:
            done, waiting = ray.wait(waiting, timeout=WAIT_S)
            for line in ray.get(self._log_relay.take.remote()):
                log(line)
            ray.get(done)
        return dict(ray.get(running[0]))

    def disband(self) -> None:
        """End every process and give the places back."""
        for actor in (*self.ranks, self._log_relay):
            ray.kill(actor)
        remove_placement_group(self._group)


def latest_state_name(config: Config) -> str | None:
    """Name of the training's last whole state, or None."""
    state = latest_state(Path(config.training.out))
    return state.name if state else None
