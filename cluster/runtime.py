"""Connect to a Ray cluster, or start a local one that ends with this process."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

import ray

from factory.config import FleetConfig
from factory.errors import FactoryError


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
            ray.init(
                address="local",  # because a dead `ray start` may have left its address behind
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                num_cpus=max(os.cpu_count() or 1, fleet.num_workers or 1),
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FactoryError(
            f"fleet.address: cannot reach Ray at {address or 'this machine'} ({reason}); "
            "check the address, or use fleet.runner=inline"
        ) from error
    if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # because ray.init puts its own in its place


def _address(fleet: FleetConfig) -> str | None:
    return fleet.address or os.environ.get("RAY_ADDRESS")


Share = tuple[float, float]
"""(GPUs, CPUs) of an actor."""


def share_of_actor(fleet: FleetConfig) -> Share:
    """What an actor is given: a part of a GPU where the cluster has some, or is asked to get some
    (fleet.autoscale); else CPUs."""
    gpus = ray.cluster_resources().get("GPU", 0.0)
    if fleet.gpus_per_actor and (gpus or fleet.autoscale):
        return fleet.gpus_per_actor, 0.0
    return 0.0, fleet.cpus_per_actor


def room_for_actors(share: Share, at_most: int) -> int:
    """How many actors of that share the cluster holds now, whoever uses it; at most `at_most`."""
    resources = ray.cluster_resources()
    for part, name in zip(share, ("GPU", "CPU"), strict=True):
        if part:
            return min(at_most, int(resources.get(name, 0.0) / part + 1e-9))
    return at_most


def first_actors(fleet: FleetConfig, num_units: int) -> tuple[Share, int]:
    """Each actor's share, and how many to have now: as many as there is room for and work, no more
    than fleet.num_workers; those at once where an autoscaler shall make room (fleet.autoscale).

    On a cluster, waits up to fleet.join_timeout_s for the nodes that fleet.min_workers need.
    Raises FactoryError with room for fewer.
    """
    at_most = min(fleet.num_workers or num_units, num_units)
    if fleet.autoscale:
        return share_of_actor(fleet), at_most
    deadline = time.monotonic() + (fleet.join_timeout_s if _address(fleet) else 0.0)
    while True:
        share = share_of_actor(fleet)  # again, because the first node to join may bring GPUs
        room = room_for_actors(share, at_most)
        if room >= min(fleet.min_workers, at_most):
            return share, room
        if time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    resources = ray.cluster_resources()
    raise FactoryError(
        f"fleet.min_workers: the cluster has {resources.get('GPU', 0):g} GPUs and "
        f"{resources.get('CPU', 0):g} CPUs, room for {room} actors of {share[0]:g} GPUs and "
        f"{share[1]:g} CPUs, want {fleet.min_workers}; add nodes, or lower it, "
        "fleet.gpus_per_actor or fleet.cpus_per_actor"
    )


def node_is_alive(node: str) -> bool:
    """Whether the cluster still has this node; an unknown one ('') counts as alive."""
    return node not in {n["NodeID"] for n in ray.nodes() if not n["Alive"]}
