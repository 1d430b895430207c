"""Every setting of a source is known to decide its faces or not to; contents count, never paths."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.checkpoint import file_sha256
from factory.config import RenderingConfig, SourceConfig, StoreConfig
from factory.errors import SourceError
from factory.sources import FaceSet, open_source, readers, training_faces
from factory.sources.alignment_facts import alignment_facts, pixel_facts
from factory.sources.contents import contents_sha256
from factory.sources.detector import FACE_RULE, STARTER_MODEL
from factory.sources.recordio import encode_record
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


def as_records(source: SourceConfig) -> SourceConfig:
    """The same images in a .rec whose second labels are others."""
    root, records = Path(str(source.path)), b""
    for label, folder in enumerate(sorted(root.iterdir())):
        for number, file in enumerate(sorted(folder.iterdir())):
            records += encode_record(number, [float(label), float(number)], file.read_bytes())
    (root.parent / "packed.rec").write_bytes(records)
    packed = replace(source, kind="recordio", path=str(root.parent / "packed.rec"))
    return replace(packed, image_px=SIDE)


def as_rendered(**changes: Any) -> SourceConfig:
    """People by number, of whom nothing is rendered before an image is read."""
    pytest.importorskip("mitsuba")
    return SourceConfig(
        **{"kind": "rendered", "num_identities": 2, "images_per_person": 1} | changes
    )


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


def as_parquet(source: SourceConfig, **columns: str) -> SourceConfig:
    """The same images in a table, where each is of its person, of nobody else, and there twice."""
    root = Path(str(source.path))
    files = sorted(root.glob("*/*"))
    table = {
        "image": [file.read_bytes() for file in files],
        "other": [file.read_bytes() for file in reversed(files)],
        "label": [file.parent.name for file in files],
        "alone": [file.relative_to(root).as_posix() for file in files],
    }
    pq.write_table(pa.table(table), root.parent / "faces.parquet")
    path = str(root.parent / "faces.parquet")
    return replace(source, kind="parquet", path=path, parquet_image="image", **columns)


DECIDES = {
    "kind": as_shard,
    "parquet_image": lambda source: replace(as_parquet(source), parquet_image="other"),
    "parquet_label": lambda source: as_parquet(source, parquet_label="alone"),
    "path": other_images,
    "landmarks": other_table,
    "detector": other_detector,
    "image_px": lambda source: replace(source, image_px=2 * PX),
    "label_column": lambda source: replace(as_records(source), label_column=1),
    "resize": lambda source: replace(source, resize=True),
    "min_face_score": lambda source: replace(source, min_face_score=0.7),
    "zoom": lambda source: replace(source, zoom=0.5),
    "max_pixels": lambda source: replace(source, max_pixels=SIDE * SIDE + 1),
    "background": lambda source: replace(source, background=255),
    "num_identities": lambda source: replace(source, num_identities=2),
    "holdout_identities": lambda source: replace(source, holdout_identities=1),
    "holdout_fraction": lambda source: replace(source, holdout_fraction=0.5),
    "images_per_person": lambda source: as_rendered(images_per_person=2),
    "first_person": lambda source: as_rendered(first_person=1),
    "rendering": lambda source: as_rendered(rendering=RenderingConfig(seed=1)),
}
"""Settings that change a pixel, a label or the order of the faces, and how each is changed."""
BEFORE = {
    "label_column": as_records,
    "images_per_person": lambda source: as_rendered(),
    "first_person": lambda source: as_rendered(),
    "rendering": lambda source: as_rendered(),
}
"""Sources that a setting has an effect on, where that of the fixture is none."""
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
    "allow_benchmark": lambda source: replace(source, allow_benchmark=True),
    "groups": lambda source: replace(source, groups=source.landmarks),
    "group_fmr": lambda source: replace(source, group_fmr=0.1),
    "count_failures": lambda source: replace(source, count_failures=True),
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
    before = facts(BEFORE.get(name, lambda source: source)(source))
    changed = DECIDES[name](source)
    assert difference(before, facts(changed)), name


@pytest.mark.parametrize("name", DECIDES_NOTHING)
def test_a_setting_that_decides_nothing_is_not(source, name):
    before = facts(source)
    assert difference(before, facts(DECIDES_NOTHING[name](source))) == ""


def test_which_columns_of_a_table_are_read_decides_its_faces(source):
    plain = facts(as_parquet(source))
    for name in ("parquet_image", "parquet_label"):
        assert difference(plain, facts(DECIDES[name](source))), name
    assert difference(plain, facts(as_parquet(source, parquet_label="label"))) == ""


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
    plain = SourceConfig(kind="folder", path="x", detector=None)
    assert alignment_facts(replace(plain, zoom=0.5)) == alignment_facts(plain)
    assert not alignment_facts(plain).aligns
    record = replace(plain, kind="recordio", landmarks="none.csv", resize=True)
    assert alignment_facts(record) == alignment_facts(plain)
    assert alignment_facts(replace(plain, min_face_score=0.9)) == alignment_facts(plain)
    assert alignment_facts(replace(plain, resize=True)).aligns


def test_trainings_begun_before_backgrounds_go_on():
    plain = SourceConfig(kind="folder", path="x")
    assert "background" not in pixel_facts(plain, "f")["alignment"]
    assert pixel_facts(replace(plain, background=255), "f")["alignment"]["background"] == 255


def test_the_default_detector_counts_where_it_may_look():
    """By its contents, its least confidence and the rule by which a face is chosen."""
    facts = alignment_facts(SourceConfig(kind="folder", path="x"))
    assert facts.detector == file_sha256(STARTER_MODEL)
    assert (facts.min_face_score, facts.face_rule) == (0.6, FACE_RULE)
    assert facts.aligns_by_default
    assert not replace(facts, resize=True).aligns_by_default
    assert not replace(facts, detector="another").aligns_by_default
    for kind in ("starter", "recordio"):
        aligned = alignment_facts(SourceConfig(kind=kind, path="x"))
        assert (aligned.detector, aligned.min_face_score, aligned.face_rule) == (None, None, None)
        assert not aligned.aligns


def test_what_was_begun_without_a_detector_has_the_facts_it_had():
    pixels = pixel_facts(SourceConfig(kind="starter"), "images")
    assert set(pixels["alignment"]) == {"landmarks", "detector", "resize", "zoom", "max_pixels"}


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
