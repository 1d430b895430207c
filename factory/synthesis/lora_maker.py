"""LoraMaker: one person of the plan to one committed LoRA.

The base is opened once for each actor and LoRAs are exchanged in it; one person trains at a time,
and a result depends on nobody else (METHODS 3).
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch

from factory.config import Config
from factory.errors import DeviceError, FactoryError, IntegrityError
from factory.execution.device_errors import is_of_the_device
from factory.execution.retries import RetryState, Heartbeat, unwatched
from factory.recognition.embed import Recognizer
from factory.records import Counts, Failure, Shard, Shot, Timings
from factory.seeds import stream_seed
from factory.shards import layout, writer
from factory.shots.plan import Plan, first_difference
from factory.sources import CorruptImageError, FaceSource, open_source
from factory.store import Store, open_store
from factory.synthesis.lora_sets import face_crop, photographs, lora_plan, prior_name
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.personalize import LoraTrainer
from factory.training.distributed import pick_device

BEAT_S = 5.0
"""Seconds between signs of life while a person trains."""


class LoraMaker:
    """Trains people on one device: an actor's maker, as ShardMaker is."""

    def __init__(
        self, plan: Plan, booth: LoraTrainer, source: FaceSource, store: Store, prior_sha256: str
    ) -> None:
        self._plan, self._booth, self._source, self._store = plan, booth, source, store
        self._prior_sha256 = prior_sha256

    @classmethod
    def open(cls, config: Config, prefix: str) -> LoraMaker:
        """Open the base; raises IntegrityError when this process could not train as planned."""
        store = open_store(config.store).below(prefix)
        source = open_source(photographs(config))
        plan = Plan.from_json(store.get(layout.PLAN))
        difference = first_difference(lora_plan(config, source).request, plan.request)
        if difference:
            raise IntegrityError(f"this maker is not as planned ({difference})")
        torch.set_num_threads(config.plan.num_threads)
        device, asked = pick_device(config.compute), config.booth
        base = TextToImage(asked, device, config.compute.precision)
        recognizer = Recognizer.load(config.recognizer.checkpoint, device)
        crop = face_crop(config, recognizer.image_px)
        booth = LoraTrainer(asked, base, recognizer, crop, config.release.seed)
        dataset = open_store(config.store).below(config.release.dataset)
        prior = dataset.get(prior_name(plan))
        booth.know_prior(np.load(io.BytesIO(prior), allow_pickle=False))
        return cls(plan, booth, source, store, hashlib.sha256(prior).hexdigest())

    def make(self, unit: int, care: RetryState | None = None, note: Heartbeat = unwatched) -> list[Shard]:
        """Train one person and commit; a person whose training raises is quarantined."""
        care, clock = care or RetryState(), writer.Clock()
        shot = self._shot(unit)
        contents: dict[str, bytes] = {}
        failures: list[Failure] = []
        if care.groups([shot]):
            try:
                contents = self._trained(unit, shot, note)
            except (FactoryError, MemoryError, OSError):
                raise
            except Exception as error:  # because any exception of one person is not the others'
                if is_of_the_device(error):
                    raise DeviceError(f"device: {error!r} at {shot.key}") from error
                failures = [Failure(shot, repr(error), traceback.format_exc())]
        else:
            failures = [Failure(shot, "killed its actor twice, alone", "")]
        seconds = clock.elapsed_s()
        timings = Timings(clock.started_at, time.time(), seconds, seconds)
        counts = Counts(1, 0, int(not failures), 0, len(failures))
        key = (unit, self._plan.hash)
        record = writer.Record(care.attempt, [], timings)
        return [writer.commit_files(self._store, key, contents, failures, counts, record)]

    def flush(self, note: Heartbeat = unwatched) -> list[Shard]:
        """Nothing waits: a LoRA is committed when it is trained."""
        return []

    def close(self) -> None:
        pass

    def _trained(self, unit: int, shot: Shot, note: Heartbeat) -> dict[str, bytes]:
        """Files of a person: the LoRA, and its story without times, so that bytes are equal."""
        name = str(self._source.names[unit])
        rows = np.flatnonzero(self._source.labels == unit)
        images = np.stack(list(self._readable(rows)))
        note(((shot.key, 0),))
        beat = _Beat(lambda: note(((shot.key, 0),)))
        metrics = self._booth.train(name, images, beat)
        data = self._booth.lora.to_bytes()
        story = {
            "name": name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "weights": self._plan.request["weights"],
            "prior_sha256": self._prior_sha256,
            "plan_hash": self._plan.hash,
            "booth": self._plan.request["booth"],
            "metrics": metrics,
        }
        told = (json.dumps(story, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
        return {layout.lora_name(unit): data, layout.lora_metadata_name(unit): told}

    def _readable(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """A person's photographs; those that cannot be read were counted by the driver."""
        for row in rows:
            with suppress(CorruptImageError):
                yield self._source[int(row)].image_HWC

    def _shot(self, unit: int) -> Shot:
        """A person's training in the form in which makers note what they have in hand."""
        asked, name = self._plan.request["booth"], self._source.names[unit]
        seed = stream_seed(self._plan.request["seed"], "lora", str(name))
        prompt = asked["instance_prompt"]
        return Shot(f"{unit:06d}", unit, 0, 0, seed, "", asked["steps"], 0.0, 0, 0, prompt=prompt)


@dataclass
class _Beat:
    """A sign of life, at most every BEAT_S."""

    tell: Callable[[], None]
    last: float = 0.0

    def __call__(self) -> None:
        if time.monotonic() - self.last > BEAT_S:
            self.tell()
            self.last = time.monotonic()
