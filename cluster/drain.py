"""Empty a node that is about to go: on a spot notice, before maintenance.

    python -m cluster.drain [--seconds 100] [--node-id ID] [--address HEAD:6379]

Run on the node (a preStop hook, the handler of a notice). Drivers give its actors no further unit,
these commit what they have drawn, and their successors start elsewhere. It returns once no maker is
left on the node, at the latest after `--seconds`, and says which. Ray itself must live meanwhile: a
raylet that gets SIGTERM takes its actors along at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from typing import Any

import ray

from cluster.maker_actor import MakerActor

POLL_S = 0.5


def drain(node: str, seconds: float, reason: str = "spot notice") -> bool:
    """Tell the cluster that a node will go; whether its makers were gone in time."""
    import ray._raylet
    from ray.core.generated import autoscaler_pb2

    names: Any = autoscaler_pb2  # because neither has types
    raylet: Any = ray._raylet
    preemption = names.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    gcs = raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    deadline_ms = int((time.time() + seconds) * 1000)
    accepted, why = gcs.drain_node(node, preemption, reason, deadline_ms)
    if not accepted:
        sys.exit(f"error: node {node} was not taken out of service ({why})")
    until = time.monotonic() + seconds
    while makers_on(node):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def makers_on(node: str) -> int:
    """How many makers live on a node."""
    return sum(
        actor["State"] == "ALIVE"
        and actor["Address"]["NodeID"] == node
        and actor["ActorClassName"] == MakerActor.__name__
        for actor in ray._private.state.actors().values()
    )


def this_node() -> str:
    """Ray's id of the only living node with this machine's address."""
    address = ray.util.get_node_ip_address()
    here = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeManagerAddress"] == address]
    if len(here) != 1:
        sys.exit(f"error: {len(here)} living nodes at {address}; want one, or --node-id")
    return str(here[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.drain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=100.0, help="how long to wait at most")
    parser.add_argument("--node-id", help="Ray's id of the node; else the one on this machine")
    parser.add_argument("--address", default="auto", help="of the cluster; else this machine's")
    words = parser.parse_args()
    ray.init(address=words.address, log_to_driver=False, logging_level=logging.ERROR)
    emptied = drain(words.node_id or this_node(), words.seconds)
    print("no maker is left on this node" if emptied else "makers are still at work; time is up")
    sys.exit(0 if emptied else 1)


if __name__ == "__main__":
    main()
