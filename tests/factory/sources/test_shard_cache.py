"""Kept shards: each fetched once, checked, never more bytes than allowed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from factory.errors import IntegrityError, Unavailable
from factory.sources.shard_cache import ShardCache
from factory.sources.tar_set import TarSet, tars_in
from factory.store import LocalStore
from factory.store.cache import cache_root
from tests.disks import files_end_at
from tests.releases import write_release


class Counted(LocalStore):
    """A folder that notes what is fetched of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []

    def stream(self, name, start=0, stop=None):
        self.fetched.append(name)
        return super().stream(name, start, stop)


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Function of a name -> tars of three equal shards in a folder of that name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(name: str) -> TarSet:
        store = Counted(tmp_path / name)
        write_release(store, [1, 1, 1], 2, first=len(name))
        return tars_in(store)

    return make


def kept() -> list[str]:
    return sorted(file.name for file in cache_root().glob("shards/*/*.tar"))


def test_a_shard_is_fetched_once_and_read_from_then_on(release):
    tars = release("one")
    cache, name = ShardCache(tars, 1 << 30), tars.names[1]
    whole = tars.store.path(name).read_bytes()
    tars.store.fetched.clear()
    assert cache.read(name, 100, 300) == whole[100:300]
    assert cache.read(name, 0, len(whole)) == whole
    assert ShardCache(tars, 1 << 30).read(name, 5, 6) == whole[5:6]
    assert tars.store.fetched == [name]
    cache.drop(name)
    assert kept() == []
    assert cache.read(name, 5, 6) == whole[5:6]


def test_no_more_is_kept_than_there_is_room_for(release):
    tars = release("one")
    room = 2 * tars.sizes()[0]
    cache = ShardCache(tars, room)
    found = [cache.read(name, 0, 9) is not None for name in tars.names]
    assert found == [True, True, False]
    assert kept() == [name.replace("/", "-") for name in tars.names[:2]]
    assert cache.read(tars.names[0], 0, 9)
    assert ShardCache(tars, room).read(tars.names[2], 0, 9) is None
    assert ShardCache(tars, 3 * tars.sizes()[0]).read(tars.names[2], 0, 9)


def test_shards_of_releases_that_are_used_no_more_make_room(release):
    old, older, new = release("old"), release("older"), release("newest")
    for tars in (old, older):
        for name in tars.names[:2]:
            ShardCache(tars, 1 << 30).read(name, 0, 9)
    folder = cache_root() / "shards" / older.digest[:32]
    os.utime(folder / "used", (1, 1))
    (folder / ".cut-off").write_bytes(bytes(10**6))  # by a process that died
    assert ShardCache(new, sum(old.sizes())).read(new.names[0], 0, 9)
    assert [file.name for file in folder.iterdir()] == ["used"]
    assert len(kept()) == 3


def test_a_release_that_is_open_keeps_its_shards(release):
    """Two releases in turns, with room for one: what is kept stays, and is fetched once."""
    one, two = release("one"), release("other")
    room = sum(one.sizes())
    caches = pickle.loads(pickle.dumps([ShardCache(one, room), ShardCache(two, room)]))
    stores = [cache._tars.store for cache in caches]
    for store in stores:
        store.fetched.clear()
    for _ in range(3):
        found = [cache.read(name, 0, 9) is not None for name in one.names for cache in caches]
        assert found == [True, True, True, False, False, False]
    assert [store.fetched for store in stores] == [list(one.names[:2]), list(two.names[:1])]
    copied = pickle.loads(pickle.dumps(caches[0]))  # as a DataLoader's worker gets it
    caches.clear()
    assert ShardCache(two, room).read(two.names[1], 0, 9) is None
    del copied
    assert ShardCache(two, room).read(two.names[1], 0, 9)


def test_a_shard_that_sha256sums_does_not_vouch_for_is_not_kept(release):
    tars = release("one")
    path = tars.store.path(tars.names[0])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"train-000000\.tar: does not have its sha256"):
        ShardCache(tars, 1 << 30).read(tars.names[0], 0, 9)
    assert kept() == []


def test_a_disk_that_refuses_is_asked_once(release):
    """Else each image that is not kept would cost a whole shard."""
    tars = release("one")
    cache = ShardCache(tars, 1 << 30)
    assert cache.read(tars.names[0], 0, 9)
    tars.store.fetched.clear()
    with files_end_at(512):
        assert [cache.read(tars.names[1], 0, 9) for _ in range(3)] == [None] * 3
    assert cache.read(tars.names[2], 0, 9) is None
    assert cache.read(tars.names[0], 0, 9)
    assert tars.store.fetched == [tars.names[1]]
    assert ShardCache(tars, 1 << 30).read(tars.names[2], 0, 9)


def test_a_bucket_that_does_not_answer_is_asked_again(release, monkeypatch):
    tars = release("one")
    cache = ShardCache(tars, 1 << 30)

    def silent(*_):
        raise Unavailable("busy")

    with monkeypatch.context() as patch:
        patch.setattr(tars.store, "stream", silent)
        assert cache.read(tars.names[0], 0, 9) is None
    assert cache.read(tars.names[0], 0, 9)


def test_while_another_process_fetches_an_image_is_read_by_range(release):
    import fcntl

    tars = release("one")
    cache = ShardCache(tars, 1 << 30)
    assert cache.read(tars.names[0], 0, 9)
    with (cache_root() / "shards" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cache.read(tars.names[1], 0, 9) is None
        assert cache.read(tars.names[0], 0, 9)
    assert cache.read(tars.names[1], 0, 9)
