"""Exports hold the release's images with their labels, in formats that others read."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from factory.config import SourceConfig, load
from factory.errors import FactoryError, IntegrityError, StoreError
from factory.execution.inline import run_units
from factory.inspection.guess import guess_kind, source_path
from factory.release import build
from factory.shards import layout
from factory.shards.card_header import configs
from factory.shards.export import KINDS, export
from factory.sources import open_source
from factory.store import LocalStore, atomic
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
    [
        ("imagefolder", "folder", "."),
        ("rec", "recordio", "train.rec"),
        ("parquet", "parquet", "."),
    ],
)
def test_our_own_sources_read_exports(released, tmp_path, kind, source_kind, path):
    export(released, kind, tmp_path)
    config = SourceConfig(kind=source_kind, path=str(tmp_path / path), image_px=PX)
    source = open_source(config)
    assert len(source) == 12
    assert np.bincount(source.labels).tolist() == [2] * 6
    wanted = open_source(SourceConfig(kind="webdataset", path=str(released.root), image_px=PX))
    assert [source.encoded(i) for i in range(12)] == [wanted.encoded(i) for i in range(12)]
    assert source.labels.tolist() == wanted.labels.tolist()
    assert source[0].image_HWC.shape == (PX, PX, 3)
    if kind == "parquet":
        assert list(source.names) == list(wanted.names)
        assert list(source.keys) == list(wanted.keys)
        assert source.columns["file"].max() < 3, "no image had to be unpacked"


def test_parquet_says_that_its_images_are_images(released, tmp_path):
    export(released, "parquet", tmp_path)
    schema = pq.read_schema(tmp_path / "train-000001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert set(features) == set(schema.names)


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_carries_what_its_readers_must_know(released, tmp_path, kind):
    out = tmp_path / kind
    export(released, kind, out)
    for name in (layout.LICENSE, layout.NOTICE, layout.LINEAGE):
        assert (out / name).read_bytes() == released.get(name)
    card = (out / layout.CARD).read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert (
        header["license"] == yaml.safe_load(released.get("README.md").split(b"---\n")[1])["license"]
    )
    assert f"Exported from tiny 0.1.0 as {kind}." in card
    assert header.get("configs") == (configs("train-*.parquet") if kind == "parquet" else None)
    assert "webdataset" not in header["tags"]
    listed = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    files = {str(f.relative_to(out)): f for f in out.rglob("*") if f.is_file()}
    assert {*listed} == {*files} - {"SHA256SUMS"}
    assert all(sha256(files[name].read_bytes()).hexdigest() == listed[name] for name in listed)
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=out)
    assert done.returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_croissant_describes_the_files_of_the_export_or_none(released, tmp_path, kind):
    import mlcroissant as mlc

    export(released, kind, tmp_path)
    told = mlc.Dataset(jsonld=str(tmp_path / layout.CROISSANT)).metadata
    assert told.description.startswith(f"Exported from tiny 0.1.0 as {kind}.")
    files = {one.content_url: one.sha256 for one in told.distribution}
    data = {f.name for f in tmp_path.glob("train*")}
    assert {*files} == data
    for name, digest in files.items():
        assert sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert told.record_sets == []


def test_a_rec_has_the_property_that_insightface_reads(released, tmp_path):
    """As insightface's face_model.py: ','-separated number of classes, height and width."""
    export(released, "rec", tmp_path)
    assert list(map(int, (tmp_path / "property").read_text().split(","))) == [6, PX, PX]


@pytest.mark.parametrize("kind", ["imagefolder", "parquet"])
def test_datasets_reads_images_and_labels_of_an_export(released, tmp_path, kind):
    datasets = pytest.importorskip("datasets")
    export(released, kind, tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    wanted = open_source(SourceConfig(kind="webdataset", path=str(released.root), image_px=PX))
    assert len(found) == 12
    for index, row in enumerate(found):
        assert (np.asarray(row["image"]) == wanted[index].image_HWC).all()
        assert row["label"] == wanted.labels[index]


@pytest.fixture
def small_files():
    """Function of a number of bytes that no file may exceed from then on, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, heard)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_refuses_leaves_nothing_half_written(
    released, tmp_path, kind, small_files, monkeypatch
):
    out = tmp_path / "out"
    monkeypatch.setattr(atomic, "TRIAL_BYTES", 1)
    for limit in (700, 3000):
        small_files(limit)
        with pytest.raises(StoreError, match=rf"^{out}/\S+: File too large; raise the limit"):
            export(released, kind, out)
        small_files(resource.RLIM_INFINITY)
        there = {f.relative_to(out): f.read_bytes() for f in out.rglob("*") if f.is_file()}
    assert export(released, kind, out) == 12
    assert all((out / name).read_bytes() == data for name, data in there.items())
    assert Path("SHA256SUMS") not in there


def test_a_place_that_is_no_folder_is_refused_before_anything_is_written(released, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError, match=r"^out: .*/out: "):
        export(released, "parquet", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


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


def test_jobs_inspect_knows_what_an_export_is_though_it_has_sums(released, tmp_path):
    wanted = {"imagefolder": "folder", "rec": "recordio", "parquet": "parquet"}
    assert set(wanted) == set(KINDS)
    for format, kind in wanted.items():
        address = str(tmp_path / format)
        export(released, format, Path(address))
        assert (tmp_path / format / layout.SUMS).is_file()
        assert guess_kind(address) == kind
        config = SourceConfig(kind=kind, path=source_path(address, kind), image_px=PX)
        assert len(open_source(config)) == 12
    assert guess_kind(released.url) == "webdataset"
