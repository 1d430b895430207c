"""ShardMaker: one unit of the plan to one committed shard.

generate -> embed -> score -> judge -> top up, then down the line (encode, pack, commit). Everything
that decides a byte comes from the plan: batches have the planned shape, seeds are counters, threads
are fixed.
"""

from __future__ import annotations

import traceback
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from factory.config import Config
from factory.errors import DeviceError, FactoryError, IntegrityError, PlanError
from factory.execution.device_errors import is_of_the_device
from factory.execution.retries import RetryState, Heartbeat, ids, unwatched
from factory.identities.roster import Roster
from factory.quality.filters import build_filters, apply_filters
from factory.quality.scores import Measure, Scorer
from factory.recognition.embed import Embedder
from factory.records import Counts, Face, Failure, Scores, Shard, Shot
from factory.shards import writer
from factory.shots.edits import CLASSIC
from factory.shots.plan import Plan, batch_size, first_round_shots, plan_shots
from factory.store import Store, open_store
from factory.synthesis.commit_queue import CommitQueue, Made, without_pixels
from factory.synthesis.editors import Editor
from factory.synthesis.generators import Generator, SplitOnOutOfMemory
from factory.synthesis.loading import LoadedRelease, load_release


@dataclass
class UnitProgress:
    """The unit in hand: how it is to be made, and what has become of its shots so far."""

    care: RetryState
    note: Heartbeat
    clock: writer.Clock = field(default_factory=writer.Clock)
    kept: dict[tuple[int, int], Future[Face]] = field(default_factory=dict)
    rejected: list[tuple[Face, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    num_shots: int = 0

    def beat(self) -> None:
        """A sign of life while nothing is drawn."""
        self.note(())

    def counts(self, planned: int) -> Counts:
        reasons = Counter(reason for _, reason in self.rejected)
        return Counts(
            planned,
            self.num_shots - planned,
            len(self.kept),
            len(self.rejected),
            len(self.failures),
            dict(sorted(reasons.items())),
        )


class ShardMaker:
    """Makes units. Built once per actor: loading weights is its expensive part."""

    def __init__(
        self,
        plan: Plan,
        roster: Roster,
        generator: Generator,
        embedder: Embedder,
        scorer: Scorer,
        queue: CommitQueue,
    ) -> None:
        self._plan, self._roster, self._commits = plan, roster, queue
        self._generator = SplitOnOutOfMemory(generator)
        self._embedder, self._scorer = embedder, scorer
        editor = plan.request.get("editing", {}).get("editor")
        needs_region = editor not in (None, CLASSIC)
        self._filters = build_filters(plan.request["filters"], needs_region=needs_region)

    @classmethod
    def open(cls, config: Config, release: str) -> ShardMaker:
        """Load the plan below `release` and the weights `config` names; raises IntegrityError when
        this process could not make the planned bytes."""
        store = open_store(config.store).below(release)
        workshop = load_release(config, store)
        if workshop.differences:
            raise IntegrityError(
                f"this maker is not as planned ({workshop.differences}); bytes would differ"
            )
        return cls.at(workshop, store, config.fleet.max_line_bytes)

    @classmethod
    def at(cls, workshop: LoadedRelease, store: Store, max_line_bytes: int) -> ShardMaker:
        """A maker in an open workshop."""
        plan, roster, recognizer = workshop.plan, workshop.roster, workshop.recognizer
        row = {name: i for i, name in enumerate(recognizer.real_names)}
        own_real = {who.index: row[who.name] for who in roster.identities if who.name in row}
        known: dict[str, Measure] = {
            "cr_fiqa": lambda shots, images, unit: recognizer.cr_fiqa(images),
            "ser_fiq": lambda shots, images, unit: recognizer.ser_fiq(images),
        }
        limits = plan.request["filters"]
        asked = {n: known[n] for n in known if limits.get(f"min_{n}") is not None}
        if isinstance(workshop.generator, Editor):
            asked |= workshop.generator.measures(recognizer)
        scorer = Scorer(roster.unit_ND, recognizer.unit_real, own_real, asked)
        encoding = writer.Encoding.of(plan.request)
        queue = CommitQueue(store, roster.identities, encoding, max_line_bytes)
        return cls(plan, roster, workshop.generator, recognizer, scorer, queue)

    def make(self, unit_index: int, care: RetryState | None = None, note: Heartbeat = unwatched) -> list[Shard]:
        """Make a unit and send it down the line; the shards that were committed meanwhile.

        Raises FactoryError when nothing may go on.
        """
        unit, asked = self._plan.units[unit_index], self._plan.request
        progress = UnitProgress(care or RetryState(), note)
        sampled_s = self._generator.seconds
        shots = first_round_shots(asked, unit, self._roster)
        wanted = [(shot.identity, shot.image) for shot in shots]
        for attempt in range(asked["plan"]["max_rounds"]):
            progress.num_shots += len(shots)
            size = batch_size(asked, attempt)
            for start in range(0, len(shots), size):
                self._shoot(shots[start : start + size], progress)
            missing = [pair for pair in wanted if pair not in progress.kept]
            shots = plan_shots(asked, missing, self._roster, attempt + 1)
        if progress.failures and not progress.kept and not progress.rejected:
            raise PlanError(
                f"unit {unit.index}: all {progress.num_shots} shots failed, first with "
                f"{progress.failures[0].error}; it is not committed, mend the cause and run again"
            )
        made = Made(
            key=(unit.index, self._plan.hash),
            kept=[progress.kept[pair] for pair in wanted if pair in progress.kept],
            rejected=progress.rejected,
            failures=progress.failures,
            counts=progress.counts(unit.num_shots),
            attempt=progress.care.attempt,
            remarks=self._generator.remarks,
            started_at=progress.clock.started_at,
            sampling_s=self._generator.seconds - sampled_s,
            total_s=progress.clock.elapsed_s(),
        )
        self._commits.commit(made)
        return self._commits.finished()

    def flush(self, note: Heartbeat = unwatched) -> list[Shard]:
        """Wait for the units on the line; the shards that were committed since the last call."""
        return self._commits.drain(lambda: note(()))

    def close(self) -> None:
        self._commits.close()

    def draw(self, shots: list[Shot]) -> list[tuple[Shot, np.ndarray, Scores]]:
        """Images of one planned batch, or of some of its slots, with their scores."""
        size = batch_size(self._plan.request, shots[0].attempt)
        images_BHWC = self._generator.generate(shots, size)
        unit_BD = self._embedder.embed(images_BHWC)
        rows = [shot.slot for shot in shots]
        scores = self._scorer.score(shots, images_BHWC[rows], unit_BD[rows])
        return list(zip(shots, images_BHWC[rows], scores, strict=True))

    def _shoot(self, shots: list[Shot], progress: UnitProgress) -> None:
        """Draw and judge a batch in the groups its care asks for."""
        for shot in shots:
            if ids([shot])[0] in progress.care.quarantined_shots:
                progress.failures.append(Failure(shot, "killed its actor twice, drawn alone", ""))
        for group in progress.care.groups(shots):
            self._shoot_group(group, progress)

    def _shoot_group(self, shots: list[Shot], progress: UnitProgress) -> None:
        """Draw and judge. When it raises, its slots are drawn one by one, with the same bytes (they
        do not depend on neighbours), and only those that raise are quarantined."""
        progress.note(ids(shots))
        try:
            drawn = self.draw(shots)
        except (FactoryError, MemoryError, OSError):
            raise
        except Exception as error:  # because any exception of a shot is quarantined, not fatal
            if is_of_the_device(error):
                raise DeviceError(f"device: {error!r} at {shots[0].key}") from error
            if len(shots) > 1:
                for shot in shots:
                    self._shoot_group([shot], progress)
            else:
                progress.failures.append(Failure(shots[0], repr(error), traceback.format_exc()))
            return
        for shot, image, scores in drawn:
            verdict = apply_filters(scores, self._filters)
            if verdict.keep:
                face = self._commits.encode(shot, image, scores, progress.beat)
                progress.kept[shot.identity, shot.image] = face
            else:
                progress.rejected.append((without_pixels(shot, scores), verdict.reason))
