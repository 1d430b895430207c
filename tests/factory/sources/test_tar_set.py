"""Which tars a source is: sealed releases, loose tars, single ones, in folders and buckets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError, IntegrityError, SourceError
from factory.shards import layout
from factory.sources import open_source
from factory.sources.left_out import OTHER_FILE, OTHER_SHARD, SYSTEM_FILE
from factory.sources.tar_set import open_tars, release_of, tars_in
from factory.store import LocalStore, open_store
from tests.releases import seal_again, write_release


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def config(request, tmp_path):
    """A source of kind webdataset, the release that it names, and its store."""
    if request.param == "local":
        write_release(LocalStore(tmp_path / "r"), [1, 2], 2)
        return SourceConfig(kind="webdataset", path=str(tmp_path / "r"))
    store = request.getfixturevalue("s3_config")()
    write_release(open_store(store), [1, 2], 2)
    return SourceConfig(kind="webdataset", path=store.url, store=replace(store, url="elsewhere"))


def test_a_sealed_release_is_known_by_what_it_lists(config):
    tars = open_tars(config)
    assert tars.names == ("data/train-000000.tar", "data/train-000001.tar")
    assert tars.sizes() == [len(tars.store.get(name)) for name in tars.names]
    assert tars.metadata_of(tars.names[1]) == "metadata/train-000001.parquet"
    assert tars.roster == layout.ROSTER
    again = open_tars(config)
    assert again.digest == tars.digest
    tars.store.put(layout.ROSTER, b"altered")
    with pytest.raises(IntegrityError, match=r"roster\.parquet: does not have its sha256"):
        tars.get(layout.ROSTER)


def promise_sizes(store) -> None:
    """Let the manifest list the shards, as that of a release does, and seal again."""
    names = store.list("data/")
    files = [{"name": name, "size": len(store.get(name))} for name in names]
    body = json.loads(store.get(layout.MANIFEST)) | {"shards": [{"files": files}]}
    store.put(layout.MANIFEST, json.dumps(body).encode())
    seal_again(store)


def test_a_shard_that_is_gone_too_many_or_of_another_size_is_named(config):
    store = open_tars(config).store
    promise_sizes(store)
    whole = {name: store.get(name) for name in open_tars(config).names}
    last = "data/train-000001.tar"
    for data in (whole[last][:-1], whole[last] + bytes(512)):
        store.put(last, data)
        wanted = rf"train-000001\.tar has {len(data)} bytes, and the release has {len(whole[last])}"
        with pytest.raises(IntegrityError, match=wanted):
            open_tars(config)
    store.delete(last)
    with pytest.raises(SourceError, match=r"train-000001\.tar is gone; restore it, as SHA256SUMS"):
        open_tars(config)
    store.put(last, whole[last])
    store.put("data/train-000009.tar", b"of somebody else")
    with pytest.raises(SourceError, match=r"train-000009\.tar is none of the release's shards"):
        open_tars(config)
    store.delete("data/train-000009.tar")
    store.put("data/._train-000000.tar", b"of macOS")
    assert open_tars(config).names == tuple(whole)


def test_a_listing_that_is_older_than_the_shards_is_not_believed(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    write_release(store, [1, 1], 1)
    promise_sizes(store)
    monkeypatch.setattr(LocalStore, "entries", lambda self, prefix: [])
    assert len(tars_in(store).names) == 2


def test_what_lies_beside_loose_tars_is_counted(config):
    store, tar = open_tars(config).store, b"x" * 512
    names = ("a.tar", "b.tar", "._a.tar", "c.tar.gz", "README.md", "below/d.tar", "below/e.txt")
    for name in names:
        store.put(f"loose/{name}", tar)
    tars = open_tars(replace(config, path=f"{config.path}/loose"))
    assert tars.names == ("a.tar", "b.tar")
    found = {part.reason: (part.count, part.first) for part in tars.left_out}
    assert found == {
        SYSTEM_FILE: (1, ("._a.tar",)),
        OTHER_SHARD: (2, ("below/d.tar", "c.tar.gz")),
        OTHER_FILE: (1, ("README.md",)),
    }


def test_what_is_not_sealed_is_refused_or_loose(config):
    store = open_tars(config).store
    store.delete(layout.SUCCESS)
    with pytest.raises(SourceError, match="is not sealed; finish it first"):
        open_tars(config)
    store.delete(layout.PLAN)
    loose = open_tars(config)
    assert loose.names == ("data/train-000000.tar", "data/train-000001.tar")
    assert loose.roster == layout.ROSTER
    assert not loose.sums
    assert loose.metadata_of(loose.names[0]) is None
    store.put(loose.names[0], b"longer " * 9999)
    assert open_tars(config).digest != loose.digest


def test_one_tar_is_a_source_too(config):
    config = replace(config, path=f"{config.path}/data/train-000001.tar")
    tars = open_tars(config)
    assert tars.names == ("train-000001.tar",)
    assert len(tars.store.get(tars.names[0])) == tars.sizes()[0]
    assert release_of(config) is None


def test_a_tar_is_named_by_itself_and_nothing_beside_it_counts(config, monkeypatch):
    store = open_tars(config).store
    tar = store.get("data/train-000001.tar")
    for name, data in {"x.tar": tar, "x.tar.old.tar": b"older", layout.ROSTER: b"others'"}.items():
        store.put(f"tars/{name}", data)
    tars = open_tars(replace(config, path=f"{config.path}/tars/x.tar"))
    assert tars.names == ("x.tar",)
    assert tars.roster is None
    assert open_tars(replace(config, path=f"{config.path}/tars")).roster == layout.ROSTER
    listed = []
    monkeypatch.setattr(type(store), "entries", lambda _, prefix: listed.append(prefix))
    assert tars.sizes() == [len(tar)]
    assert listed == []


def test_a_named_file_is_taken_as_a_tar_whatever_its_name_ends_in(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = LocalStore(tmp_path / "r")
    write_release(store, [2], 3)
    (tmp_path / "faces.bin").write_bytes(store.get("data/train-000000.tar"))
    config = SourceConfig(kind="webdataset", path=str(tmp_path / "faces.bin"))
    assert open_tars(config).names == ("faces.bin",)
    assert len(open_source(config)) == 6


def test_which_release_it_is(config):
    store = open_tars(config).store
    found = release_of(config)
    assert (found["dataset"], found["version"]) == ("drawn", "0.1.0")
    assert found["holds_real_identities"] is False
    assert found["sums_sha256"] == store.sha256(layout.SUMS)
    store.put(layout.MANIFEST, json.dumps({"dataset": "other"}).encode())
    with pytest.raises(IntegrityError, match="is not what SHA256SUMS says"):
        release_of(config)
    store.delete(layout.MANIFEST)
    assert release_of(config) is None
    assert release_of(replace(config, kind="folder")) is None


def test_names_outside_of_the_release_are_none_of_its_tars(tmp_path):
    store = LocalStore(tmp_path)
    write_release(store, [1], 1)
    store.put(
        layout.SUMS, b"0" * 64 + b"  ../../etc/passwd.tar\n" + b"0" * 64 + b"  data/../x.tar\n"
    )
    sealed = store.get("data/train-000000.tar")
    store.delete("data/train-000000.tar")
    assert tars_in(store).names == ()
    store.put("data/train-000000.tar", sealed)
    seal_again(store)
    assert len(tars_in(store).names) == 1


@pytest.mark.parametrize("path", ["s3://bad bucket/x", "s3://a/b//c"])
def test_an_address_that_is_none_is_named_by_its_key(path):
    with pytest.raises(ConfigError, match=r"source\.path: got "):
        open_tars(SourceConfig(kind="webdataset", path=path))


def test_a_test_set_is_read_only_where_that_is_allowed(tmp_path):
    store = LocalStore(tmp_path)
    manifest = b'{"kind": "benchmark", "shards": []}'
    store.put("index/manifest.json", manifest)
    sums = f"{hashlib.sha256(manifest).hexdigest()}  index/manifest.json\n"
    store.put("SHA256SUMS", sums.encode())
    store.put("_SUCCESS", b"")
    with pytest.raises(SourceError, match="never to be trained on"):
        tars_in(store)
    assert tars_in(store, allow_benchmark=True).names == ()
