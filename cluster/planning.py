"""What a driver computes on a device of the cluster, as one task with an actor's resources."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.runtime import Resources, connect, first_actors, resources_of_actor
from factory.config import Config
from factory.errors import DeviceError, FactoryError
from factory.execution.on_device import OnDevice, Result


def on_device_of(config: Config) -> OnDevice:
    """Calls functions where the makers of `config` will be; needs no GPU in this process."""

    def on_device(function: Callable[..., Result], *args: Any) -> Result:
        connect(config.fleet)
        gpus, cpus = _resources(config)
        remote: Any = ray.remote
        options = remote(num_gpus=gpus, num_cpus=cpus, max_calls=1, max_retries=2)
        try:
            result: Result = ray.get(options(function).remote(*args))
        except RayTaskError as error:
            if isinstance(error.cause, FactoryError):
                raise error.cause from None
            raise
        except RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise DeviceError(
                f"fleet: the task that plans on a device died ({reason}); the same command goes on"
            ) from error
        return result

    return on_device


def _resources(config: Config) -> Resources:
    """Those of an actor, once there is room for one.

    Where compute.device=cuda a GPU is waited for, since nodes without any may join first. Raises
    FactoryError when there is none after fleet.join_timeout_s.
    """
    fleet = config.fleet
    each, _ = first_actors(fleet, 1)
    deadline = time.monotonic() + fleet.join_timeout_s
    while config.compute.device == "cuda" and fleet.gpus_per_actor and not each[0]:
        if time.monotonic() >= deadline:
            raise FactoryError(
                f"compute.device: got 'cuda' but no node of the cluster has a GPU after "
                f"{fleet.join_timeout_s:g} s (fleet.join_timeout_s); add one, or use "
                "compute.device=auto"
            )
        time.sleep(0.5)
        each = resources_of_actor(fleet)
    return each
