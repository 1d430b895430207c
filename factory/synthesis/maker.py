"""ShardMaker: one unit of the plan to one committed shard.

generate -> embed -> score -> judge -> top up, then into the queue (encode, pack, commit). A batch
is scored while the next one is drawn, and judged after all before it.
Everything that decides a byte comes from the plan: batches have the planned shape, seeds are
counters, threads are fixed.
"""

from __future__ import annotations

import traceback
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch

from factory.config import Config
from factory.errors import DeviceError, FactoryError, PlanError
from factory.execution.device_errors import is_of_the_device
from factory.execution.retries import Heartbeat, RetryState, ids, unwatched
from factory.identities.roster import Roster
from factory.images import to_uint8
from factory.quality.filters import (
    NEAR_REAL_PERSON,
    TOO_FEW_IMAGES,
    apply_filters,
    build_filters,
)
from factory.quality.nearest import FixedPeople
from factory.quality.scores import Measure, Scorer
from factory.quality.truth_scores import TruthScorer
from factory.recognition.embed import Embedder, Recognizer
from factory.recognition.fiqa import OnnxQuality
from factory.records import (
    Counts,
    DrawnBatch,
    Face,
    Failure,
    Identity,
    Scores,
    Shard,
    Shot,
    Timings,
    UnitResult,
    Verdict,
)
from factory.shards import layout, writer
from factory.shards.redaction import redaction_of
from factory.shots.canary import Canary
from factory.shots.edits import CLASSIC
from factory.shots.plan import Plan, members, plan_shots
from factory.shots.shortfall import (
    DROPPING,
    Pair,
    planned_images,
    rounds,
    too_few,
    with_images,
)
from factory.store import Store, open_store
from factory.synthesis.canary import draw_canary, refuse
from factory.synthesis.commit_queue import CommitQueue, without_pixels
from factory.synthesis.editors import edit_measures
from factory.synthesis.generators import Generator, SplitOnOutOfMemory, TellsUnrounded
from factory.synthesis.loading import LoadedRelease, load_release
from factory.synthesis.near_real import NearReal
from factory.synthesis.scoring import EmbeddedBatch, ScoringThread

Judged = dict[Shot, np.ndarray]
"""The judge's vectors [D] of the faces that passed all filters; of none where nobody is spared."""


