"""Who is in a .rec: by insightface's table, by any of the labels that im2rec packs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.sources import open_source, training_faces
from factory.sources.record_source import RecordSource, records_of
from factory.sources.recordio import encode_record, write_records
from factory.training.identity import difference, faces_facts, to_text
from tests.conftest import PX
from tests.factory.sources.test_recordio import JPEGS, LABELS

PEOPLE = [int(label) for label in LABELS]
COLUMNS = {
    "gender": lambda i: float((i + 1) % 2),
    "view": lambda i: float(2 - i % 3),
    "three": lambda i: float(i),
    "age": lambda i: float(20 + i),
}
"""Second labels that were once read as [first identity record, one past the last]."""


def write(path: Path, records: list[tuple[float | list[float], bytes]], first_key: int = 0) -> Path:
    """A .rec with its .idx of (labels, image) of each record."""
    data, lines = b"", []
    for key, (label, image) in enumerate(records, start=first_key):
        lines.append(f"{key}\t{len(data)}\n")
        data += encode_record(key, label, image)
    path.write_bytes(data)
    path.with_suffix(".idx").write_text("".join(lines))
    return path


def source(path: Path, **fields) -> RecordSource:
    made = open_source(SourceConfig(kind="recordio", path=str(path), image_px=PX, **fields))
    assert isinstance(made, RecordSource)
    return made


def counts(faces: RecordSource) -> dict[str, tuple]:
    return {part.reason: (part.count, part.first) for part in faces.left_out}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("first_key", [0, 1])
def test_packed_labels_are_no_identity_table(tmp_path, name, first_key):
    records = [([float(p), COLUMNS[name](i)], JPEGS[i]) for i, p in enumerate(PEOPLE)]
    faces = source(write(tmp_path / "train.rec", records, first_key))
    assert faces.labels.tolist() == PEOPLE
    assert faces.keys == [str(first_key + i) for i in range(len(PEOPLE))]
    assert "records have up to 2 labels; column source.label_column says who" in faces.remarks[0]
    assert faces.left_out == ()


def test_the_column_decides_who_is_who_and_is_in_the_facts(tmp_path):
    records = [([float(i % 2), float(p), 30.5], JPEGS[i]) for i, p in enumerate(PEOPLE)]
    path = write(tmp_path / "train.rec", records)
    config = SourceConfig(kind="recordio", path=str(path), image_px=PX)
    other = replace(config, label_column=1)
    assert open_source(config).labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert open_source(other).labels.tolist() == PEOPLE
    facts = [to_text({"source": faces_facts(c, training_faces(c)[0])}) for c in (config, other)]
    assert "source.fingerprint" in difference(*facts)
    with pytest.raises(SourceError, match=r"column 2 of the record at byte 0 is 30\.5; want"):
        source(path, label_column=2)
    wanted = r"source\.label_column: got 3, and the records of .* have 3 labels at most; want .* 2"
    with pytest.raises(SourceError, match=wanted):
        source(path, label_column=3, max_left_out_fraction=1.0)


def test_records_without_an_image_or_a_class_are_counted_and_limited(tmp_path):
    nobody = [float("nan"), -1.0, float("inf")]
    records = [([float(p), 0.0], JPEGS[i]) for i, p in enumerate(PEOPLE)]
    records += [([label, 0.0], JPEGS[0]) for label in nobody]
    records.append(([1.0, 0.0], b""))
    path = write(tmp_path / "train.rec", records)
    wanted = r"4 of 10 are not read \(3 images without a label; 1 labels, or rows of a table"
    with pytest.raises(SourceError, match=wanted):
        source(path, max_left_out_fraction=0.3)
    faces = source(path, max_left_out_fraction=0.4)
    assert faces.labels[:6].tolist() == PEOPLE
    assert counts(faces) == {"no_label": (3, ("6", "7", "8")), "missing_image": (1, ("9",))}


def test_a_table_is_used_whatever_labels_the_images_have(tmp_path):
    """insightface's MS1MV3 has two labels in each image record."""
    head = [([7.0, 10.0], b"")]
    images = [([9.0, 9.0], jpeg) for jpeg in JPEGS]
    people = [([1.0, 3.0], b""), ([3.0, 4.0], b""), ([4.0, 7.0], b"")]
    path = write(tmp_path / "train.rec", head + images + people)
    assert source(path).labels.tolist() == PEOPLE
    assert source(path).left_out == ()
    assert source(path).keys == ["1", "2", "3", "4", "5", "6"]
    own = source(path, label_column=1)
    assert own.names == ["00000009"]
    assert own.left_out == ()


