"""Faces of an LMDB are those that were packed, in threads, forks and copies; no pickle is read."""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lmdb
import msgpack
import numpy as np
import pytest
from torch.utils.data import DataLoader

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.provenance.faces import require_license
from factory.sources import open_source, read_faces, subset
from factory.sources.base import CorruptImageError
from factory.sources.lmdb_environment import Environment
from factory.sources.lmdb_source import LmdbSource
from tests.conftest import PX, draw_face
from tests.factory.sources.test_recordio import JPEGS, LABELS, jpeg

PEOPLE = [int(label) for label in LABELS]


def write(path: Path, records: dict[bytes, bytes], subdir: bool = False) -> SourceConfig:
    with lmdb.open(str(path), subdir=subdir, map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            for key, value in records.items():
                transaction.put(key, value)
    return SourceConfig(kind="lmdb", path=str(path), image_px=PX, license="CC0-1.0")


def numbered(values: list, pack=msgpack.dumps, **tables) -> dict[bytes, bytes]:
    """What VFace's script writes: values by number, then the three tables."""
    keys = [str(number).encode() for number in range(len(values))]
    records = {key: pack(value) for key, value in zip(keys, values, strict=True)}
    tables = {"keys": keys, "len": len(keys), "classnum": max(PEOPLE) + 1} | tables
    return records | {f"__{name}__".encode(): pack(table) for name, table in tables.items()}


VALUES = [(JPEGS[i], person) for i, person in enumerate(PEOPLE)]


@pytest.fixture
def config(tmp_path) -> SourceConfig:
    return write(tmp_path / "vface.lmdb", numbered(VALUES))


def counts(source) -> dict[str, tuple]:
    return {part.reason: (part.count, part.first) for part in source.left_out}


def test_the_layout_of_vface_is_read(config):
    source = open_source(config)
    assert isinstance(source, LmdbSource)
    assert source.labels.tolist() == PEOPLE
    assert source.names == ["00000000", "00000001", "00000002"]
    assert list(source.keys) == ["0", "1", "2", "3", "4", "5"]
    assert [source.encoded(i) for i in range(6)] == JPEGS
    assert source[4].label == 2
    assert source[4].image_HWC.shape == (PX, PX, 3)
    assert (source.remarks, source.left_out) == ((), ())
    with pytest.raises(ConfigError, match=r"source\.license: nothing given"):
        require_license(replace(config, license=None))


def test_features_and_drawings_beside_an_image_are_passed_over(tmp_path, config):
    """Vec2Face's WebFace4M: (image, feature, class), and with landmarks a fourth."""
    other = [(JPEGS[i], b"feature", person, jpeg(9, 9)) for i, person in enumerate(PEOPLE)]
    source = open_source(write(tmp_path / "o.lmdb", numbered(other)))
    assert [source.encoded(i) for i in range(6)] == JPEGS
    assert source.fingerprint == open_source(config).fingerprint
    raw = lambda value: msgpack.dumps(value, use_bin_type=False)  # noqa: E731 as msgpack < 1 wrote
    source = open_source(write(tmp_path / "old.lmdb", numbered(VALUES, raw)))
    assert [source.encoded(i) for i in range(6)] == JPEGS


def test_gaps_in_the_classes_are_closed(tmp_path):
    values = [(JPEGS[0], 5), (JPEGS[1], 0), (JPEGS[2], 2)]
    source = open_source(write(tmp_path / "g.lmdb", numbered(values, classnum=6)))
    assert source.names == ["00000000", "00000002", "00000005"]
    assert source.labels.tolist() == [2, 0, 1]
    assert source.remarks == ()


@pytest.mark.parametrize("subdir", [False, True])
def test_keys_of_person_and_image_are_read(tmp_path, subdir):
    records = {b"0001__Ann/a.jpg": JPEGS[0], b"0001__Ann/b": JPEGS[1], b"0002/a.jpg": JPEGS[2]}
    records |= {b"__index__": pickle.dumps([1]), b"loose.jpg": JPEGS[3]}
    config = write(tmp_path / "people", records, subdir)
    with pytest.raises(SourceError, match=r"1 of 4 are not read \(1 images without a label\)"):
        open_source(config)
    source = open_source(replace(config, max_left_out_fraction=0.3))
    assert list(source.keys) == ["0001__Ann/a", "0001__Ann/b", "0002/a"]
    assert source.names == ["0001__Ann", "0002"]
    assert source.labels.tolist() == [0, 0, 1]
    assert source.encoded(1) == JPEGS[1]
    assert counts(source) == {"no_label": (1, ("loose.jpg",))}
    table = tmp_path / "points.csv"
    table.write_text("file," + ",".join(f"x{i},y{i}" for i in range(1, 6)) + "\n0002/a.jpg"
                     + ",10,10,20,10,15,15,11,20,19,20\n")  # fmt: skip
    landmarks = open_source(replace(config, max_left_out_fraction=0.3, landmarks=str(table)))
    assert landmarks[2].landmarks_52[0].tolist() == [10, 10]
    assert landmarks[1].landmarks_52 is None


def test_keys_that_differ_in_their_suffix_alone_are_refused(tmp_path):
    config = write(tmp_path / "x.lmdb", {b"a/b.jpg": JPEGS[0], b"a/b.png": JPEGS[1]})
    with pytest.raises(SourceError, match=r"1 keys in .* differ from others in their suffix"):
        open_source(config)


class Bomb:
    """Ends the process of whoever unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("where", ["tables", "values", "people"])
def test_pickles_are_refused_unread(tmp_path, where, protocol):
    bomb = pickle.dumps(Bomb(), protocol)
    records = numbered(VALUES)
    if where == "people":
        records = {b"a/b": bomb}
    elif where == "tables":
        records[b"__keys__"] = bomb
    else:
        records[b"3"] = bomb
    config = write(tmp_path / "p.lmdb", records)
    with pytest.raises(SourceError, match="holds pickled Python objects, which are never read"):
        open_source(config)


def test_records_that_are_missing_unlisted_or_of_nobody_are_counted(tmp_path):
    records = numbered([*VALUES, (JPEGS[0], -1)])
    del records[b"2"]
    records[b"extra"] = records[b"1"]
    config = write(tmp_path / "m.lmdb", records)
    with pytest.raises(SourceError, match=r"3 of 8 are not read"):
        open_source(replace(config, max_left_out_fraction=0.2))
    source = open_source(replace(config, max_left_out_fraction=0.5))
    assert counts(source) == {
        "no_label": (2, ("6", "records that __keys__ does not list")),
        "missing_image": (1, ("2",)),
    }
    assert list(source.keys) == ["0", "1", "3", "4", "5"]


def test_values_that_hold_no_image_and_class_are_corrupt(tmp_path):
    broken = ["text", (1, JPEGS[0]), (JPEGS[0],), (JPEGS[0], True), (JPEGS[0], 1.0), [], {}]
    records = numbered([*VALUES, *broken])
    records[b"0"] = records[b"0"][:-3]
    config = write(tmp_path / "c.lmdb", records)
    with pytest.raises(SourceError, match=r"corrupt_fraction: 8 of 13 values of .* are not msg"):
        open_source(config)
    source = open_source(replace(config, max_corrupt_fraction=0.7))
    assert source.remarks[0].endswith("8 values hold no image and class that can be read")
    assert len(source) == 5


def test_an_image_that_cannot_be_decoded_is_counted_when_it_is_read(tmp_path):
    values = [(JPEGS[0], 0), (JPEGS[1], 0), (b"no image", 1), (JPEGS[3], 1)]
    source = open_source(write(tmp_path / "d.lmdb", numbered(values)))
    with pytest.raises(CorruptImageError, match=r"^2: not a readable image"):
        source[2]
    assert len(read_faces(source, 0.5)) == 3
    with pytest.raises(SourceError, match=r"max_corrupt_fraction: .*image 1 of person 2 in"):
        read_faces(source, 0.0)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({b"__keys__": msgpack.dumps(7)}, "__keys__ of .* is not a list of keys; want __keys__"),
        ({b"__keys__": b"\xc1"}, "has a table that msgpack did not write; want __keys__"),
        ({b"__keys__": msgpack.dumps([b"0", b"0"])}, "__keys__ of .* has keys that come twice"),
        (
            {b"__keys__": msgpack.dumps([])},
            r"no labeled image in .* \(6 left out",
        ),
        ({b"__keys__": msgpack.dumps([b"\xff"]), b"\xff": msgpack.dumps(VALUES[0])}, "not text"),
    ],
)
def test_other_tables_are_refused_in_a_line(tmp_path, change, wanted):
    config = write(tmp_path / "t.lmdb", numbered(VALUES) | change)
    with pytest.raises(SourceError, match=wanted) as refused:
        open_source(replace(config, max_left_out_fraction=1.0))
    assert "\n" not in str(refused.value)


def test_an_lmdb_of_something_else_names_the_layouts(tmp_path):
    config = write(tmp_path / "celeba.lmdb", {b"256-00001": JPEGS[0], b"256-00002": JPEGS[1]})
    wanted = r"no labeled image in .* \(2 left out: images without a label\); want __keys__"
    with pytest.raises(SourceError, match=wanted):
        open_source(config)


def test_counts_that_are_not_those_of_the_tables_are_told(tmp_path):
    config = write(tmp_path / "n.lmdb", numbered(VALUES, len=9, classnum=7))
    first, second = open_source(config).remarks
    assert "__len__ is 9, but 6 are there; check that it is whole" in first
    assert "__classnum__ is 7, but 3 are there" in second


def test_files_that_are_none_are_refused(tmp_path, config):
    (tmp_path / "bad.lmdb").write_bytes(b"x" * 10000)
    (tmp_path / "folder").mkdir()
    for name in ("bad.lmdb", "folder"):
        with pytest.raises(SourceError, match="is not an LMDB that can be read"):
            open_source(replace(config, path=str(tmp_path / name)))
    whole = Path(str(config.path)).read_bytes()
    (tmp_path / "cut.lmdb").write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
    with pytest.raises(SourceError, match=r"cut\.lmdb is cut off; copy it again"):
        open_source(replace(config, path=str(tmp_path / "cut.lmdb")))


def test_a_missing_library_names_the_pip_line(config, monkeypatch):
    for name in ("lmdb", "msgpack"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ConfigError, match=rf"needs {name}, .*'face-factory\[formats\]'"):
                open_source(config)


def test_two_sources_of_a_file_copies_and_threads_share_it(config):
    first, second = open_source(config), open_source(replace(config, num_identities=2))
    assert second.whole._environment is first._environment
    copy = pickle.loads(pickle.dumps(first))
    assert copy._environment is first._environment
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(first.encoded, list(range(6)) * 50))
    assert read == JPEGS * 50
    assert subset(first, 2, 3)[0].label == 0


def test_forked_workers_read_what_the_parent_has_open(config):
    source = open_source(config)
    wanted = [source[i].image_HWC for i in range(6)]
    loader = DataLoader(source, batch_size=None, num_workers=2, collate_fn=lambda face: face)
    for _ in range(2):
        for face, image in zip(loader, wanted, strict=True):
            assert np.array_equal(face.image_HWC, image)
    assert np.array_equal(source[5].image_HWC, wanted[5])
    inherited = source._environment
    child = os.fork()
    if child == 0:  # an assertion here would go on with the tests in two processes
        same = source.encoded(3) == JPEGS[3]
        own = source._environment is Environment.of(Path(str(config.path)))
        os._exit(0 if same and own and source._environment is not inherited else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert source._environment is inherited


def test_a_file_that_nobody_reads_any_more_is_closed(config):
    source = open_source(config)
    name = os.path.realpath(str(config.path))
    assert name in Environment._open
    del source
    assert name not in Environment._open
    changed = write(Path(str(config.path)), {b"0": msgpack.dumps((jpeg(7, 7), 0))})
    assert open_source(changed).encoded(0) == jpeg(7, 7)


def test_drawn_faces_are_those_of_the_folder_kind(tmp_path):
    """Pixels do not depend on what holds the bytes."""
    folder = tmp_path / "f" / "a"
    folder.mkdir(parents=True)
    (folder / "b.jpg").write_bytes(jpeg(1, 1))
    config = write(tmp_path / "x.lmdb", {b"a/b.jpg": jpeg(1, 1)})
    here = open_source(config)
    there = open_source(replace(config, kind="folder", path=str(folder.parent)))
    assert np.array_equal(here[0].image_HWC, there[0].image_HWC)
    assert here.fingerprint == there.fingerprint
    assert draw_face(1, 1).shape == here[0].image_HWC.shape
