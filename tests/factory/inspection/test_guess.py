"""The kind of a dataset is guessed from what lies there."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib

import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.inspection.guess import KINDS, SHAPES, guess_aligned_px, guess_kind, source_path
from factory.sources import open_source


def tar(path, *names):
    with tarfile.open(path, "w") as file:
        for name in names:
            file.addfile(tarfile.TarInfo(name))


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("person/1.jpg", "folder"),
        ("_SUCCESS", "webdataset"),
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
    assert guess_kind("hf://somebody/faces") == "parquet"
    assert guess_kind("hf://somebody/faces@main") == "parquet"
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
    for name in ("train.rec", "val.rec", "._train.rec"):
        (tmp_path / name).write_bytes(b"records")
    assert source_path(str(tmp_path), "recordio") == str(tmp_path / "train.rec")
    assert source_path(str(tmp_path), "folder") == str(tmp_path)
    assert source_path("starter", "starter") is None
    assert source_path(str(tmp_path / "data.mdb"), "lmdb") == str(tmp_path)
    (tmp_path / "train.rec").unlink()
    (tmp_path / "test.rec").write_bytes(b"records")
    with pytest.raises(SourceError, match=r"holds 2 \.rec files; name one of them"):
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


@pytest.mark.parametrize("beside", ["plan.json", "index/manifest.json"])
def test_sums_are_a_releases_beside_its_plan_or_index(tmp_path, beside):
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    for name in ("SHA256SUMS", beside):
        (tmp_path / name).write_bytes(b"")
    assert guess_kind(str(tmp_path)) == "webdataset"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["._faces.rec", "faces.rec"], "recordio"),
        (["._faces.rec", "person/1.jpg"], "folder"),
        (["._0.tar", "shards/._0.tar", "shards/0.tar"], "webdataset"),
        (["person/._1.parquet", "person/1.jpg", "._train.tsv"], "folder"),
    ],
)
def test_files_of_the_system_tell_nothing(tmp_path, names, kind):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name == "shards/0.tar":
            tar(tmp_path / name, "._0001.cls", "0001.jpg", "0001.cls")
        else:
            (tmp_path / name).write_bytes(b"not what it is called")
    assert guess_kind(str(tmp_path)) == kind
    assert "._" not in (source_path(str(tmp_path), kind) or "")


def test_labels_of_the_system_make_no_webdataset(tmp_path):
    tar(tmp_path / "people.tar", "anna/._1.json", "anna/1.jpg")
    assert guess_kind(str(tmp_path / "people.tar")) == "folder"


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("hf:own/name", "got 'hf:own/name'; want hf://owner/name"),
        ("hf://name", "want hf://owner/name"),
        ("s3:/bucket/x", "want s3://bucket/x"),
        ("https://bucket.org/x", "want s3://bucket/prefix"),
    ],
)
def test_an_address_that_is_none_is_told_what_was_meant(address, line):
    with pytest.raises(ConfigError, match=line):
        guess_kind(address)


def test_the_error_names_every_kind(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(SourceError) as error:
        guess_kind(str(tmp_path / "notes.txt"))
    assert set(SHAPES) == set(KINDS)
    for shown in (*KINDS, ".lmdb", "hf://owner/name", "s3://bucket/prefix"):
        assert shown in str(error.value)


def test_an_image_of_too_many_pixels_is_left_to_the_look(tmp_path):
    """It is never decoded; sizes come from the others."""
    bomb = bytearray(png(1))
    bomb[16:24] = struct.pack(">II", 15000, 15000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna/0.png").write_bytes(bomb)
    (tmp_path / "anna/1.png").write_bytes(png(64))
    (tmp_path / "anna/2.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    source = open_source(SourceConfig(kind="folder", path=str(tmp_path)))
    assert guess_aligned_px(source) == 64


def png(px: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (px, px)).save(buffer, "PNG")
    return buffer.getvalue()