@pytest.mark.parametrize(
    "people",
    [
        [([1.0, 3.0], b""), ([3.0, 4.0], b"")],  # fewer than the head says
        [([1.0, 3.0], b""), ([3.0, 4.0], JPEGS[0]), ([4.0, 7.0], b"")],
        [([1.0, 6.0], b""), ([1.0, 6.0], b""), ([1.0, 6.0], b"")],
    ],
)
def test_a_table_that_contradicts_itself_is_not_used(tmp_path, people):
    images = [(float(i), jpeg) for i, jpeg in enumerate(JPEGS)]
    path = write(tmp_path / "train.rec", [([7.0, 10.0], b""), *images, *people])
    assert source(path).labels.tolist()[:6] == [0, 1, 2, 3, 4, 5]


def test_images_that_a_table_gives_to_nobody_are_counted(tmp_path):
    images = [(0.0, jpeg) for jpeg in JPEGS]
    people = [([1.0, 3.0], b""), ([5.0, 7.0], b"")]
    path = write(tmp_path / "train.rec", [([7.0, 9.0], b""), *images, *people])
    faces = source(path, max_left_out_fraction=0.5)
    assert faces.keys == ["1", "2", "5", "6"]
    assert counts(faces) == {"no_label": (2, ("3", "4"))}
    with pytest.raises(SourceError, match=r"2 of 6 are not read \(2 images without a label\)"):
        source(path)


def test_keys_that_come_twice_are_refused(tmp_path):
    path = write(tmp_path / "train.rec", [(0.0, JPEGS[0]), (1.0, JPEGS[1])])
    listed = path.with_suffix(".idx")
    listed.write_text(listed.read_text().replace("1\t", "0\t"))
    with pytest.raises(SourceError, match=r"keys in the \.idx of .* stand for two records"):
        source(path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"3,{PX},{PX}\n", rf"3 classes of {PX}x{PX} pixels, as the records hold"),
        ("9,112,96", rf"9 classes of 96x112 .*hold 3 people, the first image {PX}x{PX}; check"),
        ("3,112,112", rf"3 classes of 112x112 .*, the first image {PX}x{PX}; check"),
        (f"9,{PX},{PX}", r"9 classes of .*, but the records hold 3 people"),
        ("three", "not a line num_classes,height,width"),
    ],
)
def test_an_insightface_folder_is_read_and_its_property_compared(tmp_path, text, wanted):
    write_records(tmp_path / "train.rec", LABELS, JPEGS)
    (tmp_path / "lfw.bin").write_bytes(b"")
    (tmp_path / "property").write_text(text)
    faces = source(tmp_path)
    assert faces.labels.tolist() == PEOPLE
    (remark,) = faces.remarks
    assert re.search(wanted, remark)


def test_gaps_are_in_the_number_of_classes_of_a_property(tmp_path):
    write(tmp_path / "train.rec", [(0.0, JPEGS[0]), (4.0, JPEGS[1])])
    (tmp_path / "property").write_text(f"5,{PX},{PX}")
    assert source(tmp_path).remarks[1].endswith("as the records hold")


def test_a_folder_with_several_records_names_one(tmp_path):
    for name in ("a.rec", "b.rec", "._a.rec"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"holds 2 \.rec files; name one of them"):
        records_of(tmp_path)
    (tmp_path / "train.rec").write_bytes(b"x")
    assert records_of(tmp_path).name == "train.rec"
