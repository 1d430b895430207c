"""Exports hold the release's images with their labels, in formats that others read."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.config import SourceConfig, load
from factory.errors import FactoryError, IntegrityError, StoreError
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.export import KINDS, export
from factory.sources import open_source
from factory.store import LocalStore
from factory.store.parquet import to_parquet
from tests.conftest import PX, tiny_dotlist


@pytest.fixture(scope="module")
def released(people, weights, tmp_path_factory) -> LocalStore:
    root = tmp_path_factory.mktemp("released")
    (root / "release.yaml").write_text("{}\n")
    config = load(root / "release.yaml", tiny_dotlist(people, weights, root / "store"))
    build(config, run_units, log=lambda line: None)
    return LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_back_is_the_release(released, tmp_path, kind):
    heard = []
    assert export(released, kind, tmp_path / kind, lambda *where: heard.append(where)) == 12
    assert heard == [(1, 3), (2, 3), (3, 3)]
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / kind).rglob("*") if f.is_file()}
    assert export(released, kind, tmp_path / kind) == 12
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / kind).rglob("*") if f.is_file()}


@pytest.mark.parametrize("kind", ["imagefolder", "parquet"])
def test_an_export_that_was_cut_off_goes_on(released, tmp_path, kind):
    class Killed(Exception):
        pass

    def die(done, total):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        export(released, kind, tmp_path, die)
    first = next(f for f in sorted(tmp_path.rglob("*")) if f.is_file())
    written = first.stat().st_mtime_ns
    assert export(released, kind, tmp_path) == 12
    assert first.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("kind", "source_kind", "path"),
    [("imagefolder", "folder", "."), ("rec", "recordio", "train.rec")],
)
def test_our_own_sources_read_exports(released, tmp_path, kind, source_kind, path):
    export(released, kind, tmp_path)
    config = SourceConfig(kind=source_kind, path=str(tmp_path / path), image_px=PX)
    source = open_source(config)
    assert len(source) == 12
    assert np.bincount(source.labels).tolist() == [2] * 6
    assert source[0].image_HWC.shape == (PX, PX, 3)


def test_parquet_says_that_its_images_are_images(released, tmp_path):
    export(released, "parquet", tmp_path)
    schema = pq.read_schema(tmp_path / "train-000001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert set(features) == set(schema.names)


def test_what_was_changed_is_found(released, tmp_path):
    export(released, "imagefolder", tmp_path)
    file = next(tmp_path.glob("*/*.jpg"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=f"{file.stem} is not the release's"):
        export(released, "imagefolder", tmp_path)
    file.unlink()
    (tmp_path / "000000" / "stray.jpg").write_bytes(b"x")
    with pytest.raises(FactoryError, match="stray is not the release's"):
        export(released, "imagefolder", tmp_path)


CRAFTED = {
    "a key that leaves the folder": {"key": "../../../escaped"},
    "an absolute key": {"key": "{outside}/escaped"},
    "a key with a line break": {"key": "000000_0000\n9\t9\t9"},
    "a hidden key": {"key": ".escaped"},
    "an empty key": {"key": ""},
    "no key": {"key": None},
    "an identity that leaves the folder": {"identity": "../../escaped"},
    "a negative identity": {"identity": -1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_table_writes_nothing_outside_the_folder(change, kind, released, tmp_path):
    """Whoever made the table also made digests that fit."""
    root = tmp_path / "crafted"
    shutil.copytree(released.root, root)
    name, outside, out = layout.metadata_name(1), tmp_path / "outside", tmp_path / "a" / "b" / "out"
    outside.mkdir()
    rows = pq.read_table(root / name).to_pylist()
    rows[0] |= {k: v.format(outside=outside) if v and k == "key" else v for k, v in change.items()}
    if isinstance(rows[0]["identity"], str):
        rows = [row | {"identity": str(row["identity"])} for row in rows]
    (root / name).write_bytes(to_parquet(rows))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(
        IntegrityError, match=r"metadata/train-000001\.parquet: .*restore the table"
    ):
        export(LocalStore(root), kind, out)
    written = set(tmp_path.rglob("*")) - before
    assert all(out in (file, *file.parents) or file in out.parents for file in written), written
    assert not any("escaped" in file.name for file in written)


def test_only_sealed_releases_are_exported(tmp_path):
    with pytest.raises(StoreError, match="is not a sealed release"):
        export(LocalStore(tmp_path / "nothing"), "rec", tmp_path / "out")