@dataclass
class UnitProgress:
    """The unit in hand: what is known of it, and what has become of its shots so far."""

    retry: RetryState
    heartbeat: Heartbeat
    clock: writer.Clock = field(default_factory=writer.Clock)
    kept: dict[Pair, Future[Face]] = field(default_factory=dict)
    embeddings: dict[Pair, np.ndarray] = field(default_factory=dict)
    """float16 [D] of the kept ones."""
    judged: dict[Pair, np.ndarray] = field(default_factory=dict)
    """The judge's vectors [D] of the kept ones; with filters.spare_real_people."""
    rejected: list[tuple[Face, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    num_shots: int = 0
    being_scored: tuple[EmbeddedBatch, Future[list[Scores]], Future[Judged]] | None = None
    """The batch that was drawn last, which is not judged yet."""

    @property
    def overlaps(self) -> bool:
        """Whether a batch may be scored while the next one is drawn.

        Not in a unit that has killed its maker: a death is blamed on the shots in hand.
        """
        return not self.retry.deaths

    def beat(self) -> None:
        """A sign of life while nothing is drawn."""
        self.heartbeat(())

    def vectors(self, pairs: list[Pair], embedder: Embedder | None) -> dict[str, np.ndarray]:
        """Vectors of kept faces in the order of `pairs`, for UnitResult."""
        if embedder is None or not pairs:
            return {}
        return {embedder.sha256: np.stack([self.embeddings[pair] for pair in pairs])}

    def counts(self, planned: int, identities: int, short: int) -> Counts:
        """Of a unit with so many identities with images, and so many of these with too few."""
        reasons = Counter(reason for _, reason in self.rejected)
        return Counts(
            planned,
            self.num_shots - planned,
            len(self.kept),
            len(self.rejected),
            len(self.failures),
            dict(sorted(reasons.items())),
            identities,
            short,
        )


class ShardMaker:
    """Makes units. Built once per actor: loading weights is its expensive part."""

    def __init__(
        self,
        plan: Plan,
        roster: Roster,
        generator: Generator,
        embedder: Embedder | None,
        scorer: Scorer | TruthScorer,
        queue: CommitQueue,
        near_real: NearReal | None = None,
    ) -> None:
        """Without an `embedder` no recognizer looks at a face, and no vectors are kept.

        With `near_real` faces of somebody real are rejected.
        """
        self._plan, self._roster, self._commits = plan, roster, queue
        self._generator = SplitOnOutOfMemory(generator)
        self._embedder, self._near_real = embedder, near_real
        self._scoring = ScoringThread(scorer, getattr(embedder, "device", torch.device("cpu")))
        edits = plan.request.edits
        needs_region = edits is not None and edits.editing.method != CLASSIC
        self._filters = build_filters(plan.request.filters, needs_region=needs_region)

    @classmethod
    def open(cls, config: Config, prefix: str) -> ShardMaker:
        """Load the plan below `prefix` and the weights `config` names.

        Raises OtherMachine when this process would not make the planned bytes: its software or its
        canary is another one.
        """
        store = open_store(config.store).below(prefix)
        release = load_release(config, store)
        refuse(release.difference)
        fleet = config.fleet
        device = getattr(release.recognizer, "device", torch.device("cpu"))
        near_real = NearReal.open(config, store, release.plan, device)
        maker = cls.at(
            release, store, fleet.max_queued_bytes, fleet.encoder_threads, near_real=near_real
        )
        refuse(maker.canary_difference())
        return maker

    @classmethod
    def at(
        cls,
        release: LoadedRelease,
        store: Store,
        max_queued_bytes: int,
        encoder_threads: int = 1,
        near_real: NearReal | None = None,
    ) -> ShardMaker:
        """A maker for a release that is loaded; without `near_real` nobody is spared."""
        plan, roster, recognizer = release.plan, release.roster, release.recognizer
        scorer = _scorer(release, recognizer) if recognizer else TruthScorer()
        encoding = writer.Encoding.of(plan.request)
        queue = CommitQueue(
            store,
            roster.identities,
            encoding,
            max_queued_bytes,
            encoder_threads=encoder_threads,
            same_bytes=plan.request.compute.device == "cpu",
        )
        return cls(plan, roster, release.generator, recognizer, scorer, queue, near_real)

    def canary(self) -> Canary:
        """What this process makes of the canary's batch."""
        return draw_canary(self._plan, self._roster, self.draw, self._unrounded)

    def _unrounded(self, shots: list[Shot]) -> dict[str, np.ndarray]:
        """Float values of a full batch that pixels and scores are rounded from."""
        size = self._plan.request.batch_size(shots[0].attempt)
        generator = self._generator.generator
        if self._embedder is None:
            return {}
        if not isinstance(generator, TellsUnrounded):
            embeddings_BD = self._embed(generator.generate(shots, size))
            assert embeddings_BD is not None
            return {"embeddings": embeddings_BD}
        unrounded_BCHW = generator.unrounded(shots, size)
        images_BHWC = to_uint8(torch.from_numpy(unrounded_BCHW))  # which saves a draw
        embeddings_BD = self._embedder.embed(images_BHWC)
        return {"embeddings": embeddings_BD, "unrounded images": unrounded_BCHW}

    def canary_difference(self) -> str | None:
        """In what this process's canary is not the plan's; None where it is, or has none."""
        planned = self._plan.canary
        return planned.difference(self.canary()) if planned else None

    def make(
        self, unit_index: int, retry: RetryState | None = None, heartbeat: Heartbeat = unwatched
    ) -> list[Shard]:
        """Make a unit and queue it; the shards that were committed meanwhile.

        Raises FactoryError when nothing may go on.
        """
        unit, request = self._plan.unit(unit_index), self._plan.request
        progress = UnitProgress(retry or RetryState(), heartbeat)
        sampled_s = self._generator.seconds
        people = members(unit, self._roster)
        wanted = self._draw_people(people, progress)
        if progress.failures and not progress.kept and not progress.rejected:
            raise PlanError(
                f"unit {unit.index}: all {progress.num_shots} shots failed, first with "
                f"{progress.failures[0].error}; it is not committed, fix the cause and run again"
            )
        clock, kept = progress.clock, [pair for pair in wanted if pair in progress.kept]
        sampling_s = self._generator.seconds - sampled_s
        result = UnitResult(
            unit=unit.index,
            plan_hash=self._plan.hash,
            counts=progress.counts(unit.num_shots, *with_images(request, people, kept)),
            timings=Timings(clock.started_at, 0.0, sampling_s, clock.elapsed_s()),
            rejected=progress.rejected,
            failures=progress.failures,
            attempt=progress.retry.attempt,
            remarks=self._generator.remarks,
            tells_truth=request.rendering is not None,
            vectors=progress.vectors(kept, self._embedder),
        )
        self._commits.commit(result, [progress.kept[pair] for pair in kept])
        return self._commits.finished()

    def _draw_people(self, people: list[Identity], progress: UnitProgress) -> list[Pair]:
        """Draw the people of a unit, and reserves for those who have too few images.

        Returns the pairs of everybody drawn, whose kept ones are the unit's faces in this order.
        """
        request = self._plan.request
        drawn = [one for one in people if one.num_shots]
        reserves = [one for one in people if not one.num_shots]
        wanted = self._draw_group(drawn, 0, progress)
        if request.plan.on_shortfall not in DROPPING:
            return wanted
        short = too_few(request, drawn, progress.kept)
        self._drop(short, progress)
        num_missing, group = len(short), 0
        while num_missing and reserves:
            drawn, reserves, group = reserves[:num_missing], reserves[num_missing:], group + 1
            wanted += self._draw_group(drawn, group, progress)
            short = too_few(request, drawn, progress.kept)
            self._drop(short, progress)
            num_missing -= len(drawn) - len(short)
        return wanted

    def _draw_group(self, people: list[Identity], group: int, progress: UnitProgress) -> list[Pair]:
        """Draw all images planned of some people, with top-ups; their pairs."""
        request = self._plan.request
        wanted = [(p.index, image) for p in people for image in range(planned_images(request, p))]
        missing = wanted
        for attempt in rounds(request, group):
            shots = plan_shots(request, missing, self._roster, attempt)
            progress.num_shots += len(shots)
            size = request.batch_size(attempt)
            for start in range(0, len(shots), size):
                self._shoot(shots[start : start + size], progress)
            self._settle(progress)
            missing = [pair for pair in wanted if pair not in progress.kept]
        self._drop(self._near_by_mean(people, progress), progress, NEAR_REAL_PERSON)
        return wanted

    def _near_by_mean(self, people: list[Identity], progress: UnitProgress) -> list[Identity]:
        """Those whose mean kept face is somebody real to the judge."""
        if self._near_real is None:
            return []
        near, kept = [], sorted(progress.judged)
        for person in people:
            own = [progress.judged[pair] for pair in kept if pair[0] == person.index]
            if own and self._near_real.is_near_by_mean(np.stack(own)):
                near.append(person)
        return near

    def _drop(
        self, people: list[Identity], progress: UnitProgress, reason: str = TOO_FEW_IMAGES
    ) -> None:
        """Turn the kept faces of some people into rejected ones."""
        dropped = {person.index for person in people}
        for pair in [pair for pair in sorted(progress.kept) if pair[0] in dropped]:
            face = self._commits.withdraw(progress.kept.pop(pair))
            progress.embeddings.pop(pair, None)
            progress.judged.pop(pair, None)
            progress.rejected.append((face, reason))

    def flush(self, heartbeat: Heartbeat = unwatched) -> list[Shard]:
        """Wait for the units in the queue; the shards that were committed since the last call."""
        return self._commits.drain(lambda: heartbeat(()))

    def close(self) -> None:
        self._scoring.close()
        self._commits.close()

    def draw(self, shots: list[Shot]) -> list[tuple[Shot, np.ndarray, Scores]]:
        """Images of one planned batch, or of some of its slots, with their scores."""
        batch = self._embedded(shots)
        scores = self._scoring.score(batch)
        images = [batch.images.images_BHWC[shot.slot] for shot in shots]
        return list(zip(shots, images, scores, strict=True))

    def verdict(self, scores: Scores) -> Verdict:
        """Whether a face is kept by the plan's filters."""
        return apply_filters(scores, self._filters)

    def _embedded(self, shots: list[Shot]) -> EmbeddedBatch:
        """Draw one planned batch, or some of its slots, and embed it."""
        batch = self._generator.generate(shots, self._plan.request.batch_size(shots[0].attempt))
        return EmbeddedBatch(shots, batch, self._embed(batch))

    def _embed(self, batch: DrawnBatch) -> np.ndarray | None:
        """Unit embeddings of all slots, from where the images are; None without an embedder."""
        if self._embedder is None:
            return None
        if isinstance(self._embedder, Recognizer):
            return self._embedder.embed(batch.for_networks)
        return self._embedder.embed(batch.images_BHWC)

    def _shoot(self, shots: list[Shot], progress: UnitProgress) -> None:
        """Draw and judge a batch in the groups that its retries ask for."""
        killers = [s for s in shots if ids([s])[0] in progress.retry.quarantined_shots]
        for shot in killers:
            self._fail(shot, "killed its actor twice, drawn alone", "", progress)
        for group in progress.retry.groups(shots):
            self._shoot_group(group, progress)

    def _shoot_group(self, shots: list[Shot], progress: UnitProgress) -> None:
        """Draw a group of shots and let it be scored; judge the group before it meanwhile."""
        progress.heartbeat(ids(shots))
        try:
            batch = self._embedded(shots)
        except Exception as error:
            self._settle(progress)
            self._after_error(error, shots, progress)
            return
        scores = self._scoring.submit(batch)
        judged = self._scoring.call(lambda: self._judged(batch, scores.result()))
        self._settle(progress)
        progress.being_scored = batch, scores, judged
        if not progress.overlaps:
            self._settle(progress)

    def _settle(self, progress: UnitProgress) -> None:
        """Judge the faces of the batch that is being scored, and of those drawn in its place."""
        while progress.being_scored:
            (batch, scoring, judging), progress.being_scored = progress.being_scored, None
            try:
                scores, judged = scoring.result(), judging.result()
            except Exception as error:
                self._after_error(error, batch.shots, progress)
            else:
                self._judge(batch, scores, judged, progress)

    def _after_error(self, error: Exception, shots: list[Shot], progress: UnitProgress) -> None:
        """Raise an error that is no shot's fault; else find the shots whose fault it is.

        The slots are drawn one by one, with the same bytes (they do not depend on neighbors), and
        only those that raise are quarantined.
        """
        real_names = getattr(self._embedder, "real_names", ())
        redaction_of(shots, self._roster, real_names).hide(error)
        if isinstance(error, (FactoryError, MemoryError, OSError)):
            raise error
        if is_of_the_device(error):
            raise DeviceError(f"device: {error!r} at {shots[0].key}") from error
        if len(shots) > 1:
            for shot in shots:
                self._shoot_group([shot], progress)
            self._settle(progress)
        else:
            self._fail(shots[0], repr(error), "".join(traceback.format_exception(error)), progress)

    def _fail(self, shot: Shot, error: str, trace: str, progress: UnitProgress) -> None:
        """Quarantine a shot, after all that was drawn before it is judged."""
        self._settle(progress)
        progress.failures.append(Failure(shot, error, trace))

    def _judged(self, batch: EmbeddedBatch, scores: list[Scores]) -> Judged:
        """What the judge sees in the faces of a batch that pass all filters."""
        if self._near_real is None:
            return {}
        scored = zip(batch.shots, scores, strict=True)
        return self._near_real.embed(batch, [shot for shot, s in scored if self.verdict(s).keep])

    def _judge(
        self, batch: EmbeddedBatch, scores: list[Scores], judged: Judged, progress: UnitProgress
    ) -> None:
        """Keep or reject the faces of a batch that is scored."""
        for shot, score in zip(batch.shots, scores, strict=True):
            verdict, who = self.verdict(score), (shot.identity, shot.image)
            if verdict.keep and self._near_real is not None:
                if self._near_real.is_near(judged[shot]):
                    verdict = Verdict(False, NEAR_REAL_PERSON)
                else:
                    progress.judged[who] = judged[shot]
            if verdict.keep:
                image, known = batch.images.images_BHWC[shot.slot], batch.images.rendered
                progress.kept[who] = self._commits.encode(
                    shot, image, score, progress.beat, known.get(shot.slot)
                )
                if batch.unit_BD is not None:
                    progress.embeddings[who] = batch.unit_BD[shot.slot].astype(np.float16)
            else:
                progress.rejected.append((without_pixels(shot, score), verdict.reason))


def _scorer(release: LoadedRelease, recognizer: Recognizer) -> Scorer:
    """What measures faces by the recognizer that conditions them."""
    plan, roster = release.plan, release.roster
    own_real = roster.prototype_of(recognizer.real_names)
    available, limits = quality_measures(recognizer, release.fiqa), plan.request.filters
    measures = {n: available[n] for n in available if getattr(limits, f"min_{n}") is not None}
    if plan.request.edits:
        measures |= edit_measures(recognizer)
    device, digest = recognizer.device, plan.roster_sha256.get(layout.EMBEDDINGS)
    shared_as = None if roster.private else digest  # no machine keeps a release's templates
    people = FixedPeople(roster.unit_ND, device, shared_as)
    real = FixedPeople(recognizer.unit_real, device, f"{recognizer.sha256}.real")
    return Scorer(people, real, own_real, measures, roster.first_identity)


def quality_measures(recognizer: Recognizer, fiqa: OnnxQuality | None) -> dict[str, Measure]:
    """Scores of how good an image is for recognition, by the names of their limits."""
    measures: dict[str, Measure] = {
        "cr_fiqa": lambda batch, unit_BD: recognizer.cr_fiqa(batch.for_networks),
        "ser_fiq": lambda batch, unit_BD: recognizer.ser_fiq(batch.for_networks),
    }
    if fiqa is not None:
        measures["fiqa"] = lambda batch, unit_BD: fiqa.scores(batch.for_networks)
    return measures
