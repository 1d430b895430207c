"""What mixing costs: a stream over many shards against one that reads shard after shard.

python -m pytest tests/benchmarks/test_stream_speed.py -q -s
"""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest

from factory.shards import layout
from factory.sources.decoding import decode_image
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore, Store, open_store
from tests.benchmarks.timing import fastest, report
from tests.releases import write_release

SHARDS, PEOPLE, IMAGES, PX = 40, 3, 20, 112
COUNT = SHARDS * PEOPLE * IMAGES


def shard_after_shard(store: Store) -> list[int]:
    """Classes in the order of a stream that holds one whole shard, checked by its sha256."""
    sums = dict(line.split("  ")[::-1] for line in store.get(layout.SUMS).decode().splitlines())
    rng, labels = np.random.default_rng(0), []
    for unit in rng.permutation(SHARDS).tolist():
        name = layout.tar_name(unit)
        data = store.get(name)
        assert hashlib.sha256(data).hexdigest() == sums[name]
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}
        images = [name for name in members if name.endswith(".jpg")]
        for place in rng.permutation(len(images)).tolist():
            decode_image(members[images[place]], images[place], 1 << 30)
            labels.append(int(members[images[place][:-4] + ".cls"]))
    return labels


def people(labels: list[int]) -> float:
    """Mean number of people in a batch of 64."""
    return float(np.mean([len(set(labels[i : i + 64])) for i in range(0, COUNT - 63, 64)]))


@pytest.mark.parametrize("kind", ["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def test_mixing_against_shard_after_shard(kind, tmp_path, request):
    """Seconds of shard after shard over ours, and people in a batch of 64 of both."""
    store: Store = LocalStore(tmp_path)
    if kind == "bucket":
        store = open_store(request.getfixturevalue("s3_config")())
    write_release(store, [PEOPLE] * SHARDS, IMAGES, px=PX)
    mixed, plain = [], []

    def ours() -> None:
        mixed[:] = [sample.label for sample in ReleaseStream(store)]

    def theirs() -> None:
        plain[:] = shard_after_shard(store)

    ours()  # which makes the index
    ours_s, theirs_s = fastest(ours, theirs, repeats=4)
    assert sorted(mixed) == sorted(plain)
    counts = {"people": people(mixed), "people_before": people(plain)}
    floor = 0.7 if kind == "folder" else 0.2
    report(f"stream_mixed_{kind}", theirs_s / ours_s, floor, samples_s=COUNT / ours_s, **counts)
