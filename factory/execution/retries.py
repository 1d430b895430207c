"""How a unit that killed its actors is made again (PROTOCOL, failure model).

Before every draw a maker reports the shots in hand. After one death the unit is simply made again;
from the second on it is made alone, and the shots that were in hand are drawn in halves, until one
shot has been in hand alone at two deaths: that one is quarantined undrawn. Every shot is drawn in
its planned slot of a full batch, so the neighbors keep their bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from factory.records import Shot

ShotId = tuple[str, int]
"""(key, attempt) of a shot."""
Heartbeat = Callable[[tuple[ShotId, ...]], None]
"""Called with the shots in hand before they are drawn; with none as a sign of life."""


def unwatched(shots: tuple[ShotId, ...]) -> None:
    """The heartbeat of a maker that nobody watches."""


def ids(shots: list[Shot]) -> tuple[ShotId, ...]:
    return tuple((shot.key, shot.attempt) for shot in shots)


@dataclass(frozen=True)
class RetryState:
    """What is known of a unit from the deaths of its makers."""

    attempt: int = 0
    """Times the unit was begun before, for whatever reason."""
    deaths: int = 0
    """Times its maker died of itself."""
    blind_deaths: int = 0
    """Deaths with no shot in hand."""
    errors: int = 0
    """Times its maker raised an error that tells of nobody's death."""
    failed_on: frozenset[str] = frozenset()
    """Nodes on which its makers died or raised: where there are others the unit is made there."""
    bisected: frozenset[tuple[ShotId, ...]] = frozenset()
    """Groups of shots that are drawn in two halves."""
    suspects: frozenset[ShotId] = frozenset()
    """Shots that were in hand alone at one death."""
    quarantined_shots: frozenset[ShotId] = frozenset()
    """Shots that are never drawn again."""

    @property
    def alone(self) -> bool:
        """Whether the unit is made by an actor that holds nothing else."""
        return self.deaths >= 2

    def begun_again(self) -> RetryState:
        """The state after a loss without a culprit: a node that went away."""
        return replace(self, attempt=self.attempt + 1)

    def after_error(self, node: str) -> RetryState:
        """The state after an error on a node that no shot is to blame for."""
        failed_on = self.failed_on | {node}
        return replace(self.begun_again(), errors=self.errors + 1, failed_on=failed_on)

    def after_death(self, in_hand: tuple[ShotId, ...], node: str = "") -> RetryState:
        """The state after a death on a node with these shots in hand."""
        failed_on = self.failed_on | ({node} if node else set())
        again = replace(self.begun_again(), deaths=self.deaths + 1, failed_on=failed_on)
        if not in_hand:
            return replace(again, blind_deaths=self.blind_deaths + 1)
        if self.deaths == 0:
            return again
        if len(in_hand) > 1:
            return replace(again, bisected=self.bisected | {in_hand})
        (shot,) = in_hand
        if shot in self.suspects:
            return replace(again, quarantined_shots=self.quarantined_shots | {shot})
        return replace(again, suspects=self.suspects | {shot})

    def groups(self, shots: list[Shot]) -> list[list[Shot]]:
        """The shots of a batch as groups to draw one after the other, quarantined ones left out."""
        if len(shots) > 1 and ids(shots) in self.bisected:
            middle = len(shots) // 2
            return self.groups(shots[:middle]) + self.groups(shots[middle:])
        if self.quarantined_shots & set(ids(shots)):
            return self.groups(
                [shot for shot in shots if ids([shot])[0] not in self.quarantined_shots]
            )
        return [shots] if shots else []
