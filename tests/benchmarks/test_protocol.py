"""What exactly-once costs: commits, tars, leases, reading back, each against the plain tool.

python -m pytest tests/benchmarks/test_protocol.py -q -s
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from factory.config import FleetConfig
from factory.execution.retries import unwatched
from factory.records import Counts, Face, Identity, Scores, Shard, Timings
from factory.shards import writer
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore, open_store
from factory.store.base import digest
from tests import s3_server
from tests.benchmarks.timing import fastest, fastest_by, report
from tests.memory import peak_bytes
from tests.planned import request_with, shots_of

SHARD_BYTES = 64 << 20
REQUEST = request_with(plan={"micro_batch": 8})
SCORES = Scores(0.9, 1, 0.2, 0.3, 100.0, 120.0)


@pytest.mark.s3
def test_committing_a_shard_against_upload_file(s3_config, s3_endpoint, tmp_path):
    """Their seconds, and their client CPU seconds, over ours, sha256 included."""
    data = np.random.default_rng(0).bytes(SHARD_BYTES)
    file = tmp_path / "shard.tar"
    file.write_bytes(data)
    store, client = open_store(s3_config()), s3_server.client(s3_endpoint)
    ours_names, their_names = itertools.count(), itertools.count()

    def ours() -> None:
        store.put_once(f"ours-{next(ours_names)}", data)

    def theirs() -> None:
        client.upload_file(str(file), s3_server.BUCKET, f"theirs-{next(their_names)}")

    ours(), theirs()
    ours_s, theirs_s = fastest(ours, theirs, repeats=6)
    ours_cpu, theirs_cpu = fastest_by(time.process_time, ours, theirs, repeats=6)
    mb = SHARD_BYTES / 1e6
    report("commit_vs_upload_file", theirs_s / ours_s, 1.0, ours_mb_s=mb / ours_s)
    report("commit_cpu_vs_upload_file", theirs_cpu / ours_cpu, 1.0, ours_cpu_s=ours_cpu)


def test_packing_a_shard_against_tarwriter():
    """webdataset's TarWriter's seconds over ours, which also hashes and records offsets."""
    rng = np.random.default_rng(0)
    shots = shots_of(REQUEST, [(i, j) for i in range(50) for j in range(20)])
    faces = [Face(shot, rng.bytes(5000), SCORES) for shot in shots]
    identities = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, 20) for i in range(50)]

    def ours() -> None:
        data, _ = writer.pack(faces, identities)
        hashlib.sha256(data).hexdigest()

    def theirs() -> None:
        with webdataset.TarWriter(io.BytesIO(), encoder=False) as sink:
            for face in faces:
                metadata = {"identity": face.shot.identity, "seed": face.shot.seed}
                sink.write(
                    {
                        "__key__": face.shot.key,
                        "jpg": face.encoded,
                        "cls": str(face.shot.identity).encode(),
                        "json": json.dumps(metadata).encode(),
                    }
                )

    ours_s, theirs_s = fastest(ours, theirs, repeats=8)
    size = sum(len(face.encoded) for face in faces) / 1e6
    report("pack_vs_tarwriter", theirs_s / ours_s, 1.0, ours_mb_s=size / ours_s)


class EmptyMaker:
    """Makes shards of nothing."""

    def make(self, unit, retry=None, heartbeat=unwatched):
        counts = Counts(1, 0, 1, 0, 0)
        return [Shard(unit, "h", [], counts, Timings(0.0, 1.0, 1.0, 1.0))]

    def flush(self, heartbeat=unwatched):
        return []

    def close(self):
        return


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_driver_cost_of_a_unit():
    """5 ms over the wall time of a unit of empty work, at 10,000 units; and memory stays flat."""
    import ray

    from cluster import fleet

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    done = itertools.count()
    peaks: list[int] = []

    def on_done(_: Shard) -> None:
        if next(done) % 1000 == 0:
            peaks.append(peak_bytes())

    open_maker = functools.partial(EmptyMaker)
    try:
        config = FleetConfig(num_workers=2)
        fleet.run_units(config, open_maker, range(200), lambda shard: None)
        started, cpu = time.perf_counter(), time.process_time()
        fleet.run_units(config, open_maker, range(10_000), on_done)
        wall_ms = (time.perf_counter() - started) / 10
        cpu_ms = (time.process_time() - cpu) / 10
    finally:
        ray.shutdown()
    grown_mb = (peaks[-1] - peaks[1]) / 1e6
    report("unit_cost", 5.0 / wall_ms, 1.0, ms=wall_ms, driver_cpu_ms=cpu_ms, grown_mb=grown_mb)
    assert grown_mb < 30


def write_release(store: LocalStore, num_shards: int, each: int) -> list[str]:
    """A sealed release of real-looking JPEGs; paths of its tars."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(0, 255, (8, 14, 14, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    jpegs = [writer.Encoding("jpeg", 95).encode(image) for image in base]
    identities = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, each) for i in range(num_shards)]
    lines, entries, paths = [], [], []
    for unit in range(num_shards):
        shots = shots_of(REQUEST, [(unit, image) for image in range(each)])
        faces = [Face(shot, jpegs[shot.slot], SCORES) for shot in shots]
        data, _ = writer.pack(faces, identities)
        name = f"data/train-{unit:06d}.tar"
        store.put(name, data)
        lines.append(f"{digest([data])}  {name}")
        entries.append({"url": f"../{name}", "nsamples": each, "filesize": len(data)})
        paths.append(str(store.path(name)))
    store.put("index/wids.json", json.dumps({"shardlist": entries}).encode())
    store.put("SHA256SUMS", ("\n".join(lines) + "\n").encode())
    store.put("_SUCCESS", b"")
    return paths


def decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_reading_against_plain_webdataset(tmp_path: Path):
    """Plain webdataset's seconds over ours on the same shards, decoding; ours also verifies."""
    store = LocalStore(tmp_path)
    paths = write_release(store, num_shards=4, each=300)

    def ours() -> None:
        assert sum(1 for _ in ReleaseStream(store, verify=True)) == 1200

    def theirs() -> None:
        plain = webdataset.WebDataset(paths, shardshuffle=False)
        samples = ((decode(s["jpg"]), int(s["cls"])) for s in plain)
        assert sum(1 for _ in samples) == 1200

    ours_s, theirs_s = fastest(ours, theirs, repeats=6)
    report("reader_vs_webdataset", theirs_s / ours_s, 0.95, ours_samples_s=1200 / ours_s)


def test_recordio_against_bare_decoding(tmp_path: Path):
    """Seconds of decoding bytes in memory over random access to a .rec and decoding."""
    from factory.config import SourceConfig
    from factory.sources import open_source
    from factory.sources.decoding import decode_image
    from factory.sources.record_source import RecordSource
    from factory.sources.recordio import write_records

    pack = open_source(SourceConfig())
    jpegs = [writer.Encoding("jpeg", 95).encode(pack[index].image_HWC) for index in range(2000)]
    write_records(tmp_path / "x.rec", np.arange(2000) // 10, jpegs)
    source = RecordSource(SourceConfig(kind="recordio", path=str(tmp_path / "x.rec")))
    order = np.random.default_rng(0).permutation(2000).tolist()

    def ours() -> None:
        for index in order:
            _ = source[index].image_HWC

    def bare() -> None:
        for index in order:
            decode_image(jpegs[index], "key", 1 << 30)

    ours_s, bare_s = fastest(ours, bare, repeats=6)
    report("recordio_vs_decode", bare_s / ours_s, 0.9, ours_images_s=2000 / ours_s)
