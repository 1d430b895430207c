"""Connect to a Ray cluster, or start a local one that ends with this process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection
from typing import Any

import ray

from factory.config import FleetConfig
from factory.errors import ClusterError, FactoryError
from factory.execution.socket_paths import check_socket_paths


def connect(fleet: FleetConfig) -> None:
    """Join fleet.address or RAY_ADDRESS, else start a local Ray without a dashboard."""
    if ray.is_initialized():
        return
    address = _address(fleet)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a notice
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        else:
            check_socket_paths()
            ray.init(
                address="local",  # because a dead `ray start` may have left its address behind
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                num_cpus=max(os.cpu_count() or 1, fleet.num_workers or 1),
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ClusterError(
            f"fleet.address: cannot reach Ray at {address or 'this machine'} ({reason}); "
            "check the address, or use fleet.runner=inline"
        ) from error
    if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # because ray.init puts its own in its place


def actor_class(kind: type, **options: Any) -> Any:
    """A class whose instances are actors: `actor_class(C, num_cpus=1).remote(...)`.

    Typed as Any, because ray's own types know the names of actor methods only from decorators.
    """
    remote: Any = ray.remote
    return remote(**options)(kind) if options else remote(kind)


def _address(fleet: FleetConfig) -> str | None:
    return fleet.address or os.environ.get("RAY_ADDRESS")


Resources = tuple[float, float]
"""(GPUs, CPUs) of an actor."""


def resources_of_actor(fleet: FleetConfig) -> Resources:
    """What an actor is given: a part of a GPU where there are some, else CPUs.

    There are GPUs where the cluster has them, or is asked to get them (fleet.autoscale).
    """
    gpus = ray.cluster_resources().get("GPU", 0.0)
    if fleet.gpus_per_actor and (gpus or fleet.autoscale):
        return fleet.gpus_per_actor, 0.0
    return 0.0, fleet.cpus_per_actor


def room_for_actors(each: Resources, at_most: int, without: Collection[str] = ()) -> int:
    """How many actors of such resources the cluster can hold, whoever uses it now.

    `without` are ids of nodes that get none.
    """
    return min(at_most, sum(num for node, num in capacities(each).items() if node not in without))


def capacities(each: Resources) -> dict[str, int]:
    """How many actors of such resources each living node can hold, by Ray's id of the node.

    Nodes without room for one are left out.
    """
    room = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = node["Resources"]
            fits = [
                int(there.get(name, 0.0) / wanted + 1e-9)
                for wanted, name in zip(each, ("GPU", "CPU"), strict=True)
                if wanted
            ]
            room[node["NodeID"]] = min(fits, default=sys.maxsize)
    return {node: count for node, count in room.items() if count}


def first_actors(fleet: FleetConfig, num_units: int) -> tuple[Resources, int]:
    """Resources of each actor, and how many actors to have when work starts.

    As many as there is room for and work, no more than fleet.num_workers; those at once where an
    autoscaler is to make room (fleet.autoscale). On a cluster, waits up to fleet.join_timeout_s for
    the nodes that fleet.min_workers need. Raises FactoryError with room for fewer.
    """
    at_most = min(fleet.num_workers or num_units, num_units)
    if fleet.autoscale:
        return resources_of_actor(fleet), at_most
    deadline = time.monotonic() + (fleet.join_timeout_s if _address(fleet) else 0.0)
    while True:
        each = resources_of_actor(fleet)  # again, because the first node to join may bring GPUs
        room = room_for_actors(each, at_most)
        if room >= min(fleet.min_workers, at_most):
            return each, room
        if time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    there = ray.cluster_resources()
    raise FactoryError(
        f"fleet.min_workers: the cluster has {there.get('GPU', 0):g} GPUs and "
        f"{there.get('CPU', 0):g} CPUs, room for {room} actors of {each[0]:g} GPUs and "
        f"{each[1]:g} CPUs, want {fleet.min_workers}; add nodes, or lower it, "
        "fleet.gpus_per_actor or fleet.cpus_per_actor"
    )


def dead_nodes() -> set[str]:
    """Nodes that the cluster has lost, by Ray's id."""
    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def draining_nodes() -> set[str]:
    """Nodes that will go soon and are to get no more work: spot notices, an autoscaler's choice."""
    return set(ray._private.state.state.get_draining_nodes())
