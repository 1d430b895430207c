"""The queue behind the sampler: faces are encoded, then units packed and committed.

They have threads of their own, so the sampler goes on with the next unit meanwhile. What
waits in the queue is bounded in bytes: a slow bucket slows the sampler down, it fills no memory.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np

from factory.records import Face, Identity, Rendered, Scores, Shard, Shot, UnitResult
from factory.shards import writer
from factory.store import Store

BEAT_S = 5.0
"""Seconds between signs of life while the sampler waits for the queue."""


class ByteBudget:
    """Bytes in the queue.

    A unit is never split, so one that is larger than the limit passes when nothing else is queued.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = self.peak = 0
        self.num_waiting = 0
        """Threads that wait for room."""
        self.steps = 0
        """Goes up whenever something in the queue got on."""
        self._moving = 0
        self._changed = threading.Condition()

    def take(self, size: int, beat: Callable[[], None]) -> None:
        """Wait until `size` more bytes fit, or nothing moves that could make room."""
        with self._changed:
            self.num_waiting += 1
            while self.used + size > self.limit and self._moving:
                if self._changed.wait(BEAT_S):
                    beat()  # not after silence: a queue that hangs must not look alive
            self.num_waiting -= 1
            self.used += size
            self.peak = max(self.peak, self.used)

    def give(self, size: int) -> None:
        with self._changed:
            self.used -= size
            self.steps += 1
            self._changed.notify_all()

    def moving(self, change: int) -> None:
        """Count jobs that will give bytes back by themselves."""
        with self._changed:
            self._moving += change
            self._changed.notify_all()


class CommitQueue:
    """Encoder threads and an uploader thread, fed by one sampler.

    Faces are packed in the order of their unit, whichever thread is done first.
    """

    def __init__(
        self,
        store: Store,
        identities: Sequence[Identity],
        encoding: writer.Encoding,
        max_bytes: int,
        *,
        encoder_threads: int = 1,
        same_bytes: bool = True,
    ) -> None:
        """`same_bytes`: whether another maker of a unit must have made the same (on CPUs)."""
        self._same_bytes = same_bytes
        self.budget = ByteBudget(max_bytes)
        self._store, self._identities, self._encoding = store, identities, encoding
        self._encoder = ThreadPoolExecutor(encoder_threads, "encode")
        self._uploader = ThreadPoolExecutor(1, "upload")
        self._pending: deque[Future[Shard]] = deque()

    def encode(
        self,
        shot: Shot,
        image_HWC: np.ndarray,
        scores: Scores,
        beat: Callable[[], None],
        rendered: Rendered | None = None,
    ) -> Future[Face]:
        """Begin to encode a kept face; waits while the queue is full."""
        self.budget.take(image_HWC.nbytes, beat)
        self.budget.moving(+1)
        return self._encoder.submit(self._encode, shot, image_HWC.copy(), scores, rendered)

    def withdraw(self, future: Future[Face]) -> Face:
        """A face that was kept and is not to be committed, without its pixels."""
        face = future.result()
        self.budget.give(num_bytes(face))
        return without_pixels(face.shot, face.scores)

    def commit(self, result: UnitResult, futures: list[Future[Face]]) -> None:
        """Begin to pack and commit a unit, whose kept faces are still being encoded."""
        self.budget.moving(+1)
        self._pending.append(self._uploader.submit(self._commit, result, futures))

    def finished(self) -> list[Shard]:
        """Units committed since the last call; raises what went wrong with one."""
        shards = []
        while self._pending and self._pending[0].done():
            shards.append(self._pending.popleft().result())
        return shards

    def drain(self, beat: Callable[[], None]) -> list[Shard]:
        """Wait for all units in the queue; raises what went wrong with one."""
        shards = []
        while self._pending:
            steps = self.budget.steps
            wait([self._pending[0]], BEAT_S)
            shards += self.finished()
            if self.budget.steps != steps:
                beat()
        return shards

    def close(self) -> None:
        """Stop all threads; what has not begun is dropped, to be made again by a resume."""
        self._encoder.shutdown(wait=False, cancel_futures=True)
        self._uploader.shutdown(wait=True, cancel_futures=True)

    def _encode(
        self, shot: Shot, image_HWC: np.ndarray, scores: Scores, rendered: Rendered | None
    ) -> Face:
        try:
            face = self._encoding.face(shot, image_HWC, scores, rendered)
            self.budget.give(image_HWC.nbytes - num_bytes(face))
            return face
        finally:
            self.budget.moving(-1)

    def _commit(self, result: UnitResult, futures: list[Future[Face]]) -> Shard:
        faces: list[Face] = []
        try:
            faces = [future.result() for future in futures]
            timings = replace(result.timings, finished_at=time.time())
            result = replace(result, kept=faces, timings=timings)
            return writer.commit(self._store, result, self._identities, same_bytes=self._same_bytes)
        finally:
            self.budget.give(sum(map(num_bytes, faces)))
            self.budget.moving(-1)


def num_bytes(face: Face) -> int:
    """Bytes of its image and masks."""
    return len(face.encoded) + sum(map(len, face.masks.values()))


def without_pixels(shot: Shot, scores: Scores) -> Face:
    """A face that is only counted and listed."""
    return Face(shot, b"", scores)
