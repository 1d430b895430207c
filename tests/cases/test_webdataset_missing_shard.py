"""Shards that are not all of a release, or not all faces: refused by name, or counted."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.config import SourceConfig
from factory.errors import IntegrityError, SourceError
from factory.shards import layout
from factory.sources import open_source
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore
from tests.cases.conftest import DryRun, Faces
from tests.factory.sources.test_tar_set import promise_sizes
from tests.releases import write_release

LAST = layout.tar_name(1)


@pytest.fixture
def release(tmp_path, monkeypatch) -> LocalStore:
    """A sealed release of two shards, which this machine has read before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = LocalStore(tmp_path / "release")
    write_release(store, [1, 1], 2, px=112)
    promise_sizes(store)
    assert len(ReleaseStream(store)) == 4
    return store


def take_away(store: LocalStore) -> None:
    store.delete(LAST)


def add_one(store: LocalStore) -> None:
    store.put(layout.tar_name(2), store.get(LAST))


def cut_off(store: LocalStore) -> None:
    store.put(LAST, store.get(LAST)[:-512])


Change = Callable[[LocalStore], None]
CHANGES = [
    pytest.param(take_away, r"train-000001\.tar is gone; restore it", id="one shard is missing"),
    pytest.param(add_one, r"train-000002\.tar is none of the release's", id="one shard too many"),
    pytest.param(cut_off, r"train-000001\.tar has \d+ bytes, and the rel", id="a shard is cut off"),
]


@pytest.mark.parametrize(("change", "wanted"), CHANGES)
def test_a_sealed_release_without_all_of_its_shards_is_refused(
    release: LocalStore, dry_run: DryRun, change: Change, wanted: str
) -> None:
    path = str(release.root)
    code, printed = dry_run(release.root, "source.kind=webdataset")
    assert (code, "4 images of 2 people" in printed) == (0, True)
    change(release)
    code, printed = dry_run(release.root, "source.kind=webdataset")
    assert code != 0
    with pytest.raises((SourceError, IntegrityError), match=wanted) as refused:
        open_source(SourceConfig(kind="webdataset", path=path))
    assert str(refused.value) in printed
    with pytest.raises((SourceError, IntegrityError), match=wanted):
        ReleaseStream(release)


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path, monkeypatch, faces: Faces) -> Path:
    """Two shards of somebody else's with classes 0, 2 and 5, numbered anew in each."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = sorted(faces(tmp_path / "faces", 2, 2).glob("*/*.jpg"))
    (tmp_path / "w").mkdir()
    for shard, classes in enumerate([(0, 2), (5, 0)]):
        members = {}
        for number, label in enumerate(classes):
            members[f"{number:03d}.jpg"] = images[2 * shard + number].read_bytes()
            members[f"{number:03d}.cls"] = str(label).encode()
        write_shard(tmp_path / "w" / f"x-{shard}.tar", members)
    return tmp_path / "w"


def test_shards_that_number_their_images_anew_are_told_apart(shards: Path, dry_run: DryRun) -> None:
    source = open_source(SourceConfig(kind="webdataset", path=str(shards)))
    assert list(source.keys) == ["x-0/000", "x-0/001", "x-1/000", "x-1/001"]
    assert source.labels.tolist() == [0, 1, 2, 0]
    code, printed = dry_run(shards, "source.kind=webdataset")
    assert code == 0
    assert "shards number their images anew, so keys are SHARD/KEY" in printed
    assert "4 images of 3 people" in printed


def test_one_shard_is_a_source_too(shards: Path) -> None:
    source = open_source(SourceConfig(kind="webdataset", path=str(shards / "x-1.tar")))
    assert list(source.names) == ["000000000000", "000000000005"]


def test_files_of_macos_are_skipped_and_counted(shards: Path, dry_run: DryRun) -> None:
    (shards / "._x-0.tar").write_bytes(b"\0\5\x16\7")
    write_shard(shards / "x-2.tar", {"._000.jpg": b"\0\5\x16\7", "._000.cls": b"\0\5\x16\7"})
    code, printed = dry_run(shards, "source.kind=webdataset")
    assert code == 0
    assert "3 left out: hidden and system files" in printed
    assert "4 images of 3 people" in printed


def test_images_without_a_label_are_counted_and_limited(shards: Path, dry_run: DryRun) -> None:
    write_shard(shards / "x-2.tar", {"000.jpg": b"unlabeled", "001.jpg": b"unlabeled"})
    code, printed = dry_run(shards, "source.kind=webdataset")
    assert code != 0
    assert "max_left_out_fraction: 2 of 6 are not read (2 images without a label)" in printed
    code, printed = dry_run(shards, "source.kind=webdataset", "source.max_left_out_fraction=0.5")
    assert (code, "2 left out: images without a label" in printed) == (0, True)


def test_a_class_in_a_json_is_read_and_one_of_words_is_refused(
    shards: Path, dry_run: DryRun
) -> None:
    tar, face = shards / "x-0.tar", next((shards.parent / "faces").glob("*/*.jpg")).read_bytes()
    write_shard(tar, {"a.jpg": face, "a.json": json.dumps({"label": 7}).encode()})
    assert dry_run(tar, "source.kind=webdataset")[0] == 0
    write_shard(tar, {"a.jpg": face, "a.cls": b"Ann"})
    code, printed = dry_run(tar, "source.kind=webdataset")
    assert code != 0
    assert "is not a class number; want digits" in printed
    assert "Ann" not in printed


def test_shards_in_folders_below_are_named(shards: Path, dry_run: DryRun) -> None:
    code, printed = dry_run(shards.parent, "source.kind=webdataset")
    assert code != 0
    assert "2 left out: archives or tables beside those that are read, or" in printed
