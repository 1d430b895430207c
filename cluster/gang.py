"""A gang: the ranks of one training as Ray actors in one placement group, a GPU each.

Ranks stand or fall together. When one dies the others fail at their next exchange, so all are
replaced and the training resumes from its last whole state. A rank that was lost with its node is
waited for, however long that takes (`gang_places`), and is nobody's fault; after
`compute.max_restarts` other restarts in a row that brought no new state the training is given up.
training.out must be in a bucket, or a folder that all nodes see.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import remove_placement_group
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from cluster.gang_places import Places, a_node_is_lost
from cluster.runtime import actor_class, connect
from factory.config import Config
from factory.errors import MAY_GO_AGAIN, FactoryError
from factory.records import Log, Train
from factory.training.bucket_states import latest_in_bucket
from factory.training.folder_states import latest_state
from factory.training.shared_out import store_of

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
    """Run `train` on compute.num_ranks ranks to its end and return the metrics of rank 0.

    After nodes were lost it waits for others or, with compute.min_ranks, goes on with fewer ranks.
    Raises FactoryError for a gang that the cluster has no room for at its first start.
    """
    connect(config.fleet)
    places = Places(config, log)
    restarts, state = 0, latest_state_name(config)
    fitted = state is not None  # a training with a state has had its places once
    while True:
        gang = Gang(config, *places.take(forever=fitted))
        fitted = True
        try:
            return gang.run(train, log)
        except RayError as error:
            cause = error  # often only the news that another rank has gone
            ours = error.cause if isinstance(error, RayTaskError) else None
            if isinstance(ours, FactoryError) and ours.exit_code != MAY_GO_AGAIN:
                raise ours from error
            lost = gang.lost_a_node(cause)
        finally:
            gang.disband()
        now = latest_state_name(config)
        if now != state:
            restarts = 0
        elif not lost:
            restarts += 1
        state = now
        reason = str(ours or cause).strip().splitlines()[-1].strip()
        if restarts > config.compute.max_restarts:
            # of its own type, because that is the exit code
            met = type(ours) if isinstance(ours, FactoryError) else FactoryError
            raise met(
                f"compute.max_restarts: the gang failed {restarts} times without a new state in "
                f"{config.training.out} (last: {reason})"
            ) from cause
        what = "a node was lost" if lost else "a rank was lost"
        log(f"{what} ({reason}); going on from {now or 'the beginning'}")


class Gang:
    """The actors of one attempt, in the bundles of a placement group that is ready."""

    def __init__(self, config: Config, group: Any, bundle: dict[str, float]) -> None:
        count = len(group.bundle_specs)
        self._config = replace(config, compute=replace(config.compute, num_ranks=count))
        self._group = group
        self._nodes = set(ray.util.placement_group_table(group)["bundles_to_node_id"].values())
        rank_class = actor_class(Rank, max_restarts=0, max_task_retries=0)
        self.ranks = [
            rank_class.options(
                num_cpus=bundle["CPU"],
                num_gpus=bundle.get("GPU", 0.0),
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, number),
            ).remote()
            for number in range(count)
        ]
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._log_relay = actor_class(LogRelay, num_cpus=0, scheduling_strategy=here).remote()
        self._running: list[Any] = []

    def run(self, train: Train, log: Log) -> dict[str, Any]:
        """Start all ranks and wait for them; raises the first error."""
        address, port = ray.get(self.ranks[0].address.remote())
        shared = {"WORLD_SIZE": str(len(self.ranks)), "LOCAL_RANK": "0"}
        shared |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
        self._running = [
            actor.run.remote(train, self._config, self._log_relay, shared | {"RANK": str(number)})
            for number, actor in enumerate(self.ranks)
        ]
        waiting = list(self._running)
        while waiting:
            done, waiting = ray.wait(waiting, timeout=WAIT_S)
            for line in ray.get(self._log_relay.take.remote()):
                log(line)
            ray.get(done)
        return dict(ray.get(self._running[0]))

    def lost_a_node(self, error: Exception) -> bool:
        """Whether the gang failed because a node was taken away or is gone."""
        if _preempted(error) or a_node_is_lost(self._nodes):
            return True
        done, _ = ray.wait(self._running, num_returns=len(self._running), timeout=0)
        return any(_preempted(_error_of(reference)) for reference in done)

    def disband(self) -> None:
        """End every process and give the places back."""
        for actor in (*self.ranks, self._log_relay):
            ray.kill(actor)
        remove_placement_group(self._group)


def latest_state_name(config: Config) -> str | None:
    """Name of the training's last whole state, or None."""
    if "://" in config.training.out:
        return latest_in_bucket(store_of(config))
    state = latest_state(Path(config.training.out))
    return state.name if state else None


def _preempted(error: Exception | None) -> bool:
    return isinstance(error, RayActorError) and error.preempted


def _error_of(reference: Any) -> Exception | None:
    try:
        ray.get(reference)
    except RayError as error:
        return error
    return None
