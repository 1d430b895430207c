"""Every setting of a source is known to decide its faces or not to; contents count, never paths."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import pytest

from factory.config import SourceConfig, StoreConfig
from factory.errors import SourceError
from factory.sources import FaceSet, open_source, readers, training_faces
from factory.sources.alignment_facts import alignment_facts
from factory.sources.contents import contents_sha256
from factory.training.identity import difference, faces_facts, to_text
from tests.conftest import PX
from tests.unaligned import IMAGES, SIDE, ShiftDetector, draw_unaligned, write_table


@pytest.fixture
def source(tmp_path, monkeypatch) -> SourceConfig:
    monkeypatch.setattr(readers, "YuNet", ShiftDetector)
    (tmp_path / "finds.onnx").write_text("0")
    return SourceConfig(
        kind="folder",
        path=str(draw_unaligned(tmp_path / "images")),
        landmarks=str(write_table(tmp_path / "points.csv")),
        detector=str(tmp_path / "finds.onnx"),
        image_px=PX,
        max_corrupt_fraction=1.0,
    )


def as_shard(source: SourceConfig) -> SourceConfig:
    """The same images, one folder, in a shard, which calls them otherwise."""
    root = Path(str(source.path))
    shard = root.parent / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for label, folder in enumerate(sorted(root.iterdir())):
            for file in sorted(folder.iterdir()):
                for suffix, data in ((".png", file.read_bytes()), (".cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{label}_{file.stem}{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return replace(source, kind="webdataset", path=str(shard))


def other_images(source: SourceConfig) -> SourceConfig:
    """Somebody has an image more."""
    copied = Path(str(source.path)).parent / "more"
    shutil.copytree(str(source.path), copied)
    shutil.copy(copied / "person_0" / "0.png", copied / "person_0" / "9.png")
    return replace(source, path=str(copied))


def other_table(source: SourceConfig) -> SourceConfig:
    write_table(Path(str(source.landmarks)), shift=5)
    return source


def other_detector(source: SourceConfig) -> SourceConfig:
    Path(str(source.detector)).write_text("7")
    return source


DECIDES = {
    "kind": as_shard,
    "path": other_images,
    "landmarks": other_table,
    "detector": other_detector,
    "image_px": lambda source: replace(source, image_px=2 * PX),
    "resize": lambda source: replace(source, resize=True),
    "zoom": lambda source: replace(source, zoom=0.5),
    "max_pixels": lambda source: replace(source, max_pixels=SIDE * SIDE + 1),
    "num_identities": lambda source: replace(source, num_identities=2),
    "holdout_identities": lambda source: replace(source, holdout_identities=1),
    "holdout_fraction": lambda source: replace(source, holdout_fraction=0.5),
}
"""Settings that change a pixel, a label or the order of the faces, and how each is changed."""
DECIDES_NOTHING = {
    "max_corrupt_fraction": lambda source: replace(source, max_corrupt_fraction=0.5),
    "max_left_out_fraction": lambda source: replace(source, max_left_out_fraction=0.5),
    "pairs": lambda source: replace(source, pairs=source.landmarks),
    "heldout": lambda source: replace(source, heldout=source.path),
    "heldout_kind": lambda source: replace(source, heldout_kind="folder"),
    "store": lambda source: replace(source, store=StoreConfig(endpoint_url="http://elsewhere")),
    "cache_bytes": lambda source: replace(source, cache_bytes=1),
    "license": lambda source: replace(source, license="CC0-1.0"),
    "attribution": lambda source: replace(source, attribution="Somebody"),
    "real_people": lambda source: replace(source, real_people=False),
    "consent": lambda source: replace(source, consent=source.landmarks),
    "allow_withdrawn": lambda source: replace(source, allow_withdrawn=True),
}
"""Settings that refuse a source, only measure, or say how it is reached or whose it is."""


def facts(source: SourceConfig) -> str:
    return to_text({"source": faces_facts(source, training_faces(source)[0])})


def test_no_setting_of_a_source_is_forgotten():
    """A new field must be put into one of the two tables, and into AlignmentFacts if it decides."""
    names = {field.name for field in fields(SourceConfig)}
    assert names == {*DECIDES, *DECIDES_NOTHING}
    assert not {*DECIDES} & {*DECIDES_NOTHING}


@pytest.mark.parametrize("name", DECIDES)
def test_a_setting_that_decides_faces_is_in_their_facts(source, name):
    before = facts(source)
    changed = DECIDES[name](source)
    assert difference(before, facts(changed)), name


@pytest.mark.parametrize("name", DECIDES_NOTHING)
def test_a_setting_that_decides_nothing_is_not(source, name):
    before = facts(source)
    assert difference(before, facts(DECIDES_NOTHING[name](source))) == ""


def test_the_fact_that_differs_is_named(source):
    before = facts(source)
    named = difference(before, facts(replace(source, zoom=0.5)))
    assert named == " (source.alignment.zoom: 1.0 there, 0.5 asked for)"
    assert "source.alignment.landmarks" in difference(before, facts(other_table(source)))


def test_the_same_files_elsewhere_are_the_same_facts(source, tmp_path):
    before = facts(source)
    moved = tmp_path / "moved"
    shutil.copytree(str(source.path), moved / "images")
    there = replace(source, path=str(moved / "images"))
    for name in ("landmarks", "detector"):
        shutil.copy(str(getattr(source, name)), moved / name)
        there = replace(there, **{name: str(moved / name)})
    assert facts(there) == before


def test_an_image_that_is_left_out_changes_the_order_of_the_others(source):
    before = facts(source)
    damaged = Path(str(source.path)) / "person_1" / "0.png"
    damaged.write_bytes(bytes(damaged.stat().st_size))  # of the same name and size
    assert "source.keys" in difference(before, facts(source))


def test_a_setting_without_effect_has_its_default():
    plain = SourceConfig(kind="folder", path="x")
    assert alignment_facts(replace(plain, zoom=0.5)) == alignment_facts(plain)
    assert not alignment_facts(plain).aligns
    record = replace(plain, kind="recordio", landmarks="none.csv", resize=True)
    assert alignment_facts(record) == alignment_facts(plain)
    assert alignment_facts(replace(plain, resize=True)).aligns


def test_a_table_that_is_not_there_is_refused():
    with pytest.raises(SourceError, match=r"source\.landmarks: no file 'none\.csv'"):
        alignment_facts(SourceConfig(kind="folder", path="x", landmarks="none.csv"))


def test_contents_are_those_of_every_image(source):
    before = contents_sha256(open_source(source))
    assert contents_sha256(open_source(replace(source, landmarks=None, resize=True))) == before
    assert contents_sha256(open_source(as_shard(source))) != before  # with other keys
    some = contents_sha256(open_source(replace(source, num_identities=2)))
    assert some != before
    changed = Path(str(source.path)) / "person_3" / f"{IMAGES - 1}.png"
    data = bytearray(changed.read_bytes())
    data[-20] ^= 1
    changed.write_bytes(data)
    assert contents_sha256(open_source(source)) != before
    assert contents_sha256(open_source(replace(source, num_identities=2))) == some


def test_contents_of_an_unreadable_image_are_none(source):
    opened = open_source(source)
    before = contents_sha256(opened)
    (Path(str(source.path)) / "person_0" / "0.png").unlink()
    assert contents_sha256(opened) != before


def test_faces_in_memory_have_the_digest_of_their_pixels(source):
    faces: FaceSet = training_faces(source)[0]
    digest = faces.pixels_sha256()
    assert training_faces(source)[0].pixels_sha256() == digest
    assert contents_sha256(faces) == contents_sha256(training_faces(source)[0])
    moved = training_faces(other_table(source))[0]
    assert moved.fingerprint == faces.fingerprint
    assert moved.pixels_sha256() != digest
    assert contents_sha256(moved) != contents_sha256(faces)
