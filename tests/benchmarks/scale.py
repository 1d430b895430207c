"""The scale of the mission on one machine: hundreds of thousands of people from plan to evaluation.

    python -m tests.benchmarks.scale --identities 200000 --images 5 --out /tmp/scale

Images are painted instead of drawn: each holds its identity's number in its pixels, so that every
label can be checked after all is packed, sealed and read back, and the embedder that reads it gives
that person's vector. All else is the factory's: gate, plan, Ray actors, scores, filters, commits,
seal, verify, streaming, certificate, consistency. Prints JSON: seconds of each phase, faces a
second, and the driver's peak memory after a tenth of the units and at the end.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import time
from pathlib import Path

import numpy as np

from factory.config import FleetConfig
from factory.evaluation.consistency import consistency
from factory.evaluation.embeddings import RecognizerSpace
from factory.evaluation.measure_unit import UnitImages, embed_unit
from factory.identities.gate import Gate
from factory.identities.roster import Roster
from factory.quality.scores import Scorer
from factory.records import DrawnBatch, Identity
from factory.shards import layout, manifest
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.shards.writer import Encoding
from factory.shots.plan import Plan, cut_units
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore
from factory.synthesis.commit_queue import CommitQueue
from factory.synthesis.maker import ShardMaker
from tests.benchmarks.gate_at_scale import training_set
from tests.memory import peak_bytes
from tests.planned import request_with

PX, CELL = 32, 4
BITS = (PX // CELL) ** 2
DIM, NUM_REAL, MAX_COSINE, EACH = 256, 20_000, 0.6, 500
FILTERS = {"min_own_cosine": 0.9, "min_brightness": None, "max_brightness": None}


def paint(identity: int, image: int) -> np.ndarray:
    """The number of a person as black and white cells (JPEG keeps them), the image as a tint."""
    bits = (identity >> np.arange(BITS) % 63) & (np.arange(BITS) < 63)
    cells = np.where(bits.astype(bool), 225, 25).reshape(PX // CELL, PX // CELL)
    gray = np.kron(cells, np.ones((CELL, CELL)))
    return np.stack([gray + 3 * (image % 8), gray, gray], axis=-1).astype(np.uint8)


def numbers_in(images_NHWC: np.ndarray) -> np.ndarray:
    """Who is painted in each image: int64 [N]."""
    green = images_NHWC[..., 1].astype(np.float32)
    cells = green.reshape(len(green), PX // CELL, CELL, PX // CELL, CELL).mean((2, 4))
    bits = (cells.reshape(len(green), BITS)[:, :63] > 125).astype(np.int64)
    return (bits << np.arange(63)).sum(1)


class Painter:
    """A Generator of such images."""

    remarks: list[str] = []  # noqa: RUF012, because nothing is ever added to it

    def generate(self, shots, batch_size):
        images = np.zeros((batch_size, PX, PX, 3), np.uint8)
        for shot in shots:
            images[shot.slot] = paint(shot.identity, shot.image)
        return DrawnBatch(images)


class Reader:
    """An Embedder that reads the number and gives that person's vector."""

    sha256, dim = "reader", DIM

    def __init__(self, unit_ND: np.ndarray) -> None:
        self._unit_ND = unit_ND

    def embed(self, images_NHWC):
        return self._unit_ND[np.minimum(numbers_in(images_NHWC), len(self._unit_ND) - 1)]


def open_maker(root: str) -> ShardMaker:
    """A maker of painted people over the plan in a folder."""
    store = LocalStore(root)
    plan = Plan.from_json(store.get(layout.PLAN))
    roster = Roster.read(store.get(layout.ROSTER), store.get(layout.EMBEDDINGS))
    real = np.load(Path(root) / "real.npy")
    queue = CommitQueue(store, roster.identities, Encoding("jpeg", 95), 256 << 20)
    scorer = Scorer(roster.unit_ND, real, {})
    return ShardMaker(plan, roster, Painter(), Reader(roster.unit_ND), scorer, queue)


def planned(store: LocalStore, count: int, images: int) -> tuple[Plan, Roster]:
    """Who exists, by the gate, and what is made; written as a release has it."""
    proposal, real = training_set(NUM_REAL, DIM, seed=0)
    gate = Gate(real, MAX_COSINE, None)
    for first in range(0, count, 4096):
        gate.admit_block(proposal, np.arange(first, min(first + 4096, count)), 1000, count)
    admission = gate.certified()
    identities = [
        Identity(i, "virtual", "pca", a, round(float(r), 6), round(float(o), 6), images)
        for i, (a, r, o) in enumerate(
            zip(admission.attempts, admission.nearest_real, admission.nearest_other, strict=True)
        )
    ]
    roster = Roster(identities, admission.unit_ND)
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    for name, content in contents.items():
        store.put(name, content)
    request = request_with(
        release={"seed": 0, "dataset": "scale", "version": "1"},
        filters=FILTERS,
        plan={"micro_batch": 64, "max_rounds": 2},
    )
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    plan = Plan(request, digests, cut_units(identities, EACH))
    store.put(layout.PLAN, plan.to_json())
    np.save(Path(store.root) / "real.npy", real[:1000])
    return plan, roster


def main() -> None:
    from cluster.fleet import run_units

    parser = argparse.ArgumentParser()
    parser.add_argument("--identities", type=int, default=2000)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    store, seconds, began = LocalStore(args.out), {}, time.perf_counter()

    def phase(name: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[name], began = round(now - began, 1), now

    plan, roster = planned(store, args.identities, args.images)
    phase("plan")
    peaks, done = [], []

    def on_done(shard) -> None:
        done.append(shard.unit)
        if len(done) in (max(1, len(plan.units) // 10), len(plan.units)):
            peaks.append(peak_bytes())

    maker = functools.partial(open_maker, str(Path(args.out).absolute()))
    run_units(FleetConfig(), maker, [unit.index for unit in plan.units], on_done)
    phase("make")
    sealed = manifest.seal(store, plan, 0.0)
    store.put_once(layout.SUCCESS, b"")
    manifest.seal_extras(store)
    phase("seal")
    problems = verify(store)
    phase("verify")
    wrong = read = 0
    for sample in ReleaseStream(store):
        read += 1
        wrong += int(numbers_in(sample.image_HWC[None])[0]) != sample.label
    phase("read_back")
    spaces, units, labels = {"reader": RecognizerSpace(Reader(roster.unit_ND))}, [], []
    for shard in sealed.shards:
        rows = metadata_rows(store, shard.unit)
        images = UnitImages(store, shard, rows)
        vectors, _ = embed_unit(images, len(rows), spaces, {}, {}, np.zeros(0, int))
        units.append(vectors["reader"])
        labels += [row["identity"] for row in rows]
    figures = consistency(np.concatenate(units), np.array(labels))
    phase("evaluate")
    faces = sealed.counts.kept
    print(
        json.dumps(
            {
                "identities": args.identities,
                "faces": faces,
                "units": len(plan.units),
                "seconds": seconds,
                "faces_per_s": round(faces / seconds["make"], 1),
                "driver_peak_bytes": {"tenth": peaks[0], "all": peaks[-1]},
                "problems": problems,
                "read_back": read,
                "wrong_labels": wrong,
                "nearest_other_center_p99": figures.nearest_center.p99,
            }
        )
    )
    assert not problems
    assert (read, wrong) == (faces, 0)


if __name__ == "__main__":
    main()
