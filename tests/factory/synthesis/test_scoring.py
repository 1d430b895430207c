"""Batches are scored while the next one is drawn, and judged in their order all the same."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from factory.execution.retries import RetryState, ids
from factory.identities.roster import Roster
from factory.quality.scores import Scorer
from factory.records import DrawnBatch, Identity, UnitResult
from factory.shards.writer import Encoding
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore
from factory.synthesis.commit_queue import CommitQueue
from factory.synthesis.maker import ShardMaker
from factory.synthesis.scoring import EmbeddedBatch, ScoringThread
from tests.planned import request_with, shots_of

WAIT_S = 30
"""Until a thread that never comes is given up; nothing waits so long in a test that passes."""
LIMITS = {
    "min_own_cosine": 0.5,
    "min_identity_gap": None,
    "min_brightness": None,
    "max_brightness": None,
}
REQUEST = request_with(
    filters=LIMITS,
    plan={"max_rounds": 1, "micro_batch": 2, "identities_per_unit": 6, "images_per_identity": 1},
)


class Painter:
    """Paints the number of a person; `events` hears of each batch that is drawn."""

    remarks = ()

    def __init__(self, events, poison=()):
        self.events, self.poison = events, poison

    def generate(self, shots, batch_size):
        self.events.append(("drawn", shots[0].identity))
        if len(shots) > 1 and any(shot.identity in self.poison for shot in shots):
            raise ValueError("not together")
        if shots[0].identity in self.poison:
            raise ValueError("cannot draw this")
        images = np.zeros((batch_size, 8, 8, 3), np.uint8)
        for shot in shots:
            images[shot.slot] = shot.identity
        return DrawnBatch(images)


class Reader:
    """Reads it again; odd people look like nobody."""

    sha256 = "reader"

    def embed(self, images):
        unit = np.zeros((len(images), 8), np.float32)
        unit[np.arange(len(images)), [7 if i % 2 else i for i in images[:, 0, 0, 0]]] = 1
        return unit


class Heard(Scorer):
    """A scorer whose `events` hear of each batch; some batches wait, others raise."""

    def __init__(self, roster, events, wait=None, raises=()):
        super().__init__(roster, roster[:1], {})
        self.events, self.wait, self.raises = events, wait, raises

    def score(self, shots, batch, unit_BD):
        if self.wait and shots[0].identity == 0:
            self.wait(shots)
        self.events.append(("scored", shots[0].identity))
        if len(shots) > 1 and shots[0].identity in self.raises:
            raise ValueError("cannot score these together")
        return super().score(shots, batch, unit_BD)


class Kept(CommitQueue):
    """Keeps what it is told to commit."""

    result: UnitResult

    def commit(self, result, futures):
        self.result = replace(result, kept=[future.result() for future in futures])


@pytest.fixture
def make(tmp_path):
    def make(painter, scorer_of, retry=None, reader=None):
        people = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, 1) for i in range(6)]
        roster = Roster(people, np.eye(6, 8, dtype=np.float32))
        plan = Plan(REQUEST, {}, cut_units(people, 6))
        queue = Kept(LocalStore(tmp_path), people, Encoding("png", 90), 1 << 30)
        scorer = scorer_of(roster.unit_ND)
        maker = ShardMaker(plan, roster, painter, reader or Reader(), scorer, queue)
        maker.make(0, retry)
        maker.close()
        return queue.result

    return make


def outcome(result: UnitResult):
    return (
        [face.shot.identity for face in result.kept],
        [face.shot.identity for face, _ in result.rejected],
        [(failure.shot.identity, failure.error) for failure in result.failures],
        {name: vectors.argmax(1).tolist() for name, vectors in result.vectors.items()},
    )


class Announcing(Painter):
    """Sets `drawn` when the second batch is drawn."""

    def __init__(self, events):
        super().__init__(events)
        self.drawn = threading.Event()

    def generate(self, shots, batch_size):
        batch = super().generate(shots, batch_size)
        if shots[0].identity == 2:
            self.drawn.set()
        return batch


def test_the_next_batch_is_drawn_while_one_is_scored(make):
    events = []
    painter = Announcing(events)

    def wait(shots):
        assert painter.drawn.wait(WAIT_S), "the next batch is not drawn meanwhile"

    result = make(painter, lambda roster: Heard(roster, events, wait))
    assert events.index(("drawn", 2)) < events.index(("scored", 0))
    assert outcome(result) == ([0, 2, 4], [1, 3, 5], [], {"reader": [0, 2, 4]})


@pytest.mark.parametrize("deaths", [0, 1])
@pytest.mark.parametrize("raises", [(), (0,), (2,), (0, 2, 4)])
@pytest.mark.parametrize("poison", [(), (0,), (3,), (0, 3, 4)])
def test_faces_are_judged_in_their_order(make, deaths, raises, poison):
    """Whatever raises, in drawing or in scoring, and whether batches overlap or not."""
    events = []
    retry = RetryState(deaths=deaths)
    result = make(Painter(events, poison), lambda r: Heard(r, events, raises=raises), retry)
    assert outcome(result) == (
        [i for i in (0, 2, 4) if i not in poison],
        [i for i in (1, 3, 5) if i not in poison],
        [(i, "ValueError('cannot draw this')") for i in poison],
        {"reader": [i for i in (0, 2, 4) if i not in poison]},
    )
    assert all("ValueError" in failure.traceback for failure in result.failures)


def test_failures_of_earlier_batches_come_first(make):
    """Those that scoring finds, before a shot that is quarantined undrawn in the next batch."""
    undrawn = ids(shots_of(REQUEST, [(i, 0) for i in range(6)])[3:4])
    events, retry = [], RetryState(quarantined_shots=frozenset(undrawn))

    class Blind(Reader):
        def embed(self, images):
            unit = super().embed(images)
            unit[images[:, 0, 0, 0] == 1] = np.nan
            return unit

    result = make(Painter(events), lambda r: Heard(r, events), retry, Blind())
    assert [failure.shot.identity for failure in result.failures] == [1, 3]
    assert "000001_0000: its embedding is NaN" in result.failures[0].error
    assert outcome(result)[:2] == ([0, 2, 4], [5])


def test_a_unit_that_has_killed_is_made_one_batch_after_the_other(make):
    """So that the shots in hand are those to blame."""
    events = []
    painter = Announcing(events)

    def wait(shots):
        painter.drawn.wait(0.5)  # time in which the next batch would be drawn

    make(painter, lambda roster: Heard(roster, events, wait), RetryState(deaths=1))
    assert events == [(what, who) for who in (0, 2, 4) for what in ("drawn", "scored")]


def test_the_scoring_thread_has_the_torch_threads_of_its_maker():
    class Counting:
        def score(self, shots, batch, unit_BD):
            return torch.get_num_threads()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        thread = ScoringThread(Counting(), torch.device("cpu"))
        batch = EmbeddedBatch([], DrawnBatch(np.zeros((1, 1, 1, 3), np.uint8)), np.zeros((1, 1)))
        assert thread.submit(batch).result() == 3
        thread.close()
    finally:
        torch.set_num_threads(before)
