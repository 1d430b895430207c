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
from factory.execution.retries import Care, Note, ids, silent
from factory.identities.roster import Roster
from factory.quality.filters import build_filters, judge
from factory.quality.scores import Measure, Scorer
from factory.recognition.embed import Embedder
from factory.records import Counts, Face, Failure, Scores, Shard, Shot
from factory.shards import writer
from factory.shots.edits import CLASSIC
from factory.shots.plan import Plan, batch_size, first_round, place
from factory.store import Store, open_store
from factory.synthesis.commit_queue import Line, Made, without_pixels
from factory.synthesis.editors import Editor
from factory.synthesis.generators import Generator, HalvingGenerator
from factory.synthesis.loading import Workshop, open_workshop


@dataclass
class Bench:
    """The unit in hand: how it is to be made, and what has become of its shots so far."""

    care: Care
    note: Note
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
        line: Line,
    ) -> None:
        self._plan, self._roster, self._line = plan, roster, line
        self._generator = HalvingGenerator(generator)
        self._embedder, self._scorer = embedder, scorer
        editor = plan.request.get("editing", {}).get("editor")
        needs_region = editor not in (None, CLASSIC)
        self._filters = build_filters(plan.request["filters"], needs_region=needs_region)

    @classmethod
    def open(cls, config: Config, release: str) -> ShardMaker:
        """Load the plan below `release` and the weights `config` names; raises IntegrityError when
        this process could not make the planned bytes."""
        store = open_store(config.store).below(release)
        workshop = open_workshop(config, store)
        if workshop.differences:
            raise IntegrityError(
                f"this maker is not as planned ({workshop.differences}); bytes would differ"
            )
        return cls.at(workshop, store, config.fleet.max_line_bytes)

    @classmethod
    def at(cls, workshop: Workshop, store: Store, max_line_bytes: int) -> ShardMaker:
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
        line = Line(store, roster.identities, encoding, max_line_bytes)
        return cls(plan, roster, workshop.generator, recognizer, scorer, line)

    def make(self, unit_index: int, care: Care | None = None, note: Note = silent) -> list[Shard]:
        """Make a unit and send it down the line; the shards that were committed meanwhile.

        Raises FactoryError when nothing may go on.
        """
        unit, asked = self._plan.units[unit_index], self._plan.request
        bench = Bench(care or Care(), note)
        sampled_s = self._generator.seconds
        shots = first_round(asked, unit, self._roster)
        wanted = [(shot.identity, shot.image) for shot in shots]
        for attempt in range(asked["plan"]["max_rounds"]):
            bench.num_shots += len(shots)
            size = batch_size(asked, attempt)
            for start in range(0, len(shots), size):
                self._shoot(shots[start : start + size], bench)
            missing = [pair for pair in wanted if pair not in bench.kept]
            shots = place(asked, missing, self._roster, attempt + 1)
        if bench.failures and not bench.kept and not bench.rejected:
            raise PlanError(
                f"unit {unit.index}: all {bench.num_shots} shots failed, first with "
                f"{bench.failures[0].error}; it is not committed, mend the cause and run again"
            )
        made = Made(
            key=(unit.index, self._plan.hash),
            kept=[bench.kept[pair] for pair in wanted if pair in bench.kept],
            rejected=bench.rejected,
            failures=bench.failures,
            counts=bench.counts(unit.num_shots),
            attempt=bench.care.attempt,
            remarks=self._generator.remarks,
            started_at=bench.clock.started_at,
            sampling_s=self._generator.seconds - sampled_s,
            total_s=bench.clock.elapsed_s(),
        )
        self._line.commit(made)
        return self._line.finished()

    def flush(self, note: Note = silent) -> list[Shard]:
        """Wait for the units on the line; the shards that were committed since the last call."""
        return self._line.drain(lambda: note(()))

    def close(self) -> None:
        self._line.close()

    def draw(self, shots: list[Shot]) -> list[tuple[Shot, np.ndarray, Scores]]:
        """Images of one planned batch, or of some of its slots, with their scores."""
        size = batch_size(self._plan.request, shots[0].attempt)
        images_BHWC = self._generator.generate(shots, size)
        unit_BD = self._embedder.embed(images_BHWC)
        rows = [shot.slot for shot in shots]
        scores = self._scorer.score(shots, images_BHWC[rows], unit_BD[rows])
        return list(zip(shots, images_BHWC[rows], scores, strict=True))

    def _shoot(self, shots: list[Shot], bench: Bench) -> None:
        """Draw and judge a batch in the groups its care asks for."""
        for shot in shots:
            if ids([shot])[0] in bench.care.poisoned:
                bench.failures.append(Failure(shot, "killed its actor twice, drawn alone", ""))
        for group in bench.care.groups(shots):
            self._shoot_group(group, bench)

    def _shoot_group(self, shots: list[Shot], bench: Bench) -> None:
        """Draw and judge. When it raises, its slots are drawn one by one, with the same bytes (they
        do not depend on neighbours), and only those that raise are quarantined."""
        bench.note(ids(shots))
        try:
            drawn = self.draw(shots)
        except (FactoryError, MemoryError, OSError):
            raise
        except Exception as error:  # because any exception of a shot is quarantined, not fatal
            if is_of_the_device(error):
                raise DeviceError(f"device: {error!r} at {shots[0].key}") from error
            if len(shots) > 1:
                for shot in shots:
                    self._shoot_group([shot], bench)
            else:
                bench.failures.append(Failure(shots[0], repr(error), traceback.format_exc()))
            return
        for shot, image, scores in drawn:
            verdict = judge(scores, self._filters)
            if verdict.keep:
                face = self._line.encode(shot, image, scores, bench.beat)
                bench.kept[shot.identity, shot.image] = face
            else:
                bench.rejected.append((without_pixels(shot, scores), verdict.reason))
