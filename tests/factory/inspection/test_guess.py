"""The kind of a dataset is guessed from what lies there."""

from __future__ import annotations

import io
import tarfile

import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.inspection.guess import guess_aligned_px, guess_kind, source_path
from factory.sources import open_source


def tar(path, *names):
    with tarfile.open(path, "w") as file:
        for name in names:
            file.addfile(tarfile.TarInfo(name))


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("person/1.jpg", "folder"),
        ("SHA256SUMS", "webdataset"),
        ("train.rec", "recordio"),
        ("casia.rec", "recordio"),
        ("data.mdb", "lmdb"),
        ("train.tsv", "cvlface"),
        ("train-0.parquet", "parquet"),
        ("data/train-0.parquet", "parquet"),
    ],
)
def test_a_folder_is_what_its_files_say(tmp_path, file, kind):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"")
    assert guess_kind(str(tmp_path)) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.rec", "recordio"), ("a.parquet", "parquet"), ("a.mdb", "lmdb"), ("a.tsv", "cvlface")],
)
def test_a_file_is_what_its_name_says(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"")
    assert guess_kind(str(tmp_path / name)) == kind


def test_tars_with_labels_are_webdatasets(tmp_path):
    (tmp_path / "shards").mkdir()
    tar(tmp_path / "people.tar", "anna/1.jpg", "anna/2.jpg")
    tar(tmp_path / "shards/0.tar", "0001.jpg", "0001.cls")
    assert guess_kind(str(tmp_path / "people.tar")) == "folder"
    assert guess_kind(str(tmp_path / "shards/0.tar")) == "webdataset"
    assert guess_kind(str(tmp_path / "shards")) == "webdataset"


def test_addresses():
    assert guess_kind("s3://bucket/demo") == "webdataset"
    assert guess_kind("hf://datasets/somebody/faces") == "parquet"
    assert guess_kind("starter") == "starter"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lfw.bin", "give it by --pairs"),
        ("set.tar.gz", "unpack it"),
        ("set.zip", "unpack it"),
        ("notes.txt", "no dataset"),
        ("half.tar", "not a readable plain tar"),
    ],
)
def test_what_is_no_dataset_is_told_in_one_line(tmp_path, name, line):
    (tmp_path / name).write_bytes(b"no tar")
    with pytest.raises(SourceError, match=line):
        guess_kind(str(tmp_path / name))


def test_a_train_tsv_may_have_records_beside_it(tmp_path):
    for name in ("train.tsv", "train.rec"):
        (tmp_path / name).write_bytes(b"")
    assert guess_kind(str(tmp_path)) == "cvlface"


def test_the_records_in_a_folder_are_its_path(tmp_path):
    (tmp_path / "train.rec").write_bytes(b"")
    (tmp_path / "val.rec").write_bytes(b"")
    assert source_path(str(tmp_path), "recordio") == str(tmp_path / "train.rec")
    assert source_path(str(tmp_path), "folder") == str(tmp_path)
    assert source_path("starter", "starter") is None
    assert source_path(str(tmp_path / "data.mdb"), "lmdb") == str(tmp_path)
    (tmp_path / "train.rec").unlink()
    (tmp_path / "test.rec").write_bytes(b"")
    with pytest.raises(SourceError, match=r"test\.rec, val\.rec"):
        source_path(str(tmp_path), "recordio")


@pytest.mark.parametrize(
    ("sizes", "px"),
    [
        ([(64, 64)] * 3, 64),
        ([(64, 64), (80, 80)], None),
        ([(64, 80)] * 2, None),
        ([(300, 300)] * 2, None),
    ],
)
def test_squares_of_one_small_size_are_aligned(tmp_path, sizes, px):
    (tmp_path / "anna").mkdir()
    for i, size in enumerate(sizes):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, "PNG")
        (tmp_path / f"anna/{i}.png").write_bytes(buffer.getvalue())
    source = open_source(SourceConfig(kind="folder", path=str(tmp_path)))
    assert guess_aligned_px(source) == px
