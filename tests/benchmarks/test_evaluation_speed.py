"""What measuring and exporting cost, compared with the least that could be done.

python -m pytest tests/benchmarks/test_evaluation_speed.py -q -s
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from factory.config import SourceConfig
from factory.evaluation.embeddings import RecognizerSpace
from factory.evaluation.measure_unit import UnitImages, embed_unit
from factory.recognition.embed import Recognizer
from factory.records import Face, Manifest, Scores, Unit
from factory.shards import layout, manifest, writer
from factory.shards.export import export
from factory.shards.reader import metadata_rows
from factory.shots.plan import Plan
from factory.sources import open_source
from factory.store import LocalStore
from tests.benchmarks.timing import fastest, report
from tests.planned import request_with, shots_of, unit_result, virtual_people

UNITS, EACH, IMAGES = 4, 25, 10
REQUEST = request_with(release={"dataset": "bench"}, plan={"micro_batch": 8})
SCORES = Scores(0.9, 1, 0.2, 0.3, 100.0, 120.0)

pytestmark = pytest.mark.usefixtures("one_thread")


def sealed_release(store: LocalStore, images: list[np.ndarray]) -> Manifest:
    """UNITS shards of EACH people x IMAGES faces, which are the images in turn."""
    people = virtual_people(*[IMAGES] * UNITS * EACH)
    units = [Unit(i, i * EACH, EACH, EACH * IMAGES) for i in range(UNITS)]
    plan = Plan(REQUEST, {}, units)
    store.put(layout.PLAN, plan.to_json())
    jpegs = [writer.Encoding("jpeg", 95).encode(image) for image in images]
    for unit in units:
        first = unit.first_identity
        wanted = [(i, j) for i in range(first, first + EACH) for j in range(IMAGES)]
        shots = shots_of(REQUEST, wanted)
        faces = [Face(shot, jpegs[n % len(jpegs)], SCORES) for n, shot in enumerate(shots)]
        writer.commit(store, unit_result(unit.index, plan.hash, faces), people)
    sealed = manifest.seal(store, plan, 0.0)
    store.put(layout.SUCCESS, b"")
    return sealed


@pytest.fixture(scope="module")
def pack() -> list[np.ndarray]:
    source = open_source(SourceConfig())
    return [source[index].image_HWC for index in range(250)]


def test_measuring_a_release_against_bare_embedding(tmp_path, pack):
    """Embedding images that lie in memory over reading, checking, decoding and embedding them."""
    store = LocalStore(tmp_path)
    sealed = sealed_release(store, pack)
    recognizer = Recognizer.load("starter:recognizer", torch.device("cpu"))
    spaces, nobody = {"recognizer": RecognizerSpace(recognizer)}, np.zeros(0, int)
    images = np.stack([pack[n % len(pack)] for n in range(EACH * IMAGES)])

    def ours() -> None:
        for shard in sealed.shards:
            rows = metadata_rows(store, shard.unit)
            made = UnitImages(store, shard, rows)
            vectors, _ = embed_unit(made, len(rows), spaces, {}, {}, nobody)
            assert len(vectors["recognizer"]) == EACH * IMAGES

    def bare() -> None:
        for _ in range(UNITS):
            recognizer.embed(images)

    ours_s, bare_s = fastest(ours, bare, repeats=4)
    report("evaluation_vs_bare_embedding", bare_s / ours_s, 0.9, images_s=1000 / ours_s)


def test_exporting_against_a_plain_copy(tmp_path, pack):
    """Unpacking by tarfile over an export, which also checks and reads back all it wrote."""
    store = LocalStore(tmp_path / "release")
    sealed_release(store, pack)
    numbers = iter(range(100))

    def ours() -> None:
        assert export(store, "imagefolder", tmp_path / f"ours-{next(numbers)}") == 1000

    def plain() -> None:
        out = tmp_path / f"plain-{next(numbers)}"
        for path in sorted(Path(store.root, "data").glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.name.endswith(".jpg"):
                        file = out / member.name[:6] / member.name
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(tar.extractfile(member).read())

    ours_s, plain_s = fastest(ours, plain, repeats=6)
    size = sum(entry.size for entry in store.entries("data/")) / 1e6
    report("export_vs_plain_copy", plain_s / ours_s, 0.7, mb_s=size / ours_s)
