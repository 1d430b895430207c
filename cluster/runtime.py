"""Connect to a Ray cluster, or start a local one that ends with this process."""

from __future__ import annotations

import logging
import os
import signal
import threading

import ray

from factory.config import FleetConfig
from factory.errors import FactoryError


def connect(fleet: FleetConfig) -> None:
    """Join fleet.address or RAY_ADDRESS, else start a local Ray without a dashboard."""
    if ray.is_initialized():
        return
    address = fleet.address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a notice
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        else:
            ray.init(
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


def num_actors(fleet: FleetConfig, num_units: int) -> tuple[int, float, float]:
    """(actors, GPUs each, CPUs each): one per GPU, else one per CPU share."""
    resources = ray.cluster_resources()
    gpus = resources.get("GPU", 0.0)
    if gpus and fleet.gpus_per_actor:
        share, possible = (fleet.gpus_per_actor, 0.0), int(gpus / fleet.gpus_per_actor)
    else:
        cpus = resources.get("CPU", 1.0)
        share = (0.0, fleet.cpus_per_actor)
        possible = int(cpus / fleet.cpus_per_actor) if fleet.cpus_per_actor else num_units
    if possible < 1:
        raise FactoryError(
            f"fleet: the cluster has {gpus:g} GPUs and {resources.get('CPU', 0):g} CPUs, too few "
            "for one actor; lower fleet.gpus_per_actor or fleet.cpus_per_actor"
        )
    wanted = fleet.num_workers or possible
    return max(1, min(wanted, possible, num_units)), *share


def node_is_alive(node: str) -> bool:
    """Whether the cluster still has this node; an unknown one ('') counts as alive."""
    return node not in {n["NodeID"] for n in ray.nodes() if not n["Alive"]}
