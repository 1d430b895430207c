"""LoraMaker: one person of the plan to one committed LoRA.

The base is opened once for each actor and LoRAs are exchanged in it; one person trains at a time,
and a result depends on nobody else (METHODS 3).
"""

from __future__ import annotations

import hashlib
import io
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
from factory.execution.retries import Heartbeat, RetryState, unwatched
from factory.recognition.embed import Recognizer
from factory.records import Counts, Failure, Shard, Shot, Timings, UnitResult
from factory.seeds import stream_seed
from factory.shards import layout, writer
from factory.shards.plan_files import difference_from
from factory.shards.redaction import Redaction
from factory.shots.plan import LoraPlan, asked_otherwise
from factory.sources import CorruptImageError, FaceSource, open_source
from factory.store import Store, open_store
from factory.store.json_text import json_text
from factory.synthesis.canary import refuse
from factory.synthesis.lora_canary import train_canary
from factory.synthesis.lora_sets import face_crop, lora_plan, photographs, prior_name
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.personalize import LoraTrainer
from factory.training.distributed import pick_device

BEAT_S = 5.0
"""Seconds between signs of life while a person trains."""


class LoraMaker:
    """Trains people on one device: an actor's maker, as ShardMaker is."""

    def __init__(
        self,
        plan: LoraPlan,
        trainer: LoraTrainer,
        source: FaceSource,
        store: Store,
        prior_sha256: str,
    ) -> None:
        self._plan, self._trainer, self._source, self._store = plan, trainer, source, store
        self._prior_sha256 = prior_sha256

    @classmethod
    def open(cls, config: Config, prefix: str) -> LoraMaker:
        """Open the base.

        Raises IntegrityError for other settings or people than planned, OtherMachine when this
        process would not train as planned.
        """
        store = open_store(config.store).below(prefix)
        source = open_source(photographs(config))
        plan = LoraPlan.from_json(store.get(layout.PLAN))
        difference = asked_otherwise(lora_plan(config, source, plan).request, plan.request)
        if difference:
            raise IntegrityError(f"this maker is not as planned ({difference})")
        refuse(difference_from(plan, pick_device(config.compute)))
        trainer, priors, prior_sha256 = open_trainer(config, plan)
        if plan.canary:
            canary = train_canary(trainer, priors, plan.request.compute.device)
            refuse(plan.canary.difference(canary))
        return cls(plan, trainer, source, store, prior_sha256)

    def make(
        self, unit: int, retry: RetryState | None = None, heartbeat: Heartbeat = unwatched
    ) -> list[Shard]:
        """Train one person and commit; a person whose training raises is quarantined."""
        retry, clock = retry or RetryState(), writer.Clock()
        shot = self._shot(unit)
        contents: dict[str, bytes] = {}
        failures: list[Failure] = []
        if retry.groups([shot]):
            try:
                contents = self._trained(unit, shot, heartbeat)
            except (FactoryError, MemoryError, OSError) as error:
                self._redaction(unit).hide(error)
                raise
            except Exception as error:  # because any exception of one person is not the others'
                self._redaction(unit).hide(error)
                if is_of_the_device(error):
                    raise DeviceError(f"device: {error!r} at {shot.key}") from error
                failures = [Failure(shot, repr(error), traceback.format_exc())]
        else:
            failures = [Failure(shot, "killed its actor twice, alone", "")]
        seconds = clock.elapsed_s()
        result = UnitResult(
            unit=unit,
            plan_hash=self._plan.hash,
            counts=Counts(1, 0, int(not failures), 0, len(failures)),
            timings=Timings(clock.started_at, time.time(), seconds, seconds),
            failures=failures,
            attempt=retry.attempt,
        )
        on_cpu = self._plan.request.compute.device == "cpu"
        return [writer.commit_files(self._store, result, contents, same_bytes=on_cpu)]

    def flush(self, heartbeat: Heartbeat = unwatched) -> list[Shard]:
        """Nothing waits: a LoRA is committed when it is trained."""
        return []

    def close(self) -> None:
        pass

    def _trained(self, unit: int, shot: Shot, heartbeat: Heartbeat) -> dict[str, bytes]:
        """Files of a person: the LoRA, and its metadata without times, so that bytes are equal."""
        name = self._plan.request.source.people[unit]
        rows = np.flatnonzero(self._source.labels == unit)
        images = np.stack(list(self._readable(rows)))
        heartbeat(((shot.key, 0),))
        beat = _Beat(lambda: heartbeat(((shot.key, 0),)))
        metrics = self._trainer.train(name, images, beat)
        data = self._trainer.lora.to_bytes()
        metadata = {
            "name": name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "weights": self._plan.request.weights,
            "prior_sha256": self._prior_sha256,
            "plan_hash": self._plan.hash,
            "recipe": self._plan.request.to_dict()["recipe"],
            "metrics": metrics,
        }
        data_of_metadata = (json_text(metadata, indent=1, sort_keys=True) + "\n").encode()
        return {layout.lora_name(unit): data, layout.lora_metadata_name(unit): data_of_metadata}

    def _redaction(self, unit: int) -> Redaction:
        """What a person and their photographs are called in texts."""
        called, source = self._plan.request.source.people[unit], self._source
        keys = [source.keys[int(row)] for row in np.flatnonzero(source.labels == unit)]
        return Redaction.of_person(called, str(source.names[unit]), keys)

    def _readable(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """A person's photographs; those that cannot be read were counted by the driver."""
        for row in rows:
            with suppress(CorruptImageError):
                yield self._source[int(row)].image_HWC

    def _shot(self, unit: int) -> Shot:
        """A person's training in the form in which makers report what they have in hand."""
        recipe, name = self._plan.request.recipe, self._plan.request.source.people[unit]
        seed = stream_seed(self._plan.request.seed, "lora", name)
        prompt = recipe.instance_prompt
        return Shot(f"{unit:06d}", unit, 0, 0, seed, "", recipe.steps, 0.0, 0, 0, prompt=prompt)


def open_trainer(config: Config, plan: LoraPlan) -> tuple[LoraTrainer, np.ndarray, str]:
    """(trainer of a plan's LoRAs, the prior images [N, px, px, 3], sha256 of their file).

    It sets this process's threads, which decide bytes.
    """
    torch.set_num_threads(config.plan.num_threads)
    device, recipe = pick_device(config.compute), config.personalization
    base = TextToImage(config.base_model, device, config.compute.precision)
    recognizer = Recognizer.load(config.recognizer.checkpoint, device)
    crop = face_crop(config, recognizer.image_px)
    trainer = LoraTrainer(recipe, base, recognizer, crop, config.release.seed)
    prior = open_store(config.store).below(config.release.dataset).get(prior_name(plan))
    priors_NHWC = np.load(io.BytesIO(prior), allow_pickle=False)
    trainer.set_priors(priors_NHWC)
    return trainer, priors_NHWC, hashlib.sha256(prior).hexdigest()


@dataclass
class _Beat:
    """A sign of life, at most every BEAT_S."""

    beat: Callable[[], None]
    last: float = 0.0

    def __call__(self) -> None:
        if time.monotonic() - self.last > BEAT_S:
            self.beat()
            self.last = time.monotonic()
