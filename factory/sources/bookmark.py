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

    def __init__(self, pieces: Pieces) -> None:
        self._sizes = pieces.sizes
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
        """Add what another rank used of the same epoch; raises ValueError for another epoch."""
        if other.epoch != self.epoch:
            raise ValueError(f"bookmark: epochs {self.epoch} and {other.epoch} cannot be merged")
        for piece, used in other._used.items():
            self._used[piece] = max(self.used(piece), used)

    def state_dict(self) -> dict[str, Any]:
        used = {str(piece): used for piece, used in sorted(self._used.items())}
        return {"epoch": self.epoch, "pieces": len(self._sizes), "used": used}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a bookmark of another release, or of an older factory."""
        if state.get("pieces") != len(self._sizes):
            raise ValueError(
                f"bookmark: is one of {state.get('pieces')} pieces; want {len(self._sizes)}, those "
                "of this release; begin the epoch again"
            )
        self.epoch = int(state["epoch"])
        self._used = {int(piece): int(used) for piece, used in state["used"].items()}
