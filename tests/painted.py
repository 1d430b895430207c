"""A sealed release whose faces are given as vectors: nobody draws, embeds or decodes anything.

Its units have the metadata of a release and a file of vectors in the spaces of a recognizer, a
judge and the perceptual hash; their tars hold no images. Some faces are those of somebody real,
some hashes are nearly those of others. Every unit follows from its number alone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

from factory.config import Config, FleetConfig
from factory.evaluation.embeddings import RealFaces
from factory.evaluation.measure_unit import ORIGINALS, PEOPLE, MeasureTask, UnitMeasurer
from factory.evaluation.measuring import Release
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.evaluation.real_people import RealPeople
from factory.evaluation.yardstick import Yardstick, people_of
from factory.execution.fleet_state import unheard
from factory.execution.inline import RunUnits, never, run_units
from factory.identities.roster import Roster
from factory.records import Counts, Timings, Unit, UnitResult
from factory.shards import layout, manifest, writer
from factory.shots.plan import Plan
from factory.store import LocalStore, open_store
from tests.planned import request_with, virtual_people

REQUEST = request_with(release={"dataset": "painted", "version": "1"})
PLANTED = 7
"""Every so many units have a face that is a real one's, and one whose hash is."""


@dataclass(frozen=True)
class Painting:
    """How large a painted release is."""

    num_units: int
    people: int
    """In a unit."""
    images: int
    """Of a person."""
    dim: int = 16
    num_real: int = 60
    """Real people, two images each."""

    @property
    def each(self) -> int:
        """Faces in a unit."""
        return self.people * self.images

    def units(self) -> list[Unit]:
        return [
            Unit(number, number * self.people, self.people, self.each)
            for number in range(self.num_units)
        ]


@dataclass(frozen=True)
class KeptSpace:
    """A space whose vectors makers have kept: nothing may be embedded in it."""

    sha256: str
    has_unit_length: bool = True

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        raise AssertionError("embedded, though the vectors are there")


SPACES = {name: KeptSpace(name * 3) for name in ("recognizer", "judge")}


def unit_rows(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    vectors = rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def hashes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Of float32 +-1/16, [count, 256]."""
    return np.where(rng.integers(0, 2, (count, 256)), 1, -1).astype(np.float32) / 16


def real_faces(painting: Painting) -> tuple[RealFaces, RealFaces, RealFaces]:
    """Real faces by the judge, and their hashes, plain and mirrored."""
    rng, count = np.random.default_rng(5), 2 * painting.num_real
    labels, indices = np.arange(count) // 2, np.arange(count)
    vectors = (unit_rows(count, painting.dim, rng), hashes(count, rng), hashes(count, rng))
    judged, plain, mirrored = (RealFaces(some, labels, indices) for some in vectors)
    return judged, plain, mirrored


def vectors_of(painting: Painting, unit: int) -> dict[str, np.ndarray]:
    """float16 vectors of a unit's faces by the sha256 of their space."""
    rng = np.random.default_rng([7, unit])
    who = np.repeat(np.arange(painting.people), painting.images)
    kept = {}
    for space in SPACES.values():
        centers = unit_rows(painting.people, painting.dim, rng)[who]
        noisy = centers + 0.6 * unit_rows(painting.each, painting.dim, rng)
        kept[space.sha256] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    hash_NB = hashes(painting.each, rng)
    if unit % 3 == 0:  # face 0 is face 1 and nearly one of other such units; two more are twins
        hash_NB[0] = hashes(1, np.random.default_rng(9))[0]
        hash_NB[0, rng.integers(0, 256, 3)] *= -1
        hash_NB[1], hash_NB[painting.images - 1] = hash_NB[0], hash_NB[painting.images - 2]
    if unit % PLANTED == 1:
        judged, plain, _ = real_faces(painting)
        kept[SPACES["judge"].sha256][2] = judged.unit_ND[unit % len(judged.unit_ND)]
        hash_NB[3] = plain.unit_ND[(2 * unit) % len(plain.unit_ND)]
    kept[PerceptualHash().sha256] = hash_NB
    return {name: some.astype(np.float16) for name, some in kept.items()}


def metadata_of(painting: Painting, unit: int) -> bytes:
    """metadata/ of a unit: keys, identities and scores, all else as if nobody had cared."""
    rng, first = np.random.default_rng([8, unit]), unit * painting.people
    who = np.repeat(np.arange(first, first + painting.people), painting.images)
    image = np.tile(np.arange(painting.images), painting.people)
    columns = {
        "key": [f"{person:06d}_{number:04d}" for person, number in zip(who, image, strict=True)],
        "identity": who,
        "image": image,
        "own_cosine": rng.uniform(0.3, 0.9, painting.each),
        "sharpness": rng.uniform(50, 900, painting.each),
        "brightness": rng.uniform(60, 200, painting.each),
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else _constant(field.type, painting.each)
        for field in layout.METADATA_SCHEMA
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=layout.METADATA_SCHEMA), buffer)
    return buffer.getvalue()


