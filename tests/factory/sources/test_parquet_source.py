"""Parquet as the hub has it: columns by content or name, images by their place, people by name."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from factory.config import SourceConfig
from factory.errors import SourceError, StoreError
from factory.sources import (
    CorruptImageError,
    open_source,
    parquet_index,
    parquet_source,
    training_faces,
)
from factory.sources.alignment_facts import pixel_facts
from tests.conftest import PX, draw_face

PEOPLE, IMAGES = 3, 4


def png(person: int, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_face(person, image)).save(buffer, "PNG")
    return buffer.getvalue()


ROWS = [(person, png(person, image)) for image in range(IMAGES) for person in range(PEOPLE)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, compression: str = "none", rows=ROWS, group=5, **other) -> SourceConfig:
    """A file with struct images and labels of whole numbers; `other` are further columns."""
    table = {
        "image": pa.array([{"bytes": data, "path": None} for _, data in rows], STRUCT),
        "label": pa.array([person for person, _ in rows], pa.int64()),
        **other,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path, compression=compression, row_group_size=group)
    return SourceConfig(kind="parquet", path=str(path), image_px=PX)


def pixels(source) -> np.ndarray:
    return np.stack([source[index].image_HWC for index in range(len(source))])


WANTED = np.stack([draw_face(row % PEOPLE, row // PEOPLE) for row in range(len(ROWS))])


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_images_and_people_are_those_of_the_rows(tmp_path, compression):
    source = open_source(write(tmp_path / "faces.parquet", compression))
    assert (pixels(source) == WANTED).all()
    assert source.labels.tolist() == [person for person, _ in ROWS]
    assert list(source.names) == ["000000000000", "000000000001", "000000000002"]
    assert source.keys[7] == "faces/0000007"
    packed = {"none": 0}.get(compression, 1)
    assert set(source.columns["file"].tolist()) == {packed}, "0 is the file itself"
    assert len(source.remarks) == packed


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_an_image_is_read_alone(tmp_path, monkeypatch, compression):
    """Equal images too, which a dictionary of the file holds once."""
    rows = [*ROWS, ROWS[1], ROWS[0]]
    config = write(tmp_path / "faces.parquet", compression, rows=rows, group=100)
    open_source(config)
    monkeypatch.setattr(parquet_index, "opened", None)  # no row group is read any more
    source = open_source(config)
    assert [source.encoded(index) for index in range(len(rows))] == [data for _, data in rows]


def test_what_somebody_removed_of_unpacked_images_is_made_again(tmp_path):
    config = write(tmp_path / "faces.parquet", "zstd")
    (unpacked,) = (f for f in open_source(config)._files if f.suffix == ".images")
    assert unpacked.read_bytes() == b"".join(data for _, data in ROWS)
    for spoil in (unpacked.unlink, lambda: unpacked.write_bytes(b"cut off")):
        spoil()
        assert [open_source(config).encoded(i) for i in range(12)] == [data for _, data in ROWS]


def test_a_cache_that_takes_no_images_is_one_line(tmp_path, monkeypatch):
    config = write(tmp_path / "faces.parquet", "zstd")
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(parquet_source, "cache_root", lambda: tmp_path / "cache")
    (tmp_path / "cache" / "indexes").write_text("a file, where a folder should be")
    with pytest.raises(StoreError, match=r"^XDG_CACHE_HOME: .*; a part of the path is a file"):
        open_source(config)


def _read(source, index: int) -> bytes:
    return source.encoded(index)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_other_processes_read_the_same_source(tmp_path, compression):
    source = open_source(write(tmp_path / "faces.parquet", compression))
    assert source.encoded(3) == pickle.loads(pickle.dumps(source)).encoded(3) == ROWS[3][1]
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(_read, source, 9).result() == ROWS[9][1]


@pytest.mark.parametrize("place", ["", "data", "default/train"])
def test_all_files_of_a_folder_are_one_source(tmp_path, place):
    for part in range(2):
        file = tmp_path / place / f"train-{part}.parquet"
        config = write(file, rows=ROWS[part::2])
    source = open_source(replace(config, path=str(tmp_path)))
    assert [source.encoded(i) for i in range(12)] == [d for _, d in (*ROWS[::2], *ROWS[1::2])]
    assert source.keys[6] == f"{place}/train-1/0000000".lstrip("/")
    both = source.fingerprint
    assert open_source(replace(config, path=str(tmp_path))).fingerprint == both
    write(file, rows=ROWS[1:3])
    assert open_source(replace(config, path=str(tmp_path))).fingerprint != both


def test_columns_are_found_by_content_and_by_the_names_of_labels(tmp_path):
    """A thumbnail that is no image and a number that is no label do not mislead."""
    table = {
        "blob": pa.array([b"no image"] * 12),
        "age": pa.array(range(12)),
        "photo": pa.array([data for _, data in ROWS]),
        "identity": pa.array([f"person {person}" for person, _ in ROWS]),
    }
    pq.write_table(pa.table(table), tmp_path / "faces.parquet")
    config = SourceConfig(kind="parquet", path=str(tmp_path), image_px=PX)
    source = open_source(config)
    assert source.encoded(5) == ROWS[5][1]
    assert list(source.names) == ["person 0", "person 1", "person 2"]
    ages = open_source(replace(config, parquet_label="age"))
    assert len(ages.names) == 12
    for key, value, said in (
        (
            "parquet_label",
            "nobody",
            r"source\.parquet_label: got 'nobody'; want a column of .* age",
        ),
        (
            "parquet_image",
            "age",
            r"source\.parquet_image: got 'age'; want a column of .* blob",
        ),
    ):
        with pytest.raises(SourceError, match=said):
            open_source(replace(config, **{key: value}))


def test_two_columns_of_images_are_told_apart_by_the_config_alone(tmp_path):
    config = write(tmp_path / "a.parquet", other=pa.array([data for _, data in ROWS[::-1]]))
    with pytest.raises(SourceError, match=r"source\.parquet_image: 2 columns may be meant"):
        open_source(config)
    assert open_source(replace(config, parquet_image="other")).encoded(0) == ROWS[-1][1]


def test_what_datasets_writes_is_read_with_the_names_of_its_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    names = ["Zoe", "Adam", "Mia"]
    rows = datasets.Dataset.from_dict(
        {"label": [p for p, _ in ROWS], "image": [{"bytes": d, "path": None} for _, d in ROWS]},
        features=datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names)),
    )
    rows.to_parquet(tmp_path / "train.parquet")
    source = open_source(SourceConfig(kind="parquet", path=str(tmp_path), image_px=PX))
    assert list(source.names) == sorted(names)
    assert [source.names[label] for label in source.labels] == [names[p] for p, _ in ROWS]
    assert not source.columns["file"].any(), "datasets does not compress images"


def test_rows_without_image_or_person_are_counted(tmp_path):
    config = write(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    table[2]["label"], table[4]["label"], table[6]["image"]["bytes"] = -1, None, None
    schema = pa.schema([("image", STRUCT), ("label", pa.int64())])
    rows = pa.Table.from_pylist(table, schema)
    pq.write_table(rows, tmp_path / "a.parquet", compression="none", row_group_size=5)
    with pytest.raises(SourceError, match=r"source\.max_left_out_fraction: 3 of 12 are not read"):
        open_source(config)
    source = open_source(replace(config, max_left_out_fraction=0.5))
    assert {part.reason: (part.count, part.first) for part in source.left_out} == {
        "dangling_link": (1, ("a/0000006",)),
        "no_label": (2, ("a/0000002", "a/0000004")),
    }
    kept = [row for row in range(12) if row not in (2, 4, 6)]
    assert [source.encoded(i) for i in range(9)] == [ROWS[row][1] for row in kept]
    assert list(source.keys) == [f"a/{row:07d}" for row in kept], "a key tells the row of the file"


def test_a_damaged_image_is_counted_and_a_damaged_file_refused(tmp_path):
    config = write(tmp_path / "a.parquet", rows=[*ROWS, (0, b"\x89PNG cut off")])
    source = open_source(config)
    with pytest.raises(CorruptImageError, match="a/0000012"):
        source[12]
    faces, _ = training_faces(replace(config, max_corrupt_fraction=0.1))
    assert len(faces) == 12
    assert len(faces.corrupt) == 1
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"a\.parquet is no parquet file that can be read"):
        open_source(config)
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(SourceError, match=r"source\.path: no \.parquet in"):
        open_source(replace(config, path=str(tmp_path)))


def test_doubled_keys_and_files_with_other_columns_are_refused(tmp_path):
    config = write(tmp_path / "a.parquet", key=pa.array(["same"] * 12))
    with pytest.raises(SourceError, match="1 keys stand for two images"):
        open_source(config)
    write(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").rename_columns(["image", "person"])
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(
        SourceError, match=r"b\.parquet has its images and people in image and person"
    ):
        open_source(replace(config, path=str(tmp_path)))


def test_the_columns_that_a_config_names_are_in_the_facts_of_a_source(tmp_path):
    config = write(tmp_path / "a.parquet", age=pa.array(range(12)))
    other = replace(config, parquet_label="age")
    first, second = (pixel_facts(c, open_source(c).fingerprint) for c in (config, other))
    assert first != second
    assert first == pixel_facts(config, open_source(config).fingerprint)


def test_files_beside_those_that_are_read_are_counted(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "data" / "b.parquet")
    write(tmp_path / "more" / "deep" / "c.PARQUET")
    config = SourceConfig(kind="parquet", path=str(tmp_path), image_px=PX)
    with pytest.raises(SourceError, match=r"2 of 14 are not read \(2 archives or tables beside"):
        open_source(config)
    source = open_source(replace(config, max_left_out_fraction=0.5))
    assert len(source) == len(ROWS)
    assert source.left_out[0].first == ("data/b.parquet", "more/deep/c.PARQUET")
