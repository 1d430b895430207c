"""Which images of an epoch were used: a number for each piece that was begun."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from factory.sources.pieces import Pieces

Position = tuple[int, int, int]
"""(epoch, piece, sample): the sample-th of that piece in the order of that epoch."""


class Bookmark:
    """What was used of an epoch; the consumer marks, saves and merges it."""

    def __init__(self, pieces: Pieces, release: str, *, seed: int, shuffle: bool) -> None:
        """`release` is the fingerprint of its index; the rest is what its stream was given."""
        self._sizes = pieces.sizes
        self._order = {
            "pieces": len(pieces),
            "release": release,
            "seed": seed,
            "shuffle": shuffle,
        }
        self.epoch = 0
        self._used: dict[int, int] = {}

    def mark(self, positions: Iterable[Position | None]) -> None:
        """Mark samples as used, those of a piece in its order, as a DataLoader hands them out.

        None is a sample that was repeated to fill up, which counts as nothing.
        """
        for position in positions:
            if position is None:
                continue
            epoch, piece, sample = position
            if epoch != self.epoch:
                self.epoch, self._used = epoch, {}
            self._used[piece] = max(self._used.get(piece, 0), sample + 1)

    def used(self, piece: int) -> int:
        """How many samples of a piece were used."""
        return self._used.get(piece, 0)

    def remaining(self) -> np.ndarray:
        """How many samples of each piece were not used."""
        left = self._sizes.copy()
        for piece, used in self._used.items():
            left[piece] -= used
        return left

    @property
    def finished(self) -> bool:
        """Whether every sample of the epoch was used."""
        return not self.remaining().any()

    def next_epoch(self) -> None:
        """Go on to the next epoch, none of whose samples were used."""
        self.epoch, self._used = self.epoch + 1, {}

    def merge(self, other: Bookmark) -> None:
        """Add what another rank used of the same epoch.

        Raises ValueError for another epoch, and for one of another release, seed or shuffle.
        """
        self._check(other._order)
        if other.epoch != self.epoch:
            raise ValueError(f"bookmark: epochs {self.epoch} and {other.epoch} cannot be merged")
        for piece, used in other._used.items():
            self._used[piece] = max(self.used(piece), used)

    def state_dict(self) -> dict[str, Any]:
        used = {str(piece): used for piece, used in sorted(self._used.items())}
        return {"epoch": self.epoch, **self._order, "used": used}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError for another release, seed or shuffle, or for an older factory's."""
        self._check(state)
        self.epoch = int(state["epoch"])
        self._used = {int(piece): int(used) for piece, used in state["used"].items()}

    def _check(self, state: dict[str, Any]) -> None:
        """Raise ValueError unless a piece has the same samples there, in the same order."""
        for key, wanted in self._order.items():
            if state.get(key) != wanted:
                raise ValueError(
                    f"bookmark: has {key} {state.get(key)!r}; want {wanted!r}, that of this "
                    "stream; begin the epoch again"
                )