def _constant(kind: pa.DataType, count: int) -> pa.Array:
    return pa.array([""] * count, kind) if kind == pa.string() else pa.nulls(count, kind)


def plan_of(painting: Painting) -> Plan:
    return Plan(REQUEST, {}, painting.units())


def paint_unit(store: LocalStore, painting: Painting, unit: int, plan_hash: str) -> None:
    """Write and commit a unit."""
    buffer = io.BytesIO()
    pq.write_table(layout.REJECTS_SCHEMA.empty_table(), buffer)
    contents = {
        layout.tar_name(unit): b"no images",
        layout.metadata_name(unit): metadata_of(painting, unit),
        layout.rejects_name(unit): buffer.getvalue(),
        layout.vectors_name(unit): save(vectors_of(painting, unit)),
    }
    counts = Counts(painting.each, 0, painting.each, 0, 0)
    result = UnitResult(unit, plan_hash, counts, Timings(0.0, 1.0, 0.5, 1.0))
    writer.commit_files(store, result, contents)


def paint(store: LocalStore, painting: Painting) -> Release:
    """Write and seal such a release."""
    plan = plan_of(painting)
    store.put(layout.PLAN, plan.to_json())
    for unit in plan.units:
        paint_unit(store, painting, unit.index, plan.hash)
    manifest.seal(store, plan, 0.0)
    return painted(store, painting)


def painted(store: LocalStore, painting: Painting) -> Release:
    """A release that is painted and sealed."""
    people = virtual_people(*[painting.images] * painting.people * painting.num_units)
    roster = Roster(people, np.zeros((len(people), 1), np.float32))
    return Release(store, roster, manifest.collect(store, plan_of(painting)), {})


def open_measurer(task: MeasureTask) -> UnitMeasurer:
    """A measurer in the spaces of a painted release; no network is loaded."""
    scratch = open_store(task.scratch)
    real = (RealPeople.load(scratch, name) for name in (PEOPLE, ORIGINALS))
    return UnitMeasurer(task, SPACES, {}, *real)


def runner(run: RunUnits = run_units) -> RunUnits:
    """A runner whose measurers are those of a painted release."""

    def run_painted(fleet, open_maker, units, on_done, draining=never, on_state=unheard) -> None:
        opener = partial(open_measurer, open_maker.args[0])
        run(fleet, opener, units, on_done, draining, on_state)

    return run_painted


def config_of(store: LocalStore) -> Config:
    """A config whose judge is set, and whose fleet may be anything."""
    config = Config()
    return replace(
        config,
        judge=replace(config.judge, checkpoint="judge"),
        store=replace(config.store, url=str(store.root)),
        fleet=FleetConfig(num_workers=2),
    )


def yardstick_of(painting: Painting) -> Yardstick:
    return people_of(*real_faces(painting))
