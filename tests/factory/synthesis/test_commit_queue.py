"""The commit queue behind the sampler: bounded bytes, overlap, errors that surface."""

from __future__ import annotations

import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from factory.errors import StoreError
from factory.records import Counts, Identity, Scores, Timings, UnitResult
from factory.shards import layout
from factory.shards.marks import read_mark
from factory.shards.writer import Encoding
from factory.store import LocalStore
from factory.synthesis.commit_queue import CommitQueue
from tests.planned import REQUEST, request_with, shots_of

REQUEST_OF_FOUR = request_with(plan={"micro_batch": 4})
WHO = [Identity(0, "virtual", "pca", 0, 0.1, 0.2, 4)]
SCORES = Scores(0.9, 1, 0.2, 0.3, 100.0, 120.0)
PX = 256
IMAGE = np.random.default_rng(0).integers(0, 255, (PX, PX, 3), np.uint8)


class SlowStore(LocalStore):
    """A bucket that takes its time; `gate` is open while puts may end."""

    def __init__(self, root):
        super().__init__(root)
        self.gate = threading.Event()
        self.waiting = threading.Event()

    def put_once(self, name, data, sha256=None):
        self.waiting.set()
        assert self.gate.wait(30)
        return super().put_once(name, data, sha256)


def send(queue: CommitQueue, unit: int, beats: list[int] | None = None) -> None:
    """Make a unit of four faces and send it through the queue."""
    beat = lambda: beats.append(unit) if beats is not None else None  # noqa: E731
    shots = shots_of(REQUEST_OF_FOUR, [(0, i) for i in range(4)])
    futures = [queue.encode(shot, IMAGE, SCORES, beat) for shot in shots]
    counts = Counts(4, 0, 4, 0, 0)
    queue.commit(UnitResult(unit, "plan", counts, Timings(0.0, 0.0, 1.0, 1.0)), futures)


def test_a_mark_carries_the_prompt_of_its_shot(tmp_path):
    queue = CommitQueue(LocalStore(tmp_path), WHO, Encoding("png", 90), 1 << 30)
    shots = [replace(shot, prompt=f"prompt {shot.image}") for shot in shots_of(REQUEST, [(0, 1)])]
    (face,) = [queue.encode(shot, IMAGE, SCORES, lambda: None).result(30) for shot in shots]
    queue.close()
    assert read_mark(face.encoded).prompt == "prompt 1"


def test_units_are_committed_in_the_background_and_in_order(tmp_path):
    queue = CommitQueue(LocalStore(tmp_path), WHO, Encoding("jpeg", 90), 1 << 30)
    for unit in range(5):
        send(queue, unit)
    assert [shard.unit for shard in queue.drain(lambda: None)] == list(range(5))
    assert queue.budget.used == 0
    queue.close()


def test_a_slow_store_slows_the_sampler_and_fills_no_memory(tmp_path):
    store, limit = SlowStore(tmp_path), 6 * IMAGE.nbytes
    queue = CommitQueue(store, WHO, Encoding("jpeg", 90), limit)
    sent: list[int] = []

    def sampler() -> None:
        for unit in range(30):
            send(queue, unit)
            sent.append(unit)

    tracemalloc.start()
    thread = threading.Thread(target=sampler)
    thread.start()
    assert store.waiting.wait(30)
    deadline = time.monotonic() + 60
    while not queue.budget.num_waiting:
        assert time.monotonic() < deadline, "the sampler never waits"
        time.sleep(0.01)
    assert len(sent) < 30  # nothing is committed yet, and 30 units would be 23 MB
    held = tracemalloc.get_traced_memory()[1]
    assert queue.budget.used <= limit
    assert held < limit + 4 * IMAGE.nbytes + (1 << 20)  # the unit being packed comes on top
    store.gate.set()
    thread.join(60)
    assert len(sent) == 30
    assert [shard.unit for shard in queue.drain(lambda: None)] == list(range(30))
    assert queue.budget.peak <= limit
    tracemalloc.stop()
    queue.close()


def test_sampling_goes_on_while_a_unit_is_uploaded(tmp_path):
    store = SlowStore(tmp_path)
    queue = CommitQueue(store, WHO, Encoding("jpeg", 90), 1 << 30)
    send(queue, 0)
    assert store.waiting.wait(30)
    send(queue, 1)  # does not block
    assert queue.finished() == []
    store.gate.set()
    assert [shard.unit for shard in queue.drain(lambda: None)] == [0, 1]
    queue.close()


def test_a_unit_larger_than_the_budget_passes_alone(tmp_path):
    queue = CommitQueue(LocalStore(tmp_path), WHO, Encoding("jpeg", 90), 1)
    for unit in range(3):
        send(queue, unit)
    assert [shard.unit for shard in queue.drain(lambda: None)] == [0, 1, 2]
    queue.close()


def test_a_failing_upload_surfaces_and_frees_the_sampler(tmp_path, monkeypatch):
    def full(self, name, data, sha256=None):
        raise StoreError("disk full")

    monkeypatch.setattr(LocalStore, "put_once", full)
    queue = CommitQueue(LocalStore(tmp_path), WHO, Encoding("jpeg", 90), 5 * IMAGE.nbytes)
    for unit in range(3):
        send(queue, unit)
    with pytest.raises(StoreError, match="disk full"):
        queue.drain(lambda: None)
    queue.close()
    assert LocalStore(tmp_path).list(layout.COMMITS) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_faces_are_packed_in_order_whichever_thread_is_done_first(tmp_path, threads):
    """With several threads the first image is encoded last, and the bytes are those of one."""
    last = threading.Event()

    class Reversed(Encoding):
        def encode(self, image_HWC, prompt=""):
            number = int(image_HWC[0, 0, 0])
            if threads > 1 and number == 0:
                assert last.wait(30), "the others are not encoded meanwhile"
            if number == 3:
                last.set()
            return super().encode(image_HWC, prompt)

    queue = CommitQueue(
        LocalStore(tmp_path / "made"), WHO, Reversed("png", 90), 1 << 30, encoder_threads=threads
    )
    shots = shots_of(REQUEST_OF_FOUR, [(0, i) for i in range(4)])
    futures = [
        queue.encode(shot, np.full((8, 8, 3), i, np.uint8), SCORES, lambda: None)
        for i, shot in enumerate(shots)
    ]
    queue.commit(UnitResult(0, "plan", Counts(4, 0, 4, 0, 0), Timings(0.0, 0.0, 1.0, 1.0)), futures)
    (shard,) = queue.drain(lambda: None)
    queue.close()
    plain = CommitQueue(LocalStore(tmp_path / "plain"), WHO, Encoding("png", 90), 1 << 30)
    again = [
        plain.encode(shot, np.full((8, 8, 3), i, np.uint8), SCORES, lambda: None)
        for i, shot in enumerate(shots)
    ]
    plain.commit(UnitResult(0, "plan", Counts(4, 0, 4, 0, 0), Timings(0.0, 0.0, 1.0, 1.0)), again)
    (wanted,) = plain.drain(lambda: None)
    plain.close()
    assert shard.files == wanted.files
