"""Scores a batch in a thread of its own, while the next one is drawn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from factory.quality.scores import Scorer
from factory.quality.truth_scores import TruthScorer
from factory.records import DrawnBatch, Scores, Shot

Result = TypeVar("Result")


@dataclass(frozen=True)
class EmbeddedBatch:
    """A batch that was drawn: its shots, images and unit embeddings [B, D] of all slots."""

    shots: list[Shot]
    images: DrawnBatch
    unit_BD: np.ndarray | None
    """None where no recognizer looks."""


class ScoringThread:
    """One thread, so batches are scored in the order they come in.

    It has the torch threads of its maker, because their number decides bytes, and on a GPU a stream
    of its own, so that it does not wait for what is being drawn.
    """

    def __init__(self, scorer: Scorer | TruthScorer, device: torch.device) -> None:
        self._scorer, self._device = scorer, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, "score", torch.set_num_threads, (threads,))

    def submit(self, batch: EmbeddedBatch) -> Future[list[Scores]]:
        """Begin to score a batch, which is whole: nothing on its device is still being computed."""
        return self._pool.submit(self.score, batch)

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Do something after all that was begun before, on the same stream."""

        def on_stream() -> Result:
            with self._on_stream():
                return function()

        return self._pool.submit(on_stream)

    def score(self, batch: EmbeddedBatch) -> list[Scores]:
        """Score a batch in the thread that calls."""
        with self._on_stream():
            if isinstance(self._scorer, TruthScorer):
                return self._scorer.score(batch.shots, batch.images)
            assert batch.unit_BD is not None, "a recognizer embeds what it scores"
            return self._scorer.score(batch.shots, batch.images, batch.unit_BD)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _on_stream(self) -> Any:
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()
