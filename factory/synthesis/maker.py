"""ShardMaker: one unit of the plan to one committed shard.

generate -> embed -> score -> judge -> top up -> write. Everything that decides a byte comes from
the plan: batches have the planned shape, seeds are counters, threads are fixed.
"""

from __future__ import annotations

import hashlib
import io
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.distributed import pick_device
from factory.errors import FactoryError, IntegrityError
from factory.identities.plan import (
    Plan,
    Roster,
    first_difference,
    first_round,
    place,
    sources_hash,
    stack_fingerprint,
)
from factory.quality.filters import build_filters, judge
from factory.quality.scores import Scorer
from factory.recognition.embed import Embedder, Recognizer
from factory.records import Counts, Face, Failure, Shard, Shot
from factory.shards import layout, writer
from factory.store import Store, open_store
from factory.synthesis.generators import DiffusionGenerator, Generator


@dataclass
class Outcome:
    """What has become of a unit's shots so far."""

    kept: dict[tuple[int, int], Face] = field(default_factory=dict)
    rejected: list[tuple[Face, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    num_shots: int = 0

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
        store: Store,
    ) -> None:
        self._plan, self._roster, self._store = plan, roster, store
        self._generator, self._embedder = generator, embedder
        self._scorer = scorer
        self._filters = build_filters(plan.request["filters"])
        self._batch_size = int(plan.request["plan"]["micro_batch"])
        self._sampling_s = 0.0
        self._jpeg_quality = int(plan.request["sampler"]["jpeg_quality"])

    @classmethod
    def open(cls, config: Config, release: str) -> ShardMaker:
        """Load the plan below `release` and the weights `config` names."""
        torch.set_num_threads(config.plan.num_threads)  # because it decides bytes
        store = open_store(config.store).below(release)
        plan, roster = open_plan(store)
        device, precision = pick_device(config.compute), config.compute.precision
        recognizer = Recognizer.load(config.recognizer.checkpoint, device)
        loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
        autoencoder = None
        if loaded.config["space"] == "latents":
            autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        check_as_planned(plan, recognizer, loaded, autoencoder, device)
        generator = DiffusionGenerator(loaded, autoencoder, roster.unit_ND, device, precision)
        row = {name: i for i, name in enumerate(recognizer.real_names)}
        own_real = {who.index: row[who.name] for who in roster.identities if who.kind == "real"}
        scorer = Scorer(roster.unit_ND, recognizer.unit_real, own_real)
        return cls(plan, roster, generator, recognizer, scorer, store)

    def make(self, unit_index: int) -> Shard:
        """Make and commit one unit; raises FactoryError when nothing may go on."""
        unit, asked = self._plan.units[unit_index], self._plan.request
        clock, self._sampling_s = writer.Clock(), 0.0
        outcome = Outcome()
        shots = first_round(asked, unit, self._roster)
        wanted = [(shot.identity, shot.image) for shot in shots]
        for attempt in range(1, asked["plan"]["max_rounds"] + 1):
            outcome.num_shots += len(shots)
            for start in range(0, len(shots), self._batch_size):
                self._shoot(shots[start : start + self._batch_size], outcome)
            missing = [pair for pair in wanted if pair not in outcome.kept]
            shots = place(asked, missing, attempt)
        contents = writer.Contents(
            kept=[outcome.kept[pair] for pair in wanted if pair in outcome.kept],
            rejected=outcome.rejected,
            failures=outcome.failures,
            identities=self._roster.identities,
        )
        counts = outcome.counts(unit.num_shots)
        key = (unit.index, self._plan.hash)
        return writer.commit(self._store, key, contents, counts, clock, self._sampling_s)

    def draw(self, shots: list[Shot]) -> list[Face]:
        """Images of one planned batch (or some of its slots), encoded and scored."""
        started = time.perf_counter()
        images_BHWC = self._generator.generate(shots, self._batch_size)
        self._sampling_s += time.perf_counter() - started
        unit_BD = self._embedder.embed(images_BHWC)
        rows = [shot.slot for shot in shots]
        scores = self._scorer.score(shots, images_BHWC[rows], unit_BD[rows])
        return [
            Face(shot, encode_jpeg(image, self._jpeg_quality), score)
            for shot, image, score in zip(shots, images_BHWC[rows], scores, strict=True)
        ]

    def _shoot(self, shots: list[Shot], outcome: Outcome) -> None:
        """Draw and judge a batch. When it raises, its slots are drawn one by one, with the same
        bytes (they do not depend on neighbours), and only those that raise are quarantined."""
        try:
            faces = self.draw(shots)
        except (FactoryError, MemoryError, OSError):
            raise
        except Exception as error:  # because any exception of a shot is quarantined, not fatal
            if "allocate memory" in str(error):  # torch's out-of-memory is a RuntimeError
                raise
            if len(shots) > 1:
                for shot in shots:
                    self._shoot([shot], outcome)
            else:
                outcome.failures.append(Failure(shots[0], repr(error), traceback.format_exc()))
            return
        for face in faces:
            verdict = judge(face.scores, self._filters)
            if verdict.keep:
                outcome.kept[face.shot.identity, face.shot.image] = face
            else:
                outcome.rejected.append((face, verdict.reason))


def open_plan(store: Store) -> tuple[Plan, Roster]:
    """Plan and roster of a release; raises IntegrityError for a roster that was not planned."""
    plan = Plan.from_json(store.get(layout.PLAN))
    contents = {name: store.get(name) for name in (layout.ROSTER, layout.EMBEDDINGS)}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != plan.roster_sha256[name]:
            raise IntegrityError(f"{name}: is not the one the plan was made with; restore it")
    return plan, Roster.read(contents[layout.ROSTER], contents[layout.EMBEDDINGS])


def check_as_planned(
    plan: Plan,
    recognizer: Recognizer,
    generator: checkpoint.Checkpoint,
    autoencoder: Autoencoder | None,
    device: torch.device,
) -> None:
    """Raise IntegrityError unless this process has the plan's weights, device and software."""
    weights = {"recognizer": recognizer.sha256, "generator": generator.sha256}
    if autoencoder:
        weights["autoencoder"] = autoencoder.sha256
    here = {
        "weights": weights,
        "stack": stack_fingerprint(),
        "factory": {"sources_sha256": sources_hash()},
        "device": device.type,
    }
    planned = {
        "weights": plan.request["weights"],
        "stack": plan.request["stack"],
        "factory": plan.request["factory"],
        "device": plan.request["compute"]["device"],
    }
    difference = first_difference(here, planned)
    if difference:
        raise IntegrityError(f"this maker is not as planned ({difference}); bytes would differ")


def encode_jpeg(image_HWC: np.ndarray, quality: int) -> bytes:
    """JPEG of an RGB uint8 image, full chroma resolution."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
