"""Free ports for the servers that tests start."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Distinct free ports above those of Ray's workers and below those of outgoing connections."""
    ports: list[int] = []
    rng = random.Random()  # another one in each run, because runs share a machine
    with ExitStack() as held:
        while len(ports) < count:
            port = rng.randrange(20_000, 32_000)
            holder = held.enter_context(socket.socket())
            try:
                holder.bind(("", port))
            except OSError:
                continue
            ports.append(port)
    return ports
