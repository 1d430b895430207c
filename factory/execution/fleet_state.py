"""What a runner tells the driver of its processes while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from factory.records import BadNode


@dataclass(frozen=True)
class FleetState:
    """What is known of the processes of a release."""

    actor_s: float = 0.0
    """Seconds that actors have had their places, all together."""
    bad_nodes: tuple[BadNode, ...] = ()


OnState = Callable[[FleetState], None]
"""Called in the driver when a state has changed, and every few seconds."""


def unheard(state: FleetState) -> None:
    """For a runner whose state nobody wants to know."""
